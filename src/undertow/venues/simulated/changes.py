"""A stretch of a market's life with the changes of its book as numbers, in compiled code.

The market lives step by step, as it does for a stream of depth; what such a stream would have told at the end
of each step lies in arrays instead of in text.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from undertow.compiled import borrowed, kernel
from undertow.venues.simulated.market import Market
from undertow.venues.simulated.matching import (
    BID,
    CHANGE_COUNT,
    TRADE_COUNT,
    UPDATE_ID,
    UPDATE_MS,
    Book,
    level_lots,
)
from undertow.venues.simulated.orderflow import FAIR, TOP_COUNT, FlowState, Habits, advance

__all__ = ["ChangeRecorder", "Stretch"]

Integers = NDArray[np.int64]

# Columns of Changes.deltas.
FIRST_ID, LAST_ID, PREVIOUS_ID, UPDATED_MS, START, BID_COUNT, ASK_COUNT, STEP = range(8)
_DELTA_COLUMNS = 8
_LEVELS_AT_FIRST = 1 << 17


class Changes(NamedTuple):
    """Room for what a stretch of steps tells."""

    deltas: Integers
    """(steps, 8): U, u, pu, time of the last change [ms], where its levels begin, bids, asks, which step."""
    ticks: Integers
    """(levels,) of all deltas: of each first the bids, then the asks, by price."""
    lots: Integers
    fairs: Integers
    """(steps,): the fair value at the end of each step [ticks]."""
    marks: Integers
    """(2, span + 1): when a level was last told; the last column of row 0 counts the deltas."""
    counts: Integers
    """(4,): steps lived through, deltas, levels, update id told last."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """What happened in a stretch of steps."""

    trades: Integers
    """(n, 7): rows of matching.Book.trades."""
    deltas: Integers
    """(m, 8): rows of Changes.deltas."""
    ticks: Integers
    lots: Integers
    fairs: Integers
    """(steps,): the fair value at the end of each step [ticks]."""


@kernel
def _sort_both(ticks: Integers, lots: Integers) -> None:
    """Insertion sort by tick: a few dozen levels."""
    for index in range(1, ticks.shape[0]):
        tick, quantity, place = ticks[index], lots[index], index
        while place > 0 and ticks[place - 1] > tick:
            ticks[place], lots[place] = ticks[place - 1], lots[place - 1]
            place -= 1
        ticks[place], lots[place] = tick, quantity


@kernel
def _tell_side(book: Book, room: Changes, side: int, stop: int, at: int) -> int:
    """Write the levels of a side that the log names, from `at` on; where they end."""
    book = borrowed(book)
    room = borrowed(room)
    mask = book.levels.shape[0] - 1
    call, begin = room.marks[0, mask + 1], at
    for row in range(stop):
        tick = book.changes[row, 2]
        if book.changes[row, 1] == side and room.marks[side, tick & mask] != call:
            room.marks[side, tick & mask] = call
            room.ticks[at], room.lots[at] = tick, level_lots(book, side, tick)
            at += 1
    _sort_both(room.ticks[begin:at], room.lots[begin:at])
    return at


@kernel
def _tell(book: Book, room: Changes, step: int) -> bool:
    """Write a delta of the log of changes and empty it; False where the levels may not have room."""
    book = borrowed(book)
    room = borrowed(room)
    stop, begin = book.meta[CHANGE_COUNT], room.counts[2]
    if begin + stop > room.ticks.shape[0]:
        return False
    if stop == 0:
        return True
    room.marks[0, book.levels.shape[0]] += 1
    middle = _tell_side(book, room, BID, stop, begin)
    end = _tell_side(book, room, 1 - BID, stop, middle)
    row = room.deltas[room.counts[1]]
    row[FIRST_ID], row[LAST_ID], row[PREVIOUS_ID] = (
        book.changes[0, 0],
        book.meta[UPDATE_ID],
        room.counts[3],
    )
    row[UPDATED_MS], row[START], row[STEP] = book.meta[UPDATE_MS], begin, step
    row[BID_COUNT], row[ASK_COUNT] = middle - begin, end - middle
    room.counts[1] += 1
    room.counts[2] = end
    room.counts[3] = book.meta[UPDATE_ID]
    book.meta[CHANGE_COUNT] = 0
    return True


@kernel
def _forget_tops(flow: FlowState) -> None:
    """Empty the log of best prices but for the last."""
    flow = borrowed(flow)
    flow.tops[0] = flow.tops[flow.integers[TOP_COUNT] - 1]
    flow.integers[TOP_COUNT] = 1


@kernel
def _live(
    book: Book,
    flow: FlowState,
    rng: np.random.Generator,
    habits: Habits,
    floor_ticks: int,
    ends_ms: Integers,
    is_told: NDArray[np.bool_],
    room: Changes,
) -> bool:
    """Live step by step; False: a log is full, and the caller is to empty it and call again."""
    while room.counts[0] < ends_ms.shape[0]:
        step = room.counts[0]
        _forget_tops(flow)
        if not advance(book, flow, rng, habits, ends_ms[step], floor_ticks):
            return False
        if is_told[step] and not _tell(book, room, step):
            return False
        room.fairs[step] = flow.integers[FAIR]
        room.counts[0] += 1
    return True


class ChangeRecorder:
    """Lets a market live and keeps what a stream of its book would have told; nobody else may advance it.

    Usage: `recorder.live(ends_ms, is_told)` again and again.
    """

    def __init__(self, market: Market) -> None:
        self.market = market
        span = market.book.levels.shape[0]
        self._marks = np.zeros((2, span + 1), np.int64)
        self._ticks = np.empty(_LEVELS_AT_FIRST, np.int64)
        self._lots = np.empty(_LEVELS_AT_FIRST, np.int64)
        self._told_id = market.update_id

    def live(self, ends_ms: Integers, is_told: NDArray[np.bool_]) -> Stretch:
        """Live until each of the times `ends_ms` (n,) in turn; a delta is told at the end where `is_told`.

        Index and funding are left to the caller. Raises RuntimeError where more happens within one step than
        the log of changes can hold.
        """
        market, room = self.market, self._room(len(ends_ms))
        trades: list[Integers] = []
        while True:
            floor = market.listing.start_ticks // 4
            is_done = _live(
                market.book, market.flow, market.rng, market.habits, floor, ends_ms, is_told, room
            )
            trades.append(self._take_trades())
            if is_done:
                break
            room = self._with_room(room)
        self._told_id = int(room.counts[3])
        market.now_ms = int(ends_ms[-1])
        deltas, levels = int(room.counts[1]), int(room.counts[2])
        return Stretch(
            trades=np.concatenate(trades),
            deltas=room.deltas[:deltas],
            ticks=room.ticks[:levels].copy(),
            lots=room.lots[:levels].copy(),
            fairs=room.fairs,
        )

    def _room(self, steps: int) -> Changes:
        return Changes(
            deltas=np.empty((steps, _DELTA_COLUMNS), np.int64),
            ticks=self._ticks,
            lots=self._lots,
            fairs=np.empty(steps, np.int64),
            marks=self._marks,
            counts=np.array([0, 0, 0, self._told_id]),
        )

    def _take_trades(self) -> Integers:
        meta = self.market.book.meta
        trades = self.market.book.trades[: meta[TRADE_COUNT]].copy()
        meta[TRADE_COUNT] = 0
        return trades

    def _with_room(self, room: Changes) -> Changes:
        """The same with room for all levels that the log of changes may name."""
        book = self.market.book
        waiting, rows = int(book.meta[CHANGE_COUNT]), book.changes.shape[0]
        if waiting > rows // 2:
            raise RuntimeError("the log of changes cannot hold what happens within one step")
        if room.counts[2] + rows > len(self._ticks):
            more = np.empty(len(self._ticks), np.int64)
            self._ticks = np.concatenate([self._ticks, more])
            self._lots = np.concatenate([self._lots, more])
        return room._replace(ticks=self._ticks, lots=self._lots)
