import math

import numpy as np
import pytest

from undertow.errors import InputError
from undertow.labels.threshold_rule import (
    ThresholdRule,
    ThresholdUnit,
    classify_each,
    parse_threshold,
    thresholds_bps,
)

SPREAD = np.array([1.0, np.nan, 4.0])
VOLATILITY = np.array([2.0, 3.0, np.nan])


@pytest.mark.parametrize(
    ("text", "amount", "unit"),
    [
        ("5bps", 5.0, ThresholdUnit.BPS),
        ("1spread", 1.0, ThresholdUnit.SPREAD),
        ("1.5vol", 1.5, ThresholdUnit.VOLATILITY),
        ("q0.33", 0.33, ThresholdUnit.QUANTILE),
    ],
)
def test_written_and_read(text: str, amount: float, unit: ThresholdUnit) -> None:
    rule = parse_threshold(text)
    assert rule == ThresholdRule(amount, unit)
    assert str(rule) == text


@pytest.mark.parametrize(
    "text", ["", "5", "bps", "-1bps", "nanvol", "q", "q1", "q-0.1", "1 furlong", "infbps"]
)
def test_what_is_no_threshold_is_said(text: str) -> None:
    with pytest.raises(InputError, match="threshold"):
        parse_threshold(text)


def test_units_by_hand() -> None:
    def made(text: str) -> list[float]:
        return list(thresholds_bps(parse_threshold(text), SPREAD, VOLATILITY, 4))

    assert made("5bps") == [5.0, 5.0, 5.0]
    assert made("2spread")[::2] == [2.0, 8.0]
    assert math.isnan(made("2spread")[1])
    assert made("0.5vol")[:2] == [2.0, 3.0]
    assert math.isnan(made("0.5vol")[2])


def test_a_quantile_sees_training_returns_only() -> None:
    rule = parse_threshold("q0.5")
    training = np.array([-1.0, 2.0, 3.0, np.nan])
    assert thresholds_bps(rule, SPREAD, VOLATILITY, 4, training).tolist() == [2.0, 2.0, 2.0]
    for nothing in (None, np.array([np.nan])):
        with pytest.raises(InputError, match="no training row"):
            thresholds_bps(rule, SPREAD, VOLATILITY, 4, nothing)


def test_each_row_has_its_own_threshold() -> None:
    made = classify_each(np.array([1.0, 1.0, -1.0, 1.0, np.nan]), np.array([0.5, 1.0, 0.5, np.nan, 0.5]))
    assert made.tolist() == [2, 1, 0, -1, -1]
