"""The simulated Bybit as a server on loopback: `async with serve_bybit(settings) as server:`.

Run as a module it serves two markets in real time until SIGINT or SIGTERM, with nothing to set.
"""

import asyncio
import contextlib
import json
import signal
import sys
import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

import msgspec
from aiohttp import ClientConnectionResetError, WSMsgType, web

from undertow.errors import VenueError
from undertow.venues.simulated.listings import find_listings
from undertow.venues.simulated_bybit.exchange import BybitExchange
from undertow.venues.simulated_bybit.rest import rest_routes
from undertow.venues.simulated_bybit.settings import BybitSettings

__all__ = ["BybitServer", "serve_bybit", "serve_bybit_until_stopped"]

_HOST = "127.0.0.1"
_SOCKET_PATH = "/v5/public/linear"
_GONE = (ConnectionResetError, ClientConnectionResetError)
_SETTLE_WITHIN_S = 1.0


@dataclass(frozen=True, slots=True)
class BybitServer:
    """A running server."""

    exchange: BybitExchange
    port: int

    @property
    def url(self) -> str:
        """Base address of REST and, with `ws` for `http`, of the sockets."""
        return f"http://{_HOST}:{self.port}"


class _Request(msgspec.Struct, frozen=True):
    op: str
    args: list[str] = []  # msgspec makes a new list each time
    req_id: str | None = None


class _Client:
    """A connected socket with its subscriptions."""

    def __init__(self, exchange: BybitExchange, socket: web.WebSocketResponse, request: web.Request) -> None:
        self.topics: set[str] = set()
        self._exchange = exchange
        self._socket = socket
        self._request = request
        self._identity = str(uuid.uuid4())
        self._settled = asyncio.Event()

    async def send(self, frame: bytes) -> None:
        """Send a frame, and wait while too much is unread."""
        with contextlib.suppress(*_GONE):
            await self._socket.send_frame(frame, WSMsgType.TEXT)

    async def settle(self) -> None:
        """Ping, and wait a second at most for the pong: the client has then read all sent before."""
        self._settled.clear()
        with contextlib.suppress(TimeoutError, *_GONE):
            await self._socket.ping()
            await asyncio.wait_for(self._settled.wait(), _SETTLE_WITHIN_S)

    def abort(self) -> None:
        """Cut the connection."""
        if self._request.transport is not None:
            self._request.transport.abort()

    async def close(self, code: int, reason: str) -> None:
        """Close with a close frame."""
        await self._socket.close(code=code, message=reason.encode())

    async def serve(self) -> None:
        """Answer requests until the socket is closed; raises TimeoutError where none comes for too long."""
        silence_s = self._exchange.settings.silence_s
        loop = asyncio.get_running_loop()
        heard_s = loop.time()
        while True:
            left_s = None if silence_s is None else max(0.001, heard_s + silence_s - loop.time())
            message = await self._socket.receive(timeout=left_s)
            if message.type is WSMsgType.PONG:
                self._settled.set()
            elif message.type is WSMsgType.PING:
                await self._socket.pong(message.data)
            elif message.type is WSMsgType.TEXT:
                heard_s = loop.time()
                await self._answer(message.data)
            else:
                return

    async def _answer(self, text: str) -> None:
        try:
            request = msgspec.json.decode(text, type=_Request)
        except msgspec.DecodeError:
            await self._reply(_Request("", req_id=""), "error:request is no JSON")
            return
        if request.op == "ping":
            self._exchange.pings += 1
            await self._reply(request, message="pong")
        elif request.op == "subscribe":
            await self._subscribe(request)
        elif request.op == "unsubscribe":
            self.topics -= set(request.args)
            await self._reply(request)
        else:
            await self._reply(request, "error:unknown op")

    async def _subscribe(self, request: _Request) -> None:
        """A request with a topic that there is not is refused as a whole."""
        exchange = self._exchange
        unknown = [name for name in request.args if not exchange.is_topic(name)]
        if exchange.refusals > 0:
            exchange.refusals -= 1
            await self._reply(request, "error:service busy")
        elif len(request.args) > exchange.settings.args_per_request:
            await self._reply(request, "error:too many args")
        elif unknown:
            await self._reply(request, f"error:handler not found,topic:{unknown[0]}")
        else:
            await self._reply(request)
            await exchange.subscribe(self, request.args)

    async def _reply(self, request: _Request, error: str = "", message: str = "") -> None:
        reply = {
            "success": not error,
            "ret_msg": error or message,
            "conn_id": self._identity,
            "req_id": request.req_id or "",
            "op": request.op,
        }
        await self.send(msgspec.json.encode(reply))


async def _serve_socket(exchange: BybitExchange, request: web.Request) -> web.StreamResponse:
    socket = web.WebSocketResponse(autoping=False, compress=False, timeout=2.0)
    await socket.prepare(request)
    client = _Client(exchange, socket, request)
    exchange.clients.append(client)
    try:
        with contextlib.suppress(TimeoutError):
            await client.serve()
    finally:
        exchange.clients.remove(client)
    return socket


@contextlib.asynccontextmanager
async def serve_bybit(settings: BybitSettings, port: int = 0) -> AsyncIterator[BybitServer]:
    """Run the exchange while the context is open; port 0 takes any that is free.

    Raises VenueError where the port cannot be had.
    """
    exchange = BybitExchange(settings)

    async def socket(request: web.Request) -> web.StreamResponse:
        return await _serve_socket(exchange, request)

    application = web.Application()
    application.add_routes([web.get(_SOCKET_PATH, socket), *rest_routes(exchange)])
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=1.0, handler_cancellation=True)
    await runner.setup()
    site = web.TCPSite(runner, _HOST, port)
    try:
        await site.start()
    except OSError as error:
        await runner.cleanup()
        raise VenueError(f"port {port} cannot be opened ({error.strerror}); choose another, or 0") from error
    market = asyncio.create_task(exchange.run())
    try:
        yield BybitServer(exchange, int(runner.addresses[0][1]))
    finally:
        market.cancel()
        try:
            with contextlib.suppress(asyncio.CancelledError):
                await market
        finally:
            await runner.cleanup()


async def serve_bybit_until_stopped(
    settings: BybitSettings, port: int, announce: Callable[[str], object]
) -> None:
    """Serve until SIGINT or SIGTERM; `announce` gets one line of JSON with the address when it is ready."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    async with serve_bybit(settings, port) as server:
        symbols = [listing.symbol for listing in settings.listings]
        announce(json.dumps({"url": server.url, "symbols": symbols, "start_ms": settings.start_ms}))
        await stopped.wait()


if __name__ == "__main__":
    asyncio.run(
        serve_bybit_until_stopped(
            BybitSettings(find_listings("BTCUSDT,ETHUSDT")),
            port=0,
            announce=lambda line: sys.stdout.write(line + "\n") and sys.stdout.flush(),
        )
    )
