"""Payloads of the spot streams, in the exchange's field order (PROTOCOL A2). Times are ms since the epoch."""

from undertow.venues.simulated.listings import Listing
from undertow.venues.simulated.wire import Aggregate, Candle

__all__ = ["aggregate_trade", "book_ticker", "depth_update", "kline", "partial_book", "trade"]

_BOOL = ("false", "true")


def depth_update(symbol: str, event_ms: int, ids: tuple[int, int], bids: bytes, asks: bytes) -> bytes:
    """A change of the book. `ids` are U and u; bids and asks JSON arrays."""
    return b'{"e":"depthUpdate","E":%d,"s":"%s","U":%d,"u":%d,"b":%s,"a":%s}' % (
        event_ms,
        symbol.encode(),
        *ids,
        bids,
        asks,
    )


def partial_book(update_id: int, bids: bytes, asks: bytes) -> bytes:
    """The best levels, and a snapshot over REST: neither names its symbol or a time."""
    return b'{"lastUpdateId":%d,"bids":%s,"asks":%s}' % (update_id, bids, asks)


def aggregate_trade(listing: Listing, item: Aggregate) -> bytes:
    """An `aggTrade` event."""
    return (
        f'{{"e":"aggTrade","E":{item.time_ms},"s":"{listing.symbol}","a":{item.identity},'
        f'"p":"{listing.price(item.ticks)}","q":"{listing.quantity(item.lots)}","f":{item.first_id},'
        f'"l":{item.last_id},"T":{item.time_ms},"m":{_BOOL[item.buyer_is_maker]},"M":true}}'
    ).encode()


def trade(listing: Listing, identity: int, time_ms: int, ticks: int, lots: int, buyer_is_maker: int) -> bytes:
    """A `trade` event, one fill."""
    return (
        f'{{"e":"trade","E":{time_ms},"s":"{listing.symbol}","t":{identity},"p":"{listing.price(ticks)}",'
        f'"q":"{listing.quantity(lots)}","T":{time_ms},"m":{_BOOL[buyer_is_maker]},"M":true}}'
    ).encode()


def book_ticker(listing: Listing, update_id: int, bid: tuple[int, int], ask: tuple[int, int]) -> bytes:
    """Best prices; bid and ask are (ticks, lots). It has neither a type nor a time."""
    return (
        f'{{"u":{update_id},"s":"{listing.symbol}","b":"{listing.price(bid[0])}",'
        f'"B":"{listing.quantity(bid[1])}","a":"{listing.price(ask[0])}","A":"{listing.quantity(ask[1])}"}}'
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
        f'"B":"0"}}}}'
    ).encode()
