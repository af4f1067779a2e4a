import os
import threading
from collections import Counter
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from undertow.errors import LakeError
from undertow.lake import tables
from undertow.lake.layout import HourKey
from undertow.lake.quality import audit
from undertow.lake.reader import Lake
from undertow.lake.schemas import instrument_of
from undertow.lake.writer import LakeWriter
from undertow.market.columns import BookColumns, TradeColumns
from undertow.market.events import Gap
from undertow.market.instruments import Instrument

INSTRUMENT = Instrument("binance-usdm", "BTCUSDT", "0.10", "0.001")
HOUR = 3600 * 10**9
START = 1_700_000_400_000_000_000 // HOUR * HOUR


def make_trades(ids: Any, event_ns: Any | None = None) -> TradeColumns:
    ids = np.asarray(ids, np.int64)
    times = START + ids * 10**6 if event_ns is None else np.asarray(event_ns, np.int64)
    return TradeColumns(
        event_ns=times,
        receive_ns=times + 7,
        trade_id=ids,
        first_trade_id=ids,
        last_trade_id=ids,
        price_ticks=600_000 + ids % 10,
        quantity_lots=1 + ids % 5,
        is_buyer_maker=ids % 2 == 0,
        order_type=(ids % 5).astype(np.uint8),
        is_late=ids % 7 == 0,
        source=(ids % 3).astype(np.uint8),
        normal_lots=ids % 6 - 1,
    )


def rows(ids: Any, event_ns: Any | None = None) -> pa.Table:
    return tables.trades_to_arrow(INSTRUMENT, make_trades(ids, event_ns))


def writer(root: Path) -> LakeWriter:
    return LakeWriter(root, "binance-usdm", "BTCUSDT")


def stored_ids(root: Path, *, include_open: bool = False) -> list[int]:
    parts = Lake(root).read("binance-usdm", "trades", "BTCUSDT", include_open=include_open)
    return [i for part in parts for i in part["trade_id"].to_pylist()]


def data_files(root: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in root.rglob("*") if path.is_file() and path.suffix != ""}


steps = st.sampled_from(["0.10", "0.01", "0.5", "1", "0.00000001", "0.000025"])
counts = st.integers(0, 10**9)


@settings(max_examples=60, deadline=None)
@given(
    tick=steps,
    lot=steps,
    ticks=hnp.arrays(np.int64, (6, 30), elements=st.integers(1, 10**9)),
    lots=hnp.arrays(np.int64, (6, 30), elements=st.integers(1, 10**9)),
    depth=hnp.arrays(np.int64, 6, elements=st.integers(0, 30)),
)
def test_books_come_back_to_the_last_tick(tick: str, lot: str, ticks: Any, lots: Any, depth: Any) -> None:
    instrument = Instrument("v", "S", tick, lot)
    exists = np.arange(30) < depth[:, None]
    side = {
        "bid_ticks": ticks * exists,
        "bid_lots": lots * exists,
        "ask_ticks": lots * exists,
        "ask_lots": ticks * exists,
    }
    rest = {f.name: np.arange(6) * 10**6 for f in fields(BookColumns) if f.name not in side}
    book = BookColumns(**side, **rest)
    back = tables.arrow_to_book(instrument, tables.book_to_arrow(instrument, book))
    for f in fields(BookColumns):
        expected, found = getattr(book, f.name), getattr(back, f.name)
        if found.ndim == 2:
            width = max(found.shape[1], expected.shape[1])
            expected, found = (np.pad(a, ((0, 0), (0, width - a.shape[1]))) for a in (expected, found))
        assert (expected == found).all(), f.name


@settings(max_examples=40, deadline=None)
@given(tick=steps, lot=steps, values=hnp.arrays(np.int64, 20, elements=st.integers(0, 10**10)))
def test_trades_come_back_to_the_last_lot(tick: str, lot: str, values: Any) -> None:
    instrument = Instrument("v", "S", tick, lot)
    columns = {f.name: values for f in fields(TradeColumns)}
    columns |= {"is_buyer_maker": values % 2 == 0, "is_late": values % 3 == 0}
    codes = {"order_type": (values % 5).astype(np.uint8), "source": (values % 3).astype(np.uint8)}
    trades = TradeColumns(**{**columns, **codes})
    table = tables.trades_to_arrow(instrument, trades)
    back = tables.arrow_to_trades(instrument_of(table.schema), table)
    for f in fields(TradeColumns):
        assert (getattr(trades, f.name) == getattr(back, f.name)).all(), f.name


def test_derived_book_columns_by_hand() -> None:
    book = BookColumns(
        **{f.name: np.zeros(1, np.int64) for f in fields(BookColumns) if f.name[:4] not in ("bid_", "ask_")},
        bid_ticks=np.array([[1000, 990, 980]]),
        bid_lots=np.array([[2000, 3000, 5000]]),
        ask_ticks=np.array([[1010, 1020, 1030]]),
        ask_lots=np.array([[1000, 4000, 5000]]),
    )
    row = tables.book_to_arrow(INSTRUMENT, book).to_pylist()[0]
    assert (row["mid_price"], row["spread"], row["imbalance_5"]) == (100.5, 1.0, 0.0)
    assert row["weighted_mid"] == pytest.approx(100 + 2 / 3)
    assert row["bids"] == [[100.0, 2.0], [99.0, 3.0], [98.0, 5.0]]


def test_gaps_come_back() -> None:
    gap = Gap("BTCUSDT", "depth", START, START + 5, 1, 9, "because", START, START + 5)
    assert tables.arrow_to_gaps(INSTRUMENT, tables.gaps_to_arrow(INSTRUMENT, [gap])) == [gap]


def test_layout() -> None:
    key = HourKey("binance-usdm", "features", "BTCUSDT", "1m", START + 5 * HOUR)
    assert key.folder(Path("l")).as_posix() == "l/binance-usdm/features/BTCUSDT/1m/2023/11/15/hour=03"


def test_open_hours_are_parts_and_sealed_hours_one_file(tmp_path: Path) -> None:
    lake = writer(tmp_path)
    lake.append("trades", rows([2, 1]))
    lake.flush()
    lake.append("trades", rows([3], [START + HOUR + 5]))
    lake.flush()
    assert stored_ids(tmp_path) == []
    assert stored_ids(tmp_path, include_open=True) == [1, 2, 3]
    lake.seal(START + HOUR, {"closed_ns": 5})
    assert stored_ids(tmp_path) == [1, 2]
    assert stored_ids(tmp_path, include_open=True) == [1, 2, 3]
    lake.seal(None)
    assert stored_ids(tmp_path) == [1, 2, 3]
    assert not list(tmp_path.rglob("*.open"))
    first, second = Lake(tmp_path).manifests("binance-usdm", "trades", "BTCUSDT")
    assert (first.rows, first.first_id, first.last_id, first.version, first.extra) == (
        2,
        1,
        2,
        1,
        {"closed_ns": 5},
    )
    assert second.rows == 1
    assert audit(tmp_path) == []
    lake.close()


@pytest.mark.scenario("S8", "late rows of a sealed hour: sealed again as a new version")
def test_the_same_rows_again_change_nothing_and_late_ones_make_a_new_version(tmp_path: Path) -> None:
    lake = writer(tmp_path)
    lake.append("trades", rows(range(50)))
    lake.seal(None)
    before = data_files(tmp_path)
    lake.append("trades", rows(range(10, 30)))
    lake.seal(None)
    assert data_files(tmp_path) == before
    lake.append("trades", rows([50]))
    lake.seal(None)
    assert stored_ids(tmp_path) == list(range(51))
    (manifest,) = Lake(tmp_path).manifests("binance-usdm", "trades", "BTCUSDT")
    assert manifest.version == 2
    lake.close()


def test_parts_after_a_mark_are_discarded(tmp_path: Path) -> None:
    lake = writer(tmp_path)
    lake.append("trades", rows([1]))
    lake.flush()
    mark = lake.checkpoint()
    lake.append("trades", rows([2]))
    lake.flush()
    lake.close()
    lake = writer(tmp_path)
    lake.discard_parts_after(mark)
    assert stored_ids(tmp_path, include_open=True) == [1]
    lake.append("trades", rows([2, 3]))
    lake.seal(None)
    assert stored_ids(tmp_path) == [1, 2, 3]
    lake.close()


def test_a_reader_sees_each_row_once_at_any_instant(tmp_path: Path) -> None:
    lake = writer(tmp_path)
    done = threading.Event()
    counted: list[Counter[int]] = []

    def watch() -> None:
        while not done.is_set():
            seen: Counter[int] = Counter()
            for path in tmp_path.rglob("data.parquet"):
                seen.update(pl.read_parquet(path.read_bytes())["trade_id"].to_list())
            counted.append(seen)

    thread = threading.Thread(target=watch)
    thread.start()
    for start in range(0, 600, 20):
        lake.append("trades", rows(range(start, start + 20)))
        lake.flush()
        lake.seal(None)
    done.set()
    thread.join()
    lake.close()
    sizes = [len(seen) for seen in counted]
    assert sizes == sorted(sizes)
    assert all(max(seen.values(), default=1) == 1 for seen in counted)
    assert all(seen.keys() == set(range(len(seen))) for seen in counted)


@pytest.mark.scenario("S1", "killed between any two steps of sealing an hour")
@pytest.mark.parametrize("fail_at", range(1, 6))
def test_killed_between_any_two_steps_of_a_seal(
    tmp_path: Path, fail_at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake = writer(tmp_path)
    lake.append("trades", rows(range(20)))
    lake.flush()
    lake.append("trades", rows(range(20, 30)))
    calls = 0
    original = Path.replace
    unlink = Path.unlink

    def dying(step: Any) -> Any:
        def run(self: Path, *arguments: Any, **options: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == fail_at:
                raise KeyboardInterrupt
            return step(self, *arguments, **options)

        return run

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", dying(original))
        patch.setattr(Path, "unlink", dying(unlink))
        try:
            lake.flush()
            lake.seal(None)
        except KeyboardInterrupt:
            pass
    lake.close()
    again = writer(tmp_path)
    again.append("trades", rows(range(20, 30)))
    again.seal(None)
    again.close()
    assert stored_ids(tmp_path) == list(range(30))
    assert [f for f in audit(tmp_path) if "harmless" not in str(f)] == []


@pytest.mark.scenario("S4", "a full disk harms nothing that was written")
def test_a_full_disk_harms_nothing_that_was_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lake = writer(tmp_path)
    lake.append("trades", rows(range(20)))
    lake.seal(None)
    before = data_files(tmp_path)
    lake.append("trades", rows(range(20, 40)))

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(LakeError, match=r"No space left on device.*--lake"):
            lake.seal(None)
    lake.close()
    assert data_files(tmp_path) == before


@pytest.mark.scenario("S7", "two collectors on one lake: the second is refused")
def test_a_second_writer_of_the_symbol_is_refused(tmp_path: Path) -> None:
    lake = writer(tmp_path)
    with pytest.raises(LakeError, match="another process"):
        writer(tmp_path)
    LakeWriter(tmp_path, "binance-usdm", "ETHUSDT").close()
    lake.close()


@pytest.mark.scenario("S10", "a flipped bit in a sealed file is found by its sum")
def test_audit_finds_damage(tmp_path: Path) -> None:
    lake = writer(tmp_path)
    lake.append("trades", rows([1, 2, 5]))
    lake.append("trades", rows([6], [START + HOUR]))
    lake.seal(None)
    lake.close()
    assert [str(f).split(": ", 1)[1] for f in audit(tmp_path)] == [
        "trade ids 3 to 4 are missing and no gap says so"
    ]
    gap = Gap("BTCUSDT", "trades", START, START + 5, 3, 4, "lost", START, START + 5)
    lake = writer(tmp_path)
    lake.append("gaps", tables.gaps_to_arrow(INSTRUMENT, [gap]))
    lake.seal(None)
    lake.close()
    assert audit(tmp_path) == []
    first, second = sorted(tmp_path.rglob("trades/**/data.parquet"))
    data = bytearray(first.read_bytes())
    data[len(data) // 2] ^= 1
    first.write_bytes(data)
    (second.parent / "_manifest.json").unlink()
    found = " ".join(map(str, audit(tmp_path)))
    assert "changed or damaged" in found
    assert "no manifest" in found


def test_an_empty_folder_is_no_lake(tmp_path: Path) -> None:
    with pytest.raises(LakeError, match="holds no lake"):
        audit(tmp_path / "absent")
