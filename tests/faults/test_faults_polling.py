"""Faults of what is polled (PROTOCOL, list R) against a collector over real sockets."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.faults.harness import Outcome, Scenario, play
from undertow.runtime.polling import PollingSettings
from undertow.venues.simulated.faults import Fault

POLLED = Scenario(
    kinds=("trades", "depth", "mark", "open_interest", "funding"),
    polling=PollingSettings(open_interest_every_s=0.1, funding_every_s=0.2, clock_every_s=0.2, stale_after=3),
)


def interest(outcome: Outcome) -> list[int]:
    return outcome.table("open_interest")["timestamp"].to_list()


@pytest.mark.scenario(
    "R9", "open interest is dated by the exchange seconds before it comes: known when received"
)
def test_open_interest_is_stored_with_the_time_it_came(tmp_path: Path) -> None:
    outcome = play(POLLED, tmp_path)
    outcome.check(untouched=["BTCUSDT", "ETHUSDT"])
    times = interest(outcome)
    assert len(times) == len(set(times)) >= 5
    rows = outcome.table("open_interest")
    assert (rows["received_ns"] > 0).all()
    assert outcome.table("funding_rate").height >= 3
    assert outcome.table("clock").height >= 3


@pytest.mark.scenario("R8", "open interest stands still: no row is repeated, and it is said")
def test_frozen_open_interest(tmp_path: Path) -> None:
    frozen = Fault(at_s=20.0, kind="freeze", endpoint="openInterest", for_s=1000.0)
    outcome = play(replace(POLLED, faults=[frozen], seconds=90.0), tmp_path)
    outcome.check(untouched=["BTCUSDT", "ETHUSDT"])
    assert len(interest(outcome)) == len(set(interest(outcome)))
    assert outcome.counters["stale_open_interest"] >= 3
    assert "stands still" in outcome.alarms


@pytest.mark.scenario("R6", "an endpoint fails: the others go on")
def test_one_endpoint_fails(tmp_path: Path) -> None:
    broken = Fault(at_s=0.0, kind="status", endpoint="openInterest", code=500, for_s=1000.0)
    outcome = play(replace(POLLED, faults=[broken]), tmp_path)
    outcome.check(untouched=["BTCUSDT", "ETHUSDT"])
    assert outcome.table("open_interest").is_empty()
    assert outcome.table("funding_rate").height >= 3


@pytest.mark.scenario("R11", "a symbol's status changes while it is collected: an event, and an alarm")
def test_a_status_changes(tmp_path: Path) -> None:
    settling = Fault(at_s=20.0, kind="status_change", symbol="ETHUSDT", status="SETTLING")
    polling = replace(POLLED.polling, listings_every_s=0.2)
    outcome = play(replace(POLLED, faults=[settling], polling=polling), tmp_path)
    outcome.check(is_book_true=False, is_market_true=False)
    (row,) = outcome.table("instruments", "ETHUSDT").to_dicts()
    assert (row["change"], row["before"], row["after"]) == ("status", "TRADING", "SETTLING")
    assert "another status: SETTLING" in outcome.alarms


@pytest.mark.scenario(
    "B18", "the tick becomes finer while collecting: applied without a restart, no trade is lost"
)
def test_a_finer_tick(tmp_path: Path) -> None:
    finer = Fault(at_s=20.0, kind="tick_change", symbol="BTCUSDT", tick="0.01")
    polling = replace(POLLED.polling, look_up_pause_s=0.05)
    outcome = play(replace(POLLED, faults=[finer], polling=polling, seconds=90.0, speed=15.0), tmp_path)
    assert outcome.counters["restated_instruments"] == 1
    assert "another tick: 0.01, before 0.10" in outcome.alarms
    rows = outcome.table("aggtrades").sort("trade_id")
    ids = rows["trade_id"]
    assert ids.to_list() == list(range(ids[0], ids[-1] + 1)), "what was refused was folded again"
    off_old_step = (rows["price"] * 10 - (rows["price"] * 10).round()).abs() > 1e-6
    assert off_old_step.any(), "prices on the finer step are stored"
    assert outcome.books["BTCUSDT"] == "synced"
    assert outcome.gaps("depth", "ETHUSDT") == []
