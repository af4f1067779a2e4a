"""Live collection: frames from the feed to each symbol's recorder, snapshots where a book needs one."""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Protocol

import structlog

from undertow.market.instruments import Instrument
from undertow.market.time import MILLISECOND_NS, SECOND_NS
from undertow.runtime.health import Health
from undertow.runtime.observer import Observer
from undertow.runtime.repair import RepairSettings, TradeRepairer
from undertow.runtime.signals import stop_on_signals
from undertow.runtime.snapshots import SnapshotKeeper, SnapshotSettings, snapshot_fetcher
from undertow.runtime.track import Recorder, Track, control_frame
from undertow.venues.binance.rest import BinanceRest
from undertow.venues.feeding import FeedSettings, ReceiveClock
from undertow.venues.kits import VenueKit
from undertow.venues.marks import Disconnect, Watermark
from undertow.venues.sockets.connection import wait_for_change
from undertow.venues.sockets.feed import Feed

__all__ = ["Collector", "CollectorSettings", "Companion", "Progress"]

log = structlog.get_logger(__name__)

Progress = Callable[[Health, Mapping[str, int]], None]


class Companion(Protocol):
    """A task that runs beside the collection and ends with it, such as polling over REST."""

    async def run(self) -> None:
        """Work until cancelled."""


@dataclass(frozen=True, slots=True)
class CollectorSettings:
    """Times in seconds."""

    process_every_s: float = 0.05
    process_frames: int = 512
    """So many frames of a symbol are processed at once, without waiting."""
    quiet_s: float | None = 0.25
    """Silence of a symbol after which a watermark is journalled, and the time between two; None: never."""
    snapshots: SnapshotSettings = field(default_factory=SnapshotSettings)
    repair: RepairSettings | None = field(default_factory=RepairSettings)
    """None: missing trades are not asked for."""
    finish_repairs_s: float = 300.0
    """How long a collection whose market has ended goes on asking for what was skipped."""
    progress_every_s: float = 1.0


class Collector:
    """Collects the streams of several symbols of one market until stopped.

    Usage: `await Collector(kit, recorders, kinds, rest).run(duration_s=60)`. No `rest`: no audits, no repair.
    """

    def __init__(
        self,
        kit: VenueKit,
        recorders: Sequence[Recorder],
        kinds: Sequence[str],
        rest: BinanceRest | None,
        *,
        settings: CollectorSettings | None = None,
        feed_settings: FeedSettings | None = None,
        clock: ReceiveClock | None = None,
        on_progress: Progress | None = None,
        health: Health | None = None,
        open_recorder: Callable[[Instrument], Recorder] | None = None,
    ) -> None:
        self._open_recorder = open_recorder
        self.settings = settings or CollectorSettings()
        self.alarms: list[str] = []
        self.companions: list[Companion] = []
        self.on_off_step: Callable[[], None] = lambda: None
        """Called while frames do not lie on an instrument's steps."""
        self._clock = clock or ReceiveClock()
        self._on_progress = on_progress
        self._counters: Counter[str] = Counter()
        self._tracks = {
            recorder.instrument.symbol.lower().encode(): Track(recorder) for recorder in recorders
        }
        self._kit, self._kinds = kit, tuple(kinds)
        self._retired: set[bytes] = set()
        streams = self._streams(self._tracks.values())
        self._by_stream = self._assign(streams)
        self.feed = Feed(kit.sockets, streams, self, feed_settings, self._clock)
        fetch = snapshot_fetcher(kit, self.feed, rest)
        self._keeper = SnapshotKeeper(fetch, self.record_with, self._counters, self.settings.snapshots)
        repair = self.settings.repair if "trades" in kinds else None
        talk = (self.record_with, self._counters, self.on_alarm)
        self._repairer = TradeRepairer(rest, *talk, repair) if rest and repair else None
        self.health = health or Health(kit.sockets.venue)
        self._observer = Observer(self.health, kit, self.feed, rest, self.on_alarm)
        self._observer.expect(self.tracks)
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="recorder")
        """Writes and folds, so that a slow disk keeps nobody from reading the sockets."""
        self._at_work = asyncio.Lock()
        """Held while the worker has the recorders."""
        self._restated: dict[str, Instrument] = {}
        self._stopping = asyncio.Event()
        self._wake = asyncio.Event()
        self._failure: BaseException | None = None

    def _streams(self, tracks: Iterable[Track]) -> dict[str, tuple[str, ...]]:
        """Names of the streams of these symbols by route."""
        return self._kit.stream_names([track.symbol for track in tracks], self._kinds)

    def _assign(self, streams: Mapping[str, Sequence[str]]) -> dict[bytes, Track]:
        found = {}
        for name in (name for names in streams.values() for name in names):
            track = self._tracks[self._kit.symbol_of(name.encode())]
            track.streams.add(name)
            found[name.encode()] = track
        return found

    @property
    def counters(self) -> dict[str, int]:
        """What happened so far, by name."""
        return dict(self.feed.counters + self.feed.arbiter.counters + self._counters)

    @property
    def tracks(self) -> list[Track]:
        """The symbols under collection."""
        return list(self._tracks.values())

    def symbols(self) -> list[str]:
        """Their names."""
        return [track.symbol for track in self._tracks.values()]

    def add(self, recorder: Recorder) -> None:
        """Collect one more symbol; the others are not touched."""
        track = Track(recorder)
        key = track.symbol.lower().encode()
        self._retired.discard(key)
        self._tracks[key] = track
        streams = self._streams([track])
        self._by_stream |= self._assign(streams)
        self._observer.expect([track])
        self._mark_resumption([track])
        self.feed.add(streams)
        self.count("added_symbols")

    async def remove(self, symbol: str) -> None:
        """Collect a symbol no longer: what it has is written out, the others are not touched."""
        key = symbol.lower().encode()
        await self.feed.drop(self._tracks[key].streams)
        track = self._tracks.pop(key)
        self._retired.add(key)
        for stream in track.streams:
            self._by_stream.pop(stream.encode(), None)
            self.health.forget(stream.encode())
        track.is_closed = True
        async with self._at_work:
            track.recorder.close()
        self.count("removed_symbols")

    def count(self, name: str, amount: int = 1) -> None:
        """Add to a counter."""
        self._counters[name] += amount

    def stop(self) -> None:
        """Take in what is under way, write it out, and return from `run`."""
        self._stopping.set()
        self._wake.set()

    async def run(self, duration_s: float | None = None) -> dict[str, int]:
        """Collect for `duration_s`, or until stopped, by SIGINT or SIGTERM too; the counters at the end.

        Raises VenueError where the exchange refuses to serve us, and whatever a recorder raises. Recorders
        are closed in every case.
        """
        loop = asyncio.get_running_loop()
        timer = loop.call_later(duration_s, self.stop) if duration_s is not None else None
        self._mark_resumption(self.tracks)
        try:
            with stop_on_signals(self.stop):
                async with asyncio.TaskGroup() as group:
                    beside = [group.create_task(one.run()) for one in self.companions]
                    if self._repairer is not None:
                        beside.append(group.create_task(self._repairer.run(lambda: self.tracks)))
                    group.create_task(self._receive())
                    group.create_task(self._work(group, beside))
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from errors
        finally:
            if timer is not None:
                timer.cancel()
            self._close()
        return self.counters

    async def _receive(self) -> None:
        await self.feed.run()
        if self._repairer is not None and not self._stopping.is_set():
            await self._finish_repairs()
        self.stop()

    async def _finish_repairs(self) -> None:
        """The market has ended: what can still be had is waited for, within a bound."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.settings.finish_repairs_s):
                while any(
                    track.recorder.missing_trades() or track.recorder.missing_singles()
                    for track in self._tracks.values()
                ):
                    if self._repairer is None or self._repairer.has_given_up(self.tracks):
                        return
                    await asyncio.sleep(self.settings.process_every_s)

    def _mark_resumption(self, tracks: Iterable[Track]) -> None:
        """Where a recording goes on after an earlier run, what came between was missed."""
        frame = control_frame(Disconnect(category="all", reason="collection resumed"))
        for track in tracks:
            if track.recorder.newest_event_ns():
                self._record(track, self._clock(), frame)

    def _close(self) -> None:
        self._worker.shutdown()
        with contextlib.ExitStack() as stack:
            for track in self._tracks.values():
                stack.callback(track.recorder.close)
                if track.pending and self._failure is None:
                    stack.callback(track.recorder.process)

    def on_frame(self, receive_ns: int, frame: bytes) -> None:
        """Record a message with its symbol; one that names no symbol of ours is kept with the first."""
        stream = self._kit.sockets.dialect.stream_of(frame)
        track = self._by_stream.get(stream) if stream is not None else None
        if track is None and stream is not None:
            symbol = self._kit.symbol_of(stream)
            track = self._tracks.get(symbol)
            if track is None and symbol in self._retired:
                return
        if track is None:
            self._counters["unrouted_frames"] += 1
            track = next(iter(self._tracks.values()))
        elif stream is not None and self._kit.is_book(stream):
            track.depth_is_flowing = True
        if stream is not None:
            self._observer.note(stream, receive_ns, frame)
        track.last_frame_s = time.monotonic()
        self._record(track, receive_ns, frame)

    def record_with(self, track: Track, frame: bytes) -> None:
        """Record something of our own, or an answer of REST, with a symbol, and process it soon."""
        self._record(track, self._clock(), frame)
        self._wake.set()

    def restate(self, stated: Instrument) -> None:
        """Go on with other steps of an instrument: what did not lie on the old ones is folded again."""
        self._restated[stated.symbol] = stated
        self._wake.set()

    def _restate(self, stated: Instrument) -> None:
        track = self._tracks.get(stated.symbol.lower().encode())
        if track is None:
            return
        finer = track.recorder.instrument.finer(stated)
        if self._open_recorder is None or (finer.price, finer.quantity) == (
            track.recorder.instrument.price,
            track.recorder.instrument.quantity,
        ):
            return
        log.info("steps_changed", symbol=stated.symbol, tick=finer.tick, lot=finer.lot)
        track.recorder.abandon()
        track.recorder = self._open_recorder(finer)
        track.pending = 0
        self.count("restated_instruments")

    def record_named(self, symbol: str, frame: bytes) -> None:
        """The same by the symbol's name."""
        track = self._tracks.get(symbol.lower().encode())
        if track is not None:
            self.record_with(track, frame)

    def _record(self, track: Track, receive_ns: int, frame: bytes) -> None:
        """Hand a frame to the recorder, on one line whatever it holds; a failure stops the collection."""
        if track.is_closed:
            return
        try:
            track.recorder.record(receive_ns, frame.replace(b"\n", b" ") if b"\n" in frame else frame)
        except Exception as error:  # noqa: BLE001 - raised again by `run`; the socket must not swallow it
            self._fail(error)
        if not track.pending:
            track.oldest_pending_ns = receive_ns
        track.pending += 1
        if track.pending >= self.settings.process_frames:
            self._wake.set()

    def _fail(self, error: Exception) -> None:
        self._failure = self._failure or error
        self.stop()

    def on_disconnect(self, receive_ns: int, category: str, reason: str, streams: frozenset[str]) -> None:
        """Journal the loss with every symbol that had a stream on the socket."""
        frame = control_frame(Disconnect(category=category, reason=reason))
        for track in self._tracks.values():
            lost = track.streams & streams
            if not lost:
                continue
            self.health.note_interruption([stream.encode() for stream in lost])
            if any(self._kit.is_book(stream.encode()) for stream in lost):
                track.depth_is_flowing = False
            self._record(track, receive_ns, frame)
        self._wake.set()

    def on_alarm(self, message: str) -> None:
        """Say it once in the log and keep it for the summary."""
        self.alarms.append(message)
        self.health.alarm(message)
        log.warning("alarm", message=message)

    async def _work(self, group: asyncio.TaskGroup, beside: Sequence[asyncio.Task[None]]) -> None:
        """Process, ask for snapshots and mark quiet stretches, until stopped; then drain the sockets."""
        now = time.monotonic
        progress_due_s = now()
        while not self._stopping.is_set():
            due_s = now() + self.settings.process_every_s
            await wait_for_change(self._wake, self.settings.process_every_s)
            self._forgive_delay(now() - due_s, now())
            await self._advance(group, now())
            if now() >= progress_due_s:
                progress_due_s = now() + self.settings.progress_every_s
                self._observer.tick(self.tracks, self.counters)
                if self._on_progress is not None:
                    self._on_progress(self.health, self.counters)
        self._observer.tick(self.tracks, self.counters)
        for task in beside:
            task.cancel()
        self._keeper.cancel()
        self.feed.stop()
        if self._failure is not None:
            raise self._failure

    def _forgive_delay(self, delay_s: float, now_s: float) -> None:
        """After a pause of our own, frames may wait unread in the sockets: silence counts from now."""
        if self.settings.quiet_s is not None and delay_s > self.settings.quiet_s / 2:
            for track in self._tracks.values():
                track.last_frame_s = now_s

    async def _advance(self, group: asyncio.TaskGroup, now_s: float) -> None:
        """One round. `now_s` is its beginning: what comes while it works belongs to the next."""
        async with self._at_work:
            while self._restated:
                self._restate(self._restated.popitem()[1])
            if due := [track for track in self._tracks.values() if track.pending or track.is_behind]:
                await self._process(due)
            for track in self._tracks.values():
                self._keeper.attend(group, track, now_s)
                self._mark_quiet(track, now_s)

    async def _process(self, due: Sequence[Track]) -> None:
        """Have these recorders write and fold what they have; the sockets are read meanwhile."""
        before = [(track, track.pending and track.oldest_pending_ns, track.last_frame_s) for track in due]
        for track in due:
            track.pending = 0
        await asyncio.get_running_loop().run_in_executor(self._worker, _process_all, due)
        for track, oldest_ns, last_frame_s in before:
            if track.recorder.is_off_step():
                self.on_off_step()
            self._note_trouble(track)
            if oldest_ns:
                self.health.symbol(track.symbol).note_written(self._clock() - oldest_ns)
            newest_ns = track.recorder.newest_event_ns()
            if newest_ns > max(track.newest_ns, track.watermark_ns):
                track.newest_ns, track.newest_at_s = newest_ns, last_frame_s

    def _note_trouble(self, track: Track) -> None:
        if (trouble := track.recorder.trouble()) != track.trouble:
            track.trouble = trouble
            if trouble:
                self.on_alarm(f"{track.symbol}: {trouble}")
                self.count("recording_troubles")

    def _mark_quiet(self, track: Track, now_s: float) -> None:
        """Journal how far event time must have come while no frame did."""
        quiet_s = self.settings.quiet_s
        if quiet_s is None or not track.newest_ns:
            return
        if now_s - max(track.last_frame_s, track.watermark_at_s) < quiet_s:
            return
        elapsed_ns = int((now_s - track.newest_at_s) * SECOND_NS)
        event_ms = (track.newest_ns + elapsed_ns) // MILLISECOND_NS
        track.watermark_ns, track.watermark_at_s = event_ms * MILLISECOND_NS, now_s
        self._counters["watermarks"] += 1
        self._record(track, self._clock(), control_frame(Watermark(T=event_ms)))


def _process_all(tracks: Sequence[Track]) -> None:
    for track in tracks:
        track.is_behind = track.recorder.process()
