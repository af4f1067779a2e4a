"""The coverage ledger: for each stretch of each stream, how it is known that nothing is missing from it.

Where a venue numbers its events, an unbroken chain of ids proves a stretch whole. Where it does not, a stream
with a known rhythm is proved by its heartbeat: an event at least so often, on a connection that was never
lost. A stream that may rightly be silent for hours proves nothing: its stretches are unprovable. What no row
covers is unknown.
"""

from collections.abc import Sequence
from enum import StrEnum

import msgspec
import numpy as np
from numpy.typing import NDArray

from undertow.market.events import Gap
from undertow.market.time import HOUR_NS, SECOND_NS

__all__ = ["HEARTBEATS_NS", "Coverage", "CoverageFold", "CoverageStatus", "Stretch"]

Integers = NDArray[np.int64]


class CoverageStatus(StrEnum):
    """How a stretch is known to be whole, or that it is not."""

    BY_IDS = "complete by id chain"
    BY_HEARTBEAT = "complete by heartbeat"
    GAP = "gap"
    UNPROVABLE = "unprovable"


HEARTBEATS_NS: dict[str, int] = {
    "book_ticker": 10 * SECOND_NS,
    "mark_price": 3 * SECOND_NS,
    "klines": 90 * SECOND_NS,
    "depth20": 3 * SECOND_NS,
    "open_interest": 150 * SECOND_NS,
    "trades": 60 * SECOND_NS,
}
"""Table → longest pause between two rows of a healthy stream; a closed candle comes every minute.

Of trades where the venue gives them no chain of ids.
"""

_CHAINS = frozenset({"aggtrades", "trades", "depth"})
_NO_ID = -1


class Coverage(msgspec.Struct, frozen=True):
    """A row of the ledger: [from_ns, to_ns) of a stream."""

    stream: str
    status: str
    from_ns: int
    to_ns: int
    first_id: int = _NO_ID
    """Ids of the stretch, or of what is missing; -1 where the stream has none."""
    last_id: int = _NO_ID
    cause: str = ""
    repaired_ns: int | None = None
    """Where a gap was filled from elsewhere: the receive time of what filled it."""


class Stretch(msgspec.Struct):
    """What is known of a stream since it was last broken. Changed in place."""

    status: str
    from_ns: int
    last_ns: int
    first_id: int = _NO_ID
    last_id: int = _NO_ID
    is_cut: bool = False
    """The connection was lost after `last_ns`."""


class CoverageFold(msgspec.Struct):
    """Follows all streams of one symbol; `take` gives the rows to be stored.

    A stretch is cut at full hours, so that each hour's file stands by itself. It is written when it ends,
    when its hour ends, and as far as it goes when the recording stops: a row of the same stream and beginning
    replaces the one before. Any cut of the same events into blocks gives the same rows.
    """

    stretches: dict[str, Stretch] = msgspec.field(default_factory=dict)
    gaps: list[Coverage] = msgspec.field(default_factory=list)
    """Gaps by id that may still be repaired."""
    rows: list[Coverage] = msgspec.field(default_factory=list)

    def chain(self, stream: str, event_ns: Integers, ids: Integers, gaps: Sequence[Gap]) -> None:
        """Events of a stream with ids, in arrival order, and the gaps that were found among them."""
        at = 0
        for gap in gaps:
            if gap.cause == "disconnected, no id missing":
                continue
            beyond = ids > gap.last_id if stream != "depth" else event_ns >= gap.to_ns
            end = at + int(np.argmax(beyond[at:])) if beyond[at:].any() else len(ids)
            inside = event_ns[at:end] <= gap.from_ns if stream == "depth" else np.ones(end - at, np.bool_)
            self._extend(stream, event_ns[at:end][inside], ids[at:end][inside])
            self._break_chain(gap)
            at = end
        self._extend(stream, event_ns[at:], ids[at:])

    def begin(self, stream: str, from_ns: int, first_id: int) -> None:
        """A stream is whole from here on; only the first call counts."""
        if stream not in self.stretches:
            status = _status_of(stream, has_ids=first_id >= 0)
            self.stretches[stream] = Stretch(status, from_ns, from_ns, first_id, first_id)

    def hole(self, gap: Gap) -> None:
        """A gap in what is known only by its gaps: between two of them nothing is claimed."""
        row = Coverage(
            gap.stream, CoverageStatus.GAP, gap.from_ns, gap.to_ns, gap.first_id, gap.last_id, gap.cause
        )
        self.rows.append(row)
        if gap.stream != "depth" and gap.first_id >= 0:
            self.gaps.append(row)

    def _break_chain(self, gap: Gap) -> None:
        stretch = self.stretches.get(gap.stream)
        if stretch is not None:
            self._reach(gap.stream, gap.from_ns, stretch.last_id)
            if gap.first_id < 0:  # the gap may begin before events that were counted already
                stretch.last_id = _NO_ID
            self._write(gap.stream, stretch, gap.from_ns)
        self.hole(gap)
        next_id = gap.last_id + 1 if gap.last_id >= 0 else _NO_ID
        self.stretches[gap.stream] = Stretch(
            CoverageStatus.BY_IDS, gap.to_ns, gap.to_ns, next_id, max(next_id, _NO_ID)
        )

    def heartbeat(self, stream: str, event_ns: Integers, receive_ns: Integers, lost_ns: Integers) -> None:
        """Events of a stream without ids; `lost_ns`: when its connection was lost, by receive time."""
        at = 0
        for lost in lost_ns.tolist():
            end = int(np.searchsorted(receive_ns, lost, "right"))
            self._beat(stream, event_ns[at:end])
            if stream in self.stretches:
                self.stretches[stream].is_cut = True
            at = end
        self._beat(stream, event_ns[at:])

    def _beat(self, stream: str, event_ns: Integers) -> None:
        if not len(event_ns):
            return
        self.begin(stream, int(event_ns[0]), _NO_ID)
        if self.stretches[stream].is_cut:
            self._break(stream, int(event_ns[0]), "disconnected")
        pause_ns = HEARTBEATS_NS.get(stream)
        if pause_ns is not None:
            times = np.maximum.accumulate(np.concatenate([[self.stretches[stream].last_ns], event_ns]))
            for row in np.flatnonzero(np.diff(times) > pause_ns).tolist():
                self._reach(stream, int(times[row]), _NO_ID)
                self._break(stream, int(times[row + 1]), "silent for longer than its heartbeat")
        self._extend(stream, event_ns, None)

    def _break(self, stream: str, to_ns: int, cause: str) -> None:
        """Something may be missing between the newest event and `to_ns`."""
        stretch = self.stretches[stream]
        self._write(stream, stretch, stretch.last_ns)
        start = max(to_ns, stretch.last_ns)
        if start > stretch.last_ns:
            self.rows.append(Coverage(stream, CoverageStatus.GAP, stretch.last_ns, start, cause=cause))
        self.stretches[stream] = Stretch(stretch.status, start, start)

    def _extend(self, stream: str, event_ns: Integers, ids: Integers | None) -> None:
        """The stretch goes on through these events; the hours that they fill are written."""
        if not len(event_ns):
            return
        self.begin(stream, int(event_ns[0]), _NO_ID if ids is None else int(ids[0]))
        stretch = self.stretches[stream]
        newest_ns = int(event_ns.max())
        while newest_ns >= (hour_end := (stretch.from_ns // HOUR_NS + 1) * HOUR_NS):
            before = event_ns < hour_end
            if ids is not None and before.any():
                stretch.last_id = max(stretch.last_id, int(ids[before].max()))
            self._reach(stream, hour_end, stretch.last_id)
        stretch.last_ns = max(stretch.last_ns, newest_ns)
        if ids is not None:
            stretch.last_id = max(stretch.last_id, int(ids.max()))

    def _reach(self, stream: str, until_ns: int, last_id: int) -> None:
        """Write the hours that end at or before `until_ns`, the stretch being whole up to there."""
        stretch = self.stretches[stream]
        stretch.last_ns = max(stretch.last_ns, until_ns)
        while until_ns >= (hour_end := (stretch.from_ns // HOUR_NS + 1) * HOUR_NS):
            self._write(stream, stretch, hour_end)
            stretch.from_ns = hour_end
            stretch.first_id = last_id + 1 if last_id >= 0 else _NO_ID

    def _write(self, stream: str, stretch: Stretch, to_ns: int) -> None:
        if to_ns > stretch.from_ns:
            ids = stretch.first_id, stretch.last_id
            self.rows.append(Coverage(stream, stretch.status, stretch.from_ns, to_ns, *ids))

    def repaired(self, stream: str, missing: Sequence[tuple[int, int]], source: str, receive_ns: int) -> None:
        """Ids came from elsewhere; `missing` are the ranges that still lack."""
        for gap in [g for g in self.gaps if g.stream == stream]:
            if any(first <= gap.last_id and last >= gap.first_id for first, last in missing):
                continue
            self.gaps.remove(gap)
            filled = {"status": CoverageStatus.BY_IDS.value, "cause": f"repaired from {source}"}
            self.rows.append(msgspec.structs.replace(gap, **filled, repaired_ns=receive_ns))

    def finish(self) -> None:
        """The recording stops here, perhaps for good: write every stretch as far as it goes."""
        for stream, stretch in self.stretches.items():
            self._write(stream, stretch, stretch.last_ns)

    def take(self) -> list[Coverage]:
        """The rows to be stored, which are then forgotten."""
        rows, self.rows = self.rows, []
        return rows


def _status_of(stream: str, *, has_ids: bool) -> str:
    if stream in _CHAINS and has_ids:
        return CoverageStatus.BY_IDS
    return CoverageStatus.BY_HEARTBEAT if stream in HEARTBEATS_NS else CoverageStatus.UNPROVABLE
