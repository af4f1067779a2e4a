"""Putting the many small parts of an open hour together, so that reading it does not cost one read each."""

from pathlib import Path

from undertow.lake.files import merge, read_table, write_table
from undertow.lake.layout import part_name

__all__ = ["PARTS_AT_ONCE", "compact"]

PARTS_AT_ONCE = 16
"""So many old parts of an hour become one: with a checkpoint a minute, about every quarter of an hour."""


def compact(folder: Path, table: str, numbers: list[int], until: int) -> list[int]:
    """Make one part of those up to number `until`, if there are many; the numbers that there are then.

    `until` is the newest part that a saved checkpoint knows: what came later may have to be discarded and
    must keep its own parts. The one part replaces the newest of them before the others go, so whoever is
    killed in between leaves rows in two parts, of which a reader takes one, and a second run finds the same
    rows. Raises LakeError where a part cannot be read or the disk refuses; the parts stay as they are.
    """
    old = sorted(number for number in numbers if number <= until)
    if len(old) < PARTS_AT_ONCE:
        return numbers
    rows = merge(table, [read_table(folder / part_name(number)) for number in old])
    write_table(folder / part_name(old[-1]), rows)
    for number in old[:-1]:
        (folder / part_name(number)).unlink()
    return [number for number in numbers if number >= old[-1]]
