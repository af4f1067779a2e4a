"""The aggregates of the past, kept in few bytes."""

from array import array
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from undertow.venues.simulated.wire import Aggregate

__all__ = ["AggregateHistory"]

Integers = NDArray[np.int64]

_COLUMNS = len(Aggregate._fields)
_IDENTITY, _TIME_MS, _TICKS = 0, 1, 2


class AggregateHistory:
    """The last aggregates, `most` or a few more. Their ids have no holes.

    Usage: `history.append(item)`, then `history.since_id(5, limit=1000)`.
    """

    def __init__(self, most: int = 400_000) -> None:
        self._most = most
        self._numbers = array("q")

    def __len__(self) -> int:
        return len(self._numbers) // _COLUMNS

    def __iter__(self) -> Iterator[Aggregate]:
        return iter(self.between(first_id=None, start_ms=None, end_ms=None, limit=len(self)))

    def append(self, item: Aggregate) -> None:
        """Add the next one."""
        self._numbers.extend(item)
        if len(self) > self._most + self._most // 4:
            del self._numbers[: (len(self) - self._most) * _COLUMNS]

    def scale_prices(self, factor: int) -> None:
        """State prices in a tick so many times finer."""
        self._table()[:, _TICKS] *= factor

    def between(
        self, *, first_id: int | None, start_ms: int | None, end_ms: int | None, limit: int
    ) -> list[Aggregate]:
        """Those from an id on and within [start_ms, end_ms]; the last ones where no begin is given."""
        first, stop = self._range(first_id, start_ms, end_ms)
        if first_id is None and start_ms is None:
            first = max(first, stop - limit)
        stop = min(stop, first + limit)
        cut = self._numbers[first * _COLUMNS : max(first, stop) * _COLUMNS].tolist()
        return [Aggregate(*cut[at : at + _COLUMNS]) for at in range(0, len(cut), _COLUMNS)]

    def _range(self, first_id: int | None, start_ms: int | None, end_ms: int | None) -> tuple[int, int]:
        """Rows that are meant."""
        first, stop = 0, len(self)
        if not stop:
            return 0, 0
        if first_id is not None:
            first = min(stop, max(0, first_id - self._numbers[_IDENTITY]))
        times = self._table()[:, _TIME_MS]
        if start_ms is not None:
            first = max(first, int(np.searchsorted(times, start_ms)))
        if end_ms is not None:
            stop = min(stop, int(np.searchsorted(times, end_ms, side="right")))
        return first, stop

    def _table(self) -> Integers:
        """(n, 8): a view, which must be gone before anything is added."""
        return np.frombuffer(self._numbers, np.int64).reshape(-1, _COLUMNS)
