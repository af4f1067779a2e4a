"""`/sim`: how tests steer the exchange, and what it says it has sent."""

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from aiohttp import web

from undertow.errors import InputError
from undertow.venues.simulated.exchange import Exchange
from undertow.venues.simulated.faults import parse_fault
from undertow.venues.simulated.rest_answers import Answer, Query, RefusedError, find_publisher, integer

__all__ = ["control_routes"]

_MOST_LEVELS = 1 << 13


def _counters(exchange: Exchange, _query: Query) -> Any:
    requests: dict[str, dict[str, int]] = {}
    for (name, status), number in exchange.requests.items():
        requests.setdefault(name, {})[str(status)] = number
    return {
        "now": exchange.now_ms,
        "elapsed_ms": exchange.elapsed_ms,
        "hasEnded": exchange.has_ended,
        "clients": len(exchange.clients),
        "streams": {stream: count.as_json() for stream, count in exchange.counts.items()},
        "connections": {
            "opened": exchange.clients.opened_count,
            "most_messages_per_s": exchange.clients.busiest_second,
        },
        "requests": requests,
        "violations": {kind: exchange.limits.violations[kind] for kind in VIOLATIONS},
        "faults": {"began": exchange.director.began, "pending": exchange.director.pending},
    }


VIOLATIONS = ("weight", "told_to_wait", "banned", "connections", "messages", "streams")
"""What a well-behaved client never does; all are 0 for one."""


def _record(exchange: Exchange, query: Query) -> Any:
    market = find_publisher(exchange, query).market
    return {
        "symbol": market.listing.symbol,
        "minutes": market.minutes.as_json(),
        "omitted_trade_ids": market.omitted_ids,
    }


def _true_book(exchange: Exchange, query: Query) -> Any:
    return find_publisher(exchange, query).snapshot(_MOST_LEVELS)


def _ghosts(exchange: Exchange, query: Query) -> Any:
    return [{"side": side, "price": price} for side, price in find_publisher(exchange, query).ghosts]


def _drop(exchange: Exchange, query: Query) -> Any:
    stream = query.get("stream")
    if not stream:
        raise RefusedError(-1102, "Mandatory parameter 'stream' was not sent.")
    exchange.drops[stream] += integer(query, "count") or 1
    return {"stream": stream, "toDrop": exchange.drops[stream]}


def _disconnect(exchange: Exchange, _query: Query) -> Any:
    return {"disconnected": exchange.disconnect_all()}


def _delay(exchange: Exchange, query: Query) -> Any:
    exchange.answer_delay_ms = integer(query, "milliseconds") or 0
    return {"milliseconds": exchange.answer_delay_ms}


def _respond(value: Any, status: int = 200) -> web.Response:
    body = value if isinstance(value, bytes) else msgspec.json.encode(value)
    return web.Response(body=body, status=status, content_type="application/json")


def _guarded(exchange: Exchange, answer: Answer) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def handle(request: web.Request) -> web.Response:
        try:
            return _respond(answer(exchange, request.query))
        except RefusedError as error:
            return _respond({"code": error.code, "msg": str(error)}, 400)

    return handle


def control_routes(exchange: Exchange) -> list[web.RouteDef]:
    """The routes under /sim."""

    async def fault(request: web.Request) -> web.Response:
        try:
            found = parse_fault(await request.read())
            exchange.director.add(found)
            if found.at_s is None:
                exchange.director.act()
        except InputError as error:
            return _respond({"msg": str(error)}, 400)
        return _respond({"elapsed_ms": exchange.elapsed_ms, "pending": exchange.director.pending})

    return [
        web.get("/sim/counters", _guarded(exchange, _counters)),
        web.get("/sim/record", _guarded(exchange, _record)),
        web.get("/sim/book", _guarded(exchange, _true_book)),
        web.get("/sim/ghosts", _guarded(exchange, _ghosts)),
        web.post("/sim/fault", fault),
        web.post("/sim/drop", _guarded(exchange, _drop)),
        web.post("/sim/disconnect", _guarded(exchange, _disconnect)),
        web.post("/sim/delay", _guarded(exchange, _delay)),
    ]
