"""Answers of REST: market data as Binance states it, for USD-M and for spot (PROTOCOL A4)."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from undertow.venues.simulated.exchange import Exchange
from undertow.venues.simulated.listings import Listing
from undertow.venues.simulated.market import DELISTED, Market
from undertow.venues.simulated.publisher import Publisher
from undertow.venues.simulated.wire import Aggregate, Candle

__all__ = ["ANSWERS", "Answer", "Query", "RefusedError", "depth_limit", "find_publisher", "integer"]

_USDM_DEPTH_LIMITS = frozenset({5, 10, 20, 50, 100, 500, 1000})
_MOST_SPOT_LEVELS = 5000
_HOUR_MS = 3_600_000
_PAST_MS = 48 * _HOUR_MS
"""How far back USD-M serves aggregates."""
_MINUTE_MS = 60_000
_OPEN_INTEREST_LAG_MS = 4_000

Query = Mapping[str, str]
Answer = Callable[[Exchange, Query], Any]


class RefusedError(Exception):
    """A request that is answered with an error code."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


def integer(query: Query, name: str) -> int | None:
    """A parameter, None where it is not there; raises RefusedError where it is no whole number."""
    text = query.get(name)
    if text is None:
        return None
    if not text.isascii() or not text.isdecimal():
        raise RefusedError(-1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.")
    return int(text)


def _limit(query: Query, default: int, most: int) -> int:
    limit = integer(query, "limit")
    if limit is None:
        return default
    if not 1 <= limit <= most:
        raise RefusedError(-1130, "Data sent for parameter 'limit' is not valid.")
    return limit


def find_publisher(exchange: Exchange, query: Query) -> Publisher:
    """The market that `symbol` names; raises RefusedError where there is none."""
    symbol = query.get("symbol")
    if not symbol:
        raise RefusedError(-1102, "Mandatory parameter 'symbol' was not sent, was empty/null, or malformed.")
    if symbol not in exchange.publishers:
        raise RefusedError(-1121, "Invalid symbol.")
    return exchange.publishers[symbol]


def _ping(_exchange: Exchange, _query: Query) -> Any:
    return {}


def _time(exchange: Exchange, _query: Query) -> Any:
    return {"serverTime": _stated_ms(exchange)}


def _stated_ms(exchange: Exchange) -> int:
    """The time that the exchange says it is."""
    return exchange.now_ms + exchange.director.rest.time_offset_ms


def _exchange_info(exchange: Exchange, query: Query) -> Any:
    limit = {
        "rateLimitType": "REQUEST_WEIGHT",
        "interval": "MINUTE",
        "intervalNum": 1,
        "limit": exchange.limits.weight_per_window,
    }
    is_spot = exchange.settings.market == "spot"
    futures = {
        "futuresType": "U_MARGINED",
        "rateLimits": [limit],
        "exchangeFilters": [],
        "assets": [{"asset": "USDT", "marginAvailable": True, "autoAssetExchange": "-10000"}],
    }
    wanted = query.get("symbol")
    if wanted is not None and is_spot:
        find_publisher(exchange, query)
    markets = [
        publisher.market
        for name, publisher in exchange.publishers.items()
        if wanted in {None, name} and publisher.market.status != DELISTED
    ]
    return {
        "timezone": "UTC",
        "serverTime": _stated_ms(exchange),
        **({"rateLimits": [limit], "exchangeFilters": []} if is_spot else futures),
        "symbols": [_spot_symbol(market) if is_spot else _symbol(market) for market in markets],
    }


def _filters(listing: Listing) -> list[dict[str, str]]:
    tick, lot = listing.instrument.tick, listing.instrument.lot
    return [
        {"filterType": "PRICE_FILTER", "minPrice": tick, "maxPrice": "10000000", "tickSize": tick},
        {"filterType": "LOT_SIZE", "minQty": lot, "maxQty": "1000000", "stepSize": lot},
        {"filterType": "MARKET_LOT_SIZE", "minQty": lot, "maxQty": "1000000", "stepSize": lot},
    ]


def _symbol(market: Market) -> dict[str, Any]:
    listing = market.listing
    return {
        "symbol": listing.symbol,
        "pair": listing.symbol,
        "contractType": "PERPETUAL",
        "deliveryDate": 4_133_404_800_000,
        "onboardDate": 1_569_398_400_000,
        "status": market.status,
        "baseAsset": listing.symbol.removesuffix("USDT"),
        "quoteAsset": "USDT",
        "marginAsset": "USDT",
        "pricePrecision": listing.price_decimals,
        "quantityPrecision": listing.quantity_decimals,
        "baseAssetPrecision": 8,
        "quotePrecision": 8,
        "liquidationFee": "0.012500",
        "marketTakeBound": "0.05",
        "filters": [*_filters(listing), {"filterType": "MIN_NOTIONAL", "notional": "5"}],
        "orderTypes": ["LIMIT", "MARKET"],
        "timeInForce": ["GTC", "IOC", "FOK", "GTX"],
    }


def _spot_symbol(market: Market) -> dict[str, Any]:
    listing = market.listing
    return {
        "symbol": listing.symbol,
        "status": market.status,
        "baseAsset": listing.symbol.removesuffix("USDT"),
        "baseAssetPrecision": 8,
        "quoteAsset": "USDT",
        "quotePrecision": 8,
        "quoteAssetPrecision": 8,
        "orderTypes": ["LIMIT", "LIMIT_MAKER", "MARKET"],
        "isSpotTradingAllowed": True,
        "filters": [*_filters(listing), {"filterType": "NOTIONAL", "minNotional": "5.00000000"}],
        "permissionSets": [["SPOT"]],
    }


def _agg_trades(exchange: Exchange, query: Query) -> Any:
    market = find_publisher(exchange, query).market
    limit, first = _limit(query, 500, 1000), integer(query, "fromId")
    start_ms, end_ms = integer(query, "startTime"), integer(query, "endTime")
    if start_ms is not None and end_ms is not None and end_ms - start_ms > _HOUR_MS:
        raise RefusedError(-4084, "Time interval is more than one hour.")
    is_spot = exchange.settings.market == "spot"
    if not is_spot:
        start_ms = None if start_ms is None else max(start_ms, market.now_ms - _PAST_MS)
    found = market.aggregates.between(first_id=first, start_ms=start_ms, end_ms=end_ms, limit=limit)
    return [_aggregate(market.listing, item, is_spot=is_spot) for item in found]


def _aggregate(listing: Listing, item: Aggregate, *, is_spot: bool) -> dict[str, Any]:
    quantity = listing.quantity(item.lots)
    return {
        "a": item.identity,
        "p": listing.price(item.ticks),
        "q": quantity,
        **({} if is_spot else {"nq": quantity}),
        "f": item.first_id,
        "l": item.last_id,
        "T": item.time_ms,
        "m": bool(item.buyer_is_maker),
        **({"M": True} if is_spot else {}),
    }


def _trades(exchange: Exchange, query: Query) -> Any:
    """The newest single trades, those that no aggregate tells among them."""
    market = find_publisher(exchange, query).market
    found = list(market.trades)[-_limit(query, 500, 1000) :]
    return [_trade(market.listing, row) for row in found]


def _trade(listing: Listing, row: Sequence[int]) -> dict[str, Any]:
    identity, time_ms, ticks, lots, buyer_is_maker = row[:5]
    return {
        "id": identity,
        "price": listing.price(ticks),
        "qty": listing.quantity(lots),
        "quoteQty": listing.amount(ticks * lots),
        "time": time_ms,
        "isBuyerMaker": bool(buyer_is_maker),
    }


def _klines(exchange: Exchange, query: Query) -> Any:
    market = find_publisher(exchange, query).market
    if query.get("interval") != "1m":
        raise RefusedError(-1120, "Invalid interval.")
    start_ms, end_ms = integer(query, "startTime"), integer(query, "endTime")
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
    market = find_publisher(exchange, query).market
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
    market = find_publisher(exchange, query).market
    start_ms, end_ms = integer(query, "startTime") or 0, integer(query, "endTime")
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
    market = find_publisher(exchange, query).market
    return {
        "openInterest": market.listing.quantity(market.open_interest_lots),
        "symbol": market.listing.symbol,
        "time": exchange.now_ms - _OPEN_INTEREST_LAG_MS,
    }


def _funding_info(exchange: Exchange, _query: Query) -> Any:
    return [
        {
            "symbol": symbol,
            "adjustedFundingRateCap": "0.02000000",
            "adjustedFundingRateFloor": "-0.02000000",
            "fundingIntervalHours": publisher.market.funding_hours,
            "disclaimer": False,
        }
        for symbol, publisher in exchange.publishers.items()
    ]


def _ticker_24h(exchange: Exchange, query: Query) -> Any:
    if "symbol" in query:
        return _ticker(find_publisher(exchange, query).market)
    return [_ticker(publisher.market) for publisher in exchange.publishers.values()]


def _ticker(market: Market) -> dict[str, Any]:
    listing = market.listing
    since_ms = market.now_ms - 24 * _HOUR_MS
    candles = [candle for candle in market.candles if candle.open_ms >= since_ms]
    return {
        "symbol": listing.symbol,
        "lastPrice": listing.price(candles[-1].close_ticks if candles else market.fair_ticks),
        "volume": listing.quantity(sum(candle.lots for candle in candles)),
        "quoteVolume": listing.amount(sum(candle.amount for candle in candles)),
        "closeTime": market.now_ms,
    }


def depth_limit(exchange: Exchange, query: Query) -> int:
    """Levels a side that are asked for; raises RefusedError where the exchange does not give so many."""
    is_spot = exchange.settings.market == "spot"
    limit = integer(query, "limit") or (100 if is_spot else 500)
    if limit > _MOST_SPOT_LEVELS if is_spot else limit not in _USDM_DEPTH_LIMITS:
        raise RefusedError(-4021, f"{limit} is not valid depth limit.")
    return limit


def _depth(exchange: Exchange, query: Query) -> Any:
    limit = depth_limit(exchange, query)
    return find_publisher(exchange, query).snapshot(limit)


_BOTH: dict[str, Answer] = {
    "ping": _ping,
    "time": _time,
    "exchangeInfo": _exchange_info,
    "depth": _depth,
    "aggTrades": _agg_trades,
    "trades": _trades,
    "klines": _klines,
    "ticker/24hr": _ticker_24h,
}
ANSWERS: Mapping[str, Mapping[str, Answer]] = {
    "spot": _BOTH,
    "usdm": {
        **_BOTH,
        "premiumIndex": _premium_index,
        "fundingRate": _funding_rate,
        "fundingInfo": _funding_info,
        "openInterest": _open_interest,
    },
}
"""Market → endpoint → what answers it: bytes as they are, anything else as JSON."""
