"""What an exchange is like from here: REST, its clock, and which route really delivers which stream."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec
from picows import WSError

from undertow.errors import InputError, VenueError
from undertow.market.time import MILLISECOND_NS
from undertow.monitor.probes import Finding, Status
from undertow.runtime.clock_offset import ClockOffset, Offset
from undertow.venues.answers import TimeProbe
from undertow.venues.binance.dialect import DIALECT
from undertow.venues.binance.endpoints import Endpoints, websocket_url
from undertow.venues.binance.instruments import parse_exchange_info
from undertow.venues.binance.rest import BinanceRest
from undertow.venues.sockets.connection import open_connection, wait_for_change

__all__ = ["judge_clock", "probe_clock", "probe_routes", "probe_venue", "route_troubles"]

_CLOCK_SAMPLES = 8
_SKEW_WARN_MS, _SKEW_FAIL_MS = 250.0, 5000.0
_PROBE_SYMBOL = "BTCUSDT"
_REST_TIMEOUT_S = 5.0


async def probe_venue(endpoints: Endpoints, patience_s: float = 8.0) -> list[Finding]:
    """REST, the clock and every socket route; `patience_s` is how long a stream may take to send anything."""
    async with BinanceRest(endpoints, attempts=2, timeout_s=_REST_TIMEOUT_S) as rest:
        findings, symbol = await _probe_rest(rest)
        if findings[0].status is not Status.FAIL:
            is_simulated = endpoints.venue == "sim"
            advice = _network_advice(endpoints)
            findings.append(await probe_clock(rest.time_probe, advice, is_simulated=is_simulated))
    return findings + await probe_routes(endpoints, symbol, patience_s)


async def _probe_rest(rest: BinanceRest) -> tuple[list[Finding], str]:
    """Whether REST answers, and a symbol that trades."""
    began_s = time.perf_counter()
    try:
        answer = await rest.exchange_info()
        info = parse_exchange_info(answer.body, f"{rest.endpoints.venue}: exchangeInfo")
    except (VenueError, InputError) as error:
        return [Finding("REST", Status.FAIL, str(error), _network_advice(rest.endpoints))], _PROBE_SYMBOL
    elapsed_ms = (time.perf_counter() - began_s) * 1e3
    trading = [entry.symbol for entry in info.symbols if entry.status == "TRADING"]
    found = (
        f"{rest.endpoints.rest}: {len(trading)} symbols trade, answered in {elapsed_ms:,.0f} ms, "
        f"weight used {rest.governor.used:,} of {rest.governor.limit:,}"
    )
    if not trading:
        return [Finding("REST", Status.WARN, found, "wait until the exchange trades again")], _PROBE_SYMBOL
    symbol = _PROBE_SYMBOL if _PROBE_SYMBOL in trading else trading[0]
    return [Finding("REST", Status.OK, found)], symbol


def _network_advice(endpoints: Endpoints) -> str:
    return (
        f"check the network, the name server and any proxy: curl {endpoints.rest}{endpoints.rest_prefix}/time"
    )


async def probe_clock(ask: Callable[[], Awaitable[TimeProbe]], advice: str, *, is_simulated: bool) -> Finding:
    """How far the exchange's clock is from ours; `advice` where it cannot be asked."""
    clock = ClockOffset()
    try:
        for _ in range(_CLOCK_SAMPLES):
            clock.add(await ask())
    except (VenueError, msgspec.DecodeError) as error:
        return Finding("clock", Status.FAIL, str(error), advice)
    return judge_clock(clock.estimate(time.time_ns()), is_simulated=is_simulated)


def judge_clock(offset: Offset, *, is_simulated: bool) -> Finding:
    """What an offset means: it falsifies lags, and no event time, which is always the exchange's."""
    offset_ms, error_ms = offset.offset_ns / MILLISECOND_NS, offset.error_ns / MILLISECOND_NS
    found = f"the exchange's clock is {offset_ms:+,.1f} ± {error_ms:.1f} ms from ours"
    if is_simulated:
        return Finding("clock", Status.OK, f"{found}; a simulation keeps its own time")
    certain_ms = abs(offset_ms) - error_ms
    if certain_ms <= _SKEW_WARN_MS:
        return Finding("clock", Status.OK, found)
    status = Status.FAIL if certain_ms > _SKEW_FAIL_MS else Status.WARN
    return Finding("clock", status, found, "let chrony, ntpd or systemd-timesyncd keep this machine's clock")


@dataclass(slots=True)
class _Route:
    """One route: what was asked for on its socket and what came."""

    category: str
    url: str
    expected: frozenset[str]
    """Streams that belong here and are never silent for long."""
    first_s: dict[str, float] = field(default_factory=dict)
    """Stream → how long its first frame took."""
    failure: str = ""

    @property
    def is_done(self) -> bool:
        """Whether nothing is to be waited for any more."""
        return bool(self.failure) or self.expected <= self.first_s.keys()


async def probe_routes(
    endpoints: Endpoints, symbol: str, patience_s: float, kinds: Collection[str] | None = None
) -> list[Finding]:
    """Ask for every kind of stream (of `kinds`) on every route at once: only data proves a route (C10)."""
    streams = {
        name: kind.template.format(symbol=symbol.lower())
        for name, kind in endpoints.streams.items()
        if kinds is None or name in kinds
    }
    routes = {
        category: _Route(
            category, websocket_url(endpoints, category), _expected(endpoints, category, streams)
        )
        for category in endpoints.routes
    }
    judged = [name for name in routes if any(endpoints.streams[kind].category == name for kind in streams)]
    changed = asyncio.Event()

    async def listen(route: _Route) -> None:
        await _listen(route, list(streams.values()), list(routes.values()), changed, patience_s)

    await asyncio.gather(*map(listen, routes.values()))
    return [_judge_route(endpoints, routes, category, streams, patience_s) for category in judged]


async def route_troubles(
    endpoints: Endpoints, kinds: Collection[str], symbol: str, patience_s: float = 8.0
) -> list[str]:
    """What is wrong with the routes of these kinds of streams, each with what to do."""
    found = await probe_routes(endpoints, symbol, patience_s, kinds)
    return [f"{one.found}; {one.advice}" for one in found if one.status is Status.FAIL]


def _expected(endpoints: Endpoints, category: str, streams: Mapping[str, str]) -> frozenset[str]:
    kinds = {name: endpoints.streams[name] for name in streams}
    return frozenset(
        streams[name]
        for name, kind in kinds.items()
        if kind.category == category and kind.patience is not None
    )


async def _listen(
    route: _Route, streams: Sequence[str], routes: Sequence[_Route], changed: asyncio.Event, patience_s: float
) -> None:
    """Subscribe to all `streams`, and listen until every route has what it should have, or is given up."""
    began_s = time.monotonic()

    def receive(stream: bytes | None, _message: bytes) -> None:
        if stream is not None:
            route.first_s.setdefault(stream.decode(), time.monotonic() - began_s)

    try:
        connection = await open_connection(DIALECT, route.url, receive, changed, patience_s)
    except (OSError, WSError, TimeoutError) as error:
        route.failure = str(error) or type(error).__name__
        changed.set()
        return
    began_s = time.monotonic()
    try:
        connection.send(msgspec.json.encode({"method": "SUBSCRIBE", "params": list(streams), "id": 1}))
        while (left_s := began_s + patience_s - time.monotonic()) > 0:
            if connection.has_ended and not route.first_s:
                route.failure = connection.reason
            if connection.has_ended or all(other.is_done for other in routes):
                break
            await wait_for_change(changed, left_s)
        changed.set()
        await connection.retire(1.0)
    finally:
        connection.abort("the probe is over")


def _judge_route(
    endpoints: Endpoints,
    routes: Mapping[str, _Route],
    category: str,
    streams: Mapping[str, str],
    patience_s: float,
) -> Finding:
    """What came on a route, and where what did not come there came instead."""
    route, name = routes[category], f"route {category}"
    if route.failure:
        return Finding(name, Status.FAIL, f"{route.url}: {route.failure}", _network_advice(endpoints))
    came, elsewhere, nowhere = [], [], []
    for kind, stream in streams.items():
        if endpoints.streams[kind].category != category:
            continue
        others = [other.url for other in routes.values() if stream in other.first_s]
        if stream in route.first_s:
            came.append(f"{kind} after {route.first_s[stream]:.1f} s")
        elif others:
            elsewhere.append(f"{kind} ({stream}) comes on {others[0]}")
        elif endpoints.streams[kind].patience is not None:
            nowhere.append(f"{kind} ({stream})")
    found = f"{route.url}: {', '.join(came) or 'nothing came'}"
    if elsewhere:
        advice = (
            "the exchange has moved these streams: correct the table of routes in venues/binance/endpoints.py"
        )
        return Finding(name, Status.FAIL, f"{found}; not on this route: {', '.join(elsewhere)}", advice)
    if nowhere:
        missing = f"{found}; nothing within {patience_s:g} s on any route: {', '.join(nowhere)}"
        advice = "try again with more patience; if it stays so, the stream's name or the exchange has changed"
        return Finding(name, Status.WARN if came else Status.FAIL, missing, advice)
    return Finding(name, Status.OK, found)
