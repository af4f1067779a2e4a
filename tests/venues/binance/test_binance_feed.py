import asyncio
import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace

import msgspec
import pytest
import uvloop
from tests.venues.binance.fake_exchange import FakeExchange, RecordingSink, combined, running

from undertow.venues.binance.dialect import socket_market, stream_of
from undertow.venues.feeding import FeedSettings
from undertow.venues.sockets.feed import Feed

DEPTH, TRADES = "btcusdt@depth@100ms", "btcusdt@aggTrade"
BOTH: Mapping[str, Sequence[str]] = {"public": [DEPTH], "market": [TRADES]}
FAST = FeedSettings(backoff_s=0.001, backoff_limit_s=0.01, handover_retry_s=0.05, close_timeout_s=2.0)

Scenario = Callable[[FakeExchange, Feed, RecordingSink], Awaitable[None]]


def play(
    scenario: Scenario,
    streams: Mapping[str, Sequence[str]] = BOTH,
    settings: FeedSettings = FAST,
    loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None,
) -> tuple[Feed, RecordingSink]:
    """Run a feed against the fake exchange while the scenario lasts; a stopped feed must end by itself."""

    async def main() -> tuple[Feed, RecordingSink]:
        async with FakeExchange() as exchange:
            sink = RecordingSink(exchange.waiter)
            feed = Feed(socket_market(exchange.endpoints), streams, sink, settings)
            async with running(feed.run()) as task:
                await scenario(exchange, feed, sink)
                feed.stop()
                async with asyncio.timeout(10):
                    await task
            return feed, sink

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        return runner.run(main())


def ids(sink: RecordingSink, stream: str) -> list[int]:
    decoded = [msgspec.json.decode(frame) for _, frame in sink.frames]
    return [frame["data"]["u"] for frame in decoded if frame["stream"] == stream]


async def publish_until(
    exchange: FakeExchange, condition: Callable[[], bool], stream: str = DEPTH, first: int = 1
) -> int:
    """Publish consecutive ids until the condition holds; the last id."""
    last = first - 1
    async with asyncio.timeout(10):
        while not condition():
            last += 1
            await exchange.publish(combined(stream, u=last))
            await asyncio.sleep(0)
    return last


def test_each_route_has_its_socket_and_frames_arrive_as_sent() -> None:
    async def scenario(exchange: FakeExchange, feed: Feed, sink: RecordingSink) -> None:
        await exchange.subscribed(2)
        assert {line.path: line.streams for line in exchange.lines} == {
            "/public/stream": [DEPTH],
            "/market/stream": [TRADES],
        }
        await exchange.publish(combined(DEPTH, u=1))
        await exchange.publish(combined(TRADES, u=2))
        await exchange.waiter.until(lambda: len(sink.frames) == 2)

    feed, sink = play(scenario)
    assert {frame for _, frame in sink.frames} == {combined(DEPTH, u=1), combined(TRADES, u=2)}
    received = [receive_ns for receive_ns, _ in sink.frames]
    assert received == sorted(received)
    assert sink.losses == []
    assert feed.counters["connections"] == 2


@pytest.mark.scenario("C13", "hundreds of streams in few requests")
def test_many_streams_are_subscribed_in_few_requests() -> None:
    names = [f"s{number}usdt@bookTicker" for number in range(230)]

    async def scenario(exchange: FakeExchange, feed: Feed, sink: RecordingSink) -> None:
        await exchange.waiter.until(lambda: bool(exchange.lines) and len(exchange.lines[0].streams) == 230)
        (line,) = exchange.lines
        assert [len(request["params"]) for request in line.requests] == [100, 100, 30]
        assert line.streams == names

    play(scenario, {"public": names})


@pytest.mark.scenario("C14", "more streams than a connection may have: split")
def test_a_limit_on_streams_splits_the_socket() -> None:
    async def main() -> None:
        async with FakeExchange() as exchange:
            endpoints = replace(exchange.endpoints, streams_per_connection=2)
            names = [f"s{number}usdt@bookTicker" for number in range(5)]
            feed = Feed(socket_market(endpoints), {"public": names}, RecordingSink(exchange.waiter), FAST)
            async with running(feed.run()):
                lines = await exchange.subscribed(3)
                assert sorted(len(line.streams) for line in lines) == [1, 2, 2]

    asyncio.run(main())


@pytest.mark.scenario("C11", "a route that acknowledges and stays silent: an alarm that names it")
def test_a_stream_on_the_wrong_route_raises_an_alarm_that_names_the_cause() -> None:
    async def scenario(exchange: FakeExchange, feed: Feed, sink: RecordingSink) -> None:
        await exchange.subscribed(1)
        await exchange.publish(combined(DEPTH, u=1))
        await exchange.waiter.until(lambda: bool(sink.alarms))
        await exchange.waiter.until(lambda: feed.counters["connections"] >= 3)

    _, sink = play(scenario, {"market": [DEPTH]}, replace(FAST, heartbeat_s=0.05))
    assert len(sink.alarms) == 1, "said once, not at every attempt"
    assert "/market/stream" in sink.alarms[0]
    assert DEPTH in sink.alarms[0]
    assert "route is wrong" in sink.alarms[0]


def test_one_silent_stream_among_live_ones_raises_an_alarm() -> None:
    mark = "btcusdt@bookTicker"

    async def scenario(exchange: FakeExchange, feed: Feed, sink: RecordingSink) -> None:
        await exchange.subscribed(1)
        await publish_until(exchange, lambda: bool(sink.alarms))

    _, sink = play(scenario, {"public": [DEPTH, mark]}, replace(FAST, heartbeat_s=0.1))
    assert len(sink.alarms) == 1
    assert mark in sink.alarms[0]
    assert sink.losses == []


def test_a_reset_connection_is_reported_and_subscribed_again() -> None:
    async def scenario(exchange: FakeExchange, feed: Feed, sink: RecordingSink) -> None:
        await exchange.subscribed(2)
        await exchange.publish(combined(DEPTH, u=1))
        await exchange.waiter.until(lambda: len(sink.frames) == 1)
        exchange.open_lines("/public/")[0].cut()
        await exchange.waiter.until(lambda: len(exchange.lines) == 3 and bool(exchange.lines[2].streams))
        await exchange.publish(combined(DEPTH, u=2))
        await exchange.waiter.until(lambda: len(sink.frames) == 2)

    feed, sink = play(scenario)
    assert ids(sink, DEPTH) == [1, 2]
    assert [(category, streams) for category, _, streams in sink.losses] == [("public", frozenset({DEPTH}))]
    assert feed.counters["reconnects"] == 1


@pytest.mark.parametrize("code", [1000, 1001, 1008])
def test_a_closed_connection_is_reported_with_its_code(code: int) -> None:
    async def scenario(exchange: FakeExchange, feed: Feed, sink: RecordingSink) -> None:
        (line,) = await exchange.subscribed(1)
        await line.socket.close(code=code, message=b"going")
        await exchange.waiter.until(lambda: len(exchange.lines) == 2)

    _, sink = play(scenario, {"public": [DEPTH]})
    assert f"{code} going" in sink.losses[0][1]


def test_refused_connections_are_tried_again() -> None:
    async def scenario(exchange: FakeExchange, feed: Feed, sink: RecordingSink) -> None:
        exchange.refused_connects = 3
        await exchange.subscribed(1)
        assert feed.counters["failed_connects"] == 3

    _, sink = play(scenario, {"public": [DEPTH]})
    assert sink.losses == [], "a connection that never was cannot be lost"


def test_silence_replaces_the_socket() -> None:
    async def scenario(exchange: FakeExchange, feed: Feed, sink: RecordingSink) -> None:
        await exchange.subscribed(1)
        await exchange.publish(combined(DEPTH, u=1))
        await exchange.waiter.until(lambda: bool(sink.losses))
        await exchange.waiter.until(lambda: len(exchange.lines) == 2)

    _, sink = play(scenario, {"public": [DEPTH]}, replace(FAST, heartbeat_s=0.1))
    assert sink.losses[0][1] == "no data for 0.1 s"


@pytest.mark.scenario("X5", "we stand still for a while: data that waited is no silence")
def test_data_that_waited_while_we_were_busy_is_no_silence() -> None:
    async def scenario(exchange: FakeExchange, feed: Feed, sink: RecordingSink) -> None:
        await exchange.subscribed(1)
        await exchange.publish(combined(DEPTH, u=1))
        await exchange.waiter.until(lambda: len(sink.frames) == 1)
        for last in range(2, 6):
            await exchange.publish(combined(DEPTH, u=last))
            threading.Event().wait(0.25)
            await exchange.waiter.until(lambda: len(sink.frames) == last)  # noqa: B023 - awaited here

    _, sink = play(scenario, {"public": [DEPTH]}, replace(FAST, heartbeat_s=0.2), uvloop.new_event_loop)
    assert sink.losses == []


def test_liquidations_may_be_silent_and_are_handed_over_in_silence() -> None:
    async def scenario(exchange: FakeExchange, feed: Feed, sink: RecordingSink) -> None:
        await exchange.subscribed(1)
        await exchange.waiter.until(lambda: feed.counters["connections"] >= 3)

    settings = replace(FAST, heartbeat_s=0.05, rollover_s=0.15)
    feed, sink = play(scenario, {"market": ["btcusdt@forceOrder"]}, settings)
    assert sink.losses == []
    assert sink.alarms == []
    assert feed.counters["rollovers"] >= 1


@pytest.mark.parametrize("loop_factory", [None, uvloop.new_event_loop])
def test_rollover_loses_no_id_and_reports_no_loss(
    loop_factory: Callable[[], asyncio.AbstractEventLoop] | None,
) -> None:
    published = 0

    async def scenario(exchange: FakeExchange, feed: Feed, sink: RecordingSink) -> None:
        nonlocal published
        await exchange.subscribed(1)
        published = await publish_until(exchange, lambda: feed.counters["rollovers"] >= 3)
        await exchange.waiter.until(lambda: published in ids(sink, DEPTH))

    feed, sink = play(scenario, {"public": [DEPTH]}, replace(FAST, rollover_s=0.1), loop_factory)
    assert ids(sink, DEPTH) == list(range(1, published + 1)), "each once, though both sockets brought some"
    assert feed.arbiter.counters["redundant_frames"] > 0
    assert feed.counters["overlapping_frames"] > 0
    assert sink.losses == []


@pytest.mark.scenario("C7", "a shutdown notice, raw or combined: the successor first")
@pytest.mark.parametrize(
    "notice",
    [
        b'{"e":"serverShutdown","E":1770123456789}',
        b'{"stream":"!serverShutdown","data":{"e":"serverShutdown","E":1770123456789}}',
    ],
)
def test_a_shutdown_notice_brings_the_successor_first(notice: bytes) -> None:
    published = 0

    async def scenario(exchange: FakeExchange, feed: Feed, sink: RecordingSink) -> None:
        nonlocal published
        (line,) = await exchange.subscribed(1)
        await exchange.publish(combined(DEPTH, u=1))
        await line.socket.send_str(notice.decode())
        published = await publish_until(exchange, lambda: feed.counters["rollovers"] == 1, first=2)
        await exchange.waiter.until(lambda: published in ids_of_depth(sink))
        assert line.close_code == 1000, "closed by us, with a handshake"

    def ids_of_depth(sink: RecordingSink) -> set[int]:
        frames = [msgspec.json.decode(frame) for _, frame in sink.frames]
        return {frame["data"]["u"] for frame in frames if frame.get("stream") == DEPTH}

    _, sink = play(scenario, {"public": [DEPTH]})
    assert ids_of_depth(sink) == set(range(1, published + 1))
    assert sink.losses == []


def test_a_failed_handover_keeps_the_old_socket() -> None:
    async def scenario(exchange: FakeExchange, feed: Feed, sink: RecordingSink) -> None:
        await exchange.subscribed(1)
        exchange.refused_connects = 2
        await publish_until(exchange, lambda: feed.counters["rollovers"] == 1)
        assert feed.counters["failed_connects"] == 2

    _, sink = play(scenario, {"public": [DEPTH]}, replace(FAST, rollover_s=0.05))
    assert sink.losses == []


def test_fragments_are_joined_and_binary_frames_taken() -> None:
    frame = combined(DEPTH, u=1)
    binary = combined(DEPTH, u=2)

    async def scenario(exchange: FakeExchange, feed: Feed, sink: RecordingSink) -> None:
        (line,) = await exchange.subscribed(1)
        cuts = [frame[:10], frame[10:30], frame[30:]]
        heads = [0x01, 0x00, 0x80]
        for head, part in zip(heads, cuts, strict=True):
            line.write(bytes([head, len(part)]) + part)
            line.write(bytes([0x89, 0]))
        await line.socket.send_bytes(binary)
        await exchange.waiter.until(lambda: len(sink.frames) == 2)

    _, sink = play(scenario, {"public": [DEPTH]})
    assert [frame for _, frame in sink.frames] == [frame, binary]


@pytest.mark.scenario("C16", "pings are answered with their payload")
def test_pings_are_answered_with_their_payload() -> None:
    async def scenario(exchange: FakeExchange, feed: Feed, sink: RecordingSink) -> None:
        (line,) = await exchange.subscribed(1)
        await line.socket.ping(b"1770123456789")
        await exchange.waiter.until(lambda: line.pongs == [b"1770123456789"])

    play(scenario, {"public": [DEPTH]})


@pytest.mark.scenario("C12", "error replies to a subscription: an alarm")
@pytest.mark.parametrize(
    "refusal",
    [
        b'{"error":{"code":2,"msg":"Invalid request: too many streams"},"id":1}',
        b'{"code":2,"msg":"Invalid request: too many streams","id":1}',
    ],
)
def test_a_refused_subscription_is_an_alarm(refusal: bytes) -> None:
    async def scenario(exchange: FakeExchange, feed: Feed, sink: RecordingSink) -> None:
        exchange.refusal = refusal
        await exchange.waiter.until(lambda: bool(sink.alarms))

    _, sink = play(scenario, {"public": [DEPTH]})
    assert "too many streams" in sink.alarms[0]
    assert sink.frames == []


def test_garbage_is_passed_on_as_it_came() -> None:
    garbage = [
        b"<html>",
        b'{"stream":"btcusdt@depth@100ms","data":{"u":',
        b"\xff\xfe",
        b"[1,2]",
        b'{"e":"news"}',
    ]

    async def scenario(exchange: FakeExchange, feed: Feed, sink: RecordingSink) -> None:
        (line,) = await exchange.subscribed(1)
        for frame in garbage:
            await line.socket.send_bytes(frame)
        await exchange.waiter.until(lambda: len(sink.frames) == len(garbage))

    _, sink = play(scenario, {"public": [DEPTH]})
    assert [frame for _, frame in sink.frames] == garbage


def test_going_away_can_be_the_end() -> None:
    async def main() -> list[tuple[str, str, frozenset[str]]]:
        async with FakeExchange() as exchange:
            sink = RecordingSink(exchange.waiter)
            feed = Feed(socket_market(exchange.endpoints), BOTH, sink, replace(FAST, end_on_going_away=True))
            async with running(feed.run()) as task:
                for line in await exchange.subscribed(2):
                    await line.socket.close(code=1001, message=b"the simulation is over")
                async with asyncio.timeout(5):
                    await task
            return sink.losses

    assert asyncio.run(main()) == [], "what is over is not missing"


def test_the_market_may_end_while_a_socket_is_replaced() -> None:
    async def main() -> tuple[list[tuple[str, str, frozenset[str]]], Feed]:
        async with FakeExchange() as exchange:
            sink = RecordingSink(exchange.waiter)
            settings = replace(FAST, end_on_going_away=True, rollover_s=0.05, handover_timeout_s=60.0)
            feed = Feed(socket_market(exchange.endpoints), {"public": [DEPTH]}, sink, settings)
            async with running(feed.run()) as task:
                (old,) = await exchange.subscribed(1)
                await old.socket.send_bytes(combined(DEPTH, u=1))  # what the successor has to deliver too
                _, successor = await exchange.subscribed(2)
                await old.socket.close(code=1001, message=b"the simulation is over")
                await successor.socket.close(code=1001, message=b"the simulation is over")
                async with asyncio.timeout(5):
                    await task
            return sink.losses, feed

    losses, feed = asyncio.run(main())
    assert losses == []
    assert "disconnects" not in feed.counters
    assert feed.counters["connections"] == 2


@pytest.mark.parametrize(
    ("frame", "stream"),
    [
        (combined(DEPTH, u=1), DEPTH.encode()),
        (b'{ "stream" : "x@trade", "data": {}}', b"x@trade"),
        (b'{"stream":"cut', None),
        (b'{"lastUpdateId":1}', None),
        (b"\xff", None),
        ('{"stream":"牛来usdt@forceOrder","data":{}}'.encode(), "牛来usdt@forceOrder".encode()),
    ],
)
def test_stream_of(frame: bytes, stream: bytes | None) -> None:
    assert stream_of(frame) == stream
