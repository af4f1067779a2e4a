"""Volume profile against a plain loop over the window's bars, and worked by hand."""

from math import floor, log2
from typing import Any

import numpy as np
import pytest

from tests.features.frames_factory import MIDNIGHT, SECOND, blank
from tests.features.walks import trading_walk
from undertow.features.catalogue import feature_set
from undertow.features.engine import FeatureEngine
from undertow.frames.frames import Frames
from undertow.market.time import HOUR_NS

FAMILY = feature_set("profile")
WINDOW_NS = 4 * HOUR_NS


def computed(frames: Frames) -> dict[str, Any]:
    block = FeatureEngine(FAMILY, frames.length_ns).push(frames)
    return dict(zip(block.names, block.values, strict=True))


def expected(f: Frames, at: int) -> dict[str, float]:
    """Of one bar, in ticks."""
    bars = np.arange(max(at - WINDOW_NS // f.length_ns + 1, 0), at + 1)
    lots = np.where(f.trade_gap_ns < f.length_ns, f.buy_lots + f.sell_lots, 0)
    bars = bars[lots[bars] > 0]
    step = 2 ** max(floor(log2(f.close[at] / 4096)), 0)
    at_bin: dict[int, int] = {}
    for bar in bars:
        price = f.notional[bar] // lots[bar] // step
        at_bin[int(price)] = at_bin.get(int(price), 0) + int(lots[bar])
    control = min(at_bin, key=lambda b: (-at_bin[b], b))
    low = high = control
    total = sum(at_bin.values())
    while sum(at_bin.get(b, 0) for b in range(low, high + 1)) < 0.7 * total:
        below = at_bin.get(low - 1, 0) if low > min(at_bin) else -1
        above = at_bin.get(high + 1, 0) if high < max(at_bin) else -1
        low, high = (low, high + 1) if above >= below else (low - 1, high)
    return {
        "poc_price": (control * step + (step - 1) / 2) / 10,
        "value_area_low": low * step / 10,
        "value_area_high": ((high + 1) * step - 1) / 10,
        "poc_volume_share": at_bin[control] / total,
    }


@pytest.mark.parametrize(("length_s", "start"), [(1, 600_000), (10, 4_000), (60, 33_000), (900, 8_192)])
def test_a_profile_equals_a_plain_loop(length_s: int, start: int) -> None:
    frames = trading_walk(20_000 if length_s < 900 else 500, seed=1, length_ns=length_s * SECOND, start=start)
    found, rng = computed(frames), np.random.default_rng(1)
    known = np.flatnonzero(~np.isnan(found["poc_price"]))
    assert len(known) > 100
    for at in rng.choice(known, 40):
        for name, value in expected(frames, at).items():
            assert found[name][at] == pytest.approx(value, rel=1e-12), name


def test_worked_by_hand() -> None:
    """16 bars; 10 lots at 100 and 104, 30 at 101, 20 at 102, 5 at 99 and 106; 70 % of them are 56.

    From 101 on: 102 joins (50), then of 100 and 103 the fuller, 100 (60). The ATR is Wilder's mean of 14 true
    ranges: 3 in every bar but the last, whose close lies 4 above.
    """
    prices = [100, 101, 101, 101, 102, 102, 104, 99, 106] + [101] * 7
    lots = [10, 10, 10, 10, 10, 10, 10, 5, 5] + [0] * 7
    found = computed(
        blank(
            16,
            900 * SECOND,
            price="0.5",
            close=[101] * 15 + [105],
            high=[103] * 15 + [105],
            low=[100] * 15 + [104],
            buy_lots=lots,
            notional=np.array(prices) * lots,
        )
    )
    found = {name: values[-1] for name, values in found.items()}
    assert found["poc_price"] == 50.5
    assert found["value_area_low"] == 50.0
    assert found["value_area_high"] == 51.0
    assert found["poc_volume_share"] == 30 / 80
    assert found["poc_distance_atr"] == pytest.approx((105 - 101) / ((13 * 3 + 4) / 14), rel=1e-12)


def test_of_equal_bins_the_lowest_is_the_point_of_control_and_the_upper_one_joins_first() -> None:
    """5 lots each at 100 and 102; then 10 at 99, 20 at 100 and 10 at 101, where 28 are 70 %."""
    flat = np.full(16, 100)
    twins = computed(
        blank(16, 900 * SECOND, close=flat, buy_lots=[5] * 2 + [0] * 14, notional=[500, 510] + [0] * 14)
    )
    assert (twins["poc_price"][-1], twins["poc_volume_share"][-1]) == (100.0, 0.5)
    lots = [10, 20, 10] + [0] * 13
    sides = computed(
        blank(16, 900 * SECOND, close=flat, buy_lots=lots, notional=[990, 2_000, 1_010] + [0] * 13)
    )
    assert (sides["value_area_low"][-1], sides["value_area_high"][-1]) == (100.0, 101.0)


def test_bins_are_as_wide_as_the_last_price_says() -> None:
    """Below 8192 ticks a bin is a tick, from there on two, and the window's bars are sorted anew."""
    close = [8_190] * 20 + [8_193]
    found = computed(
        blank(21, 900 * SECOND, close=close, high=close, low=close, buy_lots=[1] * 21, notional=close)
    )
    assert found["poc_price"][19] == 8_190
    assert found["value_area_high"][19] == 8_190
    assert found["poc_price"][20] == 8_190.5
    assert found["value_area_high"][20] == 8_191


def test_prices_too_far_apart_have_no_profile_until_they_are_out_of_the_window() -> None:
    close = [100_000] * 10 + [10_000] * 40
    found = computed(
        blank(50, 900 * SECOND, close=close, high=close, low=close, buy_lots=[1] * 50, notional=close)
    )
    known = ~np.isnan(found["poc_price"])
    assert np.flatnonzero(known).tolist() == [7, 8, 9, *range(25, 50)]
    assert (found["poc_volume_share"][25:] == 1.0).all()


def test_nothing_traded_is_null_and_so_is_a_half_unknown_window() -> None:
    close = np.full(64, 100)
    lots = np.where(np.arange(64) < 20, 0, 3)
    frames = blank(64, 900 * SECOND, close=close, high=close, low=close, buy_lots=lots, notional=lots * close)
    frames.trade_gap_ns[40:49] = frames.length_ns
    found = computed(frames)
    assert np.flatnonzero(~np.isnan(found["poc_price"])).tolist() == [*range(20, 40), *range(56, 64)]
    assert np.isnan(found["poc_distance_atr"]).all()


def test_bars_longer_than_the_window_have_none() -> None:
    for values in computed(trading_walk(50, length_ns=6 * HOUR_NS)).values():
        assert np.isnan(values).all()


@pytest.mark.parametrize(("length_s", "start"), [(1, 600_000), (10, 8_200), (900, 8_192)])
def test_any_cut_gives_the_same_bits(length_s: int, start: int) -> None:
    """Where the bin width changes often, too."""
    frames = trading_walk(20_000 if length_s < 900 else 900, 3, length_s * SECOND, start)
    rng, at, parts = np.random.default_rng(5), 0, []
    whole = FeatureEngine(FAMILY, frames.length_ns).push(frames).values
    engine = FeatureEngine(FAMILY, frames.length_ns)
    while at < len(frames):
        size = int(rng.choice((1, 7, 240, 1_500)))
        parts.append(engine.push(frames[at : at + size]).values)
        state, engine = engine.state(), FeatureEngine(FAMILY, frames.length_ns)
        engine.restore(state)
        at += size
    assert np.concatenate(parts, axis=1).tobytes() == whole.tobytes()


@pytest.mark.parametrize(("length_s", "start"), [(1, 600_000), (10, 8_200), (900, 8_192)])
def test_a_profile_depends_on_its_window_alone(length_s: int, start: int) -> None:
    """Begun later, it is the same to the last bit once a window is full; the ATR never forgets."""
    frames = trading_walk(20_000 if length_s < 900 else 900, 4, length_s * SECOND, start)
    whole, later = computed(frames), computed(frames[333:])
    full = WINDOW_NS // frames.length_ns
    for name, values in later.items():
        if name != "poc_distance_atr":
            assert values[full:].tobytes() == whole[name][333 + full :].tobytes(), name


def test_the_window_is_counted_on_the_clock() -> None:
    begin = MIDNIGHT + 7 * 900 * SECOND + np.arange(40) * 900 * SECOND
    close = np.arange(100, 140)
    frames = blank(40, 900 * SECOND, close=close, high=close, low=close, open_ns=begin, buy_lots=[1] * 40)
    frames.notional[:] = close
    found = computed(frames)["poc_price"]
    assert found[15:].tolist() == [*range(100, 125)]
