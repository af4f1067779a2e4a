"""Comparing the book with a fresh snapshot at one and the same update: is what we kept still true?

A chain of updates without a gap is not enough: a level beyond the edge of the snapshot that seeded the book,
gone without an update for us, stays for ever (PROTOCOL A6, ghost levels). Only the price range of the newest
snapshot is trusted, and an audit moves it along.
"""

from dataclasses import dataclass, field

import msgspec
import numpy as np
from numpy.typing import NDArray

from undertow.book import ladder as books
from undertow.book.ladder import Ladder
from undertow.frames.column_set import single_event
from undertow.market.batch import EventBatch
from undertow.venues.binance.sync import BREAK, STALE, join

__all__ = ["Audit", "BookAudit", "compare", "set_levels"]

Integers = NDArray[np.int64]

_MOST_DELTAS = 5_000
"""An audit whose snapshot does not come within so many updates is given up."""


class BookAudit(msgspec.Struct, frozen=True):
    """What a comparison found. Levels count for both sides together."""

    event_ns: int
    """Event time of the update at which both books were compared."""
    update_id: int
    compared: int
    """Levels inside the snapshot's price range that either book has."""
    matched: int
    """Of these, the levels with the same quantity in both."""
    mismatched: int
    """Differences inside the range that was trusted before: the book was wrong."""
    ghosts: int
    """Differences outside it: levels that had changed unseen; put right."""
    trusted_bid_ticks: int
    """Range trusted from now on."""
    trusted_ask_ticks: int
    cause: str = ""
    """Why nothing could be compared; empty where it could."""


@dataclass(slots=True)
class Audit:
    """An audit under way: updates since it was asked for, and the snapshot once it has come."""

    deltas: list[EventBatch] = field(default_factory=list)
    snapshot: EventBatch | None = None

    def note_delta(self, batch: EventBatch, at: int) -> bool:
        """Keep an update; False when there are too many."""
        self.deltas.append(single_event(batch, at))
        return len(self.deltas) <= _MOST_DELTAS

    def note_snapshot(self, batch: EventBatch, at: int) -> None:
        """Keep the snapshot."""
        self.snapshot = single_event(batch, at)

    def rebuild(self, rule: int, book_id: int) -> tuple[Ladder | None, str]:
        """The book at `book_id` by the snapshot and the updates after it.

        (None, "") where more updates must come first; (None, cause) where it cannot be known.
        """
        if self.snapshot is None:
            return None, ""
        snapshot_id = int(self.snapshot.last_id[0])
        after = [delta for delta in self.deltas if self._place(rule, delta, snapshot_id) != STALE]
        if not after:
            return (_ladder(self.snapshot, []), "") if snapshot_id == book_id else (None, "")
        if self._place(rule, after[0], snapshot_id) == BREAK:
            return None, "the snapshot is older than the updates at hand"
        return _ladder(self.snapshot, after), ""

    @staticmethod
    def _place(rule: int, delta: EventBatch, snapshot_id: int) -> int:
        ids = (delta.first_id[0], delta.last_id[0], delta.previous_id[0])
        return int(join(rule, int(ids[0]), int(ids[1]), int(ids[2]), snapshot_id))


def set_levels(ladder: Ladder, side: int, start: int, count: int, batch: EventBatch) -> Ladder:
    """Set levels of a batch; the ladder to go on with, which may have grown."""
    for level in range(start, start + count):
        while not books.set_level(ladder, side, batch.level_ticks[level], batch.level_lots[level]):
            ladder = books.grow(ladder)
    return ladder


def _ladder(snapshot: EventBatch, deltas: list[EventBatch]) -> Ladder:
    ladder = books.new_ladder()
    for event in [snapshot, *deltas]:
        ladder = set_levels(ladder, books.BID, int(event.bid_start[0]), int(event.bid_count[0]), event)
        ladder = set_levels(ladder, books.ASK, int(event.ask_start[0]), int(event.ask_count[0]), event)
    return ladder


def compare(
    kept: Ladder, fresh: Ladder, before: tuple[int, int], now: tuple[int, int]
) -> tuple[int, int, int, int]:
    """(compared, matched, mismatched, ghosts) of two books at the same update.

    `before` and `now` are the trusted ranges (lowest bid, highest ask) until now and of the snapshot.
    """
    compared = matched = mismatched = ghosts = 0
    for side, sign in ((books.BID, 1), (books.ASK, -1)):
        edge, trusted = sign * now[side], sign * before[side]
        ticks, equal = _side(kept, fresh, side)
        inside = sign * ticks >= edge
        wrong = sign * ticks[inside & ~equal]
        compared += int(inside.sum())
        matched += int((inside & equal).sum())
        mismatched += int((wrong >= trusted).sum())
        ghosts += int((wrong < trusted).sum())
    return compared, matched, mismatched, ghosts


def _side(kept: Ladder, fresh: Ladder, side: int) -> tuple[Integers, NDArray[np.bool_]]:
    """Ticks that either book has, and whether both have the same quantity there."""
    ticks_a, lots_a = books.levels(kept, side)
    ticks_b, lots_b = books.levels(fresh, side)
    ticks = np.union1d(ticks_a, ticks_b)
    found = np.zeros((2, len(ticks)), np.int64)
    found[0, np.searchsorted(ticks, ticks_a)] = lots_a
    found[1, np.searchsorted(ticks, ticks_b)] = lots_b
    return ticks, found[0] == found[1]
