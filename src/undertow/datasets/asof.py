"""What was known when: rows of one table as another's decisions could have seen them."""

import numpy as np
import polars as pl
from numpy.typing import NDArray

__all__ = ["as_of_rows", "take_rows"]

Integers = NDArray[np.int64]

NO_ROW = -1


def as_of_rows(
    decision_ns: Integers, known_ns: Integers, event_ns: Integers, max_age_ns: int | None = None
) -> Integers:
    """For each decision the row that tells the newest of what was known then, (n,) int64; −1 = none.

    Of the rows (m,) in any order with known_ns ≤ decision_ns, that with the latest `event_ns`, what it is
    about; of equal ones that which became known last. The time a row is about never decides whether it is
    seen. With `max_age_ns` rows that had been known for longer than that are not used.

    >>> as_of_rows(np.array([4, 5, 9]), np.array([5, 7]), np.array([0, 2])).tolist()
    [-1, 0, 1]
    """
    if len(known_ns) == 0:
        return np.full(len(decision_ns), NO_ROW, dtype=np.int64)
    order = np.lexsort((event_ns, known_ns))
    known, event = known_ns[order], event_ns[order]
    is_newest = event >= np.maximum.accumulate(event)
    newest = np.maximum.accumulate(np.where(is_newest, np.arange(len(order)), 0))
    place = np.searchsorted(known, decision_ns, side="right") - 1
    at = newest[np.maximum(place, 0)]
    seen = place >= 0
    if max_age_ns is not None:
        seen &= decision_ns - known[at] <= max_age_ns
    return np.where(seen, order[at], NO_ROW).astype(np.int64)


def take_rows(frame: pl.DataFrame, rows: Integers) -> pl.DataFrame:
    """Rows of a frame by number, (n) rows; all columns null where the number is −1."""
    at = pl.Series(rows, dtype=pl.Int64)
    places = at.set(at < 0, None).cast(pl.UInt32)
    return frame.select(pl.all().gather(places))
