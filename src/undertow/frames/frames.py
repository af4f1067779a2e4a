"""Frames: what every feature is computed from, one row a bar, in whole ticks and lots."""

from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from undertow.frames.market_frames import MarketFrames
from undertow.market.instruments import Scale

__all__ = ["BOOK_LEVELS", "FLOW_COLUMNS", "OFI_LEVELS", "Floats", "FlowFrames", "Frames", "Integers"]

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]

BOOK_LEVELS = 20
"""Levels a side that a frame carries; a missing level has tick and lots 0."""

OFI_LEVELS = 10
"""Levels of which the order-flow imbalance is kept."""


@dataclass(frozen=True, slots=True)
class FlowFrames:
    """What single trades say of T bars beyond the sums of `Frames`; int64 (T,) unless said otherwise.

    A trade's sign d is +1 for a taker buy, -1 for a sell. Pairs and changes are those from one trade to the
    next; the first after a second that is touched by a gap of the trade stream has none before it. The middle
    m of a trade is that of the newest book sample g ≤ trade time, at most 1 s old.
    """

    buy_count: Integers
    """Taker buys."""
    active_ms: Integers
    """Milliseconds with a trade."""
    sign_pairs: Integers
    """Trades whose predecessor is known."""
    sign_continuations: Integers
    """Those of the same sign as their predecessor."""
    up_moves: Integers
    """Those at a higher price than it."""
    down_moves: Integers
    absolute_change: Integers
    """Σ |p − p₋₁| [ticks]."""
    square_change: Integers
    """Σ (p − p₋₁)² [ticks²]."""
    change_pairs: Integers
    """Changes whose predecessor is known."""
    change_products: Integers
    """Σ (p − p₋₁)(p₋₁ − p₋₂) [ticks²]."""
    signed_notional: Integers
    """Σ d·p·quantity [ticks·lots]."""
    effective: Integers
    """Σ d·(2p − 2m)·quantity over the trades whose middle is known [half ticks·lots]."""
    effective_value: Integers
    """Σ 2m·quantity over the same [half ticks·lots]."""
    realised: Integers
    """Σ d·(2p − 2m')·quantity, m' the middle 5 s after the sample of the trade; in the bar that m' lies in.

    m' is that of the first sample at or after then, and no more than 1 s later; else the trade is left out.
    """
    impact: Integers
    """Σ d·(2m' − 2m)·quantity over the same trades."""
    realised_value: Integers
    """Σ 2m·quantity over the same trades."""
    vpin_imbalance: Integers
    """Σ |buys − sells| over the newest 50 complete volume buckets as of the close [lots]."""
    vpin_volume: Integers
    """Volume of those buckets [lots]; 0 while there are fewer."""
    since_gap_ns: Integers
    """From the end of the newest second wholly inside a gap of the trade stream to the close; 2⁶² if none."""
    buy_levels: Floats
    """(T, 3) float64: taker buys so far, each halved every 1, 10, 60 s, as of the close; ages in whole ms."""
    sell_levels: Floats

    def __getitem__(self, rows: slice) -> "FlowFrames":
        """The bars in `rows`, as views."""
        return FlowFrames(*(getattr(self, f.name)[rows] for f in fields(self)))


FLOW_COLUMNS = tuple(f.name for f in fields(FlowFrames))[:19]
"""Those of shape (T,)."""


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
    ofi_levels: Integers = field(repr=False)
    """(T, 10): the same at each level alone."""
    bid_added: Integers
    """Σ of what book updates added to quantities among the ten best bids [lots]; see `BookColumns`."""
    bid_removed: Integers
    ask_added: Integers
    ask_removed: Integers
    detailed_count: Integers
    """Samples that tell these last five; fewer than `sample_count` where an older version recorded."""
    update_count: Integers
    last_update_ns: Integers
    """Event time of the newest book update applied; 0 where the book was never known."""
    flow: FlowFrames = field(repr=False)
    market: MarketFrames = field(repr=False)
    """Unknown until a `MarketFold` has attached it."""

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
        return replace(self, flow=self.flow[rows], market=self.market[rows], **cut)
