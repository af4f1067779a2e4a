from math import inf, nan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from undertow.market.orders import Side
from undertow.strategy.hybrid import HybridSettings, Reason, decide
from undertow.strategy.technical import TechnicalScores

SETTINGS = HybridSettings()
shares = st.floats(0.0, 1.0)


def scores(long: float = 0.0, short: float = 0.0) -> TechnicalScores:
    return TechnicalScores(long, short, ())


@pytest.mark.parametrize(
    ("technical", "model", "acts"),
    [
        (1.0, 0.25, False),  # exactly 0.7
        (0.5, 1.0, False),  # exactly 0.7
        (0.7, 0.7, False),  # 0.7 in exact arithmetic, a rounding above or below it in floats
        (0.9, 0.4, False),  # 0.7 again
        (0.95, 0.325, False),  # and again
        (1.0, 0.26, True),
        (0.71, 0.7, True),
        (0.69, 0.7, False),
        (0.0, 1.0, False),  # a model alone never reaches it
        (1.0, 0.0, False),  # set-ups alone never reach it
    ],
)
def test_acts_only_above_the_threshold_for_both_sides_alike(
    technical: float, model: float, acts: bool
) -> None:
    long = decide(scores(long=technical), model, 0.0, SETTINGS)
    short = decide(scores(short=technical), 0.0, model, SETTINGS)
    assert (long.side, short.side) == ((Side.BUY, Side.SELL) if acts else (None, None))
    assert long.reason is short.reason is (Reason.ACT if acts else Reason.BELOW)
    assert long.confidence == short.confidence == pytest.approx(0.6 * technical + 0.4 * model)


@pytest.mark.parametrize("bad", [nan, inf, -inf, -0.01, 1.01])
def test_a_model_that_gives_no_probability_abstains(bad: float) -> None:
    assert decide(scores(long=1.0), bad, 0.0, SETTINGS).reason is Reason.MODEL_INVALID
    assert decide(scores(long=1.0), 1.0, bad, SETTINGS).reason is Reason.MODEL_INVALID


@pytest.mark.parametrize("bad", [nan, inf, -0.01, 1.01])
def test_a_broken_technical_score_abstains(bad: float) -> None:
    assert decide(scores(long=bad), 1.0, 0.0, SETTINGS).reason is Reason.TECHNICAL_INVALID


def test_an_absent_model_abstains_even_with_full_technical_score() -> None:
    signal = decide(scores(long=1.0), None, None, SETTINGS)
    assert (signal.side, signal.reason, signal.confidence) == (None, Reason.MODEL_MISSING, 0.0)
    assert signal.long is None


def test_sides_that_tie_above_the_threshold_abstain() -> None:
    signal = decide(scores(1.0, 1.0), 0.5, 0.5, SETTINGS)
    assert (signal.side, signal.reason) == (None, Reason.TIE)


def test_the_larger_confidence_wins() -> None:
    signal = decide(scores(1.0, 1.0), 0.4, 0.6, SETTINGS)
    assert signal.side is Side.SELL
    assert signal.long is not None
    assert signal.long.confidence == pytest.approx(0.76)


@given(shares, shares, shares, shares)
def test_mirrored_scores_give_the_mirrored_side(a: float, b: float, up: float, down: float) -> None:
    signal, mirrored = decide(scores(a, b), up, down, SETTINGS), decide(scores(b, a), down, up, SETTINGS)
    assert mirrored.side is (None if signal.side is None else signal.side.opposite)
    assert signal.confidence == mirrored.confidence


@given(shares, shares, shares, shares)
def test_more_evidence_for_a_side_never_turns_it_off(
    t: float, more_t: float, m: float, more_m: float
) -> None:
    weak, strong = (
        decide(scores(t), m, 0.0, SETTINGS),
        decide(scores(max(t, more_t)), max(m, more_m), 0.0, SETTINGS),
    )
    assert weak.side is None or strong.side is Side.BUY


@pytest.mark.parametrize(
    "broken",
    [
        {"technical_weight": 0.7},
        {"technical_weight": -0.1, "model_weight": 1.1},
        {"threshold": 70.0},
        {"threshold": nan},
        {"technical_weight": nan},
    ],
)
def test_settings_that_make_no_sense_are_refused(broken: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="hybrid"):
        HybridSettings(**broken)
