"""What is wrong with answers of REST."""

import asyncio
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
from aiohttp import web

from undertow.venues.simulated.faults import Fault
from undertow.venues.simulated.publisher import Publisher

__all__ = ["Plan", "RestFaults"]

_BODIES = {
    403: "<html><head><title>403 Forbidden</title></head><body>Forbidden</body></html>",
    418: '{"code":-1003,"msg":"Way too many requests; IP banned until %d. Please use the websocket for live '
    'updates to avoid bans."}',
    429: '{"code":-1003,"msg":"Too many requests; current limit of IP is reached. Please use the websocket '
    'for live updates to avoid polling the API."}',
    451: '{"code":0,"msg":"Service unavailable from a restricted location according to the terms."}',
    500: '{"code":-1000,"msg":"An unknown error occurred while processing the request."}',
    503: '{"code":-1008,"msg":"Request throttled by system-level protection."}',
}
_HTML = "<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>"
_LEVELS = 1000


@dataclass(slots=True)
class _Active:
    """A fault that has begun."""

    fault: Fault
    until_ms: int | None
    left: int | None
    frozen: dict[str, bytes] = field(default_factory=dict)
    """Symbol → the answer that stays."""
    snapshots: dict[str, deque[tuple[int, bytes]]] = field(default_factory=dict)
    """Symbol → (time [ms since the start], snapshot) of late."""

    def is_on(self, now_ms: int) -> bool:
        return (self.until_ms is None or now_ms < self.until_ms) and (self.left is None or self.left > 0)


@dataclass(frozen=True, slots=True)
class Plan:
    """The faults of one request."""

    hits: tuple[_Active, ...]
    now_ms: int
    symbol: str

    def find(self, kind: str) -> Fault | None:
        """The first fault of a kind."""
        return next((active.fault for active in self.hits if active.fault.kind == kind), None)

    async def wait(self) -> None:
        """Be slow, or never answer."""
        slow = self.find("slow")
        if slow is not None:
            await asyncio.sleep(slow.milliseconds / 1000)
        if self.find("timeout") is not None:
            await asyncio.Event().wait()

    def refusal(self, wall_ms: int) -> web.Response | None:
        """An answer in place of the true one."""
        fault = self.find("status")
        if fault is not None:
            text = fault.text or _BODIES.get(fault.code, '{"code":-1000,"msg":"An unknown error occurred."}')
            if "%d" in text:
                text = text.replace("%d", str(wall_ms + 1000 * fault.retry_after_s))
            headers = {"Retry-After": str(fault.retry_after_s)} if fault.retry_after_s else {}
            kind = "text/html" if text.startswith("<") else "application/json"
            return web.Response(text=text, status=fault.code, headers=headers, content_type=kind)
        page = self.find("html")
        if page is not None:
            return web.Response(text=_HTML, status=page.code or 200, content_type="text/html")
        return None

    def change(self, name: str, body: bytes) -> bytes:
        """The answer with all that is wrong with it."""
        for active in self.hits:
            body = self._changed(active, name, body)
        return body

    def _changed(self, active: _Active, name: str, body: bytes) -> bytes:
        kind = active.fault.kind
        if kind == "truncated_json":
            return body[: len(body) // 2]
        if kind == "freeze":
            return active.frozen.setdefault(self.symbol, body)
        if kind == "stale_snapshot" and name == "depth":
            kept = active.snapshots.get(self.symbol)
            return kept[0][1] if kept else body
        if kind == "fewer_levels" and name == "depth":
            book: dict[str, Any] = msgspec.json.decode(body)
            for side in ("bids", "asks"):
                book[side] = book[side][: active.fault.levels]
            return msgspec.json.encode(book)
        if kind == "repeated_rows":
            rows = msgspec.json.decode(body)
            return msgspec.json.encode(rows[:1] + rows) if isinstance(rows, list) else body
        if kind in {"empty_answer", "partial_answer"}:
            return _less(body, keeps_half=kind == "partial_answer")
        return body


def _less(body: bytes, *, keeps_half: bool) -> bytes:
    """A list without its second half, or without anything; an object without anything."""
    answer = msgspec.json.decode(body)
    if not isinstance(answer, list):
        return b"{}"
    return msgspec.json.encode(answer[: len(answer) // 2 if keeps_half else 0])


class RestFaults:
    """All faults of answers that have begun. Times are simulated ms since the start."""

    def __init__(self) -> None:
        self.time_offset_ms = 0
        """Added to the time that the exchange states."""
        self._active: list[_Active] = []

    def begin(self, fault: Fault, now_ms: int) -> None:
        """From now on."""
        until_ms = now_ms + round(fault.for_s * 1000) if fault.for_s else None
        self._active.append(_Active(fault, until_ms, fault.most_hits))

    def plan(self, endpoint: str, symbol: str, now_ms: int) -> Plan:
        """What is wrong with the answer to a request; it counts as one hit of each fault."""
        self._active = [active for active in self._active if active.is_on(now_ms)]
        hits = tuple(active for active in self._active if active.fault.targets_request(endpoint, symbol))
        for active in hits:
            if active.left is not None:
                active.left -= 1
        return Plan(hits, now_ms, symbol)

    def keep_snapshots(self, publishers: Mapping[str, Publisher], now_ms: int) -> None:
        """Keep the snapshots that a fault will ask for later."""
        for active in self._active:
            if active.fault.kind != "stale_snapshot" or not active.is_on(now_ms):
                continue
            for symbol, publisher in publishers.items():
                if active.fault.symbol in {"", symbol}:
                    kept = active.snapshots.setdefault(symbol, deque())
                    kept.append((now_ms, publisher.snapshot(_LEVELS)))
                    while len(kept) > 1 and kept[1][0] <= now_ms - active.fault.milliseconds:
                        kept.popleft()
