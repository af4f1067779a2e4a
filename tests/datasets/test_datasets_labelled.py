from typing import Any

import numpy as np
import pytest

from tests.datasets.lake_factory import START_MS, S, feature_rows
from undertow.datasets.bars import SymbolBars
from undertow.datasets.labelled import (
    LabelKind,
    LabelSettings,
    SymbolLabels,
    label_symbols,
    training_cut_ns,
    weights_of,
)
from undertow.errors import InputError
from undertow.labels.threshold_rule import parse_threshold
from undertow.labels.uniqueness import effective_samples


def bars(count: int = 400, seed: int = 1, lineage: str = "a", **columns: Any) -> SymbolBars:
    return SymbolBars(f"S{seed}", S, feature_rows(count, seed=seed, **columns), lineage)


def horizon(threshold: str, seconds: int = 5, **settings: Any) -> LabelSettings:
    return LabelSettings(LabelKind.HORIZON, seconds * S, parse_threshold(threshold), **settings)


def barrier(threshold: str, seconds: int = 20, stop: str | None = None) -> LabelSettings:
    rule = parse_threshold(stop) if stop else None
    return LabelSettings(LabelKind.TRIPLE_BARRIER, seconds * S, parse_threshold(threshold), rule)


def of(settings: LabelSettings, *symbols: SymbolBars) -> list[SymbolLabels]:
    return label_symbols(symbols or (bars(),), settings)


def test_a_quantile_is_fitted_on_training_rows_only_and_shared() -> None:
    quiet, loud = bars(seed=1), bars(seed=2)
    made = of(horizon("q0.5", train_share=0.6), quiet, loud)
    cut_ns = training_cut_ns([part.start_ns for part in made], 0.6)
    training = np.concatenate([part.return_bps[part.end_ns < cut_ns] for part in made])
    expected = float(np.quantile(np.abs(training[np.isfinite(training)]), 0.5))
    assert {value for part in made for value in part.threshold_bps.tolist()} == {expected}


def test_the_test_block_times_a_thousand_leaves_the_threshold() -> None:
    calm = feature_rows(400)
    late = np.arange(400) > 300
    mid = calm["mid_price"].to_numpy()
    wild = bars(mid_price=np.where(late, mid[300] * (mid / mid[300]) ** 1000, mid))
    first, second = (of(horizon("q0.33"), symbol)[0].threshold_bps[0] for symbol in (bars(), wild))
    assert first == second


def test_spread_and_volatility_thresholds_are_known_at_the_decision() -> None:
    made = of(horizon("2spread"))[0]
    frame = feature_rows(400)
    spread = 1e4 * (frame["best_ask"] - frame["best_bid"]) / frame["mid_price"]
    np.testing.assert_allclose(made.threshold_bps, 2 * spread.to_numpy())
    mid = frame["mid_price"].to_numpy()
    shouted = np.where(np.arange(400) > 200, mid * 3, mid)
    first, second = (
        of(horizon("1vol", volatility_bars=50), symbol)[0].threshold_bps
        for symbol in (bars(), bars(mid_price=shouted))
    )
    assert np.array_equal(first[:201], second[:201], equal_nan=True)
    assert not np.array_equal(first, second, equal_nan=True)


def test_one_volatility_is_the_deviation_expected_over_the_horizon() -> None:
    made = of(horizon("1vol", 16), bars(20_000))[0]
    outside = np.mean(np.abs(made.return_bps) > made.threshold_bps)
    assert outside == pytest.approx(0.317, abs=0.05)


def test_effective_samples_of_overlapping_labels() -> None:
    made = of(horizon("1bps", 50), bars(2000))[0]
    weights = weights_of(made, np.ones(2000, dtype=np.bool_))
    assert effective_samples(weights.uniqueness) == pytest.approx(1950 / 50, rel=0.1)
    dropped = weights_of(made, np.arange(2000) % 50 == 0)
    assert np.nanmin(dropped.uniqueness) == pytest.approx(1.0)


def test_barrier_labels_carry_their_ends() -> None:
    made = of(barrier("3bps", stop="6bps"))[0]
    assert made.barriers is not None
    labelled = made.classes >= 0
    assert set(made.classes[labelled].tolist()) == {0, 1, 2}
    assert (made.end_ns[labelled] > made.start_ns[labelled]).all()
    assert np.isnan(made.return_bps).all()
    assert (made.barriers.long.return_bps[made.barriers.long.outcome == 1] >= 3).all()
    assert (made.barriers.long.return_bps[made.barriers.long.outcome == -1] <= -6).all()


def test_a_gap_makes_labels_null_in_both_kinds() -> None:
    gap = np.where(np.arange(400) == 200, 0.5, 0.0)
    for settings, first in ((horizon("1bps", 5), 195), (barrier("3bps", 20), 179)):
        classes = of(settings, bars(gap_fraction=gap))[0].classes
        assert (classes[first:201] == -1).all()
        assert classes[first - 1] >= 0
        assert classes[201] >= 0


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (lambda: barrier("q0.5"), "cannot be a quantile"),
        (lambda: barrier("0bps"), "some way off"),
        (lambda: horizon("1bps", stop=parse_threshold("1bps")), "triple-barrier"),
        (lambda: horizon("1bps", train_share=0.0), "training share"),
        (lambda: horizon("1bps", volatility_bars=3), "window of 20"),
    ],
)
def test_a_definition_that_contradicts_itself_is_refused(settings: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        settings()


def test_bars_that_do_not_belong_together_are_refused() -> None:
    with pytest.raises(InputError, match=r"S1 was computed by a, S2 by b"):
        of(horizon("1bps"), bars(), bars(seed=2, lineage="b"))
    minute = SymbolBars("M", 60 * S, feature_rows(10, START_MS, 60), "a")
    with pytest.raises(InputError, match="different lengths"):
        of(horizon("1bps"), bars(), minute)
    with pytest.raises(InputError, match="whole number"):
        of(horizon("1bps", 90), minute)
    with pytest.raises(InputError, match="no bar has a label"):
        of(horizon("1bps", 500))
    with pytest.raises(InputError, match="no symbol"):
        label_symbols([], horizon("1bps"))
