"""What the exchange remembers of its past."""

from itertools import groupby
from typing import Any

import pytest
from tests.venues.simulated.scenery import TRADES, Scenery, play, read_all

from undertow.venues.simulated.history import AggregateHistory
from undertow.venues.simulated.record import CHECKSUM_MODULUS, MinuteRecord
from undertow.venues.simulated.wire import Aggregate


def item(identity: int, time_ms: int, ticks: int = 100, lots: int = 3) -> Aggregate:
    return Aggregate(identity, time_ms, ticks, lots, identity, identity, 0, 0)


def test_a_minute_by_hand() -> None:
    record = MinuteRecord()
    for made in (item(1, 60_000), item(2, 119_999, ticks=7, lots=9), item(3, 120_000)):
        record.add(made)
    checksum = (1_000_003 + 100 * 1009 + 3) + (2 * 1_000_003 + 7 * 1009 + 9)
    first, second = record.as_json()
    assert first == {
        "minute_ms": 60_000, "count": 2, "first_id": 1, "last_id": 2, "lots": 12, "checksum": checksum,
    }  # fmt: skip
    assert (second["minute_ms"], second["count"]) == (120_000, 1)


def test_a_checksum_stays_below_its_modulus() -> None:
    record = MinuteRecord()
    record.add(item(3 * 10**12, 60_000))
    (minute,) = record.as_json()
    assert minute["checksum"] == (3 * 10**12 * 1_000_003 + 100 * 1009 + 3) % CHECKSUM_MODULUS


def test_a_record_without_trades_is_empty() -> None:
    assert MinuteRecord().as_json() == []


def test_the_record_equals_what_was_streamed() -> None:
    async def scene(at: Scenery) -> None:
        async with at.socket(f"/market/stream?streams={TRADES}") as socket:
            told: list[dict[str, Any]] = [frame["data"] for frame in await read_all(socket)]
        minutes = (await at.get("/sim/record?symbol=BTCUSDT"))["minutes"]
        assert len(minutes) >= 3
        for minute, (start_ms, found) in zip(
            minutes, groupby(told, key=lambda t: t["T"] // 60_000), strict=True
        ):
            trades = list(found)
            lots = [round(float(trade["q"]) / 0.001) for trade in trades]
            ticks = [round(float(trade["p"]) / 0.1) for trade in trades]
            terms = [
                t["a"] * 1_000_003 + tick * 1009 + lot
                for t, tick, lot in zip(trades, ticks, lots, strict=True)
            ]
            assert minute == {
                "minute_ms": start_ms * 60_000,
                "count": len(trades),
                "first_id": trades[0]["a"],
                "last_id": trades[-1]["a"],
                "lots": sum(lots),
                "checksum": sum(terms) % CHECKSUM_MODULUS,
            }

    play(scene, duration_s=150.0)


@pytest.fixture
def history() -> AggregateHistory:
    found = AggregateHistory()
    for identity in range(5, 25):
        found.append(item(identity, 1000 * identity))
    return found


@pytest.mark.parametrize(
    ("first_id", "start_ms", "end_ms", "identities"),
    [
        (None, None, None, [20, 21, 22, 23, 24]),
        (7, None, None, [7, 8, 9, 10, 11]),
        (1, None, None, [5, 6, 7, 8, 9]),
        (30, None, None, []),
        (None, 10_500, None, [11, 12, 13, 14, 15]),
        (None, 10_000, 12_000, [10, 11, 12]),
        (None, None, 9_000, [5, 6, 7, 8, 9]),
        (None, None, 15_000, [11, 12, 13, 14, 15]),
        (None, 13_000, 12_000, []),
    ],
)
def test_the_past_is_asked_for_by_id_or_time(
    history: AggregateHistory,
    first_id: int | None,
    start_ms: int | None,
    end_ms: int | None,
    identities: list[int],
) -> None:
    found = history.between(first_id=first_id, start_ms=start_ms, end_ms=end_ms, limit=5)
    assert [made.identity for made in found] == identities


def test_the_past_has_an_end() -> None:
    found = AggregateHistory(most=8)
    for identity in range(1, 100):
        found.append(item(identity, identity))
    kept = [made.identity for made in found]
    assert 8 <= len(kept) <= 10
    assert kept == list(range(kept[0], 100))
    assert AggregateHistory().between(first_id=3, start_ms=None, end_ms=None, limit=9) == []


def test_prices_of_the_past_follow_a_finer_tick(history: AggregateHistory) -> None:
    history.scale_prices(10)
    assert {made.ticks for made in history} == {1000}
    history.append(item(25, 25_000))
    assert len(history) == 21
