"""The matching engine of one symbol: single orders, matched by price, then by time of arrival.

A level is a queue of orders (linked list, oldest first). Levels lie in a ring addressed by tick modulo its
span; all orders stay within half a span of the anchor, so that no two prices share a slot, and a price that
wanders needs no copying.

Every change of a level is written to `changes` and every fill to `trades`; whoever drives the engine reads
them and sets their counts back to zero before they are full (`has_room`).
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from undertow.compiled import borrowed, kernel

__all__ = [
    "ASK",
    "BID",
    "NO_TICK",
    "REFUSED",
    "Book",
    "add",
    "best",
    "cancel",
    "has_room",
    "is_resting",
    "level_lots",
    "new_book",
    "read_levels",
    "set_anchor",
    "submit_limit",
    "take",
]

Integers = NDArray[np.int64]

BID = 0
ASK = 1
NO_TICK = -1
"""Best price of a side without orders; prices are positive."""
REFUSED = -1
"""Handle of an order that the book cannot hold."""
_NOTHING = -1
PUBLIC, MAKER = range(2)
"""Owners: the many, who come and go, and the market maker."""

# Columns of Book.orders.
TICK, LOTS, SIDE, NEXT, PREVIOUS, PLACE, HANDLE, OWNER = range(8)
# Columns of Book.levels.
HEAD, TAIL, TOTAL, COUNT = range(4)
# Entries of Book.meta.
(
    BEST_BID,
    BEST_ASK,
    BID_LEVELS,
    ASK_LEVELS,
    ANCHOR,
    RESTING,
    SERIAL,
    UPDATE_ID,
    TRADE_ID,
    TAKER,
    NOW_MS,
    CHANGE_COUNT,
    TRADE_COUNT,
    UPDATE_MS,
    META_LENGTH,
) = range(15)
# Columns of Book.changes and of Book.trades.
CHANGE_COLUMNS = 3
TRADE_COLUMNS = 7


class Book(NamedTuple):
    """The arrays of one book, all int64, which kernels change in place."""

    orders: Integers
    """(capacity, 8): tick, lots left, side, next and previous slot of the queue, place in `resting`, handle,
    owner."""
    levels: Integers
    """(span, 4): first and last slot of the queue, total lots, number of orders; slot = tick modulo span."""
    resting: Integers
    """(capacity,): slots of all resting orders in no order, then the free slots."""
    changes: Integers
    """(rows, 3): update id, side, tick of each change of a level."""
    trades: Integers
    """(rows, 7): trade id, time [ms], tick, lots, 1 if the buyer rested, taker, cause of each fill."""
    meta: Integers
    """Best prices, level counts, anchor, number of resting orders, last ids, time [ms], rows in the logs."""


def new_book(
    anchor_ticks: int, *, capacity: int = 1 << 13, span: int = 1 << 15, rows: int = 1 << 15, first_id: int = 1
) -> Book:
    """An empty book around a price. `span` is a power of two; the first trade has id `first_id`."""
    meta = np.zeros(META_LENGTH, np.int64)
    meta[[BEST_BID, BEST_ASK]] = NO_TICK
    meta[ANCHOR] = anchor_ticks
    meta[[TRADE_ID, TAKER]] = first_id - 1
    meta[UPDATE_ID] = first_id - 1
    levels = np.zeros((span, 4), np.int64)
    levels[:, [HEAD, TAIL]] = _NOTHING
    return Book(
        orders=np.zeros((capacity, 8), np.int64),
        levels=levels,
        resting=np.arange(capacity, dtype=np.int64),
        changes=np.zeros((rows, CHANGE_COLUMNS), np.int64),
        trades=np.zeros((rows, TRADE_COLUMNS), np.int64),
        meta=meta,
    )


@kernel
def best(book: Book, side: int) -> int:
    """Best tick of a side, NO_TICK if it is empty."""
    book = borrowed(book)
    return int(book.meta[BEST_BID + side])


@kernel
def level_lots(book: Book, side: int, tick: int) -> int:
    """Quantity resting at a price; 0 where there is none."""
    book = borrowed(book)
    slot = book.levels[tick & (book.levels.shape[0] - 1)]
    if slot[COUNT] == 0:
        return 0
    first = book.orders[slot[HEAD]]
    return int(slot[TOTAL]) if first[SIDE] == side and first[TICK] == tick else 0


@kernel
def is_resting(book: Book, handle: int) -> bool:
    """Whether the order is still in the book."""
    book = borrowed(book)
    return handle > 0 and bool(book.orders[handle % book.orders.shape[0], HANDLE] == handle)


@kernel
def has_room(book: Book, rows: int) -> bool:
    """Whether both logs can take `rows` more."""
    return bool(
        book.meta[CHANGE_COUNT] + rows <= book.changes.shape[0]
        and book.meta[TRADE_COUNT] + rows <= book.trades.shape[0]
    )


@kernel
def _log_change(book: Book, side: int, tick: int) -> None:
    """Note that a level changed. Update ids are sparse, as if other symbols drew from the same sequence."""
    book = borrowed(book)
    meta = book.meta
    last = meta[UPDATE_ID]
    meta[UPDATE_ID] = last + 1 + ((last * 40_503) >> 5 & 31)
    meta[UPDATE_MS] = meta[NOW_MS]
    row = book.changes[meta[CHANGE_COUNT]]
    row[0], row[1], row[2] = meta[UPDATE_ID], side, tick
    meta[CHANGE_COUNT] += 1


@kernel
def _find_best(book: Book, side: int, tick: int) -> None:
    """Look from an emptied level away from the other side for the next one."""
    book = borrowed(book)
    meta = book.meta
    if meta[BID_LEVELS + side] == 0:
        meta[BEST_BID + side] = NO_TICK
        return
    mask = book.levels.shape[0] - 1
    step = 1 if side == ASK else -1
    while book.levels[tick & mask, COUNT] == 0:
        tick += step
    meta[BEST_BID + side] = tick


@kernel
def _remove(book: Book, slot: int) -> None:
    """Take an order out of its queue and free its slot; the level's total is already right."""
    book = borrowed(book)
    orders, meta = book.orders, book.meta
    order = orders[slot]
    tick, side, place = order[TICK], order[SIDE], order[PLACE]
    level = book.levels[tick & (book.levels.shape[0] - 1)]
    if order[PREVIOUS] == _NOTHING:
        level[HEAD] = order[NEXT]
    else:
        orders[order[PREVIOUS], NEXT] = order[NEXT]
    if order[NEXT] == _NOTHING:
        level[TAIL] = order[PREVIOUS]
    else:
        orders[order[NEXT], PREVIOUS] = order[PREVIOUS]
    order[HANDLE] = 0
    meta[RESTING] -= 1
    moved = book.resting[meta[RESTING]]
    book.resting[place], orders[moved, PLACE] = moved, place
    book.resting[meta[RESTING]] = slot
    level[COUNT] -= 1
    if level[COUNT] == 0:
        meta[BID_LEVELS + side] -= 1
        if meta[BEST_BID + side] == tick:
            _find_best(book, side, tick)


@kernel
def add(book: Book, side: int, tick: int, lots: int, owner: int) -> int:
    """Rest an order that does not cross, at the end of its queue; its handle, or REFUSED.

    Refused: no quantity, a price too far from the anchor, or a full book.
    """
    book = borrowed(book)
    orders, meta = book.orders, book.meta
    capacity, span = orders.shape[0], book.levels.shape[0]
    is_near = -(span >> 1) <= tick - meta[ANCHOR] < span >> 1
    if lots <= 0 or tick <= 0 or not is_near or meta[RESTING] == capacity:
        return REFUSED
    place = meta[RESTING]
    slot = book.resting[place]
    level = book.levels[tick & (span - 1)]
    meta[SERIAL] += 1
    order = orders[slot]
    order[TICK], order[LOTS], order[SIDE], order[OWNER] = tick, lots, side, owner
    order[NEXT], order[PREVIOUS], order[PLACE] = _NOTHING, level[TAIL], place
    order[HANDLE] = meta[SERIAL] * capacity + slot
    meta[RESTING] += 1
    if level[COUNT] == 0:
        level[HEAD], level[TOTAL] = slot, 0
        meta[BID_LEVELS + side] += 1
        present = meta[BEST_BID + side]
        if present == NO_TICK or (tick > present if side == BID else tick < present):
            meta[BEST_BID + side] = tick
    else:
        orders[level[TAIL], NEXT] = slot
    level[TAIL] = slot
    level[COUNT] += 1
    level[TOTAL] += lots
    _log_change(book, side, tick)
    return int(order[HANDLE])


@kernel
def cancel(book: Book, handle: int) -> int:
    """Withdraw an order; the lots it still had, 0 if it is no longer there."""
    book = borrowed(book)
    if not is_resting(book, handle):
        return 0
    slot = handle % book.orders.shape[0]
    order = book.orders[slot]
    side, tick, lots = order[SIDE], order[TICK], order[LOTS]
    book.levels[tick & (book.levels.shape[0] - 1), TOTAL] -= lots
    _remove(book, slot)
    _log_change(book, side, tick)
    return int(lots)


@kernel
def _fill(book: Book, slot: int, lots: int, cause: int) -> None:
    """Fill a resting order with `lots`, at its price."""
    book = borrowed(book)
    meta = book.meta
    order = book.orders[slot]
    side, tick = order[SIDE], order[TICK]
    meta[TRADE_ID] += 1
    row = book.trades[meta[TRADE_COUNT]]
    row[0], row[1], row[2], row[3] = meta[TRADE_ID], meta[NOW_MS], tick, lots
    row[4], row[5], row[6] = 1 if side == BID else 0, meta[TAKER], cause
    meta[TRADE_COUNT] += 1
    order[LOTS] -= lots
    book.levels[tick & (book.levels.shape[0] - 1), TOTAL] -= lots
    if order[LOTS] == 0:
        _remove(book, slot)


@kernel
def take(book: Book, side: int, limit_tick: int, lots: int, cause: int) -> int:
    """Match an incoming order of `side` against the other side, up to its limit; the lots left over.

    NO_TICK as the limit makes it a market order. Each resting order that it meets is one trade; `cause` is
    written beside it.
    """
    book = borrowed(book)
    meta = book.meta
    other = 1 - side
    meta[TAKER] += 1
    while lots > 0 and meta[BEST_BID + other] != NO_TICK:
        tick = meta[BEST_BID + other]
        if limit_tick != NO_TICK and (tick > limit_tick if side == BID else tick < limit_tick):
            break
        level = book.levels[tick & (book.levels.shape[0] - 1)]
        while lots > 0 and level[COUNT] > 0:
            filled = min(lots, book.orders[level[HEAD], LOTS])
            lots -= filled
            _fill(book, level[HEAD], filled, cause)
        _log_change(book, other, tick)
    return lots


@kernel
def submit_limit(book: Book, side: int, tick: int, lots: int, owner: int) -> int:
    """Match what crosses and rest what is left over; the handle of that, 0 if nothing is, or REFUSED."""
    left = take(book, side, tick, lots, 0)
    if left == 0:
        return 0
    return add(book, side, tick, left, owner)


@kernel
def set_anchor(book: Book, tick: int) -> int:
    """Move the range of prices that the book holds; the orders outside are cancelled. Their number."""
    book = borrowed(book)
    span = book.levels.shape[0]
    book.meta[ANCHOR] = tick
    cancelled = 0
    for place in range(book.meta[RESTING] - 1, -1, -1):
        order = book.orders[book.resting[place]]
        if not -(span >> 1) <= order[TICK] - tick < span >> 1:
            cancel(book, order[HANDLE])
            cancelled += 1
    return cancelled


@kernel
def read_levels(book: Book, side: int, out: Integers) -> int:
    """Write (tick, lots) of the best levels into the rows of `out`, best first; the number written."""
    book = borrowed(book)
    count = min(out.shape[0], book.meta[BID_LEVELS + side])
    step = 1 if side == ASK else -1
    tick = book.meta[BEST_BID + side]
    mask = book.levels.shape[0] - 1
    for row in range(count):
        while book.levels[tick & mask, COUNT] == 0:
            tick += step
        out[row, 0], out[row, 1] = tick, book.levels[tick & mask, TOTAL]
        tick += step
    return int(count)
