"""Keeps the sockets of one market alive: subscribe, ping, watch, replace, hand over, losing no frame."""

import asyncio
import itertools
import time
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from functools import partial

import structlog
from aiolimiter import AsyncLimiter
from picows import WSError
from tenacity import AsyncRetrying, retry_if_exception_type
from tenacity.wait import wait_random_exponential

from undertow.venues.arbiter import Arbiter
from undertow.venues.feeding import FeedSettings, FeedSink, ReceiveClock
from undertow.venues.sockets.connection import Connection, open_connection, wait_for_change
from undertow.venues.sockets.dialect import SocketMarket
from undertow.venues.sockets.line import (
    Line,
    halted,
    lines_of,
    log_reconnect,
    moved,
    never_any_data,
    other_route,
    silent_stream,
)
from undertow.venues.sockets.requests import Requests

__all__ = ["Feed"]

log = structlog.get_logger(__name__)

_CONNECTS, _CONNECT_WINDOW_S = 250, 300.0
"""The exchange refuses an address after 300 attempts in five minutes."""
_REMEDIES_AT = (3.0, 4.0, 6.0)
"""Silence of a stream, in its patience, after which it is subscribed to anew, asked for on another route, and
its socket is replaced."""


class _Lost(Exception):  # noqa: N818 - a signal to the retry loop, not an error
    """A socket could not be opened, or was lost before it had proved stable."""


class Feed:
    """The sockets of one market: one per route category, more where there are very many streams or copies.

    Usage: `feed = Feed(market, streams, sink); await feed.run()`, ended by `feed.stop()`. `streams` are the
    names of streams by category.
    """

    def __init__(
        self,
        market: SocketMarket,
        streams: Mapping[str, Sequence[str]],
        sink: FeedSink,
        settings: FeedSettings | None = None,
        clock: ReceiveClock | None = None,
    ) -> None:
        self.settings = settings or FeedSettings()
        self.counters: Counter[str] = Counter()
        self.arbiter = Arbiter(market.dialect.numbering_of, self._emit, self.settings.hole_wait_s)
        self._market = market
        self._sink = sink
        self._clock = clock or ReceiveClock()
        self._lines = lines_of(market, streams, self.settings.heartbeat_s, self.settings.copies)
        self._stopping = asyncio.Event()
        self._requests = Requests(market.dialect, self.counters)
        self._numbers = itertools.count()
        self._open: dict[int, Connection] = {}
        self._connects = AsyncLimiter(_CONNECTS, _CONNECT_WINDOW_S)
        self._group: asyncio.TaskGroup | None = None
        self._keepers: set[asyncio.Task[None]] = set()
        self._is_halted = False

    async def run(self) -> None:
        """Receive until stopped, or until the market has ended where the settings allow it to."""
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                self._start(self._lines)
                beside = [
                    group.create_task(self._expire_holes()),
                    group.create_task(self._requests.keep_pinging(lambda: [*self._open.values()])),
                ]
                while self._keepers:
                    _, self._keepers = await asyncio.wait(self._keepers, return_when=asyncio.FIRST_COMPLETED)
                self._stopping.set()
                for task in beside:
                    task.cancel()
        finally:
            for connection in self._open.values():
                connection.abort("the feed was abandoned")

    def add(self, streams: Mapping[str, Sequence[str]]) -> None:
        """Carry more streams, on sockets of their own: those that are open are not touched."""
        lines = lines_of(self._market, streams, self.settings.heartbeat_s, self.settings.copies)
        self._lines += lines
        self._start(lines)

    async def drop(self, streams: Collection[str]) -> None:
        """Carry these streams no longer; a socket that has no other is closed."""
        for line in self._lines:
            gone = [name for name in line.streams if name in streams]
            if not gone:
                continue
            line.streams = tuple(name for name in line.streams if name not in streams)
            for name in gone:
                line.patience_s.pop(name, None)
            if not line.streams:
                line.is_finished = True
                line.changed.set()
            elif line.connection is not None and not line.connection.has_ended:
                await self._requests.unsubscribe(line.connection, gone)
        self._lines = [line for line in self._lines if line.streams]
        for name in streams:
            self.arbiter.drop(name.encode())

    def _start(self, lines: Sequence[Line]) -> None:
        """Keep lines alive from now on, if the feed runs."""
        if self._group is not None and not self._stopping.is_set():
            self._keepers |= {self._group.create_task(self._keep(line)) for line in lines}

    def connections(self) -> list[tuple[Line, Connection]]:
        """The newest socket of every line."""
        return [(line, line.connection) for line in self._lines if line.connection is not None]

    def stop(self) -> None:
        """Close every socket with a handshake; `run` returns when they are closed."""
        self._stopping.set()
        for line in self._lines:
            line.changed.set()

    async def _expire_holes(self) -> None:
        while True:
            await asyncio.sleep(0.1)
            self.arbiter.expire(time.monotonic())

    async def _keep(self, line: Line) -> None:
        """Serve the line for ever; the backoff begins anew after every stable socket."""
        settings = self.settings
        while not (self._stopping.is_set() or line.is_finished):
            retrying = AsyncRetrying(
                retry=retry_if_exception_type(_Lost),
                wait=wait_random_exponential(multiplier=settings.backoff_s, max=settings.backoff_limit_s),
                stop=lambda _: self._stopping.is_set() or line.is_finished,
                sleep=self._pause,
                before_sleep=partial(log_reconnect, line.category),
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

    async def _serve(self, line: Line) -> None:
        """One socket after another, each taking over from the last, until one is lost or `stop`."""
        if self._stopping.is_set():
            return
        connection = await self._connect(line)
        self.counters["reconnects"] += line.was_lost
        while True:
            await self._watch(line, connection)
            if self._stopping.is_set() or line.is_finished:
                await self._retire(connection)
                return
            if connection.has_ended:
                break
            connection = await self._hand_over(line, connection)
        self._lose(line, connection)

    async def _retire(self, connection: Connection) -> None:
        await connection.retire(self.settings.close_timeout_s)
        self.arbiter.leave(connection.number)

    def _lose(self, line: Line, connection: Connection) -> None:
        if self.settings.is_end(connection.close_code):
            log.info("market_ended", category=line.category, reason=connection.reason)
            self.arbiter.leave(connection.number)
            line.is_finished = True
            return
        self._report_loss(line, connection)
        began_s = connection.first_data_s
        if began_s is None or connection.last_data_s - began_s < self.settings.stable_s:
            raise _Lost(connection.reason)

    def _report_loss(self, line: Line, connection: Connection) -> None:
        """Tell of the streams that nothing delivers any more; those that another socket carries are safe."""
        line.was_lost = True
        self.counters["disconnects"] += 1
        log.warning("connection_lost", category=line.category, copy=line.copy, reason=connection.reason)
        lost = frozenset(name.decode() for name in self.arbiter.leave(connection.number))
        lost &= frozenset(line.streams)
        if lost and not line.is_detour:
            self._sink.on_disconnect(self._clock(), line.category, connection.reason, lost)

    async def _connect(self, line: Line) -> Connection:
        """Open a socket and subscribe; raises _Lost."""
        await self._connects.acquire()
        number = next(self._numbers)
        receive = partial(self._receive, line, number)
        try:
            connection = await open_connection(
                self._market.dialect,
                line.url,
                receive,
                line.changed,
                self.settings.connect_timeout_s,
                number,
            )
        except (OSError, WSError, TimeoutError) as error:
            self.counters["failed_connects"] += 1
            raise _Lost(f"{line.url}: {str(error) or type(error).__name__}") from error
        self.counters["connections"] += 1
        self._open = {n: known for n, known in self._open.items() if not known.has_ended}
        self._open[number] = line.connection = connection
        for stream in line.streams:
            self.arbiter.join(number, stream.encode())
        await self._requests.subscribe(connection, line.streams)
        # copies are replaced at different times
        line.rollover_at_s = connection.opened_s + self.settings.rollover_s / (1 + line.copy)
        line.steps.clear()
        return connection

    async def refresh(self, stream: str) -> None:
        """Have a stream's snapshot sent once more, where subscribing brings one, on each of its sockets."""
        self._market.dialect.expect_snapshot(stream.encode())
        for line in self._lines:
            if stream in line.streams and line.connection is not None and not line.connection.has_ended:
                await self._requests.renew(line.connection, stream)

    def _receive(self, line: Line, number: int, stream: bytes | None, frame: bytes) -> None:
        self.counters["frames"] += 1
        self.counters["bytes"] += len(frame)
        if line.is_overlapping:
            self.counters["overlapping_frames"] += 1
        self.arbiter.offer(number, stream or b"", frame, time.monotonic())

    def _emit(self, _stream: bytes, frame: bytes) -> None:
        self._sink.on_frame(self._clock(), frame)

    async def _watch(self, line: Line, connection: Connection) -> None:
        """Until the socket has ended or is due for replacement, or the feed is stopped."""
        now = time.monotonic
        suspected_s = -1.0
        while not (self._stopping.is_set() or connection.has_ended or connection.is_retiring):
            self._raise_refusals(line, connection)
            look_again_s = await self._check_streams(line, connection, now())
            silent_at_s = connection.last_data_s + line.silence_s * (3 if self._is_halted else 1)
            if now() >= line.rollover_at_s or line.is_finished:
                return
            if now() >= silent_at_s:
                # If we were busy ourselves, the data may wait unread: look again before believing it.
                if suspected_s == connection.last_data_s:
                    self._declare_silent(line, connection, now())
                suspected_s = connection.last_data_s
                silent_at_s = now() + 0.1 * line.silence_s
            await wait_for_change(line.changed, min(silent_at_s, look_again_s, line.rollover_at_s) - now())

    def _declare_silent(self, line: Line, connection: Connection, now_s: float) -> None:
        """Replace a silent socket; if every socket is silent, that is one incident and not many."""
        silent_s = now_s - connection.last_data_s
        others = [known for known in self._open.values() if not known.has_ended and known is not connection]
        everything = bool(others) and all(now_s - o.last_data_s > line.silence_s / 2 for o in others)
        if everything and not self._is_halted and connection.first_data_s is not None:
            self._is_halted = True
            self._alarm(line, "halt", halted(self._market.venue, silent_s))
            return
        if connection.first_data_s is None:
            self._alarm(line, line.category, never_any_data(line))
        connection.abort(f"no data for {line.silence_s:g} s")

    async def _check_streams(self, line: Line, connection: Connection, now_s: float) -> float:
        """Do something about each stream that is silent for too long; when to look again [s]."""
        if connection.first_data_s is None:
            return float("inf")
        if self._is_halted and now_s - connection.last_data_s < line.silence_s:
            self._is_halted = False
            line.alarmed.discard("halt")
        next_s = float("inf")
        for stream in line.patience_s:
            patience_s = line.patience(stream, connection)
            seen_s = connection.last_seen_s.get(stream.encode(), connection.opened_s)
            if now_s - seen_s < _REMEDIES_AT[0] * patience_s:
                line.alarmed.discard(stream)
                line.steps.pop(stream, None)
            elif not self._is_halted:
                await self._remedy(line, connection, stream, (now_s - seen_s) / patience_s)
            due = [seen_s + factor * patience_s for factor in _REMEDIES_AT]
            next_s = min([next_s, *(at_s for at_s in due if at_s > now_s)])
        return next_s

    async def _remedy(self, line: Line, connection: Connection, stream: str, times: float) -> None:
        """Subscribe to a silent stream anew, then ask for it on another route, then replace the socket."""
        step = line.steps.get(stream, 0)
        silent_s = times * line.patience(stream, connection)
        ever_seen = stream.encode() in connection.last_seen_s
        if step == 0:
            line.steps[stream] = 1
            self._alarm(line, stream, silent_stream(line, stream, silent_s, ever_seen=ever_seen))
            await self._requests.renew(connection, stream)
        elif step == 1 and times >= _REMEDIES_AT[1]:
            line.steps[stream] = 2
            if not ever_seen:
                self._take_detour(line, stream)
        elif step == 2 and times >= _REMEDIES_AT[2]:
            line.steps[stream] = 3
            line.rollover_at_s = 0.0

    def _take_detour(self, line: Line, stream: str) -> None:
        detour = None if line.is_detour else other_route(self._market, line, stream)
        if detour is not None and self._group is not None:
            self.counters["detours"] += 1
            self._lines.append(detour)
            self._group.create_task(self._keep(detour))
            self._group.create_task(self._judge_detour(detour, stream))

    async def _judge_detour(self, detour: Line, stream: str) -> None:
        """Name the route that works; give up one that does not."""
        await self._pause(3 * self.settings.heartbeat_s)
        name = stream.encode()
        works = any(
            name in known.last_seen_s
            for known in self._open.values()
            if known.url == detour.url and not known.has_ended
        )
        if works:
            self._alarm(detour, stream, moved(detour.url, stream))
        else:
            detour.is_finished = True
            detour.changed.set()

    def _raise_refusals(self, line: Line, connection: Connection) -> None:
        while connection.refusals:
            said = connection.refusals.pop()
            self._alarm(
                line, said, f"{self._market.venue}: a subscription on {line.category} was refused: {said}"
            )

    def _alarm(self, line: Line, key: str, message: str) -> None:
        if key not in line.alarmed:
            line.alarmed.add(key)
            self.counters["alarms"] += 1
            self._sink.on_alarm(message)

    async def _hand_over(self, line: Line, current: Connection) -> Connection:
        """Open a second socket, and close the first only when the second delivers; the one to go on with."""
        try:
            successor = await self._connect(line)
        except _Lost as error:
            log.warning("handover_failed", category=line.category, reason=str(error))
            return self._postpone(line, current)
        line.is_overlapping = True
        try:
            is_ready = await self._overlap(line, successor, current)
            has_failed = current.has_ended and not is_ready
            if has_failed and not self.settings.is_end(current.close_code):
                self._report_loss(line, current)
                return successor
            if has_failed or (not is_ready and (successor.has_ended or successor.first_data_s is None)):
                await self._retire(successor)
                return self._postpone(line, current)
            await self._retire(current)
        finally:
            line.is_overlapping = False
        self.counters["rollovers"] += 1
        log.info("connection_replaced", category=line.category)
        return successor

    async def _overlap(self, line: Line, successor: Connection, current: Connection) -> bool:
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

    def _postpone(self, line: Line, current: Connection) -> Connection:
        """Stay with the old socket for a while."""
        current.is_retiring = False
        line.rollover_at_s = time.monotonic() + self.settings.handover_retry_s
        return current
