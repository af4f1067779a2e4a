"""Faults of operation (PROTOCOL, list X) against collectors over real sockets."""

import asyncio
import gzip
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.faults.harness import COLLECTING, FAST, Scenario, files, play
from undertow.frames.sampler import SamplerSettings
from undertow.journal.reader import segments
from undertow.runtime.collection import collect
from undertow.runtime.polling import PollingSettings
from undertow.runtime.recorder import SymbolRecorder
from undertow.venues.binance.endpoints import endpoints_for
from undertow.venues.simulated.capture import frames
from undertow.venues.simulated.faults import Fault
from undertow.venues.simulated.server import Server
from undertow.venues.simulated.settings import DEFAULT_START_MS

THREE = ("BTCUSDT", "ETHUSDT", "SOLUSDT")


async def until(server: Server, seconds: float) -> None:
    """Wait for a simulated time."""
    while server.exchange.now_ms < DEFAULT_START_MS + 1000 * seconds:
        await asyncio.sleep(0.01)


@pytest.mark.scenario(
    "X2", "rolling upgrade: the new process receives before the old one stops; no id is missing"
)
def test_take_over(tmp_path: Path) -> None:
    scenario = Scenario(options={"takes_over": True}, seconds=90.0)

    async def first(server: Server) -> None:
        await collect(
            endpoints_for("sim", server.url),
            scenario.symbols,
            scenario.kinds,
            lambda i: SymbolRecorder(i, SamplerSettings(), tmp_path / "lake", tmp_path / "journal"),
            duration_s=1.5,
            settings=COLLECTING,
            feed_settings=FAST,
        )

    async def beside(server: Server, group: asyncio.TaskGroup) -> None:
        group.create_task(first(server))
        while not all(segments(tmp_path / "journal", "sim", symbol) for symbol in scenario.symbols):
            await asyncio.sleep(0.01)

    outcome = play(scenario, tmp_path, beside)
    outcome.check(untouched=scenario.symbols)
    for symbol in scenario.symbols:
        ids = outcome.table("aggtrades", symbol)["trade_id"]
        assert sorted(ids.to_list()) == list(range(ids.min(), ids.max() + 1))  # type: ignore[arg-type, operator]
        lines = b"".join(path.read_bytes() for path in segments(tmp_path / "journal", "sim", symbol))
        assert lines, "both wrote the same journal"
    assert outcome.books == {"BTCUSDT": "synced", "ETHUSDT": "synced"}


@pytest.mark.scenario("X3", "the list of symbols is read again: one comes, one goes, the other never notices")
def test_reload(tmp_path: Path) -> None:
    listed = tmp_path / "symbols.txt"
    listed.write_text("BTCUSDT\nETHUSDT\n")
    scenario = Scenario(symbols=THREE, options={"symbols_file": listed})

    async def change(server: Server) -> None:
        await until(server, 20.0)
        listed.write_text("# less and more\nBTCUSDT, SOLUSDT\n")
        signal.raise_signal(signal.SIGHUP)

    async def beside(server: Server, group: asyncio.TaskGroup) -> None:
        group.create_task(change(server))

    outcome = play(scenario, tmp_path, beside)
    assert outcome.counters["added_symbols"] == outcome.counters["removed_symbols"] == 1
    assert outcome.counters.get("unrouted_frames", 0) == 0
    assert outcome.gaps("depth") == outcome.gaps("aggtrades") == []
    outcome.check_derivation()
    for symbol in THREE:
        outcome.check_trades(symbol)
    ends = {symbol: outcome.table("aggtrades", symbol)["timestamp"].max() for symbol in THREE}
    starts = {symbol: outcome.table("aggtrades", symbol)["timestamp"].min() for symbol in THREE}
    assert ends["ETHUSDT"] < DEFAULT_START_MS + 40_000 < ends["BTCUSDT"]  # type: ignore[operator]
    assert starts["SOLUSDT"] > DEFAULT_START_MS + 20_000  # type: ignore[operator]
    assert outcome.books["SOLUSDT"] == "synced"


@pytest.mark.scenario("X3", "a list that cannot be used changes nothing, and it is said why")
def test_reload_of_a_bad_list(tmp_path: Path) -> None:
    listed = tmp_path / "symbols.txt"
    listed.write_text("BTCUSDT\n")

    async def change(server: Server) -> None:
        await until(server, 20.0)
        listed.write_text("BTCUSDT\nNOSUCHUSDT\n")
        signal.raise_signal(signal.SIGHUP)

    async def beside(server: Server, group: asyncio.TaskGroup) -> None:
        group.create_task(change(server))

    outcome = play(Scenario(symbols=("BTCUSDT",), options={"symbols_file": listed}), tmp_path, beside)
    outcome.check(untouched=["BTCUSDT"])
    assert "the list of symbols was not taken over: sim: no symbol NOSUCHUSDT" in outcome.alarms


@pytest.mark.scenario("R12", "a symbol begins to trade while collecting, and is collected from then on")
def test_a_new_listing_is_followed(tmp_path: Path) -> None:
    listed = tmp_path / "symbols.txt"
    listed.write_text("BTCUSDT\n")
    faults = [
        Fault(at_s=0.0, kind="delist", symbol="ETHUSDT"),
        Fault(at_s=25.0, kind="status_change", symbol="ETHUSDT", status="TRADING"),
    ]
    scenario = Scenario(
        faults=faults,
        seconds=90.0,
        options={"symbols_file": listed, "follow": "USDT"},
        polling=PollingSettings(listings_every_s=0.1),
    )
    outcome = play(scenario, tmp_path)
    assert outcome.counters["new_listings"] == outcome.counters["added_symbols"] == 1
    assert outcome.table("aggtrades", "ETHUSDT").height > 10
    assert outcome.books["ETHUSDT"] == "synced"
    assert outcome.gaps("depth") == []


@pytest.mark.scenario("R10", "funding is settled every 4 instead of 8 hours: an event, an alarm, new rates")
def test_a_funding_interval_changes(tmp_path: Path) -> None:
    shorter = Fault(at_s=20.0, kind="funding_interval", symbol="BTCUSDT", hours=4)
    polling = PollingSettings(listings_every_s=0.1, funding_every_s=0.2)
    scenario = Scenario(faults=[shorter], polling=polling, kinds=("trades", "depth", "mark", "funding"))
    outcome = play(scenario, tmp_path)
    outcome.check(untouched=["ETHUSDT"])
    (row,) = outcome.table("instruments").to_dicts()
    assert (row["change"], row["before"], row["after"]) == ("funding interval", "8 h", "4 h")
    assert "another funding interval: 4 h, before 8 h" in outcome.alarms
    assert outcome.table("mark_price")["next_funding_ms"].n_unique() >= 1


@pytest.mark.scenario("R4", "REST answers come without weight headers: our own count holds the limit")
def test_without_headers(tmp_path: Path) -> None:
    bare = Fault(at_s=0.0, kind="no_headers", for_s=1000.0)
    outcome = play(replace(Scenario(), faults=[bare]), tmp_path)
    outcome.check(untouched=["BTCUSDT", "ETHUSDT"])
    assert all(name == "synced" for name in outcome.books.values())


@pytest.mark.scenario("R10", "the funding rate comes as empty text: the price is stored, the rate is unknown")
def test_an_empty_funding_rate(tmp_path: Path) -> None:
    empty = Fault(at_s=20.0, kind="empty_field", stream="btcusdt@markPrice@1s", field="r", count=5)
    outcome = play(replace(Scenario(), faults=[empty]), tmp_path)
    outcome.check(untouched=["BTCUSDT", "ETHUSDT"])
    assert outcome.table("mark_price")["funding_rate"].null_count() == 5
    assert outcome.table("mark_price")["mark_price"].null_count() == 0


@pytest.mark.scenario("K5", "times come in microseconds instead of milliseconds: told apart by magnitude")
def test_times_in_microseconds(tmp_path: Path) -> None:
    names = ("*@aggTrade", "*@depth*")
    faults = [Fault(at_s=20.0, kind="microseconds", stream=name, count=50) for name in names]
    outcome = play(replace(Scenario(), faults=faults), tmp_path)
    outcome.check(untouched=["BTCUSDT", "ETHUSDT"])


@pytest.mark.scenario("K3", "the host is in a zone whose clocks change: everything stays in UTC")
def test_a_zone_with_daylight_saving(tmp_path: Path) -> None:
    """The hour that New York's clocks show twice, derived in a process that lives there."""
    capture = tmp_path / "capture.gz"
    night_ns = 1_730_613_580_000 * 10**6  # 2024-11-03 05:59:40 UTC, 20 seconds before the clocks go back
    with gzip.open(capture, "wb") as file:
        for stamp, frame in frames(["BTCUSDT"], seed=3, seconds=40.0, start_ns=night_ns):
            file.write(b"%d %b\n" % (stamp, frame))
    made = {}
    for zone in ("UTC", "America/New_York"):
        lake = tmp_path / zone.replace("/", "-")
        command = [sys.executable, "-m", "undertow", "replay", str(capture), "--lake", str(lake)]
        command += ["--venue", "sim", "--symbol", "BTCUSDT"]
        done = subprocess.run(
            command, env={**os.environ, "TZ": zone}, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        made[zone] = files(lake)
    assert made["UTC"]
    assert made["UTC"] == made["America/New_York"]
