"""Levels of the book as text, written by compiled code: they are most of what the exchange sends."""

import numpy as np
from numpy.typing import NDArray

from undertow.compiled import kernel
from undertow.venues.simulated.listings import Listing
from undertow.venues.simulated.matching import BID, Book, level_lots

__all__ = ["changed_levels_text", "levels_text", "new_marks", "new_text", "text_format"]

Integers = NDArray[np.int64]
Text = NDArray[np.uint8]

_QUOTE, _COMMA, _OPEN, _CLOSE, _POINT, _ZERO = (ord(letter) for letter in '",[].0')
_LEVEL_BYTES = 64
"""No level is longer."""


def text_format(listing: Listing) -> Integers:
    """(4,): units and decimals of a price, units and decimals of a quantity."""
    return np.array(
        [listing.price_factor, listing.price_decimals, listing.quantity_factor, listing.quantity_decimals],
        np.int64,
    )


def new_marks(book: Book) -> Integers:
    """(2, span + 1): when a level was last written; the last column of row 0 counts the calls."""
    return np.zeros((2, book.levels.shape[0] + 1), np.int64)


def new_text(levels: int) -> Text:
    """Room for the text of so many levels."""
    return np.zeros(levels * _LEVEL_BYTES, np.uint8)


@kernel
def _write_decimal(out: Text, at: int, units: int, decimals: int) -> int:
    """Write a non-negative number of units of the last decimal, in quotes; the place after it."""
    out[at] = _QUOTE
    digits = 1
    bound = 10
    while units >= bound:
        digits += 1
        bound *= 10
    digits = max(digits, decimals + 1)
    end = at + 1 + digits + (1 if decimals else 0)
    place = end
    for written in range(digits):
        if decimals and written == decimals:
            place -= 1
            out[place] = _POINT
        place -= 1
        out[place] = _ZERO + units % 10
        units //= 10
    out[end] = _QUOTE
    return end + 1


@kernel
def _write_level(out: Text, at: int, scales: Integers, tick: int, lots: int) -> int:
    """Write `["price","quantity"],`; the place after it."""
    out[at] = _OPEN
    at = _write_decimal(out, at + 1, tick * scales[0], scales[1])
    out[at] = _COMMA
    at = _write_decimal(out, at + 1, lots * scales[2], scales[3])
    out[at], out[at + 1] = _CLOSE, _COMMA
    return at + 2


@kernel
def _sort(values: Integers) -> None:
    """Insertion sort: a few dozen values."""
    for index in range(1, values.shape[0]):
        value = values[index]
        place = index
        while place > 0 and values[place - 1] > value:
            values[place] = values[place - 1]
            place -= 1
        values[place] = value


@kernel
def _write_changed(
    book: Book,
    side: int,
    start: int,
    stop: int,
    marks: Integers,
    ticks: Integers,
    out: Text,
    scales: Integers,
) -> int:
    """Write the levels of a side that rows start..stop of the log name, by price; the length of the text."""
    span = book.levels.shape[0]
    call = marks[0, span]
    count = 0
    for row in range(start, stop):
        tick = book.changes[row, 2]
        if book.changes[row, 1] == side and marks[side, tick & (span - 1)] != call:
            marks[side, tick & (span - 1)] = call
            ticks[count] = tick
            count += 1
    _sort(ticks[:count])
    at = 0
    for index in range(count):
        at = _write_level(out, at, scales, ticks[index], level_lots(book, side, ticks[index]))
    return at


@kernel
def _write_both(
    book: Book, start: int, stop: int, marks: Integers, ticks: Integers, out: Text, scales: Integers
) -> tuple[int, int]:
    """Write changed bids, then changed asks; where each ends."""
    marks[0, book.levels.shape[0]] += 1
    bids = _write_changed(book, BID, start, stop, marks, ticks, out, scales)
    asks = _write_changed(book, 1 - BID, start, stop, marks, ticks, out[bids:], scales)
    return bids, bids + asks


@kernel
def _write_levels(levels: Integers, out: Text, scales: Integers) -> int:
    """Write levels in the order given; the length of the text."""
    at = 0
    for row in range(levels.shape[0]):
        at = _write_level(out, at, scales, levels[row, 0], levels[row, 1])
    return at


def changed_levels_text(
    book: Book, start: int, stop: int, marks: Integers, out: Text, scales: Integers
) -> tuple[bytes, bytes]:
    """JSON of the bids and of the asks that rows start..stop of the log name, as they are now, by price.

    `out` has room for 2 · (stop − start) levels.
    """
    ticks = np.empty(stop - start, np.int64)
    middle, end = _write_both(book, start, stop, marks, ticks, out, scales)
    return _json(out, 0, middle), _json(out, middle, end)


def levels_text(levels: Integers, scales: Integers) -> bytes:
    """JSON of (tick, lots) rows, in their order."""
    out = new_text(levels.shape[0])
    return _json(out, 0, _write_levels(levels, out, scales))


def _json(text: Text, start: int, end: int) -> bytes:
    """The array in brackets, without the last level's comma."""
    return b"[" + text[start : max(start, end - 1)].tobytes() + b"]"
