"""Reading segments and captures: chunks of whole lines, whatever a crash left behind.

A line is `<receive time, ns since the epoch><space><frame>`. This is the format of SPEC §3.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from undertow.errors import InputError
from undertow.journal.decode import Trouble, can_begin_at
from undertow.journal.lines import Ending, whole_lines

__all__ = ["Chunk", "Position", "Problem", "Trouble", "read_chunks", "segment_folder", "segments"]

_SEGMENT_GLOB = "[0-9]" * 8 + "-[0-9][0-9]"


class Position(msgspec.Struct, frozen=True):
    """A place in a journal: `line` lines of the segment file named `segment`, and all segments before it.

    The empty name is the very beginning. `offset` [bytes]: where the gzip member begins that begins there; 0:
    not known.
    """

    segment: str
    line: int
    offset: int = 0


@dataclass(frozen=True, slots=True)
class Chunk:
    """Consecutive lines of one file, each ending in a newline; `first_line` counts from 1."""

    path: Path
    first_line: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Problem:
    """What could not be read, and at which line (from 1) the trouble begins."""

    path: Path
    line: int
    trouble: Trouble
    message: str

    def __str__(self) -> str:
        """One line for a person."""
        return f"{self.path}:{self.line}: {self.message}"


def segment_folder(root: Path, venue: str, symbol: str) -> Path:
    """Where the segments of a symbol lie. Raises InputError for a name that is no plain folder name."""
    for name in (venue, symbol):
        if not name or name.startswith(".") or "/" in name or "\\" in name or "\0" in name:
            raise InputError(f"{name!r} cannot name a venue or symbol: use letters, digits, '-' and '_'")
    return root / venue / symbol


def segments(root: Path, venue: str, symbol: str) -> list[Path]:
    """The segment files of a symbol, oldest first."""
    folder = segment_folder(root, venue, symbol)
    return sorted(path for end in (".gz", ".zst") for path in folder.glob(_SEGMENT_GLOB + end))


def read_chunks(
    paths: Sequence[Path],
    *,
    start: Position | None = None,
    chunk_bytes: int = 1 << 22,
    problems: list[Problem],
) -> Iterator[Chunk]:
    """All whole lines of `paths` in order, in chunks of about `chunk_bytes`, from `start` on.

    Damage is appended to `problems` and costs only what lies behind it in the same file. A last line
    without its newline is delivered if the file is whole and the line ends in `}`. Raises InputError where
    a file is missing or unreadable, or `start` names a segment that is not among `paths`.
    """
    for path, begin in _from_start(paths, start):
        yield from _chunks(path, begin, chunk_bytes, problems)


def _from_start(paths: Sequence[Path], start: Position | None) -> Iterator[tuple[Path, Position]]:
    if start is None or not start.segment:
        yield from ((path, Position(path.name, 0)) for path in paths)
        return
    names = [path.name for path in paths]
    if start.segment not in names:
        raise InputError(
            f"journal segment {start.segment} is missing, but reading goes on from its line {start.line}; "
            "restore it, or start from the beginning"
        )
    at = names.index(start.segment)
    yield paths[at], start
    yield from ((path, Position(path.name, 0)) for path in paths[at + 1 :])


def _chunks(path: Path, begin: Position, chunk_bytes: int, problems: list[Problem]) -> Iterator[Chunk]:
    skip = begin.line
    offset = begin.offset if begin.offset and can_begin_at(path, begin.offset) else 0
    line = skip + 1 if offset else 1
    source = whole_lines(path, chunk_bytes, offset)
    while True:
        try:
            data = next(source)
        except StopIteration as end:
            problems.extend(_judge(path, line, skip, end.value))
            return
        first, line = line, line + data.count(b"\n")
        if line > skip + 1:
            yield Chunk(path, max(first, skip + 1), _without_lines(data, skip + 1 - first))


def _without_lines(data: bytes, count: int) -> bytes:
    """`data` without its first `count` lines."""
    at = 0
    for _ in range(count):
        at = data.index(b"\n", at) + 1
    return data[at:] if at else data


def _judge(path: Path, line: int, skip: int, ending: Ending) -> Iterator[Problem]:
    lines = line - 1
    if ending.damage:
        message = f"{ending.damage.message}; its {lines} whole lines were read"
        yield Problem(path, line, ending.damage.trouble, message)
    elif ending.rest:
        message = f"ends in half a line; the {lines} lines before it were read"
        yield Problem(path, line, Trouble.HALF_LINE, message)
    if lines < skip:
        message = f"has {lines} whole lines, but {skip} had been read of it before"
        yield Problem(path, line, Trouble.SHORT, message)
