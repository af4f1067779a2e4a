from pathlib import Path

import msgspec
import polars as pl
import pytest

from tests.datasets.lake_factory import START_MS, S, feature_rows, write_rows
from undertow.datasets.build import DatasetSettings, build_dataset
from undertow.datasets.feature_tables import feature_files, read_symbol_bars
from undertow.datasets.sources import (
    lineage_of,
    one_lineage,
    read_hours,
    same_lineage,
    source_hours,
    venue_of,
)
from undertow.errors import InputError, LakeError
from undertow.lake.files import Manifest, read_manifest, sha256_of
from undertow.lake.layout import MANIFEST

HOUR_S = 3600


def test_hours_carry_what_their_manifests_say(tmp_path: Path) -> None:
    write_rows(tmp_path, "features", feature_rows(20, START_MS - 10_000), timeframe="1s")
    hours = source_hours(tmp_path, "sim", "features", "BTCUSDT", "1s")
    assert [hour.rows for hour in hours] == [10, 10]
    assert [hour.sha256 for hour in hours] == [sha256_of(hour.path) for hour in hours]
    assert one_lineage(hours) == "a1"
    later = source_hours(tmp_path, "sim", "features", "BTCUSDT", "1s", START_MS * 1_000_000)
    assert later == hours[1:]


def test_without_a_manifest_rows_and_hash_come_from_the_file(tmp_path: Path) -> None:
    (data,) = write_rows(tmp_path, "features", feature_rows(7), timeframe="1s")
    (data.parent / MANIFEST).unlink()
    (hour,) = source_hours(tmp_path, "sim", "features", "BTCUSDT", "1s")
    assert (hour.rows, hour.sha256, hour.lineage) == (7, sha256_of(data), "unrecorded")


def test_a_lineage_may_be_recorded_by_table(tmp_path: Path) -> None:
    (data,) = write_rows(tmp_path, "features", feature_rows(3), timeframe="1s", lineage=None)
    assert lineage_of(data) == "unrecorded, code 0.1.0"
    manifest = read_manifest(data.parent / MANIFEST)
    assert isinstance(manifest, Manifest)
    both = msgspec.structs.replace(manifest, extra={"lineage": {"features": "f", "l2_features": "l"}})
    (data.parent / MANIFEST).write_bytes(msgspec.json.encode(both))
    assert (lineage_of(data), lineage_of(data, "l2_features")) == ("f", "l")
    assert lineage_of(data, "other") == "unrecorded, code 0.1.0"


def test_lineages_that_differ_are_both_named() -> None:
    assert same_lineage({}) == "unrecorded"
    assert same_lineage({"first": "x", "second": "x"}) == "x"
    with pytest.raises(InputError, match=r"first was computed by x, third by y"):
        same_lineage({"first": "x", "second": "x", "third": "y"})


def test_hours_are_read_within_bounds_and_columns(tmp_path: Path) -> None:
    write_rows(tmp_path, "features", feature_rows(20, START_MS - 10_000), timeframe="1s")
    hours = source_hours(tmp_path, "sim", "features", "BTCUSDT", "1s")
    bounds = (START_MS - 2000) * 1_000_000 + 1, (START_MS + 2000) * 1_000_000
    frame = read_hours(hours, ["timestamp", "returns", "no_such_column"], *bounds)
    assert frame.columns == ["timestamp", "returns"]
    assert frame["timestamp"].to_list() == [START_MS - 1000, START_MS, START_MS + 1000]


def test_a_broken_hour_is_named(tmp_path: Path) -> None:
    (data,) = write_rows(tmp_path, "features", feature_rows(5), timeframe="1s")
    data.write_bytes(b"PAR1 and then nothing")
    hours = source_hours(tmp_path, "sim", "features", "BTCUSDT", "1s")
    with pytest.raises(LakeError, match=r"features of BTCUSDT .*undertow verify"):
        read_hours(hours)


def test_the_venue_is_found_or_asked_for(tmp_path: Path) -> None:
    write_rows(tmp_path, "features", feature_rows(5), timeframe="1s")
    assert venue_of(tmp_path, "features", "BTCUSDT", None) == "sim"
    (tmp_path / "binance-usdm" / "features" / "BTCUSDT").mkdir(parents=True)
    assert venue_of(tmp_path, "features", "BTCUSDT", "sim") == "sim"
    with pytest.raises(LakeError, match="--venue"):
        venue_of(tmp_path, "features", "BTCUSDT", None)
    with pytest.raises(LakeError, match="no table features"):
        venue_of(tmp_path / "nowhere", "features", "BTCUSDT", None)


def test_what_trains_a_model_does_not_mix_lineages_either(tmp_path: Path) -> None:
    for symbol, lineage in (("A", "x"), ("B", "y")):
        write_rows(tmp_path, "features", feature_rows(30), symbol, "1s", lineage)
    bars = [read_symbol_bars(feature_files(tmp_path, name, "1s"), name, "1s") for name in ("A", "B")]
    assert [symbol.lineage for symbol in bars] == ["x", "y"]
    with pytest.raises(InputError, match="A was computed by x, B by y"):
        build_dataset(bars, ["returns"], DatasetSettings(5 * S))
    write_rows(tmp_path, "features", feature_rows(30, START_MS + HOUR_S * 1000), "A", "1s", "y")
    with pytest.raises(InputError, match=r"hour=00.* by x.*hour=01.* by y"):
        read_symbol_bars(feature_files(tmp_path, "A", "1s"), "A", "1s")
    assert pl.read_parquet(feature_files(tmp_path, "A", "1s")).height == 60
