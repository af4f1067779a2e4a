"""The audit log: one JSON object a line, each chained to the one before by its hash, only ever appended.

Line n is `{"sequence":n,"previous":HASH,"kind":...,"payload":...,"hash":HASH}`; `hash` is the SHA-256 of
the line's bytes before `,"hash"`, so it covers the content and, through `previous`, the whole history.
The chain proves that no record was edited, removed, inserted or moved. That none was cut off the end is
proved only by comparing with a `head` kept elsewhere: the report prints it.
"""

import os
from collections.abc import Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any, Self

import msgspec

from undertow.errors import LakeError

__all__ = ["GENESIS", "AuditLog", "Record", "read_records", "verify"]

GENESIS = "0" * 64
"""What the first record names as the hash before it."""

_HASH_FIELD = b',"hash":"'
_SUFFIX_LENGTH = len(_HASH_FIELD) + 64 + len(b'"}')


class _Body(msgspec.Struct, frozen=True):
    """What the hash covers; fields are written in this order."""

    sequence: int
    previous: str
    kind: str
    payload: Any


class Record(_Body, frozen=True):
    """One line of the log."""

    hash: str


class AuditLog:
    """Appends records to one file; opening a file that exists continues its chain.

    A line cut short by a crash is moved to `<path>.torn` and a record `tail_set_aside` says so. With
    `durable` every record is forced to the disk before `append` returns; without, it is handed to the
    operating system, which survives a crash of the program but not of the machine.

    Raises LakeError when the file cannot be read or written, or its chain is broken: it is evidence, and
    must not be written to.
    """

    def __init__(self, path: Path, *, durable: bool = True) -> None:
        self._path = path
        self._durable = durable
        self._failed = False
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            torn = _set_aside_torn_tail(path)
            self._next, self._head = _resume(path)
            self._file = path.open("ab", buffering=0)
        except OSError as error:
            raise LakeError(f"audit log {path}: {error}; choose a directory that can be written") from error
        if torn:
            self.append("tail_set_aside", {"bytes": torn, "file": _torn_path(path).name})

    @property
    def path(self) -> Path:
        """The file."""
        return self._path

    @property
    def next_sequence(self) -> int:
        """Sequence number that the next record will have."""
        return self._next

    @property
    def head(self) -> str:
        """Hash of the last record; `GENESIS` before the first."""
        return self._head

    def append(self, kind: str, payload: Mapping[str, Any] | msgspec.Struct) -> int:
        """Write one record and return its sequence once it has left the program.

        NaN and infinity become null. Raises LakeError when it could not be written; after that the log
        refuses every further record, so that nothing acts unrecorded.
        """
        if self._failed:
            raise LakeError(f"audit log {self._path}: an earlier record was not written; nothing may act")
        body = msgspec.json.encode(_Body(self._next, self._head, kind, payload), order="deterministic")
        digest = sha256(body[:-1]).hexdigest()
        self._write(body[:-1] + _HASH_FIELD + digest.encode() + b'"}\n')
        sequence, self._next, self._head = self._next, self._next + 1, digest
        return sequence

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; a closed log takes no more records."""
        self._failed = True
        self._file.close()

    def _write(self, line: bytes) -> None:
        try:
            written = self._file.write(line)
            if self._durable:
                os.fsync(self._file.fileno())
        except OSError as error:
            self._failed = True
            raise LakeError(f"audit log {self._path}: {error}; free the disk and start again") from error
        if written != len(line):
            self._failed = True
            raise LakeError(f"audit log {self._path}: the disk is full; free it and start again")


def read_records(path: Path) -> list[Record]:
    """All records of a log that verifies. Raises LakeError naming the first bad sequence."""
    _resume(path)
    return [msgspec.json.decode(line, type=Record) for line in path.read_bytes().splitlines()]


def verify(path: Path, head: str | None = None) -> int | None:
    """Sequence of the first record that is not what was written, or None when the log is whole.

    With `head`, a log that ends before the record with that hash is not whole either: the first missing
    sequence is returned. A line without its end counts as bad. Raises OSError if the file cannot be read.
    """
    count, seen = 0, head in {None, GENESIS}
    for digest in _digests(path):
        if digest is None:
            return count
        count, seen = count + 1, seen or digest == head
    return None if seen else count


def _digests(path: Path) -> Iterator[str | None]:
    """Hash of each record in turn; None for the first that does not continue the chain, and then no more."""
    previous = GENESIS
    with path.open("rb") as file:
        for sequence, line in enumerate(file):
            digest = _digest_if_valid(line, sequence, previous)
            yield digest
            if digest is None:
                return
            previous = digest


def _digest_if_valid(line: bytes, sequence: int, previous: str) -> str | None:
    body = line[: -_SUFFIX_LENGTH - 1]
    digest = sha256(body).hexdigest()
    if line[len(body) :] != _HASH_FIELD + digest.encode() + b'"}\n':
        return None
    try:
        record = msgspec.json.decode(line, type=_Body)
    except msgspec.DecodeError:
        return None
    return digest if (record.sequence, record.previous) == (sequence, previous) else None


def _torn_path(path: Path) -> Path:
    return path.with_name(path.name + ".torn")


def _set_aside_torn_tail(path: Path) -> int:
    """Move what follows the last line end to the side file; returns the number of bytes moved."""
    if not path.exists():
        return 0
    with path.open("r+b") as file:
        content = file.read()
        whole = content.rfind(b"\n") + 1
        torn = content[whole:]
        if torn:
            _append_durably(_torn_path(path), torn + b"\n")
            file.truncate(whole)
    return len(torn)


def _append_durably(path: Path, content: bytes) -> None:
    with path.open("ab") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _resume(path: Path) -> tuple[int, str]:
    """Next sequence and head of the log at `path`; LakeError where the chain is broken."""
    count, head = 0, GENESIS
    for digest in _digests(path) if path.exists() else ():
        if digest is None:
            raise LakeError(
                f"audit log {path}: record {count} was changed, removed or moved; keep the file as evidence "
                "and start a new one"
            )
        count, head = count + 1, digest
    return count, head
