"""The frames of a market: chains of ids, and books that can be kept from them."""

import json
from collections import defaultdict
from collections.abc import Iterable
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest

from undertow.venues.simulated.listings import find_listing
from undertow.venues.simulated.market import new_market
from undertow.venues.simulated.publisher import Frame, Publisher
from undertow.venues.simulated.streams import KINDS, is_served, parse_stream

START_MS = 1_767_652_800_000
DIFFS = ["depth", "depth@100ms", "depth@500ms", "depth@0ms"]
Levels = dict[str, str]


def publisher_of(*suffixes: str, symbol: str = "BTCUSDT", seed: int = 2) -> Publisher:
    publisher = Publisher(new_market(find_listing(symbol), seed=seed, signal=0.5, start_ms=START_MS))
    for suffix in suffixes:
        publisher.open(suffix)
    return publisher


def decoded(frames: Iterable[Frame]) -> dict[str, list[dict[str, Any]]]:
    """Suffix → payloads."""
    found = defaultdict(list)
    for frame in frames:
        found[frame.stream.partition("@")[2]].append(json.loads(frame.payload))
    return found


def apply(book: tuple[Levels, Levels], payload: dict[str, Any]) -> None:
    for levels, changes in zip(book, (payload["b"], payload["a"]), strict=True):
        for price, quantity in changes:
            if Decimal(quantity):
                levels[price] = quantity
            else:
                levels.pop(price, None)


def snapshot_of(publisher: Publisher) -> tuple[int, tuple[Levels, Levels]]:
    answer = json.loads(publisher.snapshot(1000))
    return answer["lastUpdateId"], (dict(answer["bids"]), dict(answer["asks"]))


@pytest.mark.parametrize("suffix", DIFFS)
@pytest.mark.parametrize("symbol", ["BTCUSDT", "DOGEUSDT"])
def test_snapshot_and_diffs_equal_the_true_book_at_every_frame(suffix: str, symbol: str) -> None:
    publisher = publisher_of(suffix, symbol=symbol)
    publisher.advance(START_MS + 30)
    last, book = snapshot_of(publisher)
    synced = compared = 0
    cadence_ms = KINDS[suffix].cadence_ms
    for step in range(1, 60):
        for frame in publisher.advance(START_MS + 30 // cadence_ms * cadence_ms + step * cadence_ms):
            payload = json.loads(frame.payload)
            if payload["u"] <= last:
                continue
            assert payload["U"] <= last + 1 or payload["pu"] == last
            last = payload["u"]
            apply(book, payload)
            synced += 1
        true_last, true_book = snapshot_of(publisher)
        if true_last == last:
            assert book == true_book
            compared += 1
    assert synced > 30
    assert compared > 50


@pytest.mark.parametrize("suffix", DIFFS)
def test_each_depth_stream_has_its_own_unbroken_chain(suffix: str) -> None:
    publisher = publisher_of("depth@100ms", "aggTrade")
    publisher.advance(START_MS + 1_030)
    for other in DIFFS:
        publisher.open(other)
    payloads = decoded(publisher.advance(START_MS + 11_000))[suffix]
    for before, after in pairwise(payloads):
        assert after["pu"] == before["u"]
        assert before["u"] < after["U"] <= after["u"]
        assert after["T"] <= after["E"]
        assert after["E"] % KINDS[suffix].cadence_ms == 0
    sparse = sum(after["U"] > before["u"] + 1 for before, after in pairwise(payloads))
    assert sparse > len(payloads) / 2, "ids are sparse, as the real ones are"


def test_levels_of_a_diff_are_unique_and_by_price() -> None:
    for payload in decoded(publisher_of("depth@500ms").advance(START_MS + 20_000))["depth@500ms"]:
        for side in ("b", "a"):
            prices = [Decimal(price) for price, _ in payload[side]]
            assert prices == sorted(set(prices))


def test_a_closed_stream_falls_silent_and_others_go_on() -> None:
    publisher = publisher_of("depth@100ms", "depth@500ms", "trade")
    publisher.advance(START_MS + 250)
    publisher.close("depth@500ms")
    publisher.close("trade")
    found = decoded(publisher.advance(START_MS + 5_000))
    assert set(found) == {"depth@100ms"}
    assert publisher.open_streams == {"depth@100ms"}


@pytest.mark.parametrize("suffix", ["depth5@100ms", "depth10", "depth20@500ms"])
def test_partial_books_are_the_best_levels(suffix: str) -> None:
    publisher = publisher_of(suffix)
    cadence_ms, levels = KINDS[suffix].cadence_ms, KINDS[suffix].levels
    seen = 0
    for step in range(1, 20):
        for payload in decoded(publisher.advance(START_MS + step * cadence_ms))[suffix]:
            truth = json.loads(publisher.snapshot(levels))
            assert (payload["b"], payload["a"], payload["u"]) == (
                truth["bids"], truth["asks"], truth["lastUpdateId"],
            )  # fmt: skip
            assert len(payload["b"]) == levels
            seen += 1
    assert seen > 10


def test_trades_aggregates_and_candles_tell_the_same_story() -> None:
    publisher = publisher_of("trade", "aggTrade", "kline_1m")
    found = decoded(publisher.advance(START_MS + 180_000))
    trades, aggregates, candles = found["trade"], found["aggTrade"], found["kline_1m"]
    assert [trade["t"] for trade in trades] == list(range(trades[0]["t"], trades[-1]["t"] + 1))
    assert [item["a"] for item in aggregates] == list(range(1, len(aggregates) + 1))
    by_id = {trade["t"]: trade for trade in trades}
    for item in aggregates:
        parts = [by_id[identity] for identity in range(item["f"], item["l"] + 1)]
        assert sum(Decimal(part["q"]) for part in parts) == Decimal(item["q"])
        assert {(part["p"], part["m"], part["T"]) for part in parts} == {(item["p"], item["m"], item["T"])}
    assert any(item["l"] > item["f"] for item in aggregates)
    closed = [candle["k"] for candle in candles if candle["k"]["x"]]
    assert [candle["t"] for candle in closed] == [START_MS + minute * 60_000 for minute in range(3)]
    for candle in closed:
        inside = [item for item in aggregates if candle["t"] <= item["T"] <= candle["T"]]
        assert Decimal(candle["v"]) == sum(Decimal(item["q"]) for item in inside)
        assert Decimal(candle["q"]) == sum(Decimal(item["q"]) * Decimal(item["p"]) for item in inside)
        assert Decimal(candle["V"]) == sum(Decimal(item["q"]) for item in inside if not item["m"])
        assert (candle["o"], candle["c"]) == (inside[0]["p"], inside[-1]["p"])
        assert Decimal(candle["h"]) == max(Decimal(item["p"]) for item in inside)
        assert candle["n"] == sum(item["l"] - item["f"] + 1 for item in inside)


def test_the_ticker_tells_every_change_of_the_top_once() -> None:
    publisher = publisher_of("bookTicker")
    payloads = decoded(publisher.advance(START_MS + 20_000))["bookTicker"]
    tops = [(item["b"], item["B"], item["a"], item["A"]) for item in payloads]
    assert all(before != after for before, after in pairwise(tops))
    truth = json.loads(publisher.snapshot(5))
    assert tops[-1] == (*truth["bids"][0], *truth["asks"][0])


def test_marks_come_each_second_and_liquidations_at_most_so_often() -> None:
    publisher = publisher_of("markPrice@1s", "markPrice", "forceOrder")
    found = decoded(publisher.advance(START_MS + 600_000))
    assert [mark["E"] for mark in found["markPrice@1s"]] == [START_MS + s * 1000 for s in range(1, 601)]
    assert len(found["markPrice"]) == 200
    assert found["markPrice@1s"][0]["T"] == START_MS - START_MS % 28_800_000 + 28_800_000
    times = [order["E"] for order in found["forceOrder"]]
    assert times
    assert len(times) == len(set(times))
    assert all(order["E"] - 1000 <= order["o"]["T"] < order["E"] for order in found["forceOrder"])


@pytest.mark.parametrize(
    ("name", "served"),
    [
        ("btcusdt@depth@100ms", {"public", "legacy"}),
        ("btcusdt@trade", {"public", "legacy"}),
        ("btcusdt@bookTicker", {"public", "legacy"}),
        ("btcusdt@aggTrade", {"market"}),
        ("btcusdt@markPrice@1s", {"market"}),
        ("btcusdt@kline_1m", {"market"}),
        ("btcusdt@forceOrder", {"market"}),
    ],
)
def test_each_stream_has_one_route(name: str, served: set[str]) -> None:
    found = parse_stream(name)
    assert found is not None
    assert {
        route for route in ("public", "market", "private", "legacy") if is_served(found[1], route)
    } == served


@pytest.mark.parametrize("name", ["btcusdt", "BTCUSDT@trade", "btcusdt@depth@7ms", "@", "btcusdt@depth6", ""])
def test_what_is_no_stream_is_none(name: str) -> None:
    assert parse_stream(name) is None
