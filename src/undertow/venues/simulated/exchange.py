"""The exchange behind the sockets: its markets, its clock, who gets which frame, and what was sent."""

import asyncio
import heapq
from collections import Counter
from dataclasses import dataclass, field, replace
from operator import attrgetter

from undertow.venues.simulated.counts import StreamCount
from undertow.venues.simulated.director import Director
from undertow.venues.simulated.frame_faults import Outgoing, Passage
from undertow.venues.simulated.limits import Limits
from undertow.venues.simulated.market import new_market
from undertow.venues.simulated.publisher import Frame, Publisher
from undertow.venues.simulated.settings import DEFAULT_START_MS, Settings
from undertow.venues.simulated.streams import KINDS, SPOT_KINDS, is_served, parse_stream
from undertow.venues.simulated.subscribers import Connections, Form, Socket, Subscriber
from undertow.venues.simulated.wire import combined

__all__ = ["DEFAULT_START_MS", "Exchange", "Settings", "StreamCount", "Subscriber"]

_STEP_MS = 50
"""Half of the usual depth cadence: REST snapshots then fall inside a frame's ids as well as at their end."""
_SETTLE_MS = 200
"""Simulated time after which a market that runs fast waits until its clients have read everything sent.

Buffers of the operating system hold minutes of a fast market: without it one socket of a client would run
minutes ahead of another in event time, as it never does in life.
"""
_FORGIVEN_S = 0.5
"""A market held up for longer by its clients does not hurry to make up for it."""


@dataclass(slots=True)
class Exchange:
    """All markets on one virtual clock, which stands still until a stream that it serves is subscribed to."""

    settings: Settings
    publishers: dict[str, Publisher] = field(init=False)
    director: Director = field(init=False)
    limits: Limits = field(init=False)
    elapsed_ms: int = 0
    """Simulated time since the start."""
    jumped_ms: int = 0
    """How far its clock has jumped in all."""
    counts: dict[str, StreamCount] = field(default_factory=dict)
    drops: Counter[str] = field(default_factory=Counter)
    """Stream → frames still to be dropped."""
    answer_delay_ms: int = 0
    """Simulated time for which answers to `depth` are held back."""
    clients: Connections = field(init=False)
    requests: Counter[tuple[str, int]] = field(default_factory=Counter)
    """(endpoint, status) → requests answered so."""
    has_ended: bool = False
    _wanted: dict[str, list[Socket]] = field(default_factory=dict)
    _started: asyncio.Event = field(default_factory=asyncio.Event)
    _stepped: asyncio.Condition = field(default_factory=asyncio.Condition)

    def __post_init__(self) -> None:
        """List the markets."""
        settings, rules = self.settings, self.settings.rules
        self.clients = Connections(lambda: self.elapsed_ms)
        self.publishers = {
            listing.symbol: Publisher(
                new_market(
                    listing,
                    seed=settings.seed,
                    signal=settings.signal,
                    start_ms=settings.start_ms,
                    activity=settings.activity,
                ),
                is_spot=settings.market == "spot",
            )
            for listing in settings.listings
        }
        self.limits = Limits(
            rules.weight_per_minute,
            rules.connections_per_5_minutes,
            is_enforced=settings.enforces_limits,
            scale=settings.limit_scale,
        )
        self.director = Director(self)

    @property
    def now_ms(self) -> int:
        """The exchange's clock [ms since the epoch]."""
        return self.settings.start_ms + self.elapsed_ms + self.jumped_ms

    def subscribe(self, client: Socket, stream: str) -> None:
        """Send a stream to a client from now on; one that its route does not serve stays silent."""
        found = parse_stream(stream, SPOT_KINDS if self.settings.market == "spot" else KINDS)
        if found is not None and found[0] in self.publishers and is_served(found[1], client.route):
            self.publishers[found[0]].open(found[1].suffix)
            receivers = self._wanted.setdefault(stream, [])
            if client not in receivers:
                receivers.append(client)
            self._started.set()

    def unsubscribe(self, client: Socket, stream: str) -> None:
        """Stop sending a stream to a client; one that nobody wants is closed."""
        receivers = self._wanted.get(stream, [])
        if client in receivers:
            receivers.remove(client)
        if stream in self._wanted and not receivers:
            del self._wanted[stream]
            symbol, _, suffix = stream.partition("@")
            self.publishers[symbol.upper()].close(suffix)

    def leave(self, client: Socket) -> None:
        """Forget a client that is gone."""
        self.clients.discard(client)
        for stream in [name for name, receivers in self._wanted.items() if client in receivers]:
            self.unsubscribe(client, stream)

    def disconnect_all(self) -> int:
        """Cut all connections; their number."""
        clients = list(self.clients)
        for client in clients:
            client.abort()
        return len(clients)

    async def run(self) -> None:
        """Let time pass from the first subscription on, until the duration is over, or for ever."""
        await self._started.wait()
        duration_s = self.settings.duration_s
        end_ms = None if duration_s is None else round(duration_s * 1000)
        loop = asyncio.get_running_loop()
        ahead_s = loop.time()
        while end_ms is None or self.elapsed_ms < end_ms:
            began_ms = self.elapsed_ms
            await self._step(self._next_ms(end_ms))
            if self.settings.speed != 1.0 and self.elapsed_ms % _SETTLE_MS == 0:
                await asyncio.gather(*(client.settle() for client in self.clients))
            if self.settings.speed is None:
                await asyncio.sleep(0)
                continue
            passed_s = (self.elapsed_ms - began_ms) / 1000
            ahead_s = max(ahead_s + passed_s / self.settings.speed, loop.time() - _FORGIVEN_S)
            await asyncio.sleep(max(0.0, ahead_s - loop.time()))
        await self._end()

    def _next_ms(self, end_ms: int | None) -> int:
        """End of the next step: of the usual grid, or when the next fault is due."""
        next_ms = self.elapsed_ms - self.elapsed_ms % _STEP_MS + _STEP_MS
        due_ms = self.director.next_ms()
        if due_ms is not None:
            next_ms = min(next_ms, max(due_ms, self.elapsed_ms + 1))
        return next_ms if end_ms is None else min(next_ms, end_ms)

    async def _step(self, until_ms: int) -> None:
        """Advance all markets together, then send what is due, by event time, then let faults begin."""
        clock_ms = self.settings.start_ms + until_ms + self.jumped_ms
        made = [publisher.advance(clock_ms) for publisher in self.publishers.values()]
        self.elapsed_ms = until_ms
        for frame in heapq.merge(*made, key=attrgetter("event_ms")):
            await self._deliver(frame)
        for client, out in self.director.frames.release(until_ms):
            await self._send_out(out, [client] if client is not None else None, until_ms)
        self.director.act()
        async with self._stepped:
            self._stepped.notify_all()

    async def _deliver(self, frame: Frame) -> None:
        receivers = self._wanted.get(frame.stream)
        if not receivers:
            return
        count = self.counts.setdefault(frame.stream, StreamCount())
        count.follow(frame)
        if self.drops[frame.stream] > 0:
            self.drops[frame.stream] -= 1
            count.note_missed(frame, is_damaged=False)
            return
        frames = self.director.frames
        if frames.touches(frame.stream, self.elapsed_ms):
            out = Outgoing(frame.stream, frame.payload, Passage(frame, count))
            for item in frames.to_stream(out, frame.event_ms, self.elapsed_ms):
                await self._send_out(item, None, frame.event_ms)
            return
        count.note_sent(frame)
        wrapped = combined(frame.stream, frame.payload)
        for place, client in enumerate(tuple(receivers)):
            if place and self.settings.market == "spot":
                payload = _with_later_time(frame.payload, place)
                await client.send(combined(frame.stream, payload), payload)
            else:
                await client.send(wrapped, frame.payload)

    async def _send_out(self, out: Outgoing, clients: list[Socket] | None, event_ms: int) -> None:
        """Send a message to some clients, or to all who want its stream; each may have its own faults."""
        wanted = self._wanted.get(out.stream, [])
        if clients is not None:
            for client in clients:
                await self._send_one(out, client, is_wanted=client in wanted)
            return
        if not wanted:
            out.end(is_sent=False)
            return
        out.copies(len(wanted) - 1)
        for place, client in enumerate(tuple(wanted)):
            copy = out
            if place and self.settings.market == "spot":
                copy = replace(out, payload=_with_later_time(out.payload, place))
            for item in self.director.frames.to_client(copy, client, event_ms, self.elapsed_ms):
                await self._send_one(item, client, is_wanted=True)

    async def _send_one(self, out: Outgoing, client: Socket, *, is_wanted: bool) -> None:
        out.end(is_sent=is_wanted)
        if not is_wanted:
            return
        wrapped = out.payload if out.is_bare else combined(out.stream, out.payload)
        if out.form is Form.TEXT:
            await client.send(wrapped, out.payload)
        else:
            await client.send_as(out.form, wrapped, out.payload)

    async def _end(self) -> None:
        self.director.frames.abandon()
        self.has_ended = True
        async with self._stepped:
            self._stepped.notify_all()
        await asyncio.gather(*(client.close(1001, "the simulated time is over") for client in self.clients))

    async def pass_time(self, wait_ms: int) -> None:
        """Wait until so much simulated time has passed, or the market stands still for good."""
        until_ms = self.elapsed_ms + wait_ms
        async with self._stepped:
            await self._stepped.wait_for(lambda: self.elapsed_ms >= until_ms or self.has_ended)


def _with_later_time(payload: bytes, by_ms: int) -> bytes:
    """The same event as another connection of spot sends it: `E` is a little later there."""
    head, found, rest = payload.partition(b'"E":')
    if not found:
        return payload
    digits, comma, tail = rest.partition(b",")
    if not digits.isdigit():
        return payload
    return b"%s%s%d%s%s" % (head, found, int(digits) + by_ms, comma, tail)
