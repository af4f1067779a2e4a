"""Two versions of the same rows: what is only in one, what changed, to the last bit."""

import math
import struct

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from undertow.lake.difference import compare

VALUES = st.one_of(st.none(), st.sampled_from([0.0, -0.0, 1.0, math.nan, math.inf, 1.0 + 2**-52]))
SIDE = pa.list_(pa.list_(pa.float64()))
ROWS = st.dictionaries(st.integers(0, 9), st.tuples(VALUES, st.sampled_from([None, "a", "b"])), max_size=8)


def table(rows: dict[int, tuple[float | None, str | None]]) -> pa.Table:
    keys = list(rows)
    columns = {
        "timestamp": pa.array(keys, pa.int64()),
        "value": pa.array([rows[key][0] for key in keys], pa.float64()),
        "word": pa.array([rows[key][1] for key in keys], pa.string()),
        "bids": pa.array([[[float(key), 1.0]] for key in keys], SIDE),
    }
    return pa.table(columns)


def bits(value: float | None) -> bytes | None:
    return None if value is None else struct.pack("d", value)


@settings(max_examples=200, deadline=None)
@given(first=ROWS, second=ROWS)
def test_it_finds_what_a_loop_over_the_rows_finds(
    first: dict[int, tuple[float | None, str | None]], second: dict[int, tuple[float | None, str | None]]
) -> None:
    found = compare("features", table(first), table(second))
    ones, others = list(first), list(second)
    assert {ones[row] for row in found.only_first} == first.keys() - second.keys()
    assert {others[row] for row in found.only_second} == second.keys() - first.keys()
    changed = {
        key
        for key in first.keys() & second.keys()
        if (bits(first[key][0]), first[key][1]) != (bits(second[key][0]), second[key][1])
    }
    assert {ones[row] for row in found.changed_first} == changed
    assert [ones[row] for row in found.changed_first] == [others[row] for row in found.changed_second]
    assert found.is_empty == (not changed and first.keys() == second.keys())


def test_levels_are_compared_too() -> None:
    first = table({1: (0.0, "a"), 2: (0.0, "a")})
    other = pa.array([[[1.0, 1.0]], [[2.0, 1.5]]], SIDE)
    found = compare("book_depth", first, first.set_column(3, "bids", other))
    assert (found.changed_first.tolist(), found.changed_columns) == ([1], ("bids",))


@pytest.mark.parametrize("is_first_older", [True, False])
def test_a_column_that_only_one_has_is_no_change(is_first_older: bool) -> None:
    newer = table({1: (0.0, "a")})
    older = newer.drop_columns(["word"])
    found = compare("features", *((older, newer) if is_first_older else (newer, older)))
    assert found.is_empty
    assert found.lacking_columns == (("word",) if is_first_older else ())


def test_rows_without_a_value_in_their_key_are_paired() -> None:
    orders = pa.table(
        {"timestamp": [1, 1], "side": ["SELL", "SELL"], "event_ms": pa.array([None, 5], pa.int64())}
    )
    names = ("price", "average_price", "quantity", "filled_quantity")
    for name in names:
        orders = orders.append_column(name, pa.array([1.0, 1.0]))
    for name in ("order_type", "time_in_force", "status"):
        orders = orders.append_column(name, pa.array([None, "x"], pa.string()))
    assert compare("liquidations", orders, orders).is_empty
    assert compare("liquidations", orders.slice(1), orders).only_second.tolist() == [0]
