"""Appending frames: one segment an hour, readable to the last complete line after any crash."""

import fcntl
import os
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from isal import isal_zlib

from undertow.errors import LakeError
from undertow.journal.reader import Position, Problem, read_chunks
from undertow.market.time import HOUR_NS

__all__ = ["JournalWriter"]

_LEVEL = 1
_GZIP = 31
_LINE_BREAKS = bytes.maketrans(b"\r\n", b"  ")


class JournalWriter:
    """Appends to the segments of one symbol.

    Only one writer at a time may have a symbol's journal open; LakeError where another has, or where the disk
    refuses.
    """

    def __init__(self, root: Path, venue: str, symbol: str) -> None:
        self._folder = root / venue / symbol
        self._lines = 0
        self._hour = -1
        self._segment = ""
        self._file: IO[bytes] | None = None
        self._engine = isal_zlib.compressobj(_LEVEL, isal_zlib.DEFLATED, _GZIP)
        self._block: list[bytes] = []
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._lock = (self._folder / ".lock").open("ab")
        except OSError as error:
            raise _refusal(self._folder, error) from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._lock.close()
            raise LakeError(
                f"{self._folder}: another collector is writing this journal; stop it first"
            ) from error
        for path in sorted(self._folder.glob("*.gz"))[-1:]:
            self._lines = _make_whole(path)
            self._segment = path.name
            self._hour = _hour_of(path)

    @property
    def position(self) -> Position:
        """After the last line appended."""
        return Position(self._segment, self._lines)

    def append(self, receive_ns: int, frame: bytes) -> bytes:
        """Append a frame, made one line; returns the line. It is on its way to disk after `flush`."""
        hour = max(receive_ns // HOUR_NS, self._hour)
        if hour != self._hour:
            self._rotate(hour)
        line = b"%d %s\n" % (receive_ns, frame.translate(_LINE_BREAKS))
        self._block.append(line)
        self._lines += 1
        return line

    def flush(self, *, sync: bool = False) -> None:
        """Make every line so far readable by others; with `sync` also after a power cut."""
        if not self._block:
            return
        file = self._open()
        data = self._engine.compress(b"".join(self._block)) + self._engine.flush(isal_zlib.Z_SYNC_FLUSH)
        self._block.clear()
        try:
            file.write(data)
            file.flush()
            if sync:
                os.fsync(file.fileno())
        except OSError as error:
            raise _refusal(self._folder / self._segment, error) from error

    def close(self) -> None:
        """Finish the segment and let go of the journal."""
        self._finish()
        self._lock.close()

    def __enter__(self) -> Self:
        """The writer itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        self.close()

    def _rotate(self, hour: int) -> None:
        self._finish()
        self._hour, self._lines = hour, 0
        self._segment = datetime.fromtimestamp(hour * HOUR_NS // 10**9, UTC).strftime("%Y%m%d-%H.gz")

    def _open(self) -> IO[bytes]:
        if self._file is None:
            path = self._folder / self._segment
            try:
                self._file = path.open("ab")
            except OSError as error:
                raise _refusal(path, error) from error
            self._engine = isal_zlib.compressobj(_LEVEL, isal_zlib.DEFLATED, _GZIP)
        return self._file

    def _finish(self) -> None:
        self.flush()
        if self._file is None:
            return
        try:
            with self._file as file:
                file.write(self._engine.flush())
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise _refusal(self._folder / self._segment, error) from error
        finally:
            self._file = None


def _hour_of(path: Path) -> int:
    start = datetime.strptime(path.stem, "%Y%m%d-%H").replace(tzinfo=UTC)
    return int(start.timestamp()) * 10**9 // HOUR_NS


def _make_whole(path: Path) -> int:
    """Complete lines of a segment; one that a crash cut off is first rewritten up to its last complete line."""
    problems: list[Problem] = []
    chunks = list(read_chunks([path], problems=problems))
    lines = sum(chunk.data.count(b"\n") for chunk in chunks)
    if not problems:
        return lines
    engine = isal_zlib.compressobj(_LEVEL, isal_zlib.DEFLATED, _GZIP)
    temporary = path.with_suffix(".tmp")
    try:
        with temporary.open("wb") as file:
            for chunk in chunks:
                file.write(engine.compress(chunk.data))
            file.write(engine.flush())
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise _refusal(path, error) from error
    return lines


def _refusal(path: Path, error: OSError) -> LakeError:
    return LakeError(
        f"{path}: cannot be written ({error.strerror}); free the disk or choose another --journal"
    )
