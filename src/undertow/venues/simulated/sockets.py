"""The WebSocket side: routes, live subscriptions, pings (PROTOCOL A1)."""

import asyncio
import contextlib
import re
import socket as sockets
import struct
from collections import deque
from collections.abc import Callable

import msgspec
from aiohttp import ClientConnectionResetError, WSMsgType, web

from undertow.venues.simulated.exchange import Exchange
from undertow.venues.simulated.rules import RULES, Rules
from undertow.venues.simulated.subscribers import Form

__all__ = ["Client", "answer", "serve_exchange_socket", "serve_socket"]

_LONGEST_MESSAGE_BYTES = 64 * 1024
_CLOSE_TIMEOUT_S = 2.0
_SETTLE_WITHIN_S = 1.0
_IDENTITY = re.compile(r"[0-9A-Za-z]{1,36}\Z")
_GONE = (ConnectionResetError, ClientConnectionResetError)

JsonValue = bool | int | float | str | None | list["JsonValue"] | dict[str, "JsonValue"]


class Client:
    """A connected socket with its subscriptions."""

    def __init__(
        self,
        exchange: Exchange,
        socket: web.WebSocketResponse,
        request: web.Request,
        route: str,
        rules: Rules = RULES["usdm"],
        on_violation: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.exchange = exchange
        self.route = route
        self.rules = rules
        self.on_violation = on_violation
        self.is_combined = request.path.endswith("/stream")
        self.streams: dict[str, None] = {}
        """Names as subscribed to, in order, served or not."""
        self.pong_due_s: float | None = None
        self.has_pings = True
        """Whether it is pinged."""
        self.busiest_second = 0
        """Most messages that it has sent within a second."""
        self._is_silent = False
        self._socket = socket
        self._request = request
        self._message_times: deque[float] = deque()
        self._settled = asyncio.Event()
        self._awaited = b""

    async def send(self, wrapped: bytes, payload: bytes) -> None:
        """Send a frame, and wait while the client has too much unread."""
        if self._is_silent:
            return
        with contextlib.suppress(*_GONE):
            await self._socket.send_frame(wrapped if self.is_combined else payload, WSMsgType.TEXT)

    async def send_as(self, form: Form, wrapped: bytes, payload: bytes) -> None:
        """`send` in an unusual form."""
        message = wrapped if self.is_combined else payload
        transport = self._request.transport
        if self._is_silent or transport is None or transport.is_closing():
            return
        if form is Form.FRAGMENTS:
            transport.write(_fragments(message))
            return
        kind = WSMsgType.BINARY if form is Form.BINARY else WSMsgType.TEXT
        with contextlib.suppress(*_GONE):
            await self._socket.send_frame(message, kind)

    async def settle(self) -> None:
        """Ping, and wait a second at most for the pong: the client has then read all sent before."""
        if not self.has_pings or self._is_silent:
            return
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

    def reset(self) -> None:
        """Cut the connection with a TCP reset: a socket that lingers for no time at all."""
        transport = self._request.transport
        if transport is None:
            return
        raw = transport.get_extra_info("socket")
        if raw is not None:
            raw.setsockopt(sockets.SOL_SOCKET, sockets.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()

    def fall_silent(self) -> None:
        """Send and answer nothing any more, not even that the client has closed, and stay open."""
        self._is_silent = True
        if isinstance(self._request.transport, asyncio.Transport):
            self._request.transport.pause_reading()

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
        while times and now_s - times[0] >= 1.0:
            times.popleft()
        times.append(now_s)
        self.busiest_second = max(self.busiest_second, len(times))
        return len(times) > self.rules.messages_per_second

    async def receive(self) -> None:
        """Handle what the client sends until it goes."""
        now = asyncio.get_running_loop().time
        async for message in self._socket:
            if self._is_silent:
                continue
            if message.type is WSMsgType.PONG:
                self.pong_due_s = None
                if message.data == self._awaited:
                    self._settled.set()
                continue
            if self.is_too_busy(now()):
                self.on_violation("messages")
                await self.close(1008, "Too many requests")
            elif message.type is WSMsgType.PING:
                await self._socket.pong(message.data)
            elif message.type is WSMsgType.TEXT:
                await self._socket.send_frame(answer(self, message.data), WSMsgType.TEXT)

    async def keep_alive(self) -> None:
        """Ping with the time as payload; cut a client that does not answer in time."""
        settings, now = self.exchange.settings, asyncio.get_running_loop().time
        every_s = _given(settings.ping_every_s, self.rules.ping_every_s)
        within_s = _given(settings.pong_within_s, self.rules.pong_within_s)
        while not self._socket.closed:
            await asyncio.sleep(every_s)
            if self._is_silent or not self.has_pings:
                continue
            if self.pong_due_s is not None and now() > self.pong_due_s:
                self.abort()
                return
            if self.pong_due_s is None:
                self.pong_due_s = now() + within_s
            with contextlib.suppress(*_GONE):
                await self._socket.ping(str(self.exchange.now_ms).encode())


def _given(value: float | None, usual: float) -> float:
    return usual if value is None else value


def _fragments(message: bytes) -> bytes:
    """A text message as three WebSocket fragments: the first says text, the others that they go on."""
    third = max(1, len(message) // 3)
    parts = (message[:third], message[third : 2 * third], message[2 * third :])
    return b"".join(
        _frame(first_byte, part) for first_byte, part in zip((0x01, 0x00, 0x80), parts, strict=True)
    )


def _frame(first_byte: int, part: bytes) -> bytes:
    length = len(part)
    if length < 126:
        return struct.pack("!BB", first_byte, length) + part
    if length < 1 << 16:
        return struct.pack("!BBH", first_byte, 126, length) + part
    return struct.pack("!BBQ", first_byte, 127, length) + part


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
        most = client.rules.streams_per_connection
        if method == "SUBSCRIBE" and len(client.streams.keys() | set(names)) > most:
            client.on_violation("streams")
            return _error(2, f"Invalid request: more than {most} streams on one connection", identity)
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


async def serve_socket(
    exchange: Exchange,
    request: web.Request,
    rules: Rules = RULES["usdm"],
    on_violation: Callable[[str], None] = lambda _: None,
) -> web.WebSocketResponse:
    """Handle a connection until it ends; `on_violation` hears of messages and streams that are too many."""
    socket = web.WebSocketResponse(
        timeout=_CLOSE_TIMEOUT_S, compress=False, autoping=False, max_msg_size=_LONGEST_MESSAGE_BYTES
    )
    await socket.prepare(request)
    client = Client(exchange, socket, request, _route(request.path), rules, on_violation)
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


async def serve_exchange_socket(exchange: Exchange, request: web.Request) -> web.StreamResponse:
    """`serve_socket` of the simulated exchange itself: with its limits, and refused where a fault says so."""
    refusal = exchange.director.refusal
    if refusal == 0 and request.transport is not None:
        request.transport.abort()
    if refusal is not None:
        return web.Response(status=refusal or 503)
    if not exchange.limits.connect(request.remote or ""):
        return web.Response(status=429, headers={"Retry-After": "300"})

    def note_violation(kind: str) -> None:
        exchange.limits.violations[kind] += 1

    return await serve_socket(exchange, request, exchange.settings.rules, note_violation)
