"""What a line of the catalogue says of a feature, and the words that lines share."""

from collections.abc import Callable
from dataclasses import dataclass
from math import inf

from undertow.features.lookback import Lookback, lookback_of
from undertow.features.memory import Floats, Memory
from undertow.frames.frames import Frames

__all__ = [
    "ANY",
    "BOOK",
    "FLOW",
    "NO_CHANGE",
    "NO_FLOW",
    "NO_LEVEL",
    "NO_PRICE",
    "NO_SAMPLE",
    "NO_SEED",
    "NO_SIDE",
    "NO_SLOPE",
    "NO_SPREAD",
    "NO_TRADE",
    "NO_VOLUME",
    "POSITIVE",
    "SHARE",
    "SIGNED",
    "TRADES",
    "Feature",
    "Formula",
    "Range",
]

Formula = Callable[[Frames, Memory], Floats]
Range = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Feature:
    """One line of the catalogue."""

    name: str
    function: Formula
    unit: str
    range: Range
    """Bounds of every value that is not null."""
    null: str
    """When the value is null."""
    inputs: str
    """Tables of the lake that it is computed from."""
    source: str
    warm_up: int = 0
    """Bars with known inputs, from the first on, whose value is null."""
    dtype: str = "float"
    """`float` or `int`: how it is stored."""
    mirror: str = "none"
    """What becomes of the value when both sides of the market are exchanged and prices are mirrored.

    `odd`: its sign flips; `even`: nothing; `complement`: it becomes low + high − value, of the range, or
    1 − value where the range has no bounds; `swap:OTHER`: it becomes the other feature's value; `price`: it
    is mirrored as prices are, `price:OTHER`: so is the other's; `none`: no exact law.
    """

    @property
    def family(self) -> str:
        """The file that holds the formula."""
        return self.function.__module__.rsplit(".", 1)[1]

    @property
    def lookback(self) -> Lookback | None:
        """How far before its bar a value reaches; None: back to the first bar."""
        return lookback_of(self.name, self.family)

    @property
    def formula(self) -> str:
        """First line of the function's docstring."""
        return (self.function.__doc__ or "").strip().partition("\n")[0].rstrip(".")


ANY: Range = (-inf, inf)
POSITIVE: Range = (0.0, inf)
SHARE: Range = (0.0, 1.0)
SIGNED: Range = (-1.0, 1.0)

TRADES = "trades"
FLOW = "trades, gaps"
BOOK = "book_depth"

NO_PRICE = "before the first trade"
NO_FLOW = "bar wholly inside a gap of the trade stream"
NO_TRADE = f"no trade in the bar; {NO_FLOW}"
NO_CHANGE = f"first trade's bar; {NO_FLOW}, and the bar after it"
NO_SAMPLE = "no book sample in the bar"
NO_VOLUME = f"{NO_SAMPLE}; no level on either side"
NO_LEVEL = f"{NO_SAMPLE}; no level on that side"
NO_SLOPE = f"{NO_SAMPLE}; fewer than two levels on that side"
NO_SIDE = f"{NO_SAMPLE}; a side without levels"
NO_SPREAD = "spread known at no time in the bar"
NO_SEED = f"until the seed is complete; {NO_FLOW}"
