"""`undertow collect` on Bybit: what it accepts, and a whole collection of the simulated exchange."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from undertow.cli.main import build
from undertow.errors import InputError


def arguments(folder: Path, *more: str) -> list[str]:
    return ["collect", *more, "--lake", str(folder / "lake"), "--journal", str(folder / "journal")]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["--venue", "bybit"], "choose one of binance-usdm, binance-spot, sim, bybit-linear, sim-bybit"),
        (["--venue", "sim-bybit"], "needs the simulator's address"),
        (["--venue", "bybit-linear", "--take-over"], "--take-over is not available for bybit-linear"),
        (["--venue", "bybit-linear", "--follow-listings", "USDT"], "--follow-listings is not available"),
        (["--venue", "bybit-linear", "--streams", "depth_fastest"], "cannot be collected"),
    ],
)
def test_what_cannot_be_done_is_explained(tmp_path: Path, given: list[str], words: str) -> None:
    called = arguments(tmp_path, *given)
    done = CliRunner().invoke(build(called), called)
    assert isinstance(done.exception, InputError)
    assert words in str(done.exception)
    assert not (tmp_path / "journal").exists()


def test_the_simulated_exchange_is_collected(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "undertow.venues.simulated_bybit.server"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            url = json.loads(server.stdout.readline())["url"]
            market = ["--venue", "sim-bybit", "--url", url, "--symbols", "BTCUSDT"]
            called = arguments(tmp_path, *market, "--duration", "5", "--json")
            done = CliRunner().invoke(build(called), called)
        finally:
            os.kill(server.pid, signal.SIGTERM)
    assert done.exception is None, done.output
    summary = json.loads(done.output.strip().splitlines()[-1])
    assert (summary["venue"], summary["symbols"], summary["alarms"]) == ("sim-bybit", ["BTCUSDT"], [])
    assert summary["counters"]["connections"] == 2
    for table in ("trades", "book_depth", "mark_price", "open_interest", "funding_rate"):
        assert list((tmp_path / "lake" / "sim-bybit" / table / "BTCUSDT").rglob("*.parquet")), table
