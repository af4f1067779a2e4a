"""What a market order gets from a displayed book: it walks the levels, best first, and no further."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from undertow.market.orders import Side, TopOfBook

__all__ = ["Walk", "take", "walk"]

Integers = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Walk:
    """(price in ticks, lots) taken at each level, best first, and the lots that the book did not hold."""

    taken: tuple[tuple[int, int], ...]
    residual_lots: int


def walk(ticks: Integers, lots: Integers, quantity_lots: int) -> Walk:
    """Take `quantity_lots` from levels (levels,) ordered best first.

    A level gives at most what it displays. What lies deeper than the display is unknown and stays
    residual; it is never filled at a displayed price.
    """
    taken: list[tuple[int, int]] = []
    left = quantity_lots
    for price, displayed in zip(ticks.tolist(), lots.tolist(), strict=True):
        if left <= 0:
            break
        if displayed > 0:
            taken.append((price, min(left, displayed)))
            left -= taken[-1][1]
    return Walk(tuple(taken), left)


def take(book: TopOfBook, side: Side, quantity_lots: int) -> tuple[Walk, TopOfBook]:
    """Walk the side that a market order hits, and the book without what it took."""
    if side is Side.BUY:
        result = walk(book.ask_ticks, book.ask_lots, quantity_lots)
        return result, replace(book, ask_lots=_without(book.ask_ticks, book.ask_lots, result))
    result = walk(book.bid_ticks, book.bid_lots, quantity_lots)
    return result, replace(book, bid_lots=_without(book.bid_ticks, book.bid_lots, result))


def _without(ticks: Integers, lots: Integers, result: Walk) -> Integers:
    left = lots.copy()
    for price, taken in result.taken:
        left[np.flatnonzero((ticks == price) & (lots > 0))[0]] -= taken
    return left
