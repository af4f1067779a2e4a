"""The health of a running collection: plain accumulators, written by the event loop and read from anywhere.

`Health.note` is called for every frame and costs less than a microsecond; rates, quantiles and judgements are
worked out when somebody asks, or once a second in `tick`. One thread writes. Others may call `snapshot` at
any time, also while the writer stands still: what they see may be a frame older than the truth, never torn.
"""

import math
import time
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import psutil

from undertow.market.time import MILLISECOND_NS, SECOND_NS
from undertow.runtime.health_snapshot import (
    LAG_BOUNDS_MS,
    Alarm,
    ConnectionState,
    HealthSnapshot,
    StreamState,
    SymbolState,
    Totals,
)
from undertow.runtime.silence import (
    Cause,
    ConnectionReport,
    RestSeen,
    SilentStream,
    StreamExpectation,
    StreamSeen,
    judge,
)

__all__ = [
    "Cause",
    "ConnectionReport",
    "Health",
    "HealthSnapshot",
    "SilentStream",
    "StreamExpectation",
    "SymbolHealth",
]

_RATE_MEMORY_S = 5.0
_LAG_WINDOW_S = 30.0
_INTERVAL_WINDOW_S = 3600.0
_INTERVAL_WEIGHT = 0.02
"""Of the newest interval in the mean interval."""
_OWN_PAUSE_S = 1.0
"""Between two ticks less than this long late, frames are read in time; after more, they may wait unread."""
_ALARMS_KEPT = 100
_BUCKETS = len(LAG_BOUNDS_MS) + 1
_UNEXPECTED = StreamExpectation("unexpected", None)


@dataclass(slots=True)
class _Flow:
    """What is accumulated of one stream. Times are those of the monotonic clock [s]."""

    stream: bytes
    symbol: str
    expectation: StreamExpectation
    last_s: float
    """Of its last frame, or when it was first expected."""
    frames: int = 0
    bytes: int = 0
    mean_s: float = 0.0
    longest_s: float = 0.0
    """Longest usual interval of this window of `_INTERVAL_WINDOW_S`."""
    longest_before_s: float = 0.0
    """The same of the window before."""
    lags: list[int] = field(default_factory=lambda: [0] * _BUCKETS)
    lag_sum_ms: int = 0
    lags_marked: list[int] = field(default_factory=lambda: [0] * _BUCKETS)
    """`lags` when this window of `_LAG_WINDOW_S` began, and in the next field the one before."""
    lags_before: list[int] = field(default_factory=lambda: [0] * _BUCKETS)
    rate_sum: float = 0.0
    rate_weight: float = 0.0
    """Of `rate_sum`: it approaches 1 as the rates of the last seconds come in."""
    frames_ticked: int = 0
    witness_s: float = -math.inf
    was_interrupted: bool = True
    """The running interval says nothing: the stream was just subscribed to, or its socket was lost."""


@dataclass(slots=True)
class SymbolHealth:
    """What the collector counts of one symbol; it adds to the fields itself."""

    symbol: str
    book: str = "none"
    """State of the book in one word, for people."""
    is_book_synced: bool | None = None
    last_price: float | None = None
    gaps: int = 0
    resyncs: int = 0
    duplicates: int = 0
    snapshots: int = 0
    repaired_rows: int = 0
    audits: int = 0
    audited_levels: int = 0
    matching_levels: int = 0
    disk_lags: list[int] = field(default_factory=lambda: [0] * _BUCKETS)
    disk_lag_sum_ms: float = 0.0

    def note_audit(self, levels: int, matching: int) -> None:
        """A book was compared with the exchange's: so many levels, of which so many agreed."""
        self.audits += 1
        self.audited_levels += levels
        self.matching_levels += matching

    def note_written(self, lag_ns: int) -> None:
        """Frames are on disk, so long after the oldest of them was received."""
        lag_ms = lag_ns / MILLISECOND_NS
        self.disk_lags[bisect_left(LAG_BOUNDS_MS, lag_ms)] += 1
        self.disk_lag_sum_ms += lag_ms


class Health:
    """Usage: `expect` each stream, `note` each frame, `tick` about once a second, `snapshot` to read.

    The public counters are added to by the collector directly.
    """

    def __init__(
        self,
        venue: str,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], int] = time.time_ns,
    ) -> None:
        self.venue = venue
        self.reconnects = 0
        self.drops = 0
        self.rest_weight_used = 0
        self.rest_weight_limit = 0
        self.queue_frames = 0
        self.spill_bytes = 0
        self.journal_bytes = 0
        self._alarm_count = 0
        self._alarms: deque[Alarm] = deque(maxlen=_ALARMS_KEPT)
        self._rest = RestSeen()
        self._rest_requests = 0
        self._rest_failures = 0
        self._banned_until_s = -math.inf
        self._offset_ns, self._offset_error_ns = 0, math.inf
        self._connections: tuple[ConnectionReport, ...] = ()
        self._flows: dict[bytes, _Flow] = {}
        self._symbols: dict[str, SymbolHealth] = {}
        self._clock = clock
        self._wall_clock = wall_clock
        self._process = psutil.Process()
        self._began_s = self._ticked_s = self._lags_marked_s = self._intervals_marked_s = clock()
        self._counts_from_s = -math.inf

    def expect(self, stream: bytes, symbol: str, expectation: StreamExpectation) -> None:
        """This stream was subscribed to; silence counts from now."""
        flow = self._flows.get(stream)
        if flow is None:
            self._open(stream, symbol, expectation)
        else:
            flow.symbol, flow.expectation = symbol, expectation

    def forget(self, stream: bytes) -> None:
        """This stream is not collected any more."""
        self._flows.pop(stream, None)

    def symbol(self, symbol: str) -> SymbolHealth:
        """The counters of a symbol, to be added to."""
        found = self._symbols.get(symbol)
        if found is None:
            found = self._symbols[symbol] = SymbolHealth(symbol)
        return found

    def _open(self, stream: bytes, symbol: str, expectation: StreamExpectation) -> _Flow:
        flow = self._flows[stream] = _Flow(stream, symbol, expectation, self._clock())
        return flow

    def _open_unexpected(self, stream: bytes) -> _Flow:
        symbol = stream.partition(b"@")[0].decode("utf-8", "replace").upper()
        return self._open(stream, symbol, _UNEXPECTED)

    def note(self, stream: bytes, receive_ns: int, event_ms: int, size: int = 0) -> None:
        """A frame of `size` bytes came; `event_ms` is the exchange's time, 0 where the frame has none."""
        flow = self._flows.get(stream) or self._open_unexpected(stream)
        now_s = self._clock()
        interval_s = now_s - flow.last_s
        flow.last_s = now_s
        flow.frames += 1
        flow.bytes += size
        flow.mean_s += _INTERVAL_WEIGHT * (interval_s - flow.mean_s)
        if interval_s > flow.longest_s:
            self._learn(flow, interval_s)
        if event_ms:
            lag_ms = (receive_ns + self._offset_ns) // MILLISECOND_NS - event_ms
            flow.lags[bisect_left(LAG_BOUNDS_MS, lag_ms)] += 1
            flow.lag_sum_ms += lag_ms

    def _learn(self, flow: _Flow, interval_s: float) -> None:
        """A longer interval than before in this window: usual, unless it was we who interrupted.

        A silence that was suspicious teaches only as much as had been allowed, so that one outage does not
        make us patient for an hour.
        """
        if flow.was_interrupted:
            flow.was_interrupted = False
            flow.mean_s = (flow.mean_s - _INTERVAL_WEIGHT * interval_s) / (1 - _INTERVAL_WEIGHT)
            return
        if not flow.longest_before_s and not flow.longest_s:
            flow.mean_s = interval_s
        flow.longest_s = max(flow.longest_s, min(interval_s, _seen(flow, flow.last_s).limit_s))

    def note_elsewhere(self, stream: bytes) -> None:
        """Another source had data that this stream should bring too."""
        flow = self._flows.get(stream)
        if flow is not None:
            flow.witness_s = self._clock()

    def note_interruption(self, streams: Sequence[bytes]) -> None:
        """No socket delivers these streams any more: the interval that is running teaches nothing."""
        for flow in filter(None, map(self._flows.get, streams)):
            flow.was_interrupted = True
            flow.longest_before_s = max(flow.longest_before_s, flow.longest_s)
            flow.longest_s = 0.0

    def note_rest(self, status: int) -> None:
        """REST answered with this HTTP status; 0: no answer came."""
        self._rest_requests += 1
        self._rest_failures += status != 200
        if status:
            self._rest = RestSeen(self._clock(), status == 503)

    def note_ban(self, seconds: float) -> None:
        """The exchange asked for silence for so long (429, 418)."""
        self._banned_until_s = max(self._banned_until_s, self._clock() + seconds)

    def set_clock(self, offset_ns: int, error_ns: float) -> None:
        """The exchange's clock is ahead of ours by `offset_ns`, known to within `error_ns`."""
        self._offset_ns, self._offset_error_ns = offset_ns, error_ns

    def set_connections(self, connections: Sequence[ConnectionReport]) -> None:
        """The sockets there are now."""
        self._connections = tuple(connections)

    def alarm(self, message: str) -> None:
        """Something a person should know; a repetition of the newest alarm counts up."""
        self._alarm_count += 1
        at_ns = self._wall_clock()
        if self._alarms and self._alarms[-1].message == message:
            self._alarms[-1] = Alarm(at_ns, message, self._alarms[-1].times + 1)
        else:
            self._alarms.append(Alarm(at_ns, message))

    def tick(self) -> None:
        """Called by the event loop about once a second: it runs, and rates and windows move on."""
        now_s = self._clock()
        elapsed_s = now_s - self._ticked_s
        if elapsed_s <= 0:
            return
        self._ticked_s = now_s
        weight = 1.0 - math.exp(-elapsed_s / _RATE_MEMORY_S)
        for flow in self._flows.values():
            rate_per_s = (flow.frames - flow.frames_ticked) / elapsed_s
            flow.rate_sum += weight * (rate_per_s - flow.rate_sum)
            flow.rate_weight += weight * (1.0 - flow.rate_weight)
            flow.frames_ticked = flow.frames
        if elapsed_s > 1.0 + _OWN_PAUSE_S:
            self._counts_from_s = now_s
        self._move_windows(now_s)

    def _move_windows(self, now_s: float) -> None:
        if now_s - self._lags_marked_s >= _LAG_WINDOW_S:
            self._lags_marked_s = now_s
            for flow in self._flows.values():
                flow.lags_before, flow.lags_marked = flow.lags_marked, flow.lags.copy()
        if now_s - self._intervals_marked_s >= _INTERVAL_WINDOW_S:
            self._intervals_marked_s = now_s
            for flow in self._flows.values():
                flow.longest_before_s, flow.longest_s = flow.longest_s, 0.0

    def silent_streams(self, now_s: float | None = None) -> list[SilentStream]:
        """Streams that are silent for longer than expected [monotonic s], with what that likely means.

        Nothing while we stand still ourselves, as data may then wait unread; after such a pause silence
        counts from its end.
        """
        now_s = self._clock() if now_s is None else now_s
        if now_s - self._ticked_s > 1.0 + _OWN_PAUSE_S:
            return []
        seen = [_seen(flow, max(flow.last_s, self._counts_from_s)) for flow in list(self._flows.values())]
        return judge(seen, self._connections, self._rest, now_s, self._counts_from_s)

    def snapshot(self) -> HealthSnapshot:
        """Everything, as it is now; may be called from any thread."""
        now_s = self._clock()
        return HealthSnapshot(
            venue=self.venue,
            taken_ns=self._wall_clock(),
            uptime_s=now_s - self._began_s,
            stalled_s=max(0.0, now_s - self._ticked_s),
            streams=tuple(_stream_state(flow, now_s) for flow in list(self._flows.values())),
            symbols=tuple(_symbol_state(symbol) for symbol in list(self._symbols.values())),
            connections=tuple(_connection_state(known, now_s) for known in self._connections),
            totals=self._totals(now_s),
            alarms=tuple(self._alarms.copy()),
            silent=tuple(self.silent_streams(now_s)),
        )

    def _totals(self, now_s: float) -> Totals:
        return Totals(
            reconnects=self.reconnects,
            drops=self.drops,
            alarms=self._alarm_count,
            rest_requests=self._rest_requests,
            rest_failures=self._rest_failures,
            rest_weight_used=self.rest_weight_used,
            rest_weight_limit=self.rest_weight_limit,
            banned_s=max(0.0, self._banned_until_s - now_s),
            queue_frames=self.queue_frames,
            spill_bytes=self.spill_bytes,
            journal_bytes=self.journal_bytes,
            memory_bytes=self._process.memory_info().rss,
            clock_offset_s=self._offset_ns / SECOND_NS,
            clock_error_s=self._offset_error_ns / SECOND_NS,
        )


def _seen(flow: _Flow, since_s: float) -> StreamSeen:
    return StreamSeen(
        stream=flow.stream,
        symbol=flow.symbol,
        expectation=flow.expectation,
        since_s=since_s,
        was_seen=flow.frames > 0,
        longest_s=max(flow.longest_s, flow.longest_before_s),
        witness_s=flow.witness_s,
    )


def _stream_state(flow: _Flow, now_s: float) -> StreamState:
    lags = flow.lags.copy()
    return StreamState(
        stream=flow.stream.decode("utf-8", "replace"),
        symbol=flow.symbol,
        kind=flow.expectation.kind,
        frames=flow.frames,
        bytes=flow.bytes,
        rate_per_s=flow.rate_sum / flow.rate_weight if flow.rate_weight else 0.0,
        silent_s=max(0.0, now_s - flow.last_s),
        was_seen=flow.frames > 0,
        mean_interval_s=flow.mean_s,
        longest_interval_s=max(flow.longest_s, flow.longest_before_s),
        lag_counts=tuple(lags),
        lag_sum_ms=float(flow.lag_sum_ms),
        recent_lag_counts=tuple(count - before for count, before in zip(lags, flow.lags_before, strict=True)),
    )


def _symbol_state(health: SymbolHealth) -> SymbolState:
    return SymbolState(
        symbol=health.symbol,
        book=health.book,
        is_book_synced=health.is_book_synced,
        last_price=health.last_price,
        gaps=health.gaps,
        resyncs=health.resyncs,
        duplicates=health.duplicates,
        snapshots=health.snapshots,
        repaired_rows=health.repaired_rows,
        audits=health.audits,
        audited_levels=health.audited_levels,
        matching_levels=health.matching_levels,
        disk_lag_counts=tuple(health.disk_lags),
        disk_lag_sum_ms=health.disk_lag_sum_ms,
    )


def _connection_state(known: ConnectionReport, now_s: float) -> ConnectionState:
    newest_s = known.newest_s()
    return ConnectionState(
        number=known.number,
        category=known.category,
        url=known.url,
        copy=known.copy,
        is_open=known.is_open,
        age_s=now_s - known.opened_s,
        silent_s=now_s - (known.opened_s if newest_s is None else newest_s),
        streams=len(known.streams),
    )
