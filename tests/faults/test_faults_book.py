"""Faults of the book (PROTOCOL, list B) against a collector over real sockets."""

from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from tests.faults.harness import COLLECTING, FAST, Outcome, Scenario, play
from undertow.runtime.snapshots import SnapshotSettings
from undertow.venues.simulated.faults import Fault
from undertow.venues.simulated.listings import LISTINGS

DEPTH = "btcusdt@depth@100ms"
BREAK_AT_20_S = Fault(at_s=20.0, kind="drop", stream=DEPTH, count=1)
AUDITED = replace(COLLECTING, snapshots=replace(COLLECTING.snapshots, audit_every_s=0.2, audit_soonest_s=0.1))


def scenario(identity: str, text: str) -> pytest.MarkDecorator:
    return pytest.mark.scenario(identity, text)


def snapshots(outcome: Outcome) -> int:
    return outcome.counters["snapshots"]


@scenario(
    "B1", "snapshot older than the updates at hand: fetched again, paced, nothing sampled until it fits"
)
def test_an_old_snapshot_is_fetched_again(tmp_path: Path) -> None:
    stale = Fault(
        at_s=20.0, kind="stale_snapshot", endpoint="depth", symbol="BTCUSDT", milliseconds=15000, count=2
    )
    outcome = play(Scenario([stale, BREAK_AT_20_S]), tmp_path)
    outcome.check(untouched=["ETHUSDT"])
    assert len(outcome.gaps("depth")) == 1
    assert snapshots(outcome) == 2 + 3


@scenario("B2", "snapshot inside the updates at hand: older ones are dropped, levels equal the exchange's")
@scenario("B24", "USD-M ids have holes of their own: no gap")
def test_a_usual_start(tmp_path: Path) -> None:
    outcome = play(Scenario(), tmp_path)
    outcome.check(untouched=["BTCUSDT", "ETHUSDT"])
    assert snapshots(outcome) == 2
    assert outcome.table("book_depth").height > 100


@scenario("B5", "snapshot newer than everything at hand: the next update joins, no storm of snapshots")
def test_a_snapshot_from_ahead(tmp_path: Path) -> None:
    late = Fault(at_s=0.0, kind="delay", stream=DEPTH, milliseconds=3000, for_s=10.0)
    outcome = play(Scenario([late]), tmp_path)
    outcome.check(untouched=["ETHUSDT"], is_book_true=False)
    assert outcome.table("book_depth")["late_update_count"].sum() > 0, "what came too late is counted"
    assert snapshots(outcome) <= 3


@scenario("B6", "one update lost of one symbol among ten: only that one resyncs, one gap with its ids")
def test_one_lost_update_touches_one_symbol(tmp_path: Path) -> None:
    symbols = tuple(LISTINGS)
    outcome = play(Scenario([BREAK_AT_20_S], symbols=symbols, seconds=40.0, speed=15.0), tmp_path)
    outcome.check(untouched=symbols[1:])
    (gap,) = outcome.gaps("depth")
    assert gap["cause"] == "update ids missing"
    assert 0 < int(str(gap["first_id"])) <= int(str(gap["last_id"]))
    assert len(outcome.coverage("depth", "gap")) == 1
    assert snapshots(outcome) == 10 + 1


@scenario("B7", "ten symbols lose an update at once: each resyncs, the request weight stays within its limit")
def test_ten_breaks_at_once(tmp_path: Path) -> None:
    symbols = tuple(LISTINGS)
    lost = Fault(at_s=20.0, kind="drop", stream="*@depth@100ms", count=1)
    outcome = play(Scenario([lost], symbols=symbols, seconds=40.0, speed=15.0), tmp_path)
    outcome.check()
    assert all(len(outcome.gaps("depth", symbol)) == 1 for symbol in symbols)
    assert snapshots(outcome) == 20
    assert "429" not in outcome.alarms


@scenario("B9", "updates and trades sent twice: taken once")
def test_duplicates_are_ignored(tmp_path: Path) -> None:
    twice = [Fault(at_s=5.0, kind="duplicate", stream=s, count=30) for s in (DEPTH, "btcusdt@aggTrade")]
    outcome = play(Scenario(twice), tmp_path)
    outcome.check(untouched=["BTCUSDT", "ETHUSDT"])


@scenario("B10", "two updates exchanged: a gap and a resync, never applied out of order")
def test_swapped_updates(tmp_path: Path) -> None:
    outcome = play(Scenario([Fault(at_s=20.0, kind="swap", stream=DEPTH, count=1)]), tmp_path)
    outcome.check(untouched=["ETHUSDT"])
    assert len(outcome.gaps("depth")) == 1


@scenario("B11", "ids fall by more than a million after maintenance: a new epoch, the book is joined anew")
def test_ids_begin_anew(tmp_path: Path) -> None:
    outcome = play(Scenario([Fault(at_s=20.0, kind="rebase", symbol="BTCUSDT")]), tmp_path)
    outcome.check(untouched=["ETHUSDT"])
    assert outcome.books["BTCUSDT"] == "synced"
    assert (
        outcome.table("book_depth")["timestamp"].max()
        == outcome.table("book_depth", "ETHUSDT")["timestamp"].max()
    )


@scenario("B12", "an update without levels moves the ids on")
def test_an_empty_update(tmp_path: Path) -> None:
    outcome = play(Scenario([Fault(at_s=20.0, kind="empty_delta", symbol="BTCUSDT")]), tmp_path)
    outcome.check(untouched=["BTCUSDT", "ETHUSDT"])


@scenario("B13", "quantity 0 for a level that never was: no error")
@scenario("B14", "a price twice in one update: the last one counts")
def test_odd_levels(tmp_path: Path) -> None:
    odd = [
        Fault(at_s=20.0, kind=kind, stream=DEPTH, count=20) for kind in ("absent_removal", "repeated_price")
    ]
    outcome = play(Scenario(odd), tmp_path)
    outcome.check(untouched=["BTCUSDT", "ETHUSDT"])


@scenario("B15", "an update that crosses the book: flagged as a gap, resynced, no crossed sample stored")
def test_a_crossing_update(tmp_path: Path) -> None:
    outcome = play(Scenario([Fault(at_s=20.0, kind="crossed", stream=DEPTH, count=1)]), tmp_path)
    outcome.check(untouched=["ETHUSDT"])
    (gap,) = outcome.gaps("depth")
    assert gap["cause"] == "crossed book"


@scenario("B16", "a side, then the whole book is empty: ratios are null, nothing crashes, it comes back")
def test_empty_books(tmp_path: Path) -> None:
    empty = [
        Fault(at_s=15.0, kind="empty_side", symbol="BTCUSDT", side="bid", for_s=3.0),
        Fault(at_s=30.0, kind="empty_book", symbol="BTCUSDT", for_s=3.0),
    ]
    outcome = play(Scenario(empty, kinds=("depth", "mark")), tmp_path)
    outcome.check(untouched=["ETHUSDT"], is_book_true=False)
    rows = outcome.table("book_depth")
    bare = rows.filter((pl.col("bids").list.len() == 0) | (pl.col("asks").list.len() == 0))
    assert bare.height >= 3
    assert bare["mid_price"].null_count() == bare.height
    assert rows.sort("timestamp")["mid_price"][-1] is not None


@scenario(
    "B19", "levels beyond the snapshot vanish unseen: an audit evicts them, no sample was wrong in its range"
)
def test_ghosts_are_evicted(tmp_path: Path) -> None:
    faults = [
        Fault(at_s=0.0, kind="fewer_levels", endpoint="depth", symbol="BTCUSDT", levels=40, for_s=26.0),
        Fault(at_s=20.0, kind="ghost", symbol="BTCUSDT", side="bid", ticks_away=700, count=12),
    ]
    outcome = play(Scenario(faults, collecting=AUDITED), tmp_path)
    outcome.check(untouched=["ETHUSDT"], is_book_true=False, is_market_true=False)
    audits = outcome.table("book_audits")
    assert audits["ghosts"].sum() >= 1
    assert audits["mismatched"].sum() == 0
    last = audits.sort("timestamp").filter(pl.col("compared") > 0)[-1]
    assert last["matched"].item() == last["compared"].item()


@scenario(
    "B20", "a snapshot with fewer levels than asked for: less of the book is trusted, and each sample says so"
)
def test_a_short_snapshot(tmp_path: Path) -> None:
    few = Fault(at_s=0.0, kind="fewer_levels", endpoint="depth", symbol="BTCUSDT", levels=30, count=1)
    outcome = play(Scenario([few]), tmp_path)
    outcome.check(untouched=["BTCUSDT", "ETHUSDT"], is_book_true=False)
    first = outcome.table("book_depth").sort("timestamp")[0]
    wide = outcome.table("book_depth", "ETHUSDT").sort("timestamp")[0]
    assert first["trusted_ask"].item() - first["trusted_bid"].item() < 300 * first["spread"].item()
    assert wide["trusted_ask"].item() > wide["trusted_bid"].item() > 0


@scenario("B21", "snapshots fail in five ways: backed off, updates kept, the book invalid meanwhile")
def test_failing_snapshots(tmp_path: Path) -> None:
    failing = [
        Fault(at_s=20.0, kind="status", endpoint="depth", code=500, count=2),
        Fault(at_s=20.0, kind="html", endpoint="depth", count=1),
        Fault(at_s=20.0, kind="truncated_json", endpoint="depth", count=1),
    ]
    outcome = play(Scenario([BREAK_AT_20_S, *failing], seconds=90.0, speed=12.0), tmp_path)
    outcome.check(untouched=["ETHUSDT"])
    assert outcome.books["BTCUSDT"] == "synced"


@scenario("B22", "a snapshot takes very long: updates wait within a bound, then it joins")
def test_a_slow_snapshot(tmp_path: Path) -> None:
    slow = Fault(at_s=20.0, kind="slow", endpoint="depth", milliseconds=700, count=1)
    outcome = play(Scenario([slow, BREAK_AT_20_S]), tmp_path)
    outcome.check(untouched=["ETHUSDT"])
    assert outcome.books["BTCUSDT"] == "synced"


@scenario(
    "B23", "the book is wrong inside its trusted range: the audit finds it, a gap, a resync and an alarm"
)
def test_an_audit_finds_a_wrong_book(tmp_path: Path) -> None:
    ghost = Fault(at_s=20.0, kind="ghost", symbol="BTCUSDT", side="bid", ticks_away=700, count=12)
    outcome = play(Scenario([ghost], collecting=AUDITED), tmp_path)
    outcome.check(untouched=["ETHUSDT"], is_book_true=False, is_market_true=False)
    (gap,) = outcome.gaps("depth")
    assert gap["cause"] == "audit mismatch"
    assert "levels of the book differed" in outcome.alarms
    audits = outcome.table("book_audits").sort("timestamp").filter(pl.col("compared") > 0)
    shares = (audits["matched"] / audits["compared"]).to_list()
    assert min(shares) < 1.0
    assert shares[-1] == 1.0


def test_the_settings_are_fast_but_no_others() -> None:
    """The suite runs what users run, with shorter times only."""
    assert FAST.copies == 1
    assert SnapshotSettings().audit_every_s == 60.0
