"""The matching engine beside a reference made of dictionaries and queues."""

from collections import deque
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from undertow.venues.simulated.matching import (
    ASK,
    BID,
    CHANGE_COUNT,
    NO_TICK,
    PUBLIC,
    REFUSED,
    RESTING,
    TRADE_COUNT,
    TRADE_ID,
    Book,
    add,
    best,
    cancel,
    is_resting,
    level_lots,
    new_book,
    read_levels,
    set_anchor,
    submit_limit,
    take,
)

ANCHOR = 1000


@dataclass
class Reference:
    """Queues of (name of the order, lots left) by side and tick."""

    queues: tuple[dict[int, deque[list[int]]], dict[int, deque[list[int]]]] = field(
        default_factory=lambda: ({}, {})
    )

    def best(self, side: int) -> int:
        ticks = self.queues[side]
        return (max(ticks) if side == BID else min(ticks)) if ticks else NO_TICK

    def submit(self, side: int, limit: int | None, lots: int, name: int) -> tuple[list[tuple[int, int]], int]:
        """Fills as (tick, lots), and what is left over."""
        fills = []
        other = self.queues[1 - side]
        while lots and other:
            tick = self.best(1 - side)
            if limit is not None and (tick > limit if side == BID else tick < limit):
                break
            first = other[tick][0]
            filled = min(lots, first[1])
            first[1] -= filled
            lots -= filled
            fills.append((tick, filled))
            if not first[1]:
                other[tick].popleft()
                if not other[tick]:
                    del other[tick]
        if lots and limit is not None:
            self.queues[side].setdefault(limit, deque()).append([name, lots])
        return fills, lots

    def cancel(self, name: int) -> int:
        for queues in self.queues:
            for tick, queue in list(queues.items()):
                for order in list(queue):
                    if order[0] == name:
                        queue.remove(order)
                        if not queue:
                            del queues[tick]
                        return order[1]
        return 0


def queue_of(book: Book, side: int, tick: int) -> list[int]:
    """Lots of the orders at a price, oldest first, read off the linked list."""
    slot, lots = int(book.levels[tick & (book.levels.shape[0] - 1), 0]), []
    while slot >= 0:
        assert book.orders[slot, 2] == side
        lots.append(int(book.orders[slot, 1]))
        slot = int(book.orders[slot, 3])
    return lots


def assert_same(book: Book, reference: Reference) -> None:
    for side in (BID, ASK):
        queues = reference.queues[side]
        out = np.empty((64, 2), np.int64)
        shown = {int(tick): int(lots) for tick, lots in out[: read_levels(book, side, out)]}
        assert shown == {tick: sum(lots for _, lots in queue) for tick, queue in queues.items()}
        assert best(book, side) == reference.best(side)
        for tick, queue in queues.items():
            assert queue_of(book, side, tick) == [lots for _, lots in queue], "queues keep their order"
    if reference.queues[BID] and reference.queues[ASK]:
        assert best(book, BID) < best(book, ASK)
    assert book.meta[RESTING] == sum(len(q) for queues in reference.queues for q in queues.values())


ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(["limit", "limit", "market", "cancel"]),
        st.sampled_from([BID, ASK]),
        st.integers(ANCHOR - 6, ANCHOR + 6),
        st.integers(1, 20),
    ),
    max_size=60,
)


@settings(max_examples=150, deadline=None)
@given(ACTIONS)
def test_engine_equals_the_reference_order_for_order(actions: list[tuple[str, int, int, int]]) -> None:
    book, reference = new_book(ANCHOR, capacity=64, span=64, rows=4096), Reference()
    handles: list[int] = []
    for name, (action, side, tick, lots) in enumerate(actions):
        trades_before = int(book.meta[TRADE_COUNT])
        if action == "limit":
            fills, left = reference.submit(side, tick, lots, name)
            handle = submit_limit(book, side, tick, lots, PUBLIC)
            assert (handle > 0) == (left > 0)
            handles.append(handle)
        elif action == "market":
            fills, left = reference.submit(side, None, lots, name)
            assert take(book, side, NO_TICK, lots, 0) == left
            handles.append(0)
        else:
            fills = []
            victim = tick % max(1, len(handles))
            expected = reference.cancel(victim)
            assert cancel(book, handles[victim] if handles else 0) == expected
            handles.append(0)
        rows = book.trades[trades_before : book.meta[TRADE_COUNT]]
        assert [(int(row[2]), int(row[3])) for row in rows] == fills
        assert all(row[4] == (1 if side == ASK else 0) for row in rows)
        assert_same(book, reference)
    identities = book.trades[: book.meta[TRADE_COUNT], 0]
    assert identities.tolist() == list(range(1, len(identities) + 1))
    updates = book.changes[: book.meta[CHANGE_COUNT], 0]
    assert (np.diff(updates) > 0).all()


@settings(max_examples=50, deadline=None)
@given(ACTIONS)
def test_no_quantity_appears_or_vanishes(actions: list[tuple[str, int, int, int]]) -> None:
    book = new_book(ANCHOR, capacity=64, span=64, rows=4096)
    submitted = cancelled = left_over = 0
    handles = [0]
    for action, side, tick, lots in actions:
        if action == "limit":
            submitted += lots
            handles.append(submit_limit(book, side, tick, lots, PUBLIC))
        elif action == "market":
            submitted += lots
            left_over += take(book, side, NO_TICK, lots, 0)
        else:
            cancelled += cancel(book, handles[tick % len(handles)])
    traded = int(book.trades[: book.meta[TRADE_COUNT], 3].sum())
    out = np.empty((64, 2), np.int64)
    resting = sum(int(out[: read_levels(book, side, out), 1].sum()) for side in (BID, ASK))
    assert submitted == 2 * traded + cancelled + left_over + resting


def test_handles_are_never_reused() -> None:
    book = new_book(ANCHOR, capacity=4, span=64)
    first = add(book, BID, ANCHOR, 5, PUBLIC)
    assert cancel(book, first) == 5
    second = add(book, BID, ANCHOR, 7, PUBLIC)
    assert first != second
    assert not is_resting(book, first)
    assert cancel(book, first) == 0
    assert level_lots(book, BID, ANCHOR) == 7


@pytest.mark.parametrize("tick", [ANCHOR - 33, ANCHOR + 32, 0])
def test_a_price_outside_the_range_is_refused(tick: int) -> None:
    book = new_book(ANCHOR, capacity=4, span=64)
    assert add(book, BID, tick, 1, PUBLIC) == REFUSED
    assert add(book, BID, ANCHOR - 32, 1, PUBLIC) > 0


def test_a_full_book_refuses() -> None:
    book = new_book(ANCHOR, capacity=2, span=64)
    assert [add(book, BID, ANCHOR, 1, PUBLIC) > 0 for _ in range(3)] == [True, True, False]


def test_moving_the_anchor_withdraws_what_falls_outside() -> None:
    book = new_book(ANCHOR, capacity=8, span=64)
    for tick in (ANCHOR - 30, ANCHOR - 5, ANCHOR):
        add(book, BID, tick, 3, PUBLIC)
    assert set_anchor(book, ANCHOR + 20) == 1
    assert level_lots(book, BID, ANCHOR - 30) == 0
    assert level_lots(book, BID, ANCHOR - 5) == 3
    assert add(book, ASK, ANCHOR + 45, 2, PUBLIC) > 0
    assert best(book, ASK) == ANCHOR + 45


def test_trade_ids_begin_where_told() -> None:
    book = new_book(ANCHOR, capacity=8, span=64, first_id=500)
    add(book, ASK, ANCHOR, 3, PUBLIC)
    take(book, BID, NO_TICK, 2, 1)
    assert book.trades[0].tolist() == [500, 0, ANCHOR, 2, 0, 500, 1]
    assert book.meta[TRADE_ID] == 500
