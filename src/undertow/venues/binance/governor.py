"""One budget of request weight for an address: who may ask when, and silence while the exchange wants it."""

import asyncio
import heapq
import itertools
import time
from collections.abc import Awaitable, Callable
from enum import IntEnum
from pathlib import Path

import msgspec
import structlog

__all__ = ["Priority", "Sleep", "WeightGovernor"]

log = structlog.get_logger(__name__)

Sleep = Callable[[float], Awaitable[None]]


class Priority(IntEnum):
    """Who goes first; each kind may use only a share of the limit, so that the ones before it find room."""

    ORDER_SAFETY = 0
    RESYNC = 1
    POLL = 2
    BACKFILL = 3


_SHARES = {Priority.ORDER_SAFETY: 1.0, Priority.RESYNC: 0.8, Priority.POLL: 0.6, Priority.BACKFILL: 0.5}


_GIVE_WAY_S = 0.05
"""How long a request steps back for a more urgent one, where there is not room for both."""


class _Remembered(msgspec.Struct, frozen=True):
    """What outlives a restart."""

    closed_until_s: float
    """Unix seconds."""


class WeightGovernor:
    """Keeps all requests of one address under the exchange's weight per minute, and silent while banned.

    The exchange's own count (`X-MBX-USED-WEIGHT-1M`) is the truth, since others may share the address;
    requests in flight are counted by ourselves. Windows begin at the full minute. Where `memory` names a
    file, a ban is still kept after a restart; a file that cannot be used is ignored with a warning.
    """

    def __init__(
        self,
        limit: int,
        *,
        clock: Callable[[], float] = time.time,
        sleep: Sleep = asyncio.sleep,
        memory: Path | None = None,
    ) -> None:
        self.limit = limit
        self.used = 0
        self._clock = clock
        self._sleep = sleep
        self._memory = memory
        self._minute = 0
        self._closed_until = _recall(memory)
        self._waiting: list[tuple[Priority, int]] = []
        self._tickets = itertools.count()

    async def acquire(self, weight: int, priority: Priority = Priority.RESYNC) -> None:
        """Wait until a request of this weight may be sent, and count it."""
        ticket = (priority, next(self._tickets))
        heapq.heappush(self._waiting, ticket)
        try:
            while (pause_s := self._pause(weight, ticket)) > 0:
                await self._sleep(pause_s)
            self.used += weight
        finally:
            self._waiting.remove(ticket)
            heapq.heapify(self._waiting)

    def _pause(self, weight: int, ticket: tuple[Priority, int]) -> float:
        now = self._clock()
        if now < self._closed_until:
            return self._closed_until - now
        minute = int(now // 60)
        if minute != self._minute:
            self._minute, self.used = minute, 0
        if self.used and self.used + weight > self.limit * _SHARES[ticket[0]]:
            return (minute + 1) * 60 - now
        if self._waiting[0] < ticket and self._is_scarce(weight):
            return _GIVE_WAY_S
        return 0.0

    def _is_scarce(self, weight: int) -> bool:
        return self.used + 2 * weight > self.limit * _SHARES[Priority.BACKFILL]

    def observe(self, used: int) -> None:
        """Take over the exchange's count of the weight used in this minute."""
        self.used = max(self.used, used)

    def close(self, pause_s: float) -> None:
        """Let nothing through for `pause_s` seconds, also after a restart."""
        self._closed_until = max(self._closed_until, self._clock() + pause_s)
        if self._memory is None:
            return
        try:
            self._memory.parent.mkdir(parents=True, exist_ok=True)
            part = self._memory.with_suffix(".part")
            part.write_bytes(msgspec.json.encode(_Remembered(self._closed_until)))
            part.replace(self._memory)
        except OSError as error:
            log.warning("ban_not_remembered", path=str(self._memory), reason=str(error))


def _recall(memory: Path | None) -> float:
    """Until when the exchange had asked for silence [Unix s]; 0 where nothing is remembered."""
    if memory is None or not memory.exists():
        return 0.0
    try:
        return msgspec.json.decode(memory.read_bytes(), type=_Remembered).closed_until_s
    except (OSError, msgspec.DecodeError) as error:
        log.warning("remembered_ban_ignored", path=str(memory), reason=str(error))
        return 0.0
