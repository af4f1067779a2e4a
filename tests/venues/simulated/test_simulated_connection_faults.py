"""Connections closed, cut, frozen and refused."""

import asyncio
import contextlib
import json
from itertools import pairwise

import aiohttp
import pytest
from tests.venues.simulated.scenery import DEPTH, TRADES, Scenery, play, read_all

from undertow.venues.simulated.exchange import DEFAULT_START_MS
from undertow.venues.simulated.faults import Fault

PUBLIC = f"/public/stream?streams={DEPTH}"
MARKET = f"/market/stream?streams={TRADES}"


@pytest.mark.parametrize("code", [1000, 1001, 1006, 1008, 1012])
def test_a_connection_is_closed_with_its_code(code: int) -> None:
    async def scene(at: Scenery) -> None:
        async with at.socket(PUBLIC) as socket:
            frames = await read_all(socket)
            assert socket.close_code == code
        assert frames[-1]["data"]["E"] == DEFAULT_START_MS + 1000

    play(scene, Fault(at_s=1.0, kind="close", code=code), duration_s=None)


def test_only_the_connection_that_is_meant_is_closed() -> None:
    async def scene(at: Scenery) -> None:
        async with at.socket(PUBLIC) as one, at.socket(MARKET) as two, at.socket(PUBLIC) as three:
            await asyncio.gather(*map(read_all, (one, two, three)))
            assert (one.close_code, two.close_code, three.close_code) == (1001, 1008, 1000)

    faults = (
        Fault(at_s=1.0, kind="kick", stream=TRADES),
        Fault(at_s=1.5, kind="close", code=1000, connection=1),
        Fault(at_s=1.5, kind="close", code=1000, route="legacy"),
    )
    play(scene, *faults)


def test_a_fault_waits_for_its_connection() -> None:
    async def scene(at: Scenery) -> None:
        async with at.socket(PUBLIC) as first:
            reading = asyncio.create_task(read_all(first))
            while at.server.exchange.elapsed_ms < 1000:
                await asyncio.sleep(0.001)
            async with at.socket(PUBLIC) as second:
                await read_all(second)
                assert second.close_code == 1008
            await at.fault(kind="close", code=1000, connection=0)
            await reading
        assert first.close_code == 1000

    play(scene, Fault(at_s=0.5, kind="kick", connection=1), duration_s=None)


def test_a_reset_is_seen_as_one() -> None:
    async def scene(at: Scenery) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", at.server.port)
        writer.write(
            f"GET /public/ws/{DEPTH} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
        )
        with pytest.raises(ConnectionResetError):
            await reader.read(-1)
        writer.close()

    play(scene, Fault(at_s=0.3, kind="reset"), speed=1.0, duration_s=None)


def test_a_half_open_connection_neither_sends_nor_answers_nor_ends() -> None:
    async def scene(at: Scenery) -> None:
        async with at.socket(PUBLIC) as dead, at.socket(MARKET) as other:
            reading = asyncio.create_task(read_all(other))
            times = []
            with contextlib.suppress(TimeoutError):
                while True:
                    message = await asyncio.wait_for(dead.receive(), 0.5)
                    if message.type is aiohttp.WSMsgType.TEXT:
                        times.append(json.loads(message.data)["data"]["E"] - DEFAULT_START_MS)
            assert times[-1] == 1000
            await dead.ping()
            await dead.send_json({"method": "LIST_SUBSCRIPTIONS", "id": 1})
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(dead.receive(), 0.3)
            assert not dead.closed
            assert (await at.counters())["clients"] == 1
            reading.cancel()

    play(scene, Fault(at_s=1.0, kind="half_open", stream=DEPTH), duration_s=None)


def test_a_connection_without_pings_still_brings_data() -> None:
    async def scene(at: Scenery) -> None:
        async with at.socket(PUBLIC, autoping=False) as socket:
            kinds = [(await socket.receive()).type for _ in range(30)]
            assert set(kinds[-20:]) == {aiohttp.WSMsgType.TEXT}

    play(scene, Fault(at_s=0.0, kind="no_pings"), ping_every_s=0.01, pong_within_s=60.0, speed=30.0)


@pytest.mark.parametrize("path", [PUBLIC, f"/public/ws/{DEPTH}"])
def test_a_shutdown_is_announced_before_it_comes(path: str) -> None:
    async def scene(at: Scenery) -> None:
        async with at.socket(path) as socket:
            frames = await read_all(socket)
            assert socket.close_code == 1012
        notice = {"e": "serverShutdown", "E": DEFAULT_START_MS + 1000}
        wrapped = {"stream": "!serverShutdown", "data": notice} if path == PUBLIC else notice
        assert frames.count(wrapped) == 1
        assert len(frames) - frames.index(wrapped) > 15

    play(scene, Fault(at_s=1.0, kind="shutdown_notice", for_s=2.0), duration_s=None)


REFUSED = {code: Fault(at_s=1.0, kind="refuse_connections", for_s=60.0, code=code) for code in (0, 503)}


def is_refusing(at: Scenery) -> bool:
    return at.server.exchange.director.refusal is not None


@pytest.mark.parametrize("code", REFUSED)
def test_new_connections_are_refused_for_a_while(code: int) -> None:
    async def scene(at: Scenery) -> None:
        async with at.socket(PUBLIC) as socket:
            while not is_refusing(at):
                await socket.receive()
            with pytest.raises(aiohttp.ClientError) as caught:
                await at.session.ws_connect(at.server.url + PUBLIC)
            if code:
                assert isinstance(caught.value, aiohttp.WSServerHandshakeError)
                assert caught.value.status == code
            reading = asyncio.create_task(read_all(socket))
            while is_refusing(at):
                await asyncio.sleep(0.001)
            async with at.socket(PUBLIC) as again:
                assert json.loads((await again.receive()).data)["stream"] == DEPTH
            reading.cancel()

    play(scene, REFUSED[code], duration_s=None, speed=100.0)


def test_every_socket_is_cut_when_it_is_old() -> None:
    async def scene(at: Scenery) -> None:
        async with at.socket(PUBLIC) as first:
            frames = await read_all(first)
            assert first.close_code == 1006
            assert frames[-1]["data"]["E"] == DEFAULT_START_MS + 2000
        async with at.socket(PUBLIC) as second:
            assert len(await read_all(second)) <= 20
            assert second.close_code == 1006

    play(scene, lifetime_s=2.0, duration_s=None)


def test_an_exchange_that_halts_is_silent_and_loses_nothing() -> None:
    async def scene(at: Scenery) -> None:
        path = f"/market/stream?streams={TRADES}/btcusdt@markPrice@1s"
        statuses = set()
        async with at.socket(path) as socket, at.socket(PUBLIC) as other:
            reading = asyncio.gather(read_all(socket), read_all(other))
            while not reading.done():
                async with at.session.get(at.server.url + "/fapi/v1/ping") as answer:
                    statuses.add(answer.status)
            frames, books = await reading
        assert statuses == {200, 503}
        for seen in (frames, books):
            times = [frame["data"]["E"] - DEFAULT_START_MS for frame in seen]
            assert not any(5000 < time_ms < 15_000 for time_ms in times)
            assert max(times) > 15_000
        counts = (await at.counters())["streams"]
        assert counts[TRADES]["lost"] == []
        assert all(two["data"]["pu"] == one["data"]["u"] for one, two in pairwise(books))

    play(scene, Fault(at_s=5.0, kind="halt", for_s=10.0), duration_s=20.0, enforces_limits=False)


def test_the_clock_of_the_exchange_jumps() -> None:
    async def scene(at: Scenery) -> None:
        async with at.socket(PUBLIC) as socket:
            frames = await read_all(socket)
        times = [frame["data"]["E"] - DEFAULT_START_MS for frame in frames]
        assert times[:10] == [100 * n for n in range(1, 11)]
        assert times[10:13] == [-900, -800, -700]
        assert frames[11]["data"]["T"] < frames[9]["data"]["T"]
        assert all(b["data"]["pu"] == a["data"]["u"] for a, b in pairwise(frames))
        assert (await at.get("/fapi/v1/time"))["serverTime"] == DEFAULT_START_MS + 3000

    play(scene, Fault(at_s=1.0, kind="clock_jump", milliseconds=-2000))
