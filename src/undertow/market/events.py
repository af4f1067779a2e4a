"""Market events. Prices are whole ticks, quantities whole lots; times are int64 ns since the epoch.

`event_ns` is the exchange's transaction time and places the event; `receive_ns` is the local clock
when the frame arrived and never does. A side, where there is one, is the taker's.
"""

import msgspec

__all__ = [
    "BestQuote",
    "BookDelta",
    "BookSnapshot",
    "ClockOffset",
    "FundingRate",
    "Gap",
    "Kline",
    "Level",
    "Liquidation",
    "ListingChange",
    "MarkPrice",
    "MarketEvent",
    "OpenInterest",
    "Trade",
]

Level = tuple[int, int]
"""(price in ticks, quantity in lots); in a delta quantity 0 removes the level."""


class Trade(msgspec.Struct, frozen=True, tag="trade"):
    """One print, or an aggregate of prints of one taker order at one price.

    `is_buyer_maker` true: the taker sold. `order_type` is `MARKET` for ordinary prints; others
    (`INSURANCE_FUND`, `ADL`, `NA`) are no market orders and stay out of flow features.
    `first_trade_id` = `last_trade_id` = `trade_id` for a single print.
    """

    symbol: str
    event_ns: int
    receive_ns: int
    trade_id: int
    first_trade_id: int
    last_trade_id: int
    price_ticks: int
    quantity_lots: int
    is_buyer_maker: bool
    order_type: str = "MARKET"


class BookDelta(msgspec.Struct, frozen=True, tag="book_delta"):
    """Absolute quantities of the levels that changed. `previous_update_id` is -1 where the venue has none."""

    symbol: str
    event_ns: int
    receive_ns: int
    first_update_id: int
    last_update_id: int
    previous_update_id: int
    bids: tuple[Level, ...]
    asks: tuple[Level, ...]


class BookSnapshot(msgspec.Struct, frozen=True, tag="book_snapshot"):
    """The book down to some depth, best level first. `event_ns` is 0 where the venue gives no time."""

    symbol: str
    event_ns: int
    receive_ns: int
    last_update_id: int
    bids: tuple[Level, ...]
    asks: tuple[Level, ...]


class BestQuote(msgspec.Struct, frozen=True, tag="best_quote"):
    """Best bid and ask. `event_ns` is 0 where the venue gives no time."""

    symbol: str
    event_ns: int
    receive_ns: int
    update_id: int
    bid_ticks: int
    bid_lots: int
    ask_ticks: int
    ask_lots: int


class MarkPrice(msgspec.Struct, frozen=True, tag="mark_price"):
    """Mark and index price [quote], with the estimated funding rate [share per interval] or None."""

    symbol: str
    event_ns: int
    receive_ns: int
    mark_price: float
    index_price: float
    funding_rate: float | None
    next_funding_ns: int
    estimated_settle_price: float | None = None
    average_mark_price: float | None = None


class FundingRate(msgspec.Struct, frozen=True, tag="funding_rate"):
    """A settled funding rate [share of notional]."""

    symbol: str
    event_ns: int
    receive_ns: int
    funding_rate: float
    mark_price: float | None


class OpenInterest(msgspec.Struct, frozen=True, tag="open_interest"):
    """Open interest [base units]."""

    symbol: str
    event_ns: int
    receive_ns: int
    open_interest: float


class Liquidation(msgspec.Struct, frozen=True, tag="liquidation"):
    """A forced order; `is_sell` true = a long was liquidated. The venue may push only a sample of them."""

    symbol: str
    event_ns: int
    receive_ns: int
    is_sell: bool
    quantity: float
    price: float
    average_price: float
    filled_quantity: float
    order_type: str = ""
    time_in_force: str = ""
    status: str = ""
    published_ns: int = 0
    """When the exchange sent it; 0 where it does not say."""


class Kline(msgspec.Struct, frozen=True, tag="kline"):
    """The exchange's own candle; `close_ns` is exclusive."""

    symbol: str
    open_ns: int
    close_ns: int
    receive_ns: int
    interval: str
    open: float
    high: float
    low: float
    close: float
    volume: float
    trade_count: int
    taker_buy_volume: float
    is_closed: bool
    quote_volume: float = 0.0
    taker_buy_quote_volume: float = 0.0
    first_trade_id: int = -1
    last_trade_id: int = -1


class ClockOffset(msgspec.Struct, frozen=True, tag="clock_offset"):
    """How far the exchange's clock is ahead of ours [µs], as measured at `event_ns` of its own."""

    symbol: str
    event_ns: int
    receive_ns: int
    offset_us: int
    error_us: int
    rtt_us: int


class ListingChange(msgspec.Struct, frozen=True, tag="listing_change"):
    """What the exchange states of an instrument has changed: its `tick`, `lot`, `status` and so on."""

    symbol: str
    event_ns: int
    receive_ns: int
    change: str
    before: str
    after: str


class Gap(msgspec.Struct, frozen=True, tag="gap"):
    """A stretch [from_ns, to_ns) of one stream in which events are missing or the book is unknown.

    `counted_from_ns`, `counted_to_ns` are the part that bars count: a gap noticed only after a bar had
    been closed cannot be told to it any more. Ids are -1 where the stream has none.
    """

    symbol: str
    stream: str
    from_ns: int
    to_ns: int
    first_id: int
    last_id: int
    cause: str
    counted_from_ns: int
    counted_to_ns: int


MarketEvent = (
    Trade
    | BookDelta
    | BookSnapshot
    | BestQuote
    | MarkPrice
    | FundingRate
    | OpenInterest
    | Liquidation
    | Kline
    | ClockOffset
    | ListingChange
    | Gap
)
