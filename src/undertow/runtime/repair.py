"""Trades that the stream skipped, had from REST: stored with their source and the time they really came."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import msgspec
import structlog

from undertow.errors import VenueError
from undertow.runtime.track import Track, wrapped
from undertow.venues.answers import RefusedError
from undertow.venues.binance.rest import BinanceRest

__all__ = ["RepairSettings", "TradeRepairer"]

log = structlog.get_logger(__name__)

_rows_decoder = msgspec.json.Decoder(list[msgspec.Raw])


@dataclass(frozen=True, slots=True)
class RepairSettings:
    """Times in seconds."""

    every_s: float = 1.0
    page: int = 1000
    """Most trades that the exchange gives at once."""
    attempts: int = 8
    """Without any progress, before a range is left as the gap that it is."""
    single_attempts: int = 3
    """For single trades, of which the exchange gives the newest thousand only."""
    pause_s: float = 2.0
    """After an attempt without progress; doubles each time."""


@dataclass(slots=True)
class _Attempts:
    count: int = 0
    due_s: float = 0.0
    first: int = -1
    """Where the range began when it was asked for: it moves with every trade that came."""


_NEVER = _Attempts()


@dataclass(slots=True)
class TradeRepairer:
    """Asks for missing aggregate trades by id, oldest first, and records the answers as they came.

    The exchange gives them for 48 hours on USD-M; what is older stays a gap until the archive has it. Single
    trades that no aggregate told are looked for among the newest: older ones take a key.
    """

    rest: BinanceRest
    record: Callable[[Track, bytes], None]
    counters: Counter[str]
    alarm: Callable[[str], None]
    settings: RepairSettings = field(default_factory=RepairSettings)
    _attempts: dict[tuple[str, int], _Attempts] = field(default_factory=dict)

    async def run(self, tracks: Callable[[], Sequence[Track]]) -> None:
        """Repair until cancelled."""
        while True:
            for track in tracks():
                for first, last in track.recorder.missing_trades():
                    await self._attend(track, first, last)
                if missing := track.recorder.missing_singles():
                    await self._attend_singles(track, missing[-1])
            await asyncio.sleep(self.settings.every_s)

    def has_given_up(self, tracks: Sequence[Track]) -> bool:
        """Whether every range that lacks has been asked for in vain."""
        left = [(track.symbol, last) for track in tracks for _, last in track.recorder.missing_trades()]
        if any(self._attempts.get(key, _NEVER).count < self.settings.attempts for key in left):
            return False
        singles = [
            (_singles_of(track), track.recorder.missing_singles()[-1][1])
            for track in tracks
            if track.recorder.missing_singles()
        ]
        return all(self._attempts.get(key, _NEVER).count > self.settings.single_attempts for key in singles)

    async def _attend(self, track: Track, first: int, last: int) -> None:
        """One page of a range, unless it has been given up or must wait."""
        key = (track.symbol, last)
        attempts = self._attempts.setdefault(key, _Attempts())
        if attempts.count >= self.settings.attempts or time.monotonic() < attempts.due_s:
            return
        moved, attempts.first = first != attempts.first, first
        if moved and await self._fetch(track, first, min(last - first + 1, self.settings.page)):
            attempts.count, attempts.due_s = 0, time.monotonic() + self.settings.every_s
            return
        attempts.first = -1
        attempts.count += 1
        attempts.due_s = time.monotonic() + self.settings.pause_s * 2**attempts.count
        if attempts.count == self.settings.attempts:
            self.counters["unrepaired_ranges"] += 1
            self.alarm(
                f"{track.symbol}: aggregate trades {first} to {last} are missing and the exchange does not "
                f"give them (it keeps 48 hours): they stay a gap until a backfill from the archive"
            )

    async def _attend_singles(self, track: Track, newest: tuple[int, int]) -> None:
        """Look for single trades among the newest, unless that has been done in vain or must wait."""
        attempts = self._attempts.setdefault((_singles_of(track), newest[1]), _Attempts())
        if attempts.count > self.settings.single_attempts or time.monotonic() < attempts.due_s:
            return
        attempts.count += 1
        attempts.due_s = time.monotonic() + self.settings.pause_s
        if attempts.count > self.settings.single_attempts:
            self.counters["unrepaired_ranges"] += 1
            self.alarm(
                f"{track.symbol}: single trades {newest[0]} to {newest[1]} are in no aggregate, and not "
                "among the newest that the exchange gives: a gap until a backfill from the archive"
            )
            return
        try:
            answer = await self.rest.recent_trades(track.symbol)
        except RefusedError:
            raise
        except VenueError as error:
            log.warning("repair_failed", symbol=track.symbol, first_id=newest[0], reason=str(error))
            return
        self.counters["repair_requests"] += 1
        self.record(track, wrapped(track.symbol, "recentTrades", answer.body))

    async def _fetch(self, track: Track, first: int, count: int) -> int:
        """Trades had and recorded."""
        try:
            answer = await self.rest.aggregate_trades(track.symbol, from_id=first, limit=count)
            rows = len(_rows_decoder.decode(answer.body))
        except RefusedError:
            raise
        except (VenueError, msgspec.DecodeError) as error:
            log.warning("repair_failed", symbol=track.symbol, first_id=first, reason=str(error))
            return 0
        if rows:
            self.counters["repair_requests"] += 1
            self.record(track, wrapped(track.symbol, "aggTrades", answer.body))
        return rows


def _singles_of(track: Track) -> str:
    return f"{track.symbol} singles"
