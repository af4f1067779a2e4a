"""The spot market: other paths, other payloads, other limits."""

import asyncio
import json
from decimal import Decimal
from itertools import pairwise
from typing import Any

import aiohttp
import pytest
from tests.venues.simulated.scenery import DEPTH, TRADES, Scenery, play, read_all

from undertow.errors import InputError
from undertow.venues.simulated.exchange import DEFAULT_START_MS, Settings
from undertow.venues.simulated.faults import Fault
from undertow.venues.simulated.listings import find_listings

PATH = f"/stream?streams={DEPTH}"


def play_spot(scene: Any, faults: tuple[Fault, ...] = (), **changes: Any) -> None:
    play(scene, *faults, market="spot", **changes)


def test_the_documented_procedure_gives_the_true_book() -> None:
    async def scene(at: Scenery) -> None:
        async with at.socket(PATH) as socket:
            first = json.loads((await socket.receive()).data)["data"]
            snapshot = await at.get("/api/v3/depth?symbol=BTCUSDT&limit=5000")
            diffs = [first, *(frame["data"] for frame in await read_all(socket))]
        truth = await at.get("/sim/book?symbol=BTCUSDT")
        assert list(first) == ["e", "E", "s", "U", "u", "b", "a"]
        assert list(snapshot) == ["lastUpdateId", "bids", "asks"]
        assert all(after["U"] == before["u"] + 1 for before, after in pairwise(diffs))
        last, sides = snapshot["lastUpdateId"], [dict(snapshot["bids"]), dict(snapshot["asks"])]
        assert first["U"] <= last
        for diff in diffs:
            if diff["u"] <= last:
                continue
            assert diff["U"] <= last + 1
            last = diff["u"]
            for levels, changes in zip(sides, (diff["b"], diff["a"]), strict=True):
                levels.update(changes)
        present = [{p: q for p, q in side.items() if Decimal(q)} for side in sides]
        assert present == [dict(truth["bids"]), dict(truth["asks"])]
        assert (await at.count(DEPTH))["lost"] == []

    play_spot(scene, duration_s=20.0)


@pytest.mark.parametrize(
    ("suffix", "keys"),
    [
        ("aggTrade", ["e", "E", "s", "a", "p", "q", "f", "l", "T", "m", "M"]),
        ("trade", ["e", "E", "s", "t", "p", "q", "T", "m", "M"]),
        ("bookTicker", ["u", "s", "b", "B", "a", "A"]),
        ("depth10", ["lastUpdateId", "bids", "asks"]),
        ("kline_1m", ["e", "E", "s", "k"]),
    ],
)
def test_payloads_have_the_fields_of_spot(suffix: str, keys: list[str]) -> None:
    async def scene(at: Scenery) -> None:
        async with at.socket(f"/stream?streams=btcusdt@{suffix}/{TRADES}") as socket:
            frames = [frame for frame in await read_all(socket) if frame["stream"] == f"btcusdt@{suffix}"]
        assert {tuple(frame["data"]) for frame in frames} == {tuple(keys)}

    play_spot(scene, duration_s=20.0)


def test_what_spot_does_not_have_is_silent_or_not_there() -> None:
    async def scene(at: Scenery) -> None:
        names = f"btcusdt@markPrice@1s/btcusdt@forceOrder/btcusdt@depth@0ms/{DEPTH}"
        async with at.socket(f"/stream?streams={names}") as socket:
            assert {frame["stream"] for frame in await read_all(socket)} == {DEPTH}
        with pytest.raises(aiohttp.WSServerHandshakeError, match="404"):
            async with at.socket(f"/public{PATH}"):
                pass
        for path in ("/api/v3/openInterest?symbol=BTCUSDT", "/fapi/v1/time"):
            async with at.session.get(at.server.url + path) as answer:
                assert answer.status == 404

    play_spot(scene)


def test_rest_answers_as_spot_does() -> None:
    async def scene(at: Scenery) -> None:
        async with at.socket(f"/stream?streams={TRADES}") as socket:
            streamed = [frame["data"] for frame in await read_all(socket)]
        trades = await at.get("/api/v3/aggTrades?symbol=BTCUSDT&fromId=2&limit=3")
        keys = ("a", "p", "q", "f", "l", "T", "m", "M")
        assert trades == [{key: item[key] for key in keys} for item in streamed[1:4]]
        info = await at.get("/api/v3/exchangeInfo?symbol=BTCUSDT")
        assert info["rateLimits"][0]["limit"] == 6000
        (symbol,) = info["symbols"]
        assert (symbol["symbol"], symbol["status"]) == ("BTCUSDT", "TRADING")
        assert len((await at.get("/api/v3/depth?symbol=BTCUSDT"))["bids"]) == 100
        async with at.session.get(at.server.url + "/api/v3/depth?symbol=BTCUSDT&limit=5001") as answer:
            assert answer.status == 400

    play_spot(scene, duration_s=20.0, symbols="BTCUSDT,ETHUSDT")


@pytest.mark.parametrize("faults", [(), (Fault(at_s=0.0, kind="duplicate", stream=DEPTH, for_s=60.0),)])
def test_the_same_event_has_its_own_time_on_each_connection(faults: tuple[Fault, ...]) -> None:
    async def scene(at: Scenery) -> None:
        async with at.socket(PATH) as one, at.socket(PATH) as two:
            seen = await asyncio.gather(read_all(one), read_all(two))
        first, second = ({frame["data"]["u"]: frame["data"] for frame in frames} for frames in seen)
        common = first.keys() & second.keys()
        assert len(common) > 20
        for identity in common:
            assert second[identity]["E"] == first[identity]["E"] + 1
            assert {**second[identity], "E": 0} == {**first[identity], "E": 0}

    play_spot(scene, faults)


def test_six_messages_within_a_second_are_too_many() -> None:
    async def scene(at: Scenery) -> None:
        async with at.socket("/stream") as socket:
            for identity in range(12):
                await socket.send_json({"method": "LIST_SUBSCRIPTIONS", "id": identity})
            assert len(await read_all(socket)) == 5
            assert socket.close_code == 1008

    play_spot(scene)


def test_pings_come_as_often_as_the_market_has_them() -> None:
    spot, usdm = (
        Settings(find_listings("BTCUSDT"), DEFAULT_START_MS, market=m).rules for m in ("spot", "usdm")
    )
    assert (spot.ping_every_s, spot.pong_within_s) == (20.0, 60.0)
    assert (usdm.ping_every_s, usdm.pong_within_s) == (180.0, 600.0)


def test_another_market_is_refused() -> None:
    with pytest.raises(InputError, match="market 'options' is unknown"):
        Settings(find_listings("BTCUSDT"), DEFAULT_START_MS, market="options")
