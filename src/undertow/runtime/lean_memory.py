"""Keeping a process that runs for months small."""

import ctypes
import sys
from collections.abc import Sequence
from types import ModuleType

import pyarrow as pa

__all__ = ["use_lean_memory"]

_ARENA_MAX = -8
"""M_ARENA_MAX of glibc's `mallopt`."""


class _WithoutPandas:
    """Finds every module where it is, but pandas nowhere."""

    def find_spec(self, name: str, _path: Sequence[str] | None, _target: ModuleType | None = None) -> None:
        if name == "pandas":
            raise ModuleNotFoundError("pandas is left out of this process", name=name)


def use_lean_memory() -> None:
    """Give freed memory back: few arenas in the C library, and Arrow's tables in them too. Leave pandas out.

    To be called before other threads begin. Sealing an hour else leaves 50 MB and more behind in pools of
    each thread; elsewhere than on glibc only Arrow's pool changes. Arrow imports pandas with the first list
    that it is given, if it can: 40 MB, and two seconds in which the first frames wait. Nothing of it is used.
    """
    sys.meta_path.insert(0, _WithoutPandas())
    pa.set_memory_pool(pa.system_memory_pool())
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_ARENA_MAX, 2)
