"""Weights of order-flow imbalances by level."""

import numpy as np
import pytest

from undertow.features.ofi_weights import fit_ofi_weights, integrated


def test_one_factor_behind_all_levels_is_found() -> None:
    rng = np.random.default_rng(3)
    loads = np.array([5.0, 4.0, 3.0, 2.0, 1.0, 1.0, 1.0, 1.0, 1.0, -1.0])
    levels = rng.normal(size=(5000, 1)) * loads + 0.01 * rng.normal(size=(5000, 10))
    weights = fit_ofi_weights(levels)
    np.testing.assert_allclose(weights, loads / 20, atol=1e-3)
    assert np.abs(weights).sum() == pytest.approx(1.0, rel=1e-12)
    assert fit_ofi_weights(-levels) == pytest.approx(weights)


def test_two_levels_worked_by_hand() -> None:
    """Points (0, 0), (2, 2), (2, 2), (0, 0), (1, 1): all on the line of equal weights."""
    assert fit_ofi_weights(np.array([[0, 0], [2, 2], [2, 2], [0, 0], [1, 1]])).tolist() == pytest.approx(
        [0.5, 0.5]
    )


def test_it_is_the_component_that_explains_most() -> None:
    levels = np.random.default_rng(4).normal(size=(800, 10)) * np.arange(1, 11)
    levels[:, 3] += levels[:, 9]
    _, _, components = np.linalg.svd(levels - levels.mean(axis=0), full_matrices=False)
    expected = components[0] / np.abs(components[0]).sum()
    np.testing.assert_allclose(fit_ofi_weights(levels), expected * np.sign(expected.sum()), rtol=1e-9)


def test_rows_with_a_null_take_no_part() -> None:
    levels = np.random.default_rng(5).normal(size=(50, 10))
    holed = np.insert(levels, 7, np.nan, axis=0)
    assert fit_ofi_weights(holed).tobytes() == fit_ofi_weights(levels).tobytes()


def test_what_has_no_component_is_refused() -> None:
    with pytest.raises(ValueError, match="1 known rows"):
        fit_ofi_weights(np.ones((1, 10)))
    with pytest.raises(ValueError, match="never change"):
        fit_ofi_weights(np.ones((5, 10)))


def test_the_sum_goes_from_the_best_level_on() -> None:
    levels = np.arange(20).reshape(2, 10)
    assert integrated(levels).tolist() == pytest.approx([4.5, 14.5])
