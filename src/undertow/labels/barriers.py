"""The triple barrier: which of profit, stop and time a position would have met first.

López de Prado, Advances in Financial Machine Learning (2018), chapter 3, with both sides of the quote: a long
enters at the ask and leaves at the bid, a short the other way round.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from undertow.compiled import kernel
from undertow.labels.horizon_return import NO_ROW
from undertow.labels.thresholds import DOWN, FLAT, UNLABELLED, UP

__all__ = [
    "NO_OUTCOME",
    "PROFIT",
    "STOP",
    "TIME",
    "BarrierLabels",
    "SideLabels",
    "entry_rows",
    "triple_barrier",
]

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]

STOP, TIME, PROFIT = -1, 0, 1
NO_OUTCOME = -2


@dataclass(frozen=True, slots=True)
class SideLabels:
    """What became of n positions of one side; unknown ones have NO_OUTCOME, NaN and row −1."""

    outcome: Integers
    """(n,) PROFIT, STOP or TIME: the barrier met first, at a bar's close."""
    return_bps: Floats
    """(n,) 10⁴·ln(price gained / price paid) at that close, the spread paid, fees not."""
    end_row: Integers
    """(n,) the bar at whose close the barrier was met."""


@dataclass(frozen=True, slots=True)
class BarrierLabels:
    """n labels, one a bar; unknown ones have class UNLABELLED, rows −1 and end_ns = start_ns."""

    classes: Integers
    """(n,) UP: a long would have met its profit before its stop, its time and a short's profit; DOWN: a
    short, likewise; FLAT: neither."""
    start_ns: Integers
    """(n,) decision time t0: when the bar was known."""
    end_ns: Integers
    """(n,) t1: when the close was known at which the class was decided: of UP and DOWN the touch, of FLAT the
    later end of the two positions."""
    begin_row: Integers
    """(n,) the bar at whose close the positions are entered: the first one after t0."""
    end_row: Integers
    """(n,) the bar at whose close the class was decided."""
    long: SideLabels
    short: SideLabels


def entry_rows(open_ns: Integers, known_ns: Integers, stretch: Integers, length_ns: int) -> Integers:
    """Row of the first bar that closes after each row was known, (n,); −1 past the end or a gap.

    Within a stretch rows are consecutive bars, so that a number of bars is a number of rows.
    """
    close_ns = open_ns + length_ns
    wait_bars = np.maximum(known_ns - close_ns, 0) // length_ns + 1
    return _within_stretch(np.arange(len(open_ns)) + wait_bars, stretch)


def triple_barrier(
    open_ns: Integers,
    known_ns: Integers,
    bid: Floats,
    ask: Floats,
    stretch: Integers,
    length_ns: int,
    horizon_ns: int,
    profit_bps: Floats,
    stop_bps: Floats,
) -> BarrierLabels:
    """Label every bar by the first barrier that a long and a short would meet.

    Arrays are (n,), sorted by `open_ns`; quotes at bar close, NaN where unknown. Barriers are distances [bps]
    of each row's return after the spread, > 0, known at its decision time; NaN = no label, an infinite stop =
    none. The time barrier lies `horizon_ns` after the entry. The path is the closing quotes of the bars after
    the entry's up to it: what happens between closes is not seen.

    A row has a label only where its whole path to the time barrier lies in one gap-free stretch with known
    quotes, even if a touch came earlier: else near gaps only the quick touches would be left. Raises
    ValueError unless the horizon is a positive multiple of the bar length.
    """
    if horizon_ns <= 0 or horizon_ns % length_ns:
        raise ValueError(
            f"horizon {horizon_ns} ns must be a positive multiple of the bar length {length_ns} ns"
        )
    entry = entry_rows(open_ns, known_ns, stretch, length_ns)
    last = _within_stretch(np.where(entry >= 0, entry + horizon_ns // length_ns, len(open_ns)), stretch)
    usable = (last >= 0) & (profit_bps > 0) & (stop_bps > 0) & np.isfinite(profit_bps)
    usable &= _quoted_throughout(bid, ask, entry, last)
    begin = np.where(usable, entry, NO_ROW)
    long = _side(bid, ask, begin, last, profit_bps, stop_bps, is_long=True)
    short = _side(bid, ask, begin, last, profit_bps, stop_bps, is_long=False)
    classes, end_row = _classes(long, short)
    end_ns = np.where(usable, np.maximum(known_ns, known_ns[end_row]), known_ns)
    return BarrierLabels(classes, known_ns, end_ns, begin, end_row, long, short)


def _within_stretch(rows: Integers, stretch: Integers) -> Integers:
    """`rows`, or −1 where one lies past the end or outside its row's stretch."""
    if len(stretch) == 0:
        return np.empty(0, dtype=np.int64)
    inside = rows < len(stretch)
    found = inside & (stretch[np.where(inside, rows, 0)] == stretch)
    return np.where(found, rows, NO_ROW).astype(np.int64)


def _quoted_throughout(bid: Floats, ask: Floats, first: Integers, last: Integers) -> NDArray[np.bool_]:
    """Whether both quotes are known at every close from `first` to `last`; false where these are −1."""
    unknown = ~((bid > 0) & (ask > 0) & np.isfinite(bid) & np.isfinite(ask))
    before = np.concatenate([[0], np.cumsum(unknown)])
    known: NDArray[np.bool_] = (last >= 0) & (before[last + 1] == before[np.maximum(first, 0)])
    return known


def _side(
    bid: Floats,
    ask: Floats,
    begin: Integers,
    last: Integers,
    profit_bps: Floats,
    stop_bps: Floats,
    *,
    is_long: bool,
) -> SideLabels:
    outcome = np.full(len(begin), NO_OUTCOME, dtype=np.int64)
    return_bps = np.full(len(begin), np.nan)
    end_row = np.full(len(begin), NO_ROW, dtype=np.int64)
    # A short gains where the reciprocal of the price does: paid 1/bid, gained 1/ask.
    with np.errstate(divide="ignore", invalid="ignore"):
        paid, gained = (ask, bid) if is_long else (1.0 / bid, 1.0 / ask)
    profit, stop = np.exp(profit_bps / 1e4), np.exp(-stop_bps / 1e4)
    _first_touch(paid, gained, begin, last, profit, stop, outcome, return_bps, end_row)
    return SideLabels(outcome, return_bps, end_row)


@kernel
def _first_touch(
    paid: Floats,
    gained: Floats,
    begin: Integers,
    last: Integers,
    profit: Floats,
    stop: Floats,
    outcome: Integers,
    return_bps: Floats,
    end_row: Integers,
) -> None:
    """The first close at which gained / paid leaves (stop, profit), both factors; else the last close."""
    for i in range(len(begin)):
        if begin[i] < 0:
            continue
        price = paid[begin[i]]
        above, below = price * profit[i], price * stop[i]
        outcome[i], end_row[i] = 0, last[i]
        for j in range(begin[i] + 1, last[i] + 1):
            if gained[j] >= above or gained[j] <= below:
                outcome[i], end_row[i] = (1 if gained[j] >= above else -1), j
                break
        return_bps[i] = 1e4 * np.log(gained[end_row[i]] / price)


def _classes(long: SideLabels, short: SideLabels) -> tuple[Integers, Integers]:
    """Class of each row, and the row at whose close it was decided."""
    rises, falls = long.outcome == PROFIT, short.outcome == PROFIT
    up = rises & ~(falls & (short.end_row <= long.end_row))
    down = falls & ~(rises & (long.end_row <= short.end_row))
    classes = np.where(up, UP, np.where(down, DOWN, FLAT))
    later = np.maximum(long.end_row, short.end_row)
    end_row = np.where(up, long.end_row, np.where(down, short.end_row, later))
    return np.where(long.outcome == NO_OUTCOME, UNLABELLED, classes).astype(np.int64), end_row
