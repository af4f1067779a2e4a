"""Is there still room? What can be derived again makes way for the journal before the disk is full."""

import os
import time
from collections.abc import Callable
from pathlib import Path

from undertow.errors import LakeError

__all__ = ["DiskGuard"]

_RESUME = 1.25
"""So many times the bound must be free again: a disk at its bound would else be now low, now not."""


class DiskGuard:
    """Watches the free space of the disk that holds `folder`; raises LakeError where that cannot be told.

    >>> guard = DiskGuard(Path("/"), low_bytes=0)
    >>> guard.is_low()
    False
    """

    def __init__(
        self,
        folder: Path,
        low_bytes: int = 1 << 30,
        *,
        every_s: float = 1.0,
        free_bytes: Callable[[Path], int] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.folder = folder
        self.low_bytes = low_bytes
        self._every_s = every_s
        self._free_bytes = free_bytes or _free_bytes
        self._clock = clock
        self._due_s = clock()
        self._is_low = False
        self.free = 0
        """Free bytes when it was last looked."""

    def is_low(self) -> bool:
        """Whether less than `low_bytes` are free, and since then not a quarter more."""
        if self._clock() >= self._due_s:
            self._due_s = self._clock() + self._every_s
            try:
                self.free = self._free_bytes(self.folder)
            except OSError as error:
                raise LakeError(
                    f"{self.folder}: its free space cannot be told ({error.strerror or error}); "
                    "is the disk there?"
                ) from error
            self._is_low = self.free < self.low_bytes * (_RESUME if self._is_low else 1.0)
        return self._is_low


def _free_bytes(folder: Path) -> int:
    """Of the disk that holds the folder, which need not exist yet."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize
