"""The recorded captures, end to end through the command line, against an independent computation."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pytest

from tests.captures import reference

COMMAND = [sys.executable, "-m", "undertow"]


def undertow(*arguments: str | Path, code: int = 0) -> dict[str, Any]:
    done = subprocess.run(
        [*COMMAND, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "COLUMNS": "200"},
    )
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    result: dict[str, Any] = json.loads(done.stdout) if "--json" in arguments else {}
    return {**result, "stderr": done.stderr}


@pytest.fixture(scope="module")
def usdm(data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    lake = tmp_path_factory.mktemp("usdm") / "lake"
    result = undertow("replay", data / "captures/usdm-btcusdt_20240808.gz", "--lake", lake, "--json")
    return lake, result


@pytest.fixture(scope="module")
def spot(data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    lake = tmp_path_factory.mktemp("spot") / "lake"
    files = [data / f"captures/spot-btcusdt_2024080{day}.gz" for day in (8, 9)]
    result = undertow("replay", *files, "--venue", "binance-spot", "--lake", lake, "--json")
    return lake, result


def stored(lake: Path, table: str) -> pd.DataFrame:
    return pl.read_parquet(f"{lake}/*/{table}/*/*/*/*/data.parquet", hive_partitioning=False).to_pandas()


def test_usdm_capture_is_complete(usdm: tuple[Path, dict[str, Any]]) -> None:
    lake, result = usdm
    assert result["trades"] == 21_313
    assert result["gaps"] == 0
    assert result["book"] == "synced"
    assert result["late_trades"] == 0
    assert not result["unknown_types"]
    assert not result["unknown_fields"]
    trades = stored(lake, "trades/BTCUSDT")
    assert len(trades) == 21_313
    assert trades["trade_id"].is_unique
    book = stored(lake, "book_depth/BTCUSDT")
    assert len(book) > 680
    assert (book["spread"] > 0).all()
    assert (np.diff(book["timestamp"]) == 500).all()
    assert (book["bids"].map(len) == 20).all()
    assert (stored(lake, "l2/BTCUSDT")["asks"].map(len) == 100).all()


def test_duckdb_polars_and_pandas_read_with_one_glob(usdm: tuple[Path, dict[str, Any]]) -> None:
    lake, _ = usdm
    glob = f"{lake}/binance-usdm/trades/BTCUSDT/*/*/*/*/data.parquet"
    query = "select count(*), sum(quantity) from read_parquet(?)"
    by_duckdb = duckdb.connect().execute(query, [glob]).fetchone()
    by_polars = (
        pl.scan_parquet(glob, hive_partitioning=False).select(pl.len(), pl.sum("quantity")).collect().row(0)
    )
    by_pandas = pd.read_parquet(f"{lake}/binance-usdm/trades/BTCUSDT", columns=["quantity"])
    assert by_duckdb is not None
    assert by_duckdb[0] == by_polars[0] == len(by_pandas) == 21_313
    assert by_duckdb[1] == pytest.approx(by_polars[1])


INTEGERS = ["trade_count", "large_trade_count"]
TRADE_COLUMNS = [
    *("open", "high", "low", "close", "volume", "returns", "log_returns"),
    *("buy_volume", "sell_volume", "vol_delta", "cvd", "vwap", "buy_pressure"),
    *("trade_intensity_1s", "trade_intensity_5s", "trade_intensity_10s"),
    *("large_trade_volume", "large_trade_pct"),
]
BOOK_COLUMNS = [
    *(f"imbalance_{depth}" for depth in (5, 10, 20)),
    *(f"imbalance_{depth}_avg" for depth in (5, 10, 20)),
    *("spread_avg", "spread_std", "bid_slope", "ask_slope", "weighted_mid", "weighted_mid_price_diff_bps"),
    *("bid_vol_ratio_5_20", "ask_vol_ratio_5_20", "ofi_1", "ofi_10"),
]


def compare(stored_bars: pd.DataFrame, expected: pd.DataFrame, columns: list[str], scale: float = 0.0) -> int:
    """Bars in both agree to 1e-9 relative, or to 1e-9 of the largest value where sums cancel."""
    both = stored_bars.index.intersection(expected.index)
    for name in columns:
        found, wanted = stored_bars.loc[both, name].astype(float), expected.loc[both, name].astype(float)
        assert found.isna().equals(wanted.isna()), name
        tolerance = 1e-9 * float(wanted.abs().max() or 0.0)
        np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=max(tolerance, scale), err_msg=name)
    return len(both)


@pytest.mark.parametrize(("timeframe", "length_ms", "at_least"), [("1s", 1000, 330), ("1m", 60_000, 4)])
@pytest.mark.parametrize("market", ["usdm", "spot"])
def test_features_equal_an_independent_computation(
    request: pytest.FixtureRequest, data: Path, market: str, timeframe: str, length_ms: int, at_least: int
) -> None:
    lake, _ = request.getfixturevalue(market)
    names = (
        ["usdm-btcusdt_20240808"] if market == "usdm" else ["spot-btcusdt_20240808", "spot-btcusdt_20240809"]
    )
    recorded = reference.read([data / f"captures/{name}.gz" for name in names], spot=market == "spot")
    bars = stored(lake, f"features/BTCUSDT/{timeframe}").set_index("timestamp")
    trade_bars = reference.trade_bars(recorded, length_ms)
    assert compare(bars, trade_bars, TRADE_COLUMNS) >= at_least
    both = bars.index.intersection(trade_bars.index)
    for name in INTEGERS:
        assert (bars.loc[both, name].astype(int) == trade_bars.loc[both, name].astype(int)).all()
    book_bars = reference.book_bars(recorded, length_ms, trade_bars["close"])
    assert compare(bars, book_bars, BOOK_COLUMNS, scale=1e-8) >= at_least - 2


def test_spot_crosses_midnight(spot: tuple[Path, dict[str, Any]]) -> None:
    lake, result = spot
    assert result["gaps"] == 0
    assert result["book"] == "synced"
    hours = sorted(path.parent.name for path in lake.rglob("trades/BTCUSDT/**/data.parquet"))
    assert hours == ["hour=00", "hour=23"]
    bars = stored(lake, "features/BTCUSDT/1s").set_index("timestamp")
    midnight = int(pd.Timestamp("2024-08-09", tz="UTC").timestamp() * 1000)
    assert bars.loc[midnight, "cvd"] == pytest.approx(bars.loc[midnight, "vol_delta"])
    assert abs(bars.loc[midnight - 1000, "cvd"]) > abs(bars.loc[midnight, "cvd"])


@pytest.mark.parametrize(
    ("files", "venue", "trades", "deltas"),
    [
        (("usdm-btcusdt_20230404", "usdm-btcusdt_20230405"), "binance-usdm", 2197 + 10738, 4322 + 11788),
        (("spot-ethbtc_20201101-09",), "binance-spot", 1736, 3600),
    ],
)
def test_other_captures(
    data: Path, tmp_path: Path, files: tuple[str, ...], venue: str, trades: int, deltas: int
) -> None:
    paths = [data / f"captures/{name}.gz" for name in files]
    result = undertow("replay", *paths, "--venue", venue, "--lake", tmp_path / "lake", "--json")
    assert result["trades"] == trades
    assert result["by_kind"]["delta"] == deltas
    assert result["gaps"] == 0
    assert result["book"] == "synced"
    undertow("verify", "--lake", tmp_path / "lake", "--features")


def test_insurance_fund_print_is_stored_flagged_and_left_out_of_flow(data: Path, tmp_path: Path) -> None:
    paths = [data / f"captures/usdm-btcusdt_2023040{day}.gz" for day in (4, 5)]
    undertow("replay", *paths, "--lake", tmp_path / "lake", "--json")
    trades = stored(tmp_path / "lake", "trades/BTCUSDT")
    others = trades[trades["order_type"] != "MARKET"]
    assert others["order_type"].tolist() == ["INSURANCE_FUND"]
    second = int(others["timestamp"].iloc[0]) // 1000 * 1000
    bars = stored(tmp_path / "lake", "features/BTCUSDT/1s").set_index("timestamp")
    inside = trades[(trades["timestamp"] // 1000 * 1000 == second) & (trades["order_type"] == "MARKET")]
    assert bars.loc[second, "trade_count"] == len(inside)


def test_batch_features_equal_live_ones_and_verify_proves_it(
    usdm: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    lake, _ = usdm
    found = undertow("verify", "--lake", lake, "--features", "--json")
    assert found["findings"] == 0
    assert found["feature_rows_compared"] > 340
    before = {path: path.read_bytes() for path in lake.rglob("features/**/data.parquet")}
    undertow("features", "--lake", lake, "--json")
    assert {path: path.read_bytes() for path in lake.rglob("features/**/data.parquet")} == before


def test_a_second_replay_changes_nothing(data: Path, usdm: tuple[Path, dict[str, Any]]) -> None:
    lake, _ = usdm
    before = {path: path.read_bytes() for path in lake.rglob("data.parquet")}
    undertow("replay", data / "captures/usdm-btcusdt_20240808.gz", "--lake", lake, "--json")
    assert {path: path.read_bytes() for path in lake.rglob("data.parquet")} == before
