"""Order-flow imbalances of ten levels as one number (Cont, Cucuringu, Zhang 2023, section 2.3)."""

import numpy as np
from numpy.typing import NDArray

from undertow.frames.frames import OFI_LEVELS, Floats, Integers

__all__ = ["EQUAL_WEIGHTS", "fit_ofi_weights", "integrated"]

EQUAL_WEIGHTS: tuple[float, ...] = (1.0 / OFI_LEVELS,) * OFI_LEVELS
"""What needs no training data."""


def fit_ofi_weights(train: NDArray[np.generic]) -> Floats:
    """(levels,) weights: the first principal component of (T, levels) imbalances, its |weights| adding to 1.

    Only of training data: weights that have seen the days they are judged by leak. Rows with a null take no
    part. The component is that of the covariance, as its authors have it; its sign is such that the weights'
    sum is positive. Raises ValueError for fewer than two known rows or imbalances that never change.
    """
    rows = np.asarray(train, np.float64)
    rows = rows[~np.isnan(rows).any(axis=1)]
    if len(rows) < 2:
        raise ValueError(f"{len(rows)} known rows of order-flow imbalance: two at least are needed")
    covariance = np.atleast_2d(np.cov(rows, rowvar=False))
    values, vectors = np.linalg.eigh(covariance)
    if not values[-1] > 0:
        raise ValueError("order-flow imbalances that never change have no principal component")
    first = vectors[:, -1]
    weights: Floats = first / np.abs(first).sum() * (1.0 if first.sum() >= 0 else -1.0)
    return weights


def integrated(levels: Integers | Floats, weights: Floats | tuple[float, ...] = EQUAL_WEIGHTS) -> Floats:
    """(T,) Σ weight · imbalance of (T, levels), added from the best level on."""
    total = np.zeros(len(levels))
    for level, weight in enumerate(weights):
        total += weight * levels[:, level]
    return total
