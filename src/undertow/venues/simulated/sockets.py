"""The WebSocket side: routes, live subscriptions, pings (PROTOCOL A1)."""

import asyncio
import contextlib
import re
from collections import deque

import msgspec
from aiohttp import ClientConnectionResetError, WSMsgType, web

from undertow.venues.simulated.exchange import Exchange

__all__ = ["Client", "answer", "serve_socket"]

_MESSAGES_PER_SECOND = 10
_LONGEST_MESSAGE_BYTES = 64 * 1024
_CLOSE_TIMEOUT_S = 2.0
_SETTLE_WITHIN_S = 1.0
_IDENTITY = re.compile(r"[0-9A-Za-z]{1,36}\Z")
_GONE = (ConnectionResetError, ClientConnectionResetError)

JsonValue = bool | int | float | str | None | list["JsonValue"] | dict[str, "JsonValue"]


class Client:
    """A connected socket with its subscriptions."""

    def __init__(
        self, exchange: Exchange, socket: web.WebSocketResponse, request: web.Request, route: str
    ) -> None:
        self.exchange = exchange
        self.route = route
        self.is_combined = request.path.endswith("/stream")
        self.streams: dict[str, None] = {}
        """Names as subscribed to, in order, served or not."""
        self.pong_due_s: float | None = None
        self._socket = socket
        self._request = request
        self._message_times: deque[float] = deque(maxlen=_MESSAGES_PER_SECOND)
        self._settled = asyncio.Event()
        self._awaited = b""

    async def send(self, wrapped: bytes, payload: bytes) -> None:
        """Send a frame, and wait while the client has too much unread."""
        with contextlib.suppress(*_GONE):
            await self._socket.send_frame(wrapped if self.is_combined else payload, WSMsgType.TEXT)

    async def settle(self) -> None:
        """Ping, and wait a second at most for the pong: the client has then read all sent before."""
        self._settled.clear()
        self._awaited = f"settle {self.exchange.now_ms}".encode()
        with contextlib.suppress(TimeoutError, *_GONE):
            await self._socket.ping(self._awaited)
            await asyncio.wait_for(self._settled.wait(), _SETTLE_WITHIN_S)

    async def close(self, code: int, reason: str) -> None:
        """Close with a close frame."""
        await self._socket.close(code=code, message=reason.encode())

    def abort(self) -> None:
        """Cut the connection."""
        if self._request.transport is not None:
            self._request.transport.abort()

    def subscribe(self, names: list[str]) -> None:
        """Add streams. A name that is no stream is accepted like any other, as on the exchange."""
        for name in names:
            self.streams[name] = None
            self.exchange.subscribe(self, name)

    def unsubscribe(self, names: list[str]) -> None:
        """Remove streams."""
        for name in names:
            self.streams.pop(name, None)
            self.exchange.unsubscribe(self, name)

    def is_too_busy(self, now_s: float) -> bool:
        """Whether this message is one too many within a second."""
        times = self._message_times
        too_many = len(times) == times.maxlen and now_s - times[0] < 1.0
        times.append(now_s)
        return too_many

    async def receive(self) -> None:
        """Handle what the client sends until it goes."""
        now = asyncio.get_running_loop().time
        async for message in self._socket:
            if message.type is WSMsgType.PONG:
                self.pong_due_s = None
                if message.data == self._awaited:
                    self._settled.set()
                continue
            if self.is_too_busy(now()):
                await self.close(1008, "Too many requests")
            elif message.type is WSMsgType.PING:
                await self._socket.pong(message.data)
            elif message.type is WSMsgType.TEXT:
                await self._socket.send_frame(answer(self, message.data), WSMsgType.TEXT)

    async def keep_alive(self) -> None:
        """Ping with the time as payload; cut a client that does not answer in time."""
        settings, now = self.exchange.settings, asyncio.get_running_loop().time
        while not self._socket.closed:
            await asyncio.sleep(settings.ping_every_s)
            if self.pong_due_s is not None and now() > self.pong_due_s:
                self.abort()
                return
            if self.pong_due_s is None:
                self.pong_due_s = now() + settings.pong_within_s
            with contextlib.suppress(*_GONE):
                await self._socket.ping(str(self.exchange.now_ms).encode())


def answer(client: Client, text: str) -> bytes:
    """Carry out a control message; the reply.

    Errors: 0 unknown property, 1 wrong type of value, 2 invalid request, 3 invalid JSON.
    """
    try:
        request: JsonValue = msgspec.json.decode(text)
    except msgspec.DecodeError:
        return _error(3, "Invalid JSON: expected value at line 1 column 1", None)
    if not isinstance(request, dict):
        return _error(2, "Invalid request: request must be a JSON object", None)
    identity = request.get("id")
    if not _is_identity(identity):
        return _error(2, "Invalid request: request ID must be an integer, a short text or null", None)
    method, params = request.get("method"), request.get("params")
    if method in {"SUBSCRIBE", "UNSUBSCRIBE"}:
        names = params if isinstance(params, list) else None
        if not names or not all(isinstance(name, str) for name in names):
            return _error(2, "Invalid request: `params` must be a list of stream names", identity)
        act = client.subscribe if method == "SUBSCRIBE" else client.unsubscribe
        act([str(name) for name in names])
        return _result(None, identity)
    if method == "LIST_SUBSCRIPTIONS":
        return _result(list(client.streams), identity)
    if method in {"SET_PROPERTY", "GET_PROPERTY"}:
        return _property(client, str(method), params if isinstance(params, list) else [], identity)
    return _error(2, f"Invalid request: unknown method {method!r}", identity)


def _property(client: Client, method: str, params: list[JsonValue], identity: JsonValue) -> bytes:
    if params[:1] != ["combined"]:
        return _error(0, "Unknown property", identity)
    if method == "GET_PROPERTY":
        return _result(client.is_combined, identity)
    value = params[1] if len(params) > 1 else None
    if not isinstance(value, bool):
        return _error(1, "Invalid value type: expected Boolean", identity)
    client.is_combined = value
    return _result(None, identity)


def _is_identity(value: JsonValue) -> bool:
    if isinstance(value, str):
        return _IDENTITY.match(value) is not None
    return value is None or (isinstance(value, int) and not isinstance(value, bool))


def _result(result: JsonValue, identity: JsonValue) -> bytes:
    return msgspec.json.encode({"result": result, "id": identity})


def _error(code: int, message: str, identity: JsonValue) -> bytes:
    return msgspec.json.encode({"code": code, "msg": message, "id": identity})


def _route(path: str) -> str:
    first = path.split("/")[1]
    return first if first in {"public", "market", "private"} else "legacy"


def _streams_of_url(request: web.Request) -> list[str]:
    named = request.match_info.get("streams") or request.query.get("streams") or ""
    return [name for name in named.split("/") if name]


async def serve_socket(exchange: Exchange, request: web.Request) -> web.WebSocketResponse:
    """Handle a connection until it ends."""
    socket = web.WebSocketResponse(
        timeout=_CLOSE_TIMEOUT_S, compress=False, autoping=False, max_msg_size=_LONGEST_MESSAGE_BYTES
    )
    await socket.prepare(request)
    client = Client(exchange, socket, request, _route(request.path))
    if exchange.has_ended:
        await client.close(1001, "the simulated time is over")
        return socket
    exchange.clients.add(client)
    client.subscribe(_streams_of_url(request))
    pings = asyncio.create_task(client.keep_alive())
    try:
        with contextlib.suppress(*_GONE):
            await client.receive()
    finally:
        pings.cancel()
        exchange.leave(client)
    return socket
