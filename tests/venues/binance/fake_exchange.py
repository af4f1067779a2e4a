"""A small exchange on loopback: combined streams with routes, live SUBSCRIBE, and scripted REST answers."""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any, Self

import msgspec
from aiohttp import WSMsgType, web

from undertow.venues.binance.endpoints import Endpoints, endpoints_for

__all__ = ["FakeExchange", "Line", "RecordingSink", "Waiter", "combined"]

EXCHANGE_INFO = {
    "rateLimits": [
        {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 1200}
    ],
    "symbols": [
        {
            "symbol": symbol,
            "status": status,
            "contractType": "PERPETUAL",
            "filters": [
                {"filterType": "PRICE_FILTER", "minPrice": "1", "tickSize": "0.10"},
                {"filterType": "LOT_SIZE", "stepSize": "0.001"},
            ],
        }
        for symbol, status in [("BTCUSDT", "TRADING"), ("ETHUSDT", "TRADING"), ("DOTUSDT", "SETTLING")]
    ],
}


class Waiter:
    """Wakes whoever waits for a condition whenever something happened."""

    def __init__(self) -> None:
        self._changed = asyncio.Event()

    def notify(self) -> None:
        self._changed.set()

    async def until(self, condition: Callable[[], bool], timeout_s: float = 10.0) -> None:
        async with asyncio.timeout(timeout_s):
            while not condition():
                self._changed.clear()
                await self._changed.wait()


@dataclass
class Line:
    """A socket as the exchange sees it."""

    path: str
    socket: web.WebSocketResponse
    request: web.Request
    requests: list[dict[str, Any]] = field(default_factory=list)
    streams: list[str] = field(default_factory=list)
    pongs: list[bytes] = field(default_factory=list)
    is_open: bool = True
    close_code: int | None = None

    def cut(self) -> None:
        """Reset the connection without a close frame."""
        assert self.request.transport is not None
        self.request.transport.abort()

    def write(self, data: bytes) -> None:
        """Put bytes on the wire as they are."""
        assert self.request.transport is not None
        self.request.transport.write(data)


@dataclass
class Reply:
    status: int = 200
    body: bytes = b"{}"
    headers: dict[str, str] = field(default_factory=dict)


def combined(stream: str, **data: Any) -> bytes:
    return msgspec.json.encode({"stream": stream, "data": data})


class FakeExchange:
    """Usage: `async with FakeExchange() as exchange`; `exchange.endpoints` leads to it."""

    def __init__(self) -> None:
        self.waiter = Waiter()
        self.lines: list[Line] = []
        self.calls: list[str] = []
        self.scripted: dict[str, deque[Reply]] = {}
        self.refused_connects = 0
        self.refusal: bytes | None = None
        self.ends_with: int | None = None
        self.endpoints: Endpoints = endpoints_for("binance-usdm")

    async def __aenter__(self) -> Self:
        application = web.Application()
        application.router.add_get("/fapi/v1/{name}", self._answer)
        application.router.add_get("/{route}/stream", self._serve)
        self._runner = web.AppRunner(application, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        port = self._runner.addresses[0][1]
        self.endpoints = endpoints_for("binance-usdm", f"http://127.0.0.1:{port}")
        return self

    async def __aexit__(self, *_: object) -> None:
        for line in self.open_lines():
            line.cut()
        await self._runner.cleanup()

    def open_lines(self, path: str = "") -> list[Line]:
        return [line for line in self.lines if line.is_open and path in line.path]

    def script(self, name: str, *replies: Reply) -> None:
        self.scripted.setdefault(name, deque()).extend(replies)

    async def _answer(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        self.calls.append(request.path_qs)
        self.waiter.notify()
        waiting = self.scripted.get(name)
        if waiting:
            reply = waiting.popleft()
        elif name == "exchangeInfo":
            reply = Reply(body=msgspec.json.encode(EXCHANGE_INFO))
        else:
            reply = Reply(body=b'{"lastUpdateId":7,"E":1,"T":1,"bids":[["1.0","2"]],"asks":[["1.1","2"]]}')
        return web.Response(status=reply.status, body=reply.body, headers=reply.headers)

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        if self.refused_connects:
            self.refused_connects -= 1
            return web.Response(status=503)
        socket = web.WebSocketResponse(autoping=False)
        await socket.prepare(request)
        line = Line(request.path, socket, request)
        self.lines.append(line)
        async for message in socket:
            if message.type == WSMsgType.PONG:
                line.pongs.append(bytes(message.data))
            elif message.type == WSMsgType.TEXT:
                await self._attend(line, message.data)
            self.waiter.notify()
        line.is_open = False
        line.close_code = socket.close_code
        self.waiter.notify()
        return socket

    async def _attend(self, line: Line, text: str) -> None:
        request = msgspec.json.decode(text)
        line.requests.append(request)
        if self.refusal is not None:
            await line.socket.send_bytes(self.refusal)
            return
        line.streams.extend(request["params"])
        await line.socket.send_str(f'{{"result":null,"id":{request["id"]}}}')

    async def subscribed(self, count: int = 1, path: str = "") -> list[Line]:
        """The open sockets on a path, once there are so many with subscriptions."""

        def ready() -> list[Line]:
            return [line for line in self.open_lines(path) if line.streams]

        await self.waiter.until(lambda: len(ready()) >= count)
        return ready()

    async def publish(self, frame: bytes) -> None:
        """Send to every socket that is subscribed to the frame's stream and on the stream's route."""
        stream = msgspec.json.decode(frame)["stream"]
        suffix = stream.partition("@")[2]
        kinds = self.endpoints.streams.values()
        route = next(kind.category for kind in kinds if kind.template.endswith("@" + suffix))
        for line in self.open_lines(f"/{route}/"):
            if stream in line.streams:
                with contextlib.suppress(ConnectionError):
                    await line.socket.send_str(frame.decode())


class RecordingSink:
    """Keeps what a feed delivers."""

    def __init__(self, waiter: Waiter) -> None:
        self.waiter = waiter
        self.frames: list[tuple[int, bytes]] = []
        self.losses: list[tuple[str, str, frozenset[str]]] = []
        self.alarms: list[str] = []

    def on_frame(self, receive_ns: int, frame: bytes) -> None:
        self.frames.append((receive_ns, frame))
        self.waiter.notify()

    def on_disconnect(self, receive_ns: int, category: str, reason: str, streams: frozenset[str]) -> None:
        self.losses.append((category, reason, streams))
        self.waiter.notify()

    def on_alarm(self, message: str) -> None:
        self.alarms.append(message)
        self.waiter.notify()


@contextlib.asynccontextmanager
async def running(task_of: Any) -> AsyncIterator[asyncio.Task[Any]]:
    """A task that is cancelled when the block is left, unless it has finished."""
    task = asyncio.ensure_future(task_of)
    try:
        yield task
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
