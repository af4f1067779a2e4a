"""Keeping a process that runs for months small."""

import ctypes
import sys
from collections.abc import Sequence
from types import ModuleType

import pyarrow as pa

__all__ = ["use_lean_memory"]

_ARENA_MAX, _MMAP_THRESHOLD = -8, -3
"""M_ARENA_MAX and M_MMAP_THRESHOLD of glibc's `mallopt`."""
_LEFT_OUT = frozenset({"pandas", "scipy"})


class _LeavingOut:
    """Finds every module where it is, but these nowhere."""

    def find_spec(self, name: str, _path: Sequence[str] | None, _target: ModuleType | None = None) -> None:
        if name in _LEFT_OUT:
            raise ModuleNotFoundError(f"{name} is left out of this process", name=name)


def use_lean_memory() -> None:
    """Give freed memory back, and leave out what is imported only in case it were needed.

    Few arenas in the C library, Arrow's tables in them too, large blocks in pages of their own: sealing an
    hour else leaves 50 MB and more behind in pools of each thread. Elsewhere than on glibc only Arrow's pool
    changes. Arrow imports pandas with the first list that it is given, if it can: 40 MB, and two seconds in
    which frames would wait; numba imports scipy for linear algebra, which no kernel of ours does. To be
    called before other threads begin.
    """
    sys.meta_path.insert(0, _LeavingOut())
    pa.set_memory_pool(pa.system_memory_pool())
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_ARENA_MAX, 2)
        mallopt(_MMAP_THRESHOLD, 1 << 18)
