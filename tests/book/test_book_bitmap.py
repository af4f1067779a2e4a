"""The bitmap against a set, in every size."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from undertow.book.bitmap import MAX_SPAN_BITS, MIN_SPAN_BITS, erase, place, previous, word_count

EDGES = [0, 1, 62, 63, 64, 65, 4031, 4032, 4095, 4096, 4097, 2**17 - 1, 2**17, 2**18 - 64, 2**18 - 1]


@settings(max_examples=150, deadline=None)
@given(
    span_bits=st.integers(MIN_SPAN_BITS, MAX_SPAN_BITS),
    moves=st.lists(st.tuples(st.booleans(), st.sampled_from(EDGES) | st.integers(0, 2**18 - 1)), max_size=60),
    queries=st.lists(st.integers(0, 2**18 - 1), max_size=10),
)
def test_previous_equals_a_set(span_bits: int, moves: list[tuple[bool, int]], queries: list[int]) -> None:
    span = 1 << span_bits
    bits = np.zeros((2, word_count(span_bits)), np.int64)
    members: set[int] = set()
    for is_placed, move in moves:
        slot = move % span
        if is_placed:
            place(bits, 1, span >> 6, slot)
            members.add(slot)
        else:
            erase(bits, 1, span >> 6, slot)
            members.discard(slot)
    for query in [*EDGES, *queries, *members, *(member - 1 for member in members)]:
        slot = query % span if query >= 0 else -1
        expected = max((member for member in members if member <= slot), default=-1)
        assert previous(bits, 1, span >> 6, slot) == expected
    assert not bits[0].any()


@pytest.mark.parametrize("span_bits", [6, 7, 12, 13, 18])
def test_a_full_bitmap_empties_to_zero(span_bits: int) -> None:
    span = 1 << span_bits
    bits = np.zeros((1, word_count(span_bits)), np.int64)
    sample = range(0, span, 1 if span_bits <= 13 else 61)
    for slot in sample:
        place(bits, 0, span >> 6, slot)
    if span_bits <= 13:
        assert (bits[0, : span >> 6] == -1).all()
    for slot in sample:
        assert previous(bits, 0, span >> 6, slot) == slot
        erase(bits, 0, span >> 6, slot)
    assert not bits.any()
    assert previous(bits, 0, span >> 6, span - 1) == -1
