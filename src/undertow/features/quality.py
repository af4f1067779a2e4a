"""How far a bar can be trusted (SPEC 5.8)."""

import numpy as np

from undertow.features.feature import BOOK, FLOW, NO_FLOW, NO_PRICE, POSITIVE, SHARE, TRADES, Feature
from undertow.features.memory import Floats, Integers, Memory
from undertow.features.nulls import flow_only, known
from undertow.frames.frames import Frames

__all__ = ["LINES", "age_ms_book", "age_ms_trade", "gap_fraction", "is_empty", "late_count"]


def is_empty(f: Frames, m: Memory) -> Floats:  # noqa: ARG001 - one signature for all features
    """1 where no trade fell into the bar, else 0; null in a gap of the trade stream, where nobody knows."""
    return flow_only(np.where(f.trade_count == 0, 1.0, 0.0), f)


def gap_fraction(f: Frames, m: Memory) -> Floats:  # noqa: ARG001
    """Share of the bar inside a recorded gap of any stream, in [0, 1]."""
    share: Floats = f.gap_ns / np.float64(f.length_ns)
    return share


def late_count(f: Frames, m: Memory) -> Floats:  # noqa: ARG001
    """Trades of the bar that came after it had been closed and are not in it."""
    return f.late_count.astype(np.float64)


def _age_ms(stamp_ns: Integers, f: Frames) -> Floats:
    return known((f.open_ns + f.length_ns - stamp_ns) / 1e6, stamp_ns > 0)


def age_ms_book(f: Frames, m: Memory) -> Floats:  # noqa: ARG001
    """Age of the newest book update at the bar's close [ms]; null before the first."""
    return _age_ms(f.last_update_ns, f)


def age_ms_trade(f: Frames, m: Memory) -> Floats:  # noqa: ARG001
    """Age of the newest trade at the bar's close [ms]; null before the first."""
    return _age_ms(f.last_trade_ns, f)


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
