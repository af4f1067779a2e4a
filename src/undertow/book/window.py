"""How a ladder keeps its levels: the window that follows the best price, and the overflow below it.

Both sides run the same code on keys, of which the highest is the best: key = tick for bids and ~tick for
asks. The key is its own slot, modulo the span; so a window that moves leaves the levels it keeps in place.

    key of a level:   … overflow, ascending … | base ≤ window < base + span |  nothing
                                                              best ↑

Between calls of `set_level`
    levels with key ≥ base are in the window, the others in the overflow, and none lies above the window;
    the best level of a side is in the upper half of its window.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from undertow.book.bitmap import erase, place, previous
from undertow.compiled import borrowed, kernel

__all__ = [
    "BASE",
    "BEST",
    "KEY",
    "LOTS",
    "META_COLUMNS",
    "NO_KEY",
    "OVERFLOW_COUNT",
    "WINDOW_COUNT",
    "Ladder",
    "find_best",
    "occupy",
    "overflow_rank",
    "previous_around",
    "set_outside",
    "vacate",
]

Integers = NDArray[np.int64]

NO_KEY = -(2**62)
"""Best key of a side without levels; below every key, and so is its complement above every tick."""

# Columns of Ladder.meta.
BASE = 0
BEST = 1
WINDOW_COUNT = 2
OVERFLOW_COUNT = 3
META_COLUMNS = 4

# Rows of Ladder.overflow.
KEY = 0
LOTS = 1


class Ladder(NamedTuple):
    """The arrays of one book, which kernels change in place.

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


@kernel
def previous_around(ladder: Ladder, side: int, leaves: int, slot: int) -> int:
    """The greatest set slot ≤ `slot`, else, around the end, the greatest at all; -1 if none is set."""
    ladder = borrowed(ladder)
    found = previous(ladder.bits, side, leaves, slot)
    if found < 0:
        found = previous(ladder.bits, side, leaves, ladder.lots.shape[1] - 1)
    return found


@kernel
def _window_key(ladder: Ladder, side: int, key: int) -> int:
    """The greatest key of the window that is ≤ `key`, or NO_KEY; `key` is below base + span."""
    ladder = borrowed(ladder)
    span = ladder.lots.shape[1]
    slot = previous_around(ladder, side, span >> 6, key & (span - 1))
    if slot < 0:
        return NO_KEY
    base = ladder.meta[side, BASE]
    found = base + ((slot - base) & (span - 1))
    return int(found) if found <= key else NO_KEY


@kernel
def occupy(ladder: Ladder, side: int, key: int) -> None:
    """Note that a slot of the window has become non-zero."""
    span = ladder.lots.shape[1]
    meta = ladder.meta
    place(ladder.bits, side, span >> 6, key & (span - 1))
    meta[side, WINDOW_COUNT] += 1
    if key > meta[side, BEST]:
        if meta[side, BEST] == NO_KEY:
            meta[side, BASE] = _base_around(key, span)
        meta[side, BEST] = key


@kernel
def vacate(ladder: Ladder, side: int, key: int) -> None:
    """Note that a slot of the window has become zero."""
    span = ladder.lots.shape[1]
    erase(ladder.bits, side, span >> 6, key & (span - 1))
    ladder.meta[side, WINDOW_COUNT] -= 1


@kernel
def find_best(ladder: Ladder, side: int, lost: int) -> None:
    """Find the best level after the one with key `lost`, and let the window follow it."""
    ladder = borrowed(ladder)
    span = ladder.lots.shape[1]
    meta = ladder.meta
    best = NO_KEY
    if meta[side, WINDOW_COUNT] > 0:
        best = _window_key(ladder, side, lost - 1)
    elif meta[side, OVERFLOW_COUNT] > 0:
        best = ladder.overflow[side, KEY, meta[side, OVERFLOW_COUNT] - 1]
    meta[side, BEST] = best
    if best != NO_KEY and best - meta[side, BASE] < span >> 1:
        meta[side, BASE] = _base_around(best, span)
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
    last = meta[side, OVERFLOW_COUNT] - 1
    while last >= 0 and ladder.overflow[side, KEY, last] >= meta[side, BASE]:
        slot = ladder.overflow[side, KEY, last] & (span - 1)
        ladder.lots[side, slot] = ladder.overflow[side, LOTS, last]
        place(ladder.bits, side, span >> 6, slot)
        meta[side, WINDOW_COUNT] += 1
        ladder.overflow[side, KEY, last] = 0
        ladder.overflow[side, LOTS, last] = 0
        last -= 1
    meta[side, OVERFLOW_COUNT] = last + 1


@kernel
def set_outside(ladder: Ladder, side: int, key: int, lots: int) -> bool:
    """`set_level` for a key outside the window."""
    ladder = borrowed(ladder)
    if key < ladder.meta[side, BEST]:
        return _set_in_overflow(ladder, side, key, lots)
    if lots == 0:
        return True
    span = ladder.lots.shape[1]
    if not _raise_base(ladder, side, _base_around(key, span)):
        return False
    ladder.lots[side, key & (span - 1)] = lots
    occupy(ladder, side, key)
    return True


@kernel
def _raise_base(ladder: Ladder, side: int, base: int) -> bool:
    """Move the window up to `base`, its levels below that into the overflow; False if they do not fit."""
    ladder = borrowed(ladder)
    span = ladder.lots.shape[1]
    meta = ladder.meta
    highest = _window_key(ladder, side, min(base, meta[side, BASE] + span) - 1)
    leaving = 0
    key = highest
    while key != NO_KEY:
        leaving += 1
        key = _window_key(ladder, side, key - 1)
    end = meta[side, OVERFLOW_COUNT] + leaving
    if end > ladder.overflow.shape[2]:
        return False
    key = highest
    for rank in range(end - 1, end - 1 - leaving, -1):
        slot = key & (span - 1)
        ladder.overflow[side, KEY, rank] = key
        ladder.overflow[side, LOTS, rank] = ladder.lots[side, slot]
        ladder.lots[side, slot] = 0
        erase(ladder.bits, side, span >> 6, slot)
        key = _window_key(ladder, side, key - 1)
    meta[side, OVERFLOW_COUNT] = end
    meta[side, WINDOW_COUNT] -= leaving
    meta[side, BASE] = base
    return True


@kernel
def overflow_rank(ladder: Ladder, side: int, key: int) -> int:
    """Number of overflow levels with a key below `key`."""
    return int(np.searchsorted(ladder.overflow[side, KEY, : ladder.meta[side, OVERFLOW_COUNT]], key))


@kernel
def _set_in_overflow(ladder: Ladder, side: int, key: int, lots: int) -> bool:
    """`set_level` for a key below the window of a side that has levels."""
    ladder = borrowed(ladder)
    keys, quantities = ladder.overflow[side, KEY], ladder.overflow[side, LOTS]
    size = ladder.meta[side, OVERFLOW_COUNT]
    rank = overflow_rank(ladder, side, key)
    is_set = rank < size and keys[rank] == key
    if is_set and lots != 0:
        quantities[rank] = lots
    elif is_set:
        for index in range(rank, size - 1):
            keys[index] = keys[index + 1]
            quantities[index] = quantities[index + 1]
        keys[size - 1] = 0
        quantities[size - 1] = 0
        ladder.meta[side, OVERFLOW_COUNT] = size - 1
    elif lots != 0:
        if size == len(keys):
            return False
        for index in range(size, rank, -1):
            keys[index] = keys[index - 1]
            quantities[index] = quantities[index - 1]
        keys[rank] = key
        quantities[rank] = lots
        ladder.meta[side, OVERFLOW_COUNT] = size + 1
    return True
