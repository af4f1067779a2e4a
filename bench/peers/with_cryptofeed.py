"""cryptofeed 2.4.1: its Binance futures feed, from `message_handler` to the user's callback.

The symbol table is given to it and the snapshot of the capture answers its one REST call; everything else
is its own code. The callback reads the top of both sides, or appends the trade to a list. The feed knows
`aggTrade` frames only, so trade frames are renamed to that before the clock runs (`as_aggregates`).
"""

import asyncio
from collections.abc import Callable
from typing import Any

from cryptofeed.defines import BINANCE_FUTURES, L2_BOOK, TRADES
from cryptofeed.exchanges import BinanceFutures
from cryptofeed.symbols import Symbols

from bench.peers.replayed import DEPTH, Replayed

__all__ = ["as_aggregates", "prepare_depth", "prepare_trades"]

_SYMBOL = "BTC-USDT-PERP"


class _Snapshots:
    """Stands for the feed's REST connection; answers with the snapshot of the capture."""

    def __init__(self, answer: str) -> None:
        self.answer = answer

    async def read(self, _address: str) -> str:
        """The body of the one answer."""
        return self.answer


def _feed(channel: str, callback: Any) -> Any:
    Symbols.set(BINANCE_FUTURES, {_SYMBOL: "BTCUSDT"}, {"tick_size": {_SYMBOL: "0.10"}})
    return BinanceFutures(symbols=[_SYMBOL], channels=[channel], callbacks={channel: callback})


def as_aggregates(lines: list[bytes]) -> list[bytes]:
    """Trade frames under the name and id field of aggregate trades."""
    return [line.replace(b'"e":"trade"', b'"e":"aggTrade"').replace(b'"t":', b'"a":') for line in lines]


async def _handle(feed: Any, lines: list[bytes]) -> None:
    for line in lines:
        received, _, text = line.partition(b" ")
        await feed.message_handler(text.decode(), None, int(received) / 1e9)


def prepare_depth(lines: list[bytes]) -> Callable[[], Replayed]:
    tops: list[Any] = [(), ()]

    async def on_book(book: Any, _received: float) -> None:
        bids, asks = book.book.bids, book.book.asks
        tops[:] = [bids.index(i) for i in range(DEPTH)], [asks.index(i) for i in range(DEPTH)]

    snapshot = next(line for line in lines if b'{"lastUpdateId"' in line[:40])
    updates = [line for line in lines if line is not snapshot]
    feed = _feed(L2_BOOK, on_book)
    feed.http_conn = _Snapshots(snapshot.partition(b" ")[2].decode())

    def run() -> Replayed:
        asyncio.run(_handle(feed, updates))
        bids, asks = (tuple(float(price) for price, _ in top) for top in tops)
        return Replayed(len(lines), bids, asks)

    return run


def prepare_trades(lines: list[bytes]) -> Callable[[], Replayed]:
    trades: list[Any] = []

    async def on_trade(trade: Any, _received: float) -> None:
        trades.append(trade)

    feed = _feed(TRADES, on_trade)
    aggregates = as_aggregates(lines)

    def run() -> Replayed:
        asyncio.run(_handle(feed, aggregates))
        return Replayed(len(trades))

    return run
