"""Indicators against plain loops that follow TA-Lib's definitions, seeds included."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from tests.features.frames_factory import SECOND, array_columns, blank, with_columns
from undertow.features.catalogue import feature_set
from undertow.features.engine import FeatureEngine
from undertow.frames.frames import Frames

NAN = float("nan")
TECHNICAL = feature_set("technical")
NAMES = [feature.name for feature in TECHNICAL]


def computed(frames: Frames) -> dict[str, list[float]]:
    block = FeatureEngine(TECHNICAL, frames.length_ns).push(frames)
    return dict(zip(block.names, block.values.tolist(), strict=True))


def walk(count: int, seed: int = 1) -> Frames:
    """Random bars of ticks of 0.1."""
    rng = np.random.default_rng(seed)
    close = 1000 + rng.integers(-5, 6, count).cumsum()
    opens = close + rng.integers(-3, 4, count)
    high = np.maximum(opens, close) + rng.integers(0, 3, count)
    low = np.minimum(opens, close) - rng.integers(0, 3, count)
    return blank(count, price="0.1", open=opens, high=high, low=low, close=close)


def exponential(values: list[float], weight: float, seed: int, first: int) -> list[float]:
    """The level at `first` is the plain mean of the `seed` values that end there."""
    level = sum(values[first - seed + 1 : first + 1]) / seed
    out = [NAN] * first + [level]
    for value in values[first + 1 :]:
        level = (1 - weight) * level + weight * value
        out.append(level)
    return out


def bands(close: list[float]) -> tuple[list[float], list[float]]:
    """Mean and population deviation of the last 20 values."""
    means, deviations = [NAN] * 19, [NAN] * 19
    for i in range(19, len(close)):
        window = close[i - 19 : i + 1]
        mean = sum(window) / 20
        means.append(mean)
        deviations.append((sum((value - mean) ** 2 for value in window) / 20) ** 0.5)
    return means, deviations


def stochastic(close: list[float], high: list[float], low: list[float]) -> tuple[list[float], list[float]]:
    """%K over 14 bars and its mean over 3."""
    raw = [NAN] * 13
    for i in range(13, len(close)):
        lowest, highest = min(low[i - 13 : i + 1]), max(high[i - 13 : i + 1])
        raw.append(100 * (close[i] - lowest) / (highest - lowest))
    return raw, [NAN, NAN, *(sum(raw[i - 2 : i + 1]) / 3 for i in range(2, len(raw)))]


def expected(frames: Frames) -> dict[str, Any]:
    close, high, low = ((ticks / 10).tolist() for ticks in (frames.close, frames.high, frames.low))
    fast, slow = exponential(close, 2 / 13, 12, 25), exponential(close, 2 / 27, 26, 25)
    macd = [one - other for one, other in zip(fast, slow, strict=True)]
    signal = exponential(macd, 0.2, 9, 33)
    rises = [NAN, *(max(b - a, 0.0) for a, b in pairwise(close))]
    falls = [NAN, *(max(a - b, 0.0) for a, b in pairwise(close))]
    up, down = exponential(rises, 1 / 14, 14, 14), exponential(falls, 1 / 14, 14, 14)
    ranges = [
        NAN,
        *(max(h - w, abs(h - c), abs(w - c)) for h, w, c in zip(high[1:], low[1:], close, strict=False)),
    ]
    atr = exponential(ranges, 1 / 14, 14, 14)
    mean, deviation, reach = (np.array(values) for values in (*bands(close), atr))
    middle, last = np.array(exponential(close, 2 / 21, 20, 19)), np.array(close)
    percent_k, percent_d = stochastic(close, high, low)
    return {
        "ema_12": exponential(close, 2 / 13, 12, 11),
        "ema_26": slow,
        "ema_50": exponential(close, 2 / 51, 50, 49),
        "ema_200": exponential(close, 2 / 201, 200, 199),
        "macd": macd,
        "macd_signal": signal,
        "macd_histogram": [one - other for one, other in zip(macd, signal, strict=True)],
        "rsi_14": [100 * u / (u + d) for u, d in zip(up, down, strict=True)],
        "stochastic_k": percent_k,
        "stochastic_d": percent_d,
        "atr_14": atr,
        "bollinger_upper": mean + 2 * deviation,
        "bollinger_lower": mean - 2 * deviation,
        "bollinger_width": 4 * deviation / mean,
        "bollinger_position": (last - (mean - 2 * deviation)) / (4 * deviation),
        "keltner_upper": middle + 2 * reach,
        "keltner_lower": middle - 2 * reach,
        "keltner_position": (last - (middle - 2 * reach)) / (4 * reach),
    }


def test_every_indicator_is_compared() -> None:
    assert sorted(expected(walk(40))) == sorted(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_an_indicator_equals_a_plain_loop(name: str) -> None:
    frames = walk(260)
    np.testing.assert_allclose(computed(frames)[name], expected(frames)[name], rtol=1e-9, atol=1e-11)


def test_a_flat_price_has_no_band_however_its_tick_rounds() -> None:
    """Twenty times 0.1 is not 2.0 in doubles; whole ticks are exact."""
    flat = np.ones(60, np.int64)
    found = computed(blank(60, price="0.1", open=flat, high=flat, low=flat, close=flat))
    for name in ("bollinger_position", "keltner_position", "rsi_14", "stochastic_k", "stochastic_d"):
        assert np.isnan(found[name]).all(), name
    assert found["macd"][-1] == 0.0
    assert found["atr_14"][-1] == 0.0
    assert found["bollinger_width"][-1] == 0.0


def test_a_price_that_stands_still_for_hours_gives_no_infinity() -> None:
    """Wilder's mean decays until it underflows, while rounding keeps the exponential mean off the close."""
    close = np.full(20_000, 100_003)
    close[:40] = 100_000 + np.arange(40) % 7
    found = computed(blank(len(close), open=close, high=close, low=close, close=close))
    for name, values in found.items():
        assert not np.isinf(values).any(), name
    keltner = np.array(found["keltner_position"])
    assert np.isnan(keltner[-1])
    assert np.nanmax(np.abs(keltner)) < 1.0
    rsi = np.array(found["rsi_14"])[45:]
    assert np.ptp(rsi[~np.isnan(rsi)]) < 1e-9


def test_bars_inside_a_trade_gap_leave_the_indicators_where_they_were() -> None:
    """Exponential means after a gap are those of the bars that are known, one after the other."""
    frames = walk(120)
    gap = slice(60, 75)
    columns = {name: values.copy() for name, values in array_columns(frames).items()}
    for name in ("open", "high", "low", "close"):
        columns[name][gap] = columns["close"][gap.start - 1]
    columns["trade_gap_ns"][gap] = SECOND
    broken = with_columns(frames, columns)
    kept = np.r_[0 : gap.start, gap.stop : 120]
    joined = {name: values[kept] for name, values in columns.items() if name != "open_ns"}
    found, without = computed(broken), computed(blank(len(kept), price="0.1", **joined))
    for name in NAMES:
        assert np.isnan(found[name][gap]).all(), name
    for name in ("ema_12", "ema_26", "ema_50", "macd", "macd_signal", "macd_histogram"):
        np.testing.assert_array_equal(np.array(found[name])[kept], without[name], err_msg=name)
    assert found["atr_14"][gap.stop] == found["atr_14"][gap.start - 1]
    assert found["rsi_14"][gap.stop] == found["rsi_14"][gap.start - 1]
    assert np.isnan(found["bollinger_position"][gap.stop : gap.stop + 19]).all()
    assert not np.isnan(found["bollinger_position"][gap.stop + 19])
    assert np.isnan(found["stochastic_k"][gap.stop : gap.stop + 13]).all()
    assert not np.isnan(found["stochastic_k"][gap.stop + 13])
    assert np.isnan(found["stochastic_d"][gap.stop : gap.stop + 15]).all()
    assert not np.isnan(found["stochastic_d"][gap.stop + 15])
