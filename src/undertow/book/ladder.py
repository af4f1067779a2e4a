"""The order book of one symbol: every level of both sides, in whole ticks and lots.

Each side is a dense array of quantities over a window of ticks, with a bitmap of the levels that are
set, so that updating a level and finding the best ones need no search. Levels too far from the best
price for the window wait in a sorted overflow; the window follows the price (`undertow.book.window`).
"""

import numpy as np
from numpy.typing import NDArray

from undertow.book.bitmap import MAX_SPAN_BITS, MIN_SPAN_BITS, erase, highest_bit, place, previous, word_count
from undertow.book.window import (
    BASE,
    BEST,
    KEY,
    LOTS,
    META_COLUMNS,
    NO_KEY,
    OVERFLOW_COUNT,
    WINDOW_COUNT,
    Ladder,
    find_best,
    occupy,
    overflow_rank,
    previous_around,
    set_outside,
    vacate,
)
from undertow.compiled import borrowed, kernel

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

NO_BID = NO_KEY
"""Best bid of a side without levels: below every price, and NO_ASK − NO_BID still fits int64."""
NO_ASK = ~NO_KEY
"""Best ask of a side without levels: above every price."""

_OVERFLOW_CAPACITY = 1024


def new_ladder(span_bits: int = MAX_SPAN_BITS, overflow_capacity: int = _OVERFLOW_CAPACITY) -> Ladder:
    """An empty book with a window of 2**span_bits ticks a side (16 bytes a tick in all).

    Raises ValueError unless 6 ≤ span_bits ≤ 18 and overflow_capacity ≥ 1.
    """
    if not MIN_SPAN_BITS <= span_bits <= MAX_SPAN_BITS:
        raise ValueError(f"span_bits is {span_bits}; choose {MIN_SPAN_BITS} to {MAX_SPAN_BITS}")
    if overflow_capacity < 1:
        raise ValueError(f"overflow_capacity is {overflow_capacity}; choose 1 or more")
    meta = np.zeros((2, META_COLUMNS), np.int64)
    meta[:, BEST] = NO_KEY
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
    offset = key - ladder.meta[side, BASE]
    if offset < 0 or offset >= span:
        return set_outside(ladder, side, key, lots)
    slot = key & (span - 1)
    before = ladder.lots[side, slot]
    ladder.lots[side, slot] = lots
    if before == 0:
        if lots != 0:
            occupy(ladder, side, key)
    elif lots == 0:
        vacate(ladder, side, key)
        if key == ladder.meta[side, BEST]:
            find_best(ladder, side, key)
    return True


@kernel
def level(ladder: Ladder, side: int, tick: int) -> int:
    """Quantity at a price [lots]; 0 if there is none."""
    key = tick ^ -side
    span = ladder.lots.shape[1]
    offset = key - ladder.meta[side, BASE]
    if offset >= span:
        return 0
    if offset >= 0:
        return int(ladder.lots[side, key & (span - 1)])
    rank = overflow_rank(ladder, side, key)
    if rank < ladder.meta[side, OVERFLOW_COUNT] and ladder.overflow[side, KEY, rank] == key:
        return int(ladder.overflow[side, LOTS, rank])
    return 0


@kernel
def best_bid(ladder: Ladder) -> int:
    """Highest bid [ticks], or NO_BID."""
    return int(ladder.meta[BID, BEST])


@kernel
def best_ask(ladder: Ladder) -> int:
    """Lowest ask [ticks], or NO_ASK."""
    return int(~ladder.meta[ASK, BEST])


@kernel
def is_crossed(ladder: Ladder) -> bool:
    """Whether the best bid is at or above the best ask; never with an empty side."""
    return best_bid(ladder) >= best_ask(ladder)


@kernel
def count(ladder: Ladder, side: int) -> int:
    """Number of levels of a side."""
    return int(ladder.meta[side, WINDOW_COUNT] + ladder.meta[side, OVERFLOW_COUNT])


@kernel
def top(ladder: Ladder, side: int, ticks_out: Integers, lots_out: Integers) -> int:
    """Write the best levels, best first, into two (n,) arrays; entries without a level become 0.

    Returns the number of levels written.
    """
    ladder = borrowed(ladder)
    ticks_out, lots_out = borrowed((ticks_out, lots_out))
    wanted = len(ticks_out)
    filled = _top_of_window(ladder, side, ticks_out, lots_out)
    rank = ladder.meta[side, OVERFLOW_COUNT] - 1
    while filled < wanted and rank >= 0:
        ticks_out[filled] = ladder.overflow[side, KEY, rank] ^ -side
        lots_out[filled] = ladder.overflow[side, LOTS, rank]
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
        ladder.overflow[side, :, : ladder.meta[side, OVERFLOW_COUNT]] = 0
        ladder.meta[side, :] = 0
        ladder.meta[side, BEST] = NO_KEY


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
    in_window = ladder.meta[side, WINDOW_COUNT]
    for index in range(in_window):
        slot = (ticks[index] ^ -side) & (span - 1)
        ladder.lots[side, slot] = lots[index]
        place(ladder.bits, side, span >> 6, slot)
    last = len(ticks) - 1
    for index in range(in_window, len(ticks)):
        ladder.overflow[side, KEY, last - index] = ticks[index] ^ -side
        ladder.overflow[side, LOTS, last - index] = lots[index]


@kernel
def _top_of_window(ladder: Ladder, side: int, ticks_out: Integers, lots_out: Integers) -> int:
    """Write the best levels that are in the window; returns their number."""
    ladder = borrowed(ladder)
    mask = ladder.lots.shape[1] - 1
    leaves = ladder.lots.shape[1] >> 6
    best = ladder.meta[side, BEST]
    wanted = min(len(ticks_out), ladder.meta[side, WINDOW_COUNT])
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
            slot = previous_around(ladder, side, leaves, (leaf << 6) - 1)
    return filled
