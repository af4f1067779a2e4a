"""Which bars the coverage ledger proves whole, for the streams that the chosen features are made of."""

from collections.abc import Iterable, Sequence
from enum import IntEnum, StrEnum

import numpy as np
import polars as pl
from numpy.typing import NDArray

from undertow.frames.coverage import CoverageStatus

__all__ = ["BarCoverage", "CoverageRule", "bar_coverage", "coverage_names", "streams_of"]

Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]


class CoverageRule(StrEnum):
    """What becomes of rows that the ledger does not prove."""

    STRICT = "strict"
    """They are dropped."""
    FLAG = "flag"
    """They stay, named in the column `coverage` and counted."""
    IGNORE = "ignore"
    """The ledger is not read."""


class BarCoverage(IntEnum):
    """How a bar is known to be whole over all streams asked for: the worst of them."""

    COMPLETE = 0
    UNKNOWN = 1
    """Some of it is covered by no row of the ledger."""
    UNPROVABLE = 2
    GAP = 3


_FLOWS = ("aggtrades", "trades")
_STREAMS = {"book_depth": "depth", "l2": "depth", "l2_features": "depth"}
"""Table that a feature is computed from → stream of the ledger, where the names differ."""
_NOT_STREAMS = frozenset({"gaps", "coverage", "features", "clock", "instruments", "calendar", "time", ""})

_MARKET = frozenset({"mark_price", "funding_rate", "open_interest", "liquidations"})
"""Tables that a recording may be without: what is computed from them is null then, and needs no proof."""


def streams_of(inputs: Iterable[str], ledger: Iterable[str]) -> list[str]:
    """Streams of the ledger behind `Feature.inputs`, such as `trades, gaps`; sorted.

    The flow source is `aggtrades` where the ledger knows it, else `trades`.

    >>> streams_of(["trades, gaps", "book_depth"], ["aggtrades", "depth"])
    ['aggtrades', 'depth']
    """
    known = set(ledger)
    tables = {word.strip() for line in inputs for word in line.split(",")} - _NOT_STREAMS - (_MARKET - known)
    flow = next((name for name in _FLOWS if name in known), _FLOWS[0])
    return sorted({flow if table in _FLOWS else _STREAMS.get(table, table) for table in tables})


def bar_coverage(open_ns: Integers, length_ns: int, ledger: pl.DataFrame, streams: Sequence[str]) -> Integers:
    """`BarCoverage` of each bar [open, open + length), (n,) int64: the worst over the streams.

    `ledger` has the columns of the table `coverage`. A bar that touches a stretch classed gap or unprovable
    is that; one that complete stretches do not cover from end to end is unknown.
    """
    worst = np.zeros(len(open_ns), dtype=np.int64)
    for stream in streams:
        of_stream = ledger.filter(pl.col("stream") == stream)
        gaps = _stretches(of_stream, [CoverageStatus.GAP])
        unprovable = _stretches(of_stream, [CoverageStatus.UNPROVABLE])
        complete = _stretches(of_stream, [CoverageStatus.BY_IDS, CoverageStatus.BY_HEARTBEAT])
        state = np.where(_inside(open_ns, length_ns, complete), BarCoverage.COMPLETE, BarCoverage.UNKNOWN)
        state = np.where(_touches(open_ns, length_ns, unprovable), BarCoverage.UNPROVABLE, state)
        state = np.where(_touches(open_ns, length_ns, gaps), BarCoverage.GAP, state)
        worst = np.maximum(worst, state.astype(np.int64))
    return worst


def coverage_names(states: Integers) -> pl.Series:
    """The states as words, such as `complete`, for a column."""
    names = [state.name.lower() for state in BarCoverage]
    return pl.Series("coverage", names).gather(pl.Series(states, dtype=pl.UInt32))


def _stretches(rows: pl.DataFrame, statuses: Sequence[CoverageStatus]) -> tuple[Integers, Integers]:
    """Begins and ends of the union of the stretches with these statuses, sorted and apart."""
    chosen = rows.filter(pl.col("status").is_in([status.value for status in statuses])).sort("from_ns")
    begin, end = (chosen[name].cast(pl.Int64).to_numpy() for name in ("from_ns", "to_ns"))
    if len(begin) == 0:
        return begin, end
    reach = np.maximum.accumulate(end)
    is_first = np.concatenate([[True], begin[1:] > reach[:-1]])
    is_last = np.concatenate([is_first[1:], [True]])
    return begin[is_first], reach[is_last]


def _inside(open_ns: Integers, length_ns: int, stretches: tuple[Integers, Integers]) -> Flags:
    begin, end = stretches
    at = np.searchsorted(begin, open_ns, side="right") - 1
    found: Flags = at >= 0
    if len(begin):
        found = found & (end[np.maximum(at, 0)] >= open_ns + length_ns)
    return found


def _touches(open_ns: Integers, length_ns: int, stretches: tuple[Integers, Integers]) -> Flags:
    """Whether a stretch and the bar share an instant; one of no length at an instant inside counts."""
    begin, end = stretches
    at = np.searchsorted(begin, open_ns + length_ns, side="left") - 1
    found: Flags = at >= 0
    if len(begin):
        stop = end[np.maximum(at, 0)]
        found = found & ((stop > open_ns) | ((stop == begin[np.maximum(at, 0)]) & (stop >= open_ns)))
    return found
