"""The REST side: market data under /fapi/v1 or /api/v3 with its limits and faults, and /sim for tests."""

import time
from collections.abc import Mapping
from typing import Any

import msgspec
from aiohttp import web

from undertow.venues.simulated.control import control_routes
from undertow.venues.simulated.exchange import Exchange
from undertow.venues.simulated.limits import Verdict
from undertow.venues.simulated.rest_answers import ANSWERS, RefusedError, depth_limit
from undertow.venues.simulated.rest_faults import Plan

__all__ = ["rest_routes"]

_USED_WEIGHT = "X-MBX-USED-WEIGHT-1M"
_BANNED = (
    "Way too many requests; IP banned until %d. Please use the websocket for live updates to avoid bans."
)
_TOO_MANY = (
    "Too many requests; current limit of IP is %d requests per minute. "
    "Please use the websocket for live updates to avoid polling the API."
)


def _respond(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    body = value if isinstance(value, bytes) else msgspec.json.encode(value)
    return web.Response(body=body, status=status, content_type="application/json", headers=headers)


def _weight(exchange: Exchange, name: str, query: Mapping[str, str]) -> int:
    rules = exchange.settings.rules
    if name != "depth":
        return rules.weights.get(name, 1)
    try:
        return rules.depth_weight(depth_limit(exchange, query))
    except RefusedError:
        return 1


def _refuse(exchange: Exchange, address: str, verdict: Verdict) -> web.Response:
    """429 or 418, with the time to wait."""
    exchange.limits.tell_to_wait(address, verdict.until_ms / 1000 - time.time())
    message = (
        _BANNED % verdict.until_ms if verdict.status == 418 else _TOO_MANY % exchange.limits.weight_per_window
    )
    headers = {"Retry-After": str(verdict.retry_after_s)}
    return _respond({"code": -1003, "msg": message}, verdict.status, headers)


async def _answer(exchange: Exchange, name: str, query: Mapping[str, str], plan: Plan) -> web.Response:
    try:
        value = ANSWERS[exchange.settings.market][name](exchange, query)
    except RefusedError as error:
        return _respond({"code": error.code, "msg": str(error)}, 400)
    if name == "depth" and exchange.answer_delay_ms:
        await exchange.pass_time(exchange.answer_delay_ms)
    body = value if isinstance(value, bytes) else msgspec.json.encode(value)
    return _respond(plan.change(name, body))


async def _serve(exchange: Exchange, name: str, request: web.Request) -> web.Response:
    """One request: its faults, its weight, its answer."""
    address = request.remote or ""
    plan = exchange.director.rest.plan(name, request.query.get("symbol", ""), exchange.elapsed_ms)
    verdict = exchange.limits.admit(address, _weight(exchange, name, request.query))
    await plan.wait()
    if verdict.status != 200:
        response = _refuse(exchange, address, verdict)
    else:
        refusal = plan.refusal(round(time.time() * 1000))
        response = refusal or await _answer(exchange, name, request.query, plan)
        fault = plan.find("status")
        if fault is not None:
            exchange.limits.tell_to_wait(address, fault.retry_after_s)
    if plan.find("no_headers") is None:
        response.headers[_USED_WEIGHT] = str(verdict.used)
    exchange.requests[name, response.status] += 1
    return response


def rest_routes(exchange: Exchange) -> list[web.RouteDef]:
    """All routes that are no sockets."""
    answers = ANSWERS[exchange.settings.market]

    async def market_data(request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if name not in answers:
            return web.Response(status=404)
        return await _serve(exchange, name, request)

    prefix = exchange.settings.rules.rest_prefix
    return [web.get(prefix + "/{name:.+}", market_data), *control_routes(exchange)]
