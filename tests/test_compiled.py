"""Borrowed arrays are the same memory, and borrowing changes no reference count."""

import sys

import numpy as np
from numpy.typing import NDArray

from undertow.compiled import borrowed, kernel


@kernel
def add_one(first: NDArray[np.int64], second: NDArray[np.float64]) -> float:
    first, second = borrowed((first, second))
    first[0] += 1
    second[:] += 1.0
    return float(first[0] + second[-1])


def test_a_borrowed_array_is_the_callers_memory() -> None:
    first, second = np.zeros(3, np.int64), np.zeros(2)
    add_one(first, second)
    before = sys.getrefcount(first), sys.getrefcount(second)
    results = [add_one(first, second) for _call in range(5)]
    assert results == [4.0, 6.0, 8.0, 10.0, 12.0]
    assert first.tolist() == [6, 0, 0]
    assert second.tolist() == [6.0, 6.0]
    assert (sys.getrefcount(first), sys.getrefcount(second)) == before
