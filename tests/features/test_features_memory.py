"""Operators against plain references, and the block law."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from tests.features.frames_factory import blank
from undertow.features import memory
from undertow.features.memory import Floats, Memory
from undertow.frames.frames import Frames

few = settings(max_examples=60, deadline=None, derandomize=True)


def some_values(seed: int, count: int, nulls: float = 0.1) -> Floats:
    rng = np.random.default_rng(seed)
    return np.where(rng.random(count) < nulls, np.nan, rng.normal(size=count))


def windows(values: Floats, length: int) -> Any:
    """(count, length): the last values up to each; null before the first."""
    padded = np.concatenate([np.full(length - 1, np.nan), values])
    return np.lib.stride_tricks.sliding_window_view(padded, length)


def slid(values: Floats, first: int, length: int, window: Floats) -> Floats:
    out, row = np.empty_like(values), np.empty(values.shape[1])
    for i in range(len(values)):
        memory.slide_sums(values[i], first + i, length, window, row)
        out[i] = row
    return out


@few
@given(st.integers(0, 999), st.integers(1, 40), st.integers(0, 10**12), st.integers(1, 120))
def test_sliding_sums_are_those_of_each_window(seed: int, length: int, first: int, count: int) -> None:
    values = np.stack([some_values(seed, count, 0.05), np.arange(count, dtype=np.float64)], axis=1)
    found = slid(values, first, length, np.full((length + 1, 2), np.nan))
    for column in range(2):
        expected = windows(values[:, column], length).sum(axis=1)
        np.testing.assert_allclose(found[:, column], expected, rtol=1e-12, atol=1e-12)


@few
@given(st.integers(0, 999), st.integers(1, 40), st.integers(0, 10**6), st.integers(1, 60))
def test_a_sliding_sum_depends_on_its_window_alone(seed: int, length: int, first: int, skip: int) -> None:
    """Begun later, it is the same to the last bit once a window is full."""
    values = some_values(seed, 200, 0.02)[:, None]
    whole = slid(values, first, length, np.full((length + 1, 1), np.nan))
    later = slid(values[skip:], first + skip, length, np.full((length + 1, 1), np.nan))
    assert later[length - 1 :].tobytes() == whole[skip + length - 1 :].tobytes()


def single(values: tuple[float, ...], kind: str) -> Floats:
    """The statistics of one value or pair."""
    width = {"moments": 5, "variances": 3, "products": 6}[kind]
    row = np.zeros(width)
    row[0], row[1 : 1 + len(values)] = 1.0, values
    return row


def joined(parts: list[Floats], join: Any) -> Floats:
    total = np.zeros_like(parts[0])
    for part in parts:
        join(total, part, 0)
    return total


@few
@given(st.integers(0, 999), st.integers(1, 60), st.integers(0, 60))
def test_joined_moments_are_those_of_all_values(seed: int, count: int, cut: int) -> None:
    values = np.random.default_rng(seed).gamma(1.5, size=count) + 1e3
    cut = min(cut, count)
    halves = [
        joined([single((v,), "moments") for v in some] or [np.zeros(5)], memory.join_moments)
        for some in (values[:cut], values[cut:])
    ]
    found = joined(halves, memory.join_moments)
    moments = [float(stats.moment(values, k)) * count for k in (2, 3, 4)]
    np.testing.assert_allclose(found, [count, values.mean(), *moments], rtol=1e-8, atol=1e-8)


@few
@given(st.integers(0, 999), st.integers(1, 60), st.integers(0, 60))
def test_joined_products_are_those_of_all_pairs(seed: int, count: int, cut: int) -> None:
    x, y = np.random.default_rng(seed).normal([[5.0], [1e3]], size=(2, count))
    cut = min(cut, count)
    pairs = [single(pair, "products") for pair in zip(x, y, strict=True)]
    halves = [joined(some or [np.zeros(6)], memory.join_products) for some in (pairs[:cut], pairs[cut:])]
    products = np.cov(x, y, bias=True) * count
    expected = [count, x.mean(), y.mean(), products[0, 0], products[1, 1], products[0, 1]]
    np.testing.assert_allclose(joined(halves, memory.join_products), expected, rtol=1e-9, atol=1e-9)


def test_values_that_are_all_alike_have_no_variance_at_all() -> None:
    alike = [single((0.1,), "variances")] * 7
    found = joined(
        [joined(alike, memory.join_variances), joined(alike[:3], memory.join_variances)],
        memory.join_variances,
    )
    assert found.tolist() == [10.0, 0.1, 0.0]
    assert joined([single((0.1,), "moments")] * 9, memory.join_moments).tolist() == [9.0, 0.1, 0.0, 0.0, 0.0]


SHORT = {
    "sum": lambda w: w.sum(axis=1),
    "mean": lambda w: w.mean(axis=1),
    "std": lambda w: w.std(axis=1),
    "min": lambda w: w.min(axis=1),
    "max": lambda w: w.max(axis=1),
}


@pytest.mark.parametrize("name", SHORT)
@few
@given(st.integers(0, 999), st.integers(1, 20), st.lists(st.integers(0, 30), max_size=5))
def test_short_windows(name: str, seed: int, length: int, sizes: list[int]) -> None:
    values, m, parts, at = some_values(seed, 90, 0.03), Memory(), [], 0
    for size in [*sizes, 90]:
        m.begin("f")
        parts.append(getattr(m, name)(values[at : at + size], length))
        at += size
    expected = SHORT[name](windows(values, length))
    np.testing.assert_allclose(np.concatenate(parts), expected, rtol=1e-12, atol=1e-12)


def test_an_exponential_mean_begins_with_the_mean_of_its_seed() -> None:
    m = Memory()
    m.begin("f")
    found = m.ema(np.array([1.0, np.nan, 2.0, 6.0, 5.0, np.nan]), 3)
    np.testing.assert_array_equal(found, [np.nan, np.nan, np.nan, 3.0, 4.0, 4.0])


def test_a_leaky_sum_halves() -> None:
    m = Memory()
    m.begin("f")
    np.testing.assert_allclose(m.decay(np.array([8.0, 0.0, np.nan, 1.0]), 2.0), [8, 32**0.5, 4, 8**0.5 + 1])


def running(f: Frames, m: Memory) -> Floats:
    """Two rows: how often it was computed, and the sum of all closes so far."""
    state = m.floats(1)
    m.integers(1)[0] += 1
    total = state[0] + np.cumsum(f.close)
    state[0] = total[-1]
    return np.stack([np.full(len(f), m.state()["test_features_memory.running.2"][0]), total])


def test_what_features_share_is_computed_once_a_block() -> None:
    m, block, next_block = Memory(), blank(2, close=[1, 2]), blank(1, close=[4])
    m.begin("first")
    m.floats(3, fill=7.0)
    assert m.shared(block, running, 1).tolist() == [1.0, 3.0]
    assert m.floats(2).tolist() == [0.0, 0.0]
    m.begin("second")
    assert m.shared(block, running, 0).tolist() == [1.0, 1.0]
    assert m.shared(next_block, running, 1).tolist() == [7.0]
    assert m.shared(next_block, running, 0).tolist() == [2.0]
    assert sorted(m.state()) == [
        "first.1",
        "first.2",
        "test_features_memory.running.1",
        "test_features_memory.running.2",
    ]


def test_a_restored_memory_shares_nothing_of_before() -> None:
    m, block, next_block = Memory(), blank(2, close=[1, 2]), blank(1, close=[4])
    empty = m.state()
    m.begin("first")
    assert m.shared(block, running, 1).tolist() == [1.0, 3.0]
    assert m.shared(next_block, running, 1).tolist() == [7.0]
    m.restore(empty)
    assert m.shared(next_block, running, 1).tolist() == [4.0]
