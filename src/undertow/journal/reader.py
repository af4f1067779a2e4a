"""Reading segments and captures: complete lines only, whatever state the files are in."""

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
from isal import isal_zlib

from undertow.errors import InputError

__all__ = ["Chunk", "Position", "Problem", "read_chunks", "segments"]

_READ_BYTES = 1 << 18
_GZIP = 31  # window bits: deflate in a gzip wrapper
_MAGIC = b"\x1f\x8b"


class Position(msgspec.Struct, frozen=True):
    """So many lines of a segment have been read; earlier segments wholly, later ones not at all."""

    segment: str
    line: int


@dataclass(frozen=True, slots=True)
class Chunk:
    """Complete lines of one file, in order; `first_line` counts from 1."""

    path: Path
    first_line: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Problem:
    """Something in a file that could not be used. Line 0: the file as a whole."""

    path: Path
    line: int
    message: str

    def __str__(self) -> str:
        """`file:line: message`."""
        place = f"{self.path}:{self.line}" if self.line else str(self.path)
        return f"{place}: {self.message}"


def segments(root: Path, venue: str, symbol: str) -> list[Path]:
    """The segments of a symbol, oldest first."""
    return sorted((root / venue / symbol).glob("[0-9]*-[0-9][0-9].gz"))


def read_chunks(
    paths: Sequence[Path],
    *,
    problems: list[Problem],
    start: Position | None = None,
    chunk_bytes: int = 1 << 22,
) -> Iterator[Chunk]:
    """Complete lines of files, one after the other, from `start` on; what cannot be read goes to `problems`.

    Raises InputError where a file cannot be opened.
    """
    for path in paths:
        if start is not None and path.name < start.segment:
            continue
        skip = start.line if start is not None and path.name == start.segment else 0
        yield from _lines(path, skip, chunk_bytes, problems)


def _lines(path: Path, skip: int, chunk_bytes: int, problems: list[Problem]) -> Iterator[Chunk]:
    line, rest, held = 1, b"", b""
    for block in _decompressed(path, problems):
        held += block
        if len(held) < chunk_bytes:
            continue
        text, line = rest + held, line
        end = text.rfind(b"\n") + 1
        rest, held = text[end:], b""
        if end:
            chunk = _cut(path, line, text[:end], skip)
            line += text.count(b"\n", 0, end)
            if chunk is not None:
                yield chunk
    text = rest + held
    end = text.rfind(b"\n") + 1
    tail = text[end:]
    if tail.strip() and not any(problem.path == path for problem in problems):
        if tail.rstrip().endswith(b"}"):
            text, end, tail = text + b"\n", len(text) + 1, b""
    if end:
        chunk = _cut(path, line, text[:end], skip)
        if chunk is not None:
            yield chunk
    if tail.strip():
        number = line + text.count(b"\n", 0, end)
        problems.append(Problem(path, number, f"half a line at the end, {len(tail)} bytes, left out"))


def _cut(path: Path, line: int, data: bytes, skip: int) -> Chunk | None:
    """The lines after the first `skip` of the file; None where there are none."""
    drop = max(0, skip - line + 1)
    at = 0
    for _ in range(drop):
        at = data.find(b"\n", at) + 1
        if not at:
            return None
    return Chunk(path, line + drop, data[at:]) if at < len(data) else None


def _decompressed(path: Path, problems: list[Problem]) -> Iterator[bytes]:
    """The text of a file, gzip of any number of members or plain, as far as it can be read."""
    try:
        file = path.open("rb")
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    with file:
        head = file.read(4)
        file.seek(0)
        if head == b"\x28\xb5\x2f\xfd":
            raise InputError(f"{path}: is compressed with zstd; decompress it first (zstd -d)")
        if not head.startswith(_MAGIC):
            while block := file.read(_READ_BYTES):
                yield block
            return
        engine = isal_zlib.decompressobj(_GZIP)
        ended = False
        while block := file.read(_READ_BYTES):
            while block:
                try:
                    text = engine.decompress(block)
                except (isal_zlib.error, zlib.error) as error:
                    problems.append(
                        Problem(path, 0, f"the gzip data is damaged ({error}); read as far as it goes")
                    )
                    return
                if text:
                    yield text
                ended, block = engine.eof, engine.unused_data if engine.eof else b""
                if ended:
                    engine = isal_zlib.decompressobj(_GZIP)
        if not ended:
            problems.append(Problem(path, 0, "the gzip data is cut off at its end; read as far as it goes"))
