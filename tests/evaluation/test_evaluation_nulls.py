from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray
from tests.evaluation.conftest import Market

from undertow.datasets.bars import SymbolBars
from undertow.datasets.build import DatasetSettings, build_dataset
from undertow.datasets.dataset import with_classes
from undertow.evaluation.canary import copied_future
from undertow.evaluation.nulls import excess, martingale_bars, shifted_decisions, shuffled_classes
from undertow.labels.thresholds import Threshold

S = 1_000_000_000


def log_steps(bars: SymbolBars) -> NDArray[np.float64]:
    return np.asarray(np.diff(np.log(bars.frame["mid_price"].to_numpy())))


def test_martingale_keeps_each_bars_size_and_how_symbols_move_together(market: Market) -> None:
    real = market(500, 4, 0.5, clustered=True)
    null = martingale_bars(real, 9)
    for before, after in zip(real, null, strict=True):
        assert np.abs(log_steps(after)) == pytest.approx(np.abs(log_steps(before)), abs=1e-12)
        assert before.frame.drop("mid_price").equals(after.frame.drop("mid_price"))
    flips = [np.sign(log_steps(a) * log_steps(b)) for a, b in zip(real, null, strict=True)]
    assert np.array_equal(flips[0], flips[1])
    assert abs(flips[0].mean()) < 0.15


def test_martingale_labels_the_same_rows_across_gaps_and_nulls(market: Market) -> None:
    real = market(300, 4)
    holes = pl.int_range(300).is_in([17, 90, 91])
    gappy = [
        replace(
            symbol,
            frame=symbol.frame.with_columns(
                mid_price=pl.when(holes).then(None).otherwise(pl.col("mid_price")),
                gap_fraction=pl.when(pl.int_range(300) == 200).then(0.5).otherwise(0.0),
            ).filter(pl.int_range(300) != 250),
        )
        for symbol in real
    ]
    settings = DatasetSettings(5 * S)
    before = build_dataset(gappy, ["flow"], settings)
    after = build_dataset(martingale_bars(gappy, 1), ["flow"], settings)
    assert np.array_equal(before.start_ns, after.start_ns)
    assert not np.allclose(before.return_bps, after.return_bps)


def test_shuffling_keeps_the_classes_of_each_symbol_and_their_blocks(market: Market) -> None:
    made = with_classes(build_dataset(market(800, 2), ["flow"], DatasetSettings(10 * S)), Threshold(2.0))
    shuffled = shuffled_classes(made, 40, seed=3)
    for group in (0, 1):
        before, after = made.classes[made.group == group], shuffled.classes[made.group == group]
        assert np.array_equal(np.sort(before), np.sort(after))
        assert np.mean(before == after) < 0.6
        changes = [np.count_nonzero(np.diff(values)) for values in (before, after)]
        assert abs(changes[0] - changes[1]) <= 800 / 40 + 1


def test_shifting_keeps_turnover(market: Market) -> None:
    said = np.random.default_rng(0).integers(0, 3, 100)
    group = np.arange(100) % 2
    shifted = shifted_decisions(said, group, 5)
    for number in (0, 1):
        assert np.array_equal(np.sort(said[group == number]), np.sort(shifted[group == number]))
    assert not np.array_equal(said, shifted)
    assert shifted_decisions(np.array([2]), np.array([0]), 1).tolist() == [2]


def test_excess_by_hand() -> None:
    assert excess(0.6, 0.5) == pytest.approx(0.2)
    assert excess(0.4, 0.5) == pytest.approx(-0.2)
    assert excess(1.0, 1.0) == 0.0


def test_a_copied_future_is_named_and_honest_features_are_not(market: Market) -> None:
    settings = DatasetSettings(5 * S)
    bars = market(600, 6, 0.3)
    made = build_dataset(bars, ["flow", "x0", "x3"], settings)
    noisy = made.return_bps + 0.3 * np.random.default_rng(0).normal(size=len(made))
    leaky = replace(
        made,
        features=np.column_stack(
            [made.features, noisy, -np.sign(made.return_bps), np.full(len(made), np.nan)]
        ),
        feature_names=(*made.feature_names, "copy", "sign", "empty"),
    )
    assert copied_future(made) == ()
    assert copied_future(leaky) == ("copy", "sign")
