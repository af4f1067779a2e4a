"""Values worked by hand."""

from typing import Any

import numpy as np
import pytest

from tests.features.frames_factory import LEVELS, MIDNIGHT, SECOND
from tests.features.frames_factory import blank as bars
from undertow.features.catalogue import FEATURES
from undertow.features.engine import FeatureEngine
from undertow.features.memory import Memory
from undertow.frames.frames import Frames


def book(bids: list[tuple[int, int]], asks: list[tuple[int, int]]) -> dict[str, Any]:
    columns: dict[str, Any] = {name: np.zeros((1, 20), np.int64) for name in LEVELS}
    for side, levels in (("bid", bids), ("ask", asks)):
        for at, (ticks, lots) in enumerate(levels):
            columns[f"{side}_ticks"][0, at], columns[f"{side}_lots"][0, at] = ticks, lots
    return {**columns, "sample_count": [1]}


def value(name: str, frames: Frames) -> list[float]:
    feature = next(f for f in FEATURES if f.name == name)
    return FeatureEngine([feature], frames.length_ns).push(frames).values[0].tolist()  # type: ignore[no-any-return]


RIGOR_BOOK = book([(100, 2), (99, 3), (98, 5)], [(101, 1), (102, 4), (103, 5)])


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("mid_price", 100.5),
        ("best_bid", 100),
        ("best_ask", 101),
        ("queue_imbalance", 1 / 3),
        ("imbalance_5", 0.0),
        ("weighted_mid", 100 + 2 / 3),
        ("bid_slope", 1.5),
        ("ask_slope", 2.0),
        ("bid_vol_ratio_5_20", 1.0),
    ],
)
def test_the_book_worked_by_hand(name: str, expected: float) -> None:
    assert value(name, bars(1, **RIGOR_BOOK)) == [pytest.approx(expected, rel=1e-12)]


STEP = np.arange(20)
WHOLE = bars(
    2,
    price="0.5",
    quantity="0.25",
    open=[100, 102],
    high=[100, 102],
    low=[100, 101],
    close=[100, 101],
    trade_count=[1, 3],
    buy_lots=[4, 4],
    sell_lots=[0, 12],
    notional=[400, 4 * 102 + 12 * 101],
    large_count=[0, 1],
    large_lots=[0, 8],
    trailing_counts=[[1, 1, 1], [2, 3, 4]],
    last_trade_ns=[MIDNIGHT - SECOND - 1, MIDNIGHT - 2_000_000],
    late_count=[0, 2],
    gap_ns=[0, SECOND // 4],
    sample_count=[0, 2],
    bid_ticks=[0 * STEP, 100 - STEP],
    bid_lots=[0 * STEP, np.repeat([2, 3, 4], [5, 5, 10])],
    ask_ticks=[0 * STEP, 101 + STEP],
    ask_lots=[0 * STEP, np.repeat([1, 5, 3], [5, 5, 10])],
    imbalance_sums=[[0.0, 0.0, 0.0], [0.5, -0.25, 0.75]],
    imbalance_counts=[[0, 0, 0], [2, 2, 3]],
    spread_integral=[0, 2_500_000],
    spread_square_integral=[0, 7_000_000],
    spread_time_us=[0, 1_000_000],
    ofi_1=[0, 6],
    ofi_10=[0, -10],
    last_update_ns=[0, MIDNIGHT - 3_500_000],
)
"""Two bars of half-unit ticks and quarter-unit lots; the first has a trade and no book."""

SECOND_BAR = {
    "open": 51.0,
    "high": 51.0,
    "low": 50.5,
    "close": 50.5,
    "volume": 4.0,
    "returns": 0.01,
    "log_returns": np.log(1.01),
    "buy_volume": 1.0,
    "sell_volume": 3.0,
    "vol_delta": -2.0,
    "cvd": -1.0,
    "vwap": 50.625,
    "buy_pressure": 0.25,
    "trade_count": 3,
    "trade_intensity_1s": 2.0,
    "trade_intensity_5s": 0.6,
    "trade_intensity_10s": 0.4,
    "large_trade_count": 1,
    "large_trade_volume": 2.0,
    "large_trade_pct": 0.5,
    "imbalance_5": (10 - 5) / 15,
    "imbalance_10": (25 - 30) / 55,
    "imbalance_20": (65 - 60) / 125,
    "imbalance_5_avg": 0.25,
    "imbalance_10_avg": -0.125,
    "imbalance_20_avg": 0.25,
    "spread_avg": 1.25,
    "spread_std": 0.75**0.5 / 2,
    "bid_slope": 87.5 / 665 / 2,
    "ask_slope": 50 / 665 / 2,
    "weighted_mid": 151 / 3,
    "weighted_mid_price_diff_bps": -(1 / 3) / 101 * 1e4,
    "bid_vol_ratio_5_20": 10 / 65,
    "ask_vol_ratio_5_20": 5 / 60,
    "ofi_1": 1.5,
    "ofi_10": -2.5,
    "best_bid": 50.0,
    "best_ask": 50.5,
    "mid_price": 50.25,
    "signed_flow_ewma_1s": 2**-1 - 2,
    "signed_flow_ewma_5s": 2 ** (-1 / 5) - 2,
    "signed_flow_ewma_20s": 2 ** (-1 / 20) - 2,
    "signed_flow_ewma_60s": 2 ** (-1 / 60) - 2,
    "signed_flow_ewma_300s": 2 ** (-1 / 300) - 2,
    "queue_imbalance": 1 / 3,
    "is_empty": 0,
    "gap_fraction": 0.25,
    "late_count": 2,
    "age_ms_book": 3.5,
    "age_ms_trade": 2.0,
}
"""Quantity on distance i · 0.5: Σ(i − 9.5)² = 665, Σ lots·(i − 9.5) = 87.5 for the bids, 50 for the asks."""


@pytest.mark.parametrize("name", SECOND_BAR)
def test_a_bar_worked_by_hand(name: str) -> None:
    assert value(name, WHOLE)[1] == pytest.approx(SECOND_BAR[name], rel=1e-12)


def test_every_feature_has_an_example_worked_by_hand() -> None:
    elsewhere: tuple[str, ...] = ("technical", "volatility", "profile", "rolling", "calendar")
    elsewhere += ("impact", "arrival", "book_changes", "market")
    of_many_bars = {f.name for f in FEATURES if f.family in elsewhere}
    assert {f.name for f in FEATURES} == SECOND_BAR.keys() | of_many_bars


def test_weighted_mid_against_the_last_trade() -> None:
    frames = bars(1, **RIGOR_BOOK, close=[100])
    assert value("weighted_mid_price_diff_bps", frames) == [pytest.approx(200 / 3, rel=1e-12)]


def test_the_trades_worked_by_hand() -> None:
    """1@101 buy, 2@100 sell, 1@100 sell."""
    frames = bars(
        1,
        open=[101],
        high=[101],
        low=[100],
        close=[100],
        trade_count=[3],
        buy_lots=[1],
        sell_lots=[3],
        notional=[401],
        large_count=[1],
        large_lots=[2],
        trailing_counts=[[3, 3, 3]],
    )
    expected = {"vol_delta": -2, "buy_pressure": 0.25, "vwap": 100.25, "volume": 4, "large_trade_pct": 0.5}
    expected |= {"trade_intensity_5s": 0.6, "is_empty": 0, "buy_volume": 1, "sell_volume": 3, "cvd": -2}
    assert {name: value(name, frames)[0] for name in expected} == expected


def test_an_empty_bar_has_the_close_before_and_no_flow() -> None:
    frames = bars(
        2,
        open=[7, 7],
        high=[7, 7],
        low=[7, 7],
        close=[7, 7],
        trade_count=[1, 0],
        buy_lots=[2, 0],
        notional=[14, 0],
    )
    assert value("vwap", frames) == [7, 7]
    assert value("volume", frames) == [2, 0]
    assert np.isnan(value("buy_pressure", frames)[1])
    assert value("is_empty", frames) == [0, 1]


def test_before_the_first_trade_there_is_no_price() -> None:
    assert np.isnan(value("close", bars(2, close=[0, 5], trade_count=[0, 1]))).tolist() == [True, False]


def test_returns() -> None:
    frames = bars(3, close=[100, 110, 99])
    assert value("returns", frames)[1:] == [pytest.approx(0.1), pytest.approx(-0.1)]
    assert value("log_returns", frames)[2] == pytest.approx(np.log(0.9))


def test_cvd_begins_anew_at_midnight() -> None:
    frames = bars(4, buy_lots=[5, 5, 5, 5], sell_lots=[1, 1, 1, 1])
    frames.open_ns[:] += 2 * SECOND
    assert value("cvd", frames) == [4, 8, 4, 8]


def test_spread_is_weighted_by_time() -> None:
    """A spread of 1 for a quarter of the second and of 3 for the rest: mean 2.5, deviation √0.75."""
    frames = bars(
        1,
        sample_count=[1],
        spread_integral=[2_500_000],
        spread_square_integral=[7_000_000],
        spread_time_us=[1_000_000],
    )
    assert value("spread_avg", frames) == [2.5]
    assert value("spread_std", frames) == [pytest.approx(0.75**0.5, rel=1e-12)]


def test_a_constant_spread_has_no_deviation() -> None:
    spread = 123_456
    us = 1_000_000
    frames = bars(
        1,
        sample_count=[1],
        spread_integral=[spread * us],
        spread_square_integral=[spread**2 * us],
        spread_time_us=[us],
    )
    assert value("spread_std", frames) == [0.0]


def test_ages_and_gap_share() -> None:
    frames = bars(
        1, gap_ns=[SECOND // 4], last_trade_ns=[MIDNIGHT - 2 * 10**6], last_update_ns=[0], late_count=[2]
    )
    assert value("gap_fraction", frames) == [0.25]
    assert value("age_ms_trade", frames) == [2.0]
    assert np.isnan(value("age_ms_book", frames)[0])
    assert value("late_count", frames) == [2]


def test_flow_halves_with_its_half_life() -> None:
    frames = bars(6, buy_lots=[8, 0, 0, 0, 0, 0])
    assert value("signed_flow_ewma_5s", frames)[5] == pytest.approx(4.0, rel=1e-12)


def test_window_operators_by_hand() -> None:
    memory = Memory()
    memory.begin("x")
    x = np.array([1.0, 2.0, 4.0, np.nan, 3.0, 5.0])
    expected = {
        "lag": (memory.lag(x, 2), [np.nan, np.nan, 1, 2, 4, np.nan]),
        "sum": (memory.sum(x, 2), [np.nan, 3, 6, np.nan, np.nan, 8]),
        "mean": (memory.mean(x, 2), [np.nan, 1.5, 3, np.nan, np.nan, 4]),
        "std": (memory.std(x, 2), [np.nan, 0.5, 1, np.nan, np.nan, 1]),
        "min": (memory.min(x, 2), [np.nan, 1, 2, np.nan, np.nan, 3]),
        "max": (memory.max(x, 2), [np.nan, 2, 4, np.nan, np.nan, 5]),
    }
    for name, (found, wanted) in expected.items():
        np.testing.assert_array_equal(found, wanted, err_msg=name)


def test_an_exponential_mean_may_skip_values_before_its_seed() -> None:
    memory = Memory()
    memory.begin("x")
    found = memory.ema(np.array([9.0, 9.0, 1.0, np.nan, 3.0, 5.0]), 2, skip=2)
    np.testing.assert_allclose(found, [np.nan, np.nan, np.nan, np.nan, 2.0, 4.0])


def test_a_spread_deviation_survives_sums_beyond_64_bits() -> None:
    """15 minutes at a spread of 10⁶ ticks, half of them 2 ticks wider: ∫ s² is 9·10²⁰, the deviation 1."""
    with np.errstate(over="ignore"):
        half = np.array([450_000_000])
        square = 1_000_000**2 * half + 1_000_002**2 * half
    frames = bars(
        1,
        length_ns=900 * SECOND,
        sample_count=[1],
        spread_integral=2_000_002 * half,
        spread_square_integral=square,
        spread_time_us=2 * half,
    )
    assert value("spread_std", frames) == [1.0]


def test_returns_do_not_cross_a_gap_of_the_trade_stream() -> None:
    frames = bars(5, close=[100, 100, 150, 165, 165], trade_gap_ns=[0, SECOND, 0, 0, SECOND // 2])
    assert np.isnan(value("returns", frames)).tolist() == [True, True, True, False, False]
    assert value("returns", frames)[3] == pytest.approx(0.1)
    assert value("close", frames) == [100, 100, 150, 165, 165]


def test_in_a_gap_of_the_trade_stream_nobody_knows_whether_there_was_a_trade() -> None:
    frames = bars(3, trade_count=[1, 0, 0], close=[5, 5, 5], trade_gap_ns=[0, 0, SECOND])
    np.testing.assert_array_equal(value("is_empty", frames), [0, 1, np.nan])
