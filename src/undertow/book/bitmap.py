"""A set of slots 0 … span − 1 that finds its neighbours in at most five words, never by scanning.

Three levels of 64-bit words lie one after the other in a row of int64:

    leaves   one bit a slot                       span / 64 words
    middles  one bit a leaf, set if not 0         ⌈leaves / 64⌉ words
    root     one bit a middle, set if not 0       1 word

so 64³ = 2¹⁸ slots are the most it holds. Words are signed, because numba turns uint64 with int64 into
float64; masks are made by shifting left only, where the sign does not matter.
"""

from collections.abc import Callable
from typing import Any, cast

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from undertow.compiled import kernel

__all__ = ["MAX_SPAN_BITS", "MIN_SPAN_BITS", "erase", "highest_bit", "place", "previous", "word_count"]

Integers = NDArray[np.int64]

MIN_SPAN_BITS = 6
MAX_SPAN_BITS = 18


def _highest_bit(_typing: Any, _word: Any) -> Any:
    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        zeros = builder.ctlz(arguments[0], ir.Constant(ir.IntType(1), 1))
        return builder.sub(arguments[0].type(63), zeros)

    return types.int64(types.int64), generate


highest_bit = cast("Callable[[int], int]", intrinsic(_highest_bit))
"""Position of the highest set bit of a word that is not 0; only inside kernels."""


def word_count(span_bits: int) -> int:
    """Words that a bitmap of 2**span_bits slots takes."""
    leaves = 1 << (span_bits - 6)
    return leaves + (leaves + 63) // 64 + 1


@kernel
def place(bits: Integers, row: int, leaves: int, slot: int) -> None:
    """Put `slot` into the set; `bits` is (rows, words) and `leaves` the number of leaf words."""
    leaf = slot >> 6
    middle = leaf >> 6
    bits[row, leaf] |= 1 << (slot & 63)
    bits[row, leaves + middle] |= 1 << (leaf & 63)
    bits[row, bits.shape[1] - 1] |= 1 << middle


@kernel
def erase(bits: Integers, row: int, leaves: int, slot: int) -> None:
    """Take `slot` out of the set."""
    leaf = slot >> 6
    middle = leaf >> 6
    bits[row, leaf] &= ~(1 << (slot & 63))
    if bits[row, leaf] == 0:
        bits[row, leaves + middle] &= ~(1 << (leaf & 63))
        if bits[row, leaves + middle] == 0:
            bits[row, bits.shape[1] - 1] &= ~(1 << middle)


@kernel
def previous(bits: Integers, row: int, leaves: int, slot: int) -> int:
    """The greatest member ≤ `slot`, or -1 if there is none. `slot` -1 is allowed."""
    if slot < 0:
        return -1
    leaf = slot >> 6
    word = bits[row, leaf] & ((2 << (slot & 63)) - 1)
    if word != 0:
        return (leaf << 6) + highest_bit(word)
    middle = leaf >> 6
    word = bits[row, leaves + middle] & ((1 << (leaf & 63)) - 1)
    if word == 0:
        above = bits[row, bits.shape[1] - 1] & ((1 << middle) - 1)
        if above == 0:
            return -1
        middle = highest_bit(above)
        word = bits[row, leaves + middle]
    leaf = (middle << 6) + highest_bit(word)
    return (leaf << 6) + highest_bit(bits[row, leaf])
