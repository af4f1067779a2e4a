"""What the market tables say of bars: mark price, funding, open interest and liquidations."""

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

__all__ = ["MARKET_COUNTS", "MarketFrames", "unknown_market"]

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class MarketFrames:
    """The newest reading of each market table that T bars may use; (T,), float64 with NaN = unknown.

    A bar [t, t+Δ) may use what was known by t+Δ, see `known_ns` in `lake.market_schemas`. The newest is the
    one of the latest time of the exchange: an older one that comes behind it is passed over.
    """

    mark_price: Floats
    """[quote]"""
    index_price: Floats
    """Price of the underlying on spot markets, as the exchange weighs them [quote]."""
    funding_rate: Floats
    """The exchange's estimate of what will be settled next [share of notional]."""
    next_funding_ms: Floats
    """When that will be [Unix ms]."""
    mark_ns: Integers
    """int64, the exchange's time of these four [ns]; 0 before the first."""
    settled_rate: Floats
    """Funding rate that was settled last [share of notional]."""
    settled_ns: Integers
    """int64, when that was [ns]; 0 before the first."""
    open_interest: Floats
    """[base units]"""
    interest_before: Floats
    """The reading before it."""
    interest_ns: Integers
    """int64, the exchange's time of `open_interest` [ns]; 0 before the first."""
    liquidated_sell_lots: Integers
    """int64, Σ quantity of forced sales, of longs, that became known in the bar, t < known ≤ t+Δ [lots]."""
    liquidated_buy_lots: Integers
    """int64, the same of forced purchases, of shorts."""
    last_liquidation_ns: Integers
    """int64, when the newest forced order became known [ns]; 0 before the first."""

    def __len__(self) -> int:
        """Number of bars."""
        return len(self.mark_ns)

    def __getitem__(self, rows: slice) -> "MarketFrames":
        """The bars in `rows`, as views."""
        return MarketFrames(*(getattr(self, f.name)[rows] for f in fields(self)))


MARKET_COUNTS = frozenset(
    {
        *("mark_ns", "settled_ns", "interest_ns"),
        *("liquidated_sell_lots", "liquidated_buy_lots", "last_liquidation_ns"),
    }
)
"""Those that are whole numbers."""


def unknown_market(count: int) -> MarketFrames:
    """Bars of which no market table says anything."""
    return MarketFrames(
        **{
            f.name: np.zeros(count, np.int64) if f.name in MARKET_COUNTS else np.full(count, np.nan)  # type: ignore[arg-type]
            for f in fields(MarketFrames)
        }
    )
