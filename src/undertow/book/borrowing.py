"""Arrays without reference counts, for kernels that only work on what their caller holds.

Numba counts references to every array that a function takes, atomically, and drops the pair only where
control flow is simple; on the path of a level update that is three quarters of the time.
"""

from typing import Any, TypeVar, cast

from numba.extending import intrinsic

__all__ = ["borrowed"]

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
"""`borrowed(arrays)`: the same tuple of arrays, uncounted, for the start of a kernel.

Only for what the kernel was given, and never returned: an array that the kernel has made itself is freed as
soon as its own name is used no more.
"""
