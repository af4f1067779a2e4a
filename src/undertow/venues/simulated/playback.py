"""A recorded capture behind the sockets, as if it happened now: who gets which frame, and when.

Time stands still until somebody subscribes. Frames go out in recorded order; a recorded REST snapshot is the
answer to a request for depth, and playback waits there until a client has it, so that a collector records the
same lines in the same order. A client asks for one when changes of the book flow; a snapshot recorded before
the first of them is offered where it was recorded, and waited for after that change.
"""

import asyncio
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from undertow.errors import InputError
from undertow.venues.simulated.exchange import Subscriber
from undertow.venues.simulated.playback_lines import POLLED, CaptureFacts, family_of, read_line, route_of
from undertow.venues.simulated.wire import combined

__all__ = ["OpenCapture", "Playback", "PlaybackSettings", "Snapshot"]

OpenCapture = Callable[[], Iterator[bytes]]
"""Opens the capture at its beginning: pieces of whole lines."""

_SETTLE_NS = 200_000_000
_FORGIVEN_S = 0.5
_SHORTEST_SLEEP_S = 0.001
_NEWEST_ID = re.compile(rb'"u":\s?(\d+)')
_SNAPSHOT_ID = re.compile(rb'"lastUpdateId":\s?(\d+)')


@dataclass(frozen=True, slots=True)
class PlaybackSettings:
    """How a capture is served. Times in seconds of the wall clock."""

    speed: float | None = 1.0
    """Recorded seconds per second at most; None: as fast as the clients read."""
    start_wait_s: float = 1.0
    """After the first subscription, how long to wait for the rest of the recorded streams to be wanted."""
    snapshot_wait_s: float = 5.0
    """How long to stand at a recorded snapshot for somebody to fetch it."""
    ping_every_s: float = 180.0
    pong_within_s: float = 600.0

    def __post_init__(self) -> None:
        """Raises InputError for values that make no sense."""
        if self.speed is not None and not self.speed > 0:
            raise InputError(f"speed {self.speed:g} is not above 0")
        if min(self.start_wait_s, self.snapshot_wait_s) < 0:
            raise InputError("a wait of less than 0 seconds is none")


@dataclass(slots=True)
class Snapshot:
    """A recorded REST snapshot that a client may fetch."""

    body: bytes
    is_current: bool = True
    """Playback stands at it, or will."""
    requests: int = 0
    delivered: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(slots=True)
class Playback:
    """A capture on its own clock. It offers a socket what `Exchange` does."""

    open_capture: OpenCapture
    facts: CaptureFacts
    settings: PlaybackSettings = field(default_factory=PlaybackSettings)
    now_ms: int = field(init=False)
    """Receive time of the newest line played."""
    clients: set[Subscriber] = field(default_factory=set)
    has_ended: bool = False
    counts: Counter[str] = field(default_factory=Counter)
    """Stream → frames that somebody got, each counted once."""
    polled: dict[str, bytes] = field(default_factory=dict)
    """Newest recorded answer of a polled request, as `btcusdt@openInterest`."""
    lines: Counter[str] = field(default_factory=Counter)
    """What became of the lines: sent, unwanted, snapshots, polled, unused (no message of the exchange)."""
    _wanted: dict[Subscriber, dict[str, None]] = field(default_factory=dict)
    _receivers: dict[str, list[tuple[Subscriber, str]]] = field(default_factory=dict)
    """Recorded stream → who gets it under which name; made anew after every change of subscriptions."""
    _available: dict[str, Snapshot] = field(default_factory=dict)
    _expected: dict[str, Snapshot] = field(default_factory=dict)
    """Symbol → its snapshot, recorded before any change of the book was sent."""
    _flowing: set[str] = field(default_factory=set)
    """Symbols of which a change of the book was sent."""
    _newest_ids: dict[str, int] = field(default_factory=dict)
    _last_receivers: tuple[Subscriber, ...] = ()
    _is_wanted: asyncio.Event = field(default_factory=asyncio.Event)
    _is_complete: asyncio.Event = field(default_factory=asyncio.Event)
    _changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    def __post_init__(self) -> None:
        """Stand before the first line."""
        self.now_ms = self.facts.start_ms

    def subscribe(self, client: Subscriber, stream: str) -> None:
        """Send a stream to a client from now on; one that its route does not serve stays silent."""
        if not self._is_served(stream, client.route):
            return
        self._wanted.setdefault(client, {})[stream] = None
        self._receivers.clear()
        recorded = [name for name in self.facts.streams if self._receivers_of(name)]
        if recorded:
            self._is_wanted.set()
        if len(recorded) == len(self.facts.streams):
            self._is_complete.set()

    def unsubscribe(self, client: Subscriber, stream: str) -> None:
        """Stop sending a stream to a client."""
        self._wanted.get(client, {}).pop(stream, None)
        self._receivers.clear()

    def leave(self, client: Subscriber) -> None:
        """Forget a client that is gone."""
        self.clients.discard(client)
        self._wanted.pop(client, None)
        self._receivers.clear()

    def disconnect_all(self) -> int:
        """Cut all connections; their number."""
        clients = list(self.clients)
        for client in clients:
            client.abort()
        return len(clients)

    def _is_served(self, stream: str, route: str) -> bool:
        if self.facts.market == "spot":
            return route == "legacy"
        return route_of(stream) == ("public" if route == "legacy" else route)

    def _receivers_of(self, recorded: str) -> list[tuple[Subscriber, str]]:
        """Who gets a recorded stream: those who want it, or another cadence of it that is not there."""
        found = self._receivers.get(recorded)
        if found is None:
            family = family_of(recorded)
            substitutes = (
                next((s for s in self.facts.streams if family_of(s) == family), recorded) == recorded
            )
            found = [
                (client, name)
                for client, names in self._wanted.items()
                for name in names
                if name == recorded
                or (substitutes and family_of(name) == family and name not in self.facts.streams)
            ]
            self._receivers[recorded] = found
        return found

    async def run(self) -> None:
        """Play the capture once somebody wants some of it, then close the sockets with 1001.

        Raises InputError where the capture cannot be read.
        """
        await self._is_wanted.wait()
        await _within(self._is_complete, self.settings.start_wait_s)
        pace = _Pace(self.settings.speed)
        settled_ns = 0
        for chunk in self.open_capture():
            for line in chunk.split(b"\n"):
                recorded = read_line(line)
                if recorded is None:
                    self.lines["unused"] += bool(line)
                    continue
                await pace.wait_until(recorded.receive_ns)
                self.now_ms = recorded.receive_ns // 1_000_000
                if not recorded.stream:
                    await self._reach(recorded.payload)
                    continue
                if recorded.stream.endswith(POLLED):
                    self.lines["polled"] += 1
                    self.polled[recorded.stream] = recorded.payload
                    continue
                await self._deliver(recorded.stream, recorded.payload)
                if not settled_ns <= recorded.receive_ns < settled_ns + _SETTLE_NS:
                    settled_ns = recorded.receive_ns
                    await self._settle()
        await self._end()

    async def _deliver(self, stream: str, payload: bytes) -> None:
        self._note_id(stream, payload)
        receivers = self._receivers_of(stream)
        if not receivers:
            self.lines["unwanted"] += 1
            return
        self.lines["sent"] += 1
        self.counts[stream] += 1
        clients = tuple(dict.fromkeys(client for client, _ in receivers))
        if clients != self._last_receivers:
            # A client may listen on several sockets: it must have read the last frame before another socket
            # brings the next one, or the recorded order is lost.
            await self._settle(self._last_receivers)
            self._last_receivers = clients
        for client, name in receivers:
            await client.send(combined(name, payload), payload)
        if (symbol := _book_of(stream)) is not None:
            self._flowing.add(symbol)
            if symbol in self._expected:
                await self._settle()
                await self._stand_at(symbol, self._expected.pop(symbol))

    async def _settle(self, clients: tuple[Subscriber, ...] | None = None) -> None:
        """Wait until these clients, or all, have read what was sent to them."""
        known = self.clients if clients is None else self.clients & set(clients)
        await asyncio.gather(*(client.settle() for client in tuple(known)))

    def _note_id(self, stream: str, payload: bytes) -> None:
        """A snapshot does not name its symbol; among several it is found by its update id."""
        symbol = _book_of(stream) if len(self.facts.symbols) > 1 else None
        found = _NEWEST_ID.search(payload) if symbol is not None else None
        if symbol is not None and found is not None:
            self._newest_ids[symbol] = int(found[1])

    def _symbol_of(self, snapshot: bytes) -> str:
        found = _SNAPSHOT_ID.search(snapshot)
        if len(self.facts.symbols) == 1 or found is None or not self._newest_ids:
            return self.facts.symbols[0]
        last_id = int(found[1])
        return min(self._newest_ids, key=lambda symbol: abs(self._newest_ids[symbol] - last_id))

    async def _reach(self, body: bytes) -> None:
        """Offer a snapshot, and wait for it to be fetched if somebody has reason to."""
        self.lines["snapshots"] += 1
        symbol, snapshot = self._symbol_of(body), Snapshot(body)
        await self._settle()
        async with self._changed:
            self._available[symbol] = snapshot
            self._changed.notify_all()
        if symbol in self._flowing and self._has_book(symbol):
            await self._stand_at(symbol, snapshot)
        else:
            self._expected[symbol] = snapshot

    async def _stand_at(self, symbol: str, snapshot: Snapshot) -> None:
        """Go on when a client has the snapshot, or nobody has asked in time."""
        await _within(snapshot.delivered, self.settings.snapshot_wait_s)
        snapshot.is_current = False
        if snapshot.requests:
            self._available.pop(symbol, None)
            await self._settle()

    def _has_book(self, symbol: str) -> bool:
        """Whether somebody gets the changes of this book, and so may want a snapshot."""
        return any(_book_of(name) == symbol for names in self._wanted.values() for name in names)

    async def take_snapshot(self, symbol: str) -> Snapshot | None:
        """The snapshot at which playback stands, or the next one, or the last if nobody has had it.

        None where the capture ends without. `delivered` is to be set when the client has it.
        """
        async with self._changed:
            await self._changed.wait_for(lambda: symbol in self._available or self.has_ended)
        snapshot = self._available.get(symbol)
        if snapshot is None:
            return None
        snapshot.requests += 1
        if not snapshot.is_current:
            del self._available[symbol]
        return snapshot

    async def _end(self) -> None:
        await self._settle()
        async with self._changed:
            self.has_ended = True
            self._changed.notify_all()
        await asyncio.gather(*(client.close(1001, "the capture is over") for client in tuple(self.clients)))


class _Pace:
    """Holds recorded time back to `speed` times real time."""

    def __init__(self, speed: float | None) -> None:
        self._speed = speed
        self._origin_ns = -1
        self._started_s = 0.0

    async def wait_until(self, receive_ns: int) -> None:
        """Until the moment at which a line of this receive time is due; delays are not made up for."""
        if self._speed is None:
            return
        now_s = asyncio.get_running_loop().time()
        if self._origin_ns < 0:
            self._origin_ns, self._started_s = receive_ns, now_s
        due_s = self._started_s + (receive_ns - self._origin_ns) / 1e9 / self._speed
        self._started_s += max(0.0, now_s - due_s - _FORGIVEN_S)
        if due_s - now_s >= _SHORTEST_SLEEP_S:
            await asyncio.sleep(due_s - now_s)


def _book_of(stream: str) -> str | None:
    """Symbol of the book of which a stream sends the changes; None for any other stream."""
    symbol, _, suffix = family_of(stream).partition("@")
    return symbol.upper() if suffix == "depth" else None


async def _within(event: asyncio.Event, limit_s: float) -> None:
    """Until the event is set, or the time is over."""
    try:
        async with asyncio.timeout(limit_s):
            await event.wait()
    except TimeoutError:
        return
