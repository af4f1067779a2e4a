"""The one door to numba: typed, cached, without the interpreter's lock.

A caller's cache entry is not refreshed when only a kernel it calls has changed;
after editing such a kernel delete the `*.nbi` files beside it.
"""

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, cast

import numba
from numba.extending import intrinsic

__all__ = ["borrowed", "kernel"]

P = ParamSpec("P")
R = TypeVar("R")


def kernel(function: Callable[P, R]) -> Callable[P, R]:
    """Compile `function` to machine code on first use and keep the result on disk.

    Division follows IEEE 754 (`x / 0` is inf or nan, no exception); kernels turn both into null.
    """
    compiled = numba.njit(cache=True, nogil=True, error_model="numpy")(function)
    return cast("Callable[P, R]", compiled)


Arrays = TypeVar("Arrays")


class _Identity:
    """The type of a function that returns its argument."""

    def __call__(self, arrays: Arrays) -> Arrays:
        """The argument."""
        return arrays


def _borrowed(_typing: Any, arrays: Any) -> Any:
    def generate(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        result = arguments[0]
        for index, array_type in enumerate(arrays.types):
            array = context.make_array(array_type)(
                context, builder, value=builder.extract_value(arguments[0], index)
            )
            array.meminfo = array.meminfo.type(None)
            result = builder.insert_value(result, array._getvalue(), index)
        return result

    return arrays(arrays), generate


borrowed = cast("_Identity", intrinsic(_borrowed))
"""`borrowed(arrays)`: the same tuple of arrays, without reference counts, for the start of a kernel.

Numba counts references to every array that a function takes, atomically, and drops the pair only where
control flow is simple; on the path of a level update that was three quarters of the time.

Only for what the kernel was given, and never returned: an array that the kernel has made itself is freed as
soon as its own name is used no more.
"""
