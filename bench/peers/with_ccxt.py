"""ccxt.pro 4.5.90: its Binance handler, from the text of a socket message to its own book and trades.

The market is given to it as the exchange states it and the capture's snapshot seeds the book; what follows
is its own code, the cut to its default 1000 levels that `watch_order_book` makes included. Then the top of
both sides is read.
"""

import asyncio
import atexit
from collections.abc import Callable
from functools import cache
from typing import Any

import ccxt.pro
import orjson

from bench.peers.replayed import DEPTH, Replayed

__all__ = ["prepare_depth", "prepare_trades"]

_SYMBOL = "BTC/USDT:USDT"
_URL = "wss://fstream.binance.com/public/ws/1"
_LISTING = {
    "symbol": "BTCUSDT",
    "pair": "BTCUSDT",
    "contractType": "PERPETUAL",
    "status": "TRADING",
    "baseAsset": "BTC",
    "quoteAsset": "USDT",
    "marginAsset": "USDT",
    "pricePrecision": 2,
    "quantityPrecision": 3,
    "filters": [
        {"filterType": "PRICE_FILTER", "tickSize": "0.10", "minPrice": "0.10", "maxPrice": "1000000"},
        {"filterType": "LOT_SIZE", "stepSize": "0.001", "minQty": "0.001", "maxQty": "1000"},
    ],
}


@cache
def _shared() -> tuple[asyncio.AbstractEventLoop, Any, Any]:
    """A loop, an exchange that knows one market, and the client that its messages seem to come from."""
    loop = asyncio.new_event_loop()
    exchange, client = loop.run_until_complete(_exchange())
    atexit.register(lambda: loop.run_until_complete(exchange.close()))
    return loop, exchange, client


async def _exchange() -> tuple[Any, Any]:
    exchange = ccxt.pro.binance()
    exchange.set_markets([exchange.parse_market(_LISTING)])
    return exchange, exchange.client(_URL)


def prepare_depth(lines: list[bytes]) -> Callable[[], Replayed]:
    loop, exchange, client = _shared()
    exchange.orderbooks[_SYMBOL] = exchange.order_book({}, 1000)
    return lambda: loop.run_until_complete(_replay_depth(exchange, client, lines))


async def _replay_depth(exchange: Any, client: Any, lines: list[bytes]) -> Replayed:
    book = exchange.orderbooks[_SYMBOL]
    top_bids: list[Any] = []
    top_asks: list[Any] = []
    for line in lines:
        _received, _, text = line.partition(b" ")
        if text.startswith(b'{"lastUpdateId"'):
            await _seed(exchange, client, orjson.loads(text))
            continue
        client.handle_text_or_binary_message(text.decode())
        book.limit()
        top_bids, top_asks = book["bids"][:DEPTH], book["asks"][:DEPTH]
    bids, asks = (tuple(price for price, _ in top) for top in (top_bids, top_asks))
    return Replayed(len(lines), bids, asks)


async def _seed(exchange: Any, client: Any, answer: dict[str, Any]) -> None:
    """Let it take its snapshot: the REST answer of the capture, then the updates that it has held back."""

    async def answered(*_request: Any) -> Any:
        snapshot = exchange.parse_order_book(answer, _SYMBOL, answer["T"], "bids", "asks")
        return {**snapshot, "nonce": answer["lastUpdateId"]}

    exchange.fetch_rest_order_book_safe = answered
    await exchange.fetch_order_book_snapshot(client, None, {"symbol": _SYMBOL, "type": "linear"})


def prepare_trades(lines: list[bytes]) -> Callable[[], Replayed]:
    loop, exchange, client = _shared()
    exchange.trades.clear()
    return lambda: loop.run_until_complete(_replay_trades(exchange, client, lines))


async def _replay_trades(exchange: Any, client: Any, lines: list[bytes]) -> Replayed:
    for line in lines:
        _received, _, text = line.partition(b" ")
        client.handle_text_or_binary_message(text.decode())
    last = orjson.loads(lines[-1].partition(b" ")[2])["data"]["t"]
    if exchange.trades[_SYMBOL][-1]["id"] != str(last):
        raise ValueError(f"ccxt did not take trade {last}")
    return Replayed(len(lines))
