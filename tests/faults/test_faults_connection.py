"""Faults of connections (PROTOCOL, list C) against a collector over real sockets."""

from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from tests.faults.harness import FAST, Outcome, Scenario, play
from undertow.monitor.venue_probes import route_troubles
from undertow.venues.binance.endpoints import StreamKind, endpoints_for
from undertow.venues.simulated.faults import Fault
from undertow.venues.simulated.listings import LISTINGS

DEPTH, TRADES, MARK = "btcusdt@depth@100ms", "btcusdt@aggTrade", "btcusdt@markPrice@1s"
TWO = replace(FAST, copies=2)


def scenario(identity: str, text: str) -> pytest.MarkDecorator:
    return pytest.mark.scenario(identity, text)


def repaired(outcome: Outcome, symbol: str = "BTCUSDT") -> int:
    return outcome.table("aggtrades", symbol).filter(pl.col("source") == "rest").height


def unproved(outcome: Outcome) -> list[str]:
    """Streams that have a gap in the ledger."""
    streams = ("aggtrades", "depth", "mark_price", "book_ticker")
    return [stream for stream in streams if outcome.coverage(stream, "gap")]


@scenario(
    "C1", "the exchange closes sockets with 1000, 1006, 1008: reconnected, the loss recorded, trades repaired"
)
@pytest.mark.parametrize("code", [1000, 1006, 1008])
def test_closed_sockets(tmp_path: Path, code: int) -> None:
    outcome = play(Scenario([Fault(at_s=20.0, kind="close", route="market", code=code)]), tmp_path)
    outcome.check()
    assert outcome.counters["reconnects"] == 1
    assert outcome.gaps("depth") == [], "the other route is untouched"
    assert unproved(outcome) == ["mark_price"], "trades are whole again, mark prices cannot be had again"


@scenario("C2", "a connection is reset: reconnected, the book resynced")
def test_a_reset_socket(tmp_path: Path) -> None:
    outcome = play(Scenario([Fault(at_s=20.0, kind="reset", route="public")]), tmp_path)
    outcome.check()
    (gap,) = outcome.gaps("depth")
    assert gap["cause"] == "disconnected"
    assert outcome.books["BTCUSDT"] == "synced"


@scenario("C3", "a connection is half open: noticed by its silence, replaced")
def test_a_half_open_socket(tmp_path: Path) -> None:
    faults = [Fault(at_s=20.0, kind="half_open", route="market")]
    outcome = play(Scenario(faults, seconds=120.0), tmp_path)
    outcome.check()
    assert outcome.counters["reconnects"] >= 1
    assert unproved(outcome) == ["mark_price"]


@scenario("C4", "the exchange stops pinging but sends data: we stay")
def test_no_pings(tmp_path: Path) -> None:
    outcome = play(Scenario([Fault(at_s=1.0, kind="no_pings")]), tmp_path)
    outcome.check(untouched=["BTCUSDT", "ETHUSDT"])
    assert "reconnects" not in outcome.counters


@scenario("C5", "pings answered but no data on one connection: noticed, replaced, and it is said")
def test_a_mute_socket(tmp_path: Path) -> None:
    faults = [Fault(at_s=20.0, kind="mute", connection=1, for_s=60.0)]
    outcome = play(Scenario(faults, seconds=120.0), tmp_path)
    outcome.check()
    assert outcome.counters["reconnects"] >= 1


@scenario("C6", "every connection is cut after its lifetime; ours are replaced before: no id is missing")
def test_the_lifetime_of_a_socket(tmp_path: Path) -> None:
    outcome = play(
        Scenario(
            feed=replace(FAST, rollover_s=1.5, heartbeat_s=3.0),
            settings={"lifetime_s": 100.0},
            seconds=200.0,
            speed=20.0,
        ),
        tmp_path,
    )
    outcome.check(untouched=["BTCUSDT", "ETHUSDT"])
    assert outcome.counters["rollovers"] >= 3
    assert "disconnects" not in outcome.counters


@scenario("C7", "the exchange announces a shutdown: the successor delivers before the old one closes")
def test_an_announced_shutdown(tmp_path: Path) -> None:
    outcome = play(Scenario([Fault(at_s=20.0, kind="shutdown_notice", for_s=20.0)]), tmp_path)
    outcome.check(untouched=["BTCUSDT", "ETHUSDT"])
    assert outcome.counters["rollovers"] == 2


@scenario("C8", "both redundant connections die: a gap, a resync, trades repaired")
def test_both_copies_die(tmp_path: Path) -> None:
    outcome = play(Scenario([Fault(at_s=20.0, kind="reset")], feed=TWO), tmp_path)
    outcome.check()
    assert len(outcome.gaps("depth")) == 1
    assert repaired(outcome) + repaired(outcome, "ETHUSDT") > 0
    assert outcome.books["BTCUSDT"] == "synced"


@scenario("C8", "one of two redundant connections dies: nothing is lost and nothing is recorded")
@pytest.mark.parametrize("kind", ["reset", "close"])
def test_one_copy_dies(tmp_path: Path, kind: str) -> None:
    dying = [Fault(at_s=10.0 + 10.0 * n, kind=kind, connection=n) for n in range(4)]
    outcome = play(Scenario(dying, feed=TWO, seconds=70.0), tmp_path)
    outcome.check(untouched=["BTCUSDT", "ETHUSDT"])
    assert outcome.counters["disconnects"] >= 3
    assert unproved(outcome) == []


@scenario("C9", "one stream is acknowledged and never comes: subscribed anew, sought elsewhere, and named")
def test_one_stream_never_comes(tmp_path: Path) -> None:
    ignored = Fault(at_s=0.0, kind="ignore_stream", stream=MARK)
    outcome = play(
        Scenario([ignored], seconds=120.0, speed=20.0, feed=replace(FAST, heartbeat_s=0.6)), tmp_path
    )
    outcome.check()
    assert MARK in outcome.alarms
    assert outcome.counters["resubscriptions"] >= 1


@scenario("C15", "connections are refused for long: attempts back off and stay far below 300 in five minutes")
@scenario("C20", "connections fail: exponential back-off with jitter, then all is well again")
def test_refused_connections(tmp_path: Path) -> None:
    faults = [
        Fault(at_s=20.0, kind="reset"),
        Fault(at_s=20.0, kind="refuse_connections", for_s=30.0),
    ]
    outcome = play(Scenario(faults, seconds=120.0), tmp_path)
    outcome.check()
    assert 1 <= outcome.counters["failed_connects"] < 60
    assert outcome.books["BTCUSDT"] == "synced"


GARBAGE = [
    Fault(at_s=10.0, kind="garbage", stream=DEPTH, text='{"e":"depthUpdate","U":NaN}', count=2),
    Fault(at_s=12.0, kind="garbage", stream=TRADES, text="no json at all", count=2),
    Fault(at_s=14.0, kind="garbage", stream=TRADES, hex="fffe00ff", is_binary=True, count=2),
    Fault(at_s=16.0, kind="fragment", stream=DEPTH, count=20),
    Fault(at_s=18.0, kind="oversize", stream=TRADES, count=2),
]


@scenario(
    "C17", "fragments, 1 MB frames, binary, invalid UTF-8, NaN, no JSON: kept, counted, the rest goes on"
)
def test_garbage_between_good_frames(tmp_path: Path) -> None:
    outcome = play(Scenario(GARBAGE), tmp_path)
    outcome.check(untouched=["ETHUSDT"])
    assert outcome.gaps("depth") == []
    assert "is not understood" in outcome.alarms


@scenario("C17", "a truncated update or trade: kept, counted, and a gap where its content is missing")
def test_truncated_frames(tmp_path: Path) -> None:
    cut = [Fault(at_s=20.0, kind="truncate", stream=s, count=1) for s in (DEPTH, TRADES)]
    outcome = play(Scenario(cut), tmp_path)
    outcome.check(untouched=["ETHUSDT"])
    assert len(outcome.gaps("depth")) == 1
    assert repaired(outcome) == 1


@scenario("C18", "unknown types, new fields and values: kept, counted, alarmed once, nothing guessed")
def test_the_exchange_changes_its_messages(tmp_path: Path) -> None:
    changes = [
        Fault(at_s=10.0, kind="unknown_type", stream=TRADES, count=3),
        Fault(at_s=12.0, kind="extra_field", stream=TRADES, field="zz", count=3),
        Fault(at_s=14.0, kind="extra_field", stream=DEPTH, field="zz", count=3),
    ]
    outcome = play(Scenario(changes), tmp_path)
    outcome.check(untouched=["BTCUSDT", "ETHUSDT"])
    assert outcome.alarms.count("aggTrade.zz") == 1
    assert "event type" in outcome.alarms


@scenario(
    "C18", "a field is missing or a price becomes a number: refused, never guessed, recorded and repaired"
)
def test_a_field_is_missing(tmp_path: Path) -> None:
    missing = [
        Fault(at_s=10.0, kind="missing_field", stream=TRADES, field="p", count=2),
        Fault(at_s=20.0, kind="missing_field", stream=DEPTH, field="u", count=1),
    ]
    outcome = play(Scenario(missing), tmp_path)
    outcome.check(untouched=["ETHUSDT"])
    assert repaired(outcome) == 2
    assert len(outcome.gaps("depth")) == 1


@scenario("C21", "the whole exchange falls silent: one incident, then everything goes on")
def test_the_exchange_halts(tmp_path: Path) -> None:
    outcome = play(Scenario([Fault(at_s=20.0, kind="halt", for_s=40.0)], seconds=150.0), tmp_path)
    outcome.check(is_market_true=False, is_book_true=False)
    assert outcome.alarms.count("halted") <= 1
    assert outcome.books["BTCUSDT"] == "synced"


@scenario("C22", "redundant copies: one socket 3 s behind, one with frames exchanged: each row once and true")
def test_unequal_copies(tmp_path: Path) -> None:
    faults = [
        Fault(at_s=5.0, kind="delay", stream="*", connection=0, milliseconds=3000, for_s=60.0),
        Fault(at_s=5.0, kind="swap", stream="*@aggTrade", connection=1, count=10),
        Fault(at_s=5.0, kind="swap", stream="*@aggTrade", connection=3, count=10),
    ]
    outcome = play(Scenario(faults, feed=TWO), tmp_path)
    outcome.check()
    assert unproved(outcome) == []


@scenario(
    "C23", "a late burst of 9 s on one stream: rows stored, marked late, counted, bars left as they were"
)
def test_a_late_burst(tmp_path: Path) -> None:
    outcome = play(Scenario([Fault(at_s=20.0, kind="stall", stream=TRADES, for_s=9.0)]), tmp_path)
    outcome.check(untouched=["BTCUSDT", "ETHUSDT"])
    rows = outcome.table("aggtrades")
    assert rows["is_late"].sum() > 5
    assert rows.filter(pl.col("source") != "stream").is_empty()


@scenario("C13", "hundreds of streams: never more messages a second than the exchange allows")
def test_many_streams_are_asked_for_slowly(tmp_path: Path) -> None:
    outcome = play(Scenario(symbols=tuple(LISTINGS), seconds=20.0, speed=10.0, feed=TWO), tmp_path)
    outcome.check(untouched=list(LISTINGS))


@scenario("C10", "a wrong table of routes: the probe at the start of a collection names it")
def test_a_wrong_route_is_named_at_the_start(tmp_path: Path) -> None:
    streams = dict(endpoints_for("binance-usdm").streams)
    streams["trades"] = StreamKind("{symbol}@aggTrade", "public", 6.0)
    scene = Scenario(
        seconds=200.0, kinds=("trades",), endpoints={"streams": streams}, options={"probe": route_troubles}
    )
    outcome = play(scene, tmp_path)
    assert "trades (btcusdt@aggTrade) comes on" in outcome.alarms
