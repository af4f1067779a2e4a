"""The REST side: market data under /fapi/v1 as Binance answers it (PROTOCOL A4), and /sim for tests."""

import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec
from aiohttp import web

from undertow.venues.simulated.exchange import Exchange
from undertow.venues.simulated.listings import Listing
from undertow.venues.simulated.publisher import Publisher
from undertow.venues.simulated.wire import Aggregate, Candle

__all__ = ["rest_routes"]

_WEIGHT_PER_MINUTE = 2400
_DEPTH_WEIGHTS = {5: 2, 10: 2, 20: 2, 50: 2, 100: 5, 500: 10, 1000: 20}
_WEIGHTS = {"aggTrades": 20, "klines": 5}
_HOUR_MS = 3_600_000
_MINUTE_MS = 60_000
_OPEN_INTEREST_LAG_MS = 4_000

Query = Mapping[str, str]
Answer = Callable[[Exchange, Query], Any]


class _RefusedError(Exception):
    """A request that is answered with an error code."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class _UsedWeight:
    """Request weight used in the present minute. The limit is stated but not enforced."""

    def __init__(self) -> None:
        self._minute = 0
        self._used = 0

    def spend(self, weight: int) -> int:
        """Add to the minute's sum; the sum."""
        minute = int(time.time() // 60)
        if minute != self._minute:
            self._minute, self._used = minute, 0
        self._used += weight
        return self._used


def _integer(query: Query, name: str) -> int | None:
    text = query.get(name)
    if text is None:
        return None
    if not text.isascii() or not text.isdecimal():
        raise _RefusedError(
            -1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed."
        )
    return int(text)


def _limit(query: Query, default: int, most: int) -> int:
    limit = _integer(query, "limit")
    if limit is None:
        return default
    if not 1 <= limit <= most:
        raise _RefusedError(-1130, "Data sent for parameter 'limit' is not valid.")
    return limit


def _publisher(exchange: Exchange, query: Query) -> Publisher:
    symbol = query.get("symbol")
    if not symbol:
        raise _RefusedError(-1102, "Mandatory parameter 'symbol' was not sent, was empty/null, or malformed.")
    if symbol not in exchange.publishers:
        raise _RefusedError(-1121, "Invalid symbol.")
    return exchange.publishers[symbol]


def _ping(_exchange: Exchange, _query: Query) -> Any:
    return {}


def _time(exchange: Exchange, _query: Query) -> Any:
    return {"serverTime": exchange.now_ms}


def _exchange_info(exchange: Exchange, _query: Query) -> Any:
    limit = {
        "rateLimitType": "REQUEST_WEIGHT",
        "interval": "MINUTE",
        "intervalNum": 1,
        "limit": _WEIGHT_PER_MINUTE,
    }
    listings = [publisher.market.listing for publisher in exchange.publishers.values()]
    return {
        "timezone": "UTC",
        "serverTime": exchange.now_ms,
        "futuresType": "U_MARGINED",
        "rateLimits": [limit],
        "exchangeFilters": [],
        "assets": [{"asset": "USDT", "marginAvailable": True, "autoAssetExchange": "-10000"}],
        "symbols": [_symbol(listing) for listing in listings],
    }


def _symbol(listing: Listing) -> dict[str, Any]:
    tick, lot = listing.instrument.tick, listing.instrument.lot
    base = listing.symbol.removesuffix("USDT")
    return {
        "symbol": listing.symbol,
        "pair": listing.symbol,
        "contractType": "PERPETUAL",
        "deliveryDate": 4_133_404_800_000,
        "onboardDate": 1_569_398_400_000,
        "status": "TRADING",
        "baseAsset": base,
        "quoteAsset": "USDT",
        "marginAsset": "USDT",
        "pricePrecision": listing.price_decimals,
        "quantityPrecision": listing.quantity_decimals,
        "baseAssetPrecision": 8,
        "quotePrecision": 8,
        "liquidationFee": "0.012500",
        "marketTakeBound": "0.05",
        "filters": [
            {"filterType": "PRICE_FILTER", "minPrice": tick, "maxPrice": "10000000", "tickSize": tick},
            {"filterType": "LOT_SIZE", "minQty": lot, "maxQty": "1000000", "stepSize": lot},
            {"filterType": "MARKET_LOT_SIZE", "minQty": lot, "maxQty": "1000000", "stepSize": lot},
            {"filterType": "MIN_NOTIONAL", "notional": "5"},
        ],
        "orderTypes": ["LIMIT", "MARKET"],
        "timeInForce": ["GTC", "IOC", "FOK", "GTX"],
    }


def _agg_trades(exchange: Exchange, query: Query) -> Any:
    market = _publisher(exchange, query).market
    limit, first = _limit(query, 500, 1000), _integer(query, "fromId")
    start_ms, end_ms = _integer(query, "startTime"), _integer(query, "endTime")
    if start_ms is not None and end_ms is not None and end_ms - start_ms > _HOUR_MS:
        raise _RefusedError(-4084, "Time interval is more than one hour.")
    found = [
        item
        for item in market.aggregates
        if (first is None or item.identity >= first)
        and (start_ms is None or item.time_ms >= start_ms)
        and (end_ms is None or item.time_ms <= end_ms)
    ]
    from_start = first is not None or start_ms is not None
    return [_aggregate(market.listing, item) for item in (found[:limit] if from_start else found[-limit:])]


def _aggregate(listing: Listing, item: Aggregate) -> dict[str, Any]:
    quantity = listing.quantity(item.lots)
    return {
        "a": item.identity,
        "p": listing.price(item.ticks),
        "q": quantity,
        "nq": quantity,
        "f": item.first_id,
        "l": item.last_id,
        "T": item.time_ms,
        "m": bool(item.buyer_is_maker),
    }


def _klines(exchange: Exchange, query: Query) -> Any:
    market = _publisher(exchange, query).market
    if query.get("interval") != "1m":
        raise _RefusedError(-1120, "Invalid interval.")
    start_ms, end_ms = _integer(query, "startTime"), _integer(query, "endTime")
    limit = _limit(query, 500, 1500)
    found = [
        candle
        for candle in market.candles
        if (start_ms is None or candle.open_ms >= start_ms) and (end_ms is None or candle.open_ms <= end_ms)
    ]
    return [_candle(market.listing, item) for item in (found[-limit:] if start_ms is None else found[:limit])]


def _candle(listing: Listing, candle: Candle) -> list[Any]:
    ticks = (candle.open_ticks, candle.high_ticks, candle.low_ticks, candle.close_ticks)
    return [
        candle.open_ms,
        *(listing.price(tick) for tick in ticks),
        listing.quantity(candle.lots),
        candle.open_ms + _MINUTE_MS - 1,
        listing.amount(candle.amount),
        candle.last_id - candle.first_id + 1,
        listing.quantity(candle.taker_lots),
        listing.amount(candle.taker_amount),
        "0",
    ]


def _premium_index(exchange: Exchange, query: Query) -> Any:
    if "symbol" not in query:
        return [_premium_index(exchange, {"symbol": symbol}) for symbol in exchange.publishers]
    market = _publisher(exchange, query).market
    mark = market.mark(exchange.now_ms)
    return {
        "symbol": market.listing.symbol,
        "markPrice": mark.price,
        "indexPrice": mark.index_price,
        "estimatedSettlePrice": mark.index_price,
        "lastFundingRate": mark.rate,
        "interestRate": "0.00010000",
        "nextFundingTime": mark.next_funding_ms,
        "time": mark.time_ms,
    }


def _funding_rate(exchange: Exchange, query: Query) -> Any:
    market = _publisher(exchange, query).market
    start_ms, end_ms = _integer(query, "startTime") or 0, _integer(query, "endTime")
    return [
        {
            "symbol": market.listing.symbol,
            "fundingTime": time_ms,
            "fundingRate": rate,
            "markPrice": price,
            "rateType": "Regular",
        }
        for time_ms, rate, price in market.funding[-_limit(query, 100, 1000) :]
        if time_ms >= start_ms and (end_ms is None or time_ms <= end_ms)
    ]


def _open_interest(exchange: Exchange, query: Query) -> Any:
    market = _publisher(exchange, query).market
    return {
        "openInterest": market.listing.quantity(market.open_interest_lots),
        "symbol": market.listing.symbol,
        "time": exchange.now_ms - _OPEN_INTEREST_LAG_MS,
    }


_ANSWERS: dict[str, Answer] = {
    "ping": _ping,
    "time": _time,
    "exchangeInfo": _exchange_info,
    "aggTrades": _agg_trades,
    "klines": _klines,
    "premiumIndex": _premium_index,
    "fundingRate": _funding_rate,
    "openInterest": _open_interest,
}


def _counters(exchange: Exchange, _query: Query) -> Any:
    return {
        "now": exchange.now_ms,
        "hasEnded": exchange.has_ended,
        "clients": len(exchange.clients),
        "streams": exchange.counts,
    }


def _drop(exchange: Exchange, query: Query) -> Any:
    stream = query.get("stream")
    if not stream:
        raise _RefusedError(-1102, "Mandatory parameter 'stream' was not sent.")
    exchange.drops[stream] += _integer(query, "count") or 1
    return {"stream": stream, "toDrop": exchange.drops[stream]}


def _disconnect(exchange: Exchange, _query: Query) -> Any:
    return {"disconnected": exchange.disconnect_all()}


def _delay(exchange: Exchange, query: Query) -> Any:
    exchange.answer_delay_ms = _integer(query, "milliseconds") or 0
    return {"milliseconds": exchange.answer_delay_ms}


def _respond(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    body = value if isinstance(value, bytes) else msgspec.json.encode(value)
    return web.Response(body=body, status=status, content_type="application/json", headers=headers)


def _guarded(exchange: Exchange, answer: Answer) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def handle(request: web.Request) -> web.Response:
        try:
            return _respond(answer(exchange, request.query))
        except _RefusedError as error:
            return _respond({"code": error.code, "msg": str(error)}, 400)

    return handle


def _true_book(exchange: Exchange, query: Query) -> Any:
    return _publisher(exchange, query).snapshot(1 << 13)


def rest_routes(exchange: Exchange) -> list[web.RouteDef]:
    """All routes that are no sockets."""
    weight = _UsedWeight()

    async def market_data(request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if name != "depth" and name not in _ANSWERS:
            return web.Response(status=404)
        used = weight.spend(_WEIGHTS.get(name, 1))
        headers = {"X-MBX-USED-WEIGHT-1M": str(used)}
        try:
            if name == "depth":
                limit = _integer(request.query, "limit") or 500
                if limit not in _DEPTH_WEIGHTS:
                    raise _RefusedError(-4021, f"{limit} is not valid depth limit.")
                publisher = _publisher(exchange, request.query)
                headers["X-MBX-USED-WEIGHT-1M"] = str(weight.spend(_DEPTH_WEIGHTS[limit] - 1))
                body = publisher.snapshot(limit)
                if exchange.answer_delay_ms:
                    await exchange.pass_time(exchange.answer_delay_ms)
                return _respond(body, headers=headers)
            return _respond(_ANSWERS[name](exchange, request.query), headers=headers)
        except _RefusedError as error:
            return _respond({"code": error.code, "msg": str(error)}, 400, headers)

    return [
        web.get("/fapi/v1/{name}", market_data),
        web.get("/sim/counters", _guarded(exchange, _counters)),
        web.get("/sim/book", _guarded(exchange, _true_book)),
        web.post("/sim/drop", _guarded(exchange, _drop)),
        web.post("/sim/disconnect", _guarded(exchange, _disconnect)),
        web.post("/sim/delay", _guarded(exchange, _delay)),
    ]
