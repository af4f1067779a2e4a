"""Verifying features finds what differs, and names it."""

import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from tests.runtime.lake_days import FIRST_MIDNIGHT_NS, INSTRUMENT, LENGTHS_NS, write_days

from undertow.lake.layout import HourKey
from undertow.lake.reader import Lake
from undertow.lake.writer import LakeWriter
from undertow.market.time import HOUR_NS
from undertow.runtime.batch import open_history, verify_features, write_features

VENUE, SYMBOL = INSTRUMENT.venue, INSTRUMENT.symbol
KEY = HourKey(VENUE, "features", SYMBOL, "1m", FIRST_MIDNIGHT_NS + HOUR_NS)
BARS = 20_159 + 1_680 + 37


@pytest.fixture(scope="module")
def computed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("computed") / "lake"
    write_days(root)
    write_features(open_history(Lake(root), VENUE, SYMBOL), LENGTHS_NS, lambda hour: None)
    return root


@pytest.fixture
def lake(computed: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(computed, tmp_path / "lake"))


def stored(root: Path) -> pa.Table:
    rows = Lake(root).read_whole(VENUE, "features", SYMBOL, KEY.hour_ns, KEY.end_ns, timeframe="1m")
    assert rows is not None
    return rows


def put(root: Path, rows: pa.Table) -> None:
    writer = LakeWriter(root, VENUE, SYMBOL)
    writer.replace(KEY, rows)
    writer.close()


def with_column(rows: pa.Table, name: str, values: pa.Array) -> pa.Table:
    return rows.set_column(rows.column_names.index(name), name, values)


def test_what_was_computed_is_what_is_computed_again(computed: Path) -> None:
    assert verify_features(Lake(computed)) == (BARS, [])


def test_a_last_bit_and_a_null_are_found_and_the_first_is_named(lake: Path) -> None:
    rows = stored(lake)
    closes = rows["close"].to_numpy().copy()
    closes[[7, 9]] = np.nextafter(closes[[7, 9]], np.inf)
    ranges = [None if row == 3 else value for row, value in enumerate(rows["high"].to_pylist())]
    put(lake, with_column(with_column(rows, "close", pa.array(closes)), "high", pa.array(ranges)))
    compared, wrong = verify_features(Lake(lake))
    assert compared == BARS
    high, close = sorted(wrong, key=lambda text: "close" in text)
    stamp = rows["timestamp"][7].as_py()
    assert close.startswith(f"{VENUE} {SYMBOL} features 1m: close differs in 2 bars, first at {stamp}: ")
    assert "high differs in 1 bars" in high
    assert "None stored" in high


def test_a_bar_that_lacks_or_should_not_be_there_is_found(lake: Path) -> None:
    rows = stored(lake)
    put(lake, rows.slice(1))
    assert verify_features(Lake(lake)) == (
        BARS - 1,
        [f"{VENUE} {SYMBOL} features 1m: 1679 bars stored, 1680 computed, or other opens"],
    )


def test_bars_behind_the_last_one_are_found(lake: Path) -> None:
    rows = stored(lake).slice(0, 1)
    late = KEY.hour_ns + 100 * HOUR_NS
    put_at = HourKey(VENUE, "features", SYMBOL, "1m", late)
    writer = LakeWriter(lake, VENUE, SYMBOL)
    writer.replace(put_at, with_column(rows, "timestamp", pa.array([late // 10**6])))
    writer.close()
    _, wrong = verify_features(Lake(lake))
    assert wrong == [f"{VENUE} {SYMBOL} features 1m: 1681 bars stored, 1680 computed, or other opens"]


def test_a_column_that_lacks_is_named(lake: Path) -> None:
    for hour_ns in Lake(lake).hours(VENUE, "features", SYMBOL, "45m"):
        key = HourKey(VENUE, "features", SYMBOL, "45m", hour_ns)
        rows = next(Lake(lake).read(VENUE, "features", SYMBOL, hour_ns, key.end_ns, timeframe="45m"))
        writer = LakeWriter(lake, VENUE, SYMBOL)
        writer.replace(key, rows.drop_columns(["vwap"]))
        writer.close()
    assert verify_features(Lake(lake))[1] == [f"{VENUE} {SYMBOL} features 45m: column vwap is not stored"]
