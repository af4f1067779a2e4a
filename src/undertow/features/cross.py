"""Two markets side by side: one that leads and one that follows, and a perpetual beside its spot market.

A second stage over bars: it reads what the feature tables of both already hold. A bar of the leader counts
only where it was known when the follower's bar was, known_ns ≤ known_ns; else it is unknown for good, so
that nothing depends on when a late row came. Returns are of the logarithm of the mid, in basis points.

They are stored as table `cross_features` of the follower, a row a bar: `lead_lag` beside one leader, such as
BTCUSDT for an alt, and `spot_perp` beside the spot market of the same symbol.

The mirror of these features turns prices p into c / p and exchanges buyers and sellers, in both markets: a
logarithmic return then flips its sign exactly.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf

import numpy as np
from numpy.typing import NDArray

from undertow.features import cross_kernel
from undertow.features.cross_kernel import LAGS, PAST_BARS, WINDOWS
from undertow.features.feature import SIGNED, Range
from undertow.features.memory import Floats, Integers
from undertow.market.time import SECOND_NS

__all__ = ["CROSS_FEATURES", "CrossBlock", "CrossEngine", "CrossFeature", "PairBars"]

SECONDS = (1, 5, 10)
"""Time that returns are taken over [s]."""
FLOW_BARS = 10


@dataclass(frozen=True, slots=True)
class CrossFeature:
    """One column of `cross_features`; attributes as of `features.feature.Feature`."""

    name: str
    formula: str
    unit: str
    range: Range
    null: str
    source: str
    mirror: str
    """`odd`: its sign flips when both markets are mirrored; `even`: nothing."""
    warm_up: int
    """Bars of a second with known inputs, from the first on, whose value is null."""
    family: str = "lead_lag"
    """`lead_lag`: of any two markets; `spot_perp`: of a perpetual (the follower) and its spot market."""
    inputs: str = "features of both"
    dtype: str = "float"


@dataclass(frozen=True, slots=True)
class PairBars:
    """T consecutive bars of both markets; NaN where a value is unknown or a market has no such bar."""

    length_ns: int
    open_ns: Integers
    """(T,) start of each bar, one after the other."""
    follower_mid: Floats
    """(T,) at the close [quote], above 0."""
    leader_mid: Floats
    """(T,)"""
    leader_buys: Floats
    """(T,) what takers bought [base]."""
    leader_sells: Floats
    """(T,)"""
    follower_known_ns: Integers
    """(T,) when the follower's bar could first be used."""
    leader_known_ns: Integers
    """(T,) the leader's."""

    def __len__(self) -> int:
        """Number of bars."""
        return len(self.open_ns)

    def __getitem__(self, rows: slice) -> "PairBars":
        """The bars in `rows`, as views."""
        columns = {
            name: getattr(self, name)[rows] for name in self.__dataclass_fields__ if name != "length_ns"
        }
        return PairBars(self.length_ns, **columns)


@dataclass(frozen=True, slots=True)
class CrossBlock:
    """Features of T consecutive bars of the follower."""

    names: tuple[str, ...]
    open_ns: Integers
    """(T,)"""
    known_ns: Integers
    """(T,) that of the follower's bar: nothing that came later is in it."""
    values: Floats
    """(features, T); NaN = null."""


class CrossEngine:
    """Computes the features of one pair and bar length; call `push` with consecutive bars, cut anywhere."""

    def __init__(self, length_ns: int) -> None:
        self.length_ns = length_ns
        self._past = np.full((4, PAST_BARS), np.nan)
        """Logarithms of the follower's and the leader's mid, the leader's buys and sells."""
        self._next_ns = np.zeros(1, np.int64)
        self._steps = np.array([_bars_in(seconds, length_ns) for seconds in SECONDS])

    def push(self, bars: PairBars) -> CrossBlock:
        """Features of the next bars.

        Raises ValueError for bars of another length, out of order, or not one after the other: a bar that is
        missing is given as one of unknown values.
        """
        self._check(bars)
        in_time = bars.leader_known_ns <= bars.follower_known_ns
        columns = (_log(bars.follower_mid), _log(bars.leader_mid), bars.leader_buys, bars.leader_sells)
        rows = np.array([columns[0], *(np.where(in_time, column, np.nan) for column in columns[1:])])
        joined = np.concatenate([self._past, rows.reshape(4, len(bars))], axis=1)
        values = np.full((len(CROSS_FEATURES), len(bars)), np.nan)
        cross_kernel.fold_pair(joined, self._steps, FLOW_BARS, values)
        self._past = joined[:, len(bars) :].copy()
        if len(bars):
            self._next_ns[0] = bars.open_ns[-1] + self.length_ns
        return CrossBlock(CROSS_NAMES, bars.open_ns, bars.follower_known_ns, values)

    def _check(self, bars: PairBars) -> None:
        if bars.length_ns != self.length_ns:
            raise ValueError(f"bars of {bars.length_ns} ns for an engine of {self.length_ns} ns")
        if not len(bars):
            return
        if (np.diff(bars.open_ns) != self.length_ns).any():
            raise ValueError("bars of a pair must follow one another; give missing ones as unknown")
        if self._next_ns[0] and bars.open_ns[0] != self._next_ns[0]:
            raise ValueError(f"a bar at {bars.open_ns[0]} ns where {self._next_ns[0]} ns is the next")

    def state(self) -> dict[str, NDArray[np.generic]]:
        """Everything carried, as arrays."""
        return {"past": self._past.copy(), "next_ns": self._next_ns.copy()}

    def restore(self, states: Mapping[str, NDArray[np.generic]]) -> None:
        """Go on from `state()`."""
        self._past = np.array(states["past"], np.float64)
        self._next_ns = np.array(states["next_ns"], np.int64)


def _log(mid: Floats) -> Floats:
    return np.log(np.where(mid > 0, mid, np.nan))


def _bars_in(seconds: int, length_ns: int) -> int:
    """Bars that make up so many seconds; 0 where no whole number of them does."""
    return seconds * SECOND_NS // length_ns if seconds * SECOND_NS % length_ns == 0 else 0


_ANY: Range = (-inf, inf)
_LATE = "leader's bar unknown or known later than the follower's"
_ENDS = f"{_LATE}; a mid unknown at either end; bars that do not make up the time"
_FEW = (
    f"{_LATE}; a return of this bar unknown; fewer than half of the pairs known; a leader that did not move"
)
_LEADS = "Lo, MacKinlay 1990; Huth, Abergel 2014"
_BASIS = "He, Manela, Ross, von Wachter 2022"


def _returns() -> list[CrossFeature]:
    return [
        CrossFeature(
            f"leader_return_{seconds}s",
            f"10⁴ · ln(leader's mid / its mid {seconds} s before) [bps]",
            "bps",
            _ANY,
            _ENDS,
            _LEADS,
            "odd",
            seconds,
        )
        for seconds in SECONDS
    ]


def _slopes() -> list[CrossFeature]:
    lines = []
    for n in WINDOWS:
        pairs = f"over the last {n} bars"
        lines += [
            CrossFeature(
                f"leader_beta_{n}",
                f"Slope of the follower's return on the leader's of the same bar, {pairs}",
                "ratio", _ANY, _FEW, _LEADS, "even", n // 2,
            ),
            CrossFeature(
                f"lead_lag_beta_{n}",
                f"Slope of the follower's return on the leader's of the bar before, {pairs}",
                "ratio", _ANY, _FEW, _LEADS, "even", n // 2 + 1,
            ),
            CrossFeature(
                f"leader_residual_{n}",
                f"Σ follower's return − leader_beta_{n} · Σ leader's, {pairs} that know both [bps]",
                "bps", _ANY, _FEW, _LEADS, "odd", n // 2,
            ),
        ]  # fmt: skip
    return lines


def _correlations() -> list[CrossFeature]:
    n = WINDOWS[-1]
    null = f"{_FEW}; a follower that did not move"
    lines = [
        CrossFeature(
            f"lead_lag_correlation_{lag}",
            f"Correlation of the follower's return with the leader's {lag} bars before, over {n} bars",
            "share", SIGNED, null, _LEADS, "even", n // 2 + lag,
        )
        for lag in LAGS
    ]  # fmt: skip
    formula = (
        "(a − b) / (a + b), a: Σ squared correlations of the follower's return with the leader's 1 to 5 "
        f"bars before, b: of the leader's with the follower's, over {n} bars; above 0: the leader leads"
    )
    null += "; a = b = 0"
    warm_up = n // 2 + max(LAGS)
    return [
        *lines,
        CrossFeature("lead_lag_balance", formula, "share", SIGNED, null, _LEADS, "even", warm_up),
    ]


def _flows() -> list[CrossFeature]:
    share = "(B − S) / (B + S) of what takers bought and sold on the leader"
    null = f"{_LATE}; nothing traded there"
    source = "Chordia, Roll, Subrahmanyam 2002"
    return [
        CrossFeature(
            "leader_flow_imbalance", f"{share}, in this bar", "share", SIGNED, null, source, "odd", 0
        ),
        CrossFeature(
            f"leader_flow_imbalance_{FLOW_BARS}",
            f"{share}, over the last {FLOW_BARS} bars",
            "share",
            SIGNED,
            f"one of these bars unknown; {null}",
            source,
            "odd",
            FLOW_BARS - 1,
        ),
    ]


def _spot_perp() -> list[CrossFeature]:
    gaps = [
        CrossFeature(
            f"spot_perp_return_gap_{seconds}s",
            f"Return of the perpetual − return of the spot market over {seconds} s [bps]",
            "bps",
            _ANY,
            _ENDS,
            _BASIS,
            "odd",
            seconds,
            "spot_perp",
        )
        for seconds in SECONDS
    ]
    formula = "10⁴ · ln(mid of the perpetual / mid of the spot market) [bps]"
    null = f"{_LATE}; a mid unknown"
    basis = CrossFeature("spot_perp_basis_bps", formula, "bps", _ANY, null, _BASIS, "odd", 0, "spot_perp")
    return [basis, *gaps]


CROSS_FEATURES: tuple[CrossFeature, ...] = (
    *_returns(),
    *_slopes(),
    *_correlations(),
    *_flows(),
    *_spot_perp(),
)
"""In the order of the columns, and of the rows that `cross_kernel.fold_pair` writes."""
CROSS_NAMES: tuple[str, ...] = tuple(feature.name for feature in CROSS_FEATURES)
"""Names of the rows of `CrossBlock.values`."""
