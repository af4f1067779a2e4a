"""What Bybit's linear market is like from here: REST, its clock, and whether each topic is delivered."""

import asyncio
import time

from picows import WSError

from undertow.errors import InputError, VenueError
from undertow.monitor.probes import Finding, Status
from undertow.monitor.venue_probes import probe_clock
from undertow.venues.bybit.dialect import new_dialect
from undertow.venues.bybit.endpoints import Endpoints, topic_names, websocket_url
from undertow.venues.bybit.rest import BybitRest
from undertow.venues.sockets.connection import Connection, open_connection, wait_for_change

__all__ = ["probe_bybit"]

_PROBE_SYMBOL = "BTCUSDT"
_REST_TIMEOUT_S = 5.0


async def probe_bybit(endpoints: Endpoints, patience_s: float = 8.0) -> list[Finding]:
    """REST, the clock and the socket; `patience_s` is how long a topic may take to send anything."""
    advice = f"check the network, the name server and any proxy: curl {endpoints.rest}/v5/market/time"
    async with BybitRest(endpoints, attempts=2, timeout_s=_REST_TIMEOUT_S) as rest:
        findings = [await _probe_rest(rest, advice)]
        if findings[0].status is not Status.FAIL:
            is_simulated = endpoints.venue.startswith("sim")
            findings.append(await probe_clock(rest.time_probe, advice, is_simulated=is_simulated))
    return [*findings, await _probe_socket(endpoints, patience_s, advice)]


async def _probe_rest(rest: BybitRest, advice: str) -> Finding:
    began_s = time.perf_counter()
    try:
        listings = await rest.instruments()
    except (VenueError, InputError) as error:
        return Finding("REST", Status.FAIL, str(error), advice)
    elapsed_ms = (time.perf_counter() - began_s) * 1e3
    trading = sum(listing.status == "Trading" for listing in listings)
    found = f"{rest.endpoints.rest}: {trading} contracts trade, answered in {elapsed_ms:,.0f} ms"
    if not trading:
        return Finding("REST", Status.WARN, found, "wait until the exchange trades again")
    return Finding("REST", Status.OK, found)


async def _probe_socket(endpoints: Endpoints, patience_s: float, advice: str) -> Finding:
    """Subscribe to every topic of a symbol: only data proves that it comes."""
    (category,) = endpoints.routes
    url, name, changed = websocket_url(endpoints, category), f"route {category}", asyncio.Event()
    dialect, topics = new_dialect(endpoints), _topics(endpoints)
    first_s: dict[str, float] = {}
    began_s = time.monotonic()

    def receive(topic: bytes | None, _frame: bytes) -> None:
        if topic is not None:
            first_s.setdefault(topic.decode(), time.monotonic() - began_s)

    try:
        connection = await open_connection(dialect, url, receive, changed, patience_s)
    except (OSError, WSError, TimeoutError) as error:
        return Finding(name, Status.FAIL, f"{url}: {str(error) or type(error).__name__}", advice)
    try:
        connection.send(dialect.subscribe(list(topics.values()), 1))
        expected = {topic for kind, topic in topics.items() if endpoints.streams[kind].patience is not None}
        while (left_s := began_s + patience_s - time.monotonic()) > 0 and not expected <= first_s.keys():
            if connection.has_ended or connection.refusals:
                break
            await wait_for_change(changed, left_s)
        return _judge(name, url, connection, topics, expected, first_s, patience_s)
    finally:
        connection.abort("the probe is over")


def _topics(endpoints: Endpoints) -> dict[str, str]:
    """Kind → topic of the probed symbol."""
    found = {}
    for kind in endpoints.streams:
        ((topic,),) = topic_names(endpoints, [_PROBE_SYMBOL], [kind]).values()
        found[kind] = topic
    return found


def _judge(
    name: str,
    url: str,
    connection: Connection,
    topics: dict[str, str],
    expected: set[str],
    first_s: dict[str, float],
    patience_s: float,
) -> Finding:
    came = [f"{kind} after {first_s[topic]:.1f} s" for kind, topic in topics.items() if topic in first_s]
    found = f"{url}: {', '.join(came) or 'nothing came'}"
    if connection.refusals:
        advice = "correct the table of topics in venues/bybit/endpoints.py"
        return Finding(name, Status.FAIL, f"{found}; refused: {connection.refusals[0]}", advice)
    if connection.has_ended:
        return Finding(
            name, Status.FAIL, f"{found}; {connection.reason}", "try again; if it stays so, report it"
        )
    if missing := sorted(expected - first_s.keys()):
        found = f"{found}; nothing within {patience_s:g} s: {', '.join(missing)}"
        advice = "try again with more patience; if it stays so, the topic's name or the exchange has changed"
        return Finding(name, Status.WARN if came else Status.FAIL, found, advice)
    return Finding(name, Status.OK, found)
