import numpy as np
import pytest
from numpy.typing import NDArray

from undertow.evaluation.bootstrap import (
    autocorrelation_length,
    block_length,
    draw_blocks,
    effective_size,
    estimate,
    resampled_sums,
    sums_per_slot,
)


def test_sums_equal_adding_up_the_blocks() -> None:
    random = np.random.default_rng(0)
    values, slot = random.normal(size=(60, 2)), random.integers(0, 23, 60)
    per_slot = sums_per_slot(values, slot, 23)
    blocks = draw_blocks(23, 5, 40, seed=1)
    made = resampled_sums(per_slot, blocks)
    for resample in range(40):
        slots = [(start + i) % 23 for start in blocks.starts[resample] for i in range(5)]
        expected = sum(values[slot == s].sum(axis=0) for s in slots)
        assert made[resample] == pytest.approx(expected)


def test_the_same_seed_draws_the_same_blocks() -> None:
    assert np.array_equal(draw_blocks(50, 7, 10, 3).starts, draw_blocks(50, 7, 10, 3).starts)
    assert draw_blocks(50, 7, 10, 3).independent == 7


def moving_sums(random: np.random.Generator, n: int, span: int) -> NDArray[np.float64]:
    return np.convolve(random.normal(size=n + span - 1), np.ones(span), "valid")


def test_autocorrelation_length() -> None:
    random = np.random.default_rng(2)
    assert autocorrelation_length(random.normal(size=4000)) == 1
    assert 10 <= autocorrelation_length(moving_sums(random, 4000, 20)) <= 30
    assert autocorrelation_length(np.ones(50)) == 1


def test_blocks_are_never_shorter_than_the_horizon() -> None:
    random = np.random.default_rng(2)
    assert block_length(10, [random.normal(size=5000)], 5000) == 40
    assert block_length(10, [moving_sums(random, 5000, 200)], 5000) > 100
    assert block_length(60, [random.normal(size=300)], 300) == 60
    assert block_length(10, [random.normal(size=200)], 200) == 20


def test_intervals_cover_despite_overlap() -> None:
    # the mean of 3000 sums of 20 overlapping steps is 0; intervals for independent rows cover in under half
    covered = naive = 0
    for seed in range(200):
        series = moving_sums(np.random.default_rng(seed), 3000, 20)
        blocks = draw_blocks(3000, block_length(20, [series], 3000), 300, seed)
        means = resampled_sums(series[:, None], blocks)[:, 0] / (blocks.starts.shape[1] * blocks.length)
        made = estimate(float(series.mean()), means, blocks, 0.95)
        covered += made.low <= 0 <= made.high
        naive += abs(series.mean()) < 1.96 * series.std() / np.sqrt(3000)
    assert covered >= 180
    assert naive < 100


def test_effective_size_counts_independent_rows() -> None:
    random = np.random.default_rng(5)
    correct = (moving_sums(random, 6000, 30) > 0).astype(np.float64)
    blocks = draw_blocks(6000, 120, 500, 0)
    sums = resampled_sums(np.stack([correct, np.ones(6000)], axis=1), blocks)
    assert 100 < effective_size(sums[:, 0], sums[:, 1], 6000, 6000) < 500
    assert effective_size(sums[:, 0], sums[:, 1], 6000, 50) == 50


def test_few_blocks_widen_the_interval() -> None:
    drawn = np.linspace(-1, 1, 1001)
    few = estimate(0.0, drawn, draw_blocks(40, 10, 1, 0), 0.95)
    many = estimate(0.0, drawn, draw_blocks(40_000, 10, 1, 0), 0.95)
    assert many.high == pytest.approx(0.95, abs=1e-3)
    assert few.high == pytest.approx(0.95 * 3.182 / 1.96, abs=1e-2)
