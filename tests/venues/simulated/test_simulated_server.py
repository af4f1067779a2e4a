"""The exchange over real sockets on loopback."""

import asyncio
from decimal import Decimal
from itertools import pairwise
from typing import Any

import aiohttp
import pytest
from tests.venues.simulated import scenery
from tests.venues.simulated.scenery import DEPTH, Scenery, read_all

from undertow.errors import InputError, VenueError
from undertow.venues.simulated.exchange import DEFAULT_START_MS, Settings
from undertow.venues.simulated.listings import find_listings
from undertow.venues.simulated.server import serve


def play(scene: scenery.Scene, **changes: Any) -> None:
    """A scene with two markets."""
    scenery.play(scene, **{"symbols": "BTCUSDT,ETHUSDT", **changes})


def kept_book(snapshot: dict[str, Any], diffs: list[dict[str, Any]]) -> tuple[int, list[dict[str, str]]]:
    """The book that the documented procedure arrives at, and its last id."""
    last, book = snapshot["lastUpdateId"], [dict(snapshot["bids"]), dict(snapshot["asks"])]
    is_first = True
    for diff in diffs:
        if diff["u"] < last or (is_first and diff["u"] == last):
            continue
        assert diff["pu"] == last or (is_first and diff["U"] <= last <= diff["u"])
        is_first, last = False, diff["u"]
        for levels, changes in zip(book, (diff["b"], diff["a"]), strict=True):
            for price, quantity in changes:
                levels[price] = quantity
                if not Decimal(quantity):
                    del levels[price]
    return last, book


def test_snapshot_and_diffs_equal_the_true_book() -> None:
    async def scene(at: Scenery) -> None:
        async with at.socket("/public/stream") as socket:
            await socket.send_json({"method": "SUBSCRIBE", "params": [DEPTH], "id": 1})
            assert await socket.receive_json() == {"result": None, "id": 1}
            first = await socket.receive_json()
            assert first["stream"] == DEPTH
            snapshot = await at.get("/fapi/v1/depth?symbol=BTCUSDT&limit=1000")
            assert len(snapshot["bids"]) >= 150
            diffs = [first["data"], *(frame["data"] for frame in await read_all(socket))]
            assert socket.close_code == 1001
        truth = await at.get("/sim/book?symbol=BTCUSDT")
        last, (bids, asks) = kept_book(snapshot, diffs)
        assert last == truth["lastUpdateId"]
        assert bids == dict(truth["bids"])
        assert asks == dict(truth["asks"])
        counted = (await at.get("/sim/counters"))["streams"][DEPTH]
        assert counted == {
            "frames": len(diffs), "first_id": diffs[0]["U"], "last_id": diffs[-1]["u"], "lost": [],
            "dropped": 0, "damaged": 0, "duplicated": 0, "inserted": 0,
        }  # fmt: skip

    play(scene, duration_s=20.0)


def test_time_stands_still_until_a_stream_is_wanted() -> None:
    async def scene(at: Scenery) -> None:
        async with at.socket("/public/stream") as socket:
            await socket.send_json(
                {"method": "SUBSCRIBE", "params": ["btcusdt@aggTrade", "nonsense"], "id": 1}
            )
            assert await socket.receive_json() == {"result": None, "id": 1}
            assert await at.get("/fapi/v1/time") == {"serverTime": DEFAULT_START_MS}
            await socket.send_json({"method": "SUBSCRIBE", "params": [DEPTH], "id": 2})
            assert {frame.get("stream") for frame in await read_all(socket)} == {None, DEPTH}
        assert await at.get("/fapi/v1/time") == {"serverTime": DEFAULT_START_MS + 5000}

    play(scene)


@pytest.mark.parametrize(
    ("path", "served"),
    [
        ("/public/stream?streams=", {"btcusdt@trade", DEPTH}),
        ("/market/stream?streams=", {"btcusdt@aggTrade", "btcusdt@markPrice@1s"}),
        ("/stream?streams=", {"btcusdt@trade", DEPTH}),
        ("/private/stream?streams=", set()),
    ],
)
def test_a_route_sends_its_own_streams_and_is_silent_about_others(path: str, served: set[str]) -> None:
    wanted = ["btcusdt@trade", "btcusdt@aggTrade", "btcusdt@markPrice@1s", DEPTH]

    async def scene(at: Scenery) -> None:
        async with at.socket(path + "/".join(wanted)) as socket, at.socket(f"/public/ws/{DEPTH}") as other:
            await socket.send_json({"method": "LIST_SUBSCRIPTIONS", "id": "a1"})
            others = asyncio.create_task(read_all(other))
            frames = await read_all(socket)
            assert await others
        assert {"result": wanted, "id": "a1"} in frames
        assert {frame["stream"] for frame in frames if "stream" in frame} == served

    play(scene)


def test_raw_sockets_send_bare_payloads_and_the_wrapper_can_be_switched_on() -> None:
    async def scene(at: Scenery) -> None:
        async with at.socket(f"/public/ws/{DEPTH}") as socket:
            bare = await socket.receive_json()
            assert bare["e"] == "depthUpdate"
            await socket.send_json({"method": "SET_PROPERTY", "params": ["combined", True], "id": 1})
            await socket.send_json({"method": "GET_PROPERTY", "params": ["combined"], "id": 2})
            frames = await read_all(socket)
        assert {"result": True, "id": 2} in frames
        assert frames[-1]["stream"] == DEPTH

    play(scene, duration_s=60.0)


def test_unsubscribing_stops_a_stream_and_others_go_on() -> None:
    async def scene(at: Scenery) -> None:
        async with at.socket(f"/public/stream?streams={DEPTH}/ethusdt@depth@100ms") as socket:
            await socket.receive_json()
            await socket.send_json({"method": "UNSUBSCRIBE", "params": [DEPTH], "id": 9})
            frames = await read_all(socket)
        place = frames.index({"result": None, "id": 9})
        assert {frame["stream"] for frame in frames[place + 1 :]} == {"ethusdt@depth@100ms"}

    play(scene, duration_s=60.0)


@pytest.mark.parametrize(
    ("request_text", "code"),
    [
        ("{", 3),
        ("[]", 2),
        ('{"method":"HELLO","id":1}', 2),
        ('{"method":"SUBSCRIBE","id":1}', 2),
        ('{"method":"SUBSCRIBE","params":[1],"id":1}', 2),
        ('{"method":"SUBSCRIBE","params":["a@trade"],"id":1.5}', 2),
        ('{"method":"LIST_SUBSCRIPTIONS","id":"no spaces, please"}', 2),
        ('{"method":"SET_PROPERTY","params":["combined","yes"],"id":1}', 1),
        ('{"method":"GET_PROPERTY","params":["colour"],"id":1}', 0),
    ],
)
def test_a_bad_request_is_answered_with_its_code(request_text: str, code: int) -> None:
    async def scene(at: Scenery) -> None:
        async with at.socket("/public/stream") as socket:
            await socket.send_str(request_text)
            assert (await socket.receive_json())["code"] == code

    play(scene)


def test_an_eager_client_is_disconnected() -> None:
    async def scene(at: Scenery) -> None:
        async with at.socket("/public/stream") as socket:
            for identity in range(20):
                await socket.send_json({"method": "LIST_SUBSCRIPTIONS", "id": identity})
            assert len(await read_all(socket)) == 10
            assert socket.close_code == 1008

    play(scene)


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("depth?symbol=NOPE", -1121),
        ("depth", -1102),
        ("depth?symbol=BTCUSDT&limit=7", -4021),
        ("depth?symbol=BTCUSDT&limit=x", -1102),
        ("aggTrades?symbol=BTCUSDT&limit=1001", -1130),
        ("aggTrades?symbol=BTCUSDT&startTime=0&endTime=3600001", -4084),
        ("klines?symbol=BTCUSDT&interval=7m", -1120),
        ("openInterest?symbol=", -1102),
    ],
)
def test_a_bad_rest_request_is_answered_with_the_exchanges_code(path: str, code: int) -> None:
    async def scene(at: Scenery) -> None:
        async with at.session.get(f"{at.server.url}/fapi/v1/{path}") as answer:
            assert answer.status == 400
            assert (await answer.json())["code"] == code
            assert int(answer.headers["X-MBX-USED-WEIGHT-1M"]) >= 1

    play(scene)


def test_depth_costs_its_weight_and_has_so_many_levels() -> None:
    async def scene(at: Scenery) -> None:
        used = 0
        for limit, weight in ((5, 2), (100, 5), (1000, 20)):
            url = f"{at.server.url}/fapi/v1/depth?symbol=BTCUSDT&limit={limit}"
            async with at.session.get(url) as answer:
                before, used = used, int(answer.headers["X-MBX-USED-WEIGHT-1M"])
                body = await answer.json()
            assert used in {before + weight, weight}, "the sum restarts at the full minute"
            for side in ("bids", "asks"):
                assert min(150, limit) <= len(body[side]) <= limit

    play(scene)


def test_the_past_is_served_over_rest_as_it_was_streamed() -> None:
    async def scene(at: Scenery) -> None:
        path = "/market/stream?streams=btcusdt@aggTrade/btcusdt@kline_1m/btcusdt@markPrice@1s"
        async with at.socket(path) as socket:
            frames = [frame["data"] for frame in await read_all(socket)]
        streamed = [frame for frame in frames if frame["e"] == "aggTrade"]
        trades = await at.get("/fapi/v1/aggTrades?symbol=BTCUSDT&fromId=3&limit=10")
        keys = ("a", "p", "q", "nq", "f", "l", "T", "m")
        assert trades == [{key: item[key] for key in keys} for item in streamed[2:12]]
        latest = await at.get("/fapi/v1/aggTrades?symbol=BTCUSDT&limit=2")
        assert [item["a"] for item in latest] == [item["a"] for item in streamed[-2:]]
        singles = await at.get("/fapi/v1/trades?symbol=BTCUSDT&limit=1000")
        newest = streamed[-1]
        fills = [item for item in singles if newest["f"] <= item["id"] <= newest["l"]]
        assert sum(Decimal(item["qty"]) for item in fills) == Decimal(newest["q"])
        assert {(item["price"], item["isBuyerMaker"]) for item in fills} == {(newest["p"], newest["m"])}
        assert [item["id"] for item in singles] == sorted(item["id"] for item in singles)
        since = streamed[4]["T"]
        timed = await at.get(f"/fapi/v1/aggTrades?symbol=BTCUSDT&startTime={since}&endTime={since + 2000}")
        assert [item["a"] for item in timed] == [i["a"] for i in streamed if since <= i["T"] <= since + 2000]
        candle = next(frame["k"] for frame in frames if frame["e"] == "kline" and frame["k"]["x"])
        (row,) = await at.get(f"/fapi/v1/klines?symbol=BTCUSDT&interval=1m&endTime={candle['t']}")
        assert row[:9] == [candle[key] for key in ("t", "o", "h", "l", "c", "v", "T", "q", "n")]
        mark = [frame for frame in frames if frame["e"] == "markPriceUpdate"][-1]
        index = await at.get("/fapi/v1/premiumIndex?symbol=BTCUSDT")
        assert (index["markPrice"], index["nextFundingTime"]) == (mark["p"], mark["T"])
        assert len(await at.get("/fapi/v1/premiumIndex")) == 2
        interest = await at.get("/fapi/v1/openInterest?symbol=BTCUSDT")
        assert interest["time"] < DEFAULT_START_MS + 70_000
        assert Decimal(interest["openInterest"]) > 0
        rates = await at.get("/fapi/v1/fundingRate?symbol=BTCUSDT&limit=2")
        assert [rate["fundingTime"] % 28_800_000 for rate in rates] == [0, 0]

    play(scene, duration_s=70.0)


def test_funding_is_settled_when_its_hour_comes() -> None:
    async def scene(at: Scenery) -> None:
        async with at.socket("/market/stream?streams=btcusdt@markPrice@1s") as socket:
            marks = [frame["data"] for frame in await read_all(socket)]
        assert marks[-1]["T"] - marks[0]["T"] == 28_800_000
        rates = await at.get("/fapi/v1/fundingRate?symbol=BTCUSDT")
        assert rates[-1]["fundingTime"] == marks[0]["T"]

    play(scene, start_ms=28_800_000 * 60_000 - 2_000, duration_s=4.0)


def test_exchange_information_names_ticks_and_lots() -> None:
    async def scene(at: Scenery) -> None:
        info = await at.get("/fapi/v1/exchangeInfo")
        assert [entry["symbol"] for entry in info["symbols"]] == ["BTCUSDT", "ETHUSDT"]
        rules = {rule["filterType"]: rule for rule in info["symbols"][0]["filters"]}
        assert rules["PRICE_FILTER"]["tickSize"] == "0.10"
        assert rules["LOT_SIZE"]["stepSize"] == "0.001"
        assert await at.get("/fapi/v1/ping") == {}
        async with at.session.get(at.server.url + "/fapi/v1/nothing") as answer:
            assert answer.status == 404

    play(scene)


def test_a_dropped_frame_breaks_the_chain_and_is_counted() -> None:
    async def scene(at: Scenery) -> None:
        await at.post(f"/sim/drop?stream={DEPTH}&count=2")
        async with at.socket(f"/public/stream?streams={DEPTH}") as socket:
            first = (await socket.receive_json())["data"]
            await at.post(f"/sim/drop?stream={DEPTH}")
            rest = [frame["data"] for frame in await read_all(socket)]
        breaks = sum(after["pu"] != before["u"] for before, after in pairwise([first, *rest]))
        assert breaks == 1
        assert first["E"] == DEFAULT_START_MS + 300
        assert (await at.get("/sim/counters"))["streams"][DEPTH]["dropped"] == 3

    play(scene, duration_s=60.0)


def test_all_connections_can_be_cut() -> None:
    async def scene(at: Scenery) -> None:
        async with at.socket(f"/public/stream?streams={DEPTH}") as one, at.socket("/market/stream") as two:
            await one.receive_json()
            assert await at.post("/sim/disconnect") == {"disconnected": 2}
            await read_all(one)
            await read_all(two)
            assert (one.close_code, two.close_code) == (1006, 1006)

    play(scene, duration_s=None, speed=1.0)


def test_a_delayed_snapshot_is_as_old_as_the_delay() -> None:
    async def scene(at: Scenery) -> None:
        await at.post("/sim/delay?milliseconds=2000")
        async with at.socket(f"/public/stream?streams={DEPTH}") as socket:
            reading = asyncio.create_task(read_all(socket))
            body = await at.get("/fapi/v1/depth?symbol=BTCUSDT")
            assert at.server.exchange.now_ms >= body["E"] + 2000
            await reading

    play(scene, duration_s=60.0)


def test_the_market_waits_for_a_client_that_does_not_read() -> None:
    async def scene(at: Scenery) -> None:
        exchange = at.server.exchange
        async with at.socket("/public/stream?streams=btcusdt@depth20@100ms/btcusdt@depth@0ms") as socket:
            still = 0
            while still < 200:
                before = exchange.now_ms
                await asyncio.sleep(0)
                await at.get("/fapi/v1/ping")
                still = still + 1 if exchange.now_ms == before and before > DEFAULT_START_MS else 0
            stopped_ms = exchange.now_ms
            while exchange.now_ms == stopped_ms:
                await socket.receive()

    play(scene, duration_s=None)


def test_pings_carry_a_payload_and_want_an_answer() -> None:
    async def scene(at: Scenery) -> None:
        async with at.socket("/public/stream", autoping=False) as socket:
            message = await socket.receive()
            assert message.type is aiohttp.WSMsgType.PING
            assert message.data == b"%d" % DEFAULT_START_MS
            await read_all(socket)
            assert socket.close_code == 1006

    play(scene, ping_every_s=0.02, pong_within_s=0.05)


def test_answered_pings_keep_a_connection() -> None:
    async def scene(at: Scenery) -> None:
        async with at.socket("/public/stream", autoping=False) as socket:
            for _ in range(6):
                message = await socket.receive()
                assert message.type is aiohttp.WSMsgType.PING
                await socket.pong(message.data)

    play(scene, ping_every_s=0.01, pong_within_s=0.0)


def test_the_same_settings_give_the_same_frames() -> None:
    path = f"/public/stream?streams={DEPTH}/btcusdt@bookTicker"
    seen: list[list[dict[str, Any]]] = []

    async def scene(at: Scenery) -> None:
        async with at.socket(path) as socket:
            seen.append(await read_all(socket))

    play(scene)
    play(scene)
    assert seen[0] == seen[1]
    assert len(seen[0]) > 60


def test_all_clients_get_the_same_frames() -> None:
    async def scene(at: Scenery) -> None:
        async with at.socket(f"/public/ws/{DEPTH}") as one, at.socket(f"/public/ws/{DEPTH}") as two:
            seen = await asyncio.gather(read_all(one), read_all(two))
        shorter = min(map(len, seen))
        assert shorter > 10
        assert seen[0][-shorter:] == seen[1][-shorter:]

    play(scene, duration_s=60.0)


def test_after_the_end_sockets_close_and_rest_goes_on() -> None:
    async def scene(at: Scenery) -> None:
        async with at.socket(f"/public/stream?streams={DEPTH}") as socket:
            await read_all(socket)
            assert socket.close_code == 1001
        async with at.socket("/public/stream") as late:
            await late.receive()
            assert late.close_code == 1001
        assert (await at.get("/fapi/v1/depth?symbol=BTCUSDT&limit=5"))["E"] == DEFAULT_START_MS + 1000
        assert (await at.get("/sim/counters"))["hasEnded"] is True

    play(scene, duration_s=1.0)


def test_a_port_in_use_is_an_error_that_says_so() -> None:
    async def scene(at: Scenery) -> None:
        with pytest.raises(VenueError, match=f"port {at.server.port} cannot be opened"):
            async with serve(at.server.exchange.settings, at.server.port):
                pass

    play(scene)


@pytest.mark.parametrize("changes", [{"signal": 2.0}, {"speed": 0.0}, {"duration_s": -1.0}])
def test_settings_without_sense_are_refused(changes: dict[str, float]) -> None:
    with pytest.raises(InputError):
        Settings(listings=find_listings("BTCUSDT"), start_ms=0, **changes)  # type: ignore[arg-type]
