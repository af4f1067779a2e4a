"""Folding book deltas into samples on time grids: one compiled pass in arrival order.

The pass stops where a decision is needed that is not arithmetic (a snapshot, a break of the chain, a full
buffer); `sampler` takes it and goes on from the same event.
"""

from enum import IntEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from undertow.book.ladder import ASK, BID, Ladder, is_crossed, top
from undertow.compiled import borrowed, kernel
from undertow.frames.book_changes import apply_levels, side_flow
from undertow.market.batch import EventKind
from undertow.market.time import DAY_NS, SECOND_NS
from undertow.venues.binance.sync import BREAK, NEXT, STALE, follow, join

__all__ = [
    "AUDITING",
    "BOOK_ID",
    "CLOSED_NS",
    "IMPLAUSIBLE",
    "NEWEST_NS",
    "STATUS",
    "TIME_NS",
    "TRUSTED_ASK",
    "TRUSTED_BID",
    "UPDATE_NS",
    "BookState",
    "BookStatus",
    "Samples",
    "Stop",
    "fold_book",
    "new_book_state",
    "new_samples",
    "remember_top",
    "start_sampling",
]

Integers = NDArray[np.int64]

OFI_LEVELS = 10


class BookStatus(IntEnum):
    """How far the book can be trusted."""

    WAITING = 0
    """No usable snapshot; deltas are kept aside."""
    SEEDED = 1
    """A snapshot without the delta that joins it; nothing is sampled yet."""
    SYNCED = 2
    DORMANT = 3
    """Nothing came for so long that the book may be dead; resumes if the next delta continues the chain."""


class Stop(IntEnum):
    """Why the pass stopped."""

    DONE = 0
    SNAPSHOT = 1
    UNSYNCED_DELTA = 2
    BREAK = 3
    CROSSED = 4
    LADDER_FULL = 5
    SAMPLES_FULL = 6
    DISCONNECT = 7
    JOINED = 8
    DORMANT = 9
    AUDIT = 10
    AUDITED = 11
    """A delta was applied while the book is being compared with a snapshot."""


# Slots of BookState.meta.
STATUS, RULE, BOOK_ID, UPDATE_NS, RECEIVE_NS, TIME_NS = 0, 1, 2, 3, 4, 5
NEWEST_NS, CLOSED_NS, LATENESS_NS, QUIET_NS = 6, 7, 8, 9
_INTERVAL, _NEXT = 10, 12  # two grids each
IMPLAUSIBLE = 14
TRUSTED_BID, TRUSTED_ASK, AUDITING = 15, 16, 17
_SLOTS = 18

# Columns of BookState.sums, one row a grid; the order is that of BookColumns.
_SPREAD, _SPREAD_SQUARE, _SPREAD_US, _OFI_1, _OFI_10, _UPDATES, _LATE = 0, 1, 2, 3, 4, 5, 6
_ADDED, _OFI_2 = 7, 11
_PLAIN_SUMS, _SUMS = 7, 20


class BookState(NamedTuple):
    """Everything the pass carries, changed in place."""

    meta: Integers
    """(18,) the slots above."""
    sums: Integers
    """(2, 20) accumulators since the newest sample of each grid."""
    best: Integers
    """(4, 10) bid ticks, bid lots, ask ticks, ask lots after the newest update."""


class Samples(NamedTuple):
    """A buffer of samples of one grid."""

    integers: Integers
    """(capacity, 26): grid_ns, last_update_id, last_update_ns, receive_ns, the first seven sums, the trusted
    prices, the other sums."""
    levels: Integers
    """(capacity, 4, levels)."""
    filled: Integers
    """(1,) rows in use."""


def new_book_state(rule: int, intervals_ns: tuple[int, int], lateness_ns: int, quiet_ns: int) -> BookState:
    """The state before the first event."""
    meta = np.zeros(_SLOTS, np.int64)
    meta[RULE], meta[LATENESS_NS], meta[QUIET_NS] = rule, lateness_ns, quiet_ns
    meta[_INTERVAL : _INTERVAL + 2] = intervals_ns
    return BookState(meta, np.zeros((2, _SUMS), np.int64), np.zeros((4, OFI_LEVELS), np.int64))


def new_samples(capacity: int, levels: int) -> Samples:
    """An empty buffer."""
    return Samples(
        np.zeros((capacity, 6 + _SUMS), np.int64),
        np.zeros((capacity, 4, levels), np.int64),
        np.zeros(1, np.int64),
    )


@kernel
def remember_top(state: BookState, ladder: Ladder) -> None:
    """Keep the best ten levels of each side for the next update's order-flow imbalance."""
    top(ladder, BID, state.best[0], state.best[1])
    top(ladder, ASK, state.best[2], state.best[3])


@kernel
def start_sampling(state: BookState, ladder: Ladder) -> None:
    """Begin samples after the newest update, but in no bar that has been closed already."""
    meta = state.meta
    meta[TIME_NS] = max(meta[UPDATE_NS], meta[CLOSED_NS], meta[TIME_NS])
    for grid in range(2):
        interval = meta[_INTERVAL + grid]
        meta[_NEXT + grid] = (meta[TIME_NS] // interval + 1) * interval
    state.sums[:, :] = 0
    remember_top(state, ladder)


@kernel
def _integrate(state: BookState, until_ns: int) -> None:
    """Carry the time integrals of the spread forward to `until_ns`."""
    meta = state.meta
    elapsed_us = (until_ns - meta[TIME_NS]) // 1000
    meta[TIME_NS] = until_ns
    if state.best[1, 0] == 0 or state.best[3, 0] == 0:
        return
    spread = state.best[2, 0] - state.best[0, 0]
    for grid in range(2):
        state.sums[grid, _SPREAD] += spread * elapsed_us
        state.sums[grid, _SPREAD_SQUARE] += spread * spread * elapsed_us
        state.sums[grid, _SPREAD_US] += elapsed_us


@kernel
def _emit(state: BookState, ladder: Ladder, grid: int, samples: Samples) -> None:
    """Write the sample of `grid` that is due and begin the next."""
    meta = state.meta
    due_ns = meta[_NEXT + grid]
    _integrate(state, due_ns)
    row = samples.filled[0]
    integers = samples.integers[row]
    integers[0] = due_ns
    integers[1] = meta[BOOK_ID]
    integers[2] = meta[UPDATE_NS]
    integers[3] = meta[RECEIVE_NS]
    for i in range(_SUMS):
        integers[4 + i if i < _PLAIN_SUMS else 6 + i] = state.sums[grid, i]
        state.sums[grid, i] = 0
    integers[11] = meta[TRUSTED_BID]
    integers[12] = meta[TRUSTED_ASK]
    levels = samples.levels[row]
    top(ladder, BID, levels[0], levels[1])
    top(ladder, ASK, levels[2], levels[3])
    samples.filled[0] = row + 1
    meta[_NEXT + grid] = due_ns + meta[_INTERVAL + grid]


@kernel
def _emit_until(state: BookState, ladder: Ladder, until_ns: int, first: Samples, second: Samples) -> bool:
    """Write every sample due at or before `until_ns`, in time order; False when a buffer is full."""
    meta = state.meta
    while min(meta[_NEXT], meta[_NEXT + 1]) <= until_ns:
        grid = 0 if meta[_NEXT] <= meta[_NEXT + 1] else 1
        samples_full = (
            first.filled[0] == len(first.integers) if grid == 0 else second.filled[0] == len(second.integers)
        )
        if samples_full:
            return False
        if grid == 0:
            _emit(state, ladder, 0, first)
        else:
            _emit(state, ladder, 1, second)
    return True


@kernel
def _add_flow(state: BookState, ladder: Ladder, before: Integers) -> None:
    """Add the order-flow imbalance between the remembered top and the present one."""
    before[:, :] = state.best
    remember_top(state, ladder)
    best = state.best
    total, first = 0, 0
    for i in range(OFI_LEVELS):
        flow = side_flow(best[0, i], best[1, i], before[0, i], before[1, i], 1)
        flow += side_flow(best[2, i], best[3, i], before[2, i], before[3, i], -1)
        total += flow
        if i == 0:
            first = flow
        else:
            state.sums[0, _OFI_2 + i - 1] += flow
            state.sums[1, _OFI_2 + i - 1] += flow
    for grid in range(2):
        state.sums[grid, _OFI_1] += first
        state.sums[grid, _OFI_10] += total
        state.sums[grid, _UPDATES] += 1


@kernel
def _chain(state: BookState, first_id: int, last_id: int, previous_id: int) -> int:
    """What a delta is to the book as it stands: STALE, NEXT or BREAK."""
    meta = state.meta
    if meta[STATUS] == BookStatus.WAITING:
        return STALE
    if meta[STATUS] == BookStatus.SEEDED:
        return join(meta[RULE], first_id, last_id, previous_id, meta[BOOK_ID])
    return follow(meta[RULE], first_id, last_id, previous_id, meta[BOOK_ID])


@kernel
def _close_bars(
    state: BookState, ladder: Ladder, event_ns: int, chain: int, first: Samples, second: Samples
) -> Stop:
    """Move event time to `event_ns`, if that is forward, and take the samples of every bar closed thereby."""
    meta = state.meta
    meta[NEWEST_NS] = max(meta[NEWEST_NS], event_ns)
    boundary = (meta[NEWEST_NS] - meta[LATENESS_NS]) // SECOND_NS * SECOND_NS
    if boundary <= meta[CLOSED_NS]:
        return Stop.DONE
    if meta[STATUS] == BookStatus.SYNCED:
        if chain != NEXT and boundary - meta[UPDATE_NS] > meta[QUIET_NS]:
            return Stop.DORMANT
        if not _emit_until(state, ladder, boundary, first, second):
            return Stop.SAMPLES_FULL
    meta[CLOSED_NS] = boundary
    return Stop.DONE


@kernel
def _take_delta(
    state: BookState,
    ladder: Ladder,
    event_ns: int,
    receive_ns: int,
    last_id: int,
    sides: Integers,
    ticks: Integers,
    lots: Integers,
    before: Integers,
    first: Samples,
    second: Samples,
) -> Stop:
    """Apply a delta that continues the chain; `sides` is (4,): bid start, bid count, ask start, ask count."""
    meta = state.meta
    synced = meta[STATUS] == BookStatus.SYNCED
    if synced and not _emit_until(state, ladder, event_ns, first, second):
        return Stop.SAMPLES_FULL
    best, sums = state.best, state.sums
    applied = apply_levels(ladder, BID, sides[0], sides[1], ticks, lots, best, sums, _ADDED)
    if applied:
        applied = apply_levels(ladder, ASK, sides[2], sides[3], ticks, lots, best, sums, _ADDED + 2)
    if not applied:
        return Stop.LADDER_FULL
    if synced:
        if event_ns < meta[TIME_NS]:
            state.sums[:, _LATE] += 1
        _integrate(state, max(event_ns, meta[TIME_NS]))
        _add_flow(state, ladder, before)
    meta[BOOK_ID] = last_id
    meta[UPDATE_NS] = event_ns
    meta[RECEIVE_NS] = receive_ns
    if is_crossed(ladder):
        return Stop.CROSSED
    if not synced:
        return Stop.JOINED
    return Stop.AUDITED if meta[AUDITING] else Stop.DONE


@kernel
def _is_implausible(newest_ns: int, event_ns: int, receive_ns: int) -> bool:
    """Whether a time lies a day ahead of both the market so far and the clock that received it.

    It would close every bar up to then. A recording with a hole passes: there the receive time leaps as well.
    """
    return newest_ns > 0 and event_ns > newest_ns + DAY_NS and event_ns > receive_ns + DAY_NS


@kernel
def fold_book(
    kind: NDArray[np.uint8],
    event_ns: Integers,
    receive_ns: Integers,
    first_id: Integers,
    last_id: Integers,
    previous_id: Integers,
    sides: Integers,
    ticks: Integers,
    lots: Integers,
    at: int,
    state: BookState,
    ladder: Ladder,
    first: Samples,
    second: Samples,
    closed_at: Integers,
    before: Integers,
) -> tuple[int, Stop]:
    """Fold events from row `at` on; returns the row where it stopped, and why.

    `sides` is (n, 4): bid start, bid count, ask start, ask count. Writes into `closed_at` (n,) the boundary
    up to which bars were closed when the event had arrived: a trade before it is late. An event whose time
    cannot be true becomes REJECTED in `kind`. `before` is scratch of the shape of `state.best`.
    """
    kind, event_ns, receive_ns, first_id, last_id, previous_id = borrowed(
        (kind, event_ns, receive_ns, first_id, last_id, previous_id)
    )
    sides, ticks, lots, closed_at, before = borrowed((sides, ticks, lots, closed_at, before))
    state, ladder, first, second = borrowed(state), borrowed(ladder), borrowed(first), borrowed(second)
    meta = state.meta
    for i in range(at, len(kind)):
        chain = STALE
        if _is_implausible(meta[NEWEST_NS], event_ns[i], receive_ns[i]):
            kind[i] = EventKind.REJECTED
            meta[IMPLAUSIBLE] += 1
        if kind[i] == EventKind.REJECTED:
            closed_at[i] = meta[CLOSED_NS]
            continue
        if kind[i] == EventKind.DELTA:
            chain = _chain(state, first_id[i], last_id[i], previous_id[i])
            if chain == BREAK:
                return i, Stop.BREAK
        stop = _close_bars(state, ladder, event_ns[i], chain, first, second)
        closed_at[i] = meta[CLOSED_NS]
        if stop != Stop.DONE:
            return i, stop
        if kind[i] == EventKind.SNAPSHOT or kind[i] == EventKind.BASE:
            return i, Stop.SNAPSHOT
        if kind[i] == EventKind.AUDIT:
            return i, Stop.AUDIT
        if kind[i] == EventKind.DISCONNECT:
            return i, Stop.DISCONNECT
        if kind[i] == EventKind.DELTA and meta[STATUS] == BookStatus.WAITING:
            return i, Stop.UNSYNCED_DELTA
        if chain == NEXT:
            stop = _take_delta(
                state,
                ladder,
                event_ns[i],
                receive_ns[i],
                last_id[i],
                sides[i],
                ticks,
                lots,
                before,
                first,
                second,
            )
            if stop != Stop.DONE:
                return i, stop
    return len(kind), Stop.DONE
