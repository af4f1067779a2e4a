"""Trade ids of one stream: each id once, and a gap wherever ids are missing."""

from dataclasses import dataclass, field

import msgspec
import numpy as np
from numpy.typing import NDArray

from undertow.market.events import Gap

__all__ = ["SINGLES", "TradeTracker"]

Integers = NDArray[np.int64]

SINGLES = "single trades missing from the aggregates"
"""Cause of a gap whose ids are those of single trades; its stream is `aggtrades singles`."""


@dataclass(slots=True)
class TradeTracker:
    """Follows the ids of one stream of one symbol in arrival order."""

    symbol: str
    stream: str
    last_id: int = -1
    last_event_ns: int = 0
    missing: list[tuple[int, int]] = field(default_factory=list)
    """Ranges of ids that were skipped and may still come."""
    disconnected_ns: int = -1
    """Event time from which this stream has been cut off, -1 while it is connected."""
    duplicate_count: int = 0
    last_single_id: int = -1
    """Last single trade of the newest aggregate; -1 where the stream has no such chain."""
    missing_singles: list[tuple[int, int]] = field(default_factory=list)
    """Ranges of ids of single trades that no aggregate told."""
    is_chained: bool = True
    """Each id is one more than the one before. If not, the mapper has dropped copies, and only a lost
    connection tells that something may be missing."""

    def disconnect(self, closed_ns: int) -> None:
        """The connection that carries this stream was lost when bars were closed up to `closed_ns`."""
        if self.last_id >= 0 and self.disconnected_ns < 0:
            self.disconnected_ns = max(self.last_event_ns, closed_ns)

    def open_gap(self, until_ns: int) -> Gap | None:
        """The gap that lasts while the stream is cut off, as far as `until_ns`."""
        if self.disconnected_ns < 0 or until_ns <= self.disconnected_ns:
            return None
        return self._gap(
            self.disconnected_ns, until_ns, (-1, -1), "disconnected", self.disconnected_ns, until_ns
        )

    def accept(
        self,
        ids: Integers,
        event_ns: Integers,
        closed_before: Integers,
        singles: tuple[Integers, Integers],
    ) -> tuple[NDArray[np.bool_], list[Gap]]:
        """Which of the trades are new, and the gaps that they reveal.

        `closed_before` is the boundary up to which bars were closed when each trade arrived; `singles` are
        the first and last single trade in each aggregate.
        """
        fresh = np.ones(len(ids), np.bool_)
        if not len(ids):
            return fresh, []
        if not self.is_chained:
            return fresh, self._accept_unchained(ids, event_ns, closed_before)
        before = (self.last_id, self.last_single_id, self.last_event_ns)
        gaps = self._accept_ids(ids, event_ns, closed_before, fresh)
        gaps += self._check_singles(before, ids, event_ns, closed_before, singles)
        return fresh, gaps

    def _accept_unchained(self, ids: Integers, event_ns: Integers, closed_before: Integers) -> list[Gap]:
        """A gap from the loss of the connection to the first trade after it: nobody knows what it held."""
        cut_off_ns, self.disconnected_ns = self.disconnected_ns, -1
        first_ns, closed_ns, from_ns = int(event_ns[0]), int(closed_before[0]), self.last_event_ns
        self.last_id, self.last_event_ns = int(ids.max()), max(from_ns, int(event_ns.max()))
        if cut_off_ns < 0:
            return []
        counted_to_ns = max(first_ns, closed_ns, cut_off_ns)
        return [self._gap(from_ns, first_ns, (-1, -1), "disconnected", cut_off_ns, counted_to_ns)]

    def _check_singles(
        self,
        before: tuple[int, int, int],
        ids: Integers,
        event_ns: Integers,
        closed_before: Integers,
        singles: tuple[Integers, Integers],
    ) -> list[Gap]:
        """Gaps where consecutive aggregates leave out single trades (PROTOCOL A7)."""
        last_id, last_single, last_ns = before
        previous_ids = np.concatenate([[last_id], ids[:-1]])
        previous_last = np.concatenate([[last_single], singles[1][:-1]])
        previous_ns = np.concatenate([[last_ns], event_ns[:-1]])
        self.last_single_id = int(singles[1][np.argmax(ids)]) if ids.max() == self.last_id else last_single
        skips = (previous_ids + 1 == ids) & (previous_last >= 0) & (singles[0] > previous_last + 1)
        gaps = []
        for row in np.flatnonzero(skips).tolist():
            from_ns, closed_ns = int(previous_ns[row]), int(closed_before[row])
            counted_from = max(from_ns, closed_ns)
            missing = (int(previous_last[row]) + 1, int(singles[0][row]) - 1)
            self.missing_singles.append(missing)
            to_ns = int(event_ns[row])
            gap = self._gap(from_ns, to_ns, missing, SINGLES, counted_from, max(to_ns, counted_from))
            gaps.append(msgspec.structs.replace(gap, stream=f"{self.stream} singles"))
        return gaps

    def fill(self, ids: Integers) -> NDArray[np.bool_]:
        """Which of the ids, had from elsewhere, were missing; they no longer are."""
        return np.array(
            [any(a <= i <= b for a, b in self.missing) and self._fill(i) for i in ids.tolist()], bool
        )

    def fill_singles(self, ids: Integers) -> NDArray[np.bool_]:
        """Which of the ids of single trades, had from elsewhere, no aggregate told; they no longer lack."""
        return np.array([_take(self.missing_singles, i) for i in ids.tolist()], bool)

    def _accept_ids(
        self, ids: Integers, event_ns: Integers, closed_before: Integers, fresh: NDArray[np.bool_]
    ) -> list[Gap]:
        expected = np.empty_like(ids)
        expected[0] = self.last_id + 1 if self.last_id >= 0 else ids[0]
        expected[1:] = ids[:-1] + 1
        if self.disconnected_ns < 0 and bool((ids == expected).all()):
            self.last_id, self.last_event_ns = int(ids[-1]), int(event_ns[-1])
            return []
        gaps: list[Gap] = []
        for row in range(len(ids)):
            fresh[row] = self._accept_one(int(ids[row]), int(event_ns[row]), int(closed_before[row]), gaps)
        return gaps

    def _accept_one(self, trade_id: int, event_ns: int, closed_ns: int, gaps: list[Gap]) -> bool:
        if 0 <= self.last_id >= trade_id:
            return self._fill(trade_id)
        jumped = self.last_id >= 0 and trade_id > self.last_id + 1
        cut_off_ns, self.disconnected_ns = self.disconnected_ns, -1
        if jumped:
            counted_from = max(self.last_event_ns, closed_ns) if cut_off_ns < 0 else cut_off_ns
            ids = (self.last_id + 1, trade_id - 1)
            self.missing.append(ids)
            gaps.append(
                self._gap(
                    self.last_event_ns,
                    event_ns,
                    ids,
                    "trade ids missing" if cut_off_ns < 0 else "disconnected",
                    counted_from,
                    max(event_ns, closed_ns, counted_from),
                )
            )
        elif 0 <= cut_off_ns < closed_ns:
            cause = "disconnected, no id missing"
            gaps.append(self._gap(cut_off_ns, closed_ns, (-1, -1), cause, cut_off_ns, closed_ns))
        self.last_id, self.last_event_ns = trade_id, event_ns
        return True

    def _fill(self, trade_id: int) -> bool:
        """Whether an id at or below the newest one was still missing; if so it no longer is."""
        if _take(self.missing, trade_id):
            return True
        self.duplicate_count += 1
        return False

    def _gap(
        self,
        from_ns: int,
        to_ns: int,
        ids: tuple[int, int],
        cause: str,
        counted_from_ns: int,
        counted_to_ns: int,
    ) -> Gap:
        return Gap(
            symbol=self.symbol,
            stream=self.stream,
            from_ns=from_ns,
            to_ns=max(to_ns, from_ns),
            first_id=ids[0],
            last_id=ids[1],
            cause=cause,
            counted_from_ns=counted_from_ns,
            counted_to_ns=counted_to_ns,
        )


def _take(ranges: list[tuple[int, int]], trade_id: int) -> bool:
    """Whether the id was in one of the ranges, out of which it is cut."""
    for i, (first, last) in enumerate(ranges):
        if first <= trade_id <= last:
            rest = [(first, trade_id - 1), (trade_id + 1, last)]
            ranges[i : i + 1] = [r for r in rest if r[0] <= r[1]]
            return True
    return False
