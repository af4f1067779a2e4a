"""cryptofeed 2.4.1 as a collector of the busy market: trades, books of 1000 levels, quotes and funding.

Its callbacks only count: what it would cost to store anything comes on top. It is pointed at the local
server; everything else is its own code.
"""

import asyncio
import json
import sys
import threading
import time

import uvloop
from cryptofeed import FeedHandler, connection
from cryptofeed.connection import RestEndpoint, Routes, WebsocketEndpoint
from cryptofeed.defines import BINANCE_FUTURES, FUNDING, L2_BOOK, TICKER, TRADES
from cryptofeed.exchanges import BinanceFutures
from cryptofeed.symbols import Symbols

from undertow.venues.simulated.listings import LISTINGS

__all__ = ["main"]

_IDLE_S = 2.0


def _report(times: list[float]) -> None:
    """Print how many events were handled and how fast, once nothing has come for a while."""
    while not times or time.monotonic() - times[-1] < _IDLE_S:
        time.sleep(0.1)
    print(json.dumps({"handled": len(times), "seconds": times[-1] - times[0]}), flush=True)


def main(url: str) -> None:
    """Collect until killed."""
    names = {f"{symbol.removesuffix('USDT')}-USDT-PERP": symbol for symbol in LISTINGS}
    ticks = {name: LISTINGS[symbol].instrument.tick for name, symbol in names.items()}
    Symbols.set(BINANCE_FUTURES, names, {"tick_size": ticks})
    dial = connection.connect
    connection.connect = lambda address, **options: dial(address.replace("wss://", "ws://"), **options)
    address = url.replace("http", "wss")  # it refuses any other
    BinanceFutures.websocket_endpoints = [WebsocketEndpoint(address, options={"compression": None})]
    routes = Routes("/fapi/v1/exchangeInfo", l2book="/fapi/v1/depth?symbol={}&limit={}")
    BinanceFutures.rest_endpoints = [RestEndpoint(url, routes=routes)]
    times: list[float] = []

    async def count(_event: object, _received: float) -> None:
        times.append(time.monotonic())

    channels = [TRADES, L2_BOOK, TICKER, FUNDING]
    feed = BinanceFutures(symbols=list(names), channels=channels, callbacks=dict.fromkeys(channels, count))
    handler = FeedHandler()
    handler.add_feed(feed)
    threading.Thread(target=_report, args=(times,), daemon=True).start()
    asyncio.set_event_loop(uvloop.new_event_loop())  # it expects one to be there
    handler.run()


if __name__ == "__main__":
    main(sys.argv[1])
