"""Events of one symbol as columns: what batch code passes around instead of an object per event."""

from dataclasses import dataclass, fields, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

__all__ = ["ORDER_TYPES", "TRADE_SOURCES", "BookColumns", "TradeColumns"]

Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]
Codes = NDArray[np.uint8]

ORDER_TYPES = ("MARKET", "INSURANCE_FUND", "ADL", "NA", "OTHER")
"""Code of a print's order type = its place here; only code 0 takes part in flow features."""

TRADE_SOURCES = ("stream", "rest", "archive")
"""Code of where a trade was had from = its place here; only what the stream brought is folded live."""


class _Columns:
    """What any set of equally long columns can do."""

    __slots__ = ()

    def take(self, rows: Any) -> Self:
        """The rows selected by a slice, mask or index array."""
        cut = {f.name: getattr(self, f.name)[rows] for f in fields(self)}  # type: ignore[arg-type]
        return replace(self, **cut)  # type: ignore[type-var]


@dataclass(frozen=True, slots=True)
class TradeColumns(_Columns):
    """n trades. int64 unless said otherwise."""

    event_ns: Integers
    receive_ns: Integers
    trade_id: Integers
    first_trade_id: Integers
    last_trade_id: Integers
    price_ticks: Integers
    quantity_lots: Integers
    is_buyer_maker: Flags
    """(n,) bool; true = the taker sold."""
    order_type: Codes
    """(n,) uint8 index into ORDER_TYPES."""
    is_late: Flags
    """(n,) bool; true = arrived after its bar had been closed; left out of the fold."""
    source: Codes
    """(n,) uint8 index into TRADE_SOURCES; `receive_ns` is when that source delivered it."""
    normal_lots: Integers
    """Quantity without what filled orders of retail price improvement; -1 where it was not told."""

    def __len__(self) -> int:
        """Number of trades."""
        return len(self.event_ns)


@dataclass(frozen=True, slots=True)
class BookColumns(_Columns):
    """n book samples on a time grid, with what happened since the one before. int64 unless said otherwise."""

    grid_ns: Integers
    """The state is that after every update with event time < grid_ns."""
    last_update_id: Integers
    last_update_ns: Integers
    """Event time of the newest update applied."""
    receive_ns: Integers
    """Local receive time of that update."""
    trusted_bid_ticks: Integers
    """Lowest bid of the newest snapshot or audit: what lies below is known only as far as it has changed."""
    trusted_ask_ticks: Integers
    """Highest ask of it."""
    bid_ticks: Integers
    """(n, levels), best first; levels that do not exist have lots 0 and ticks 0."""
    bid_lots: Integers
    ask_ticks: Integers
    ask_lots: Integers
    spread_integral: Integers
    """∫ s dt since the sample before [ticks·µs]."""
    spread_square_integral: Integers
    """∫ s² dt [ticks²·µs]."""
    spread_time_us: Integers
    """Time covered by the integrals [µs]."""
    ofi_1: Integers
    """Order-flow imbalance (Cont, Kukanov, Stoikov 2014) at the best level [lots]."""
    ofi_10: Integers
    """The same summed over levels 1 to 10 [lots]."""
    update_count: Integers
    late_update_count: Integers
    """Updates whose event time lay before a sample already taken; they count at the earliest open instant."""
    added_bids: Integers
    """Σ of what updates since the sample before added to quantities at or above the tenth best bid [lots].

    The tenth best before each update; where there are fewer, every bid counts. The venue nets the changes of
    one price within one update. -1 in samples of older files, which do not tell, as in the three below.
    """
    removed_bids: Integers
    """The same of what was taken away, by trades and by cancelling."""
    added_asks: Integers
    removed_asks: Integers
    ofi_level_2: Integers
    """Order-flow imbalance at the second level alone [lots], and so on; 0 where an older file has none."""
    ofi_level_3: Integers
    ofi_level_4: Integers
    ofi_level_5: Integers
    ofi_level_6: Integers
    ofi_level_7: Integers
    ofi_level_8: Integers
    ofi_level_9: Integers
    ofi_level_10: Integers

    def __len__(self) -> int:
        """Number of samples."""
        return len(self.grid_ns)
