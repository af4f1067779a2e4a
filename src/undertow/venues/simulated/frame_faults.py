"""What befalls frames on their way: the faults of the frame family, for a stream or for one connection."""

from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from undertow.venues.simulated.counts import StreamCount
from undertow.venues.simulated.faults import Fault
from undertow.venues.simulated.matching import ASK, BID, level_lots
from undertow.venues.simulated.payload_faults import BROKEN, SPOILERS, strange_message, with_levels
from undertow.venues.simulated.publisher import Frame, Publisher
from undertow.venues.simulated.subscribers import Form, Socket

__all__ = ["FrameFaults", "Outgoing", "Passage"]

_SWALLOWS = frozenset({"drop", "silence", "ignore_stream", "mute"})
_HOLDS = frozenset({"delay", "stall"})
_PATIENCE_MS = 60_000
"""A fault that hits each of several streams so often waits no longer for those that send nothing."""
_FAR_TICKS = 12_000
"""Nobody places orders so far from the best price."""


@dataclass(slots=True)
class Passage:
    """A frame on its way to its receivers; when the last copy has arrived or vanished it is counted."""

    frame: Frame
    count: StreamCount
    copies: int = 1
    """Still on their way."""
    _is_whole: bool = False
    _is_damaged: bool = False

    def end_copy(self, *, is_sent: bool, is_whole: bool) -> None:
        """A copy has been sent, or has vanished."""
        self._is_whole = self._is_whole or (is_sent and is_whole)
        self._is_damaged = self._is_damaged or (is_sent and not is_whole)
        self.copies -= 1
        if self.copies:
            return
        if self._is_whole:
            self.count.note_sent(self.frame)
        else:
            self.count.note_missed(self.frame, is_damaged=self._is_damaged)


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One message to be sent."""

    stream: str
    payload: bytes
    passage: Passage | None
    """None for a message that no market made."""
    form: Form = Form.TEXT
    is_whole: bool = True
    is_bare: bool = False
    """Never put into the wrapper of combined streams."""

    def end(self, *, is_sent: bool) -> None:
        """It has been sent, or has vanished."""
        if self.passage is not None:
            self.passage.end_copy(is_sent=is_sent, is_whole=self.is_whole)

    def copies(self, further: int) -> None:
        """So many more copies of it are on their way."""
        if self.passage is not None:
            self.passage.copies += further


@dataclass(slots=True)
class _Active:
    """A fault that has begun."""

    fault: Fault
    until_ms: int | None
    """Frames of the step that ends then are its last ones."""
    client: Socket | None = None
    """The connection that it is bound to, once there is one."""
    hits: Counter[str] = field(default_factory=Counter)
    held: deque[tuple[int, Outgoing]] = field(default_factory=deque)
    """(due [ms], message), in the order in which they were held."""
    swapped: dict[str, Outgoing] = field(default_factory=dict)
    planted: dict[str, str] = field(default_factory=dict)
    """Stream → price with which its book was crossed, to be taken back."""

    def is_on(self, stream: str, now_ms: int) -> bool:
        """Whether its next frame of a stream is hit."""
        most = self.fault.most_hits
        return (self.until_ms is None or now_ms <= self.until_ms) and (
            most is None or self.hits[stream] < most
        )

    def concerns(self, stream: str, now_ms: int) -> bool:
        """Whether it may change anything about frames of a stream."""
        if not self.fault.targets(stream):
            return False
        has_more = stream in self.swapped or stream in self.planted or self._holds(stream)
        return has_more or self.is_on(stream, now_ms)

    def _holds(self, stream: str) -> bool:
        return any(out.stream == stream for _, out in self.held)

    def is_over(self, now_ms: int) -> bool:
        """Whether it can be forgotten."""
        if self.held or self.swapped or self.planted:
            return False
        if self.until_ms is not None and now_ms >= self.until_ms:
            return True
        most, name = self.fault.most_hits, self.fault.exact_stream
        return most is not None and bool(name) and self.hits[name] >= most

    def due_ms(self, stream: str, now_ms: int) -> int:
        """When a message of a stream is to be sent; its order is kept."""
        waits = self.fault.kind == "stall" or not self.is_on(stream, now_ms)
        due_ms = (self.until_ms or now_ms) if waits else now_ms + self.fault.milliseconds
        last = max((due for due, out in self.held if out.stream == stream), default=0)
        return max(due_ms, last)


class FrameFaults:
    """All faults of frames that have begun. Times are simulated ms since the start.

    Those of no connection act on a stream before it is sent to anybody (`to_stream`), the others on what one
    client gets (`to_client`).
    """

    def __init__(
        self, publishers: Mapping[str, Publisher], find_connection: Callable[[int], Socket | None]
    ) -> None:
        self._publishers = publishers
        self._find_connection = find_connection
        self._active: list[_Active] = []

    def begin(self, fault: Fault, now_ms: int) -> None:
        """From now on."""
        until_ms = now_ms + round(fault.for_s * 1000) if fault.for_s else None
        if until_ms is None and fault.most_hits is not None and not fault.exact_stream:
            until_ms = now_ms + _PATIENCE_MS
        client = None if fault.connection is None else self._find_connection(fault.connection)
        self._active.append(_Active(fault, until_ms, client))

    def touches(self, stream: str, now_ms: int) -> bool:
        """Whether frames of a stream need looking at."""
        return any(active.concerns(stream, now_ms) for active in self._active)

    def to_stream(self, out: Outgoing, event_ms: int, now_ms: int) -> list[Outgoing]:
        """What is sent to all in place of a message."""
        stream_wide = [active for active in self._active if active.fault.connection is None]
        return self._through(stream_wide, out, event_ms, now_ms)

    def to_client(self, out: Outgoing, client: Socket, event_ms: int, now_ms: int) -> list[Outgoing]:
        """What is sent to a client in place of a message."""
        bound = [active for active in self._active if self._is_bound(active, client)]
        return self._through(bound, out, event_ms, now_ms)

    def _is_bound(self, active: _Active, client: Socket) -> bool:
        if active.fault.connection is not None and active.client is None:
            active.client = self._find_connection(active.fault.connection)
        return active.client is client

    def _through(self, faults: list[_Active], out: Outgoing, event_ms: int, now_ms: int) -> list[Outgoing]:
        found = [out]
        for active in faults:
            if active.concerns(out.stream, now_ms):
                found = [made for item in found for made in self._apply(active, item, event_ms, now_ms)]
        return found

    def release(self, now_ms: int) -> list[tuple[Socket | None, Outgoing]]:
        """(client, or None for all, message) of what was held until now; ended faults are forgotten."""
        found: list[tuple[Socket | None, Outgoing]] = []
        for active in self._active:
            while active.held and active.held[0][0] <= now_ms:
                found.append((active.client, active.held.popleft()[1]))
            if active.until_ms is not None and now_ms >= active.until_ms:
                found.extend((active.client, out) for out in active.swapped.values())
                active.swapped.clear()
        self._active = [active for active in self._active if not active.is_over(now_ms)]
        return found

    def abandon(self) -> None:
        """Give up what is still held: it is never sent."""
        for active in self._active:
            for out in (*(out for _, out in active.held), *active.swapped.values()):
                out.end(is_sent=False)
        self._active.clear()

    def _apply(self, active: _Active, out: Outgoing, event_ms: int, now_ms: int) -> list[Outgoing]:
        """What becomes of one message under one fault."""
        kind, stream = active.fault.kind, out.stream
        if kind in _HOLDS:
            due_ms = active.due_ms(stream, now_ms)
            active.hits[stream] += active.is_on(stream, now_ms)
            active.held.append((due_ms, out))
            return []
        if stream in active.swapped:
            return [out, active.swapped.pop(stream)]
        if kind == "crossed":
            return [self._crossed(active, out, now_ms)]
        made = self._changed(active.fault, out, event_ms)
        if made is None:
            return [out]
        active.hits[stream] += 1
        if kind == "swap":
            active.swapped[stream] = out
        return made

    def _changed(self, fault: Fault, out: Outgoing, event_ms: int) -> list[Outgoing] | None:
        """What a fault makes of a message; None where it finds nothing to change."""
        kind = fault.kind
        if kind in _SWALLOWS:
            out.end(is_sent=False)
            return []
        if kind == "swap":
            return []
        if kind == "duplicate":
            out.copies(1)
            if out.passage is not None:
                out.passage.count.duplicated += 1
            return [out, out]
        if kind in {"garbage", "unknown_type"}:
            return [self._strange(fault, out, event_ms), out]
        if kind == "fragment":
            return [replace(out, form=Form.FRAGMENTS)]
        if kind == "absent_removal":
            payload = self._absent_removal(fault, out)
        else:
            payload = SPOILERS[kind](fault, out.payload)
        if payload is None:
            return None
        return [replace(out, payload=payload, is_whole=out.is_whole and kind not in BROKEN)]

    def _strange(self, fault: Fault, out: Outgoing, event_ms: int) -> Outgoing:
        if out.passage is not None:
            out.passage.count.inserted += 1
        symbol = out.stream.partition("@")[0].upper()
        payload = strange_message(fault, event_ms, symbol)
        form = Form.BINARY if fault.is_binary else Form.TEXT
        return Outgoing(out.stream, payload, None, form, is_bare=fault.kind == "garbage")

    def _crossed(self, active: _Active, out: Outgoing, now_ms: int) -> Outgoing:
        """Plant a price beyond the other side, and take it back in the first delta after the fault's time."""
        fault, stream = active.fault, out.stream
        if stream in active.planted and not active.is_on(stream, now_ms):
            payload = with_levels(out.payload, fault.side, [[active.planted[stream], "0"]])
            if payload is None:
                return out
            del active.planted[stream]
            return replace(out, payload=payload)
        if stream in active.planted or not active.is_on(stream, now_ms):
            return out
        publisher = self._publishers[stream.partition("@")[0].upper()]
        side, step = (ASK, 1) if fault.side == "bid" else (BID, -1)
        other = publisher.market.levels(side, 1)
        if not other.shape[0] or not publisher.is_diff(stream):
            return out
        listing = publisher.market.listing
        price = listing.price(int(other[0, 0]) + step * fault.ticks_away)
        payload = with_levels(out.payload, fault.side, [[price, listing.quantity(5)]])
        if payload is None:
            return out
        active.hits[stream] += 1
        if fault.for_s:
            active.planted[stream] = price
        return replace(out, payload=payload)

    def _absent_removal(self, fault: Fault, out: Outgoing) -> bytes | None:
        """Remove a level far from the best price, where there never was one."""
        publisher = self._publishers[out.stream.partition("@")[0].upper()]
        side, step = (BID, -1) if fault.side == "bid" else (ASK, 1)
        best = publisher.market.levels(side, 1)
        if not best.shape[0] or not publisher.is_diff(out.stream):
            return None
        tick = int(best[0, 0]) + step * min(_FAR_TICKS, int(best[0, 0]) // 2)
        while level_lots(publisher.market.book, side, tick):
            tick += step
        return with_levels(out.payload, fault.side, [[publisher.market.listing.price(tick), "0"]])
