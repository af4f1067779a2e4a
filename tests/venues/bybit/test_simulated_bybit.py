"""The simulated Bybit over real sockets: its protocol, its faults, and a client's book against its own."""

import math
from collections import Counter

import aiohttp
import pytest
from tests.venues.bybit.bybit_scenery import (
    PlainClient,
    connect,
    journal,
    linear,
    new_sampler,
    of_topic,
    play,
    sampled_levels,
)

from undertow.book.ladder import ASK, BID, levels
from undertow.frames.sampler import Sampler
from undertow.market.batch import EventKind
from undertow.market.events import Kline, Liquidation, MarkPrice, OpenInterest
from undertow.venues.bybit.mapper import BybitMapper
from undertow.venues.bybit.messages import answer_frame
from undertow.venues.simulated_bybit.server import BybitServer
from undertow.venues.simulated_bybit.settings import Fault
from undertow.venues.simulated_bybit.topics import MarketTopics

DEPTH = "orderbook.200.BTCUSDT"
EVERYTHING = (DEPTH, "publicTrade.BTCUSDT", "tickers.BTCUSDT", "allLiquidation.BTCUSDT", "kline.1.BTCUSDT")


def assert_book(sampler: Sampler, market: MarketTopics, depth: int = 200) -> None:
    """The folded book is the exchange's, as last pushed."""
    told = market.books[depth]
    for side, expected in ((BID, told.bids), (ASK, told.asks)):
        ticks, lots = levels(sampler.ladder, side)
        assert dict(zip(ticks.tolist(), lots.tolist(), strict=True)) == expected
    assert sampler.book.book_id == told.update_id


def test_requests_are_answered_and_errors_are_told() -> None:
    async def scene(server: BybitServer) -> None:
        client = await connect(server)
        client.send(b'{"op":"ping","req_id":"7"}')
        pong = await client.reply()
        assert (pong["op"], pong["ret_msg"], pong["success"], pong["req_id"]) == ("ping", "pong", True, "7")
        client.came.clear()
        client.subscribe("orderbook.3.BTCUSDT")
        refused = await client.reply()
        assert not refused["success"]
        assert refused["ret_msg"] == "error:handler not found,topic:orderbook.3.BTCUSDT"
        client.came.clear()
        client.subscribe(*(["publicTrade.BTCUSDT"] * 11))
        assert (await client.reply())["ret_msg"] == "error:too many args"
        client.came.clear()
        client.send(b"hello")
        assert (await client.reply())["ret_msg"] == "error:request is no JSON"
        assert server.exchange.elapsed_ms == 0

    play(scene)


def best(side: tuple[dict[int, int], int]) -> dict[int, int]:
    """The levels that a sample holds of a side; its second part is the direction away from the best."""
    levels_of, away = side
    return {tick: levels_of[tick] for tick in sorted(levels_of, key=lambda tick: away * tick)[:200]}


async def collected(server: BybitServer, *topics: str) -> PlainClient:
    """A client that has read these topics until the market ended."""
    client = await connect(server)
    client.subscribe(*topics)
    await client.ended.wait()
    return client


@pytest.mark.parametrize("depth", [50, 200, 1000])
def test_a_plain_clients_book_is_the_servers_at_every_sample(depth: int) -> None:
    topic = f"orderbook.{depth}.BTCUSDT"

    async def scene(server: BybitServer) -> None:
        client = await collected(server, topic, *EVERYTHING[1:])
        market = server.exchange.markets["BTCUSDT"]
        mapper, sampler = BybitMapper(linear(), depth), new_sampler()
        mapped = mapper.map(journal(client.frames))
        assert not mapped.rejections
        assert not mapped.unknown_fields
        assert not mapped.unknown_types
        assert mapped.filtered == {"reply.subscribe": 1}
        sampled = sampler.feed(mapped.batch)
        found = sampled_levels(sampled)
        assert len(found) >= 18
        for update_id, bids, asks in found:
            told = market.books[depth].told[update_id]
            assert (bids, asks) == tuple(best(side) for side in zip(told, (-1, 1), strict=True))
        assert_book(sampler, market, depth)
        assert sampler.is_synced
        assert not [gap for gap in sampled.gaps if gap.stream == "depth"]
        kinds = Counter(mapped.batch.kind.tolist())
        assert kinds[EventKind.TRADE] == market.trade_count > 100
        assert kinds[EventKind.BASE] == 1
        assert kinds[EventKind.DELTA] == server.exchange.sent[topic]
        assert mapped.batch.trade_id[mapped.batch.kind == EventKind.TRADE].tolist() == sorted(
            mapped.batch.trade_id[mapped.batch.kind == EventKind.TRADE].tolist()
        )

    play(scene, duration_s=20.0, activity=3.0)


def test_the_other_topics_agree_with_the_market() -> None:
    async def scene(server: BybitServer) -> None:
        client = await collected(server, *EVERYTHING, "orderbook.1.BTCUSDT")
        topics = server.exchange.markets["BTCUSDT"]
        market = topics.market
        mapped = BybitMapper(linear()).map(journal(client.frames))
        assert not mapped.rejections
        marks = [event for event in mapped.others if isinstance(event, MarkPrice)]
        interests = [event for event in mapped.others if isinstance(event, OpenInterest)]
        liquidated = [event for event in mapped.others if isinstance(event, Liquidation)]
        candles = [event for event in mapped.others if isinstance(event, Kline) and event.is_closed]
        final = market.mark(server.exchange.now_ms)
        assert (f"{marks[-1].mark_price:.8f}", f"{marks[-1].index_price:.8f}") == (
            final.price,
            final.index_price,
        )
        assert marks[-1].next_funding_ns == final.next_funding_ms * 1_000_000
        assert interests[-1].open_interest == linear().quantity.to_float(market.open_interest_lots)
        assert liquidated
        batch = mapped.batch
        made = set(
            zip(
                batch.event_ns.tolist(),
                batch.is_buyer_maker.tolist(),
                batch.price_ticks.tolist(),
                strict=True,
            )
        )
        step = linear().price
        for event in liquidated:
            assert (event.event_ns, event.is_sell, round(event.price * step.divisor / step.units)) in made
        assert [candle.open_ns for candle in candles] == [
            candle.open_ms * 1_000_000 for candle in market.candles[: len(candles)]
        ]
        assert len(candles) == 1
        assert candles[0].volume == linear().quantity.to_float(market.candles[0].lots)
        assert math.isclose(
            candles[0].quote_volume, market.candles[0].amount * linear().price.to_float(1) * 0.001
        )
        quotes = of_topic(client.frames, "orderbook.1.")
        assert all(frame["type"] == "snapshot" for frame in quotes)
        book = topics.books[1]
        assert {float(quotes[-1]["data"]["b"][0][0])} == {linear().price.to_float(tick) for tick in book.bids}

    play(scene, duration_s=61.0, activity=3.0, start_ms=1_767_652_800_000)


def test_a_delta_that_is_lost_costs_the_book_until_its_snapshot_is_asked_for_again() -> None:
    async def scene(server: BybitServer) -> None:
        client = await connect(server)
        client.subscribe(DEPTH)
        mapper, sampler = BybitMapper(linear()), new_sampler()
        gaps, done, asked = [], 0, 0
        while not client.ended.is_set():
            await client.came.wait()
            client.came.clear()
            lines = journal(client.frames[done:], 1_767_652_800_000_000_000 + done)
            done = len(client.frames)
            gaps += sampler.feed(mapper.map(lines).batch).gaps
            if sampler.book.needs_snapshot and not asked:
                asked += 1
                client.subscribe(DEPTH, op="unsubscribe")
                client.subscribe(DEPTH)
        assert server.exchange.dropped[DEPTH] == 1
        assert asked == 1
        assert [(gap.stream, gap.cause) for gap in gaps] == [("depth", "update ids missing")]
        assert_book(sampler, server.exchange.markets["BTCUSDT"])
        assert sampler.is_synced

    play(scene, Fault("drop", 2.0, topic=DEPTH), duration_s=8.0)


def test_a_snapshot_in_the_stream_replaces_the_book_also_where_ids_begin_anew() -> None:
    async def scene(server: BybitServer) -> None:
        client = await collected(server, DEPTH)
        books = of_topic(client.frames, DEPTH)
        kinds = [frame["type"] for frame in books]
        assert kinds.count("snapshot") == 3
        ids = [frame["data"]["u"] for frame in books]
        restart = ids.index(1)
        assert kinds[restart] == "snapshot"
        assert ids[:restart] == list(range(ids[0], ids[0] + restart))
        assert ids[restart:] == list(range(1, len(ids) - restart + 1))
        sampler = new_sampler()
        sampled = sampler.feed(BybitMapper(linear()).map(journal(client.frames)).batch)
        market = server.exchange.markets["BTCUSDT"]
        for update_id, bids, asks in sampled_levels(sampled):
            assert (bids, asks) == market.books[200].told[update_id]
        assert_book(sampler, market)
        assert [gap.cause for gap in sampled.gaps] == ["book restated", "book restated"]

    play(scene, Fault("snapshot", 2.0), Fault("restart", 5.0), duration_s=8.0)


def test_a_socket_that_is_cut_and_one_that_never_pings() -> None:
    async def scene(server: BybitServer) -> None:
        client = await connect(server)
        client.subscribe(DEPTH)
        await client.ended.wait()
        assert len(of_topic(client.frames, DEPTH)) > 5
        silent = await connect(server)
        await silent.ended.wait()
        assert not silent.frames

    play(scene, Fault("disconnect", 2.0), silence_s=0.3, duration_s=None)


def test_a_service_that_is_busy_refuses_and_serves_later() -> None:
    async def scene(server: BybitServer) -> None:
        server.exchange.act(Fault("refuse", 0.0))
        client = await connect(server)
        client.subscribe(DEPTH)
        assert (await client.reply())["ret_msg"] == "error:service busy"
        client.subscribe(DEPTH)
        await client.ended.wait()
        assert of_topic(client.frames, DEPTH)[0]["type"] == "snapshot"

    play(scene, duration_s=1.0)


def test_the_rest_book_continues_as_the_topic_of_its_depth() -> None:
    async def scene(server: BybitServer) -> None:
        topic = "orderbook.1000.BTCUSDT"
        client = await connect(server)
        client.subscribe(topic)
        async with aiohttp.ClientSession(server.url + "/v5/market/") as session:
            parameters = {"category": "linear", "symbol": "BTCUSDT", "limit": "1000"}
            async with session.get("orderbook", params=parameters) as response:
                body = await response.read()
        await client.ended.wait()
        deltas = [f for f in client.frames if b'"type":"delta"' in f]
        frames = [answer_frame("orderbook.1000", "BTCUSDT", body), *deltas]
        sampler = new_sampler()
        sampler.feed(BybitMapper(linear(), 1000).map(journal(frames)).batch)
        assert sampler.is_synced
        assert_book(sampler, server.exchange.markets["BTCUSDT"], 1000)

    play(scene, duration_s=4.0)


def test_too_many_requests_are_forbidden() -> None:
    async def scene(server: BybitServer) -> None:
        async with aiohttp.ClientSession(server.url + "/v5/market/") as session:
            statuses = []
            for _ in range(4):
                async with session.get("time") as response:
                    statuses.append(response.status)
            assert statuses == [200, 200, 200, 403]

    play(scene, requests_per_window=3, window_s=60.0)
