"""A recorded capture as a server on loopback, with Binance's paths.

`async with serve_capture(open_capture, source="day.gz") as server:` in a program; `undertow sim --capture`
by hand.
"""

import asyncio
import contextlib
import json
import signal
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, cast

import msgspec
from aiohttp import web

from undertow.errors import InputError, VenueError
from undertow.venues.simulated.playback import OpenCapture, Playback, PlaybackSettings
from undertow.venues.simulated.playback_lines import POLLED, CaptureFacts, Steps, inspect_capture
from undertow.venues.simulated.sockets import serve_socket

if TYPE_CHECKING:
    from undertow.venues.simulated.exchange import Exchange

__all__ = ["CaptureServer", "serve_capture", "serve_capture_until_stopped"]

_HOST = "127.0.0.1"
_DELIVERED_WITHIN_S = 2.0
_PREFIXES = {"usdm": "/fapi/v1", "spot": "/api/v3"}
_ROUTES = {"usdm": ("/public", "/market", "/private", ""), "spot": ("",)}
_SOCKETS = ("/stream", "/ws", "/ws/{streams:.+}")
_WEIGHT_PER_MINUTE = {"usdm": 2400, "spot": 6000}
_MOST_LEVELS = {"usdm": 1000, "spot": 5000}
_QUOTES = ("USDT", "USDC", "FDUSD", "BUSD", "TUSD", "BTC", "ETH", "BNB", "EUR", "TRY")


@dataclass(frozen=True, slots=True)
class CaptureServer:
    """A running server."""

    playback: Playback
    port: int

    @property
    def url(self) -> str:
        """Base address of REST and, with `ws` for `http`, of the sockets."""
        return f"http://{_HOST}:{self.port}"


class _Book(msgspec.Struct):
    """A recorded snapshot, to be cut; the fields of USD-M are 0 on spot."""

    lastUpdateId: int  # noqa: N815 - the wire's name
    bids: list[msgspec.Raw]
    asks: list[msgspec.Raw]
    E: int = 0
    T: int = 0


class _RefusedError(Exception):
    """A request that is answered with an error."""

    def __init__(self, code: int, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code = code
        self.status = status


def cut_snapshot(body: bytes, levels: int) -> bytes:
    """The recorded answer, with at most so many levels a side; as recorded where it has no more."""
    book = msgspec.json.decode(body, type=_Book)
    if max(len(book.bids), len(book.asks)) <= levels:
        return body
    times = {"E": book.E, "T": book.T} if book.E else {}
    sides = {"bids": book.bids[:levels], "asks": book.asks[:levels]}
    return msgspec.json.encode({"lastUpdateId": book.lastUpdateId, **times, **sides})


def _symbol(playback: Playback, request: web.Request) -> str:
    symbol = request.query.get("symbol")
    if not symbol:
        raise _RefusedError(-1102, "Mandatory parameter 'symbol' was not sent, was empty/null, or malformed.")
    if symbol not in playback.facts.symbols:
        raise _RefusedError(-1121, "Invalid symbol.")
    return symbol


def _limit(playback: Playback, request: web.Request) -> int:
    text, most = request.query.get("limit", "500"), _MOST_LEVELS[playback.facts.market]
    if not text.isascii() or not text.isdecimal() or not 1 <= int(text) <= most:
        raise _RefusedError(-4021, f"{text} is not valid depth limit.")
    return int(text)


async def _depth(playback: Playback, request: web.Request) -> web.StreamResponse:
    """Answer with the snapshot, and tell playback when the client has it.

    The answer asks for the connection to be closed, which a client does once it has the whole body: the
    server then cancels this handler. Without that sign there is no telling what the client reads first, the
    body or the frames that are sent after it.
    """
    symbol, levels = _symbol(playback, request), _limit(playback, request)
    snapshot = await playback.take_snapshot(symbol)
    if snapshot is None:
        raise _RefusedError(-1008, "The capture is over and holds no later snapshot of this book.", 503)
    try:
        response = await _send(request, cut_snapshot(snapshot.body, levels))
    except BaseException:
        snapshot.requests -= 1
        raise
    try:
        if snapshot.is_current:
            await asyncio.sleep(_DELIVERED_WITHIN_S)
    finally:
        snapshot.delivered.set()
    return response


async def _send(request: web.Request, body: bytes) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Connection": "close", "X-MBX-USED-WEIGHT-1M": "20"})
    response.content_type = "application/json"
    response.content_length = len(body)
    await response.prepare(request)
    await response.write(body)
    await response.write_eof()
    return response


def _exchange_info(facts: CaptureFacts, now_ms: int) -> dict[str, Any]:
    limit = {
        "rateLimitType": "REQUEST_WEIGHT",
        "interval": "MINUTE",
        "intervalNum": 1,
        "limit": _WEIGHT_PER_MINUTE[facts.market],
    }
    return {
        "timezone": "UTC",
        "serverTime": now_ms,
        "rateLimits": [limit],
        "exchangeFilters": [],
        "symbols": [_listed(facts, symbol) for symbol in facts.symbols],
    }


def _listed(facts: CaptureFacts, symbol: str) -> dict[str, Any]:
    """An entry of `symbols`, as far as the capture tells."""
    tick, lot = facts.steps[symbol]
    if facts.market == "spot":
        lot = _stated_lot(lot)
    quote = next((name for name in _QUOTES if symbol.endswith(name)), "")
    base = symbol.removesuffix(quote)
    futures = {"pair": symbol, "contractType": "PERPETUAL", "marginAsset": quote}
    return {
        "symbol": symbol,
        "status": "TRADING",
        "baseAsset": base,
        "quoteAsset": quote,
        **(futures if facts.market == "usdm" else {}),
        "filters": [
            {"filterType": "PRICE_FILTER", "minPrice": tick, "maxPrice": "10000000", "tickSize": tick},
            {"filterType": "LOT_SIZE", "minQty": lot, "maxQty": "1000000", "stepSize": lot},
        ],
    }


def _stated_lot(lot: str) -> str:
    """The step that spot states: old orders rest on a step ten times finer than it."""
    return format(Decimal(lot).scaleb(1), "f")


def _polled(playback: Playback, request: web.Request, name: str) -> bytes:
    """What was recorded last, as if it had just been asked for."""
    recorded = playback.polled.get(f"{_symbol(playback, request).lower()}@{name}")
    if recorded is None:
        raise _RefusedError(-1008, f"The capture has no {name} up to now.", 503)
    return recorded


_ANSWERS: Mapping[str, Callable[[Playback], Any]] = {
    "ping": lambda _: {},
    "time": lambda playback: {"serverTime": playback.now_ms},
    "exchangeInfo": lambda playback: _exchange_info(playback.facts, playback.now_ms),
}


def _application(playback: Playback) -> web.Application:
    async def market_data(request: web.Request) -> web.StreamResponse:
        name = request.match_info["name"]
        try:
            if name == "depth":
                return await _depth(playback, request)
            if f"@{name}" in POLLED:
                return web.Response(body=_polled(playback, request, name), content_type="application/json")
        except _RefusedError as error:
            return web.json_response({"code": error.code, "msg": str(error)}, status=error.status)
        answer = _ANSWERS.get(name)
        if answer is None:
            return web.Response(status=404)
        return web.json_response(answer(playback), headers={"X-MBX-USED-WEIGHT-1M": "1"})

    async def counters(_request: web.Request) -> web.Response:
        streams = {stream: {"frames": count} for stream, count in playback.counts.items()}
        return web.json_response(
            {
                "now": playback.now_ms,
                "hasEnded": playback.has_ended,
                "clients": len(playback.clients),
                "streams": streams,
                "lines": dict(playback.lines),
            }
        )

    async def socket(request: web.Request) -> web.StreamResponse:
        # A socket needs of the exchange only what Playback offers as well.
        return await serve_socket(cast("Exchange", playback), request)

    application = web.Application()
    market = playback.facts.market
    paths = [f"{route}{path}" for route in _ROUTES[market] for path in _SOCKETS]
    application.add_routes([web.get(path, socket) for path in paths])
    application.router.add_get(f"{_PREFIXES[market]}/{{name}}", market_data)
    application.router.add_get("/sim/counters", counters)
    return application


def _with_steps(facts: CaptureFacts, steps: Mapping[str, Steps], source: str) -> CaptureFacts:
    """Known steps go before those seen; raises InputError for a symbol that has neither."""
    facts.steps.update({symbol: steps[symbol] for symbol in facts.symbols if symbol in steps})
    missing = [symbol for symbol in facts.symbols if symbol not in facts.steps]
    if missing:
        raise InputError(
            f"{source}: the tick and lot of {', '.join(missing)} cannot be told from its beginning, which "
            "has no trades or book of it; record them too, or give the steps"
        )
    return facts


@contextlib.asynccontextmanager
async def serve_capture(
    open_capture: OpenCapture,
    *,
    source: str = "capture",
    settings: PlaybackSettings | None = None,
    steps: Mapping[str, Steps] | None = None,
    port: int = 0,
) -> AsyncIterator[CaptureServer]:
    """Serve a capture while the context is open; port 0 takes any that is free.

    `open_capture` is called twice: to look at the beginning, and to play. `steps` of a symbol go before those
    that are told from the capture. Raises InputError where the capture cannot be used, VenueError where the
    port cannot be had.
    """
    facts = _with_steps(inspect_capture(open_capture(), source), steps or {}, source)
    playback = Playback(open_capture, facts, settings or PlaybackSettings())
    runner = web.AppRunner(
        _application(playback), access_log=None, shutdown_timeout=1.0, handler_cancellation=True
    )
    await runner.setup()
    site = web.TCPSite(runner, _HOST, port)
    try:
        await site.start()
    except OSError as error:
        await runner.cleanup()
        raise VenueError(f"port {port} cannot be opened ({error.strerror}); choose another, or 0") from error
    playing = asyncio.create_task(playback.run())
    playing.add_done_callback(lambda _: playback.disconnect_all())
    try:
        yield CaptureServer(playback, int(runner.addresses[0][1]))
    finally:
        playing.cancel()
        try:
            with contextlib.suppress(asyncio.CancelledError):
                await playing
        finally:
            await runner.cleanup()


async def serve_capture_until_stopped(
    open_capture: OpenCapture,
    announce: Callable[[str], object],
    *,
    source: str = "capture",
    settings: PlaybackSettings | None = None,
    steps: Mapping[str, Steps] | None = None,
    port: int = 0,
) -> None:
    """Serve until SIGINT or SIGTERM; `announce` gets one line of JSON with the address when it is ready."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    async with serve_capture(
        open_capture, source=source, settings=settings, steps=steps, port=port
    ) as server:
        facts = server.playback.facts
        announce(
            json.dumps(
                {
                    "url": server.url,
                    "market": facts.market,
                    "symbols": facts.symbols,
                    "streams": facts.streams,
                    "start_ms": facts.start_ms,
                }
            )
        )
        await stopped.wait()
