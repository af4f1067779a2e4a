"""The one door to numba: typed, cached, without the interpreter's lock.

A caller's cache entry is not refreshed when only a kernel it calls has changed;
after editing such a kernel delete the `*.nbi` files beside it.
"""

from collections.abc import Callable
from typing import ParamSpec, TypeVar, cast

import numba

__all__ = ["kernel"]

P = ParamSpec("P")
R = TypeVar("R")


def kernel(function: Callable[P, R]) -> Callable[P, R]:
    """Compile `function` to machine code on first use and keep the result on disk.

    Division follows IEEE 754 (`x / 0` is inf or nan, no exception); kernels turn both into null.
    """
    compiled = numba.njit(cache=True, nogil=True, error_model="numpy")(function)
    return cast("Callable[P, R]", compiled)
