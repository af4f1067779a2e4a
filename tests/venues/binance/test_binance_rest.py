import asyncio
from collections.abc import Awaitable, Callable, Iterator

import pytest
from tests.venues.binance.fake_exchange import FakeExchange, Reply

from undertow.errors import VenueError
from undertow.venues.answers import RefusedError
from undertow.venues.binance.governor import WeightGovernor
from undertow.venues.binance.rest import BinanceRest

BOOK = b'{"lastUpdateId":7, "E":1,"T":1,\n"bids":[["1.0","2"]],"asks":[]}'


class Hands:
    """A clock whose time passes only by sleeping."""

    def __init__(self, now_s: float = 1_000_000_020.0) -> None:
        self.now_s = now_s
        self.slept: list[float] = []

    def clock(self) -> float:
        return self.now_s

    async def sleep(self, duration_s: float) -> None:
        self.slept.append(duration_s)
        self.now_s += duration_s


def ask(
    question: Callable[[BinanceRest], Awaitable[object]],
    *replies: Reply,
    name: str = "depth",
    hands: Hands | None = None,
) -> tuple[object, FakeExchange, WeightGovernor]:
    """Put one question to an exchange that answers with these replies first."""
    clock = hands or Hands()

    async def main() -> tuple[object, FakeExchange, WeightGovernor]:
        async with FakeExchange() as exchange:
            exchange.script(name, *replies)
            governor = WeightGovernor(2400, clock=clock.clock, sleep=clock.sleep)
            async with BinanceRest(
                exchange.endpoints,
                clock=iter_clock(),
                sleep=clock.sleep,
                governor=governor,
                attempts=6,
            ) as rest:
                return await question(rest), exchange, governor

    return asyncio.run(main())


def iter_clock() -> Callable[[], int]:
    ticks: Iterator[int] = iter(range(1, 1000))
    return lambda: next(ticks)


def test_a_snapshot_comes_verbatim() -> None:
    async def question(rest: BinanceRest) -> tuple[int, bytes]:
        answer = await rest.depth("BTCUSDT", 100)
        return answer.receive_ns, answer.body

    answer, exchange, governor = ask(question, Reply(body=BOOK))
    assert answer == (1, BOOK)
    assert exchange.calls == ["/fapi/v1/depth?symbol=BTCUSDT&limit=100"]
    assert governor.used == 5


@pytest.mark.parametrize("status", [429, 418])
def test_retry_after_is_honoured_by_every_request(status: int) -> None:
    hands = Hands()

    async def question(rest: BinanceRest) -> bytes:
        refused, _ = await asyncio.gather(rest.depth("BTCUSDT"), rest.time())
        return refused.body

    replies = Reply(status, b'{"code":-1003}', {"Retry-After": "7"}), Reply(body=BOOK)
    answer, exchange, _ = ask(question, *replies, hands=hands)
    assert answer == BOOK
    assert sum(hands.slept) == pytest.approx(7.0)
    assert len(exchange.calls) == 3


@pytest.mark.scenario("R6", "a ban told in words is believed")
def test_a_ban_told_in_words_is_believed() -> None:
    hands = Hands()

    async def question(rest: BinanceRest) -> bytes:
        return (await rest.depth("BTCUSDT")).body

    body = b'{"code":-1003,"msg":"Way too many requests; IP(1.2.3.4) banned until 1000."}'
    answer, _, _ = ask(question, Reply(418, body), Reply(body=BOOK), hands=hands)
    assert answer == BOOK
    assert sum(hands.slept) == pytest.approx(60.0), "without a stated time, a minute"


@pytest.mark.parametrize(
    "broken",
    [
        Reply(500, b"<html>Internal Server Error</html>"),
        Reply(503, b'{"code":-1008,"msg":"Request throttled by system-level protection."}'),
        Reply(200, b"<html>maintenance</html>"),
        Reply(200, BOOK[:30]),
        Reply(200, b"{}"),
    ],
)
def test_passing_failures_are_tried_again(broken: Reply) -> None:
    hands = Hands()

    async def question(rest: BinanceRest) -> bytes:
        return (await rest.depth("BTCUSDT")).body

    answer, exchange, _ = ask(question, *[broken] * 5, Reply(body=BOOK), hands=hands)
    assert answer == BOOK
    assert len(exchange.calls) == 6
    assert len(hands.slept) == 5


def test_giving_up_says_where_and_why() -> None:
    async def question(rest: BinanceRest) -> bytes:
        return (await rest.depth("BTCUSDT")).body

    with pytest.raises(VenueError, match=r"/fapi/v1/depth failed 6 times, last with: HTTP 500: oops"):
        ask(question, *[Reply(500, b"oops")] * 6)


@pytest.mark.scenario("R5", "403 and 451: stop and explain")
@pytest.mark.parametrize(("status", "words"), [(451, "location"), (403, "firewall")])
def test_refusals_are_explained_and_not_repeated(status: int, words: str) -> None:
    hands = Hands()

    async def question(rest: BinanceRest) -> object:
        return await rest.exchange_info()

    with pytest.raises(RefusedError, match=words):
        ask(question, Reply(status), name="exchangeInfo", hands=hands)
    assert hands.slept == []


def test_a_bad_symbol_is_not_repeated() -> None:
    async def question(rest: BinanceRest) -> object:
        return await rest.depth("NOSUCH")

    with pytest.raises(VenueError, match="Invalid symbol"):
        ask(question, Reply(400, b'{"code":-1121,"msg":"Invalid symbol."}'))


def test_the_exchange_that_is_not_there() -> None:
    async def question(rest: BinanceRest) -> object:
        async with FakeExchange() as gone:
            endpoints = gone.endpoints
        async with BinanceRest(endpoints, sleep=Hands().sleep, attempts=2) as lost:
            return await lost.time()

    with pytest.raises(VenueError, match="check the connection to http://127"):
        ask(question)


def test_weight_that_others_used_makes_us_wait_for_the_next_minute() -> None:
    hands = Hands(now_s=1_000_000_020.0)

    async def question(rest: BinanceRest) -> object:
        await rest.depth("BTCUSDT")
        assert hands.slept == []
        return await rest.depth("ETHUSDT")

    _, _, governor = ask(question, Reply(body=BOOK, headers={"X-MBX-USED-WEIGHT-1M": "1910"}), hands=hands)
    assert hands.slept == [pytest.approx(60 - 1_000_000_020 % 60)]
    assert governor.used == 20


def test_the_governor_spends_no_more_than_its_share_in_any_minute() -> None:
    hands = Hands(now_s=0.0)
    spent: dict[int, int] = {}

    async def main() -> None:
        governor = WeightGovernor(100, clock=hands.clock, sleep=hands.sleep)
        for _ in range(50):
            await governor.acquire(7)
            minute = int(hands.now_s // 60)
            spent[minute] = spent.get(minute, 0) + 7
            hands.now_s += 0.25

    asyncio.run(main())
    assert max(spent.values()) <= 80
    assert sum(spent.values()) == 350


def test_a_request_heavier_than_the_share_is_sent_alone_rather_than_never() -> None:
    hands = Hands()
    asyncio.run(WeightGovernor(100, clock=hands.clock, sleep=hands.sleep).acquire(250))
    assert hands.slept == []
