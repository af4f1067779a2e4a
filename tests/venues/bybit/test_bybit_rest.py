"""The REST client against answers that are scripted, and against the simulated exchange."""

import asyncio
from collections.abc import Awaitable, Callable

import msgspec
import pytest
from aiohttp import web
from tests.venues.bybit.bybit_scenery import play

from undertow.errors import VenueError
from undertow.venues.answers import RefusedError
from undertow.venues.bybit.endpoints import endpoints_for
from undertow.venues.bybit.instruments import find_instrument, top_symbols
from undertow.venues.bybit.messages import RestBook
from undertow.venues.bybit.rare_events import result_of
from undertow.venues.bybit.rest import BybitRest
from undertow.venues.simulated_bybit.server import BybitServer

FINE = b'{"retCode":0,"retMsg":"OK","result":{"s":"BTCUSDT","b":[],"a":[],"u":1}}'
Script = list[tuple[int, bytes]]


def ask(script: Script, scene: Callable[[BybitRest], Awaitable[None]]) -> tuple[list[str], list[float]]:
    """Run a scene against scripted answers; (paths asked for, pauses made)."""
    asked: list[str] = []
    pauses: list[float] = []
    answers = iter(script)

    async def serve(request: web.Request) -> web.Response:
        asked.append(request.path_qs)
        status, body = next(answers)
        return web.Response(status=status, body=body)

    async def pause(duration_s: float) -> None:
        pauses.append(duration_s)

    async def main() -> None:
        application = web.Application()
        application.router.add_get("/{any:.*}", serve)
        runner = web.AppRunner(application)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        try:
            async with BybitRest(endpoints_for("sim-bybit", url), sleep=pause, attempts=3) as rest:
                await scene(rest)
        finally:
            await runner.cleanup()

    asyncio.run(main())
    return asked, pauses


def test_a_request_names_the_category() -> None:
    async def scene(rest: BybitRest) -> None:
        assert (await rest.orderbook("BTCUSDT", 50)).body == FINE

    asked, pauses = ask([(200, FINE)], scene)
    assert asked == ["/v5/market/orderbook?category=linear&symbol=BTCUSDT&limit=50"]
    assert pauses == []


@pytest.mark.parametrize(
    "failure",
    [
        (500, b"oops"),
        (200, b"<html>"),
        (200, b'{"retCode":0,"result":{"list":[]}}'),
        (200, b'{"retCode":10006,"retMsg":"Too many visits!","result":{}}'),
        (200, b'{"retCode":10016,"retMsg":"Server error.","result":{}}'),
    ],
)
def test_what_may_pass_is_asked_again(failure: tuple[int, bytes]) -> None:
    async def scene(rest: BybitRest) -> None:
        assert (await rest.orderbook("BTCUSDT")).body == FINE

    asked, _ = ask([failure, (200, FINE)], scene)
    assert len(asked) == 2


def test_a_ban_keeps_every_request_back() -> None:
    async def scene(rest: BybitRest) -> None:
        assert (await rest.orderbook("BTCUSDT")).body == FINE

    _, pauses = ask([(403, b"access too frequent"), (200, FINE)], scene)
    assert max(pauses) == pytest.approx(600.0, abs=5.0)


@pytest.mark.parametrize(
    ("failure", "kind", "words"),
    [
        (
            (403, b"configured to block access from your country"),
            RefusedError,
            "does not serve this location",
        ),
        ((404, b"no"), VenueError, "HTTP 404"),
        ((200, b'{"retCode":10001,"retMsg":"params error","result":{}}'), VenueError, "params error"),
    ],
)
def test_what_does_not_pass_is_told_at_once(
    failure: tuple[int, bytes], kind: type[Exception], words: str
) -> None:
    async def scene(rest: BybitRest) -> None:
        with pytest.raises(kind, match=words):
            await rest.orderbook("BTCUSDT")

    assert len(ask([failure], scene)[0]) == 1


def test_patience_has_an_end() -> None:
    async def scene(rest: BybitRest) -> None:
        with pytest.raises(VenueError, match="failed 3 times, last with: HTTP 503: down"):
            await rest.tickers()

    assert len(ask([(503, b"down")] * 3, scene)[0]) == 3


def test_every_page_of_instruments_is_read() -> None:
    entry = (
        b'{"symbol":"%s","status":"Trading","priceFilter":{"tickSize":"0.1"},"lotSizeFilter":{"qtyStep":"1"}}'
    )
    page = b'{"retCode":0,"result":{"category":"linear","list":[%s],"nextPageCursor":"%s"}}'

    async def scene(rest: BybitRest) -> None:
        assert [listing.symbol for listing in await rest.instruments()] == ["AUSDT", "BUSDT"]

    asked, _ = ask([(200, page % (entry % b"AUSDT", b"two")), (200, page % (entry % b"BUSDT", b""))], scene)
    assert asked[1].endswith("limit=1000&cursor=two")


def test_the_simulated_exchange_answers_everything() -> None:
    async def scene(server: BybitServer) -> None:
        endpoints = endpoints_for("sim-bybit", server.url)
        async with BybitRest(endpoints) as rest:
            listings = await rest.instruments()
            assert {listing.symbol for listing in listings} == {"BTCUSDT", "ETHUSDT"}
            assert find_instrument(listings, "sim-bybit", "ETHUSDT").tick == "0.01"
            assert (await rest.time_probe()).server_ms == server.exchange.now_ms
            assert set(top_symbols((await rest.tickers()).body, 5)) == {"BTCUSDT", "ETHUSDT"}
            body = (await rest.orderbook("BTCUSDT")).body
            book = msgspec.json.decode(result_of(body), type=RestBook, strict=False)
            assert len(book.b) > 100
            assert (await rest.recent_trades("BTCUSDT")).body
            assert (await rest.open_interest("BTCUSDT")).body
            with pytest.raises(VenueError, match="10001"):
                await rest.funding_rates("NONEUSDT")

    play(scene, symbols="BTCUSDT,ETHUSDT")
