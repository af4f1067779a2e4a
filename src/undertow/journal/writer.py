"""Appending frames to hourly segments.

Every flush ends on a byte boundary of the gzip stream, so all lines before it can be read while the
segment is still open and after any crash.
"""

import fcntl
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import Self

from undertow.errors import InUseError, LakeError
from undertow.journal.reader import Position, segment_folder, segments
from undertow.journal.recover import new_encoder, recover, sync_folder
from undertow.market.time import HOUR_NS, SECOND_NS

__all__ = ["JournalWriter"]

_BUFFER_LINES = 256
_ONE_LINE = bytes.maketrans(b"\r\n", b"  ")


class JournalWriter:
    """The only writer of one symbol's segments: `append`, now and then `flush`, at last `close`.

    Lines keep the order in which they were appended: a receive time that steps back stays in the segment
    that is open. What a crash cut off is repaired on opening. Raises LakeError where the folder cannot be
    written, the disk is full, or another process writes the same symbol; after such an error in the middle
    nothing more is accepted, and what had been flushed stays readable.
    """

    def __init__(self, root: Path, venue: str, symbol: str) -> None:
        self._folder = segment_folder(root, venue, symbol)
        self._file: FileIO | None = None
        self._hour = -1
        self._encoder = new_encoder()
        self._pending: list[bytes] = []
        self._failed = False
        with _explained(self._folder):
            self._folder.mkdir(parents=True, exist_ok=True)
            self._lock = _locked(self._folder / ".lock")
        try:
            with _explained(self._folder):
                self._segment, self._lines = self._recovered(segments(root, venue, symbol))
        except BaseException:
            os.close(self._lock)
            raise

    @property
    def position(self) -> Position:
        """The place after the last line appended, flushed or not."""
        return Position(self._segment, self._lines)

    def append(self, receive_ns: int, frame: bytes) -> bytes:
        """Add one frame; line breaks inside it become spaces. Returns the line as it will be read back."""
        if self._failed:
            raise LakeError(f"journal {self._folder} is closed after an earlier error; open it anew")
        if receive_ns // HOUR_NS > self._hour or self._file is None:
            self._enter(max(self._hour, receive_ns // HOUR_NS))
        line = b"%d %b\n" % (receive_ns, frame.translate(_ONE_LINE))
        self._pending.append(line)
        self._lines += 1
        if len(self._pending) >= _BUFFER_LINES:
            self._drain()
        return line

    def flush(self, *, sync: bool = False) -> None:
        """Make every line so far readable; with `sync` also safe from a power cut."""
        if self._file is None or self._failed:
            return
        self._drain()
        self._write(self._encoder.flush(zlib.Z_SYNC_FLUSH))
        if sync:
            with self._guarded():
                os.fsync(self._file.fileno())

    def close(self) -> None:
        """End the segment and release the lock; a second call does nothing."""
        if self._lock < 0:
            return
        try:
            if not self._failed:
                self._leave()
        finally:
            if self._file is not None:
                self._file.close()
                self._file = None
            os.close(self._lock)
            self._lock, self._failed = -1, True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _recovered(self, existing: list[Path]) -> tuple[str, int]:
        """Repair the newest segment, the only one a crash can have cut off; returns its name and lines."""
        for leftover in self._folder.glob("*.tmp"):
            leftover.unlink()
        ours = [path for path in existing if path.suffix == ".gz"]
        if not ours:
            return "", 0
        self._hour = _hour_of(ours[-1])
        return ours[-1].name, recover(ours[-1])

    def _enter(self, hour: int) -> None:
        """Go on in the segment of `hour` (hours since the epoch), new or not."""
        self._leave()
        name = f"{datetime.fromtimestamp(hour * HOUR_NS // SECOND_NS, UTC):%Y%m%d-%H}.gz"
        with self._guarded():
            self._file = FileIO(self._folder / name, "a")
            sync_folder(self._folder)
        self._encoder, self._hour = new_encoder(), hour
        if self._segment != name:
            self._segment, self._lines = name, 0

    def _leave(self) -> None:
        """End the open segment's gzip member."""
        if self._file is None:
            return
        self._drain()
        self._write(self._encoder.flush())
        with self._guarded():
            os.fsync(self._file.fileno())
            self._file.close()
        self._file = None

    def _drain(self) -> None:
        if self._pending:
            data = b"".join(self._pending)
            self._pending.clear()
            self._write(self._encoder.compress(data))

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        with self._guarded():
            while view and self._file is not None:
                view = view[self._file.write(view) :]

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        """Turn a failed write into a LakeError and refuse to go on: the compressed stream has a hole."""
        try:
            with _explained(self._folder):
                yield
        except LakeError:
            self._failed = True
            raise


@contextmanager
def _explained(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise LakeError(
            f"journal {folder} cannot be written: {error.strerror or error}; "
            "free space or choose another folder with --journal"
        ) from error


def _hour_of(segment: Path) -> int:
    """Hours since the epoch of a segment's name."""
    start = datetime.strptime(segment.name[:11], "%Y%m%d-%H").replace(tzinfo=UTC)
    return int(start.timestamp()) * SECOND_NS // HOUR_NS


def _locked(path: Path) -> int:
    """An open descriptor that holds the lock; it is released when closed, also by a crash."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise InUseError(
            f"another collector writes journal {path.parent}; stop it, or choose another --journal"
        ) from None
    except OSError:
        os.close(descriptor)
        raise
    return descriptor
