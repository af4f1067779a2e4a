"""Weights, bans and connection attempts."""

import asyncio
from typing import Any

import aiohttp
import pytest
from tests.venues.simulated.scenery import DEPTH, Scenery, play, read_all

from undertow.venues.simulated.limits import Limits
from undertow.venues.simulated.rules import RULES

HERE = "127.0.0.1"


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now_s = 6_000_000.0

    def __call__(self) -> float:
        return self.now_s


def test_weight_counts_within_a_minute_that_begins_on_time() -> None:
    clock = Clock()
    clock.now_s += 50.0
    limits = Limits(100, 3, clock=clock)
    assert [limits.admit(HERE, 40).used for _ in range(2)] == [40, 80]
    assert limits.admit("127.0.0.2", 7).used == 7
    refused = limits.admit(HERE, 40)
    assert (refused.status, refused.retry_after_s, refused.used) == (429, 10, 120)
    clock.now_s += 10.0
    assert limits.admit(HERE, 40).status == 200
    assert limits.violations == {"weight": 1}


def test_who_asks_on_after_429_is_banned_for_longer_each_time() -> None:
    clock = Clock()
    limits = Limits(100, 3, clock=clock)
    waits = []
    for _ in range(3):
        statuses = [limits.admit(HERE, 60).status for _ in range(8)]
        assert statuses == [200, 429, 429, 429, 429, 429, 429, 418]
        ban = limits.admit(HERE, 1)
        assert ban.status == 418
        assert ban.until_ms == (clock.now_s + ban.retry_after_s) * 1000
        waits.append(ban.retry_after_s)
        clock.now_s += ban.retry_after_s
    assert waits == [120, 240, 480]
    assert limits.violations["banned"] == 3


def test_no_ban_is_longer_than_three_days() -> None:
    clock = Clock()
    limits = Limits(100, 3, clock=clock)
    waits = []
    for _ in range(14):
        bans = [limits.admit(HERE, 101) for _ in range(7)]
        waits.append(bans[-1].retry_after_s)
        clock.now_s += waits[-1] + 60.0
    assert waits[0] == 120
    assert waits[-2:] == [3 * 86_400] * 2


def test_a_scale_shortens_windows_and_bans() -> None:
    clock = Clock()
    limits = Limits(100, 3, scale=0.01, clock=clock)
    statuses = [limits.admit(HERE, 60).status for _ in range(8)]
    assert statuses[-1] == 418
    assert limits.admit(HERE, 1).retry_after_s == 2
    clock.now_s += 1.2
    assert limits.admit(HERE, 1).status == 200


def test_limits_that_are_not_enforced_are_counted_only() -> None:
    limits = Limits(100, 1, is_enforced=False, clock=Clock())
    assert [limits.admit(HERE, 99).status for _ in range(9)] == [200] * 9
    assert [limits.connect(HERE) for _ in range(3)] == [True] * 3
    assert limits.violations == {"connections": 2, "weight": 8}


def test_weight_of_others_on_the_address_counts() -> None:
    limits = Limits(100, 1, clock=Clock())
    limits.admit(HERE, 10)
    limits.add_weight(80)
    assert limits.admit(HERE, 10).used == 100
    assert limits.admit(HERE, 1).status == 429


def test_a_request_before_the_end_of_a_wait_is_a_violation() -> None:
    clock = Clock()
    limits = Limits(100, 1, clock=clock)
    limits.tell_to_wait(HERE, 7.0)
    clock.now_s += 6.9
    limits.admit(HERE, 1)
    clock.now_s += 0.2
    limits.admit(HERE, 1)
    assert limits.violations == {"told_to_wait": 1}


def test_connection_attempts_count_for_five_minutes() -> None:
    clock = Clock()
    limits = Limits(100, 2, clock=clock)
    assert [limits.connect(HERE) for _ in range(3)] == [True, True, False]
    clock.now_s += 300.0
    assert limits.connect(HERE)
    assert limits.violations == {"connections": 1}


async def depth_answer(at: Scenery) -> tuple[int, Any, Any]:
    url = at.server.url + "/fapi/v1/depth?symbol=BTCUSDT&limit=1000"
    async with at.session.get(url) as answer:
        return answer.status, answer.headers, await answer.json()


def test_an_address_is_refused_then_banned_over_the_wire() -> None:
    async def scene(at: Scenery) -> None:
        for expected in range(20, 2401, 20):
            status, headers, _ = await depth_answer(at)
            assert (status, int(headers["X-MBX-USED-WEIGHT-1M"])) == (200, expected)
        status, headers, body = await depth_answer(at)
        assert (status, body["code"]) == (429, -1003)
        assert int(headers["Retry-After"]) > 0
        for _ in range(6):
            status, headers, body = await depth_answer(at)
        assert status == 418
        assert "IP banned until " in body["msg"]
        counters = await at.counters()
        assert counters["requests"]["depth"] == {"200": 120, "429": 6, "418": 1}
        assert counters["violations"]["weight"] == 7
        assert counters["violations"]["told_to_wait"] == 6

    # One window lasts for the whole test.
    play(scene, limit_scale=1e7)


def test_too_many_sockets_streams_and_messages_are_refused_and_counted() -> None:
    async def scene(at: Scenery) -> None:
        names = [f"x{place}@trade" for place in range(1025)]
        async with at.socket("/public/stream") as socket:
            await socket.send_json({"method": "SUBSCRIBE", "params": names[:1024], "id": 1})
            assert await socket.receive_json() == {"result": None, "id": 1}
            await socket.send_json({"method": "SUBSCRIBE", "params": names[-1:], "id": 2})
            assert (await socket.receive_json())["code"] == 2
            for identity in range(12):
                await socket.send_json({"method": "LIST_SUBSCRIPTIONS", "id": identity})
            await read_all(socket)
            assert socket.close_code == 1008
        for _ in range(299):
            async with at.socket("/public/stream"):
                pass
        with pytest.raises(aiohttp.WSServerHandshakeError, match="429"):
            await at.session.ws_connect(at.server.url + "/public/stream")
        counters = await at.counters()
        assert counters["violations"]["streams"] == 1
        assert counters["violations"]["messages"] >= 1
        assert counters["violations"]["connections"] == 1
        assert counters["connections"]["opened"] == 300
        assert counters["connections"]["most_messages_per_s"] >= 11

    play(scene)


def test_a_client_that_behaves_has_no_violations() -> None:
    async def scene(at: Scenery) -> None:
        async with at.socket("/public/stream") as socket:
            await socket.send_json({"method": "SUBSCRIBE", "params": [DEPTH], "id": 1})
            reading = asyncio.create_task(read_all(socket))
            assert (await depth_answer(at))[0] == 200
            await reading
        counters = await at.counters()
        assert set(counters["violations"].values()) == {0}
        assert counters["connections"] == {"opened": 1, "most_messages_per_s": 1}

    play(scene)


@pytest.mark.parametrize(
    ("market", "limit", "weight"),
    [("usdm", 50, 2), ("usdm", 1000, 20), ("spot", 100, 5), ("spot", 500, 25), ("spot", 5000, 250)],
)
def test_depth_weighs_what_the_exchange_says(market: str, limit: int, weight: int) -> None:
    assert RULES[market].depth_weight(limit) == weight
