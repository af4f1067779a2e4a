"""Ten busy markets over Binance's protocol, rendered beforehand so that the server costs next to nothing.

Run as a module it serves until its frames are sent: `python -m bench.busy_market --seconds 60 --rate 5000`
prints one JSON line with its address. `--flood` sends as fast as the client reads.
"""

import asyncio
import bisect
import json
import struct
import time
from collections import defaultdict
from dataclasses import dataclass
from typing import Annotated

import typer
from aiohttp import web

from undertow.venues.simulated.exchange import Exchange, Settings
from undertow.venues.simulated.listings import LISTINGS
from undertow.venues.simulated.market import new_market
from undertow.venues.simulated.publisher import Publisher
from undertow.venues.simulated.rest import rest_routes
from undertow.venues.simulated.wire import combined

__all__ = ["ROUTES", "Rendered", "render"]

ROUTES = {"depth@100ms": "public", "bookTicker": "public", "aggTrade": "market", "markPrice@1s": "market"}
_FRAMES_PER_SYMBOL = 500.0
"""A second, at `_BUSY` times the usual activity: 10 depth updates, about 250 quotes and 250 trades."""
_BUSY = 41.0
_TICK_MS = 10
_CLOSE_TIMEOUT_S = 600.0


@dataclass(frozen=True, slots=True)
class Rendered:
    """Frames by route in order of time, and snapshots by symbol."""

    start_ms: int
    offsets_ms: dict[str, list[int]]
    frames: dict[str, list[bytes]]
    """With their WebSocket headers."""
    snapshots: dict[str, list[bytes]]
    """One a second."""


def _publisher(symbol: str, start_ms: int, busy: float) -> Publisher:
    market = new_market(LISTINGS[symbol], seed=1, signal=0.0, start_ms=start_ms)
    habits = market.habits
    market.habits = habits._replace(
        trade_rate=habits.trade_rate * busy,
        trade_memory_s=habits.trade_memory_s / busy,
        jump_rate=habits.jump_rate * busy,
        jump_memory_s=habits.jump_memory_s / busy,
        jump_ticks=max(1.0, habits.jump_ticks / busy**0.5),
        spread_change_rate=habits.spread_change_rate * busy,
        place_rate=habits.place_rate * 3,
        cancel_rate=habits.cancel_rate * 3,
    )
    publisher = Publisher(market)
    for suffix in ROUTES:
        publisher.open(suffix)
    return publisher


def _framed(payload: bytes) -> bytes:
    """A WebSocket text frame."""
    if len(payload) < 126:
        return struct.pack("!BB", 0x81, len(payload)) + payload
    if len(payload) < 65536:
        return struct.pack("!BBH", 0x81, 126, len(payload)) + payload
    return struct.pack("!BBQ", 0x81, 127, len(payload)) + payload


def render(symbols: list[str], start_ms: int, seconds: int, rate: float) -> Rendered:
    """About `rate` frames a second in all."""
    busy = _BUSY * rate / (_FRAMES_PER_SYMBOL * len(symbols))
    publishers = {symbol: _publisher(symbol, start_ms, busy) for symbol in symbols}
    found: dict[str, list[tuple[int, bytes]]] = defaultdict(list)
    snapshots: dict[str, list[bytes]] = {symbol: [] for symbol in symbols}
    for second in range(seconds):
        for symbol, publisher in publishers.items():
            snapshots[symbol].append(publisher.snapshot(1000))
            for frame in publisher.advance(start_ms + (second + 1) * 1000):
                route = ROUTES[frame.stream.partition("@")[2]]
                data = _framed(combined(frame.stream, frame.payload))
                found[route].append((frame.event_ms - start_ms, data))
    for frames in found.values():
        frames.sort(key=lambda item: item[0])
    offsets = {route: [offset for offset, _ in frames] for route, frames in found.items()}
    return Rendered(start_ms, offsets, {r: [d for _, d in frames] for r, frames in found.items()}, snapshots)


class _Server:
    """Sends the rendered frames to whoever is connected; time starts when `clients` sockets have asked."""

    def __init__(self, rendered: Rendered, *, clients: int, flood: bool) -> None:
        self.rendered = rendered
        self.flood = flood
        self.clients = clients
        self.sockets: dict[str, list[tuple[web.Request, web.WebSocketResponse]]] = defaultdict(list)
        self.subscribed = asyncio.Semaphore(0)
        self.offset_ms = 0
        self.sent = 0

    async def socket(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(compress=False, autoping=True, timeout=_CLOSE_TIMEOUT_S)
        await socket.prepare(request)
        routes = [request.match_info["route"]] if "route" in request.match_info else ["public", "market"]
        for route in routes:
            self.sockets[route].append((request, socket))
        if "streams" in request.query:
            self.subscribed.release()
        async for message in socket:
            identity = json.loads(message.data).get("id")
            await socket.send_str(json.dumps({"result": None, "id": identity}))
            self.subscribed.release()
        return socket

    async def depth(self, request: web.Request) -> web.Response:
        kept = self.rendered.snapshots[request.query["symbol"]]
        second = min(self.offset_ms // 1000, len(kept) - 1)
        return web.Response(body=kept[second], content_type="application/json")

    async def run(self) -> None:
        for _ in range(self.clients):
            await self.subscribed.acquire()
        began_s = time.monotonic()
        end_ms = max(offsets[-1] for offsets in self.rendered.offsets_ms.values()) + _TICK_MS
        at = dict.fromkeys(self.rendered.frames, 0)
        while self.offset_ms < end_ms:
            self.offset_ms += _TICK_MS
            for route, frames in self.rendered.frames.items():
                upto = bisect.bisect_left(self.rendered.offsets_ms[route], self.offset_ms, at[route])
                await self._send(route, b"".join(frames[at[route] : upto]), upto - at[route])
                at[route] = upto
            if not self.flood:
                await asyncio.sleep(max(0.0, began_s + self.offset_ms / 1000 - time.monotonic()))
        for socket in self._all():  # a client answers once it has read everything before
            await socket.close(code=1001, message=b"over")
        print(json.dumps({"sent": self.sent, "seconds": time.monotonic() - began_s}), flush=True)

    def _all(self) -> list[web.WebSocketResponse]:
        return list({id(socket): socket for pairs in self.sockets.values() for _, socket in pairs}.values())

    async def _send(self, route: str, data: bytes, count: int) -> None:
        self.sent += count
        if not data:
            return
        for request, socket in self.sockets[route]:
            if request.transport is not None and not socket.closed:
                request.transport.write(data)
                await request.protocol._drain_helper()  # what aiohttp awaits after each write of its own


async def _serve(rendered: Rendered, clients: int, *, flood: bool) -> None:
    listings = tuple(LISTINGS[symbol] for symbol in rendered.snapshots)
    exchange = Exchange(Settings(listings, rendered.start_ms))
    server = _Server(rendered, clients=clients, flood=flood)
    application = web.Application()
    application.router.add_get("/fapi/v1/depth", server.depth)
    application.router.add_get("/{route:public|market}/stream", server.socket)
    application.router.add_get("/stream", server.socket)
    application.add_routes(rest_routes(exchange))
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(json.dumps({"url": f"http://127.0.0.1:{runner.addresses[0][1]}"}), flush=True)
    await server.run()
    await asyncio.sleep(2.0)
    await runner.cleanup()


def main(
    seconds: Annotated[int, typer.Option()] = 60,
    rate: Annotated[float, typer.Option()] = 5000.0,
    symbols: Annotated[str, typer.Option()] = ",".join(LISTINGS),
    clients: Annotated[int, typer.Option(help="Sockets that must have subscribed before time starts.")] = 2,
    flood: Annotated[bool, typer.Option("--flood")] = False,  # noqa: FBT002 - a flag
) -> None:
    """Serve once."""
    rendered = render(symbols.split(","), int(time.time() * 1000) + 20_000, seconds, rate)
    asyncio.run(_serve(rendered, clients, flood=flood))


if __name__ == "__main__":
    typer.run(main)
