"""How far a bar can be trusted (SPEC 5.8)."""

import numpy as np

from undertow.compiled import borrowed, kernel
from undertow.features.feature import BOOK, FLOW, NO_FLOW, NO_PRICE, POSITIVE, SHARE, TRADES, Feature
from undertow.features.memory import Floats, Integers, Memory
from undertow.frames.frames import Frames

__all__ = ["LINES", "age_ms_book", "age_ms_trade", "gap_fraction", "is_empty", "late_count"]


_EMPTY, _GAP, _LATE, _BOOK_AGE, _TRADE_AGE, _ROWS = range(6)


@kernel
def _age_ms(close_ns: int, stamp_ns: int) -> float:
    """Null before the first."""
    return (close_ns - stamp_ns) / 1e6 if stamp_ns > 0 else np.nan


@kernel
def _fold(
    columns: tuple[Integers, Integers, Integers, Integers, Integers, Integers, Integers],
    length_ns: int,
    out: Floats,
) -> None:
    """All rows for each bar.

    `columns`: open time, trades, late ones, gap of trades and of any stream, newest update and trade.
    """
    open_ns, counts, late, trade_gap_ns, gap_ns, update_ns, trade_ns = borrowed(columns)
    out = borrowed((out,))[0]
    for i in range(len(open_ns)):
        empty = 1.0 if counts[i] == 0 else 0.0
        out[_EMPTY, i] = empty if trade_gap_ns[i] < length_ns else np.nan
        out[_GAP, i] = gap_ns[i] / length_ns
        out[_LATE, i] = late[i]
        out[_BOOK_AGE, i] = _age_ms(open_ns[i] + length_ns, update_ns[i])
        out[_TRADE_AGE, i] = _age_ms(open_ns[i] + length_ns, trade_ns[i])


def _rows(f: Frames, m: Memory) -> Floats:  # noqa: ARG001 - one signature for all
    """(rows, T)."""
    gaps = (f.trade_gap_ns, f.gap_ns)
    columns = (f.open_ns, f.trade_count, f.late_count, *gaps, f.last_update_ns, f.last_trade_ns)
    out = np.empty((_ROWS, len(f.open_ns)))
    _fold(columns, f.length_ns, out)
    return out


def is_empty(f: Frames, m: Memory) -> Floats:
    """1 where no trade fell into the bar, else 0; null in a gap of the trade stream, where nobody knows."""
    return m.shared(f, _rows, _EMPTY)


def gap_fraction(f: Frames, m: Memory) -> Floats:
    """Share of the bar inside a recorded gap of any stream, in [0, 1]."""
    return m.shared(f, _rows, _GAP)


def late_count(f: Frames, m: Memory) -> Floats:
    """Trades of the bar that came after it had been closed and are not in it."""
    return m.shared(f, _rows, _LATE)


def age_ms_book(f: Frames, m: Memory) -> Floats:
    """Age of the newest book update at the bar's close [ms]; null before the first."""
    return m.shared(f, _rows, _BOOK_AGE)


def age_ms_trade(f: Frames, m: Memory) -> Floats:
    """Age of the newest trade at the bar's close [ms]; null before the first."""
    return m.shared(f, _rows, _TRADE_AGE)


LINES = (
    Feature("is_empty", is_empty, "flag", SHARE, NO_FLOW, FLOW, "SPEC 5.8", dtype="int", mirror="even"),
    Feature("gap_fraction", gap_fraction, "share", SHARE, "never", "gaps", "SPEC 5.8", mirror="even"),
    Feature(
        "late_count", late_count, "trades", POSITIVE, "never", TRADES, "SPEC 5.8", dtype="int", mirror="even"
    ),
    Feature(
        "age_ms_book",
        age_ms_book,
        "ms",
        POSITIVE,
        "before the first book update",
        BOOK,
        "SPEC 5.8",
        mirror="even",
    ),
    Feature("age_ms_trade", age_ms_trade, "ms", POSITIVE, NO_PRICE, TRADES, "SPEC 5.8", mirror="even"),
)
"""In the order of the columns of a feature table."""
