"""Live rows whose time cannot be true make no files; whatever is rightly old is stored."""

from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from undertow.lake.layout import HourKey
from undertow.lake.market_schemas import MARKET_SCHEMAS
from undertow.lake.reader import Lake
from undertow.lake.schemas import TRADES
from undertow.lake.writer import LakeWriter
from undertow.market.time import DAY_NS, HOUR_NS, MILLISECOND_NS

NOW = 1_700_000_400_000_000_000 // HOUR_NS * HOUR_NS
NOW_MS, DAY_MS = NOW // MILLISECOND_NS, DAY_NS // MILLISECOND_NS
IMPOSSIBLE = {
    "1970": 0,
    "long ago": NOW_MS - 3 * DAY_MS,
    "far ahead": NOW_MS + 3 * DAY_MS,
    "2255": 9 * 10**12,
}
LIVE = ["mark_price", "open_interest", "liquidations", "klines", "book_ticker", "depth20"]


def rows(schema: pa.Schema, stamps_ms: list[int], received_ns: int = NOW, **more: Any) -> pa.Table:
    columns: dict[str, Any] = {"timestamp": stamps_ms, "received_ns": [received_ns] * len(stamps_ms)}
    columns["last_update_id"] = list(range(len(stamps_ms)))
    columns |= {name: [value] * len(stamps_ms) for name, value in more.items()}
    arrays = [
        pa.array(columns[field.name], field.type)
        if field.name in columns
        else pa.nulls(len(stamps_ms), field.type)
        for field in schema
    ]
    return pa.Table.from_arrays(arrays, schema=schema)


def trades(stamps_ms: list[int], source: str = "stream", received_ns: int = NOW) -> pa.Table:
    table = rows(TRADES, stamps_ms, received_ns, source=source, event_remainder_ns=0)
    ids = pa.array(np.arange(len(stamps_ms)) + stamps_ms[0])
    return table.set_column(1, TRADES.field(1), ids)


def market(writer: LakeWriter) -> None:
    """Trades that say how far the market has come."""
    writer.append("aggtrades", trades([NOW_MS - 1000]))


@pytest.mark.scenario("S9", "live rows of 1970, long ago and far ahead: counted, no partition of theirs")
@pytest.mark.parametrize("table", LIVE)
@pytest.mark.parametrize("when", IMPOSSIBLE)
def test_an_impossible_time_makes_no_partition(tmp_path: Path, table: str, when: str) -> None:
    with closing(LakeWriter(tmp_path, "v", "S")) as writer:
        market(writer)
        writer.append(table, rows(MARKET_SCHEMAS[table], [NOW_MS, IMPOSSIBLE[when]]))
        writer.append(table, rows(MARKET_SCHEMAS[table], [IMPOSSIBLE[when]]))
        writer.seal(None)
        assert writer.refused == {table: 2}
    assert Lake(tmp_path).hours("v", table, "S") == [NOW]


@pytest.mark.scenario("S9", "a streamed trade of 1970 makes no partition")
def test_a_trade_of_1970_makes_no_partition(tmp_path: Path) -> None:
    with closing(LakeWriter(tmp_path, "v", "S")) as writer:
        writer.append("aggtrades", trades([NOW_MS, 0, NOW_MS + 1]))
        writer.seal(None)
        assert writer.refused == {"aggtrades": 1}
    assert Lake(tmp_path).hours("v", "aggtrades", "S") == [NOW]


def test_what_is_rightly_old_is_stored(tmp_path: Path) -> None:
    old = NOW_MS - 30 * DAY_MS
    with closing(LakeWriter(tmp_path, "v", "S")) as writer:
        market(writer)
        writer.append("funding_rate", rows(MARKET_SCHEMAS["funding_rate"], [old]))
        writer.append("aggtrades", trades([old], source="archive"))
        writer.append("aggtrades", trades([old + 1], source="rest"))
        writer.append("klines", rows(MARKET_SCHEMAS["klines"], [old]), is_history=True)
        writer.append("features", pa.table({"timestamp": [old], "close": [1.0]}), "1s")
        writer.seal(None)
        assert not writer.refused
    for table in ("funding_rate", "aggtrades", "klines"):
        assert (
            HourKey("v", table, "S", "", old * MILLISECOND_NS // HOUR_NS * HOUR_NS).folder(tmp_path).is_dir()
        )


def test_a_recording_of_long_ago_played_now_is_stored(tmp_path: Path) -> None:
    """Its events are years before their receipt, but near to one another."""
    later = NOW + 700 * DAY_NS
    with closing(LakeWriter(tmp_path, "v", "S")) as writer:
        writer.append("mark_price", rows(MARKET_SCHEMAS["mark_price"], [NOW_MS], later))
        writer.append("aggtrades", trades([NOW_MS], received_ns=later))
        writer.append("mark_price", rows(MARKET_SCHEMAS["mark_price"], [NOW_MS + 3000], later))
        writer.seal(None)
        assert not writer.refused


def test_another_writer_goes_by_what_is_stored(tmp_path: Path) -> None:
    with closing(LakeWriter(tmp_path, "v", "S")) as writer:
        market(writer)
        writer.flush()
    with closing(LakeWriter(tmp_path, "v", "S")) as writer:
        writer.append("liquidations", rows(MARKET_SCHEMAS["liquidations"], [0]))
        assert writer.refused == {"liquidations": 1}


@settings(max_examples=150, deadline=None)
@given(
    offsets=st.lists(st.integers(-4 * DAY_MS, 4 * DAY_MS), min_size=1, max_size=8),
    cuts=st.lists(st.integers(0, 8), max_size=3),
)
def test_any_cut_into_blocks_refuses_the_same_trades(
    tmp_path_factory: pytest.TempPathFactory, offsets: list[int], cuts: list[int]
) -> None:
    stamps = [NOW_MS, *(NOW_MS + offset for offset in offsets)]
    kept = []
    for edges in ([0, len(stamps)], sorted({0, len(stamps), *(cut for cut in cuts if cut < len(stamps))})):
        with closing(LakeWriter(tmp_path_factory.mktemp("lake"), "v", "S")) as writer:
            found = []
            for first, last in pairwise(edges):
                block = trades(stamps[first:last])
                found += writer.plausible("aggtrades", block)["timestamp"].to_pylist()
                writer.append("aggtrades", block)
            kept.append(found)
    assert kept[0] == kept[1]
