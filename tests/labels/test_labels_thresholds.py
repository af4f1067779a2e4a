import numpy as np
import pytest

from undertow.labels.thresholds import DOWN, FLAT, UNLABELLED, UP, Threshold, classify, fit_threshold


def test_classes_are_symmetric_and_strict() -> None:
    returns = np.array([-1.1, -1.0, 0.0, 1.0, 1.1, np.nan])
    assert classify(returns, Threshold(1.0)).tolist() == [DOWN, FLAT, FLAT, FLAT, UP, UNLABELLED]
    assert classify(returns, Threshold(0.0)).tolist() == [DOWN, DOWN, FLAT, UP, UP, UNLABELLED]


def test_fitted_threshold_by_hand() -> None:
    assert fit_threshold(np.array([-4.0, 1.0, np.nan, 2.0, -3.0, 5.0]), 0.5) == Threshold(3.0)


def test_fitted_threshold_leaves_the_share_flat() -> None:
    returns = np.random.default_rng(0).normal(size=9000)
    classes = classify(returns, fit_threshold(returns, 1 / 3))
    assert np.mean(classes == FLAT) == pytest.approx(1 / 3, abs=1e-3)


def test_many_unchanged_prices_give_threshold_zero() -> None:
    returns = np.array([0.0] * 6 + [1.0, -1.0, 2.0])
    assert fit_threshold(returns, 1 / 3).bps == 0.0


@pytest.mark.parametrize("share", [-0.1, 1.0, np.nan])
def test_share_must_be_a_share(share: float) -> None:
    with pytest.raises(ValueError, match="flat share"):
        fit_threshold(np.ones(3), share)


def test_nothing_known_nothing_fitted() -> None:
    with pytest.raises(ValueError, match="no training return"):
        fit_threshold(np.array([np.nan]), 0.3)


@pytest.mark.parametrize("bps", [-1.0, np.nan, np.inf])
def test_threshold_is_a_number_not_negative(bps: float) -> None:
    with pytest.raises(ValueError, match="not negative"):
        Threshold(bps)
