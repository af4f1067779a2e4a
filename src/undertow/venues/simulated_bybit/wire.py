"""Frames and answers as Bybit v5 writes them (source: its documents; see `venues.bybit.messages`)."""

import uuid
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from undertow.venues.simulated.listings import Listing
from undertow.venues.simulated.market import Market
from undertow.venues.simulated.wire import Aggregate, Candle

__all__ = [
    "answer",
    "book_frame",
    "instrument",
    "kline_frame",
    "level_rows",
    "liquidation_frame",
    "ticker_fields",
    "ticker_frame",
    "trade_id",
    "trade_row",
    "trades_frame",
]

_NAMESPACE = uuid.UUID("6ba7b811-9dad-11d1-80b4-00c04fd430c8")


def level_rows(listing: Listing, levels: Mapping[int, int], *, is_bid: bool) -> list[list[str]]:
    """Levels as text, best first; a quantity of 0 removes one."""
    order = sorted(levels, reverse=is_bid)
    return [[listing.price(tick), listing.quantity(levels[tick]) if levels[tick] else "0"] for tick in order]


def book_frame(
    topic: str,
    kind: str,
    listing: Listing,
    levels: tuple[Mapping[int, int], Mapping[int, int]],
    ids: tuple[int, int],
    times: tuple[int, int],
) -> bytes:
    """A snapshot or delta of a depth topic; `ids` are (u, seq), `times` (published, matched) in ms."""
    data = {
        "s": listing.symbol,
        "b": level_rows(listing, levels[0], is_bid=True),
        "a": level_rows(listing, levels[1], is_bid=False),
        "u": ids[0],
        "seq": ids[1],
    }
    return msgspec.json.encode({"topic": topic, "type": kind, "ts": times[0], "data": data, "cts": times[1]})


def trade_id(symbol: str, identity: int) -> str:
    """The UUID of a trade, the same in every run."""
    return str(uuid.uuid5(_NAMESPACE, f"{symbol}:{identity}"))


def trade_row(listing: Listing, row: list[int], sequence: int) -> dict[str, Any]:
    """A trade from a row of the matching engine."""
    identity, time_ms, ticks, lots, buyer_is_maker = row[:5]
    return {
        "T": time_ms,
        "s": listing.symbol,
        "S": "Sell" if buyer_is_maker else "Buy",
        "v": listing.quantity(lots),
        "p": listing.price(ticks),
        "L": "ZeroPlusTick",
        "i": trade_id(listing.symbol, identity),
        "BT": False,
        "RPI": False,
        "seq": sequence,
    }


def trades_frame(topic: str, rows: list[dict[str, Any]], ts_ms: int) -> bytes:
    """Trades of one push, in the order they were made."""
    return msgspec.json.encode({"topic": topic, "type": "snapshot", "ts": ts_ms, "data": rows})


def liquidation_frame(topic: str, listing: Listing, items: Iterable[Aggregate], ts_ms: int) -> bytes:
    """Every liquidation of a push; a forced sale ends a long position, whose side is Buy."""
    rows = [
        {
            "T": item.time_ms,
            "s": listing.symbol,
            "S": "Buy" if item.buyer_is_maker else "Sell",
            "v": listing.quantity(item.lots),
            "p": listing.price(item.ticks),
        }
        for item in items
    ]
    return msgspec.json.encode({"topic": topic, "type": "snapshot", "ts": ts_ms, "data": rows})


def kline_frame(topic: str, listing: Listing, candle: Candle, ts_ms: int, *, is_closed: bool) -> bytes:
    """The minute under way, or as it closed."""
    row = {
        "start": candle.open_ms,
        "end": candle.open_ms + 59_999,
        "interval": "1",
        "open": listing.price(candle.open_ticks),
        "close": listing.price(candle.close_ticks),
        "high": listing.price(candle.high_ticks),
        "low": listing.price(candle.low_ticks),
        "volume": listing.quantity(candle.lots),
        "turnover": listing.amount(candle.amount),
        "confirm": is_closed,
        "timestamp": ts_ms,
    }
    return msgspec.json.encode({"topic": topic, "data": [row], "ts": ts_ms, "type": "snapshot"})


def ticker_fields(market: Market, now_ms: int) -> dict[str, str]:
    """What a ticker states of a market now."""
    listing, mark = market.listing, market.mark(now_ms)
    last = listing.price(market.candles[-1].close_ticks) if market.candles else mark.price
    return {
        "lastPrice": last,
        "markPrice": mark.price,
        "indexPrice": mark.index_price,
        "openInterest": listing.quantity(market.open_interest_lots),
        "fundingRate": mark.rate,
        "nextFundingTime": str(mark.next_funding_ms),
        "fundingIntervalHour": str(market.funding_hours),
        "turnover24h": "0",
        "volume24h": "0",
    }


def ticker_frame(topic: str, kind: str, symbol: str, fields: Mapping[str, str], ts_ms: int) -> bytes:
    """A ticker: all of its fields, or those that changed."""
    data = {"symbol": symbol, **fields}
    return msgspec.json.encode({"topic": topic, "type": kind, "data": data, "cs": ts_ms, "ts": ts_ms})


def instrument(market: Market) -> dict[str, Any]:
    """An entry of `instruments-info`."""
    listing = market.listing
    return {
        "symbol": listing.symbol,
        "contractType": "LinearPerpetual",
        "status": "Trading" if market.status == "TRADING" else "Closed",
        "baseCoin": listing.symbol.removesuffix("USDT"),
        "quoteCoin": "USDT",
        "settleCoin": "USDT",
        "priceFilter": {"minPrice": listing.instrument.tick, "tickSize": listing.instrument.tick},
        "lotSizeFilter": {"minOrderQty": listing.instrument.lot, "qtyStep": listing.instrument.lot},
        "fundingInterval": market.funding_hours * 60,
    }


def answer(result: Any, now_ms: int, code: int = 0, message: str = "OK") -> bytes:
    """The body of a REST answer."""
    return msgspec.json.encode(
        {"retCode": code, "retMsg": message, "result": result, "retExtInfo": {}, "time": now_ms}
    )
