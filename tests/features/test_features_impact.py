"""Costs and impact, worked by hand and against plain numpy."""

from typing import Any

import numpy as np
import pytest

from tests.features.frames_factory import blank, with_columns
from tests.features.walks import trading_walk
from undertow.features.catalogue import feature_set
from undertow.features.engine import FeatureEngine
from undertow.frames.frames import Frames

LINES = feature_set("impact")


def computed(frames: Frames) -> dict[str, Any]:
    block = FeatureEngine(LINES, frames.length_ns).push(frames)
    return dict(zip(block.names, block.values, strict=True))


def test_costs_worked_by_hand() -> None:
    """Three lots bought half a tick above a middle of 100: 50 bps of the price, so 100 bps there and back."""
    frames = blank(
        2,
        sample_count=[2, 2],
        effective=[3 * 1, 0],
        effective_value=[3 * 200, 0],
        realised=[0, 3 * 1 - 3 * 2],
        impact=[0, 3 * 2],
        realised_value=[0, 3 * 200],
        vpin_imbalance=[0, 120],
        vpin_volume=[0, 500],
    )
    found = computed(frames)
    np.testing.assert_allclose(found["effective_spread_bps"], [100.0, np.nan], rtol=1e-12)
    np.testing.assert_allclose(found["price_impact_bps"], [np.nan, 200.0], rtol=1e-12)
    np.testing.assert_allclose(found["realised_spread_bps"], [np.nan, -100.0], rtol=1e-12)
    np.testing.assert_allclose(found["vpin"], [np.nan, 0.24], rtol=1e-12)


def test_windows_worked_by_hand() -> None:
    """A price that rises by two ticks with each lot bought net and falls by two with each sold."""
    net = np.tile([1, 1, -1, -1], 20)
    close = 1000 + 2 * net.cumsum()
    frames = blank(
        80,
        price="0.5",
        quantity="0.25",
        close=close,
        trade_count=np.full(80, 3),
        buy_lots=2 + net,
        sell_lots=np.full(80, 2),
        notional=np.full(80, 4000),
        signed_notional=1000 * net,
        change_products=np.full(80, -8),
        change_pairs=np.full(80, 2),
        sign_pairs=np.full(80, 3),
        sign_continuations=np.full(80, 2),
    )
    found = computed(frames)
    assert found["kyle_lambda_price_60"][-1] == pytest.approx(2 * 0.5 / 0.25, rel=1e-12)
    assert found["roll_spread_60"][-1] == pytest.approx(2 * 2 * 0.5, rel=1e-12)
    assert found["trade_sign_autocorrelation_60"][-1] == pytest.approx(1 / 3, rel=1e-12)
    returns = np.abs(np.diff(np.log(close)))[-60:].mean() * 1e4
    assert found["amihud_60"][-1] == pytest.approx(returns / (4000 * 0.125) * 1e6, rel=1e-12)
    # a lot bought net is 125 quote units and 2 / 1000 of the price, or nearly so
    assert found["kyle_lambda_60"][-1] == pytest.approx(20 / 125 * 1e6, rel=5e-3)


def slope(x: Any, y: Any) -> float:
    return float(np.polyfit(x, y, 1)[0])


@pytest.mark.parametrize("window", [60, 300])
def test_windows_equal_plain_numpy(window: int) -> None:
    count = 700
    rng = np.random.default_rng(window)
    walk = trading_walk(count, seed=window)
    pairs = rng.integers(0, 9, count)
    frames = with_columns(
        walk,
        {
            "change_pairs": pairs,
            "change_products": -pairs * rng.integers(0, 5, count),
            "sign_pairs": pairs,
            "sign_continuations": rng.integers(0, pairs + 1),
        },
    )
    found = computed(frames)
    known = frames.trade_gap_ns < frames.length_ns
    paired = known & np.concatenate([[False], known[:-1]])
    close = frames.close.astype(np.float64)
    change = np.concatenate([[0.0], np.diff(close)]) * 0.1
    moved = np.concatenate([[0.0], np.diff(np.log(close))]) * 1e4
    net = (frames.buy_lots - frames.sell_lots) * 0.001
    signed, value = frames.flow.signed_notional * 1e-4, frames.notional * 1e-4
    assert not known.all()
    for end in (window - 1, window + 17, 500, count - 1):
        if not known[end]:
            continue
        here = np.zeros(count, np.bool_)
        here[end - window + 1 : end + 1] = True
        both, whole = here & paired, here & known
        traded = both & (frames.notional > 0)
        products, signs = frames.flow.change_products[whole].sum(), 2 * frames.flow.sign_continuations - pairs
        expected = {
            "kyle_lambda": slope(signed[both], moved[both]) * 1e6,
            "kyle_lambda_price": slope(net[both], change[both]),
            "amihud": (np.abs(moved[traded]) / value[traded]).mean() * 1e6,
            "roll_spread": 2 * np.sqrt(-products / pairs[whole].sum()) * 0.1,
            "trade_sign_autocorrelation": signs[whole].sum() / pairs[whole].sum(),
        }
        for name, theirs in expected.items():
            assert found[f"{name}_{window}"][end] == pytest.approx(theirs, rel=1e-8), (name, end)


def test_a_window_mostly_in_a_gap_is_unknown_and_neighbours_alike_bounce_not() -> None:
    gap = np.zeros(100, np.int64)
    gap[30:65] = 10**9
    frames = blank(
        100,
        close=np.full(100, 7),
        trade_gap_ns=gap,
        change_products=np.full(100, 3),
        change_pairs=np.full(100, 1),
        sign_pairs=np.full(100, 1),
    )
    found = computed(frames)
    autocorrelation = found["trade_sign_autocorrelation_60"]
    assert np.flatnonzero(~np.isnan(autocorrelation)).tolist() == [29, *range(94, 100)]
    assert np.isnan(found["roll_spread_60"]).all()
    assert np.isnan(found["kyle_lambda_60"]).all()
    assert np.isnan(found["amihud_60"]).all()


def test_every_feature_is_tried_above() -> None:
    windows = ("kyle_lambda", "kyle_lambda_price", "amihud", "roll_spread", "trade_sign_autocorrelation")
    names = {f"{name}_{window}" for name in windows for window in (60, 300)}
    names |= {"effective_spread_bps", "realised_spread_bps", "price_impact_bps", "vpin"}
    assert {feature.name for feature in LINES} == names
