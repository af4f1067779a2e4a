"""Rolling statistics against plain numpy and scipy over the window's bars, and worked by hand."""

from typing import Any

import numpy as np
import pytest
from scipy import stats

from tests.features.frames_factory import MIDNIGHT, SECOND, blank
from tests.features.walks import trading_walk
from undertow.features.catalogue import feature_set
from undertow.features.engine import FeatureEngine
from undertow.frames.frames import Frames
from undertow.market.time import HOUR_NS

FAMILY = feature_set("rolling")
NAMES = [feature.name for feature in FAMILY]
WINDOWS_NS = {"1h": HOUR_NS, "4h": 4 * HOUR_NS, "24h": 24 * HOUR_NS}


def computed(frames: Frames) -> dict[str, Any]:
    block = FeatureEngine(FAMILY, frames.length_ns).push(frames)
    return dict(zip(block.names, block.values, strict=True))


def bars_of_window(f: Frames, at: int, window_ns: int) -> Any:
    """Indices of the known bars in the window of one bar."""
    cell_ns = max(window_ns // 240, f.length_ns)
    oldest = f.open_ns[at] // cell_ns - window_ns // cell_ns + 1
    inside = (f.open_ns // cell_ns >= oldest) & (np.arange(len(f)) <= at)
    return np.flatnonzero(inside & (f.trade_gap_ns < f.length_ns) & (f.close > 0))


def score(values: Any) -> float:
    spread = values.std()
    return float((values[-1] - values.mean()) / spread) if spread > 0 else np.nan


def shape(values: Any) -> tuple[float, float]:
    """Skew and kurtosis."""
    if np.ptp(values) == 0:
        return np.nan, np.nan
    return float(stats.skew(values)), float(stats.kurtosis(values, fisher=False))


def correlation(x: Any, y: Any) -> float:
    return float(np.corrcoef(x, y)[0, 1]) if len(x) > 1 and np.ptp(x) * np.ptp(y) > 0 else np.nan


def expected(f: Frames, at: int, label: str) -> dict[str, Any]:
    """What the window says of a bar that is known."""
    here = bars_of_window(f, at, WINDOWS_NS[label])
    change = np.where(f.trade_gap_ns < f.length_ns, f.close, np.nan)
    change = np.diff(change, prepend=np.nan)
    before = np.concatenate([[np.nan], change[:-1]])[here]
    change, volume, delta = change[here], (f.buy_lots + f.sell_lots)[here], (f.buy_lots - f.sell_lots)[here]
    pairs, some = ~np.isnan(change) & ~np.isnan(before), change[~np.isnan(change)]
    high, low = f.high[here].max(), f.low[here].min()
    skew, kurtosis = shape(some)
    return {
        "change_zscore": score(some) if not np.isnan(change[-1]) else np.nan,
        "change_autocorrelation": correlation(before[pairs], change[pairs]),
        "change_skew": skew,
        "change_kurtosis": kurtosis,
        "volume_zscore": score(volume),
        "delta_zscore": score(delta),
        "delta_share": delta.sum() / volume.sum() if volume.any() else np.nan,
        "price_position": (f.close[at] - low) / (high - low) if high > low else np.nan,
        "price_range": (high - low) / 10,
        "volume_mean": volume.mean() / 1000,
    }


@pytest.mark.parametrize(
    ("length_s", "count"), [(1, 100_000), (10, 20_000), (60, 6_000), (900, 400), (2_700, 200)]
)
def test_a_window_equals_its_bars(length_s: int, count: int) -> None:
    frames = trading_walk(count, seed=length_s, length_ns=length_s * SECOND, gaps=length_s < 900)
    found, rng, compared = computed(frames), np.random.default_rng(1), 0
    known = np.flatnonzero(frames.trade_gap_ns < frames.length_ns)
    for label, window_ns in WINDOWS_NS.items():
        full = window_ns // frames.length_ns
        for at in rng.choice(known[known > full], 12):
            for stem, value in expected(frames, at, label).items():
                if f"{stem}_{label}" in found:
                    ours = found[f"{stem}_{label}"][at]
                    np.testing.assert_allclose(ours, value, rtol=1e-8, atol=1e-8, err_msg=stem)
                    compared += 1
    assert compared == 12 * (len(NAMES) - 1)


def test_the_window_is_between_239_and_240_parts_of_its_length() -> None:
    """In seconds a cell of the hour is 15 s: an old extreme leaves with its cell."""
    close = np.full(4_000, 100)
    close[0] = 150
    begin = np.array(MIDNIGHT) + np.arange(4_000) * SECOND
    found = computed(blank(4_000, open=close, high=close, low=close, close=close, open_ns=begin))
    ranges = found["price_range_1h"]
    assert np.isnan(ranges[:1_799]).all()
    assert (ranges[1_799:3_600] == 50.0).all()
    assert (ranges[3_600:] == 0.0).all()


def test_worked_by_hand() -> None:
    """Four bars of 15 minutes are an hour: changes −2, 4, 4; volumes 2, 4, 6, 8; deltas 2, 0, 2, −4."""
    frames = blank(
        5,
        900 * SECOND,
        price="0.5",
        quantity="0.1",
        close=[100, 102, 100, 104, 108],
        high=[100, 102, 103, 105, 110],
        low=[90, 98, 100, 100, 104],
        buy_lots=[0, 2, 2, 4, 2],
        sell_lots=[0, 0, 2, 2, 6],
    )
    found = {name: values[4] for name, values in computed(frames).items()}
    changes = np.array([2, -2, 4, 4])
    assert found["change_zscore_1h"] == pytest.approx((4 - 2) / changes.std())
    assert found["change_skew_1h"] == pytest.approx(((changes - 2) ** 3).mean() / changes.std() ** 3)
    assert found["change_kurtosis_1h"] == pytest.approx(((changes - 2) ** 4).mean() / changes.std() ** 4)
    assert found["change_autocorrelation_1h"] == pytest.approx(np.corrcoef([2, -2, 4], [-2, 4, 4])[0, 1])
    assert found["volume_zscore_1h"] == pytest.approx(3 / 5**0.5)
    assert found["delta_zscore_1h"] == pytest.approx(-4 / 6**0.5)
    assert found["delta_share_1h"] == 0.0
    assert found["price_position_1h"] == pytest.approx(10 / 12)
    assert found["price_range_1h"] == 6.0
    assert found["volume_mean_1h"] == pytest.approx(0.5)
    assert np.isnan(found["price_range_4h"])
    assert np.isnan(found["volume_ratio_1h_24h"])


def test_the_ratio_of_an_hour_to_a_day() -> None:
    frames = trading_walk(200, length_ns=900 * SECOND)
    found = computed(frames)
    there = found["volume_mean_1h"] / found["volume_mean_24h"]
    assert np.isfinite(there).any()
    np.testing.assert_allclose(found["volume_ratio_1h_24h"], there, rtol=1e-12)


def test_a_price_that_stands_still_has_no_shape() -> None:
    flat = np.full(200, 7)
    found = computed(blank(200, 60 * SECOND, open=flat, high=flat, low=flat, close=flat))
    for name in ("change_zscore_1h", "change_skew_1h", "change_autocorrelation_1h", "price_position_1h"):
        assert np.isnan(found[name]).all(), name
    assert np.isnan(found["delta_share_1h"]).all()
    assert found["price_range_1h"][-1] == 0.0
    assert found["volume_mean_1h"][-1] == 0.0


def test_bars_longer_than_a_window_have_none() -> None:
    found = computed(trading_walk(60, length_ns=2 * HOUR_NS))
    for name, values in found.items():
        assert np.isnan(values).all() == ("1h" in name), name


def test_it_is_null_where_most_of_the_window_is_unknown() -> None:
    frames = trading_walk(180, length_ns=60 * SECOND, gaps=False)
    frames.trade_gap_ns[80:120] = frames.length_ns
    level = computed(frames)["volume_mean_1h"]
    assert np.isnan(level[:29]).all()
    assert not np.isnan(level[29:80]).any()
    assert np.isnan(level[80:149]).all()
    assert not np.isnan(level[149:]).any()


@pytest.mark.parametrize("length_s", [1, 10, 60, 900])
def test_any_cut_gives_the_same_bits(length_s: int) -> None:
    count = 30_000 if length_s == 1 else 6_000
    frames, rng = trading_walk(count, seed=3, length_ns=length_s * SECOND), np.random.default_rng(5)
    whole = FeatureEngine(FAMILY, frames.length_ns).push(frames).values
    engine, at, parts = FeatureEngine(FAMILY, frames.length_ns), 0, []
    while at < count:
        size = int(rng.choice((1, 7, 240, 1_500)))
        parts.append(engine.push(frames[at : at + size]).values)
        state, engine = engine.state(), FeatureEngine(FAMILY, frames.length_ns)
        engine.restore(state)
        at += size
    assert np.concatenate(parts, axis=1).tobytes() == whole.tobytes()


@pytest.mark.parametrize("length_s", [10, 60, 900])
def test_a_bar_depends_on_a_day_and_two_bars_before_it_alone(length_s: int) -> None:
    """A slice begun so much earlier gives the same bits as the whole."""
    frames = trading_walk(300_000 // length_s, seed=4, length_ns=length_s * SECOND)
    whole, begin = FeatureEngine(FAMILY, frames.length_ns).push(frames).values, 1_237 % (len(frames) // 3)
    alone = FeatureEngine(FAMILY, frames.length_ns).push(frames[begin:]).values
    full = 86_400 // length_s + 2
    assert alone[:, full:].tobytes() == np.ascontiguousarray(whole[:, begin + full :]).tobytes()
