"""Returns and realised measures against plain numpy, and worked by hand."""

from math import log, pi, sqrt
from typing import Any

import numpy as np
import pytest

from tests.features.frames_factory import blank
from tests.features.walks import trading_walk
from undertow.features.catalogue import feature_set
from undertow.features.engine import FeatureEngine
from undertow.frames.frames import Frames

FAMILY = feature_set("volatility")
NAMES = [feature.name for feature in FAMILY]


def computed(frames: Frames) -> dict[str, Any]:
    block = FeatureEngine(FAMILY, frames.length_ns).push(frames)
    return dict(zip(block.names, block.values, strict=True))


def summed(values: Any, length: int) -> Any:
    """Over the last `length` values; null unless all are known."""
    padded = np.concatenate([np.full(length - 1, np.nan), values])
    return np.lib.stride_tricks.sliding_window_view(padded, length).sum(axis=1)


def expected(f: Frames) -> dict[str, Any]:
    known = f.trade_gap_ns < f.length_ns
    opens, high, low, close = (np.where(known, x, np.nan) for x in (f.open, f.high, f.low, f.close))
    r = np.log(close / np.concatenate([[np.nan], close[:-1]]))
    before = np.concatenate([[np.nan], r[:-1]])
    out = {}
    for k in (5, 15, 30, 60, 240):
        out[f"log_return_{k}"] = np.log(close / np.concatenate([np.full(k, np.nan), close[:-k]]))
        out[f"realised_volatility_{k}"] = np.sqrt(summed(r**2, k))
    up, down, every = summed(np.maximum(r, 0) ** 2, 60), summed(np.minimum(r, 0) ** 2, 60), summed(r**2, 60)
    bipower = pi / 2 * summed(abs(r) * abs(before), 60)
    ranges, bodies = np.log(high / low), np.log(close / opens)
    rogers = np.log(high / close) * np.log(high / opens) + np.log(low / close) * np.log(low / opens)
    return out | {
        "upside_volatility_60": np.sqrt(up),
        "downside_volatility_60": np.sqrt(down),
        "semivariance_balance_60": (up - down) / every,
        "bipower_volatility_60": np.sqrt(bipower),
        "jump_share_60": np.maximum(1 - bipower / every, 0),
        "parkinson_60": np.sqrt(summed(ranges**2 / (4 * log(2)), 60)),
        "garman_klass_60": np.sqrt(summed(ranges**2 / 2 - (2 * log(2) - 1) * bodies**2, 60)),
        "rogers_satchell_60": np.sqrt(summed(rogers, 60)),
    }


@pytest.fixture(scope="module")
def frames() -> Frames:
    """Gaps at both ends, none in between."""
    some = trading_walk(1_500, seed=2)
    some.trade_gap_ns[300:1_100] = 0
    return some


def test_every_measure_is_compared(frames: Frames) -> None:
    assert sorted(expected(frames)) == sorted(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_measure_equals_plain_numpy(name: str, frames: Frames) -> None:
    found, theirs = computed(frames)[name], expected(frames)[name]
    assert not np.isnan(theirs).all()
    np.testing.assert_allclose(found, theirs, rtol=1e-9, atol=1e-12)


def test_worked_by_hand() -> None:
    """Two bars, then 60: a rise of 1 % and a fall as long; each opens at its low and closes at its high."""
    close = np.full(62, 10_000)
    close[30], close[31:] = 10_100, 10_000
    found = computed(blank(62, open=close - 100, high=close, low=close - 100, close=close))
    rise = log(1.01)
    assert found["realised_volatility_60"][-1] == pytest.approx(rise * sqrt(2), rel=1e-12)
    assert found["upside_volatility_60"][-1] == pytest.approx(rise, rel=1e-12)
    assert found["downside_volatility_60"][-1] == pytest.approx(rise, rel=1e-12)
    assert found["semivariance_balance_60"][-1] == pytest.approx(0.0, abs=1e-12)
    assert found["bipower_volatility_60"][-1] == pytest.approx(rise * sqrt(pi / 2), rel=1e-12)
    assert found["jump_share_60"][-1] == pytest.approx(1 - pi / 4, rel=1e-12)
    assert found["log_return_30"][60] == pytest.approx(-rise, rel=1e-12)
    wide, narrow = log(10_000 / 9_900), log(10_100 / 10_000)
    square = 59 * wide**2 + narrow**2
    assert found["parkinson_60"][-1] == pytest.approx(sqrt(square / (4 * log(2))), rel=1e-12)
    assert found["garman_klass_60"][-1] == pytest.approx(sqrt(square * (1.5 - 2 * log(2))), rel=1e-12)
    assert found["rogers_satchell_60"][-1] == pytest.approx(0.0, abs=1e-12)


def test_a_price_that_stands_still_has_no_volatility_and_no_shares() -> None:
    flat = np.full(300, 7)
    found = computed(blank(300, open=flat, high=flat, low=flat, close=flat))
    for name in NAMES:
        if name in ("semivariance_balance_60", "jump_share_60"):
            assert np.isnan(found[name]).all(), name
        else:
            assert found[name][-1] == 0.0, name


def test_a_jump_among_small_moves_is_seen() -> None:
    moves = np.where(np.arange(70) % 2, 11, -10)
    moves[50] = 900
    close = 100_000 + moves.cumsum()
    found = computed(blank(70, open=close, high=close, low=close, close=close))
    assert found["jump_share_60"][-1] > 0.9
    calm = computed(blank(45, open=close[:45], high=close[:45], low=close[:45], close=close[:45]))
    assert np.isnan(calm["jump_share_60"]).all()
    assert found["semivariance_balance_60"][-1] > 0.9


def test_a_gap_empties_the_measures_and_not_the_returns_over_it() -> None:
    frames = trading_walk(200, gaps=False)
    frames.trade_gap_ns[100] = frames.length_ns
    found = computed(frames)
    assert np.flatnonzero(np.isnan(found["realised_volatility_15"][20:])).tolist() == [*range(80, 96)]
    assert np.flatnonzero(np.isnan(found["parkinson_60"][80:])).tolist() == [*range(20, 80)]
    assert np.flatnonzero(np.isnan(found["log_return_5"][20:])).tolist() == [80, 85]


def test_a_bar_depends_on_241_bars_alone() -> None:
    """A slice begun so much earlier gives the same bits as the whole."""
    frames = trading_walk(2_000, seed=4)
    whole = FeatureEngine(FAMILY, frames.length_ns).push(frames).values
    alone = FeatureEngine(FAMILY, frames.length_ns).push(frames[377:]).values
    assert alone[:, 241:].tobytes() == np.ascontiguousarray(whole[:, 377 + 241 :]).tobytes()
