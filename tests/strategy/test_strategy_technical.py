from math import inf, nan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from undertow.strategy import technical
from undertow.strategy.technical import TECHNICAL_INPUTS, score

NEUTRAL = {
    "ema_12": 100.0,
    "ema_26": 100.0,
    "macd": 0.0,
    "macd_signal": 0.0,
    "rsi_14": 50.0,
    "bollinger_position": 0.5,
    "keltner_position": 0.5,
    "atr_14": 2.0,
}
any_float = st.floats(allow_nan=True, allow_infinity=True)
rows = st.fixed_dictionaries(dict.fromkeys(TECHNICAL_INPUTS, any_float))


def test_trend_is_the_distance_of_the_averages_in_average_ranges() -> None:
    assert technical.trend(101.0, 100.0, 2.0) == 0.5
    assert technical.trend(100.0, 101.0, 2.0) == -0.5
    assert technical.trend(110.0, 100.0, 2.0) == 1.0


def test_macd_momentum_is_full_at_a_quarter_of_the_range() -> None:
    assert technical.macd_momentum(0.25, 0.0, 2.0) == 0.5
    assert technical.macd_momentum(-1.0, 0.0, 2.0) == -1.0


@pytest.mark.parametrize(
    ("rsi", "strength"),
    [(50, 0), (30, 0), (70, 0), (20, 0.5), (80, -0.5), (10, 1), (90, -1), (0, 1), (100, -1)],
)
def test_rsi_reversal_starts_at_30_and_70(rsi: float, strength: float) -> None:
    assert technical.rsi_reversal(rsi) == pytest.approx(strength)


@pytest.mark.parametrize(
    ("bollinger", "keltner", "strength"),
    [
        (0.5, 0.5, 0),
        (0.0, 0.1, 0),
        (-0.125, 0.1, 0.5),
        (1.125, 0.9, -0.5),
        (2.0, 1.0, -1),
        (2.0, 1.01, 0),
        (-1.0, -0.01, 0),
    ],
)
def test_bollinger_reversal_needs_the_keltner_channel_to_hold(
    bollinger: float, keltner: float, strength: float
) -> None:
    assert technical.bollinger_reversal(bollinger, keltner) == pytest.approx(strength)


@pytest.mark.parametrize(("keltner", "strength"), [(0.5, 0), (1.0, 0), (1.25, 0.5), (-0.25, -0.5), (3.0, 1)])
def test_keltner_breakout_goes_with_the_move(keltner: float, strength: float) -> None:
    assert technical.keltner_breakout(keltner) == pytest.approx(strength)


def test_a_neutral_row_has_no_set_up() -> None:
    result = score(NEUTRAL)
    assert (result.long, result.short, result.setups) == (0.0, 0.0, ())


def test_agreeing_set_ups_add_up_and_contradicting_ones_weaken_both() -> None:
    agree = score(NEUTRAL | {"ema_12": 101.0, "macd": 0.25})
    assert agree.long == pytest.approx(0.75)
    assert agree.short == 0.0
    contradict = score(NEUTRAL | {"ema_12": 101.0, "macd": -0.25})
    assert contradict.long == pytest.approx(0.25)
    assert contradict.short == pytest.approx(0.25)
    assert dict(contradict.setups) == {"trend": 0.5, "macd_momentum": -0.5}


@pytest.mark.parametrize("null", [nan, inf, -inf])
@pytest.mark.parametrize("name", ["ema_12", "macd", "rsi_14", "keltner_position", "atr_14"])
def test_a_null_input_is_no_set_up(name: str, null: float) -> None:
    assert score(NEUTRAL | {name: null}).setups == ()


def test_a_row_without_the_inputs_has_no_set_up() -> None:
    assert score({}).setups == ()


@pytest.mark.parametrize("atr", [0.0, -1.0])
def test_no_set_up_without_a_range(atr: float) -> None:
    assert score(NEUTRAL | {"ema_12": 110.0, "macd": 3.0, "atr_14": atr}).setups == ()


@given(rows)
def test_scores_are_shares_whatever_the_row(row: dict[str, float]) -> None:
    result = score(row)
    assert 0.0 <= result.long <= 1.0
    assert 0.0 <= result.short <= 1.0


@given(st.fixed_dictionaries(dict.fromkeys(TECHNICAL_INPUTS, st.integers(-400, 400).map(lambda n: n / 8))))
def test_a_mirrored_row_swaps_the_sides(row: dict[str, float]) -> None:
    mirrored = {
        "ema_12": -row["ema_12"],
        "ema_26": -row["ema_26"],
        "macd": -row["macd"],
        "macd_signal": -row["macd_signal"],
        "rsi_14": 100 - row["rsi_14"],
        "bollinger_position": 1 - row["bollinger_position"],
        "keltner_position": 1 - row["keltner_position"],
        "atr_14": row["atr_14"],
    }
    result, other = score(row), score(mirrored)
    assert (result.long, result.short) == (other.short, other.long)
