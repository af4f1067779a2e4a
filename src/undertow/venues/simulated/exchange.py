"""The exchange behind the sockets: its markets, its clock, who gets which frame, and what was sent."""

import asyncio
import heapq
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Protocol

from undertow.errors import InputError
from undertow.venues.simulated.listings import Listing
from undertow.venues.simulated.market import new_market
from undertow.venues.simulated.publisher import Frame, Publisher
from undertow.venues.simulated.streams import is_served, parse_stream
from undertow.venues.simulated.wire import combined

__all__ = ["DEFAULT_START_MS", "Exchange", "Settings", "StreamCount", "Subscriber"]

DEFAULT_START_MS = 1_767_652_800_000
"""2026-01-05T22:40:00Z, so that a longer run crosses midnight."""
_STEP_MS = 50
"""Half of the usual depth cadence: REST snapshots then fall inside a frame's ids as well as at their end."""
_SETTLE_MS = 200
"""Simulated time after which a market that runs fast waits until its clients have read everything sent.

Buffers of the operating system hold minutes of a fast market: without it one socket of a client would run
minutes ahead of another in event time, as it never does in life.
"""
_FORGIVEN_S = 0.5
"""A market held up for longer by its clients does not hurry to make up for it."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How the exchange runs. The same settings give the same market, byte for byte."""

    listings: Sequence[Listing]
    start_ms: int
    seed: int = 1
    signal: float = 0.0
    speed: float | None = 1.0
    """Simulated seconds per second at most; None: as fast as the clients read."""
    duration_s: float | None = None
    """Simulated seconds until it closes its sockets; None: never."""
    ping_every_s: float = 180.0
    pong_within_s: float = 600.0

    def __post_init__(self) -> None:
        """Raises InputError for values that make no sense."""
        if not 0.0 <= self.signal <= 1.0:
            raise InputError(f"signal {self.signal} is not between 0 and 1")
        if self.speed is not None and not self.speed > 0:
            raise InputError(f"speed {self.speed:g} is not above 0")
        if self.duration_s is not None and not self.duration_s > 0:
            raise InputError(f"duration {self.duration_s:g} is not above 0 seconds")


class Subscriber(Protocol):
    """One socket, seen from the exchange."""

    @property
    def route(self) -> str:
        """public, market, private or legacy."""

    async def send(self, wrapped: bytes, payload: bytes) -> None:
        """Send a frame, and wait while the client has too much unread."""

    async def settle(self) -> None:
        """Wait until the client has read what was sent, or a second is over."""

    async def close(self, code: int, reason: str) -> None:
        """Close with a close frame."""

    def abort(self) -> None:
        """Cut the connection."""


@dataclass(slots=True)
class StreamCount:
    """What was sent on a stream, each frame counted once however many clients got it."""

    frames: int = 0
    dropped: int = 0
    first_id: int = 0
    last_id: int = 0

    def note(self, frame: Frame) -> None:
        """Count a frame."""
        self.frames += 1
        self.first_id = self.first_id or frame.first_id
        self.last_id = frame.last_id


@dataclass(slots=True)
class Exchange:
    """All markets on one virtual clock, which stands still until a stream that it serves is subscribed to."""

    settings: Settings
    publishers: dict[str, Publisher] = field(init=False)
    now_ms: int = field(init=False)
    counts: dict[str, StreamCount] = field(default_factory=dict)
    drops: Counter[str] = field(default_factory=Counter)
    """Stream → frames still to be dropped."""
    answer_delay_ms: int = 0
    """Simulated time for which answers to `depth` are held back."""
    clients: set[Subscriber] = field(default_factory=set)
    has_ended: bool = False
    _wanted: dict[str, list[Subscriber]] = field(default_factory=dict)
    _started: asyncio.Event = field(default_factory=asyncio.Event)
    _stepped: asyncio.Condition = field(default_factory=asyncio.Condition)

    def __post_init__(self) -> None:
        """List the markets."""
        settings = self.settings
        self.now_ms = settings.start_ms
        self.publishers = {
            listing.symbol: Publisher(
                new_market(listing, seed=settings.seed, signal=settings.signal, start_ms=settings.start_ms)
            )
            for listing in settings.listings
        }

    def subscribe(self, client: Subscriber, stream: str) -> None:
        """Send a stream to a client from now on; one that its route does not serve stays silent."""
        found = parse_stream(stream)
        if found is not None and found[0] in self.publishers and is_served(found[1], client.route):
            self.publishers[found[0]].open(found[1].suffix)
            receivers = self._wanted.setdefault(stream, [])
            if client not in receivers:
                receivers.append(client)
            self._started.set()

    def unsubscribe(self, client: Subscriber, stream: str) -> None:
        """Stop sending a stream to a client; one that nobody wants is closed."""
        receivers = self._wanted.get(stream, [])
        if client in receivers:
            receivers.remove(client)
        found = parse_stream(stream)
        if stream in self._wanted and not receivers and found is not None:
            del self._wanted[stream]
            self.publishers[found[0]].close(found[1].suffix)

    def leave(self, client: Subscriber) -> None:
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
        end_ms = self._end_ms()
        loop = asyncio.get_running_loop()
        ahead_s = loop.time()
        while end_ms is None or self.now_ms < end_ms:
            await self._step(
                self.now_ms + _STEP_MS if end_ms is None else min(end_ms, self.now_ms + _STEP_MS)
            )
            if self.settings.speed != 1.0 and self.now_ms % _SETTLE_MS == 0:
                await asyncio.gather(*(client.settle() for client in tuple(self.clients)))
            if self.settings.speed is None:
                await asyncio.sleep(0)
                continue
            ahead_s = max(ahead_s + _STEP_MS / 1000 / self.settings.speed, loop.time() - _FORGIVEN_S)
            await asyncio.sleep(max(0.0, ahead_s - loop.time()))
        await self._end()

    def _end_ms(self) -> int | None:
        duration_s = self.settings.duration_s
        return None if duration_s is None else self.settings.start_ms + round(duration_s * 1000)

    async def _step(self, until_ms: int) -> None:
        """Advance all markets together, then send what is due, by event time."""
        made = [publisher.advance(until_ms) for publisher in self.publishers.values()]
        self.now_ms = until_ms
        for frame in heapq.merge(*made, key=attrgetter("event_ms")):
            await self._deliver(frame)
        async with self._stepped:
            self._stepped.notify_all()

    async def _deliver(self, frame: Frame) -> None:
        receivers = self._wanted.get(frame.stream)
        if not receivers:
            return
        count = self.counts.setdefault(frame.stream, StreamCount())
        if self.drops[frame.stream] > 0:
            self.drops[frame.stream] -= 1
            count.dropped += 1
            return
        count.note(frame)
        wrapped = combined(frame.stream, frame.payload)
        for client in tuple(receivers):
            await client.send(wrapped, frame.payload)

    async def _end(self) -> None:
        self.has_ended = True
        async with self._stepped:
            self._stepped.notify_all()
        await asyncio.gather(
            *(client.close(1001, "the simulated time is over") for client in tuple(self.clients))
        )

    async def pass_time(self, wait_ms: int) -> None:
        """Wait until so much simulated time has passed, or the market stands still for good."""
        until_ms = self.now_ms + wait_ms
        async with self._stepped:
            await self._stepped.wait_for(lambda: self.now_ms >= until_ms or self.has_ended)
