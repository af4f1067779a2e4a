"""The book of one symbol through snapshots, breaks and resyncs; samples only while it is exact."""

from collections.abc import Mapping

import msgspec
import numpy as np
from numpy.typing import NDArray

from undertow.book import ladder as books
from undertow.frames import book_fold
from undertow.frames.book_fold import BookStatus, Stop
from undertow.frames.column_set import book_columns, join, single_event
from undertow.market.batch import EventBatch
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
        self._gaps = []
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
        elif stop == Stop.SNAPSHOT and self.status == BookStatus.WAITING:
            self._seed(batch, at)
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
        meta[book_fold.STATUS] = BookStatus.WAITING

    def _regain(self, joining_id: int) -> None:
        """The book is exact again; samples begin, and the gap, if there was one, ends."""
        meta = self.state.meta
        meta[book_fold.STATUS] = BookStatus.SYNCED
        book_fold.start_sampling(self.state, self.ladder)
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
        self._set_levels(books.BID, int(batch.bid_start[at]), int(batch.bid_count[at]), batch)
        self._set_levels(books.ASK, int(batch.ask_start[at]), int(batch.ask_count[at]), batch)
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

    def _set_levels(self, side: int, start: int, count: int, batch: EventBatch) -> None:
        for level in range(start, start + count):
            while not books.set_level(self.ladder, side, batch.level_ticks[level], batch.level_lots[level]):
                self.ladder = books.grow(self.ladder)

    def to_arrays(self) -> Arrays:
        """Everything carried, as arrays; `restore` takes it back."""
        arrays: Arrays = {f"ladder.{k}": v for k, v in books.to_state(self.ladder).items()}
        arrays |= {f"state.{k}": v.copy() for k, v in self.state._asdict().items()}
        extra = (self.snapshot_count, self._gap, [_to_plain(delta) for delta in self._aside])
        arrays["extra"] = np.frombuffer(msgspec.msgpack.encode(extra), np.uint8)
        return arrays

    def restore(self, arrays: Mapping[str, NDArray[np.generic]]) -> None:
        """Go on from `to_arrays()`."""
        prefix = "ladder."
        ladder = {k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)}
        self.ladder = books.from_state(ladder)  # type: ignore[arg-type]
        names = book_fold.BookState._fields
        self.state = book_fold.BookState(*(arrays[f"state.{k}"].copy() for k in names))  # type: ignore[arg-type]
        kind = tuple[int, _OpenGap | None, list[dict[str, tuple[str, bytes]]]]
        extra = msgspec.msgpack.decode(arrays["extra"].tobytes(), type=kind)
        self.snapshot_count, self._gap, aside = extra
        self._aside = [_from_plain(delta) for delta in aside]


def _to_plain(delta: EventBatch) -> dict[str, tuple[str, bytes]]:
    columns = {name: getattr(delta, name) for name in delta.__slots__}
    return {name: (column.dtype.str, column.tobytes()) for name, column in columns.items()}


def _from_plain(plain: dict[str, tuple[str, bytes]]) -> EventBatch:
    return EventBatch(**{k: np.frombuffer(v[1], np.dtype(v[0])).copy() for k, v in plain.items()})
