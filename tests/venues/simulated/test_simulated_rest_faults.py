"""Answers of REST that are refused, broken, late or old."""

import asyncio
import json
import time
from typing import Any

import pytest
from tests.venues.simulated.scenery import DEPTH, TRADES, Scenery, play, read_all

from undertow.venues.simulated.exchange import DEFAULT_START_MS
from undertow.venues.simulated.faults import Fault

DEPTH_PATH = "/fapi/v1/depth?symbol=BTCUSDT&limit=1000"
INFO = "/fapi/v1/exchangeInfo"


async def fetch(at: Scenery, path: str) -> tuple[int, dict[str, str], str]:
    async with at.session.get(at.server.url + path) as answer:
        return answer.status, {str(k): v for k, v in answer.headers.items()}, await answer.text()


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (403, "Forbidden"),
        (418, "banned until"),
        (429, '"code":-1003'),
        (451, "restricted location"),
        (500, '"code":-1000'),
        (503, '"code":-1008'),
    ],
)
def test_a_status_comes_with_what_the_exchange_says(code: int, words: str) -> None:
    async def scene(at: Scenery) -> None:
        status, headers, text = await fetch(at, "/fapi/v1/time")
        assert (status, headers["Retry-After"]) == (code, "7")
        assert words in text
        if code == 418:
            until_ms = int(text.split("until ")[1][:13])
            assert abs(until_ms - 1000 * time.time()) < 60_000
        assert (await fetch(at, "/fapi/v1/time"))[0] == 200
        counters = await at.counters()
        assert counters["requests"] == {"time": {str(code): 1, "200": 1}}
        assert counters["violations"]["told_to_wait"] == 1

    play(scene, Fault(at_s=0.0, kind="status", endpoint="time", code=code, retry_after_s=7))


def test_bodies_are_broken_so_many_times_and_for_one_endpoint_only() -> None:
    async def scene(at: Scenery) -> None:
        for _ in range(2):
            status, headers, text = await fetch(at, INFO)
            assert (status, headers["Content-Type"]) == (200, "text/html; charset=utf-8")
            assert text.startswith("<html>")
        _, _, text = await fetch(at, INFO)
        with pytest.raises(json.JSONDecodeError):
            json.loads(text)
        assert (await fetch(at, "/fapi/v1/ping"))[2] == "{}"
        assert "BTCUSDT" in (await fetch(at, INFO))[2]

    play(
        scene,
        Fault(at_s=0.0, kind="html", endpoint="exchangeInfo", count=2),
        Fault(at_s=0.0, kind="truncated_json", endpoint="exchangeInfo", count=3),
    )


def test_a_request_may_never_be_answered_and_another_slowly() -> None:
    async def scene(at: Scenery) -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(fetch(at, "/fapi/v1/time"), 0.2)
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        assert (await fetch(at, "/fapi/v1/ping"))[0] == 200
        assert loop.time() - began_s >= 0.099
        assert (await fetch(at, "/fapi/v1/time"))[0] == 200

    play(
        scene,
        Fault(at_s=0.0, kind="timeout", endpoint="time"),
        Fault(at_s=0.0, kind="slow", endpoint="ping", milliseconds=100),
    )


def test_snapshots_are_old_or_short() -> None:
    async def scene(at: Scenery) -> None:
        async with at.socket(f"/public/stream?streams={DEPTH}") as socket:
            reading = asyncio.create_task(read_all(socket))
            while at.server.exchange.elapsed_ms < 3000:
                await asyncio.sleep(0.001)
            old = await at.get(DEPTH_PATH)
            assert at.server.exchange.now_ms - old["E"] >= 1000
            assert old["E"] - DEFAULT_START_MS >= 1000, "from the begin of the fault on"
            short = await at.get(DEPTH_PATH)
            assert [len(short[side]) for side in ("bids", "asks")] == [7, 7]
            assert short["E"] > old["E"]
            assert len((await at.get(DEPTH_PATH))["bids"]) > 100
            reading.cancel()

    play(
        scene,
        Fault(at_s=1.0, kind="stale_snapshot", endpoint="depth", milliseconds=1000),
        Fault(at_s=1.0, kind="fewer_levels", endpoint="depth", levels=7, count=2),
        speed=20.0,
        duration_s=None,
    )


def test_open_interest_freezes() -> None:
    async def scene(at: Scenery) -> None:
        path = "/fapi/v1/openInterest?symbol="
        frozen, free = await at.get(path + "BTCUSDT"), await at.get(path + "ETHUSDT")
        async with at.socket(f"/public/stream?streams={DEPTH}") as socket:
            await read_all(socket)
        assert await at.get(path + "BTCUSDT") == frozen
        assert (await at.get(path + "ETHUSDT"))["time"] == free["time"] + 5000

    play(
        scene,
        Fault(at_s=0.0, kind="freeze", endpoint="openInterest", symbol="BTCUSDT"),
        symbols="BTCUSDT,ETHUSDT",
    )


def test_aggregates_are_empty_then_half_then_whole() -> None:
    async def scene(at: Scenery) -> None:
        async with at.socket(f"/market/stream?streams={TRADES}") as socket:
            frames = await read_all(socket)
        path = "/fapi/v1/aggTrades?symbol=BTCUSDT&fromId=1"
        sizes = [len(await at.get(path)) for _ in range(3)]
        assert sizes == [0, len(frames) // 2, len(frames)]

    play(
        scene,
        Fault(at_s=0.0, kind="empty_answer", endpoint="aggTrades"),
        Fault(at_s=0.0, kind="partial_answer", endpoint="aggTrades", count=2),
        duration_s=20.0,
    )


def test_headers_are_missing_and_other_processes_use_weight() -> None:
    async def scene(at: Scenery) -> None:
        assert "X-MBX-USED-WEIGHT-1M" not in (await fetch(at, "/fapi/v1/ping"))[1]
        before = int((await fetch(at, "/fapi/v1/ping"))[1]["X-MBX-USED-WEIGHT-1M"])
        await at.fault(kind="used_weight", weight=1000)
        after = int((await fetch(at, "/fapi/v1/ping"))[1]["X-MBX-USED-WEIGHT-1M"])
        assert after == before + 1001

    # One window lasts for the whole test.
    play(scene, Fault(at_s=0.0, kind="no_headers"), limit_scale=1e7)


def test_what_exchange_information_states_changes() -> None:
    async def scene(at: Scenery) -> None:
        await at.fault(kind="limit_change", limit=1200)
        await at.fault(kind="status_change", symbol="ETHUSDT", status="SETTLING")
        await at.fault(kind="tick_change", symbol="BTCUSDT", tick="0.01")
        await at.fault(kind="funding_interval", symbol="BTCUSDT", hours=4)
        await at.fault(kind="server_time_offset", milliseconds=-3000)
        info = await at.get(INFO)
        assert info["rateLimits"][0]["limit"] == 1200
        assert [entry["status"] for entry in info["symbols"]] == ["TRADING", "SETTLING"]
        assert info["symbols"][0]["filters"][0]["tickSize"] == "0.01"
        intervals = await at.get("/fapi/v1/fundingInfo")
        assert [entry["fundingIntervalHours"] for entry in intervals] == [4, 8]
        assert await at.get("/fapi/v1/time") == {"serverTime": DEFAULT_START_MS - 3000}
        index: dict[str, Any] = await at.get("/fapi/v1/premiumIndex?symbol=BTCUSDT")
        assert index["nextFundingTime"] == DEFAULT_START_MS - DEFAULT_START_MS % 14_400_000 + 14_400_000
        assert index["time"] == DEFAULT_START_MS

    play(scene, symbols="BTCUSDT,ETHUSDT")


def test_a_market_that_is_settling_is_silent() -> None:
    async def scene(at: Scenery) -> None:
        path = f"/public/stream?streams={DEPTH}/ethusdt@depth@100ms"
        async with at.socket(path) as socket:
            frames = await read_all(socket)
        times = {frame["stream"]: frame["data"]["E"] - DEFAULT_START_MS for frame in frames}
        assert times["ethusdt@depth@100ms"] == 1000
        assert times[DEPTH] == 5000

    fault = Fault(at_s=1.0, kind="status_change", symbol="ETHUSDT", status="SETTLING")
    play(scene, fault, symbols="BTCUSDT,ETHUSDT")


def test_a_market_is_delisted_and_comes_back() -> None:
    async def scene(at: Scenery) -> None:
        async with at.socket(f"/public/stream?streams={DEPTH}") as socket:
            reading = asyncio.create_task(read_all(socket))
            stated = {}
            while not reading.done():
                info = await at.get(INFO)
                stated[info["serverTime"] - DEFAULT_START_MS] = len(info["symbols"])
            frames = await reading
        assert {number for time_ms, number in stated.items() if 1100 < time_ms < 2900} == {1}
        assert {number for time_ms, number in stated.items() if time_ms > 3100} == {2}
        times = [frame["data"]["E"] - DEFAULT_START_MS for frame in frames]
        assert not any(1000 < time_ms < 3000 for time_ms in times)
        assert max(times) == 5000

    play(
        scene,
        Fault(at_s=1.0, kind="delist", symbol="BTCUSDT"),
        Fault(at_s=3.0, kind="status_change", symbol="BTCUSDT", status="TRADING"),
        symbols="BTCUSDT,ETHUSDT",
        enforces_limits=False,
        speed=20.0,
    )


def test_rows_come_twice() -> None:
    async def scene(at: Scenery) -> None:
        path = "/fapi/v1/fundingRate?symbol=BTCUSDT"
        once = await at.get(path)
        await at.fault(kind="repeated_rows", endpoint="fundingRate")
        assert await at.get(path) == [once[0], *once]

    play(scene)


def test_the_day_has_a_volume() -> None:
    async def scene(at: Scenery) -> None:
        async with at.socket(f"/market/stream?streams={TRADES}") as socket:
            frames = await read_all(socket)
        (ticker, _) = await at.get("/fapi/v1/ticker/24hr")
        assert ticker["symbol"] == "BTCUSDT"
        amounts = [float(frame["data"]["p"]) * float(frame["data"]["q"]) for frame in frames]
        assert float(ticker["quoteVolume"]) == pytest.approx(sum(amounts))

    play(scene, symbols="BTCUSDT,ETHUSDT", duration_s=20.0)
