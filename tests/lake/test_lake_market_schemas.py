from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from undertow.frames.market_fold import MARKET_TABLES
from undertow.lake.files import merge
from undertow.lake.layout import TABLES
from undertow.lake.market_schemas import MARKET_SCHEMAS, MARKET_SORT_KEYS, MARKET_UNIQUE_KEYS
from undertow.lake.quality import audit
from undertow.lake.tables import rows_to_arrow
from undertow.lake.writer import LakeWriter
from undertow.market.instruments import Instrument

USDM = Instrument("binance-usdm", "BTCUSDT", "0.10", "0.001")
HOUR_MS = 3_600_000


@pytest.mark.parametrize("name", sorted(MARKET_SCHEMAS))
def test_keys_name_columns_and_leave_no_order_open(name: str) -> None:
    columns = MARKET_SCHEMAS[name].names
    unique = MARKET_UNIQUE_KEYS.get(name, ("timestamp",))
    ordered = MARKET_SORT_KEYS.get(name, ("timestamp",))
    assert name in TABLES
    described = [column for column in columns if column != "known_ns"]
    assert (columns[0], described[-1], ordered[0]) == ("timestamp", "received_ns", "timestamp")
    assert ("known_ns" in columns) == (name in MARKET_TABLES)
    assert "known_ns" not in columns[:-1]
    assert set(ordered) <= set(columns)
    assert set(unique) <= set(ordered)


def cell(field: pa.Field, number: int) -> Any:
    if pa.types.is_string(field.type):
        return ("LIMIT", "MARKET", None)[number % 3]
    if pa.types.is_floating(field.type):
        return (0.5, 1.5, None)[number % 3]
    if pa.types.is_list(field.type):
        return [[1.5, float(number)]]
    return number % 3


@settings(max_examples=40, deadline=None)
@given(
    name=st.sampled_from(sorted(MARKET_SCHEMAS)),
    numbers=st.lists(st.lists(st.integers(0, 8), min_size=3, max_size=3), min_size=1, max_size=25),
    cuts=st.lists(st.integers(0, 24), max_size=4),
)
def test_any_cut_of_the_rows_merges_to_the_same(name: str, numbers: list[list[int]], cuts: list[int]) -> None:
    schema = MARKET_SCHEMAS[name]
    rows = [
        {field.name: cell(field, entry[place % 3]) for place, field in enumerate(schema)} for entry in numbers
    ]
    table = rows_to_arrow(USDM, schema, rows)
    bounds = sorted({0, *(cut for cut in cuts if cut < len(rows)), len(rows)})
    parts = [table.slice(begin, end - begin) for begin, end in pairwise(bounds)]
    whole = merge(name, [table])
    assert merge(name, parts).equals(whole)
    assert merge(name, [whole]).equals(whole)
    keys = list(MARKET_UNIQUE_KEYS.get(name, ("timestamp",)))
    assert len({tuple(row.values()) for row in whole.select(keys).to_pylist()}) == whole.num_rows


def test_every_table_is_stored_and_verified(tmp_path: Path) -> None:
    writer = LakeWriter(tmp_path, "binance-usdm", "BTCUSDT")
    for name, schema in MARKET_SCHEMAS.items():
        rows = [{field.name: cell(field, number) for field in schema} for number in (1, 2)]
        writer.append(name, rows_to_arrow(USDM, schema, rows))
        later = [{**row, "timestamp": HOUR_MS + row["timestamp"]} for row in rows]
        writer.append(name, rows_to_arrow(USDM, schema, later))
    writer.seal(None)
    writer.close()
    assert audit(tmp_path) == []
    assert len(list(tmp_path.rglob("data.parquet"))) == 2 * len(MARKET_SCHEMAS)
