"""The markets on one virtual clock, their subscribers, and what goes wrong."""

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from typing import Protocol

from undertow.venues.simulated.market import new_market
from undertow.venues.simulated_bybit.settings import BybitSettings, Fault
from undertow.venues.simulated_bybit.topics import STEP_MS, MarketTopics, is_topic

__all__ = ["BybitExchange", "Subscriber"]

_SETTLE_MS = 200
"""Simulated time after which a market that runs fast waits until its clients have read everything sent."""
_FORGIVEN_S = 0.5
"""A market held up for longer by its clients does not hurry to make up for it."""


class Subscriber(Protocol):
    """A connected client."""

    topics: set[str]

    async def send(self, frame: bytes) -> None:
        """Send a frame, and wait while too much is unread."""

    async def settle(self) -> None:
        """Wait until everything sent has been read."""

    def abort(self) -> None:
        """Cut the connection."""

    async def close(self, code: int, reason: str) -> None:
        """Close with a close frame."""


@dataclass(slots=True)
class BybitExchange:
    """All markets on one clock, which stands still until somebody subscribes."""

    settings: BybitSettings
    markets: dict[str, MarketTopics] = field(init=False)
    elapsed_ms: int = 0
    """Simulated time since the start."""
    clients: list[Subscriber] = field(default_factory=list)
    sent: Counter[str] = field(default_factory=Counter)
    """Topic → frames made, each counted once however many clients get it."""
    dropped: Counter[str] = field(default_factory=Counter)
    refusals: int = 0
    """Requests still to be answered with an error."""
    is_ending: bool = False
    """Whether to close all sockets after this step."""
    pings: int = 0
    """Pings answered."""
    has_ended: bool = False
    _drops: Counter[str] = field(default_factory=Counter)
    _pending: list[Fault] = field(default_factory=list)
    _started: asyncio.Event = field(default_factory=asyncio.Event)
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held while frames go out, so that a delta never overtakes the snapshot it builds upon."""

    def __post_init__(self) -> None:
        """List the markets."""
        settings = self.settings
        self.markets = {
            listing.symbol: MarketTopics(
                new_market(
                    listing,
                    seed=settings.seed,
                    signal=settings.signal,
                    start_ms=settings.start_ms,
                    activity=settings.activity,
                )
            )
            for listing in settings.listings
        }
        self._pending = sorted(settings.faults, key=lambda fault: fault.at_s)

    @property
    def now_ms(self) -> int:
        """The exchange's clock [ms since the epoch]."""
        return self.settings.start_ms + self.elapsed_ms

    def is_topic(self, name: str) -> bool:
        """Whether it can be subscribed to."""
        return is_topic(name, frozenset(self.markets))

    async def subscribe(self, client: Subscriber, topics: list[str]) -> None:
        """Send topics to a client from now on, each beginning with its snapshot where it has one."""
        async with self._turn:
            for name in topics:
                frame = self.markets[name.rpartition(".")[2]].snapshot(name)
                client.topics.add(name)
                if frame is not None:
                    await client.send(frame)
        self._started.set()

    def act(self, fault: Fault) -> None:
        """Let something go wrong now."""
        if fault.kind == "drop":
            self._drops[fault.topic] += fault.count
        elif fault.kind == "refuse":
            self.refusals += fault.count
        elif fault.kind == "disconnect":
            for client in list(self.clients)[: fault.count if fault.count > 0 else None]:
                client.abort()
        else:
            for market in self.markets.values():
                if fault.kind == "restart":
                    market.restart()
                market.restated.update(market.books)

    async def run(self) -> None:
        """Let time pass from the first subscription on, until the duration is over, or for ever."""
        await self._started.wait()
        duration_s = self.settings.duration_s
        end_ms = None if duration_s is None else round(duration_s * 1000)
        loop = asyncio.get_running_loop()
        ahead_s = loop.time()
        while not self.is_ending and (end_ms is None or self.elapsed_ms < end_ms):
            async with self._turn:
                await self._step()
            if self.settings.speed != 1.0 and self.elapsed_ms % _SETTLE_MS == 0:
                await asyncio.gather(*(client.settle() for client in list(self.clients)))
            if self.settings.speed is None:
                await asyncio.sleep(0)
                continue
            ahead_s = max(ahead_s + STEP_MS / 1000 / self.settings.speed, loop.time() - _FORGIVEN_S)
            await asyncio.sleep(max(0.0, ahead_s - loop.time()))
        self.has_ended = True
        ended = "the simulated time is over"
        await asyncio.gather(*(client.close(1001, ended) for client in list(self.clients)))

    async def _step(self) -> None:
        self.elapsed_ms += STEP_MS
        for market in self.markets.values():
            for topic, frame in market.advance(self.now_ms):
                await self._deliver(topic, frame)
        while self._pending and self._pending[0].at_s * 1000 <= self.elapsed_ms:
            self.act(self._pending.pop(0))

    async def _deliver(self, topic: str, frame: bytes) -> None:
        receivers = [client for client in self.clients if topic in client.topics]
        self.sent[topic] += bool(receivers)
        for prefix in [prefix for prefix, count in self._drops.items() if count > 0]:
            if receivers and topic.startswith(prefix):
                self._drops[prefix] -= 1
                self.dropped[topic] += 1
                return
        for client in receivers:
            await client.send(frame)
