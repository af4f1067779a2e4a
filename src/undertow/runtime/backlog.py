"""Frames that wait for the journal: in memory, and beyond a bound in a file on another disk."""

import os
import threading
from collections import deque
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import BinaryIO

import structlog

from undertow.errors import LakeError

__all__ = ["Backlog"]

log = structlog.get_logger(__name__)

_LINE_BYTES = 128
"""What a frame in memory takes beyond its bytes, about."""


class Backlog:
    """A queue of (receive time [ns], frame), first in first out: one thread puts, another takes.

    While the journal keeps up nothing touches a disk. Beyond `limit_bytes` in memory what comes goes to the
    file `spill`, is taken from there in its order, and the file is removed when it is empty. A file that a
    process which ended has left is taken first. Raises LakeError where that file cannot be written either.
    """

    def __init__(self, spill: Path, limit_bytes: int = 1 << 21) -> None:
        self._path = spill
        self._limit_bytes = limit_bytes
        self._memory: deque[tuple[int, bytes]] = deque()
        self._memory_bytes = 0
        self._file: BinaryIO | None = None
        self._read_at = 0
        self._lock = threading.Lock()
        if spill.exists():
            self._open()

    def __len__(self) -> int:
        """Frames in memory, and 1 more where there are any in the file."""
        return len(self._memory) + (self._file is not None)

    @property
    def is_spilling(self) -> bool:
        """Whether frames wait in the file."""
        return self._file is not None

    def put(self, receive_ns: int, frame: bytes) -> None:
        """Add a frame, which holds no line break."""
        with self._lock:
            if self._file is None and self._memory_bytes < self._limit_bytes:
                self._memory.append((receive_ns, frame))
                self._memory_bytes += len(frame) + _LINE_BYTES
                return
            if self._file is None:
                log.warning("backlog_spills", file=str(self._path), bytes=self._memory_bytes)
                self._open()
            self._write([b"%d %b\n" % (receive_ns, frame)])

    def take(self, most_bytes: int = 1 << 20) -> list[tuple[int, bytes]]:
        """The oldest frames, of about `most_bytes` together, which are then no longer here."""
        with self._lock:
            if self._memory:
                return self._from_memory(most_bytes)
            return self._from_file(most_bytes) if self._file is not None else []

    def leftover(self) -> list[bytes]:
        """Lines that wait in the file."""
        with self._lock:
            return self._lines(1 << 62) if self._file is not None else []

    def keep_only(self, lines: Iterable[bytes]) -> None:
        """Put these lines in place of those in the file."""
        with self._lock:
            self._replace(lines)

    def close(self, unwritten: Collection[bytes] = ()) -> None:
        """Save what is left in the file, behind `unwritten`: lines taken that the journal did not keep."""
        with self._lock:
            if unwritten or self._memory or self._read_at:
                rest = self._lines(1 << 62) if self._file is not None else []
                self._replace([*unwritten, *(b"%d %b\n" % pair for pair in self._memory), *rest])
                self._memory.clear()
            if self._file is not None:
                self._file.close()
                self._file = None

    def _from_memory(self, most_bytes: int) -> list[tuple[int, bytes]]:
        taken: list[tuple[int, bytes]] = []
        while self._memory and most_bytes > 0:
            pair = self._memory.popleft()
            size = len(pair[1]) + _LINE_BYTES
            self._memory_bytes -= size
            most_bytes -= size
            taken.append(pair)
        return taken

    def _from_file(self, most_bytes: int) -> list[tuple[int, bytes]]:
        lines = self._lines(most_bytes)
        self._read_at += sum(map(len, lines))
        if not self._lines(1):
            self._remove()
        pairs = (line[:-1].partition(b" ") for line in lines)
        return [(int(stamp), frame) for stamp, _, frame in pairs]

    def _lines(self, most_bytes: int) -> list[bytes]:
        """Whole lines of the file from where it was read up to, at least one if there is one."""
        if self._file is None:
            return []
        self._file.seek(self._read_at)
        lines, size = [], 0
        for line in self._file:
            if not line.endswith(b"\n"):
                break  # what a crash cut off was never acknowledged
            lines.append(line)
            size += len(line)
            if size >= most_bytes:
                break
        self._file.seek(0, os.SEEK_END)
        return lines

    def _open(self) -> None:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._file = self._path.open("a+b")
        except OSError as error:
            raise self._explained(error) from error
        self._read_at = 0

    def _write(self, lines: Iterable[bytes]) -> None:
        if self._file is None:
            return
        try:
            self._file.writelines(lines)
            self._file.flush()
        except OSError as error:
            raise self._explained(error) from error

    def _replace(self, lines: Iterable[bytes]) -> None:
        rest = list(lines)
        if not rest:
            self._remove()
            return
        temporary = self._path.with_suffix(".tmp")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            temporary.write_bytes(b"".join(rest))
            temporary.replace(self._path)
        except OSError as error:
            raise self._explained(error) from error
        if self._file is not None:
            self._file.close()
        self._open()

    def _remove(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
            self._path.unlink(missing_ok=True)

    def _explained(self, error: OSError) -> LakeError:
        return LakeError(
            f"frames wait for the journal, and {self._path} cannot take them: {error.strerror or error}; "
            "free space, or name another folder with --spill"
        )
