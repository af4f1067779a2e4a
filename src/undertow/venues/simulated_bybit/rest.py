"""The REST side: market data under /v5/market, with the limit of requests of an address."""

import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from aiohttp import web

from undertow.venues.simulated_bybit import wire
from undertow.venues.simulated_bybit.exchange import BybitExchange
from undertow.venues.simulated_bybit.topics import MarketTopics

__all__ = ["rest_routes"]

_REST_DEPTH = 1000
_BAD_REQUEST = 10001


class _Refused(Exception):  # noqa: N818 - an answer with a retCode, not a failure
    pass


def _market(exchange: BybitExchange, query: Mapping[str, str]) -> MarketTopics:
    found = exchange.markets.get(query.get("symbol", ""))
    if found is None or query.get("category") != "linear":
        raise _Refused("params error: symbol invalid")
    return found


def _time(exchange: BybitExchange, _query: Mapping[str, str]) -> Any:
    return {"timeSecond": str(exchange.now_ms // 1000), "timeNano": str(exchange.now_ms * 1_000_000)}


def _instruments(exchange: BybitExchange, query: Mapping[str, str]) -> Any:
    """All contracts, a page of `limit` each; the cursor is the place of the next."""
    entries = [wire.instrument(topics.market) for topics in exchange.markets.values()]
    entries = [entry for entry in entries if query.get("symbol", entry["symbol"]) == entry["symbol"]]
    begin, limit = int(query.get("cursor") or 0), int(query.get("limit", "500"))
    following = str(begin + limit) if begin + limit < len(entries) else ""
    return {"category": "linear", "list": entries[begin : begin + limit], "nextPageCursor": following}


def _orderbook(exchange: BybitExchange, query: Mapping[str, str]) -> Any:
    topics = _market(exchange, query)
    book, listing = topics.book(_REST_DEPTH), topics.market.listing
    limit = int(query.get("limit", "25"))
    return {
        "s": listing.symbol,
        "b": wire.level_rows(listing, book.bids, is_bid=True)[:limit],
        "a": wire.level_rows(listing, book.asks, is_bid=False)[:limit],
        "ts": exchange.now_ms,
        "u": book.update_id,
        "seq": topics.sequence,
        "cts": book.pushed_ms,
    }


def _open_interest(exchange: BybitExchange, query: Mapping[str, str]) -> Any:
    market = _market(exchange, query).market
    row = {
        "openInterest": market.listing.quantity(market.open_interest_lots),
        "timestamp": str(exchange.now_ms - exchange.now_ms % 300_000),
    }
    return {"symbol": market.listing.symbol, "category": "linear", "list": [row], "nextPageCursor": ""}


def _funding(exchange: BybitExchange, query: Mapping[str, str]) -> Any:
    market = _market(exchange, query).market
    rows = [
        {"symbol": market.listing.symbol, "fundingRate": rate, "fundingRateTimestamp": str(time_ms)}
        for time_ms, rate, _ in reversed(market.funding)
    ]
    return {"category": "linear", "list": rows[: int(query.get("limit", "200"))]}


def _recent_trades(exchange: BybitExchange, query: Mapping[str, str]) -> Any:
    topics = _market(exchange, query)
    rows = [
        {
            "execId": row["i"],
            "symbol": row["s"],
            "price": row["p"],
            "size": row["v"],
            "side": row["S"],
            "time": str(row["T"]),
            "isBlockTrade": False,
            "isRPITrade": False,
            "seq": str(row["seq"]),
        }
        for row in reversed(topics.recent_trades)
    ]
    return {"category": "linear", "list": rows[: int(query.get("limit", "500"))]}


def _tickers(exchange: BybitExchange, query: Mapping[str, str]) -> Any:
    wanted = query.get("symbol")
    rows = [
        {"symbol": symbol, **wire.ticker_fields(topics.market, exchange.now_ms)}
        for symbol, topics in exchange.markets.items()
        if wanted in {None, symbol}
    ]
    return {"category": "linear", "list": rows}


_ANSWERS: dict[str, Callable[[BybitExchange, Mapping[str, str]], Any]] = {
    "time": _time,
    "instruments-info": _instruments,
    "orderbook": _orderbook,
    "open-interest": _open_interest,
    "funding/history": _funding,
    "recent-trade": _recent_trades,
    "tickers": _tickers,
}


def rest_routes(exchange: BybitExchange) -> list[web.RouteDef]:
    """The routes of market data."""
    times_s: deque[float] = deque()

    async def market_data(request: web.Request) -> web.Response:
        now_s, settings = time.monotonic(), exchange.settings
        times_s.append(now_s)
        while times_s[0] < now_s - settings.window_s:
            times_s.popleft()
        if len(times_s) > settings.requests_per_window:
            return web.Response(status=403, text="access too frequent")
        name = request.match_info["name"]
        if name not in _ANSWERS:
            return web.Response(status=404)
        try:
            body = wire.answer(_ANSWERS[name](exchange, request.query), exchange.now_ms)
        except _Refused as refusal:
            body = wire.answer({}, exchange.now_ms, _BAD_REQUEST, str(refusal))
        return web.Response(body=body, content_type="application/json")

    return [web.get("/v5/market/{name:.+}", market_data)]
