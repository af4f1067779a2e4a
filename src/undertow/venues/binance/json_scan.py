"""Kernels that read JSON values in place from a block of bytes.

Each takes the block, a position and an end (exclusive) and returns the position after what it read, negative
where the text is not what was expected.
"""

import numpy as np
from numpy.typing import NDArray

from undertow.compiled import kernel

__all__ = [
    "MALFORMED",
    "OFF_STEP",
    "same",
    "scan_decimal",
    "scan_integer",
    "skip_space",
    "skip_string",
    "skip_value",
]

Bytes = NDArray[np.uint8]

MALFORMED = -1
OFF_STEP = -2
"""A decimal that does not lie on the instrument's tick or lot."""

_QUOTE, _BACKSLASH, _MINUS, _DOT = 0x22, 0x5C, 0x2D, 0x2E
_ZERO, _NINE = 0x30, 0x39
_OPEN_BRACKET, _CLOSE_BRACKET, _OPEN_BRACE, _CLOSE_BRACE = 0x5B, 0x5D, 0x7B, 0x7D
_COMMA, _SPACE, _TAB = 0x2C, 0x20, 0x09
_MAX_DIGITS = 18
_MAX_INTEGER_DIGITS = 19


@kernel
def skip_space(data: Bytes, at: int, end: int) -> int:
    """The position of the first byte that is no space."""
    while at < end and (data[at] == _SPACE or data[at] == _TAB):
        at += 1
    return at


@kernel
def skip_string(data: Bytes, at: int, end: int) -> int:
    """Past the string whose opening quote is at `at`."""
    if at >= end or data[at] != _QUOTE:
        return MALFORMED
    at += 1
    while at < end:
        if data[at] == _BACKSLASH:
            at += 1
        elif data[at] == _QUOTE:
            return at + 1
        at += 1
    return MALFORMED


@kernel
def skip_value(data: Bytes, at: int, end: int) -> int:
    """Past any JSON value: brackets are balanced, strings respected, the inside not checked further."""
    depth = 0
    while at < end:
        byte = data[at]
        if byte == _QUOTE:
            at = skip_string(data, at, end)
            if at < 0:
                return MALFORMED
        elif byte in (_OPEN_BRACKET, _OPEN_BRACE):
            depth += 1
            at += 1
        elif byte in (_CLOSE_BRACKET, _CLOSE_BRACE):
            if depth == 0:
                return at
            depth -= 1
            at += 1
        elif byte == _COMMA and depth == 0:
            return at
        else:
            at += 1
            continue
        if depth == 0 and byte != _COMMA:
            return at
    return MALFORMED


@kernel
def same(data: Bytes, at: int, length: int, expected: Bytes) -> bool:
    """Whether `length` bytes from `at` are `expected`."""
    if length != len(expected):
        return False
    i = 0
    while i < length and data[at + i] == expected[i]:
        i += 1
    return i == length


@kernel
def scan_integer(data: Bytes, at: int, end: int) -> tuple[int, int]:
    """(value, position after) of an integer that fits 63 bits, bare or in quotes."""
    quoted = at < end and data[at] == _QUOTE
    if quoted:
        at += 1
    negative = at < end and data[at] == _MINUS
    if negative:
        at += 1
    start = at
    value = 0
    while at < end and _ZERO <= data[at] <= _NINE:
        value = value * 10 + (data[at] - _ZERO)
        at += 1
    if at == start or at - start > _MAX_INTEGER_DIGITS or value < 0:
        return 0, MALFORMED
    if quoted:
        if at >= end or data[at] != _QUOTE:
            return 0, MALFORMED
        at += 1
    return (-value if negative else value), at


@kernel
def scan_decimal(data: Bytes, at: int, end: int, units: int, digits: int) -> tuple[int, int]:
    """(count, position after) of a quoted non-negative decimal as a whole count of units/10**digits."""
    if at >= end or data[at] != _QUOTE:
        return 0, MALFORMED
    at += 1
    start = at
    value = 0
    while at < end and _ZERO <= data[at] <= _NINE:
        value = value * 10 + (data[at] - _ZERO)
        at += 1
    length = at - start
    fraction = 0
    if length > 0 and at < end and data[at] == _DOT:
        at += 1
        while at < end and _ZERO <= data[at] <= _NINE:
            if fraction < digits:
                value = value * 10 + (data[at] - _ZERO)
                fraction += 1
            elif data[at] != _ZERO:
                return 0, OFF_STEP
            at += 1
    if length == 0 or length + digits > _MAX_DIGITS or at >= end or data[at] != _QUOTE:
        return 0, MALFORMED
    while fraction < digits:
        value *= 10
        fraction += 1
    if units != 1:
        if value % units != 0:
            return 0, OFF_STEP
        value //= units
    return value, at + 1
