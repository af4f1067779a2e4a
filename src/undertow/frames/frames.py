"""Frames: what every feature is computed from, one row a bar, in whole ticks and lots."""

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from undertow.market.instruments import Scale

__all__ = ["BOOK_LEVELS", "Floats", "Frames", "Integers"]

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]

BOOK_LEVELS = 20
"""Levels a side that a frame carries; a missing level has tick and lots 0."""


@dataclass(frozen=True, slots=True)
class Frames:
    """T consecutive bars of one symbol and timeframe.

    Arrays are int64 of shape (T,) unless said otherwise. Rows lie on the bar grid without holes:
    `open_ns[i + 1] == open_ns[i] + length_ns`. Integer accumulators are exact sums.
    """

    length_ns: int
    price: Scale
    """Price step: `price.to_floats(close)` is the close price."""
    quantity: Scale
    lateness_ns: int

    open_ns: Integers
    """Start of the bar; it covers [open_ns, open_ns + length_ns)."""

    open: Integers
    """First, highest, lowest and last trade price [ticks]; the previous close in an empty bar, 0 before the
    first trade ever."""
    high: Integers
    low: Integers
    close: Integers
    trade_count: Integers
    buy_lots: Integers
    """Taker buys [lots]."""
    sell_lots: Integers
    notional: Integers
    """Σ price·quantity [ticks·lots]."""
    large_count: Integers
    """Trades larger than 2 × the mean of the last 15 minutes (both settings)."""
    large_lots: Integers
    trailing_counts: Integers
    """(T, 3): trades in the last 1, 5 and 10 s before the bar's close."""
    last_trade_ns: Integers
    """Event time of the newest trade so far; 0 before the first."""
    late_count: Integers
    trade_gap_ns: Integers
    """Part of the bar inside a recorded gap of the trade stream."""
    gap_ns: Integers
    """Part of the bar inside a recorded gap of any stream."""

    sample_count: Integers
    """Book samples g with open < g ≤ close; 0 = the book was unknown, and all book columns are 0."""
    bid_ticks: Integers
    """(T, 20) levels of the last sample, best first."""
    bid_lots: Integers
    ask_ticks: Integers
    ask_lots: Integers
    imbalance_sums: Floats
    """(T, 3) float64: Σ over samples of (B−A)/(B+A) over the top 5, 10, 20 levels."""
    imbalance_counts: Integers
    """(T, 3): samples in which that ratio was defined."""
    spread_integral: Integers
    """∫ s dt over the bar's samples [ticks·µs]."""
    spread_square_integral: Integers
    """∫ s² dt [ticks²·µs]."""
    spread_time_us: Integers
    """Time in which the spread was known [µs]."""
    ofi_1: Integers
    """Order-flow imbalance at the best level, summed over every book update [lots]."""
    ofi_10: Integers
    """The same summed over levels 1 to 10."""
    update_count: Integers
    last_update_ns: Integers
    """Event time of the newest book update applied; 0 where the book was never known."""

    def __len__(self) -> int:
        """Number of bars."""
        return len(self.open_ns)

    def __getitem__(self, rows: slice) -> "Frames":
        """The bars in `rows`, as views."""
        cut: dict[str, Any] = {
            f.name: value[rows]
            for f in fields(self)
            if isinstance(value := getattr(self, f.name), np.ndarray)
        }
        return replace(self, **cut)
