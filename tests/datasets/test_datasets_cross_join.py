"""Features of two markets beside bars: those of the bar itself, and only what was known then."""

from pathlib import Path

import polars as pl
import pytest

from tests.datasets.lake_factory import LATE_NS, START_MS, S, feature_rows, write_rows
from undertow.datasets.bars import SymbolBars
from undertow.datasets.cross_join import CROSS_TABLE, join_cross
from undertow.datasets.feature_tables import read_chosen
from undertow.errors import InputError, LakeError


def cross_rows(count: int, late_ns: int = 0) -> pl.DataFrame:
    """Row i says i."""
    stamps = [START_MS + 1000 * i for i in range(count)]
    return pl.DataFrame(
        {
            "timestamp": stamps,
            "leader_return_1s": [float(i) for i in range(count)],
            "lead_lag_balance": [-float(i) for i in range(count)],
            "known_ns": [stamp * 1_000_000 + S + LATE_NS + late_ns for stamp in stamps],
        }
    )


def symbol_bars(count: int) -> SymbolBars:
    return SymbolBars("BTCUSDT", S, feature_rows(count), "a1")


def test_each_bar_has_its_own_row_and_none_where_there_is_none(tmp_path: Path) -> None:
    write_rows(
        tmp_path, CROSS_TABLE, cross_rows(60).filter(pl.col("timestamp") != START_MS + 7000), timeframe="1s"
    )
    joined, hours = join_cross(symbol_bars(60), tmp_path, "sim", "1s")
    assert joined["leader_return_1s"].to_list() == [float(i) if i != 7 else None for i in range(60)]
    assert joined.columns == ["leader_return_1s", "lead_lag_balance"]
    assert len(hours) == 1


def test_a_row_that_came_later_is_not_seen(tmp_path: Path) -> None:
    write_rows(tmp_path, CROSS_TABLE, cross_rows(60, late_ns=1), timeframe="1s")
    joined, _ = join_cross(symbol_bars(60), tmp_path, "sim", "1s", ["lead_lag_balance"])
    assert joined.columns == ["lead_lag_balance"]
    assert joined["lead_lag_balance"].to_list() == [None, *(-float(i) for i in range(59))]


def test_without_the_table_nothing_is_joined(tmp_path: Path) -> None:
    joined, hours = join_cross(symbol_bars(60), tmp_path, "sim", "1s")
    assert (joined.width, hours) == (0, [])


def test_training_takes_them_by_name(tmp_path: Path) -> None:
    write_rows(tmp_path, "features", feature_rows(60), timeframe="1s")
    with pytest.raises(LakeError, match="undertow features --leader"):
        read_chosen(tmp_path, ["BTCUSDT"], "1s", None, "returns,lead_lag_balance")
    write_rows(tmp_path, CROSS_TABLE, cross_rows(60), timeframe="1s")
    found = read_chosen(tmp_path, ["BTCUSDT"], "1s", None, "returns,lead_lag_balance")
    assert found.features == ["returns", "lead_lag_balance"]
    assert found.bars[0].frame["lead_lag_balance"].to_list() == [-float(i) for i in range(60)]
    assert len(found.files) == 2


def test_hours_of_different_leaders_do_not_mix(tmp_path: Path) -> None:
    rows = cross_rows(7200)
    write_rows(tmp_path, CROSS_TABLE, rows[:3600], timeframe="1s", lineage="with BTC")
    write_rows(tmp_path, CROSS_TABLE, rows[3600:], timeframe="1s", lineage="with ETH")
    with pytest.raises(InputError, match="lineages do not mix"):
        join_cross(symbol_bars(7200), tmp_path, "sim", "1s")
