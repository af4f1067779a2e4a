"""What a pattern is: a definition with causal thresholds, and the events it finds in the bars of a symbol.

Each definition is written once, for the side of the buyers; `View` shows the bars to it as they are and, for
the side of the sellers, mirrored. So neither side can have a rule that the other lacks.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from undertow.errors import InputError

__all__ = [
    "BARS",
    "BASELINE",
    "QUIET",
    "Definition",
    "Events",
    "Found",
    "Number",
    "Pattern",
    "PatternBars",
    "Setting",
    "Settings",
    "View",
]

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

Settings = Mapping[str, float]
"""Value of each setting of a pattern by its name."""

BARS = "bars"
BASELINE, QUIET = "baseline", "quiet"


@dataclass(frozen=True, slots=True)
class PatternBars:
    """Bars of one symbol and one length, sorted by time; rows may be missing.

    Raises InputError where arrays differ in length or the bars are not sorted.
    """

    open_ns: Integers
    """(n,) start of each bar."""
    known_ns: Integers
    """(n,) when each bar could first be used; its close or later."""
    length_ns: int
    columns: Mapping[str, Floats]
    """(n,) values by the name of the feature; NaN where null. `gap_fraction` must be among them."""

    def __post_init__(self) -> None:
        rows = {len(self.open_ns), len(self.known_ns), *(len(values) for values in self.columns.values())}
        if len(rows) > 1:
            raise InputError(f"columns of one table must have one length, got {sorted(rows)}")
        if np.any(np.diff(self.open_ns) <= 0):
            raise InputError("bars must be sorted by time, each once")

    def column(self, name: str) -> Floats:
        """The values (n,) of a feature. Raises InputError where the table lacks it."""
        if name not in self.columns:
            raise InputError(
                f"the feature bars have no column {name!r}, which a pattern needs; compute the features again"
            )
        return self.columns[name]


@dataclass(frozen=True, slots=True)
class View:
    """Bars as one side of the market sees them: side +1 as they are, side −1 mirrored."""

    bars: PatternBars
    side: int
    age: Integers
    """(n,) bars of the stretch up to each bar, see `trailing.ages`."""

    def even(self, name: str) -> Floats:
        """A column (n,) that mirroring leaves alone, such as the volume."""
        return self.bars.column(name)

    def odd(self, name: str) -> Floats:
        """A column (n,) whose sign mirroring flips: a signed flow, or a price, of which only moves count."""
        return self.side * self.bars.column(name)

    def own(self, bid: str, ask: str) -> Floats:
        """The one of two columns (n,) that belongs to this side: bids and taker buys to +1."""
        return self.bars.column(bid if self.side > 0 else ask)

    def other(self, bid: str, ask: str) -> Floats:
        """The one of two columns (n,) that belongs to the side opposite."""
        return self.bars.column(ask if self.side > 0 else bid)


@dataclass(frozen=True, slots=True)
class Found:
    """What a definition says of every bar."""

    strength: Floats
    """(n,) at least 1 where the pattern is there, below 1 where not, NaN where nobody knows."""
    numbers: tuple[Floats, ...]
    """(n,) each: the numbers that made it, as the pattern's `numbers` name them."""


Definition = Callable[[View, Settings], Found]


@dataclass(frozen=True, slots=True)
class Setting:
    """One number of a definition that a user may change."""

    name: str
    default: float
    unit: str
    """`bars` for a window; windows count bars of a stretch without holes, so they are times as well."""
    meaning: str


@dataclass(frozen=True, slots=True)
class Number:
    """One number that an event carries."""

    name: str
    unit: str
    meaning: str


@dataclass(frozen=True, slots=True)
class Pattern:
    """One line of the catalogue."""

    function: Definition
    inputs: tuple[str, ...]
    """Names of the feature columns it is computed from, beside `gap_fraction`."""
    settings: tuple[Setting, ...]
    numbers: tuple[Number, ...]
    strength: str
    """What the strength is a multiple of."""
    reads: str
    """What side +1 means."""
    source: str
    example: str
    """One case worked by hand."""
    false_alarms: float
    """Events an hour and symbol, of both sides together, that a simulated martingale has at most."""
    null: str = (
        "bar touched by a gap, an input null, a bar missing: what spans it starts anew; "
        "until the windows are full; while the threshold is zero"
    )
    mirror: str = "odd"
    """Exchange both sides of the market and mirror its prices: the same events with the other side."""

    @property
    def name(self) -> str:
        """The function's name."""
        return self.function.__name__

    @property
    def definition(self) -> str:
        """The function's docstring as one paragraph: what side +1 is."""
        return " ".join((self.function.__doc__ or "").split())

    def with_defaults(self, changed: Settings | None = None) -> dict[str, float]:
        """All settings, those in `changed` instead of the defaults.

        Raises InputError for a name the pattern lacks, and for a window that is not a whole number of bars.
        """
        values = {setting.name: setting.default for setting in self.settings}
        unknown = sorted(set(changed or {}) - set(values))
        if unknown:
            raise InputError(
                f"{self.name} has no setting {', '.join(unknown)}; it has {', '.join(sorted(values))}"
            )
        values |= dict(changed or {})
        for setting in self.settings:
            value = values[setting.name]
            if setting.unit == BARS and (value < 1 or value != int(value)):
                raise InputError(f"{self.name}: {setting.name} must be a whole number of bars, got {value:g}")
        return values

    def lookback_bars(self, changed: Settings | None = None) -> int:
        """Bars before a bar that decide whether it is an event; fewer in its stretch and it is none.

        The quiet time, the baseline, and the longest other window twice: once for the newest value, once for
        the oldest of the baseline, which ends before the newest value's window begins.
        """
        values = self.with_defaults(changed)
        windows = [setting.name for setting in self.settings if setting.unit == BARS]
        span = max((int(values[name]) for name in windows if name not in (BASELINE, QUIET)), default=1)
        return int(values[BASELINE]) + int(values[QUIET]) + 2 * span


@dataclass(frozen=True, slots=True)
class Events:
    """What one pattern found in the bars of one symbol, by time; at one time the buyers' side first."""

    pattern: str
    bar: Integers
    """(k,) row of the bar that completed the pattern."""
    time_ns: Integers
    """(k,) that bar's close, the earliest time at which the pattern is there."""
    known_ns: Integers
    """(k,) when the bar could first be used: its close and the allowed lateness."""
    side: NDArray[np.int8]
    """(k,) +1 where the pattern speaks for buyers, −1 for sellers."""
    strength: Floats
    """(k,) at least 1."""
    names: tuple[str, ...]
    numbers: Floats
    """(k, m) the numbers that made it, by `names`, as the event's own side sees them."""

    def __len__(self) -> int:
        return len(self.bar)
