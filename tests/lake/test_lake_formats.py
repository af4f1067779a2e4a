"""What the files are to other programs, and how they are encoded."""

from dataclasses import fields
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow.parquet as pq
import pytest

from undertow.lake import tables
from undertow.lake.quality import audit, late_rows
from undertow.lake.reader import Lake
from undertow.lake.schemas import BOOK, GAPS, TRADES
from undertow.lake.writer import LakeWriter
from undertow.market.columns import BookColumns, TradeColumns
from undertow.market.events import Gap
from undertow.market.instruments import Instrument
from undertow.market.time import HOUR_NS

INSTRUMENT = Instrument("binance-usdm", "BTCUSDT", "0.10", "0.001")
START = 1_700_000_400_000_000_000 // HOUR_NS * HOUR_NS


def trades(ids: Any, event_ns: Any) -> TradeColumns:
    ids, times = np.asarray(ids, np.int64), np.asarray(event_ns, np.int64)
    flags = ids % 3 == 0
    kinds = np.zeros(len(ids), np.uint8)
    return TradeColumns(
        times, times + 7, ids, ids, ids, 600_000 + ids, ids + 1, flags, kinds, flags, kinds, ids
    )


def books(count: int) -> BookColumns:
    values = np.arange(count, dtype=np.int64)
    bids = 600_000 + np.arange(20, 0, -1) + values[:, None]
    asks = 600_020 + np.arange(1, 21) + values[:, None]
    lots = 1 + np.arange(20) + values[:, None]
    columns = {f.name: values for f in fields(BookColumns)}
    sides = {"bid_ticks": bids, "bid_lots": lots, "ask_ticks": asks, "ask_lots": lots.copy()}
    return BookColumns(**{**columns, **sides, "grid_ns": START + values * 500_000_000})


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    writer = LakeWriter(tmp_path, "binance-usdm", "BTCUSDT")
    ids = np.arange(100)
    writer.append("trades", tables.trades_to_arrow(INSTRUMENT, trades(ids, START + ids * 60 * 10**9)))
    for table in ("book_depth", "l2"):
        writer.append(table, tables.book_to_arrow(INSTRUMENT, books(50)))
    gap = Gap("BTCUSDT", "depth", START, START + 5, 1, 9, "because", START, START + 5)
    writer.append("gaps", tables.gaps_to_arrow(INSTRUMENT, [gap]))
    writer.seal(None)
    writer.close()
    return tmp_path


@pytest.mark.parametrize(("table", "rows"), [("trades", 100), ("book_depth", 50), ("l2", 50), ("gaps", 1)])
def test_one_glob_for_duckdb_polars_and_pandas(lake: Path, table: str, rows: int) -> None:
    glob = f"{lake}/binance-usdm/{table}/BTCUSDT/**/data.parquet"
    names = list({"trades": TRADES, "gaps": GAPS}.get(table, BOOK).names)
    ours = [row for part in Lake(lake).read("binance-usdm", table, "BTCUSDT") for row in part.to_pylist()]
    from_polars = pl.read_parquet(glob, hive_partitioning=False)
    assert from_polars.columns == names
    assert from_polars.to_dicts() == ours
    found = duckdb.sql(f"select * from read_parquet('{glob}', hive_partitioning=false) order by timestamp")  # noqa: S608
    assert found is not None
    assert found.columns == names
    assert found.pl().to_dicts() == ours
    frame = pd.read_parquet(sorted(map(str, lake.glob(f"binance-usdm/{table}/**/data.parquet"))))
    assert len(frame) == rows == len(ours)
    assert frame["timestamp"].tolist() == [row["timestamp"] for row in ours]


def test_pandas_reads_a_folder(lake: Path) -> None:
    folder = lake / "binance-usdm" / "trades" / "BTCUSDT"
    assert len(pd.read_parquet(folder)) == 100


def test_encodings_and_metadata(lake: Path) -> None:
    found: dict[str, set[str]] = {}
    for table in ("trades", "book_depth"):
        path = next((lake / "binance-usdm" / table).rglob("data.parquet"))
        metadata = pq.read_metadata(path)
        group = metadata.row_group(0)
        for at in range(group.num_columns):
            column = group.column(at)
            assert column.compression == "SNAPPY"
            found[f"{table}.{column.path_in_schema}"] = set(column.encodings)
        described = pq.read_schema(path).metadata
        assert (described[b"tick"], described[b"lot"]) == (b"0.10", b"0.001")
    assert "DELTA_BINARY_PACKED" in found["trades.trade_id"]
    assert "DELTA_BINARY_PACKED" in found["book_depth.last_update_ns"]
    assert "RLE_DICTIONARY" in found["trades.price"] & found["book_depth.bids.list.element.list.element"]
    assert not any("RLE_DICTIONARY" in found[f"trades.{name}"] for name in ("timestamp", "trade_id"))


def test_times_finer_than_a_millisecond_come_back() -> None:
    times = START + np.array([0, 1, 999_999, 1_000_000, 1_234_567])
    table = tables.trades_to_arrow(INSTRUMENT, trades([1, 2, 3, 4, 5], times))
    assert table["timestamp"].to_pylist() == (times // 10**6).tolist()
    assert tables.arrow_to_trades(INSTRUMENT, table).event_ns.tolist() == times.tolist()


def test_empty_tables_come_back() -> None:
    none = trades([], [])
    assert len(tables.arrow_to_trades(INSTRUMENT, tables.trades_to_arrow(INSTRUMENT, none))) == 0
    book = tables.arrow_to_book(INSTRUMENT, tables.book_to_arrow(INSTRUMENT, books(0)))
    assert book.bid_ticks.shape == (0, 20)
    assert tables.arrow_to_gaps(INSTRUMENT, tables.gaps_to_arrow(INSTRUMENT, [])) == []


def test_the_microprice_does_not_overflow() -> None:
    book = books(1)
    book.bid_ticks[0, 0], book.ask_ticks[0, 0] = 9 * 10**8, 10**9
    book.bid_lots[0, 0], book.ask_lots[0, 0] = 10**14, 3 * 10**14
    row = tables.book_to_arrow(INSTRUMENT, book).to_pylist()[0]
    assert row["weighted_mid"] == pytest.approx(92.5e6)


def test_a_hole_may_be_covered_by_several_gaps_and_filled_by_a_later_hour(tmp_path: Path) -> None:
    writer = LakeWriter(tmp_path, "binance-usdm", "BTCUSDT")

    def put(ids: list[int], hour: int) -> None:
        writer.append(
            "trades", tables.trades_to_arrow(INSTRUMENT, trades(ids, [START + hour * HOUR_NS] * len(ids)))
        )
        writer.seal(None)

    put([1, 2, 10, 20, 22], 0)
    put([21, 23], 1)
    gaps = [
        Gap("BTCUSDT", "trades", START, START + 1, first, last, "lost", START, START + 1)
        for first, last in ((3, 5), (5, 9), (11, 18))
    ]
    depth = Gap("BTCUSDT", "depth", START, START + 1, 0, 100, "lost", START, START + 1)
    writer.append("gaps", tables.gaps_to_arrow(INSTRUMENT, [*gaps, depth]))
    writer.seal(None)
    writer.close()
    assert [f.message for f in audit(tmp_path)] == ["trade ids 19 to 19 are missing and no gap says so"]


def test_late_rows_are_named(lake: Path) -> None:
    found = [str(finding) for finding in late_rows(lake)]
    assert len(found) == 2
    assert found[0].endswith("hour=22/data.parquet: 20 late trades, ids 0, 3, 6, 9, 12 …")
