"""Faults of trades and REST (PROTOCOL, lists T and R) against a collector over real sockets."""

from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from tests.faults.harness import COLLECTING, FAST, Outcome, Scenario, play
from undertow.lake.quality import audit
from undertow.runtime.repair import RepairSettings
from undertow.venues.simulated.faults import Fault

TRADES = "btcusdt@aggTrade"
LOST = Fault(at_s=20.0, kind="drop", stream=TRADES, count=5)


def scenario(identity: str, text: str) -> pytest.MarkDecorator:
    return pytest.mark.scenario(identity, text)


def from_rest(outcome: Outcome) -> pl.DataFrame:
    return outcome.table("aggtrades").filter(pl.col("source") == "rest")


@scenario(
    "T1", "five trades missing inside a connection: had from REST by id, with source and time of coming"
)
def test_missing_trades_are_repaired(tmp_path: Path) -> None:
    outcome = play(Scenario([LOST]), tmp_path)
    outcome.check(untouched=["ETHUSDT"])
    rows = from_rest(outcome)
    assert rows.height == 5
    (gap,) = outcome.gaps("aggtrades")
    assert rows["trade_id"].sort().to_list() == list(
        range(int(str(gap["first_id"])), int(str(gap["last_id"])) + 1)
    )
    streamed = outcome.table("aggtrades").filter(pl.col("source") == "stream")
    after = streamed.filter(pl.col("trade_id") > rows["trade_id"].max())
    assert rows["received_ns"].min() > after.sort("trade_id")["received_ns"][0], "known only when it came"
    assert rows["is_late"].all(), "no bar is told of what it could not have known"
    (whole,) = [r for r in outcome.coverage("aggtrades", "complete by id chain") if r["repaired_ns"]]
    assert whole["cause"] == "repaired from rest"


@scenario("T2", "trades missing over a reconnect: repaired")
def test_trades_missed_over_a_reconnect(tmp_path: Path) -> None:
    faults = [
        Fault(at_s=20.0, kind="reset", route="market"),
        Fault(at_s=20.0, kind="refuse_connections", for_s=10.0),
    ]
    outcome = play(Scenario(faults), tmp_path)
    outcome.check()
    assert from_rest(outcome).height > 5


@scenario("T3", "REST has nothing of a range any more: it stays a gap, and it is said")
@scenario("T4", "REST answers with nothing: the range stays open")
def test_what_rest_does_not_give_stays_a_gap(tmp_path: Path) -> None:
    empty = Fault(at_s=0.0, kind="empty_answer", endpoint="aggTrades", for_s=1000.0)
    collecting = replace(COLLECTING, repair=RepairSettings(every_s=0.02, pause_s=0.01, attempts=3))
    outcome = play(Scenario([LOST, empty], collecting=collecting), tmp_path)
    outcome.check(untouched=["ETHUSDT"])
    assert from_rest(outcome).is_empty()
    assert len(outcome.coverage("aggtrades", "gap")) == 1
    assert "stay a gap" in outcome.alarms


@scenario("T4", "REST answers with a part of the range: asked again until it is whole")
def test_partial_answers(tmp_path: Path) -> None:
    partial = Fault(at_s=0.0, kind="partial_answer", endpoint="aggTrades", count=2)
    outcome = play(Scenario([LOST, partial]), tmp_path)
    outcome.check(untouched=["ETHUSDT"])
    assert from_rest(outcome).height == 5


@scenario(
    "T5", "single trades left out of the aggregates, whose ids stay consecutive: detected, had from REST"
)
def test_single_trades_missing_from_aggregates(tmp_path: Path) -> None:
    outcome = play(
        Scenario([Fault(at_s=t_s, kind="partial_range", symbol="BTCUSDT", count=3) for t_s in (20.0, 40.0)]),
        tmp_path,
    )
    gaps = outcome.gaps("aggtrades singles")
    assert len(gaps) >= 1
    assert all(int(str(g["last_id"])) >= int(str(g["first_id"])) > 0 for g in gaps)
    wanted = [
        identity
        for gap in gaps
        for identity in range(int(str(gap["first_id"])), int(str(gap["last_id"])) + 1)
    ]
    found = outcome.table("trades")
    assert (
        found["trade_id"].to_list()
        == wanted
        == outcome.server.exchange.publishers["BTCUSDT"].market.omitted_ids
    )
    assert set(found["source"]) == {"rest"}
    assert bool((found["received_ns"] > found["timestamp"] * 10**6).all())
    assert outcome.coverage("aggtrades singles", "gap") == []
    assert len(outcome.coverage("aggtrades singles", "complete by id chain")) == len(gaps)
    outcome.check_derivation()
    assert [str(found) for found in audit(outcome.folder / "lake")] == []


@scenario("T5", "single trades that REST no longer has: they stay a gap, and it is said")
def test_single_trades_that_cannot_be_had(tmp_path: Path) -> None:
    empty = Fault(at_s=0.0, kind="empty_answer", endpoint="trades", for_s=1000.0)
    omitted = Fault(at_s=20.0, kind="partial_range", symbol="BTCUSDT", count=3)
    outcome = play(Scenario([empty, omitted]), tmp_path)
    assert len(outcome.coverage("aggtrades singles", "gap")) == len(outcome.gaps("aggtrades singles")) > 0
    assert "are in no aggregate" in outcome.alarms
    assert outcome.table("trades").is_empty()
    outcome.check_derivation()


@scenario("T6", "copies from two sockets and an overlap with REST: one row each")
def test_copies_from_everywhere(tmp_path: Path) -> None:
    lost = [Fault(at_s=20.0, kind="drop", stream=TRADES, count=4)]
    twice = [Fault(at_s=22.0, kind="duplicate", stream=TRADES, count=20)]
    outcome = play(Scenario([*lost, *twice], feed=replace(FAST, copies=2)), tmp_path)
    outcome.check(untouched=["ETHUSDT"])
    assert from_rest(outcome).height == 4


@scenario("T9", "more trades missing than one answer holds: paged")
def test_many_missing_trades_are_paged(tmp_path: Path) -> None:
    lost = Fault(at_s=10.0, kind="drop", stream=TRADES, for_s=20.0)
    collecting = replace(COLLECTING, repair=RepairSettings(every_s=0.02, page=20))
    outcome = play(Scenario([lost], collecting=collecting, seconds=90.0), tmp_path)
    outcome.check(untouched=["ETHUSDT"])
    assert from_rest(outcome).height > 60
    assert outcome.counters["repair_requests"] >= 3


@scenario("R1", "429 with Retry-After: nothing is asked for meanwhile, then the repair goes on")
def test_too_many_requests(tmp_path: Path) -> None:
    refused = Fault(at_s=20.0, kind="status", endpoint="*", code=429, retry_after_s=1, count=1)
    outcome = play(Scenario([refused, LOST], seconds=90.0), tmp_path)
    outcome.check(untouched=["ETHUSDT"])
    assert from_rest(outcome).height == 5


@scenario("R6", "503 with -1008, 500: asked again after a pause")
def test_server_errors(tmp_path: Path) -> None:
    body = '{"code":-1008,"msg":"Request throttled by system-level protection."}'
    faults = [
        Fault(at_s=20.0, kind="status", endpoint="aggTrades", code=503, text=body, count=1),
        Fault(at_s=20.0, kind="status", endpoint="aggTrades", code=500, count=1),
    ]
    outcome = play(Scenario([LOST, *faults], seconds=120.0, speed=15.0), tmp_path)
    outcome.check(untouched=["ETHUSDT"])
    assert from_rest(outcome).height == 5


@scenario("K4", "the exchange's clock jumps forward: events keep their order, nothing is lost")
def test_the_clock_of_the_exchange_jumps(tmp_path: Path) -> None:
    outcome = play(Scenario([Fault(at_s=20.0, kind="server_time_offset", milliseconds=-2000)]), tmp_path)
    outcome.check(untouched=["BTCUSDT", "ETHUSDT"])
