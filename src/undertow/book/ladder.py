"""The order book of one symbol: every level of both sides, in whole ticks and lots.

Each side is a dense array of quantities over a window of ticks, with a bitmap of the levels that are
set, so that updating a level and finding the best ones need no search. Levels too far from the best
price for the window wait in a sorted overflow; the window follows the price.

Both sides run the same code on keys, of which the highest is the best: key = tick for bids and ~tick for
asks. The key is its own slot, modulo the span; so a window that moves leaves the levels it keeps in place.

    key of a level:   … overflow, ascending … | base ≤ window < base + span |  nothing
                                                            best ↑

Invariants of a side, between calls:
    levels with key ≥ base are in the window, the others in the overflow, and none lies above the window;
    the best level of a side is in the upper half of its window.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from undertow.book.bitmap import (
    MAX_SPAN_BITS,
    MIN_SPAN_BITS,
    erase,
    highest_bit,
    place,
    previous,
    word_count,
)
from undertow.book.borrowing import borrowed
from undertow.compiled import kernel

__all__ = [
    "ASK",
    "BID",
    "NO_ASK",
    "NO_BID",
    "Ladder",
    "best_ask",
    "best_bid",
    "clear",
    "count",
    "from_state",
    "grow",
    "is_crossed",
    "level",
    "levels",
    "new_ladder",
    "set_level",
    "to_state",
    "top",
]

Integers = NDArray[np.int64]

BID = 0
ASK = 1

NO_BID = -(2**62)
"""Best bid of a side without levels: below every price, and NO_ASK − NO_BID still fits int64."""
NO_ASK = 2**62 - 1
"""Best ask of a side without levels: above every price."""

_NO_KEY = NO_BID

# Columns of Ladder.meta.
_BASE = 0
_BEST = 1
_WINDOW_COUNT = 2
_OVERFLOW_COUNT = 3
_META_COLUMNS = 4

# Rows of Ladder.overflow.
_KEY = 0
_LOTS = 1

_OVERFLOW_CAPACITY = 1024


class Ladder(NamedTuple):
    """The arrays of one book, passed to every kernel of this file and changed in place by them.

    All are int64; the first axis is the side, BID or ASK.
    """

    lots: Integers
    """(2, span): quantity of the level whose key is the slot modulo span; 0 = not set."""
    bits: Integers
    """(2, words): bitmap of the slots that are not 0."""
    overflow: Integers
    """(2, 2, capacity): keys, ascending, and quantities of the levels below the window."""
    meta: Integers
    """(2, 4): base key of the window, best key, levels in the window, levels in the overflow."""


def new_ladder(span_bits: int = MAX_SPAN_BITS, overflow_capacity: int = _OVERFLOW_CAPACITY) -> Ladder:
    """An empty book with a window of 2**span_bits ticks a side (16 bytes a tick in all).

    Raises ValueError unless 6 ≤ span_bits ≤ 18 and overflow_capacity ≥ 1.
    """
    if not MIN_SPAN_BITS <= span_bits <= MAX_SPAN_BITS:
        raise ValueError(f"span_bits is {span_bits}; choose {MIN_SPAN_BITS} to {MAX_SPAN_BITS}")
    if overflow_capacity < 1:
        raise ValueError(f"overflow_capacity is {overflow_capacity}; choose 1 or more")
    meta = np.zeros((2, _META_COLUMNS), np.int64)
    meta[:, _BEST] = _NO_KEY
    return Ladder(
        lots=np.zeros((2, 1 << span_bits), np.int64),
        bits=np.zeros((2, word_count(span_bits)), np.int64),
        overflow=np.zeros((2, 2, overflow_capacity), np.int64),
        meta=meta,
    )


def grow(ladder: Ladder) -> Ladder:
    """The same book with an overflow of twice the capacity; shares all other arrays with the old one."""
    capacity = ladder.overflow.shape[2]
    overflow = np.zeros((2, 2, 2 * capacity), np.int64)
    overflow[:, :, :capacity] = ladder.overflow
    return ladder._replace(overflow=overflow)


@kernel
def set_level(ladder: Ladder, side: int, tick: int, lots: int) -> bool:
    """Set the quantity at a price, 0 removing it; `tick` is in [0, 2**62 − 1), `lots` ≥ 0.

    False if the overflow is full: nothing has changed, `grow` the ladder and repeat.
    """
    ladder = borrowed(ladder)
    key = tick ^ -side
    span = ladder.lots.shape[1]
    offset = key - ladder.meta[side, _BASE]
    if offset < 0 or offset >= span:
        return _set_outside(ladder, side, key, lots)
    slot = key & (span - 1)
    before = ladder.lots[side, slot]
    ladder.lots[side, slot] = lots
    if before == 0:
        if lots != 0:
            _occupy(ladder, side, key)
    elif lots == 0:
        _vacate(ladder, side, key)
        if key == ladder.meta[side, _BEST]:
            _find_best(ladder, side, key)
    return True


@kernel
def level(ladder: Ladder, side: int, tick: int) -> int:
    """Quantity at a price [lots]; 0 if there is none."""
    key = tick ^ -side
    span = ladder.lots.shape[1]
    offset = key - ladder.meta[side, _BASE]
    if offset >= span:
        return 0
    if offset >= 0:
        return int(ladder.lots[side, key & (span - 1)])
    rank = _overflow_place(ladder, side, key)
    if rank < ladder.meta[side, _OVERFLOW_COUNT] and ladder.overflow[side, _KEY, rank] == key:
        return int(ladder.overflow[side, _LOTS, rank])
    return 0


@kernel
def best_bid(ladder: Ladder) -> int:
    """Highest bid [ticks], or NO_BID."""
    return int(ladder.meta[BID, _BEST])


@kernel
def best_ask(ladder: Ladder) -> int:
    """Lowest ask [ticks], or NO_ASK."""
    return int(~ladder.meta[ASK, _BEST])


@kernel
def is_crossed(ladder: Ladder) -> bool:
    """Whether the best bid is at or above the best ask; never with an empty side."""
    return best_bid(ladder) >= best_ask(ladder)


@kernel
def count(ladder: Ladder, side: int) -> int:
    """Number of levels of a side."""
    return int(ladder.meta[side, _WINDOW_COUNT] + ladder.meta[side, _OVERFLOW_COUNT])


@kernel
def top(ladder: Ladder, side: int, ticks_out: Integers, lots_out: Integers) -> int:
    """Write the best levels, best first, into two (n,) arrays; entries without a level become 0.

    Returns the number of levels written.
    """
    ladder = borrowed(ladder)
    ticks_out, lots_out = borrowed((ticks_out, lots_out))
    wanted = len(ticks_out)
    filled = _top_of_window(ladder, side, ticks_out, lots_out)
    rank = ladder.meta[side, _OVERFLOW_COUNT] - 1
    while filled < wanted and rank >= 0:
        ticks_out[filled] = ladder.overflow[side, _KEY, rank] ^ -side
        lots_out[filled] = ladder.overflow[side, _LOTS, rank]
        filled += 1
        rank -= 1
    for rest in range(filled, wanted):
        ticks_out[rest] = 0
        lots_out[rest] = 0
    return filled


@kernel
def clear(ladder: Ladder) -> None:
    """Remove every level of both sides, touching only what is set."""
    ladder = borrowed(ladder)
    span = ladder.lots.shape[1]
    leaves = span >> 6
    for side in range(2):
        slot = previous(ladder.bits, side, leaves, span - 1)
        while slot >= 0:
            ladder.lots[side, slot] = 0
            erase(ladder.bits, side, leaves, slot)
            slot = previous(ladder.bits, side, leaves, slot)
        ladder.overflow[side, :, : ladder.meta[side, _OVERFLOW_COUNT]] = 0
        ladder.meta[side, :] = 0
        ladder.meta[side, _BEST] = _NO_KEY


def levels(ladder: Ladder, side: int) -> tuple[Integers, Integers]:
    """Ticks and lots of every level of a side, best first: two int64 arrays."""
    size = count(ladder, side)
    ticks, lots = np.empty(size, np.int64), np.empty(size, np.int64)
    top(ladder, side, ticks, lots)
    return ticks, lots


def to_state(ladder: Ladder) -> dict[str, Integers]:
    """What `from_state` needs to restore the book bit for bit; its size follows the number of levels."""
    bid_ticks, bid_lots = levels(ladder, BID)
    ask_ticks, ask_lots = levels(ladder, ASK)
    return {
        "sizes": np.array([ladder.lots.shape[1].bit_length() - 1, ladder.overflow.shape[2]], np.int64),
        "meta": ladder.meta.copy(),
        "bid_ticks": bid_ticks,
        "bid_lots": bid_lots,
        "ask_ticks": ask_ticks,
        "ask_lots": ask_lots,
    }


def from_state(state: dict[str, Integers]) -> Ladder:
    """The book that `to_state` described."""
    span_bits, capacity = (int(size) for size in state["sizes"])
    ladder = new_ladder(span_bits, capacity)
    ladder.meta[:] = state["meta"]
    _restore(ladder, BID, state["bid_ticks"], state["bid_lots"])
    _restore(ladder, ASK, state["ask_ticks"], state["ask_lots"])
    return ladder


@kernel
def _restore(ladder: Ladder, side: int, ticks: Integers, lots: Integers) -> None:
    """Put levels, best first, where `meta` says that they are."""
    span = ladder.lots.shape[1]
    in_window = ladder.meta[side, _WINDOW_COUNT]
    for index in range(in_window):
        slot = (ticks[index] ^ -side) & (span - 1)
        ladder.lots[side, slot] = lots[index]
        place(ladder.bits, side, span >> 6, slot)
    last = len(ticks) - 1
    for index in range(in_window, len(ticks)):
        ladder.overflow[side, _KEY, last - index] = ticks[index] ^ -side
        ladder.overflow[side, _LOTS, last - index] = lots[index]


@kernel
def _top_of_window(ladder: Ladder, side: int, ticks_out: Integers, lots_out: Integers) -> int:
    """Write the best levels that are in the window; returns their number."""
    ladder = borrowed(ladder)
    mask = ladder.lots.shape[1] - 1
    leaves = ladder.lots.shape[1] >> 6
    best = ladder.meta[side, _BEST]
    wanted = min(len(ticks_out), ladder.meta[side, _WINDOW_COUNT])
    slot = best & mask
    filled = 0
    while filled < wanted:
        leaf = slot >> 6
        word = ladder.bits[side, leaf] & ((2 << (slot & 63)) - 1)
        while word != 0 and filled < wanted:
            position = highest_bit(word)
            word ^= 1 << position
            slot = (leaf << 6) + position
            ticks_out[filled] = (best - ((best - slot) & mask)) ^ -side
            lots_out[filled] = ladder.lots[side, slot]
            filled += 1
        if filled < wanted:
            slot = _previous_around(ladder, side, leaves, (leaf << 6) - 1)
    return filled


@kernel
def _previous_around(ladder: Ladder, side: int, leaves: int, slot: int) -> int:
    """The greatest set slot ≤ `slot`, else, around the end, the greatest at all; -1 if none is set."""
    ladder = borrowed(ladder)
    found = previous(ladder.bits, side, leaves, slot)
    if found < 0:
        found = previous(ladder.bits, side, leaves, ladder.lots.shape[1] - 1)
    return found


@kernel
def _window_key(ladder: Ladder, side: int, key: int) -> int:
    """The greatest key of the window that is ≤ `key`, or _NO_KEY; `key` is below base + span."""
    ladder = borrowed(ladder)
    span = ladder.lots.shape[1]
    slot = _previous_around(ladder, side, span >> 6, key & (span - 1))
    if slot < 0:
        return _NO_KEY
    base = ladder.meta[side, _BASE]
    found = base + ((slot - base) & (span - 1))
    return int(found) if found <= key else _NO_KEY


@kernel
def _occupy(ladder: Ladder, side: int, key: int) -> None:
    """Note that a slot of the window has become non-zero."""
    span = ladder.lots.shape[1]
    meta = ladder.meta
    place(ladder.bits, side, span >> 6, key & (span - 1))
    meta[side, _WINDOW_COUNT] += 1
    if key > meta[side, _BEST]:
        if meta[side, _BEST] == _NO_KEY:
            meta[side, _BASE] = _base_around(key, span)
        meta[side, _BEST] = key


@kernel
def _vacate(ladder: Ladder, side: int, key: int) -> None:
    """Note that a slot of the window has become zero."""
    span = ladder.lots.shape[1]
    erase(ladder.bits, side, span >> 6, key & (span - 1))
    ladder.meta[side, _WINDOW_COUNT] -= 1


@kernel
def _find_best(ladder: Ladder, side: int, lost: int) -> None:
    """Find the best level after the one with key `lost`, and let the window follow it."""
    ladder = borrowed(ladder)
    span = ladder.lots.shape[1]
    meta = ladder.meta
    best = _NO_KEY
    if meta[side, _WINDOW_COUNT] > 0:
        best = _window_key(ladder, side, lost - 1)
    elif meta[side, _OVERFLOW_COUNT] > 0:
        best = ladder.overflow[side, _KEY, meta[side, _OVERFLOW_COUNT] - 1]
    meta[side, _BEST] = best
    if best != _NO_KEY and best - meta[side, _BASE] < span >> 1:
        meta[side, _BASE] = _base_around(best, span)
        _pull(ladder, side)


@kernel
def _base_around(best: int, span: int) -> int:
    """Base of a window with three quarters of it below `best`, where the levels of its side are."""
    return best - (3 * span >> 2)


@kernel
def _pull(ladder: Ladder, side: int) -> None:
    """Move into the window what the overflow holds at or above its base."""
    span = ladder.lots.shape[1]
    meta = ladder.meta
    last = meta[side, _OVERFLOW_COUNT] - 1
    while last >= 0 and ladder.overflow[side, _KEY, last] >= meta[side, _BASE]:
        slot = ladder.overflow[side, _KEY, last] & (span - 1)
        ladder.lots[side, slot] = ladder.overflow[side, _LOTS, last]
        place(ladder.bits, side, span >> 6, slot)
        meta[side, _WINDOW_COUNT] += 1
        ladder.overflow[side, _KEY, last] = 0
        ladder.overflow[side, _LOTS, last] = 0
        last -= 1
    meta[side, _OVERFLOW_COUNT] = last + 1


@kernel
def _set_outside(ladder: Ladder, side: int, key: int, lots: int) -> bool:
    """`set_level` for a key outside the window."""
    ladder = borrowed(ladder)
    if key < ladder.meta[side, _BEST]:
        return _set_in_overflow(ladder, side, key, lots)
    if lots == 0:
        return True
    span = ladder.lots.shape[1]
    if not _raise_base(ladder, side, _base_around(key, span)):
        return False
    ladder.lots[side, key & (span - 1)] = lots
    _occupy(ladder, side, key)
    return True


@kernel
def _raise_base(ladder: Ladder, side: int, base: int) -> bool:
    """Move the window up to `base`, its levels below that into the overflow; False if they do not fit."""
    ladder = borrowed(ladder)
    span = ladder.lots.shape[1]
    meta = ladder.meta
    highest = _window_key(ladder, side, min(base, meta[side, _BASE] + span) - 1)
    leaving = 0
    key = highest
    while key != _NO_KEY:
        leaving += 1
        key = _window_key(ladder, side, key - 1)
    end = meta[side, _OVERFLOW_COUNT] + leaving
    if end > ladder.overflow.shape[2]:
        return False
    key = highest
    for rank in range(end - 1, end - 1 - leaving, -1):
        slot = key & (span - 1)
        ladder.overflow[side, _KEY, rank] = key
        ladder.overflow[side, _LOTS, rank] = ladder.lots[side, slot]
        ladder.lots[side, slot] = 0
        erase(ladder.bits, side, span >> 6, slot)
        key = _window_key(ladder, side, key - 1)
    meta[side, _OVERFLOW_COUNT] = end
    meta[side, _WINDOW_COUNT] -= leaving
    meta[side, _BASE] = base
    return True


@kernel
def _overflow_place(ladder: Ladder, side: int, key: int) -> int:
    """Number of overflow levels with a key below `key`."""
    return int(np.searchsorted(ladder.overflow[side, _KEY, : ladder.meta[side, _OVERFLOW_COUNT]], key))


@kernel
def _set_in_overflow(ladder: Ladder, side: int, key: int, lots: int) -> bool:
    """`set_level` for a key below the window of a side that has levels."""
    ladder = borrowed(ladder)
    keys, quantities = ladder.overflow[side, _KEY], ladder.overflow[side, _LOTS]
    size = ladder.meta[side, _OVERFLOW_COUNT]
    rank = _overflow_place(ladder, side, key)
    is_set = rank < size and keys[rank] == key
    if is_set and lots != 0:
        quantities[rank] = lots
    elif is_set:
        for index in range(rank, size - 1):
            keys[index] = keys[index + 1]
            quantities[index] = quantities[index + 1]
        keys[size - 1] = 0
        quantities[size - 1] = 0
        ladder.meta[side, _OVERFLOW_COUNT] = size - 1
    elif lots != 0:
        if size == len(keys):
            return False
        for index in range(size, rank, -1):
            keys[index] = keys[index - 1]
            quantities[index] = quantities[index - 1]
        keys[rank] = key
        quantities[rank] = lots
        ladder.meta[side, _OVERFLOW_COUNT] = size + 1
    return True
