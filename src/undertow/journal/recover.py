"""Making a segment whole again after a crash, so that it can be appended to."""

import os
import shutil
from pathlib import Path

from undertow.journal.decode import can_begin_at
from undertow.journal.lines import Ending, whole_lines
from undertow.journal.member import Member

__all__ = ["recover", "sync_folder"]

_CHUNK_BYTES = 1 << 22


def recover(path: Path, known_lines: int = 0, known_offset: int = 0) -> int:
    """Rewrite the segment up to its last whole line unless it is whole; returns its number of lines.

    The first `known_offset` bytes are `known_lines` whole lines and are not looked at. The rewrite goes to a
    temporary file that replaces the segment once it is on disk, so a crash in between leaves the segment as
    it was. Raises OSError.
    """
    if not path.exists():
        return 0
    if not can_begin_at(path, known_offset):
        known_lines = known_offset = 0
    lines, ending = _scan(path, known_offset)
    if not ending.is_clean:
        _rewrite(path, known_offset)
    return known_lines + lines


def _scan(path: Path, offset: int) -> tuple[int, Ending]:
    source = whole_lines(path, _CHUNK_BYTES, offset)
    lines = 0
    while True:
        try:
            lines += next(source).count(b"\n")
        except StopIteration as end:
            return lines, end.value


def _rewrite(path: Path, offset: int) -> None:
    temporary = path.with_name(path.name + ".tmp")
    shutil.copyfile(path, temporary)
    member = Member()
    with temporary.open("r+b") as file:
        file.truncate(offset)
        file.seek(offset)
        for data in whole_lines(path, _CHUNK_BYTES, offset):
            file.write(member.compress(data))
        file.write(member.end())
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make a new name in `folder` survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
