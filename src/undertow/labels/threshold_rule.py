"""Thresholds as people give them: in basis points, spreads, volatilities, or a quantile of training moves."""

import math
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from undertow.errors import InputError
from undertow.labels.thresholds import FLAT, UNLABELLED, fit_threshold

__all__ = ["ThresholdRule", "ThresholdUnit", "classify_each", "parse_threshold", "thresholds_bps"]

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]


class ThresholdUnit(StrEnum):
    """What the amount counts."""

    BPS = "bps"
    SPREAD = "spread"
    VOLATILITY = "vol"
    QUANTILE = "q"


@dataclass(frozen=True, slots=True)
class ThresholdRule:
    """A threshold that is the same for all rows in `unit`, but perhaps not in basis points.

    `spread`: the spread at the decision. `vol`: the standard deviation to be expected over the horizon, that
    is the causal volatility a bar times √bars. `q`: that share of the training rows' |return| lies below.
    """

    amount: float
    unit: ThresholdUnit

    def __post_init__(self) -> None:
        if not (math.isfinite(self.amount) and self.amount >= 0):
            raise InputError(f"threshold {self.amount} {self.unit} must be a number that is not negative")
        if self.unit is ThresholdUnit.QUANTILE and self.amount >= 1:
            raise InputError(f"threshold q{self.amount:g}: a quantile lies in [0, 1), such as q0.33")

    def __str__(self) -> str:
        """As it is written on the command line."""
        amount = f"{self.amount:g}"
        return f"q{amount}" if self.unit is ThresholdUnit.QUANTILE else f"{amount}{self.unit}"


def parse_threshold(text: str) -> ThresholdRule:
    """The rule of `5bps`, `1spread`, `1.5vol` or `q0.33`; raises InputError for others.

    >>> str(parse_threshold("1.5vol"))
    '1.5vol'
    """
    units = (ThresholdUnit.BPS, ThresholdUnit.SPREAD, ThresholdUnit.VOLATILITY)
    if text.startswith("q"):
        unit, amount = ThresholdUnit.QUANTILE, text[1:]
    else:
        unit = next((u for u in units if text.endswith(u)), ThresholdUnit.QUANTILE)
        amount = text.removesuffix(unit) if unit is not ThresholdUnit.QUANTILE else ""
    try:
        return ThresholdRule(float(amount), unit)
    except ValueError as error:
        raise InputError(
            f"threshold {text!r}: write 5bps, 1spread, 1vol or a quantile of the training rows such as q0.33"
        ) from error


def thresholds_bps(
    rule: ThresholdRule,
    spread_bps: Floats,
    volatility_bps: Floats,
    horizon_bars: int,
    training_return_bps: Floats | None = None,
) -> Floats:
    """Each row's threshold [bps], (n,); NaN where the unit is unknown at the decision.

    `spread_bps`, `volatility_bps` (a bar) are (n,) at the decision; `training_return_bps` (m,) are returns of
    training rows only and needed for a quantile alone. Raises InputError where a quantile has no training
    return to be fitted on.
    """
    rows = len(spread_bps)
    if rule.unit is ThresholdUnit.SPREAD:
        return rule.amount * spread_bps
    if rule.unit is ThresholdUnit.VOLATILITY:
        return rule.amount * math.sqrt(horizon_bars) * volatility_bps
    if rule.unit is ThresholdUnit.BPS:
        return np.full(rows, rule.amount)
    if training_return_bps is None or not np.isfinite(training_return_bps).any():
        raise InputError(f"threshold {rule}: no training row has a known return to fit it on")
    return np.full(rows, fit_threshold(training_return_bps, rule.amount).bps)


def classify_each(return_bps: Floats, threshold_bps: Floats) -> Integers:
    """Class of each return by its own threshold, (n,) int64; NaN in either gives UNLABELLED.

    >>> classify_each(np.array([-2.0, 1.0, 3.0, 3.0]), np.array([1.0, 1.0, 2.0, np.nan])).tolist()
    [0, 1, 2, -1]
    """
    classes = FLAT + (return_bps > threshold_bps).astype(np.int64) - (return_bps < -threshold_bps)
    return np.where(np.isnan(return_bps) | np.isnan(threshold_bps), UNLABELLED, classes)
