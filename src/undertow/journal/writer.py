"""Appending frames to hourly segments.

Every flush ends on a byte boundary of the gzip stream, so all lines before it can be read while the
segment is still open and after any crash.
"""

import contextlib
import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from undertow.errors import InUseError, LakeError
from undertow.journal.member import Member, ending
from undertow.journal.reader import Position, segment_folder, segments
from undertow.journal.recover import recover, sync_folder
from undertow.market.time import HOUR_NS, SECOND_NS

__all__ = ["JournalWriter"]

_ONE_LINE = bytes.maketrans(b"\r\n", b"  ")


class _Synced(NamedTuple):
    """What is on disk for certain: `offset` bytes of a segment, the last of them perhaps inside a member."""

    segment: str = ""
    offset: int = 0
    checksum: int = 0
    size: int = 0


class JournalWriter:
    """The only writer of one symbol's segments: `append`, now and then `flush`, at last `close`.

    Lines keep the order in which they were appended: a receive time that steps back stays in the segment
    that is open. What a crash cut off is repaired on opening; `known`, a position that `mark` gave, says up
    to where nothing need be looked at. Raises LakeError where the folder cannot be written or another process
    writes the same symbol. Where a write or a sync fails, what came since the last sync counts as lost and
    is kept in memory: the next flush cuts the segment back to that place and writes it again.
    """

    def __init__(self, root: Path, venue: str, symbol: str, known: Position | None = None) -> None:
        self._folder = segment_folder(root, venue, symbol)
        self._file: FileIO | None = None
        self._member = Member()
        self._kept: list[bytes] = []
        """Lines since the last sync, the first `_written` of them given to the file."""
        self._turns: list[tuple[int, str]] = []
        """Index into `_kept` and name of the segment that begins there."""
        self._written = 0
        self._current = ""
        self._failed = False
        self._hour = -1
        self._segment, self._lines, self._synced = "", 0, _Synced()
        with _explained(self._folder):
            self._folder.mkdir(parents=True, exist_ok=True)
            self._lock = _locked(self._folder / ".lock")
        try:
            with _explained(self._folder):
                self._recover(segments(root, venue, symbol), known or Position("", 0))
                self.identity = _identity(self._folder / ".id")
        except BaseException:
            os.close(self._lock)
            raise

    @property
    def position(self) -> Position:
        """The place after the last line appended, flushed or not."""
        return Position(self._segment, self._lines)

    def append(self, receive_ns: int, frame: bytes) -> bytes:
        """Add one frame; line breaks inside it become spaces. Returns the line as it will be read back."""
        if self._lock < 0:
            raise LakeError(f"journal {self._folder} is closed; open it anew")
        if (hour := receive_ns // HOUR_NS) > self._hour or not self._current:
            self._hour = max(self._hour, hour)
            self._turn(f"{datetime.fromtimestamp(self._hour * HOUR_NS // SECOND_NS, UTC):%Y%m%d-%H}.gz")
        line = b"%d %b\n" % (receive_ns, frame.translate(_ONE_LINE))
        self._kept.append(line)
        self._lines += 1
        return line

    def flush(self, *, sync: bool = False) -> None:
        """Make every line so far readable; with `sync` also safe from a power cut."""
        with self._guarded():
            self._drain()
            if sync and self._file is not None:
                os.fsync(self._file.fileno())
                self._note_synced(self._member.checksum, self._member.size)

    def mark(self) -> Position:
        """Make every line so far safe from a power cut; the place, from where one can begin to read."""
        with self._guarded():
            self._drain()
            self._end_member()
        return Position(self._segment, self._lines, self._synced.offset)

    def unwritten(self) -> list[bytes]:
        """Lines that are not on disk for certain."""
        return list(self._kept)

    def close(self) -> None:
        """End the segment and release the lock; a second call does nothing.

        Raises LakeError where lines could not be written: they are lost.
        """
        if self._lock < 0:
            return
        try:
            with self._guarded():
                self._drain()
                self._end_member()
        finally:
            self._close_file()
            os.close(self._lock)
            self._lock = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _recover(self, existing: list[Path], known: Position) -> None:
        """Repair the newest segment, the only one a crash can have cut off, and go on behind it."""
        for leftover in self._folder.glob("*.tmp"):
            leftover.unlink()
        ours = [path for path in existing if path.suffix == ".gz"]
        if not ours:
            return
        newest = ours[-1]
        self._segment, self._hour = newest.name, _hour_of(newest)
        if known.segment == newest.name and known.offset:
            self._lines = recover(newest, known.line, known.offset)
        else:
            self._lines = recover(newest)
        self._synced = _Synced(newest.name, newest.stat().st_size)

    def _turn(self, name: str) -> None:
        """What is appended from now on belongs to the segment `name`, new or not."""
        self._turns.append((len(self._kept), name))
        if name != self._segment:
            self._segment, self._lines = name, 0
        self._current = name

    def _drain(self) -> None:
        """Give the file what it has not yet."""
        if self._failed:
            self._rewind()
        while self._written < len(self._kept):
            if self._turns and self._turns[0][0] <= self._written:
                self._enter(self._turns[0][1])
                self._turns.pop(0)
            until = self._turns[0][0] if self._turns else len(self._kept)
            self._write(self._member.compress(b"".join(self._kept[self._written : until])))
            self._written = until
        if self._file is not None:
            self._write(self._member.flush())

    def _enter(self, name: str) -> None:
        """End the segment that is open, and go on in `name`."""
        if self._file is not None:
            self._end_member()
            self._close_file()
        self._file = FileIO(self._folder / name, "a")
        if name != self._synced.segment:
            self._file.truncate(0)  # what an attempt that failed has left
            sync_folder(self._folder)
            self._synced = _Synced(name)
        self._member = Member()

    def _end_member(self) -> None:
        if self._file is None:
            return
        if self._member.size:
            self._write(self._member.end())
            self._member = Member()
        os.fsync(self._file.fileno())
        self._note_synced(0, 0)

    def _note_synced(self, checksum: int, size: int) -> None:
        if self._file is not None:
            name = Path(str(self._file.name)).name
            self._synced = _Synced(name, self._file.tell(), checksum, size)
            del self._kept[: self._written]
            self._turns = [(index - self._written, name) for index, name in self._turns]
            self._written = 0

    def _rewind(self) -> None:
        """After a failure: back to what is on disk for certain; the rest is written again."""
        self._close_file()
        synced = self._synced
        if synced.segment:
            self._file = FileIO(self._folder / synced.segment, "r+")
            self._file.truncate(synced.offset)
            self._file.seek(synced.offset)
            if synced.size:
                self._write(ending(synced.checksum, synced.size))
            os.fsync(self._file.fileno())
            self._synced = _Synced(synced.segment, self._file.tell())
        self._member, self._written, self._failed = Member(), 0, False

    def _close_file(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            with contextlib.suppress(OSError):  # what was written has been synced, or counts as lost
                file.close()

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        while view and self._file is not None:
            view = view[self._file.write(view) :]

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        """Turn a failed write into a LakeError, and remember it: the compressed stream has a hole."""
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


def _identity(path: Path) -> str:
    """What tells this journal from another one that had, or will have, its place; made when it is new."""
    if not path.exists():
        temporary = path.with_suffix(".new")
        temporary.write_text(secrets.token_hex(6))
        temporary.replace(path)
    return path.read_text().strip()


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
