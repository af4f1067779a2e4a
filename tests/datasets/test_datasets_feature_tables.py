from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tests.datasets.lake_factory import feature_rows, l2_rows, write_rows
from undertow.datasets.feature_tables import (
    default_features,
    feature_files,
    file_hashes,
    read_chosen,
    read_symbol_bars,
)
from undertow.errors import InputError, LakeError


def write(lake: Path, venue: str, hour: int, first: int, **extra: Any) -> None:
    folder = lake / venue / "features" / "BTCUSDT" / "1s" / "2024" / "08" / "08" / f"hour={hour:02d}"
    folder.mkdir(parents=True)
    columns: dict[str, Any] = {
        "timestamp": [first, first + 1000],
        "known_ns": [1, 2],
        "gap_fraction": [0.0, 0.0],
    }
    quotes = {"best_bid": [1.0, 1.0], "best_ask": [2.0, 2.0], "mid_price": [1.5, 1.5]}
    pl.DataFrame({**columns, **quotes, "close": [1.0, 1.0], "ofi_1": [1.0, 2.0], **extra}).write_parquet(
        folder / "data.parquet"
    )


def test_hours_are_joined_in_time_order(tmp_path: Path) -> None:
    write(tmp_path, "sim", 11, 2000)
    write(tmp_path, "sim", 10, 0, new=[7, None])
    files = feature_files(tmp_path, "BTCUSDT", "1s")
    bars = read_symbol_bars(files, "BTCUSDT", "1s")
    assert bars.frame["timestamp"].to_list() == [0, 1000, 2000, 3000]
    assert bars.length_ns == 1_000_000_000
    assert len(file_hashes(files)) == 2
    assert default_features([bars]) == ["ofi_1", "new"]


def test_no_table_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(LakeError, match="undertow features"):
        feature_files(tmp_path, "BTCUSDT", "1s")


def test_two_venues_must_be_told_apart(tmp_path: Path) -> None:
    write(tmp_path, "sim", 10, 0)
    write(tmp_path, "bybit-linear", 10, 0)
    with pytest.raises(LakeError, match="--venue"):
        feature_files(tmp_path, "BTCUSDT", "1s")
    assert len(feature_files(tmp_path, "BTCUSDT", "1s", "sim")) == 1


def test_a_broken_file_is_said(tmp_path: Path) -> None:
    write(tmp_path, "sim", 10, 0)
    files = feature_files(tmp_path, "BTCUSDT", "1s")
    files[0].write_bytes(b"PAR1 and then nothing")
    with pytest.raises(LakeError, match="cannot be read"):
        read_symbol_bars(files, "BTCUSDT", "1s")


def test_chosen_columns_of_the_deep_book_come_as_the_decision_knew_them(tmp_path: Path) -> None:
    write_rows(tmp_path, "features", feature_rows(60), timeframe="1s")
    write_rows(tmp_path, "l2_features", l2_rows(61))
    found = read_chosen(tmp_path, ["BTCUSDT"], "1s", None, "returns,l2_net_pressure,l2_bid_price_norm_2")
    assert found.features == ["returns", "l2_net_pressure", "l2_bid_price_norm_2"]
    (bars,) = found.bars
    assert bars.frame["l2_net_pressure"].to_list() == list(range(60)), "the sample that ends the bar"
    assert bars.frame["l2_bid_price_norm_2"][7] == pytest.approx(7.001)
    assert {path.parts[-6] for path in found.files} == {"1s", "BTCUSDT"}


def test_without_a_choice_all_suitable_columns_are_taken(tmp_path: Path) -> None:
    write_rows(tmp_path, "features", feature_rows(60), timeframe="1s")
    found = read_chosen(tmp_path, ["BTCUSDT"], "1s", "sim", None)
    assert found.features == default_features(found.bars) == ["returns", "vol_delta"]
    assert len(found.files) == 1


def test_what_cannot_be_chosen_says_what_to_do(tmp_path: Path) -> None:
    write_rows(tmp_path, "features", feature_rows(60), timeframe="1s")
    with pytest.raises(LakeError, match="features --l2"):
        read_chosen(tmp_path, ["BTCUSDT"], "1s", None, "l2-optimized")
    with pytest.raises(InputError, match="sets are debate-2024"):
        read_chosen(tmp_path, ["BTCUSDT"], "1s", None, "best")
    with pytest.raises(InputError, match="--symbols"):
        read_chosen(tmp_path, [], "1s", None, None)
