"""The ladder against a dictionary, and its window, overflow and state."""

from collections.abc import Iterable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from undertow.book.ladder import (
    ASK,
    BID,
    NO_ASK,
    NO_BID,
    Ladder,
    best_ask,
    best_bid,
    clear,
    count,
    from_state,
    grow,
    is_crossed,
    level,
    levels,
    new_ladder,
    set_level,
    to_state,
    top,
)

Book = dict[int, int]
Update = tuple[int, int, int]

MARKET = 281_451  # 28145.10 at a tick of 0.1
FAR = (1, 50_000, 281_451 * 3, 10**9, 10**12, 2**62 - 2)
EDGES = [n * k + d for n in (64, 4096, 2**18) for k in (1, 2, 63, 64, 65) for d in (-1, 0, 1)]


def put(ladder: Ladder, side: int, tick: int, lots: int) -> Ladder:
    while not set_level(ladder, side, tick, lots):
        ladder = grow(ladder)
    return ladder


def best_first(book: Book, side: int) -> list[tuple[int, int]]:
    return sorted(book.items(), reverse=side == BID)


def assert_same(ladder: Ladder, books: list[Book], depths: Iterable[int] = (1, 5, 20, 100, 5000)) -> None:
    for side, book in enumerate(books):
        expected = best_first(book, side)
        assert count(ladder, side) == len(book)
        for depth in depths:
            ticks, lots = np.full(depth, -7), np.full(depth, -7)
            assert top(ladder, side, ticks, lots) == min(depth, len(book))
            rows = expected[:depth] + [(0, 0)] * (depth - len(expected))
            assert list(zip(ticks.tolist(), lots.tolist(), strict=True)) == rows
    bid = max(books[BID], default=NO_BID)
    ask = min(books[ASK], default=NO_ASK)
    assert (best_bid(ladder), best_ask(ladder)) == (bid, ask)
    assert is_crossed(ladder) == (bid >= ask)


def assert_equal_bits(one: Ladder, other: Ladder) -> None:
    for name, a, b in zip(Ladder._fields, one, other, strict=True):
        assert a.dtype == b.dtype == np.int64
        np.testing.assert_array_equal(a, b, name)


def recounted(ladder: Ladder) -> list[Book]:
    """The levels found by looking at every slot and every overflow entry, with the invariants checked."""
    span = ladder.lots.shape[1]
    books: list[Book] = [{}, {}]
    for side in (BID, ASK):
        base, best, in_window, in_overflow = ladder.meta[side].tolist()
        keys, quantities = ladder.overflow[side, :, :in_overflow].tolist()
        assert keys == sorted(set(keys))
        assert all(key < base for key in keys)
        assert not ladder.overflow[side, :, in_overflow:].any()
        slots = np.flatnonzero(ladder.lots[side])
        assert len(slots) == in_window
        assert sum(word.bit_count() for word in ladder.bits[side].astype(np.uint64).tolist()) >= in_window
        keys += [base + (slot - base) % span for slot in slots.tolist()]
        quantities += ladder.lots[side, slots].tolist()
        books[side] = {key ^ -side: lots for key, lots in zip(keys, quantities, strict=True)}
        if keys:
            assert best == max(keys)
            assert span // 2 <= best - base < span
    return books


ticks_near = st.integers(MARKET - 90, MARKET + 90)
ticks_wide = st.integers(MARKET - 9_000, MARKET + 9_000)
ticks_far = st.sampled_from(FAR) | st.sampled_from(EDGES) | st.integers(0, 10**12)
quantities = st.integers(0, 3) | st.integers(1, 10**15)


def updates(ticks: st.SearchStrategy[int]) -> st.SearchStrategy[list[Update]]:
    return st.lists(st.tuples(st.integers(0, 1), ticks, quantities), max_size=120)


def play(ladder: Ladder, books: list[Book], stream: Iterable[Update]) -> Ladder:
    for side, tick, lots in stream:
        ladder = put(ladder, side, tick, lots)
        assert level(ladder, side, tick) == lots
        if lots:
            books[side][tick] = lots
        else:
            books[side].pop(tick, None)
    return ladder


@pytest.mark.scenario("B17", "prices of any number of digits keep their order: they are whole ticks")
@pytest.mark.parametrize("span_bits", [6, 7, 12, 13])
@settings(max_examples=60, deadline=None)
@given(stream=updates(ticks_near | ticks_wide | ticks_far))
def test_any_sequence_of_updates_equals_a_dictionary(span_bits: int, stream: list[Update]) -> None:
    books: list[Book] = [{}, {}]
    ladder = play(new_ladder(span_bits, overflow_capacity=1), books, stream)
    assert recounted(ladder) == books
    assert_same(ladder, books)
    for side, book in enumerate(books):
        ticks, lots = levels(ladder, side)
        assert list(zip(ticks.tolist(), lots.tolist(), strict=True)) == best_first(book, side)


@settings(max_examples=25, deadline=None)
@given(stream=updates(ticks_near | ticks_wide | ticks_far))
def test_the_widest_window_equals_a_dictionary(stream: list[Update]) -> None:
    books: list[Book] = [{}, {}]
    ladder = play(new_ladder(), books, stream)
    assert_same(ladder, books, (1, 20, 200))


@settings(max_examples=40, deadline=None)
@given(stream=updates(ticks_near), rest=updates(ticks_near | ticks_far), span_bits=st.sampled_from([6, 12]))
def test_a_restored_book_has_the_same_bits_and_the_same_future(
    stream: list[Update], rest: list[Update], span_bits: int
) -> None:
    books: list[Book] = [{}, {}]
    ladder = play(new_ladder(span_bits, overflow_capacity=1), books, stream)
    state = to_state(ladder)
    restored = from_state(state)
    assert_equal_bits(ladder, restored)
    ladder = play(ladder, books, rest)
    restored = play(restored, [{}, {}], rest)
    assert_equal_bits(ladder, restored)
    assert_equal_bits(from_state(state), from_state(to_state(from_state(state))))


@settings(max_examples=40, deadline=None)
@given(stream=updates(ticks_wide | ticks_far), rest=updates(ticks_near))
def test_clear_leaves_nothing_behind(stream: list[Update], rest: list[Update]) -> None:
    ladder = play(new_ladder(7, overflow_capacity=256), [{}, {}], stream)
    clear(ladder)
    assert_equal_bits(ladder, new_ladder(7, overflow_capacity=256))
    books: list[Book] = [{}, {}]
    ladder = play(ladder, books, rest)
    assert_same(ladder, books)


@pytest.mark.parametrize("drift", [-11, 11])
@pytest.mark.parametrize("span_bits", [6, 12])
def test_a_price_that_wanders_over_many_windows(drift: int, span_bits: int) -> None:
    rng = np.random.default_rng(7)
    books: list[Book] = [{}, {}]
    ladder = new_ladder(span_bits, overflow_capacity=4)
    middle = 100_000
    for _step in range(1_500):
        middle += int(rng.integers(-20, 21)) + drift
        crossed = [(BID, t, 0) for t in books[BID] if t >= middle]
        crossed += [(ASK, t, 0) for t in books[ASK] if t <= middle]
        distance = int(rng.pareto(0.8)) + 1
        side = int(rng.integers(0, 2))
        tick = max(0, middle - distance if side == BID else middle + distance)
        ladder = play(ladder, books, [*crossed, (side, tick, int(rng.integers(0, 5)))])
        assert_same(ladder, books, (5,))
        assert not is_crossed(ladder)
    assert recounted(ladder) == books
    assert_same(ladder, books)


def test_a_bid_far_below_the_market_waits_and_comes_into_reach() -> None:
    ladder = new_ladder()
    books: list[Book] = [{}, {}]
    ladder = play(ladder, books, [(BID, MARKET, 5), (BID, 50_000, 7), (BID, 1, 9), (ASK, MARKET + 1, 2)])
    assert level(ladder, BID, 50_000) == 7
    assert ladder.meta[BID].tolist()[2:] == [1, 2]
    ladder = play(ladder, books, [(BID, MARKET, 0)])
    assert best_bid(ladder) == 50_000
    assert ladder.meta[BID].tolist()[2:] == [2, 0]
    assert_same(ladder, books)


def test_a_senseless_best_price_comes_and_goes() -> None:
    ladder = new_ladder(12, overflow_capacity=4)
    books: list[Book] = [{}, {}]
    quiet = [(side, MARKET + 3 * offset, offset) for side in (BID, ASK) for offset in range(1, 300)]
    ladder = play(ladder, books, quiet)
    for _again in range(3):
        ladder = play(ladder, books, [(BID, 10**9, 4), (ASK, 1, 4)])
        assert (best_bid(ladder), best_ask(ladder)) == (10**9, 1)
        assert_same(ladder, books)
        ladder = play(ladder, books, [(BID, 10**9, 0), (ASK, 1, 0)])
        assert_same(ladder, books)
    assert recounted(ladder) == books


def test_an_empty_side_is_below_and_above_every_price() -> None:
    ladder = new_ladder(6)
    assert (best_bid(ladder), best_ask(ladder)) == (NO_BID, NO_ASK)
    assert not is_crossed(ladder)
    assert NO_BID < 0
    assert NO_ASK > 10**18
    assert NO_ASK - NO_BID < 2**63
    for tick in (0, 5, 10**12):
        assert set_level(ladder, BID, tick, 0)
        assert level(ladder, BID, tick) == 0
    assert set_level(ladder, ASK, 0, 1)
    assert best_ask(ladder) == 0
    assert not is_crossed(ladder)
    assert set_level(ladder, BID, 0, 1)
    assert is_crossed(ladder)
    assert set_level(ladder, ASK, 0, 0)
    assert best_ask(ladder) == NO_ASK


def test_a_full_overflow_refuses_and_changes_nothing() -> None:
    ladder = new_ladder(6, overflow_capacity=2)
    for tick in (1_000, 1, 2):
        assert set_level(ladder, BID, tick, tick)
    before = from_state(to_state(ladder))
    assert not set_level(ladder, BID, 3, 3)
    assert not set_level(ladder, BID, 10**6, 3)
    assert_equal_bits(ladder, before)
    assert set_level(ladder, BID, 2, 9)
    larger = grow(ladder)
    assert set_level(larger, BID, 3, 3)
    assert levels(larger, BID)[0].tolist() == [1_000, 3, 2, 1]
    assert levels(larger, BID)[1].tolist() == [1_000, 3, 9, 1]


def test_a_snapshot_loads_from_either_end() -> None:
    bids = [(BID, MARKET - 5 * k, k + 1) for k in range(3_000)]
    asks = [(ASK, MARKET + 1 + 5 * k, k + 1) for k in range(3_000)]
    books: list[Book] = [{}, {}]
    forward = play(new_ladder(12, overflow_capacity=8_000), books, bids + asks)
    backward = play(new_ladder(12, overflow_capacity=8_000), [{}, {}], (bids + asks)[::-1])
    assert_same(forward, books)
    assert_same(backward, books)


@pytest.mark.parametrize(("span_bits", "capacity"), [(5, 8), (19, 8), (12, 0)])
def test_impossible_sizes_are_refused(span_bits: int, capacity: int) -> None:
    with pytest.raises(ValueError, match="choose"):
        new_ladder(span_bits, capacity)
