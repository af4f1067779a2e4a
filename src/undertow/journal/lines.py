"""Whole lines of a file, and how the file ends."""

from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

from undertow.journal.decode import Damage, blocks

__all__ = ["Ending", "whole_lines"]


@dataclass(frozen=True, slots=True)
class Ending:
    """How a file ended after its last whole line."""

    rest: bytes
    """An unfinished line; empty if there is none."""
    damage: Damage | None
    completed: bool
    """The last line lacked only its newline, which was added."""

    @property
    def is_clean(self) -> bool:
        """Whether lines can simply be added behind it."""
        return not self.rest and self.damage is None and not self.completed


def whole_lines(path: Path, chunk_bytes: int, offset: int = 0) -> Generator[bytes, None, Ending]:
    r"""Pieces of about `chunk_bytes` that each end in a newline; returns how the file ends.

    `offset`: where in a gzip file to begin, the first byte of a member that begins with a line, or the end.
    A last line without its newline counts as whole if the file is undamaged and the line ends in `}`.
    Raises InputError where the file is missing or cannot be read.
    """
    source = blocks(path, chunk_bytes, offset)
    gathered: list[bytes] = []  # a block may be far smaller than a piece: every gzip member ends one
    size = 0
    while True:
        try:
            block = next(source)
        except StopIteration as end:
            return (yield from _last_lines(b"".join(gathered), end.value))
        gathered.append(block)
        size += len(block)
        if size < chunk_bytes:
            continue
        held = b"".join(gathered)
        if cut := held.rfind(b"\n") + 1:
            yield held[:cut]
        gathered, size = [held[cut:]], len(held) - cut


def _last_lines(held: bytes, damage: Damage | None) -> Generator[bytes, None, Ending]:
    if cut := held.rfind(b"\n") + 1:
        yield held[:cut]
    return (yield from _last_line(held[cut:], damage))


def _last_line(held: bytes, damage: Damage | None) -> Generator[bytes, None, Ending]:
    if damage is None and held.endswith(b"}"):
        yield held + b"\n"
        return Ending(b"", None, completed=True)
    return Ending(held, damage, completed=False)
