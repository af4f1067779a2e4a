"""Who makes faults happen: at their time, where they belong, and in the order of the scenario."""

import asyncio
import heapq
from collections.abc import Callable, Coroutine
from itertools import count
from typing import TYPE_CHECKING, Any

import msgspec

from undertow.errors import InputError
from undertow.venues.simulated.book_faults import BOOK_FAULTS
from undertow.venues.simulated.faults import KINDS, Fault
from undertow.venues.simulated.frame_faults import FrameFaults
from undertow.venues.simulated.rest_faults import RestFaults
from undertow.venues.simulated.retick import tick_factor
from undertow.venues.simulated.subscribers import Form, Socket

if TYPE_CHECKING:
    from undertow.venues.simulated.exchange import Exchange

__all__ = ["Director"]

_CLOSE_CODE = 1006
_RESTART_CODE = 1012
_KICK_CODE = 1008


class Director:
    """All faults of one exchange: those to come, and the ends of those that have begun."""

    def __init__(self, exchange: "Exchange") -> None:
        self._exchange = exchange
        self._serial = count()
        self._due: list[tuple[int, int, Fault | Callable[[], None]]] = []
        self._waiting: list[Fault] = []
        """They want a connection that nobody has opened yet."""
        self._closing: set[asyncio.Task[None]] = set()
        self.frames = FrameFaults(exchange.publishers, exchange.clients.at)
        self.rest = RestFaults()
        self.refusal: int | None = None
        """How new sockets are refused: with an HTTP status, or 0: by cutting them off. None: they are not."""
        self.began = 0
        """Faults that have begun."""
        for fault in exchange.settings.faults:
            self.add(fault)
        self.act()

    def add(self, fault: Fault) -> None:
        """Have a fault begin at its time, or with the next `act`; raises InputError for an unknown symbol."""
        if fault.symbol and fault.symbol not in self._exchange.publishers:
            listed = ", ".join(self._exchange.publishers)
            raise InputError(f"fault {fault.kind!r}: {fault.symbol!r} is not listed; choose among {listed}")
        if fault.kind == "tick_change":
            tick_factor(self._exchange.publishers[fault.symbol].market, fault.tick)
        at_ms = self._exchange.elapsed_ms if fault.at_s is None else round(fault.at_s * 1000)
        heapq.heappush(self._due, (at_ms, next(self._serial), fault))

    def next_ms(self) -> int | None:
        """When the next fault begins or ends [ms since the start]."""
        return self._due[0][0] if self._due else None

    @property
    def pending(self) -> int:
        """Faults and ends of faults that are still to come."""
        return len(self._due) + len(self._waiting)

    def act(self) -> None:
        """Begin and end what is due."""
        waiting, self._waiting = self._waiting, []
        for fault in waiting:
            self._begin(fault)
        while self._due and self._due[0][0] <= self._exchange.elapsed_ms:
            item = heapq.heappop(self._due)[2]
            if isinstance(item, Fault):
                self._begin(item)
            else:
                item()
        self._end_old_sockets()
        self.rest.keep_snapshots(self._exchange.publishers, self._exchange.elapsed_ms)

    def _later(self, for_s: float, act: Callable[[], None]) -> None:
        at_ms = self._exchange.elapsed_ms + round(for_s * 1000)
        heapq.heappush(self._due, (at_ms, next(self._serial), act))

    def _end_old_sockets(self) -> None:
        """Cut sockets that have lived for as long as any may."""
        before_ms = self._exchange.elapsed_ms - round(self._exchange.settings.lifetime_s * 1000)
        for client in self._exchange.clients.opened_by(before_ms):
            self._exchange.leave(client)
            client.abort()

    def _begin(self, fault: Fault) -> None:
        family = KINDS[fault.kind].family
        if family == "connection" and not self._targets(fault):
            self._waiting.append(fault)
            return
        self.began += 1
        now_ms = self._exchange.elapsed_ms
        if family == "frame":
            self.frames.begin(fault, now_ms)
            if fault.for_s:
                # A step ends when the fault does.
                self._later(fault.for_s, _nothing)
        elif family == "book":
            BOOK_FAULTS[fault.kind](self._exchange.publishers[fault.symbol], fault)
        elif family == "rest":
            self.rest.begin(fault, now_ms)
        elif family == "connection":
            for client in self._targets(fault):
                self._strike(fault, client)
        else:
            _EXCHANGE_FAULTS[fault.kind](self, fault)

    def _targets(self, fault: Fault) -> list[Socket]:
        """The sockets that a fault means: the n-th, or all of a route, or all that carry certain streams."""
        if fault.connection is not None:
            client = self._exchange.clients.at(fault.connection)
            return [] if client is None else [client]
        return [
            client
            for client in self._exchange.clients
            if fault.route in {"", client.route}
            and (not fault.has_stream_target or any(fault.targets(name) for name in client.streams))
        ]

    def _strike(self, fault: Fault, client: Socket) -> None:
        kind = fault.kind
        if kind == "no_pings":
            client.has_pings = False
        elif kind == "shutdown_notice":
            self._start(self._announce_shutdown(fault, client))
        elif kind == "half_open":
            self._exchange.leave(client)
            client.fall_silent()
        elif kind == "reset":
            self._exchange.leave(client)
            client.reset()
        elif kind == "kick":
            self._close(client, _KICK_CODE, "Too many requests")
        else:
            self._close(client, fault.code or _CLOSE_CODE, fault.text)

    def _close(self, client: Socket, code: int, reason: str) -> None:
        """Close a socket and send it nothing more; 1006 is no code to be sent, but a cut."""
        self._exchange.leave(client)
        if code == _CLOSE_CODE:
            client.abort()
        else:
            self._start(client.close(code, reason))

    async def _announce_shutdown(self, fault: Fault, client: Socket) -> None:
        if fault.for_s:
            self._later(fault.for_s, lambda: self._close(client, fault.code or _RESTART_CODE, "restart"))
        notice = msgspec.json.encode({"e": "serverShutdown", "E": self._exchange.now_ms})
        await client.send_as(Form.TEXT, b'{"stream":"!serverShutdown","data":%s}' % notice, notice)

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        """Do something with a socket while the market goes on."""
        task = asyncio.get_running_loop().create_task(work)
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    def _refuse_connections(self, fault: Fault) -> None:
        self.refusal = fault.code
        self._later(fault.for_s, self._accept_connections)

    def _accept_connections(self) -> None:
        self.refusal = None

    def _halt(self, fault: Fault) -> None:
        """Nobody trades, all streams are silent, and REST answers 503, or as `code` says."""
        until_ms = self._exchange.now_ms + round(fault.for_s * 1000)
        for publisher in self._exchange.publishers.values():
            publisher.market.still_until_ms = max(publisher.market.still_until_ms, until_ms)
            publisher.silent_until_ms = max(publisher.silent_until_ms, until_ms)
        if fault.code != 200:
            answer = Fault(kind="status", code=fault.code or 503, for_s=fault.for_s)
            self.rest.begin(answer, self._exchange.elapsed_ms)

    def _clock_jump(self, fault: Fault) -> None:
        self._exchange.jumped_ms += fault.milliseconds
        for publisher in self._exchange.publishers.values():
            publisher.jump_clock(fault.milliseconds)

    def _used_weight(self, fault: Fault) -> None:
        self._exchange.limits.add_weight(fault.weight)

    def _limit_change(self, fault: Fault) -> None:
        self._exchange.limits.weight_per_window = fault.limit

    def _server_time_offset(self, fault: Fault) -> None:
        self.rest.time_offset_ms = fault.milliseconds


def _nothing() -> None:
    """What there is to do at the end of some faults."""


_EXCHANGE_FAULTS: dict[str, Callable[[Director, Fault], None]] = {
    "refuse_connections": Director._refuse_connections,
    "halt": Director._halt,
    "clock_jump": Director._clock_jump,
    "used_weight": Director._used_weight,
    "limit_change": Director._limit_change,
    "server_time_offset": Director._server_time_offset,
}
