"""One WebSocket to a venue: frames in, whole and in order, and what is known about its health."""

import asyncio
import time
from collections.abc import Callable

from aiolimiter import AsyncLimiter
from picows import WSCloseCode, WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

from undertow.venues.sockets.dialect import Dialect

__all__ = ["Connection", "OnMessage", "open_connection", "wait_for_change"]

OnMessage = Callable[[bytes | None, bytes], None]
"""Called with the stream that a message names, or None, and the whole message."""

_MAX_MESSAGE_BYTES = 64 * 1024 * 1024
_NO_STATUS = 1005


class Connection(WSListener):
    """A socket and its subscriptions. Messages go to `on_frame`; `changed` is set when its state changes.

    Times are those of the monotonic clock [s].
    """

    def __init__(
        self, dialect: Dialect, on_frame: OnMessage, changed: asyncio.Event, url: str = "", number: int = 0
    ) -> None:
        super().__init__()
        self.url = url
        self.number = number
        """Tells connections apart."""
        self.messages = AsyncLimiter(dialect.requests_per_s, 1.0)
        self._dialect = dialect
        self._on_frame = on_frame
        self._changed = changed
        self._fragments: list[bytes] = []
        self._transport: WSTransport | None = None
        self._silenced = ""
        self._requests = 0
        self.opened_s = time.monotonic()
        self.first_data_s: float | None = None
        self.last_data_s = self.opened_s
        self.last_seen_s: dict[bytes, float] = {}
        """Stream → when its last frame came."""
        self.longest_pause_s: dict[bytes, float] = {}
        """Stream → longest time between two of its frames."""
        self.acknowledged = 0
        self.refusals: list[str] = []
        """Error replies of the exchange to our requests."""
        self.has_ended = False
        self.is_retiring = False
        """The exchange announced that it will close this connection."""
        self.close_code: int | None = None
        self.close_reason = ""

    @property
    def reason(self) -> str:
        """Why it ended, in words."""
        if self._silenced:
            return self._silenced
        if self.close_code is None:
            return "connection lost without a close frame"
        return f"closed by the exchange: {self.close_code} {self.close_reason}".rstrip()

    @property
    def is_subscribed(self) -> bool:
        """Every request sent so far has been answered."""
        return self.acknowledged >= self._requests

    def on_ws_connected(self, transport: WSTransport) -> None:
        """Keep the transport."""
        self._transport = transport

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Put fragments together and pass whole messages on."""
        if frame.msg_type == WSMsgType.CLOSE:
            self._close_received(transport, frame)
        elif frame.msg_type in {WSMsgType.PING, WSMsgType.PONG}:
            return
        elif frame.fin and not self._fragments:
            self._receive(frame.get_payload_as_bytes())
        else:
            self._collect(frame)

    def _collect(self, frame: WSFrame) -> None:
        self._fragments.append(frame.get_payload_as_bytes())
        if sum(map(len, self._fragments)) > _MAX_MESSAGE_BYTES:
            self._fragments.clear()
            self.abort("a message of more than 64 MB")
        elif frame.fin:
            message = b"".join(self._fragments)
            self._fragments.clear()
            self._receive(message)

    def _receive(self, message: bytes) -> None:
        stream = self._dialect.stream_of(message)
        if stream is None and self._is_reply(message):
            return
        self._note_data(stream)
        self._on_frame(stream, message)

    def _is_reply(self, message: bytes) -> bool:
        """Take note of a reply or a notice about the connection; True for a reply, which is no data."""
        reply = self._dialect.reply_of(message)
        if reply is None:
            return False
        if reply.is_shutdown:
            self.is_retiring = True
        elif not reply.is_pong:
            self.acknowledged += 1
            if reply.error is not None:
                self.refusals.append(reply.error)
        self._changed.set()
        return not reply.is_shutdown

    def _note_data(self, stream: bytes | None) -> None:
        now_s = time.monotonic()
        self.last_data_s = now_s
        if stream is not None:
            before_s = self.last_seen_s.get(stream)
            if before_s is None:
                self._changed.set()
            elif now_s - before_s > self.longest_pause_s.get(stream, 0.0):
                self.longest_pause_s[stream] = now_s - before_s
            self.last_seen_s[stream] = now_s
            if self.first_data_s is None:
                self.first_data_s = now_s

    def _close_received(self, transport: WSTransport, frame: WSFrame) -> None:
        body = frame.get_payload_as_bytes()
        self.close_code = int.from_bytes(body[:2], "big") or _NO_STATUS
        self.close_reason = body[2:].decode("utf-8", "replace")
        if not transport.is_close_frame_sent:
            transport.send_close(WSCloseCode.OK)
        transport.disconnect()

    def on_ws_disconnected(self, transport: WSTransport) -> None:  # noqa: ARG002 - picows's signature
        """Nothing will come any more."""
        self.has_ended = True
        self._changed.set()

    def send(self, request: bytes) -> None:
        """Send a request; its reply counts towards `is_subscribed`."""
        if self._transport is not None and not self.has_ended:
            self._requests += 1
            self._transport.send(WSMsgType.TEXT, request)

    def ping(self, message: bytes) -> None:
        """Send a ping that is a message of the venue's; its reply counts for nothing."""
        if self._transport is not None and not self.has_ended:
            self._transport.send(WSMsgType.TEXT, message)

    def abort(self, reason: str) -> None:
        """Drop the connection without ceremony."""
        self._silenced = reason
        if self._transport is not None and not self.has_ended:
            self._transport.disconnect(graceful=False)

    async def retire(self, timeout_s: float) -> None:
        """Close with a handshake: what the exchange sent before it answers still arrives."""
        if self._transport is not None and not self.has_ended:
            self._transport.send_close(WSCloseCode.OK)
            await self._wait_until_ended(time.monotonic() + timeout_s)
            self.abort(self._silenced)

    async def _wait_until_ended(self, deadline_s: float) -> None:
        while not self.has_ended and time.monotonic() < deadline_s:
            await wait_for_change(self._changed, deadline_s - time.monotonic())


async def wait_for_change(changed: asyncio.Event, timeout_s: float) -> None:
    """Until `changed` is set, which is then cleared, or `timeout_s` has passed."""
    try:
        async with asyncio.timeout(max(0.0, timeout_s)):
            await changed.wait()
    except TimeoutError:
        return
    changed.clear()


async def open_connection(
    dialect: Dialect,
    url: str,
    on_frame: OnMessage,
    changed: asyncio.Event,
    timeout_s: float,
    number: int = 0,
) -> Connection:
    """Connect; raises OSError, TimeoutError or picows.WSError.

    The exchange's pings are answered by picows; our own are sent only when nothing comes, to notice a
    connection whose other end is gone. Pings that a venue wants as messages are the feed's to send.
    """
    async with asyncio.timeout(timeout_s):
        _, connection = await ws_connect(
            lambda: Connection(dialect, on_frame, changed, url, number),
            url,
            websocket_handshake_timeout=timeout_s,
            enable_auto_ping=True,
            auto_ping_idle_timeout=20,
            auto_ping_reply_timeout=20,
        )
    if not isinstance(connection, Connection):  # cut between the handshake and the first frame
        raise ConnectionError(f"{url}: the connection was lost as it was opened ({connection!r})")
    return connection
