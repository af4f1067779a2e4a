"""Values worked by hand."""

import itertools
from dataclasses import fields
from typing import Any

import numpy as np
import pytest

from undertow.features.catalogue import FEATURES
from undertow.features.engine import FeatureEngine
from undertow.features.memory import Memory
from undertow.frames.frames import Frames
from undertow.market.instruments import Scale

SECOND = 10**9
MIDNIGHT = 1_723_161_600 * SECOND
PER_BAR = {"trailing_counts": 3, "imbalance_counts": 3, "imbalance_sums": 3}
LEVELS = ("bid_ticks", "bid_lots", "ask_ticks", "ask_lots")


def bars(count: int, **columns: Any) -> Frames:
    """Blank one-second bars that end at midnight UTC, with some columns filled; tick 1, lot 1."""
    values: dict[str, Any] = {}
    for f in fields(Frames):
        if f.name in LEVELS:
            values[f.name] = np.zeros((count, 20), np.int64)
        elif f.name in PER_BAR:
            dtype = np.float64 if f.name == "imbalance_sums" else np.int64
            values[f.name] = np.zeros((count, PER_BAR[f.name]), dtype)
        else:
            values[f.name] = np.zeros(count, np.int64)
    values |= {"length_ns": SECOND, "price": Scale.of("1"), "quantity": Scale.of("1"), "lateness_ns": 0}
    values["open_ns"] = MIDNIGHT + np.arange(-count, 0) * SECOND
    values |= {name: np.asarray(value) for name, value in columns.items()}
    return Frames(**values)


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
    frames = bars(1, sample_count=[1], spread_integral=[2_500_000], spread_square_integral=[7_000_000])
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


def plain_ema(values: list[float], weight: float, seed: int) -> list[float]:
    out = [float("nan")] * (seed - 1)
    level = sum(values[:seed]) / seed
    out.append(level)
    for v in values[seed:]:
        level += weight * (v - level)
        out.append(level)
    return out


def test_indicators_against_plain_loops() -> None:
    rng = np.random.default_rng(1)
    closes = (1000 + rng.integers(-5, 6, 80).cumsum()).tolist()
    frames = bars(80, close=closes, high=np.array(closes) + 2, low=np.array(closes) - 1)
    np.testing.assert_allclose(value("ema_12", frames), plain_ema(closes, 2 / 13, 12), rtol=1e-12)
    rises = [max(b - a, 0.0) for a, b in itertools.pairwise(closes)]
    falls = [max(a - b, 0.0) for a, b in itertools.pairwise(closes)]
    up, down = plain_ema(rises, 1 / 14, 14), plain_ema(falls, 1 / 14, 14)
    rsi = [float("nan"), *(100 * u / (u + d) for u, d in zip(up, down, strict=True))]
    np.testing.assert_allclose(value("rsi_14", frames), rsi, rtol=1e-12)
    ranges = [max(c + 2, p) - min(c - 1, p) for p, c in itertools.pairwise(closes)]
    np.testing.assert_allclose(
        value("atr_14", frames), [float("nan"), *plain_ema(ranges, 1 / 14, 14)], rtol=1e-12
    )
    windows = [np.array(closes[at - 19 : at + 1]) for at in range(19, 80)]
    bands = [(w[-1] - (w.mean() - 2 * w.std())) / (4 * w.std()) for w in windows]
    np.testing.assert_allclose(value("bollinger_position", frames)[19:], bands, rtol=1e-9)


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
