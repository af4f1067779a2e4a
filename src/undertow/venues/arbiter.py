"""One stream out of several connections that carry it: each frame once, in order, whichever came first.

Copies of a frame are told by their ids. A frame that leaves a hole waits while another connection may still
bring what is missing; when nothing can bring it any more, or the wait is over, it goes on with the hole, and
the fold records a gap. What comes even later is passed on as well.
"""

from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum

__all__ = ["Arbiter", "FrameIds", "Numbering", "ReadIds"]

FrameIds = tuple[int, int]
"""(id before the first of the frame, last id): a frame continues one whose last id is the former."""
ReadIds = Callable[[bytes], FrameIds | None]

_REMEMBERED = 512
"""Frames without ids whose copies are recognised."""
_MOST_HELD = 4096
_MOST_HOLES = 256
_REBASE = 1_000_000
"""A drop of ids by more than this is a new numbering after maintenance."""


class Numbering(Enum):
    """How the frames of a stream follow one another."""

    CHAIN = "chain"
    """Each frame names its predecessor: a frame that is missing leaves a hole that can be seen."""
    NEWEST = "newest"
    """Frames have rising numbers with holes of their own: an older or equal one is a copy."""
    CONTENT = "content"
    """Nothing but its bytes tells a frame from another."""


@dataclass(slots=True)
class _Held:
    """A frame that waits for what comes before it."""

    before: int
    last: int
    frame: bytes
    since_s: float


@dataclass(slots=True)
class _Stream:
    numbering: Numbering
    read: ReadIds
    newest: int = -1
    """Last id passed on."""
    seen: dict[int, int] = field(default_factory=dict)
    """Connection → last id that it delivered; -1 before its first."""
    held: list[_Held] = field(default_factory=list)
    holes: list[tuple[int, int]] = field(default_factory=list)
    """(before, last) of what was passed over and may still come."""
    recent: deque[int] = field(default_factory=lambda: deque(maxlen=_REMEMBERED))
    """Hashes of the newest frames without ids."""


class Arbiter:
    """Merges the frames of several connections.

    Frames go to `emit(stream, frame)`. While a stream has one connection only, its frames pass untouched,
    copies as well: everything received is kept. `wait_s` bounds how long a hole is waited for.
    """

    def __init__(
        self,
        numbering_of: Callable[[bytes], tuple[Numbering, ReadIds]],
        emit: Callable[[bytes, bytes], None],
        wait_s: float = 4.0,
    ) -> None:
        self.counters: Counter[str] = Counter()
        self._numbering_of = numbering_of
        self._emit = emit
        self._wait_s = wait_s
        self._streams: dict[bytes, _Stream] = {}
        self._holding: set[bytes] = set()

    def offer(self, connection: int, stream: bytes, frame: bytes, now_s: float) -> None:
        """A frame of a stream, as a connection delivered it."""
        known = self._streams.get(stream)
        if known is None:
            known = self._streams[stream] = _Stream(*self._numbering_of(stream))
        ids = known.read(frame)
        is_alone = len(known.seen) == (connection in known.seen)
        if ids is None:
            self._offer_unnumbered(known, connection, stream, frame, is_alone=is_alone)
            return
        known.seen[connection] = ids[1]
        if known.newest - ids[1] > _REBASE:
            known.newest = -1
            known.holes.clear()
        if is_alone and not known.held:
            self._pass_over(known, ids[0])
            known.newest = max(known.newest, ids[1])
            self._emit(stream, frame)
        elif ids[1] <= known.newest:
            self._offer_late(known, stream, ids, frame)
        elif known.numbering is Numbering.NEWEST or known.newest < 0 or ids[0] == known.newest:
            if known.newest < 0:
                self._pass_over(known, ids[0])
            self._pass(known, stream, ids[1], frame)
        else:  # it leaves a hole, or it is cut differently from what was passed on
            self._hold(known, stream, _Held(*ids, frame, now_s))

    def _offer_unnumbered(
        self, known: _Stream, connection: int, stream: bytes, frame: bytes, *, is_alone: bool
    ) -> None:
        known.seen[connection] = -1
        digest = hash(frame)
        if not is_alone and digest in known.recent:
            self.counters["redundant_frames"] += 1
            return
        known.recent.append(digest)
        self._emit(stream, frame)

    def _offer_late(self, known: _Stream, stream: bytes, ids: FrameIds, frame: bytes) -> None:
        """A frame no newer than what was passed on: a copy, unless it fills a hole."""
        for place, (before, last) in enumerate(known.holes):
            if before <= ids[0] and ids[1] <= last:
                rest = [(before, ids[0]), (ids[1], last)]
                known.holes[place : place + 1] = [hole for hole in rest if hole[0] < hole[1]]
                self.counters["late_frames"] += 1
                self._emit(stream, frame)
                return
        self.counters["redundant_frames"] += 1

    def _pass_over(self, known: _Stream, before: int) -> None:
        """Nothing has brought what lies between the newest frame and `before`."""
        if before > known.newest and known.numbering is Numbering.CHAIN:
            self.counters["holes"] += known.newest >= 0
            known.holes.append((known.newest, before))
            del known.holes[:-_MOST_HOLES]

    def _pass(self, known: _Stream, stream: bytes, last: int, frame: bytes) -> None:
        known.newest = last
        self._emit(stream, frame)
        if known.held:
            self._release(known, stream)

    def _hold(self, known: _Stream, stream: bytes, held: _Held) -> None:
        if any(other.last == held.last for other in known.held):
            self.counters["redundant_frames"] += 1
        else:
            known.held.append(held)
            known.held.sort(key=lambda waiting: waiting.last)
            self.counters["held_frames"] += 1
            self._holding.add(stream)
        self._release(known, stream)

    def _release(self, known: _Stream, stream: bytes) -> None:
        """Pass on what continues the stream, or what no connection can precede any more."""
        while known.held:
            first = known.held[0]
            may_come = any(-1 < last < first.last for last in known.seen.values())
            if first.last > known.newest:
                if first.before != known.newest and may_come and len(known.held) <= _MOST_HELD:
                    return
                self._pass_over(known, first.before)
                known.newest = first.last
                self._emit(stream, first.frame)
            del known.held[0]
        self._holding.discard(stream)

    def join(self, connection: int, stream: bytes) -> None:
        """A connection is going to deliver a stream: it is not lost while this connection lives."""
        known = self._streams.get(stream)
        if known is None:
            known = self._streams[stream] = _Stream(*self._numbering_of(stream))
        known.seen.setdefault(connection, -1)

    def drop(self, stream: bytes) -> None:
        """A stream is not collected any more: what is held of it is forgotten."""
        self._streams.pop(stream, None)
        self._holding.discard(stream)

    def expire(self, now_s: float) -> None:
        """Pass on frames that have waited long enough; to be called several times a second."""
        for stream in tuple(self._holding):
            known = self._streams[stream]
            while known.held and now_s - known.held[0].since_s >= self._wait_s:
                first = known.held.pop(0)
                self._pass_over(known, first.before)
                self._pass(known, stream, first.last, first.frame)
            if not known.held:
                self._holding.discard(stream)

    def leave(self, connection: int) -> set[bytes]:
        """A connection has ended; the streams that no connection delivers any more."""
        lost = set()
        for stream, known in self._streams.items():
            if known.seen.pop(connection, None) is None:
                continue
            self._release(known, stream)
            if not known.seen:
                lost.add(stream)
                known.newest = -1
                known.holes.clear()
        return lost
