"""Snapshots of the book: to begin with, after a break, and on a schedule to audit the book with."""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog

from undertow.errors import VenueError
from undertow.runtime.track import AUDIT_FRAME, Track
from undertow.venues.answers import RefusedError
from undertow.venues.binance.rest import BinanceRest
from undertow.venues.kits import VenueKit
from undertow.venues.sockets.feed import Feed

__all__ = ["Fetch", "SnapshotKeeper", "SnapshotSettings", "snapshot_fetcher"]

Fetch = Callable[[Track], Awaitable[bytes | None]]
"""Has a snapshot of a symbol: its body, or None where it will come in the stream."""

log = structlog.get_logger(__name__)


def snapshot_fetcher(kit: VenueKit, feed: Feed, rest: BinanceRest | None) -> Fetch:
    """From REST; without it by subscribing anew, which brings a snapshot in the stream."""

    async def fetch(track: Track) -> bytes | None:
        if rest is not None:
            return (await rest.depth(track.symbol)).body
        for stream in sorted(track.streams):
            if kit.is_book(stream.encode()):
                await feed.refresh(stream)
        return None

    return fetch


@dataclass(frozen=True, slots=True)
class SnapshotSettings:
    """Times in seconds."""

    pause_s: float = 1.0
    """Between two snapshots of a symbol; doubles while they prove unusable."""
    pause_limit_s: float = 16.0
    at_once: int = 4
    audit_every_s: float | None = 60.0
    """Between two audits of a book; None: never."""
    audit_soonest_s: float = 10.0
    """Between two audits of a book whose samples reach beyond the trusted range."""


class SnapshotKeeper:
    """Fetches the snapshots that tracks need. `record(track, frame)` journals what came."""

    def __init__(
        self,
        fetch: Fetch,
        record: Callable[[Track, bytes], None],
        counters: Counter[str],
        settings: SnapshotSettings,
    ) -> None:
        self.settings = settings
        self._fetch_body = fetch
        self._record = record
        self._counters = counters
        self._slots = asyncio.Semaphore(settings.at_once)
        self._running: set[asyncio.Task[None]] = set()

    def attend(self, group: asyncio.TaskGroup, track: Track, now_s: float) -> None:
        """Begin to fetch a snapshot, if one is due."""
        if track.is_fetching or not track.depth_is_flowing:
            return
        if track.recorder.needs_snapshot():
            if now_s >= track.snapshot_due_s:
                self._start(group, track, is_audit=False)
            return
        track.snapshot_pause_s = self.settings.pause_s
        if self.settings.audit_every_s is not None and track.recorder.is_synced():
            self._attend_audit(group, track, now_s)

    def _attend_audit(self, group: asyncio.TaskGroup, track: Track, now_s: float) -> None:
        assert self.settings.audit_every_s is not None  # noqa: S101 - asked by the only caller
        if not track.audit_due_s:
            track.audit_due_s = now_s + self.settings.audit_every_s
        soonest_s = track.audit_due_s - self.settings.audit_every_s + self.settings.audit_soonest_s
        if now_s >= track.audit_due_s or (now_s >= soonest_s and not track.recorder.trusts_enough()):
            track.audit_due_s = now_s + self.settings.audit_every_s
            self._start(group, track, is_audit=True)

    def _start(self, group: asyncio.TaskGroup, track: Track, *, is_audit: bool) -> None:
        track.is_fetching = True
        task = group.create_task(self._fetch(track, is_audit=is_audit))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _fetch(self, track: Track, *, is_audit: bool) -> None:
        """Fetch and record a snapshot; the next may be asked for after a pause that doubles each time."""
        try:
            async with self._slots:
                if is_audit:
                    self._record(track, AUDIT_FRAME)
                body = await self._fetch_body(track)
        except RefusedError:
            raise
        except VenueError as error:
            self._counters["snapshot_failures"] += 1
            log.warning("snapshot_failed", symbol=track.symbol, reason=str(error))
        else:
            self._counters["audit_snapshots" if is_audit else "snapshots"] += 1
            if body is not None:
                self._record(track, body)
        finally:
            self._pace(track)

    def _pace(self, track: Track) -> None:
        pause_s = track.snapshot_pause_s or self.settings.pause_s
        track.snapshot_due_s = time.monotonic() + pause_s
        track.snapshot_pause_s = min(2 * pause_s, self.settings.pause_limit_s)
        track.is_fetching = False

    def cancel(self) -> None:
        """Give up what is being fetched."""
        for task in self._running:
            task.cancel()
