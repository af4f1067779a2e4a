"""The record of what happened, minute by minute, small enough to be kept for a run of any length."""

from array import array
from dataclasses import dataclass, field

from undertow.venues.simulated.wire import Aggregate

__all__ = ["CHECKSUM_MODULUS", "MinuteRecord", "checksum_of"]

CHECKSUM_MODULUS = (1 << 61) - 1
_MINUTE_MS = 60_000
_COLUMNS = ("minute_ms", "count", "first_id", "last_id", "lots", "checksum")


def checksum_of(identity: int, ticks: int, lots: int) -> int:
    """What one aggregate adds to the checksum of its minute, which is taken modulo 2**61 − 1."""
    return identity * 1_000_003 + ticks * 1009 + lots


@dataclass(slots=True)
class MinuteRecord:
    """Count, ids, lots and checksum of the aggregates of each simulated minute."""

    _rows: "array[int]" = field(default_factory=lambda: array("q"))
    """Finished minutes, six numbers each."""
    _minute_ms: int = -1
    _count: int = 0
    _first_id: int = 0
    _last_id: int = 0
    _lots: int = 0
    _checksum: int = 0

    def add(self, item: Aggregate) -> None:
        """Add an aggregate."""
        minute_ms = item.time_ms - item.time_ms % _MINUTE_MS
        if minute_ms != self._minute_ms:
            self._rows.extend(self._present())
            self._minute_ms, self._first_id = minute_ms, item.identity
            self._count = self._lots = self._checksum = 0
        self._count += 1
        self._last_id = item.identity
        self._lots += item.lots
        self._checksum += checksum_of(item.identity, item.ticks, item.lots)

    def _present(self) -> tuple[int, ...]:
        if not self._count:
            return ()
        checksum = self._checksum % CHECKSUM_MODULUS
        return (self._minute_ms, self._count, self._first_id, self._last_id, self._lots, checksum)

    def as_json(self) -> list[dict[str, int]]:
        """One object for each minute that has aggregates, the present one included, in order."""
        numbers = [*self._rows, *self._present()]
        width = len(_COLUMNS)
        return [
            dict(zip(_COLUMNS, numbers[at : at + width], strict=True)) for at in range(0, len(numbers), width)
        ]
