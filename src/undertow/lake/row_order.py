"""Which rows of a table stay, and in which order."""

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

__all__ = ["kept_rows"]

Integers = NDArray[np.int64]

_LOWEST = np.iinfo(np.int64).min


def kept_rows(
    rows: pa.Table, unique: Sequence[str], ordered: Sequence[str], *, newest_wins: bool
) -> Integers:
    """Places of the rows that stay: of those equal in all `unique` columns the first or the last.

    They are sorted by `ordered`; nulls come first, and a null equals a null.
    """
    keys = {name: _comparable(rows[name]) for name in dict.fromkeys((*unique, *ordered))}
    if _is_rising(keys, unique) and _is_rising(keys, ordered):
        return np.arange(rows.num_rows)
    order = np.lexsort([keys[name] for name in reversed(unique)])
    begins = np.ones(len(order), np.bool_)
    begins[1:] = False
    for name in unique:
        column = keys[name][order]
        begins[1:] |= column[1:] != column[:-1]
    wins = np.flatnonzero(begins)
    kept = order[np.append(wins[1:], len(order)) - 1] if newest_wins else order[wins]
    found: Integers = kept[np.lexsort([keys[name][kept] for name in reversed(ordered)])]
    return found


def _is_rising(keys: Mapping[str, Integers], names: Sequence[str]) -> bool:
    """Whether each row is greater than the one before."""
    still_equal: NDArray[np.bool_] = np.ones(max(0, len(keys[names[0]]) - 1), np.bool_)
    for name in names:
        before, after = keys[name][:-1], keys[name][1:]
        if bool((still_equal & (after < before)).any()):
            return False
        still_equal &= after == before
    return not still_equal.any()


def _comparable(column: pa.ChunkedArray) -> Integers:
    """Whole numbers that are equal, and ordered, as the values are."""
    kind = column.type
    if pa.types.is_string(kind):
        return _ranks(column)
    if pa.types.is_floating(kind):
        return _bits(pc.fill_null(column, -np.inf).to_numpy() + 0.0)
    found: Integers = pc.fill_null(column.cast(pa.int64()), _LOWEST).to_numpy()
    return found


def _bits(values: NDArray[np.float64]) -> Integers:
    """Doubles as integers in the same order (IEEE 754: sign and magnitude)."""
    bits = np.ascontiguousarray(values).view(np.int64)
    return bits ^ ((bits >> 63) & np.iinfo(np.int64).max)


def _ranks(column: pa.ChunkedArray) -> Integers:
    """The place of each word among all words; -1 for null."""
    words = pa.array(sorted(word for word in column.unique().to_pylist() if word is not None), pa.string())
    found = pc.index_in(column, value_set=words)
    ranks: Integers = pc.fill_null(found.cast(pa.int64()), -1).to_numpy()
    return ranks
