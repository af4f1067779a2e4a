"""A disk as bad as disks can be, under the journal."""

import errno
import os
import time
from io import FileIO
from pathlib import Path
from typing import Any

import pytest

from undertow.journal import writer as journal_writer

__all__ = ["Disk"]


class Disk:
    """A disk that can be full, fail to sync, and lose at a power cut what was not synced."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.room: int | None = None
        self.refuses_sync = False
        self.pause_s = 0.0
        """What each write takes."""
        self.safe: dict[str, bytes] = {}
        """File name → its content when it was last synced."""
        disk, real_sync = self, os.fsync

        class File(FileIO):
            def write(self, data: Any) -> int:
                time.sleep(disk.pause_s)
                if disk.room is None:
                    return os.write(self.fileno(), data)
                if not disk.room:
                    raise OSError(errno.ENOSPC, "No space left on device")
                written = os.write(self.fileno(), data[: disk.room])
                disk.room -= written
                return written

        def sync(descriptor: int) -> None:
            if disk.refuses_sync:
                raise OSError(errno.EIO, "Input/output error")
            real_sync(descriptor)
            path = Path(f"/proc/self/fd/{descriptor}").readlink()
            if path.is_file():
                disk.safe[path.name] = path.read_bytes()

        monkeypatch.setattr(journal_writer, "FileIO", File)
        monkeypatch.setattr(os, "fsync", sync)

    def cut_power(self, folder: Path) -> None:
        for path in folder.glob("*.gz"):
            path.write_bytes(self.safe.get(path.name, b""))
