"""What an exchange is like from here: REST, its clock, and which route really delivers which stream."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import msgspec
from picows import WSError

from undertow.errors import InputError, VenueError
from undertow.monitor.probes import Finding, Status
from undertow.venues.binance.connection import open_connection, wait_for_change
from undertow.venues.binance.endpoints import Endpoints, websocket_url
from undertow.venues.binance.instruments import parse_exchange_info
from undertow.venues.binance.rest import BinanceRest

__all__ = ["ClockSample", "Offset", "estimate_offset", "judge_clock", "probe_venue"]

_CLOCK_SAMPLES = 8
_RESOLUTION_MS = 1.0
"""The exchange states whole milliseconds."""
_SKEW_WARN_MS, _SKEW_FAIL_MS = 250.0, 5000.0
_PROBE_SYMBOL = "BTCUSDT"
_REST_TIMEOUT_S = 5.0


class _Time(msgspec.Struct):
    serverTime: int  # noqa: N815 - the wire's name


@dataclass(frozen=True, slots=True)
class ClockSample:
    """One question for the time: when it was asked and answered, by our clock, and the answer [ms]."""

    asked_ms: float
    answered_ms: float
    server_ms: int


@dataclass(frozen=True, slots=True)
class Offset:
    """The exchange's clock minus ours [ms]; the truth is within `error_ms` of it."""

    offset_ms: float
    error_ms: float


def estimate_offset(samples: Sequence[ClockSample]) -> Offset:
    """The offset by the quickest answer: the server read its clock between question and answer.

    Cristian's algorithm (Distributed Computing 3, 1989): half the round trip bounds the error, to which the
    answer's resolution adds. Raises ValueError for no samples.

    >>> estimate_offset([ClockSample(0.0, 10.0, 1005), ClockSample(20.0, 22.0, 1021)])
    Offset(offset_ms=1000.5, error_ms=1.5)
    """
    best = min(samples, key=lambda sample: sample.answered_ms - sample.asked_ms)
    middle_ms = (best.asked_ms + best.answered_ms) / 2
    error_ms = (best.answered_ms - best.asked_ms) / 2 + _RESOLUTION_MS / 2
    return Offset(best.server_ms + _RESOLUTION_MS / 2 - middle_ms, error_ms)


async def probe_venue(endpoints: Endpoints, patience_s: float = 8.0) -> list[Finding]:
    """REST, the clock and every socket route; `patience_s` is how long a stream may take to send anything."""
    async with BinanceRest(endpoints, attempts=2, timeout_s=_REST_TIMEOUT_S) as rest:
        findings, symbol = await _probe_rest(rest)
        if findings[0].status is not Status.FAIL:
            findings.append(await _probe_clock(rest))
    return findings + await _probe_routes(endpoints, symbol, patience_s)


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


async def _probe_clock(rest: BinanceRest) -> Finding:
    samples = []
    try:
        for _ in range(_CLOCK_SAMPLES):
            asked_s = time.time()
            answer = await rest.time()
            server_ms = msgspec.json.decode(answer.body, type=_Time).serverTime
            samples.append(ClockSample(asked_s * 1e3, answer.receive_ns / 1e6, server_ms))
    except (VenueError, msgspec.DecodeError) as error:
        return Finding("clock", Status.FAIL, str(error), _network_advice(rest.endpoints))
    return judge_clock(estimate_offset(samples), is_simulated=rest.endpoints.venue == "sim")


def judge_clock(offset: Offset, *, is_simulated: bool) -> Finding:
    """What an offset means: it falsifies lags, and no event time, which is always the exchange's."""
    found = f"the exchange's clock is {offset.offset_ms:+,.1f} ± {offset.error_ms:.1f} ms from ours"
    if is_simulated:
        return Finding("clock", Status.OK, f"{found}; a simulation keeps its own time")
    certain_ms = abs(offset.offset_ms) - offset.error_ms
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


async def _probe_routes(endpoints: Endpoints, symbol: str, patience_s: float) -> list[Finding]:
    """Ask for every kind of stream on every route at once: only data proves a route (PROTOCOL A1, C10)."""
    streams = {name: kind.template.format(symbol=symbol.lower()) for name, kind in endpoints.streams.items()}
    routes = {
        category: _Route(
            category, websocket_url(endpoints, category), _expected(endpoints, category, streams)
        )
        for category in endpoints.routes
    }
    changed = asyncio.Event()

    async def listen(route: _Route) -> None:
        await _listen(route, list(streams.values()), list(routes.values()), changed, patience_s)

    await asyncio.gather(*map(listen, routes.values()))
    return [_judge_route(endpoints, routes, category, streams, patience_s) for category in routes]


def _expected(endpoints: Endpoints, category: str, streams: Mapping[str, str]) -> frozenset[str]:
    kinds = endpoints.streams.items()
    return frozenset(
        streams[name] for name, kind in kinds if kind.category == category and kind.patience is not None
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
        connection = await open_connection(route.url, receive, changed, patience_s)
    except (OSError, WSError, TimeoutError) as error:
        route.failure = str(error) or type(error).__name__
        changed.set()
        return
    began_s = time.monotonic()
    connection.send(msgspec.json.encode({"method": "SUBSCRIBE", "params": list(streams), "id": 1}))
    while (left_s := began_s + patience_s - time.monotonic()) > 0:
        if connection.has_ended and not route.first_s:
            route.failure = connection.reason
        if connection.has_ended or all(other.is_done for other in routes):
            break
        await wait_for_change(changed, left_s)
    changed.set()
    await connection.retire(1.0)


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
