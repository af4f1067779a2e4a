"""How two versions of the same rows differ: row by row by what tells them apart, to the last bit."""

from dataclasses import dataclass

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from undertow.lake.files import unique_keys

__all__ = ["Difference", "compare"]

Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Difference:
    """What `compare` found; every array holds row numbers, int64."""

    only_first: Integers
    """(n,) rows of the first table whose keys the second has not."""
    only_second: Integers
    changed_first: Integers
    """(m,) rows whose keys are in both and whose values are not the same."""
    changed_second: Integers
    """(m,) the same rows in the second table, in the same order."""
    changed_columns: tuple[str, ...]
    lacking_columns: tuple[str, ...]
    """Columns that only the second table has."""

    @property
    def is_empty(self) -> bool:
        """Whether both hold the same rows, new columns apart."""
        return not (len(self.only_first) or len(self.only_second) or len(self.changed_first))


def compare(table: str, first: pa.Table, second: pa.Table) -> Difference:
    """Compare two versions of rows of `table`, each of which holds every row once.

    Columns that only one of them has are not compared. Floats are compared by their bits, null equals null.
    """
    lacking = tuple(name for name in second.column_names if name not in first.column_names)
    common = [name for name in second.column_names if name in first.column_names]
    keys = list(unique_keys(table))
    sides = [_numbered(rows, keys) for rows in (first, second)]
    pairs = sides[0].join(sides[1], on=keys, how="inner", nulls_equal=True, suffix="_second")
    at_first, at_second = pairs["row"].to_numpy(), pairs["row_second"].to_numpy()
    changed, columns = _changed(first.select(common).take(at_first), second.select(common).take(at_second))
    return Difference(
        _without(first.num_rows, at_first),
        _without(second.num_rows, at_second),
        at_first[changed],
        at_second[changed],
        columns,
        lacking,
    )


def _numbered(rows: pa.Table, keys: list[str]) -> pl.DataFrame:
    return (
        pl.DataFrame(pl.from_arrow(rows.select(keys)))
        .with_row_index("row")
        .with_columns(pl.col("row").cast(pl.Int64))
    )


def _without(count: int, taken: Integers) -> Integers:
    rest = np.ones(count, np.bool_)
    rest[taken] = False
    return np.flatnonzero(rest)


def _changed(first: pa.Table, second: pa.Table) -> tuple[Flags, tuple[str, ...]]:
    """(rows that differ, columns that do) of two tables with the same columns and rows in the same order."""
    changed, columns = np.zeros(first.num_rows, np.bool_), []
    for name in first.column_names:
        unequal = _unequal(first[name].combine_chunks(), second[name].combine_chunks())
        if unequal.any():
            columns.append(name)
            changed |= unequal
    return changed, tuple(columns)


def _unequal(first: pa.Array, second: pa.Array) -> Flags:
    if first.equals(second):
        return np.zeros(len(first), np.bool_)
    if not first.type.equals(second.type) or pa.types.is_nested(first.type):
        pairs = zip(first.to_pylist(), second.to_pylist(), strict=True)
        return np.array([one != other for one, other in pairs], np.bool_)
    nulls = [np.asarray(side.is_null()) for side in (first, second)]
    if pa.types.is_floating(first.type):
        values = [_bits(side) for side in (first, second)]
        unequal = values[0] != values[1]
    else:
        unequal = np.asarray(pc.fill_null(pc.not_equal(first, second), fill_value=False))
    found: Flags = (nulls[0] != nulls[1]) | (unequal & ~nulls[0])
    return found


def _bits(values: pa.Array) -> Integers:
    floats = np.ascontiguousarray(values.to_numpy(zero_copy_only=False), dtype=np.float64)
    return floats.view(np.int64)
