"""Keeps the sockets of one market alive: subscribe, watch, replace, hand over without losing a frame."""

import asyncio
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

import msgspec
import structlog
from picows import WSError
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type
from tenacity.wait import wait_random_exponential

from undertow.venues.binance.connection import Connection, open_connection, wait_for_change
from undertow.venues.binance.endpoints import Endpoints, websocket_url

__all__ = ["Feed", "FeedSettings", "FeedSink", "ReceiveClock"]

log = structlog.get_logger(__name__)

_STREAMS_PER_REQUEST = 100
_GOING_AWAY = 1001


class FeedSink(Protocol):
    """Who receives what the feed receives. Called on the event loop; must return quickly."""

    def on_frame(self, receive_ns: int, frame: bytes) -> None:
        """A whole message, as it came. While a socket is being handed over it may come twice."""

    def on_disconnect(self, receive_ns: int, category: str, reason: str, streams: frozenset[str]) -> None:
        """Frames of these streams may be missing from here on."""

    def on_alarm(self, message: str) -> None:
        """Something a person should know."""


@dataclass(frozen=True, slots=True)
class FeedSettings:
    """Times in seconds."""

    heartbeat_s: float = 10.0
    """A subscribed socket without data for this long is replaced (times the patience of its stream kinds)."""
    rollover_s: float = 23 * 3600 + 50 * 60
    """Age at which a socket is replaced; the exchange cuts it at 24 h."""
    stable_s: float = 30.0
    """A socket that delivered for this long resets the backoff."""
    backoff_s: float = 0.5
    backoff_limit_s: float = 30.0
    connect_timeout_s: float = 10.0
    handover_timeout_s: float = 15.0
    """How long a new socket may take to deliver what the old one delivers."""
    handover_retry_s: float = 10.0
    close_timeout_s: float = 5.0
    end_on_going_away: bool = False
    """Take a close frame 1001 as the end of the market (a simulation that is over), not as a loss."""


class ReceiveClock:
    """Local time in ns since the epoch that never goes backwards."""

    def __init__(self) -> None:
        self._newest_ns = 0

    def __call__(self) -> int:
        """Now."""
        self._newest_ns = max(self._newest_ns, time.time_ns())
        return self._newest_ns


class _Lost(Exception):  # noqa: N818 - a signal to the retry loop, not an error
    """A socket could not be opened, or was lost before it had proved stable."""


@dataclass(slots=True)
class _Line:
    """The streams that share a socket."""

    category: str
    streams: tuple[str, ...]
    patience_s: dict[str, float]
    """Stream → silence after which something is wrong; streams that may be silent are not in it."""
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    rollover_at_s: float = 0.0
    is_overlapping: bool = False
    is_finished: bool = False
    was_lost: bool = False
    alarmed: set[str] = field(default_factory=set)

    @property
    def silence_s(self) -> float:
        """Silence of the whole socket after which it is replaced."""
        return min(self.patience_s.values(), default=float("inf"))


class Feed:
    """The sockets of one market: one per route category, more where there are very many streams.

    Usage: `feed = Feed(endpoints, stream_names(...), sink); await feed.run()`, ended by `feed.stop()`.
    """

    def __init__(
        self,
        endpoints: Endpoints,
        streams: Mapping[str, Sequence[str]],
        sink: FeedSink,
        settings: FeedSettings | None = None,
        clock: ReceiveClock | None = None,
    ) -> None:
        self.settings = settings or FeedSettings()
        self.counters: Counter[str] = Counter()
        self._endpoints = endpoints
        self._sink = sink
        self._clock = clock or ReceiveClock()
        self._lines = _lines(endpoints, streams, self.settings.heartbeat_s)
        self._stopping = asyncio.Event()
        self._requests = 0
        self._open: set[Connection] = set()

    async def run(self) -> None:
        """Receive until stopped, or until the market has ended where the settings allow it to."""
        try:
            async with asyncio.TaskGroup() as group:
                for line in self._lines:
                    group.create_task(self._keep(line))
        finally:
            for connection in self._open:
                connection.abort("the feed was abandoned")

    def stop(self) -> None:
        """Close every socket with a handshake; `run` returns when they are closed."""
        self._stopping.set()
        for line in self._lines:
            line.changed.set()

    async def _keep(self, line: _Line) -> None:
        """Serve the line for ever; the backoff begins anew after every stable socket."""
        settings = self.settings
        while not (self._stopping.is_set() or line.is_finished):
            retrying = AsyncRetrying(
                retry=retry_if_exception_type(_Lost),
                wait=wait_random_exponential(multiplier=settings.backoff_s, max=settings.backoff_limit_s),
                stop=lambda _: self._stopping.is_set(),
                sleep=self._pause,
                before_sleep=partial(_log_reconnect, line.category),
                reraise=True,
            )
            try:
                await retrying(self._serve, line)
            except _Lost:
                return

    async def _pause(self, duration_s: float) -> None:
        """Sleep, unless the feed is stopped meanwhile."""
        try:
            async with asyncio.timeout(duration_s):
                await self._stopping.wait()
        except TimeoutError:
            return

    async def _serve(self, line: _Line) -> None:
        """One socket after another, each taking over from the last, until one is lost or `stop`."""
        if self._stopping.is_set():
            return
        connection = await self._connect(line)
        self.counters["reconnects"] += line.was_lost
        while True:
            await self._watch(line, connection)
            if self._stopping.is_set():
                await connection.retire(self.settings.close_timeout_s)
                return
            if connection.has_ended:
                break
            connection = await self._hand_over(line, connection)
        self._lose(line, connection)

    def _lose(self, line: _Line, connection: Connection) -> None:
        if self.settings.end_on_going_away and connection.close_code == _GOING_AWAY:
            log.info("market_ended", category=line.category, reason=connection.reason)
            line.is_finished = True
            return
        self._report_loss(line, connection)
        began_s = connection.first_data_s
        if began_s is None or connection.last_data_s - began_s < self.settings.stable_s:
            raise _Lost(connection.reason)

    def _report_loss(self, line: _Line, connection: Connection) -> None:
        line.was_lost = True
        self.counters["disconnects"] += 1
        log.warning("connection_lost", category=line.category, reason=connection.reason)
        self._sink.on_disconnect(self._clock(), line.category, connection.reason, frozenset(line.streams))

    async def _connect(self, line: _Line) -> Connection:
        """Open a socket and subscribe; raises _Lost."""
        url = websocket_url(self._endpoints, line.category)
        receive = partial(self._receive, line)
        try:
            connection = await open_connection(url, receive, line.changed, self.settings.connect_timeout_s)
        except (OSError, WSError, TimeoutError) as error:
            self.counters["failed_connects"] += 1
            raise _Lost(f"{url}: {str(error) or type(error).__name__}") from error
        self.counters["connections"] += 1
        self._open = {known for known in self._open if not known.has_ended} | {connection}
        await self._subscribe(line, connection)
        line.rollover_at_s = connection.opened_s + self.settings.rollover_s
        return connection

    async def _subscribe(self, line: _Line, connection: Connection) -> None:
        """Ask for the streams, in requests well below the exchange's limit on messages."""
        for start in range(0, len(line.streams), _STREAMS_PER_REQUEST):
            if start:
                await self._pause(2.0 / self._endpoints.messages_per_second)
            self._requests += 1
            names = line.streams[start : start + _STREAMS_PER_REQUEST]
            request = {"method": "SUBSCRIBE", "params": names, "id": self._requests}
            connection.send(msgspec.json.encode(request))

    def _receive(self, line: _Line, frame: bytes) -> None:
        self.counters["frames"] += 1
        self.counters["bytes"] += len(frame)
        if line.is_overlapping:
            self.counters["overlapping_frames"] += 1
        self._sink.on_frame(self._clock(), frame)

    async def _watch(self, line: _Line, connection: Connection) -> None:
        """Until the socket has ended or is due for replacement, or the feed is stopped."""
        now = time.monotonic
        suspected_s = -1.0
        while not (self._stopping.is_set() or connection.has_ended or connection.is_retiring):
            self._raise_refusals(line, connection)
            alarm_at_s = self._check_streams(line, connection, now())
            silent_at_s = connection.last_data_s + line.silence_s
            if now() >= line.rollover_at_s:
                return
            if now() >= silent_at_s:
                # If we were busy ourselves, the data may wait unread: look again before believing it.
                if suspected_s == connection.last_data_s:
                    self._declare_silent(line, connection)
                suspected_s = connection.last_data_s
                silent_at_s = now() + 0.1 * line.silence_s
            await wait_for_change(line.changed, min(silent_at_s, alarm_at_s, line.rollover_at_s) - now())

    def _declare_silent(self, line: _Line, connection: Connection) -> None:
        reason = f"no data for {line.silence_s:g} s"
        if connection.first_data_s is None:
            self._alarm(line, line.category, _never_any_data(self._endpoints, line))
        connection.abort(reason)

    def _check_streams(self, line: _Line, connection: Connection, now_s: float) -> float:
        """Raise an alarm for each stream silent since its subscription; when to look again [s]."""
        if connection.first_data_s is None:
            return float("inf")
        next_s = float("inf")
        for stream, patience_s in line.patience_s.items():
            if stream.encode() in connection.last_seen_s:
                line.alarmed.discard(stream)
            elif now_s >= (due_s := connection.opened_s + 3 * patience_s):
                self._alarm(
                    line, stream, _silent_stream(self._endpoints, line, stream, now_s - connection.opened_s)
                )
            else:
                next_s = min(next_s, due_s)
        return next_s

    def _raise_refusals(self, line: _Line, connection: Connection) -> None:
        while connection.refusals:
            said = connection.refusals.pop()
            self._alarm(
                line, said, f"{self._endpoints.venue}: a subscription on {line.category} was refused: {said}"
            )

    def _alarm(self, line: _Line, key: str, message: str) -> None:
        if key not in line.alarmed:
            line.alarmed.add(key)
            self.counters["alarms"] += 1
            self._sink.on_alarm(message)

    async def _hand_over(self, line: _Line, current: Connection) -> Connection:
        """Open a second socket, and close the first only when the second delivers; the one to go on with."""
        try:
            successor = await self._connect(line)
        except _Lost as error:
            log.warning("handover_failed", category=line.category, reason=str(error))
            return self._postpone(line, current)
        line.is_overlapping = True
        try:
            is_ready = await self._overlap(line, successor, current)
            if current.has_ended and not is_ready:
                self._report_loss(line, current)
                return successor
            if not is_ready and (successor.has_ended or successor.first_data_s is None):
                await successor.retire(self.settings.close_timeout_s)
                return self._postpone(line, current)
            await current.retire(self.settings.close_timeout_s)
        finally:
            line.is_overlapping = False
        self.counters["rollovers"] += 1
        log.info("connection_replaced", category=line.category)
        return successor

    async def _overlap(self, line: _Line, successor: Connection, current: Connection) -> bool:
        """Wait while both deliver; whether the new socket delivered all that the old one does."""
        now = time.monotonic
        deadline_s = now() + self.settings.handover_timeout_s
        while not self._delivers_as(successor, current, now()):
            ended = successor.has_ended or current.has_ended or self._stopping.is_set()
            if ended or now() >= deadline_s:
                return False
            await wait_for_change(line.changed, deadline_s - now())
        return True

    def _delivers_as(self, successor: Connection, current: Connection, now_s: float) -> bool:
        since_s = now_s - self.settings.heartbeat_s
        lively = {stream for stream, seen_s in current.last_seen_s.items() if seen_s >= since_s}
        return successor.is_subscribed and lively <= successor.last_seen_s.keys()

    def _postpone(self, line: _Line, current: Connection) -> Connection:
        """Stay with the old socket for a while."""
        current.is_retiring = False
        line.rollover_at_s = time.monotonic() + self.settings.handover_retry_s
        return current


def _lines(endpoints: Endpoints, streams: Mapping[str, Sequence[str]], heartbeat_s: float) -> list[_Line]:
    most = endpoints.streams_per_connection
    lines = []
    for category, names in streams.items():
        for start in range(0, len(names), most):
            share = tuple(names[start : start + most])
            lines.append(_Line(category, share, _patience_s(endpoints, share, heartbeat_s)))
    return lines


def _patience_s(endpoints: Endpoints, streams: Sequence[str], heartbeat_s: float) -> dict[str, float]:
    by_suffix = {kind.template.partition("@")[2]: kind.patience for kind in endpoints.streams.values()}
    patience = {stream: by_suffix.get(stream.partition("@")[2]) for stream in streams}
    return {stream: factor * heartbeat_s for stream, factor in patience.items() if factor is not None}


def _never_any_data(endpoints: Endpoints, line: _Line) -> str:
    shown = ", ".join(line.streams[:3]) + (", …" if len(line.streams) > 3 else "")
    url = websocket_url(endpoints, line.category)
    return (
        f"{url}: connected and subscribed to {len(line.streams)} streams "
        f"({shown}), but no data came for {line.silence_s:g} s. The exchange acknowledges streams that it "
        f"does not serve on this route: most likely the route is wrong for them, or the symbols do not trade"
    )


def _silent_stream(endpoints: Endpoints, line: _Line, stream: str, silent_s: float) -> str:
    url = websocket_url(endpoints, line.category)
    return (
        f"{url}: {stream} has sent nothing in the {silent_s:.0f} s since it "
        f"was subscribed to, while other streams do: most likely it belongs on another route, its name is "
        f"wrong, or its symbol does not trade"
    )


def _log_reconnect(category: str, state: RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    log.warning("reconnecting", category=category, reason=str(error), pause_s=round(state.upcoming_sleep, 2))
