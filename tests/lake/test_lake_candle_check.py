import polars as pl
import pytest
from tests.faults.harness import Outcome, Scenario, play

from undertow.lake.candle_check import check_candles
from undertow.lake.files import read_table, write_table
from undertow.venues.simulated.faults import Fault

KINDS = ("trades", "depth", "klines")


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """Four minutes, with trades that were skipped and repaired in the second."""
    lost = Fault(at_s=100.0, kind="drop", stream="btcusdt@aggTrade", count=6)
    scenario = Scenario([lost], symbols=("BTCUSDT",), seconds=250.0, speed=60.0, kinds=KINDS)
    return play(scenario, tmp_path_factory.mktemp("candles"))


@pytest.mark.scenario(
    "T10", "the trades of each whole minute add up to the exchange's own candle, repaired ones included"
)
def test_trades_add_up_to_the_candles(outcome: Outcome) -> None:
    assert outcome.table("klines").height >= 3
    assert outcome.table("aggtrades").filter(pl.col("source") == "rest").height == 6
    assert list(check_candles(outcome.folder / "lake")) == []


@pytest.mark.scenario("T10", "a minute that does not add up is reported")
def test_a_missing_trade_is_reported(outcome: Outcome) -> None:
    (path,) = (outcome.folder / "lake" / "sim" / "aggtrades" / "BTCUSDT").rglob("data.parquet")
    rows = read_table(path)
    middle = rows.num_rows // 2
    whole = path.read_bytes()
    try:
        write_table(path, rows.take([i for i in range(rows.num_rows) if i != middle]))
        (finding,) = check_candles(outcome.folder / "lake")
    finally:
        path.write_bytes(whole)
    assert "1 minutes do not add up" in finding.message
