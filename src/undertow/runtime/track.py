"""One symbol under collection: its recorder, and what the collector knows of it."""

from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import msgspec

from undertow.market.instruments import Instrument

__all__ = [
    "AUDIT_FRAME",
    "NOTHING_RECORDED",
    "Recorder",
    "RecorderStatus",
    "Track",
    "control_frame",
    "wrapped",
]

AUDIT_FRAME = b'{"stream":"!undertow","data":{"e":"audit"}}'
"""The mark before a snapshot that is fetched for comparing the book with."""


class RecorderStatus(NamedTuple):
    """Counts of one symbol since the recorder was opened, and the state of its book."""

    book: str
    last_price: float | None
    gaps: int
    resyncs: int
    duplicates: int
    snapshots: int
    repaired_trades: int
    audits: int
    audited_levels: int
    matched_levels: int
    mismatched_levels: int
    """Levels that were wrong inside the range that was trusted: the book was resynchronised."""
    unknown: dict[str, int]
    """Event types and fields that we do not know, and frames that could not be used, by name."""


NOTHING_RECORDED = RecorderStatus("waiting", None, 0, 0, 0, 0, 0, 0, 0, 0, 0, {})
"""Of a recorder that has not begun."""


class Recorder(Protocol):
    """What becomes of the frames of one symbol.

    `record` is called by the event loop, perhaps while a worker thread is in `process`; the rest never
    beside that.
    """

    @property
    def instrument(self) -> Instrument:
        """What is recorded."""

    def record(self, receive_ns: int, frame: bytes) -> None:
        """Take a frame to be processed; waits for nothing."""

    def process(self) -> bool:
        """Write what was recorded so far, and fold it in its time; whether something waits to be folded."""

    def trouble(self) -> str:
        """What keeps it from recording in full, and what to do; empty: nothing."""

    def needs_snapshot(self) -> bool:
        """The book has no usable snapshot: fetch one and record its body."""

    def is_synced(self) -> bool:
        """The book is exact."""

    def trusts_enough(self) -> bool:
        """The levels that are sampled lie inside the range of the newest snapshot."""

    def is_off_step(self) -> bool:
        """Frames came whose prices or quantities do not lie on the instrument's steps."""

    def missing_trades(self) -> list[tuple[int, int]]:
        """Ranges of aggregate trade ids that were skipped and have not come; may be asked at any time."""

    def missing_singles(self) -> list[tuple[int, int]]:
        """Ranges of ids of single trades that no aggregate told; may be asked at any time."""

    def status(self) -> RecorderStatus:
        """How things stand, for people."""

    def newest_event_ns(self) -> int:
        """Newest event time folded so far; 0 before the first."""

    def abandon(self) -> None:
        """Let go of everything as it is; opened again, it goes on from its checkpoint."""

    def close(self) -> None:
        """Write out what is open."""


@dataclass(slots=True)
class Track:
    """A recorder and what we know of its symbol. Times are those of the monotonic clock [s]."""

    recorder: Recorder
    pending: int = 0
    oldest_pending_ns: int = 0
    """Receive time of the oldest frame that waits to be processed."""
    is_behind: bool = False
    """Frames that are in the journal wait to be folded."""
    last_frame_s: float = 0.0
    newest_ns: int = 0
    """Newest event time seen in a frame of the exchange."""
    newest_at_s: float = 0.0
    watermark_ns: int = 0
    watermark_at_s: float = 0.0
    depth_is_flowing: bool = False
    is_fetching: bool = False
    snapshot_due_s: float = 0.0
    snapshot_pause_s: float = 0.0
    audit_due_s: float = 0.0
    streams: set[str] = field(default_factory=set)
    trouble: str = ""
    """What the recorder said last."""
    is_closed: bool = False
    """It is not collected any more; what still comes of it is let go."""

    @property
    def symbol(self) -> str:
        """Its name."""
        return self.recorder.instrument.symbol


def control_frame(message: msgspec.Struct) -> bytes:
    """A line of our own for the journal.

    >>> from undertow.venues.marks import Watermark
    >>> control_frame(Watermark(T=1770123456789))
    b'{"stream":"!undertow","data":{"e":"watermark","T":1770123456789}}'
    """
    return msgspec.json.encode({"stream": "!undertow", "data": message})


def wrapped(symbol: str, suffix: str, body: bytes) -> bytes:
    """A REST answer as a frame of a stream of our own.

    >>> wrapped("BTCUSDT", "aggTrades", b"[]")
    b'{"stream":"btcusdt@aggTrades","data":[]}'
    """
    return b'{"stream":"%s@%s","data":%s}' % (symbol.lower().encode(), suffix.encode(), body.strip())
