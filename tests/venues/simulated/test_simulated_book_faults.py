"""Books that lie, empty themselves, or count anew; seen by a client that keeps a book."""

import asyncio
from collections.abc import Iterator
from decimal import Decimal
from itertools import pairwise
from typing import Any

from tests.venues.simulated.scenery import DEPTH, TRADES, Scenery, play, read_all

from undertow.venues.simulated.exchange import DEFAULT_START_MS
from undertow.venues.simulated.faults import Fault

PATH = f"/public/stream?streams={DEPTH}"
Sides = tuple[dict[Decimal, Decimal], dict[Decimal, Decimal]]


def apply(sides: Sides, diff: dict[str, Any]) -> None:
    for levels, changes in zip(sides, (diff["b"], diff["a"]), strict=True):
        for price, quantity in changes:
            levels[Decimal(price)] = Decimal(quantity)
            if not Decimal(quantity):
                del levels[Decimal(price)]


def sides_of(book: dict[str, Any]) -> Sides:
    bids, asks = ({Decimal(p): Decimal(q) for p, q in book[side]} for side in ("bids", "asks"))
    return bids, asks


def kept(snapshot: dict[str, Any], diffs: list[dict[str, Any]]) -> Iterator[tuple[dict[str, Any], Sides]]:
    """Each change that continues the snapshot, and the book after it."""
    sides = sides_of(snapshot)
    for diff in diffs:
        if diff["u"] > snapshot["lastUpdateId"]:
            apply(sides, diff)
            yield diff, sides


def watch(*faults: Fault, **changes: Any) -> tuple[dict[str, Any], list[dict[str, Any]], dict[str, Any]]:
    """(snapshot, changes, true book at the end) of a market with faults."""
    found: list[Any] = []

    async def scene(at: Scenery) -> None:
        snapshot = await at.get("/sim/book?symbol=BTCUSDT")
        async with at.socket(PATH) as socket:
            diffs = [frame["data"] for frame in await read_all(socket)]
        found.extend((snapshot, diffs, await at.get("/sim/book?symbol=BTCUSDT")))

    play(scene, *faults, **changes)
    return found[0], found[1], found[2]


def is_chain(diffs: list[dict[str, Any]]) -> bool:
    return all(after["pu"] == before["u"] for before, after in pairwise(diffs))


def test_a_ghost_is_a_level_that_only_the_client_has() -> None:
    snapshot, diffs, truth = watch(
        Fault(at_s=4.0, kind="ghost", symbol="BTCUSDT", side="ask", ticks_away=300, count=3)
    )
    *_, (_, (bids, asks)) = kept(snapshot, diffs)
    true_bids, true_asks = sides_of(truth)
    assert is_chain(diffs)
    assert bids == true_bids
    ghosts = {price for price in asks if price not in true_asks}
    assert len(ghosts) == 3
    assert min(ghosts) - min(true_asks) > Decimal(20)


def test_an_empty_side_is_told_and_filled_again() -> None:
    snapshot, diffs, truth = watch(
        Fault(at_s=1.0, kind="empty_side", symbol="BTCUSDT", side="ask", for_s=2.0)
    )
    empty = [
        diff["E"] - DEFAULT_START_MS for diff, (bids, asks) in kept(snapshot, diffs) if bids and not asks
    ]
    assert empty == [1100]
    assert diffs[11]["E"] - DEFAULT_START_MS == 3100
    *_, (_, sides) = kept(snapshot, diffs)
    assert sides == sides_of(truth)
    assert is_chain(diffs)


def test_an_empty_book_is_empty_for_its_time() -> None:
    snapshot, diffs, truth = watch(Fault(at_s=1.0, kind="empty_book", symbol="BTCUSDT", for_s=1.5))
    seen = [diff["E"] - DEFAULT_START_MS for diff, sides in kept(snapshot, diffs) if not any(sides)]
    assert seen == [1100]
    *_, (_, sides) = kept(snapshot, diffs)
    assert sides == sides_of(truth)
    assert min(map(len, sides)) >= 160


def test_a_crossed_book_is_what_the_client_sees_until_it_is_taken_back() -> None:
    snapshot, diffs, truth = watch(
        Fault(at_s=1.0, kind="crossed", stream=DEPTH, side="bid", ticks_away=1, for_s=0.3)
    )
    crossed = [
        diff["E"] - DEFAULT_START_MS for diff, (bids, asks) in kept(snapshot, diffs) if max(bids) >= min(asks)
    ]
    assert crossed
    assert crossed[0] == 1100
    assert crossed[-1] <= 1300
    *_, (_, sides) = kept(snapshot, diffs)
    assert sides == sides_of(truth)


def test_strange_deltas_leave_the_book_right() -> None:
    snapshot, diffs, truth = watch(
        Fault(at_s=1.0, kind="absent_removal", stream=DEPTH, side="ask"),
        Fault(at_s=2.0, kind="repeated_price", stream=DEPTH),
        Fault(at_s=3.0, kind="empty_delta", symbol="BTCUSDT"),
    )
    assert is_chain(diffs)
    repeated = [diff for diff in diffs if len({p for p, _ in diff["b"]}) < len(diff["b"])]
    assert [diff["E"] - DEFAULT_START_MS for diff in repeated] == [2100]
    assert repeated[0]["b"][0][1] != repeated[0]["b"][1][1]
    empty = [diff for diff in diffs if not diff["b"] and not diff["a"]]
    assert [diff["E"] - DEFAULT_START_MS for diff in empty] == [3100]
    assert empty[0]["u"] > empty[0]["pu"]
    best = Decimal(truth["asks"][0][0])
    assert any(Decimal(p) > best + 1000 for diff in diffs for p, q in diff["a"] if not Decimal(q))
    sides = sides_of(snapshot)
    for diff in diffs:
        for levels, changes in zip(sides, (diff["b"], diff["a"]), strict=True):
            for price, quantity in changes:
                levels[Decimal(price)] = Decimal(quantity)
    present = tuple({p: q for p, q in side.items() if q} for side in sides)
    assert present == sides_of(truth)


def test_ids_fall_by_more_than_a_million() -> None:
    _, diffs, truth = watch(Fault(at_s=1.0, kind="rebase", symbol="BTCUSDT"))
    falls = [at for at in range(1, len(diffs)) if diffs[at]["U"] < diffs[at - 1]["u"] - 1_000_000]
    assert len(falls) == 1
    assert is_chain(diffs[: falls[0]])
    assert is_chain(diffs[falls[0] :])
    assert truth["lastUpdateId"] == diffs[-1]["u"]


def test_aggregates_leave_out_single_trades() -> None:
    async def scene(at: Scenery) -> None:
        async with (
            at.socket(f"/market/stream?streams={TRADES}") as one,
            at.socket("/public/stream?streams=btcusdt@trade") as two,
        ):
            frames, trades = await asyncio.gather(read_all(one), read_all(two))
        told = [frame["data"] for frame in frames]
        assert [item["a"] for item in told] == list(range(told[0]["a"], told[0]["a"] + len(told)))
        covered = {i for item in told for i in range(item["f"], item["l"] + 1)}
        missing = {frame["data"]["t"] for frame in trades} - covered
        record = await at.get("/sim/record?symbol=BTCUSDT")
        assert sorted(missing) == record["omitted_trade_ids"]
        assert len(missing) == 3

    play(scene, Fault(at_s=5.0, kind="partial_range", symbol="BTCUSDT", count=3), duration_s=20.0)


def test_prices_lie_on_a_finer_tick_and_the_book_goes_on() -> None:
    snapshot, diffs, truth = watch(
        Fault(at_s=2.0, kind="tick_change", symbol="BTCUSDT", tick="0.01"), duration_s=10.0
    )
    assert is_chain(diffs)
    prices = {
        (diff["E"] - DEFAULT_START_MS > 2000, Decimal(price) % Decimal("0.1") != 0)
        for diff in diffs
        for price, _ in diff["b"]
    }
    assert (False, True) not in prices
    assert (True, True) in prices
    *_, (_, sides) = kept(snapshot, diffs)
    assert sides == sides_of(truth)
