"""The ids of a raw frame, read without decoding it: what tells one copy of a frame from another."""

import re

from undertow.venues.arbiter import FrameIds, Numbering, ReadIds

__all__ = ["TopicNumbering"]

_UPDATE = re.compile(rb'"u" ?: ?(\d+)')
_SEQUENCE = re.compile(rb'"seq" ?: ?(\d+)')
_SNAPSHOT = re.compile(rb'"type" ?: ?"snapshot"')
_TAIL = 120
"""Ids stand behind the levels."""
_HEAD = 120
_NOTHING = -2
"""What a snapshot continues."""
_FIRST_ID = 1
"""Update id of the snapshot after the exchange's service has restarted."""


def _number(pattern: re.Pattern[bytes], frame: bytes) -> int:
    """A number near the end of a frame, or wherever it is; -1 where it is not."""
    found = pattern.search(frame, max(0, len(frame) - _TAIL)) or pattern.search(frame)
    return -1 if found is None else int(found[1])


class _BookIds:
    """Reads the update ids of one depth topic, unbroken through restarts of the exchange's service.

    Ids begin at 1 again then. They are made to go on where the old ones ended: which of the two numberings a
    frame belongs to is told by its sequence number, which never falls. A snapshot continues nothing and fills
    no hole; one that was asked for has no ids, so that it is not taken for a copy of what came before.
    """

    __slots__ = ("_newest", "_newest_raw", "_restarts", "expects_snapshot")

    def __init__(self) -> None:
        self.expects_snapshot = False
        self._newest = 0
        self._newest_raw = 0
        """Greatest update id of the newest numbering."""
        self._restarts: list[tuple[int, int]] = []
        """(sequence number of the first frame, what to add to its ids) of each numbering but the first."""

    def __call__(self, frame: bytes) -> FrameIds | None:
        update_id = _number(_UPDATE, frame)
        if update_id < 0:
            return None
        sequence = _number(_SEQUENCE, frame)
        is_snapshot = _SNAPSHOT.search(frame, 0, _HEAD) is not None
        is_restart = is_snapshot and update_id == _FIRST_ID and self._is_restart(sequence)
        if is_restart:
            self._restarts.append((sequence, self._newest))
            self._newest_raw = _FIRST_ID
        last = update_id + self._base_of(sequence)
        is_wanted = is_snapshot and self.expects_snapshot and last >= self._newest
        self._newest = max(self._newest, last)
        self._newest_raw = self._newest - (self._restarts[-1][1] if self._restarts else 0)
        if is_wanted:
            self.expects_snapshot = False
            return None
        return (_NOTHING if is_snapshot and not is_restart else last - 1), last

    def _is_restart(self, sequence: int) -> bool:
        known = self._restarts[-1][0] if self._restarts else -1
        return self._newest_raw > _FIRST_ID and sequence > known

    def _base_of(self, sequence: int) -> int:
        return next((base for first, base in reversed(self._restarts) if sequence >= first), 0)


def _none(_frame: bytes) -> FrameIds | None:
    return None


class TopicNumbering:
    """How the frames of each topic of one feed are numbered: `TopicNumbering().of(b"tickers.BTCUSDT")`.

    Books have update ids, level 1 with holes. Nothing else has: trades have UUIDs and no order, tickers and
    liquidations nothing, so that copies are told by their bytes; the mapper then drops trades that came
    before, and tickers that are older than what it knows.
    """

    def __init__(self) -> None:
        self._books: dict[bytes, _BookIds] = {}

    def of(self, topic: bytes) -> tuple[Numbering, ReadIds]:
        """How a topic is numbered, and what reads the ids of its frames (None: the frame has none)."""
        if not topic.startswith(b"orderbook."):
            return Numbering.CONTENT, _none
        reader = self._books[topic] = _BookIds()
        return Numbering.NEWEST if topic.startswith(b"orderbook.1.") else Numbering.CHAIN, reader

    def expect_snapshot(self, topic: bytes) -> None:
        """The next snapshot of a topic was asked for: it is wanted though its updates have come already."""
        if topic in self._books:
            self._books[topic].expects_snapshot = True
