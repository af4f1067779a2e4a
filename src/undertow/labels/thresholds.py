"""Down, flat, up: cutting returns into three classes."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["CLASSES", "DOWN", "FLAT", "UNLABELLED", "UP", "Threshold", "classify", "fit_threshold"]

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]

CLASSES = ("down", "flat", "up")
DOWN, FLAT, UP = 0, 1, 2
UNLABELLED = -1


@dataclass(frozen=True, slots=True)
class Threshold:
    """Returns beyond ±`bps` are up or down, others flat. The same on both sides, so up always means gain."""

    bps: float

    def __post_init__(self) -> None:
        if not (np.isfinite(self.bps) and self.bps >= 0):
            raise ValueError(f"threshold {self.bps} bps must be a number that is not negative")


def classify(return_bps: Floats, threshold: Threshold) -> Integers:
    """Class of each return, (n,) int64; NaN gives UNLABELLED.

    >>> classify(np.array([-2.0, -1.0, 0.0, 1.5, np.nan]), Threshold(1.0)).tolist()
    [0, 1, 1, 2, -1]
    """
    classes = FLAT + (return_bps > threshold.bps).astype(np.int64) - (return_bps < -threshold.bps)
    return np.where(np.isnan(return_bps), UNLABELLED, classes)


def fit_threshold(train_return_bps: Floats, flat_share: float) -> Threshold:
    """The threshold that leaves `flat_share` of the training returns flat: that quantile of |return|.

    Raises ValueError where no return is known or the share is outside [0, 1).
    """
    if not 0.0 <= flat_share < 1.0:
        raise ValueError(f"flat share {flat_share} must lie in [0, 1)")
    known = np.abs(train_return_bps[~np.isnan(train_return_bps)])
    if len(known) == 0:
        raise ValueError("no training return is known, so no threshold can be fitted")
    return Threshold(float(np.quantile(known, flat_share)))
