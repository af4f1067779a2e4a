"""The bytes of a segment or capture, as far as they can be read."""

import zlib
from collections.abc import Generator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import BinaryIO

from isal import isal_zlib

from undertow.errors import InputError

__all__ = ["Damage", "Trouble", "blocks", "can_begin_at"]

_GZIP_MAGIC = b"\x1f\x8b"
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_GZIP_WINDOW = 31
_SALVAGE_BYTES = 1 << 16


class Trouble(StrEnum):
    """What is wrong with a file."""

    TRUNCATED = "truncated"
    """It ends inside the compressed stream: a crash, or a writer that is still at work."""
    CORRUPT = "corrupt"
    HALF_LINE = "half line"
    SHORT = "short"
    """It has fewer lines than were consumed of it before."""


@dataclass(frozen=True, slots=True)
class Damage:
    """Why the bytes of a file end early."""

    trouble: Trouble
    message: str


def can_begin_at(path: Path, offset: int) -> bool:
    """Whether a gzip member begins at this byte of a file, or the file ends there."""
    if not path.exists():
        return False
    with path.open("rb") as file:
        file.seek(offset)
        head = file.read(2)
    return head == _GZIP_MAGIC or (not head and path.stat().st_size == offset)


def blocks(path: Path, block_bytes: int, offset: int = 0) -> Generator[bytes, None, Damage | None]:
    """Decompressed bytes of `path` in pieces of at most `block_bytes`; returns why they end early, or None.

    `offset` is 0, or where a member of a gzip file begins or its last ends.
    Told by content: gzip of any number of members, zstd, or plain text. A damaged file yields every byte
    before the damage. Raises InputError where the file is missing or cannot be read.
    """
    try:
        with path.open("rb") as file:
            return (yield from _decoded(file, path, block_bytes, offset))
    except OSError as error:
        raise InputError(
            f"{path}: {error.strerror or error}; give a file that exists and can be read"
        ) from error


def _decoded(
    file: BinaryIO, path: Path, block_bytes: int, offset: int
) -> Generator[bytes, None, Damage | None]:
    magic = file.read(4)
    file.seek(0)
    if magic.startswith(_GZIP_MAGIC):
        return (yield from _gzip(file, block_bytes, offset))
    if magic == _ZSTD_MAGIC:
        return (yield from _zstd(file, block_bytes))
    if magic and path.suffix in {".gz", ".zst"}:
        return Damage(Trouble.CORRUPT, f"does not begin as a {path.suffix} file")
    while block := file.read(block_bytes):
        yield block
    return None


def _gzip(file: BinaryIO, block_bytes: int, offset: int) -> Generator[bytes, None, Damage | None]:
    end = offset
    while True:
        start, head = _next_member(file, end)
        if not head:
            return None
        if head != _GZIP_MAGIC:
            return Damage(Trouble.CORRUPT, f"holds something that is no gzip data at byte {start}")
        found = yield from _member(file, start, block_bytes)
        if isinstance(found, Damage):
            return found
        end = found


def _next_member(file: BinaryIO, end: int) -> tuple[int, bytes]:
    """Offset and first two bytes of what follows the member that ended at `end`; zero padding is skipped."""
    file.seek(end)
    while data := file.read(_SALVAGE_BYTES):
        if rest := data.lstrip(b"\0"):
            start = file.tell() - len(rest)
            file.seek(start)
            head = file.read(2)
            file.seek(start)
            return start, head
    return end, b""


def _member(file: BinaryIO, start: int, block_bytes: int) -> Generator[bytes, None, Damage | int]:
    """One gzip member from offset `start`; returns the offset of its end, or the damage."""
    decoder = isal_zlib.decompressobj(_GZIP_WINDOW)
    given, pending, full = 0, b"", False
    while not decoder.eof:
        data = pending if pending or full else file.read(max(block_bytes // 4, 4096))
        if not data and not full:
            return (yield from _salvage(file, start, given))
        try:
            block = decoder.decompress(data, block_bytes)
        except isal_zlib.error:  # type: ignore[misc]  # its stub says that this is an instance
            return (yield from _salvage(file, start, given))
        pending, full = decoder.unconsumed_tail, len(block) == block_bytes
        given += len(block)
        if block:
            yield block
    return file.tell() - len(decoder.unused_data)


def _salvage(file: BinaryIO, start: int, given: int) -> Generator[bytes, None, Damage]:
    """What zlib can still read of the member at `start` beyond its first `given` bytes.

    The fast decoder keeps back bytes at the end of its input and loses those before an error; zlib does not
    hold any back, and fed bytewise it gives every byte before the error.
    """
    file.seek(start)
    decoder = zlib.decompressobj(_GZIP_WINDOW)
    seen = 0
    while data := file.read(_SALVAGE_BYTES):
        before = decoder.copy()
        try:
            block, damage = decoder.decompress(data), None
        except zlib.error:
            block = _up_to_the_error(before, data)
            damage = Damage(Trouble.CORRUPT, f"holds corrupt gzip data before byte {file.tell()}")
        if fresh := block[max(0, given - seen) :]:
            yield fresh
        seen += len(block)
        if damage:
            return damage
    return Damage(Trouble.TRUNCATED, "ends inside a gzip stream (cut off, or still being written)")


def _up_to_the_error(decoder: "zlib._Decompress", data: bytes) -> bytes:
    """Output of `data` fed byte by byte until the decoder refuses."""
    output = []
    for at in range(len(data)):
        try:
            output.append(decoder.decompress(data[at : at + 1]))
        except zlib.error:
            break
    return b"".join(output)


def _zstd(file: BinaryIO, block_bytes: int) -> Generator[bytes, None, Damage | None]:
    import pyarrow as pa

    stream = pa.CompressedInputStream(pa.PythonFile(file, mode="r"), "zstd")
    while True:
        try:
            block = stream.read(block_bytes)
        except OSError:
            return Damage(Trouble.TRUNCATED, "ends inside a zstd stream, or holds corrupt zstd data")
        if not block:
            return None
        yield block
