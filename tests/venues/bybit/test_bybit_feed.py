"""The feed speaking Bybit's dialect with the simulated exchange: what it brings folds to the book."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

import msgspec
import pytest
from tests.venues.bybit.bybit_scenery import linear, new_sampler, play
from tests.venues.bybit.test_simulated_bybit import EVERYTHING, assert_book

from undertow.market.batch import EventKind
from undertow.market.events import Gap
from undertow.venues.arbiter import Arbiter
from undertow.venues.bybit.dialect import new_dialect, reply_of, socket_market, symbol_of, topic_of
from undertow.venues.bybit.endpoints import endpoints_for
from undertow.venues.bybit.frame_ids import TopicNumbering
from undertow.venues.bybit.mapper import BybitMapper
from undertow.venues.feeding import FeedSettings
from undertow.venues.mapped import Reason
from undertow.venues.marks import Disconnect
from undertow.venues.simulated_bybit.server import BybitServer
from undertow.venues.simulated_bybit.settings import Fault
from undertow.venues.sockets.feed import Feed

DEPTH = "orderbook.200.BTCUSDT"
ONE = FeedSettings(backoff_s=0.001, backoff_limit_s=0.01, close_timeout_s=2.0, end_on_going_away=True)
TWO = replace(ONE, copies=2, hole_wait_s=0.2)


class FoldingSink:
    """Folds what the feed brings, line by line, as a recorder would."""

    def __init__(self) -> None:
        self.mapper, self.sampler = BybitMapper(linear()), new_sampler()
        self.gaps: list[Gap] = []
        self.trades = 0
        self.losses: list[frozenset[str]] = []
        self.alarms: list[str] = []
        self.filtered: dict[str, int] = {}
        self.on_broken: Callable[[], object] = lambda: None

    def on_frame(self, receive_ns: int, frame: bytes) -> None:
        mapped = self.mapper.map(b"%d %s\n" % (receive_ns, frame))
        assert all(rejection.reason == Reason.OTHER_SYMBOL for rejection in mapped.rejections)
        for name, count in mapped.filtered.items():
            self.filtered[name] = self.filtered.get(name, 0) + count
        self.trades += int((mapped.batch.kind == EventKind.TRADE).sum())
        sampled = self.sampler.feed(mapped.batch)
        self.gaps += [gap for gap in sampled.gaps if gap.stream == "depth"]
        if self.sampler.book.needs_snapshot:
            self.on_broken()

    def on_disconnect(self, receive_ns: int, category: str, reason: str, streams: frozenset[str]) -> None:
        self.losses.append(streams)
        mark = {"stream": "!undertow", "data": Disconnect(category, reason)}
        self.on_frame(receive_ns, msgspec.json.encode(mark))

    def on_alarm(self, message: str) -> None:
        self.alarms.append(message)


Meanwhile = Callable[[BybitServer, Feed, FoldingSink], Awaitable[None]]
Check = Callable[[BybitServer, Feed, FoldingSink], None]


async def until(condition: Callable[[], bool]) -> None:
    """Wait, within the bound of `play`, until a condition holds."""
    while not condition():
        await asyncio.sleep(0.005)


async def all_subscribed(server: BybitServer, copies: int, topics: Sequence[str] = EVERYTHING) -> None:
    """Until so many sockets carry the topics."""
    clients = server.exchange.clients
    await until(lambda: len(clients) == copies and all(client.topics >= set(topics) for client in clients))


async def some_time(server: BybitServer, seconds: float = 2.0) -> None:
    """Until so much more simulated time has passed."""
    end_ms = server.exchange.elapsed_ms + seconds * 1000
    await until(lambda: server.exchange.elapsed_ms >= end_ms)


def run_feed(
    meanwhile: Meanwhile,
    check: Check = lambda _server, _feed, _sink: None,
    *,
    settings: FeedSettings = ONE,
    topics: Sequence[str] = EVERYTHING,
    speed: float = 10.0,
    ping_every_s: float = 20.0,
    symbols: str = "BTCUSDT",
) -> None:
    """Feed a sink from a fresh server while something happens; end the market, then check."""

    async def scene(server: BybitServer) -> None:
        endpoints = replace(endpoints_for("sim-bybit", server.url), ping_every_s=ping_every_s)
        sink = FoldingSink()
        feed = Feed(socket_market(endpoints), {"public": list(topics)}, sink, settings)
        refreshes: dict[int, asyncio.Task[None]] = {}

        def refresh() -> None:
            lost_ns = sink.sampler.book.lost_ns
            if lost_ns not in refreshes:
                refreshes[lost_ns] = asyncio.create_task(feed.refresh(DEPTH))

        sink.on_broken = refresh
        running = asyncio.create_task(feed.run())
        await meanwhile(server, feed, sink)
        server.exchange.is_ending = True
        await running
        await asyncio.gather(*refreshes.values())
        check(server, feed, sink)

    play(scene, speed=speed, duration_s=None, symbols=symbols)


def test_what_the_feed_brings_folds_to_the_servers_book() -> None:
    async def meanwhile(server: BybitServer, feed: Feed, sink: FoldingSink) -> None:
        await some_time(server, 8.0)

    def check(server: BybitServer, feed: Feed, sink: FoldingSink) -> None:
        market = server.exchange.markets["BTCUSDT"]
        assert_book(sink.sampler, market)
        assert sink.trades == market.trade_count
        assert feed.counters["connections"] == 1
        assert (sink.gaps, sink.losses, sink.alarms, sink.filtered) == ([], [], [], {})

    run_feed(meanwhile, check)


def test_a_lost_connection_is_told_and_the_next_brings_the_book() -> None:
    async def meanwhile(server: BybitServer, feed: Feed, sink: FoldingSink) -> None:
        await until(lambda: sink.sampler.is_synced and sink.trades > 0)
        await some_time(server)
        server.exchange.act(Fault("disconnect", 0.0))
        await until(lambda: bool(sink.losses) and sink.sampler.is_synced)
        await some_time(server)

    def check(server: BybitServer, feed: Feed, sink: FoldingSink) -> None:
        assert_book(sink.sampler, server.exchange.markets["BTCUSDT"])
        assert sink.losses == [frozenset(EVERYTHING)]
        assert [gap.cause for gap in sink.gaps] == ["disconnected"]
        assert feed.counters["reconnects"] == 1

    run_feed(meanwhile, check)


def test_of_two_connections_either_may_be_lost_unnoticed() -> None:
    async def lose_one(server: BybitServer, feed: Feed) -> None:
        lost = feed.counters["disconnects"]
        await all_subscribed(server, 2)
        await some_time(server)
        server.exchange.act(Fault("disconnect", 0.0))
        await until(lambda: feed.counters["disconnects"] > lost)

    async def meanwhile(server: BybitServer, feed: Feed, sink: FoldingSink) -> None:
        await lose_one(server, feed)
        await lose_one(server, feed)
        await all_subscribed(server, 2)
        await some_time(server)

    def check(server: BybitServer, feed: Feed, sink: FoldingSink) -> None:
        market = server.exchange.markets["BTCUSDT"]
        assert_book(sink.sampler, market)
        assert sink.trades == market.trade_count
        assert (sink.losses, sink.gaps) == ([], [])
        assert feed.counters["disconnects"] == 2
        assert sink.sampler.book.snapshot_count == 1
        assert feed.arbiter.counters["redundant_frames"] > 50

    run_feed(meanwhile, check, settings=TWO)


@pytest.mark.parametrize("settings", [ONE, TWO], ids=["one connection", "two connections"])
def test_ids_that_begin_anew_are_one_restatement(settings: FeedSettings) -> None:
    async def meanwhile(server: BybitServer, feed: Feed, sink: FoldingSink) -> None:
        await all_subscribed(server, settings.copies)
        await some_time(server)
        server.exchange.act(Fault("restart", 0.0))
        await some_time(server, 4.0)

    def check(server: BybitServer, feed: Feed, sink: FoldingSink) -> None:
        market = server.exchange.markets["BTCUSDT"]
        assert market.books[200].update_id < 1000
        assert_book(sink.sampler, market)
        assert [gap.cause for gap in sink.gaps] == ["book restated"]
        assert feed.arbiter.counters["holes"] == 0

    run_feed(meanwhile, check, settings=settings)


@pytest.mark.parametrize("settings", [ONE, TWO], ids=["one connection", "two connections"])
def test_an_update_that_nobody_got_is_healed_by_asking_for_the_snapshot(settings: FeedSettings) -> None:
    async def meanwhile(server: BybitServer, feed: Feed, sink: FoldingSink) -> None:
        await all_subscribed(server, settings.copies)
        await some_time(server)
        server.exchange.act(Fault("drop", 0.0, topic=DEPTH))
        await until(lambda: bool(sink.gaps) and sink.sampler.is_synced)
        await all_subscribed(server, settings.copies)
        await some_time(server)

    def check(server: BybitServer, feed: Feed, sink: FoldingSink) -> None:
        assert server.exchange.dropped[DEPTH] == 1
        assert_book(sink.sampler, server.exchange.markets["BTCUSDT"])
        assert [gap.cause for gap in sink.gaps] == ["update ids missing"]
        assert feed.counters["resubscriptions"] == settings.copies

    run_feed(meanwhile, check, settings=settings)


def test_a_refused_subscription_is_told_and_asked_for_again() -> None:
    async def meanwhile(server: BybitServer, feed: Feed, sink: FoldingSink) -> None:
        server.exchange.act(Fault("refuse", 0.0))
        await until(lambda: sink.sampler.is_synced)

    def check(server: BybitServer, feed: Feed, sink: FoldingSink) -> None:
        assert any("refused: error:service busy" in alarm for alarm in sink.alarms)

    run_feed(meanwhile, check, settings=replace(ONE, heartbeat_s=0.1), speed=1.0)


def test_the_feed_pings_as_the_exchange_wants_it() -> None:
    async def meanwhile(server: BybitServer, feed: Feed, sink: FoldingSink) -> None:
        await until(lambda: server.exchange.pings >= 3)

    def check(server: BybitServer, feed: Feed, sink: FoldingSink) -> None:
        assert feed.counters["disconnects"] == 0
        assert sink.alarms == []

    run_feed(meanwhile, check, speed=1.0, ping_every_s=0.02)


def test_requests_carry_no_more_topics_than_allowed_and_streams_come_and_go() -> None:
    topics = [f"orderbook.{depth}.BTCUSDT" for depth in (1, 50, 200, 1000)]
    topics += [topic for topic in EVERYTHING if topic != DEPTH]
    topics += [topic.replace("BTC", "ETH") for topic in topics]

    async def meanwhile(server: BybitServer, feed: Feed, sink: FoldingSink) -> None:
        await all_subscribed(server, 1, topics)
        client = server.exchange.clients[0]
        feed.add({"public": ["orderbook.1.SOLUSDT"]})
        await until(lambda: len(server.exchange.clients) == 2)
        await feed.drop(topics[:2])
        await until(lambda: client.topics == set(topics[2:]))

    def check(server: BybitServer, feed: Feed, sink: FoldingSink) -> None:
        assert sink.alarms == []

    run_feed(meanwhile, check, topics=topics, speed=1.0, symbols="BTCUSDT,ETHUSDT,SOLUSDT")


def book_frame(update_id: int, sequence: int, kind: str = "delta") -> bytes:
    head = b'{"topic":"orderbook.200.BTCUSDT","type":"%s","ts":1,"data":{"s":"BTCUSDT",' % kind.encode()
    return head + b'"b":[["1","2"]],"a":[],"u":%d,"seq":%d},"cts":1}' % (update_id, sequence)


def test_two_connections_with_a_restart_between_them_are_one_chain() -> None:
    out: list[bytes] = []
    arbiter = Arbiter(TopicNumbering().of, lambda _, frame: out.append(frame))
    old = [book_frame(900, 10, "snapshot"), *(book_frame(u, u - 890) for u in (901, 902, 903))]
    new = [book_frame(1, 20, "snapshot"), book_frame(2, 21), book_frame(3, 22)]
    topic = DEPTH.encode()
    for connection in (1, 2):
        arbiter.join(connection, topic)
    for connection, frame in [
        *((1, frame) for frame in old),
        *((1, frame) for frame in new[:2]),
        *((2, frame) for frame in old),
        *((2, frame) for frame in new),
        (1, new[2]),
        (1, book_frame(4, 30)),
    ]:
        arbiter.offer(connection, topic, frame, 0.0)
    assert out == [*old, *new, book_frame(4, 30)]
    assert arbiter.counters["holes"] == 0


def test_a_snapshot_behind_the_stream_is_a_copy_unless_it_was_asked_for() -> None:
    numbering = TopicNumbering()
    out: list[bytes] = []
    arbiter = Arbiter(numbering.of, lambda _, frame: out.append(frame))
    topic = DEPTH.encode()
    frames = [book_frame(900, 10, "snapshot"), book_frame(901, 11), book_frame(902, 12)]
    for connection in (1, 2):
        arbiter.join(connection, topic)
    for frame in frames:
        arbiter.offer(1, topic, frame, 0.0)
    arbiter.offer(2, topic, book_frame(901, 13, "snapshot"), 0.0)
    assert out == frames
    numbering.expect_snapshot(topic)
    stale, wanted = book_frame(901, 14, "snapshot"), book_frame(902, 15, "snapshot")
    arbiter.offer(2, topic, stale, 0.0)
    arbiter.offer(1, topic, wanted, 0.0)
    arbiter.offer(2, topic, wanted, 0.0)
    arbiter.offer(1, topic, book_frame(903, 16), 0.0)
    assert out == [*frames, wanted, book_frame(903, 16)]


def test_what_a_frame_is_about() -> None:
    assert topic_of(b'{"type":"delta", "topic": "tickers.BTCUSDT"}') == b"tickers.BTCUSDT"
    assert topic_of(b'{"topic":"cut') is None
    assert topic_of(b"nonsense") is None
    assert symbol_of(b"kline.1.BTCUSDT") == b"BTCUSDT"
    pongs = b'{"op":"pong","args":["1"]}', b'{"success":true,"ret_msg":"pong","op":"ping"}'
    assert all(reply is not None and reply.is_pong for reply in map(reply_of, pongs))
    granted = reply_of(b'{"success":true,"ret_msg":"","conn_id":"c","req_id":"1","op":"subscribe"}')
    assert granted is not None
    assert granted.error is None
    assert reply_of(b'{"hello":1}') is None
    market = socket_market(endpoints_for())
    assert market.patience_of("orderbook.200.BTCUSDT") == 1.0
    assert market.patience_of("allLiquidation.BTCUSDT") is None
    assert new_dialect(endpoints_for()).streams_per_request == 10
