"""Two sockets a stream: either may fail unnoticed. Silent streams: what is tried, and what is said."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest
from tests.venues.binance.fake_exchange import FakeExchange, Line, RecordingSink, combined
from tests.venues.binance.test_binance_feed import DEPTH, FAST, TRADES, ids, play, publish_until

from undertow.venues.sockets.feed import Feed

TWO = replace(FAST, copies=2, hole_wait_s=0.2)
MARK = "btcusdt@markPrice@1s"
PUBLIC: Mapping[str, Sequence[str]] = {"public": [DEPTH]}


def depth(last: int) -> bytes:
    """An update whose chain is consecutive."""
    return combined(DEPTH, u=last, pu=last - 1)


async def send(line: Line, *frames: bytes) -> None:
    for frame in frames:
        await line.socket.send_bytes(frame)


def test_one_of_two_sockets_may_be_cut_unnoticed() -> None:
    async def scenario(exchange: FakeExchange, feed: Feed, sink: RecordingSink) -> None:
        first, second = await exchange.subscribed(2)
        for line in (first, second):
            await send(line, depth(1), depth(2))
        await exchange.waiter.until(lambda: ids(sink, DEPTH) == [1, 2])
        first.cut()
        await send(second, depth(3))
        await exchange.waiter.until(lambda: feed.counters["disconnects"] == 1)
        await exchange.waiter.until(lambda: 3 in ids(sink, DEPTH))
        await exchange.waiter.until(lambda: len(exchange.open_lines()) == 2)

    feed, sink = play(scenario, PUBLIC, TWO)
    assert ids(sink, DEPTH) == [1, 2, 3]
    assert sink.losses == []
    assert feed.counters["reconnects"] == 1


def test_what_one_socket_dropped_comes_from_the_other_in_order() -> None:
    async def scenario(exchange: FakeExchange, feed: Feed, sink: RecordingSink) -> None:
        first, second = await exchange.subscribed(2)
        await send(second, depth(1))
        await exchange.waiter.until(lambda: feed.counters["frames"] == 1)
        await send(first, depth(1), depth(2), depth(4), depth(5))
        await exchange.waiter.until(lambda: 2 in ids(sink, DEPTH))
        await send(second, depth(2), depth(3), depth(4), depth(5))
        await exchange.waiter.until(lambda: 5 in ids(sink, DEPTH))

    feed, sink = play(scenario, PUBLIC, TWO)
    assert ids(sink, DEPTH) == [1, 2, 3, 4, 5]
    assert feed.arbiter.counters["holes"] == 0


def test_a_hole_on_both_sockets_is_let_through_when_the_wait_is_over() -> None:
    async def scenario(exchange: FakeExchange, feed: Feed, sink: RecordingSink) -> None:
        first, second = await exchange.subscribed(2)
        await send(second, depth(1))
        await exchange.waiter.until(lambda: feed.counters["frames"] == 1)
        await send(first, depth(1), depth(3))
        await exchange.waiter.until(lambda: 3 in ids(sink, DEPTH))

    feed, sink = play(scenario, PUBLIC, TWO)
    assert ids(sink, DEPTH) == [1, 3]
    assert feed.arbiter.counters["holes"] == 1


def test_both_sockets_lost_is_one_loss() -> None:
    async def scenario(exchange: FakeExchange, feed: Feed, sink: RecordingSink) -> None:
        for line in await exchange.subscribed(2):
            await send(line, depth(1))
        await exchange.waiter.until(lambda: feed.counters["frames"] == 2)
        for line in exchange.open_lines():
            line.cut()
        await exchange.waiter.until(lambda: feed.counters["disconnects"] == 2)
        await exchange.waiter.until(lambda: len(exchange.open_lines()) == 2)

    _, sink = play(scenario, PUBLIC, TWO)
    assert len(sink.losses) == 1
    assert sink.losses[0][2] == frozenset({DEPTH})


def test_a_stream_that_falls_silent_is_subscribed_to_anew() -> None:
    mark = "btcusdt@bookTicker"

    async def scenario(exchange: FakeExchange, feed: Feed, sink: RecordingSink) -> None:
        (line,) = await exchange.subscribed(1)
        await exchange.publish(combined(mark, u=1))
        await publish_until(exchange, lambda: feed.counters["resubscriptions"] >= 1)
        await publish_until(
            exchange, lambda: any(r["method"] == "UNSUBSCRIBE" for r in line.requests), first=10**6
        )

    _, sink = play(scenario, {"public": [DEPTH, mark]}, replace(FAST, heartbeat_s=0.1))
    assert len(sink.alarms) == 1
    assert "subscribed to anew" in sink.alarms[0]


@pytest.mark.scenario(
    "C10", "a stream on the wrong route: found on the other one, collected from there, and named"
)
@pytest.mark.scenario(
    "C10", "a stream on the wrong route: found on the other one, collected from there, and named"
)
def test_a_stream_on_the_wrong_route_is_found_on_the_other_and_named() -> None:
    """Depth is alive on /public; a stream asked for there is acknowledged and comes on /market only."""

    async def scenario(exchange: FakeExchange, feed: Feed, sink: RecordingSink) -> None:
        await exchange.subscribed(1)
        last = 0
        async with asyncio.timeout(20):
            while not any("comes on this route" in alarm for alarm in sink.alarms):
                last += 1
                for line in exchange.open_lines("/public"):
                    await send(line, combined(DEPTH, u=last, pu=last - 1))
                for line in exchange.open_lines("/market"):
                    if TRADES in line.streams:
                        await send(line, combined(TRADES, a=last))
                await asyncio.sleep(0.001)

    feed, sink = play(scenario, {"public": [DEPTH, TRADES]}, replace(FAST, heartbeat_s=0.05))
    assert feed.counters["detours"] == 1
    assert "/market/stream" in sink.alarms[-1]
    assert TRADES in sink.alarms[-1]
    assert any(b"aggTrade" in frame for _, frame in sink.frames), "it is collected meanwhile"


def test_an_exchange_that_halts_is_one_incident() -> None:
    async def scenario(exchange: FakeExchange, feed: Feed, sink: RecordingSink) -> None:
        await exchange.subscribed(2)
        await exchange.publish(combined(DEPTH, u=1))
        await exchange.publish(combined(MARK, E=1))
        await exchange.waiter.until(lambda: feed.counters["disconnects"] >= 2)

    streams = {"public": [DEPTH], "market": [MARK]}
    _, sink = play(scenario, streams, replace(FAST, heartbeat_s=0.1))
    assert sum("halted" in alarm for alarm in sink.alarms) == 1
