"""Rows kept and sorted as polars would."""

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from undertow.lake.row_order import kept_rows

INTEGERS = st.none() | st.integers(-3, 3) | st.sampled_from([-(2**62), 2**62, 2**62 + 1])
FLOATS = st.none() | st.sampled_from([-1.5, -0.0, 0.0, 1e-300, 2.0, -1e300])
WORDS = st.none() | st.sampled_from(["", "a", "ab", "b", "Z", "ä"])
ROWS = st.lists(st.tuples(INTEGERS, FLOATS, WORDS), max_size=40)


@settings(max_examples=200, deadline=None)
@given(
    rows=ROWS,
    unique=st.sampled_from([("i",), ("w", "i"), ("f", "w"), ("i", "f", "w")]),
    newest_wins=st.booleans(),
)
def test_as_polars(rows: list[tuple[int, float, str]], unique: tuple[str, ...], newest_wins: bool) -> None:
    columns = list(zip(*rows, strict=True)) or [(), (), ()]
    kinds = {"i": pa.int64(), "f": pa.float64(), "w": pa.string()}
    table = pa.table({n: pa.array(c, k) for (n, k), c in zip(kinds.items(), columns, strict=True)})
    ordered = tuple(dict.fromkeys(("i", *unique)))
    found = table.take(kept_rows(table, unique, ordered, newest_wins=newest_wins)) if rows else table
    frame = pl.DataFrame(pl.from_arrow(table))
    expected = frame.unique(subset=unique, keep="last" if newest_wins else "first", maintain_order=True)
    expected = expected.sort(ordered, nulls_last=False, maintain_order=True)
    assert pl.DataFrame(pl.from_arrow(found)).equals(expected)


@pytest.mark.parametrize("ids", [[1, 2, 3], [3, 2, 1], [1, 1, 2], [2, 1, 2]])
def test_ids_and_times(ids: list[int]) -> None:
    table = pa.table({"timestamp": [10 * i for i in ids], "trade_id": ids, "x": [0, 1, 2]})
    kept = kept_rows(table, ("trade_id",), ("timestamp", "trade_id"), newest_wins=True)
    expected = {i: x for x, i in enumerate(ids)}
    assert kept.tolist() == [expected[i] for i in sorted(expected)]
