"""The book of one symbol through snapshots, breaks and resyncs; samples only while it is exact."""

from collections.abc import Mapping

import msgspec
import numpy as np
from numpy.typing import NDArray

from undertow.book import ladder as books
from undertow.frames import book_fold
from undertow.frames.book_audit import Audit, BookAudit, compare, set_levels
from undertow.frames.book_fold import BookStatus, Stop
from undertow.frames.column_set import book_columns, join, single_event
from undertow.market.batch import EventBatch, EventKind
from undertow.market.columns import BookColumns
from undertow.market.events import Gap

__all__ = ["BookTracker"]

Integers = NDArray[np.int64]
Arrays = dict[str, NDArray[np.generic]]

_MAX_DELTAS_ASIDE = 50_000


class _OpenGap(msgspec.Struct):
    """The stretch since the book was lost."""

    from_ns: int
    counted_from_ns: int
    first_id: int
    cause: str


_Plain = dict[str, tuple[str, bytes]]
"""Columns of a batch by name: (dtype, bytes)."""
_Extra = tuple[
    int, _OpenGap | None, list[_Plain], tuple[int, int, int, int], tuple[list[_Plain], _Plain | None] | None
]


class BookTracker:
    """Follows the book events of one symbol in arrival order and moves its event time.

    `depth_levels` and `l2_levels` are the levels kept by the samples of the two grids.
    """

    def __init__(self, symbol: str, state: book_fold.BookState, depth_levels: int, l2_levels: int) -> None:
        self.symbol = symbol
        self.ladder = books.new_ladder()
        self.state = state
        self.snapshot_count = 0
        self._buffers = (book_fold.new_samples(256, depth_levels), book_fold.new_samples(128, l2_levels))
        self._aside: list[EventBatch] = []
        self._gap: _OpenGap | None = None
        self._gaps: list[Gap] = []
        self._audit: Audit | None = None
        self._verified_ns = 0
        """Event time at which the book was last known to be true."""
        self.joined_ns = 0
        """Event time from which the book was first exact, 0 before; and the update that joined it."""
        self.joined_id = -1
        self.lost_ns = 0
        """Event time of the newest update before the book was last lost."""
        self.audits: list[BookAudit] = []
        """Found while the newest block was folded."""
        self._taken: tuple[list[BookColumns], list[BookColumns]] = ([], [])

    @property
    def status(self) -> BookStatus:
        """How far the book can be trusted."""
        return BookStatus(int(self.state.meta[book_fold.STATUS]))

    @property
    def needs_snapshot(self) -> bool:
        """Whether deltas come in without a book that they could join."""
        return self.status == BookStatus.WAITING and bool(self._aside)

    def fold(self, batch: EventBatch, closed_at: Integers) -> tuple[BookColumns, BookColumns, list[Gap]]:
        """Fold a block; (samples, deep samples, gaps that ended). Fills `closed_at` as `fold_book` does."""
        self._gaps, self.audits = [], []
        self._taken = tuple(  # type: ignore[assignment]
            [book_columns(b.integers[:0].copy(), b.levels[:0].copy())] for b in self._buffers
        )
        self._fold(batch, closed_at)
        return join(self._taken[0]), join(self._taken[1]), self._gaps

    def _fold(self, batch: EventBatch, closed_at: Integers) -> None:
        sides = np.stack([batch.bid_start, batch.bid_count, batch.ask_start, batch.ask_count], axis=1)
        at, stop = 0, Stop.SAMPLES_FULL
        while stop != Stop.DONE:
            at, stop = book_fold.fold_book(
                batch.kind,
                batch.event_ns,
                batch.receive_ns,
                batch.first_id,
                batch.last_id,
                batch.previous_id,
                sides,
                batch.level_ticks,
                batch.level_lots,
                at,
                self.state,
                self.ladder,
                *self._buffers,
                closed_at,
                np.empty_like(self.state.best),
            )
            self._drain()
            at += self._attend(stop, batch, at)

    def _drain(self) -> None:
        for buffer, taken in zip(self._buffers, self._taken, strict=True):
            count = int(buffer.filled[0])
            if count:
                taken.append(book_columns(buffer.integers[:count].copy(), buffer.levels[:count].copy()))
                buffer.filled[0] = 0

    def _attend(self, stop: Stop, batch: EventBatch, at: int) -> int:
        """Do what the pass stopped for; 1 if the event at `at` is thereby done with, 0 if it comes again."""
        if stop == Stop.BREAK:
            self._lose("update ids missing", int(self.state.meta[book_fold.BOOK_ID]) + 1)
            return 0
        if stop == Stop.DORMANT:
            self._lose("no book update", -1)
            self.state.meta[book_fold.STATUS] = BookStatus.DORMANT
            return 0
        if stop == Stop.LADDER_FULL:
            self.ladder = books.grow(self.ladder)
            return 0
        if stop == Stop.CROSSED:
            self._lose("crossed book", -1)
        elif stop == Stop.UNSYNCED_DELTA:
            self._put_aside(batch, at)
        elif stop == Stop.JOINED:
            self._regain(int(batch.first_id[at]))
        elif stop == Stop.SNAPSHOT:
            self._take_snapshot(batch, at)
        elif stop == Stop.AUDIT:
            self._begin_audit()
        elif stop == Stop.AUDITED and self._audit is not None:
            if self._audit.note_delta(batch, at):
                self._try_audit()
            else:
                self._end_audit(cause="no usable snapshot came")
        elif stop == Stop.DISCONNECT and int(batch.first_id[at]) & 1:
            self._lose("disconnected", -1)
            self._aside.clear()
        return int(stop not in (Stop.SAMPLES_FULL, Stop.DONE))

    def _lose(self, cause: str, first_id: int) -> None:
        """The book is not known from its newest update on."""
        meta = self.state.meta
        if self.status == BookStatus.SYNCED:
            from_ns = int(meta[book_fold.UPDATE_NS])
            counted_from_ns = max(from_ns, int(meta[book_fold.CLOSED_NS]))
            self._gap = _OpenGap(from_ns, counted_from_ns, first_id, cause)
            self.lost_ns = from_ns
        meta[book_fold.STATUS] = BookStatus.WAITING
        if self._audit is not None:
            self._end_audit(cause=f"the book was lost ({cause})")

    def _take_snapshot(self, batch: EventBatch, at: int) -> None:
        """A snapshot seeds the book, is compared with it, or, where it came in the stream, replaces it."""
        if batch.kind[at] == EventKind.BASE:
            self._lose("book restated", -1)
            self._aside.clear()
            self._seed(batch, at)
            meta = self.state.meta
            meta[book_fold.UPDATE_NS] = batch.event_ns[at]
            meta[book_fold.RECEIVE_NS] = batch.receive_ns[at]
            self._regain(0)
        elif self.status == BookStatus.WAITING:
            self._seed(batch, at)
        elif self._audit is not None:
            self._audit.note_snapshot(batch, at)
            self._try_audit()

    def _begin_audit(self) -> None:
        """Keep the updates from now on, for comparing at the one that a snapshot leads to."""
        if self.status == BookStatus.SYNCED:
            self._audit = Audit()
            self.state.meta[book_fold.AUDITING] = 1

    def _try_audit(self) -> None:
        """Compare, if the snapshot has come and its updates as well."""
        audit, meta = self._audit, self.state.meta
        if audit is None or audit.snapshot is None:
            return
        book_id = int(meta[book_fold.BOOK_ID])
        fresh, cause = audit.rebuild(int(meta[book_fold.RULE]), book_id)
        if fresh is None:
            if cause:
                self._end_audit(cause=cause)
            return
        before = self.trusted
        now = _range(audit.snapshot, before)
        compared, matched, mismatched, ghosts = compare(self.ladder, fresh, before, now)
        self.ladder = fresh
        self._end_audit(compared, matched, mismatched, ghosts, now)
        if mismatched:
            self._restate(book_id)
        self._verified_ns = int(meta[book_fold.UPDATE_NS])

    def _end_audit(
        self,
        compared: int = 0,
        matched: int = 0,
        mismatched: int = 0,
        ghosts: int = 0,
        trusted: tuple[int, int] | None = None,
        cause: str = "",
    ) -> None:
        meta = self.state.meta
        self._audit = None
        meta[book_fold.AUDITING] = 0
        meta[book_fold.TRUSTED_BID], meta[book_fold.TRUSTED_ASK] = trusted or self.trusted
        ids = int(meta[book_fold.UPDATE_NS]), int(meta[book_fold.BOOK_ID])
        found = BookAudit(*ids, compared, matched, mismatched, ghosts, *self.trusted, cause)
        self.audits.append(found)

    def _restate(self, book_id: int) -> None:
        """The book was wrong since nobody knows when: what was sampled since it was last true is a gap."""
        meta = self.state.meta
        to_ns = int(max(meta[book_fold.TIME_NS], meta[book_fold.UPDATE_NS]))
        self._gaps.append(
            Gap(
                symbol=self.symbol,
                stream="depth",
                from_ns=self._verified_ns,
                to_ns=to_ns,
                first_id=-1,
                last_id=book_id,
                cause="audit mismatch",
                counted_from_ns=max(self._verified_ns, int(meta[book_fold.CLOSED_NS])),
                counted_to_ns=max(to_ns, int(meta[book_fold.CLOSED_NS])),
            )
        )
        book_fold.start_sampling(self.state, self.ladder)

    @property
    def book_id(self) -> int:
        """Id of the newest update applied."""
        return int(self.state.meta[book_fold.BOOK_ID])

    @property
    def trusted(self) -> tuple[int, int]:
        """(lowest bid, highest ask) [ticks] of the newest snapshot."""
        meta = self.state.meta
        return int(meta[book_fold.TRUSTED_BID]), int(meta[book_fold.TRUSTED_ASK])

    @property
    def is_audited(self) -> bool:
        """Whether an audit is under way."""
        return self._audit is not None

    def _regain(self, joining_id: int) -> None:
        """The book is exact again; samples begin, and the gap, if there was one, ends."""
        meta = self.state.meta
        meta[book_fold.STATUS] = BookStatus.SYNCED
        book_fold.start_sampling(self.state, self.ladder)
        self._verified_ns = int(meta[book_fold.UPDATE_NS])
        if not self.joined_ns:
            self.joined_ns, self.joined_id = self._verified_ns, int(meta[book_fold.BOOK_ID])
        gap = self.open_gap(int(meta[book_fold.TIME_NS]), joining_id - 1)
        if gap is not None:
            self._gaps.append(gap)
        self._gap = None

    def open_gap(self, until_ns: int, last_id: int = -1) -> Gap | None:
        """The gap that lasts while the book is lost, as far as `until_ns`."""
        gap = self._gap
        if gap is None:
            return None
        return Gap(
            symbol=self.symbol,
            stream="depth",
            from_ns=gap.from_ns,
            to_ns=max(until_ns, gap.from_ns),
            first_id=gap.first_id,
            last_id=last_id if gap.first_id >= 0 else -1,
            cause=gap.cause,
            counted_from_ns=gap.counted_from_ns,
            counted_to_ns=max(until_ns, gap.counted_from_ns),
        )

    def _put_aside(self, batch: EventBatch, at: int) -> None:
        """Keep a delta until a snapshot comes; beyond the bound the oldest half is given up."""
        self._aside.append(single_event(batch, at))
        if len(self._aside) > _MAX_DELTAS_ASIDE:
            del self._aside[: _MAX_DELTAS_ASIDE // 2]

    def _seed(self, batch: EventBatch, at: int) -> None:
        """Take a snapshot as the book and apply the deltas put aside that follow it."""
        meta = self.state.meta
        books.clear(self.ladder)
        for side, start, count in (
            (books.BID, batch.bid_start, batch.bid_count),
            (books.ASK, batch.ask_start, batch.ask_count),
        ):
            self.ladder = set_levels(self.ladder, side, int(start[at]), int(count[at]), batch)
        meta[book_fold.TRUSTED_BID], meta[book_fold.TRUSTED_ASK] = _range(single_event(batch, at), (0, 0))
        meta[book_fold.BOOK_ID] = batch.last_id[at]
        meta[book_fold.STATUS] = BookStatus.SEEDED
        self.snapshot_count += 1
        aside, self._aside = self._aside, []
        closed_at = np.empty(1, np.int64)
        for delta in aside:
            self._fold(delta, closed_at)
            if self.status == BookStatus.WAITING:
                self._aside = aside  # the snapshot is older than what we hold: another is needed
                return

    def to_arrays(self) -> Arrays:
        """Everything carried, as arrays; `restore` takes it back."""
        arrays: Arrays = {f"ladder.{k}": v for k, v in books.to_state(self.ladder).items()}
        arrays |= {f"state.{k}": v.copy() for k, v in self.state._asdict().items()}
        audit = None if self._audit is None else _plain_audit(self._audit)
        aside = [_to_plain(delta) for delta in self._aside]
        times = (self._verified_ns, self.joined_ns, self.joined_id, self.lost_ns)
        extra = (self.snapshot_count, self._gap, aside, times, audit)
        arrays["extra"] = np.frombuffer(msgspec.msgpack.encode(extra), np.uint8)
        return arrays

    def restore(self, arrays: Mapping[str, NDArray[np.generic]]) -> None:
        """Go on from `to_arrays()`."""
        prefix = "ladder."
        ladder = {k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)}
        self.ladder = books.from_state(ladder)  # type: ignore[arg-type]
        names = book_fold.BookState._fields
        self.state = book_fold.BookState(*(arrays[f"state.{k}"].copy() for k in names))  # type: ignore[arg-type]
        extra = msgspec.msgpack.decode(arrays["extra"].tobytes(), type=_Extra)
        self.snapshot_count, self._gap, aside, times, audit = extra
        self._verified_ns, self.joined_ns, self.joined_id, self.lost_ns = times
        self._aside = [_from_plain(delta) for delta in aside]
        self._audit = None
        if audit is not None:
            deltas = [_from_plain(delta) for delta in audit[0]]
            self._audit = Audit(deltas, None if audit[1] is None else _from_plain(audit[1]))


def _range(snapshot: EventBatch, otherwise: tuple[int, int]) -> tuple[int, int]:
    """(lowest bid, highest ask) of a snapshot; `otherwise` for a side that is empty."""
    bids = snapshot.level_ticks[: int(snapshot.bid_count[0])]
    asks = snapshot.level_ticks[int(snapshot.bid_count[0]) :]
    return int(bids.min()) if len(bids) else otherwise[0], int(asks.max()) if len(asks) else otherwise[1]


def _plain_audit(audit: Audit) -> tuple[list[_Plain], _Plain | None]:
    snapshot = None if audit.snapshot is None else _to_plain(audit.snapshot)
    return [_to_plain(delta) for delta in audit.deltas], snapshot


def _to_plain(delta: EventBatch) -> _Plain:
    columns = {name: getattr(delta, name) for name in delta.__slots__}
    return {name: (column.dtype.str, column.tobytes()) for name, column in columns.items()}


def _from_plain(plain: _Plain) -> EventBatch:
    return EventBatch(**{k: np.frombuffer(v[1], np.dtype(v[0])).copy() for k, v in plain.items()})
