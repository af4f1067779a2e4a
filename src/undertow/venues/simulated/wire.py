"""Payloads of the USD-M streams of 2026, byte for byte in the exchange's field order (PROTOCOL A3).

Prices and quantities come as text in the exchange's decimals; times are ms since the epoch.
"""

from typing import NamedTuple

from undertow.venues.simulated.listings import Listing

__all__ = [
    "Aggregate",
    "Candle",
    "Mark",
    "aggregate_trade",
    "book_ticker",
    "combined",
    "depth_update",
    "force_order",
    "kline",
    "mark_price",
    "trade",
]


class Aggregate(NamedTuple):
    """The fills of one incoming order at one price."""

    identity: int
    time_ms: int
    ticks: int
    lots: int
    first_id: int
    last_id: int
    buyer_is_maker: int
    cause: int


class Candle(NamedTuple):
    """A minute. Amounts in lots, and in ticks × lots."""

    open_ms: int
    open_ticks: int
    high_ticks: int
    low_ticks: int
    close_ticks: int
    lots: int
    amount: int
    taker_lots: int
    taker_amount: int
    first_id: int
    last_id: int


class Mark(NamedTuple):
    """Mark price and funding, as text."""

    time_ms: int
    price: str
    index_price: str
    rate: str
    next_funding_ms: int


_BOOL = ("false", "true")


def combined(stream: str, payload: bytes) -> bytes:
    """A payload in the wrapper of combined streams.

    >>> combined("btcusdt@trade", b"{}")
    b'{"stream":"btcusdt@trade","data":{}}'
    """
    return b'{"stream":"%s","data":%s}' % (stream.encode(), payload)


def depth_update(
    symbol: str, event_ms: int, time_ms: int, ids: tuple[int, int, int], bids: bytes, asks: bytes
) -> bytes:
    """A change of the book, or its best levels. `ids` are U, u and pu; bids and asks JSON arrays."""
    return (
        b'{"e":"depthUpdate","E":%d,"T":%d,"s":"%s","ps":"%s","U":%d,"u":%d,"pu":%d,"b":%s,"a":%s,"st":1}'
        % (event_ms, time_ms, symbol.encode(), symbol.encode(), *ids, bids, asks)
    )


def aggregate_trade(listing: Listing, item: Aggregate) -> bytes:
    """An `aggTrade` event. No order here is a retail-price-improvement order, so `nq` equals `q`."""
    quantity = listing.quantity(item.lots)
    return (
        f'{{"e":"aggTrade","E":{item.time_ms},"a":{item.identity},"s":"{listing.symbol}",'
        f'"p":"{listing.price(item.ticks)}","q":"{quantity}","nq":"{quantity}","f":{item.first_id},'
        f'"l":{item.last_id},"T":{item.time_ms},"m":{_BOOL[item.buyer_is_maker]},"st":1}}'
    ).encode()


def trade(listing: Listing, identity: int, time_ms: int, ticks: int, lots: int, buyer_is_maker: int) -> bytes:
    """A `trade` event, one fill."""
    return (
        f'{{"e":"trade","E":{time_ms},"T":{time_ms},"s":"{listing.symbol}","t":{identity},'
        f'"p":"{listing.price(ticks)}","q":"{listing.quantity(lots)}","X":"MARKET",'
        f'"m":{_BOOL[buyer_is_maker]},"st":1}}'
    ).encode()


def book_ticker(
    listing: Listing, time_ms: int, update_id: int, bid: tuple[int, int], ask: tuple[int, int]
) -> bytes:
    """A `bookTicker` event; bid and ask are (ticks, lots)."""
    return (
        f'{{"e":"bookTicker","u":{update_id},"s":"{listing.symbol}","ps":"{listing.symbol}",'
        f'"b":"{listing.price(bid[0])}","B":"{listing.quantity(bid[1])}",'
        f'"a":"{listing.price(ask[0])}","A":"{listing.quantity(ask[1])}",'
        f'"T":{time_ms},"E":{time_ms},"st":1}}'
    ).encode()


def mark_price(symbol: str, mark: Mark) -> bytes:
    """A `markPriceUpdate` event."""
    return (
        f'{{"e":"markPriceUpdate","E":{mark.time_ms},"s":"{symbol}","p":"{mark.price}","ap":"{mark.price}",'
        f'"P":"{mark.index_price}","i":"{mark.index_price}","r":"{mark.rate}","T":{mark.next_funding_ms},"st":1}}'
    ).encode()


def kline(listing: Listing, event_ms: int, candle: Candle) -> bytes:
    """A `kline` event of one minute; it is closed when the minute is over."""
    symbol = listing.symbol
    return (
        f'{{"e":"kline","E":{event_ms},"s":"{symbol}","k":{{"t":{candle.open_ms},'
        f'"T":{candle.open_ms + 59_999},"s":"{symbol}","i":"1m","f":{candle.first_id},"L":{candle.last_id},'
        f'"o":"{listing.price(candle.open_ticks)}","c":"{listing.price(candle.close_ticks)}",'
        f'"h":"{listing.price(candle.high_ticks)}","l":"{listing.price(candle.low_ticks)}",'
        f'"v":"{listing.quantity(candle.lots)}","n":{candle.last_id - candle.first_id + 1},'
        f'"x":{_BOOL[event_ms >= candle.open_ms + 60_000]},"q":"{listing.amount(candle.amount)}",'
        f'"V":"{listing.quantity(candle.taker_lots)}","Q":"{listing.amount(candle.taker_amount)}",'
        f'"B":"0"}},"st":1}}'
    ).encode()


def force_order(listing: Listing, event_ms: int, item: Aggregate) -> bytes:
    """A `forceOrder` event: the liquidation behind an aggregate of fills."""
    price, quantity = listing.price(item.ticks), listing.quantity(item.lots)
    side = "SELL" if item.buyer_is_maker else "BUY"
    return (
        f'{{"e":"forceOrder","E":{event_ms},"o":{{"s":"{listing.symbol}","S":"{side}","o":"LIMIT","f":"IOC",'
        f'"q":"{quantity}","p":"{price}","ap":"{price}","X":"FILLED","l":"{quantity}","z":"{quantity}",'
        f'"T":{item.time_ms},"ps":"{listing.symbol}","st":1}}}}'
    ).encode()
