"""Planted in a simulated market each pattern is found within a second; where nothing is planted, rarely."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.patterns.markets import mirrored, with_columns
from tests.patterns.simulated import simulated_bars
from undertow.market.time import SECOND_NS
from undertow.patterns.catalogue import PATTERNS, pattern_named
from undertow.patterns.detect import detect
from undertow.patterns.pattern import Pattern, PatternBars

Floats = NDArray[np.float64]

SECONDS = 3600
PLACES = (2300, 2711, 3333)


@pytest.fixture(scope="module")
def martingale() -> PatternBars:
    return simulated_bars("BTCUSDT", 7, SECONDS)


def usual(values: Floats, window: int, share: float) -> float:
    """The quantile of |sums| over so many bars, of all of the market."""
    sums = np.convolve(values, np.ones(window), "valid")
    return float(np.nanquantile(np.abs(sums), share))


def edited(bars: PatternBars, *names: str) -> tuple[dict[str, Floats], list[Floats]]:
    copies = {name: bars.columns[name].copy() for name in names}
    return copies, list(copies.values())


def plant_absorption(bars: PatternBars, at: int) -> PatternBars:
    """Three seconds of selling, each twice what five seconds rarely have, into a price that stays."""
    changed, (delta, volume, sold, price) = edited(bars, "vol_delta", "volume", "sell_volume", "mid_price")
    much = 2 * usual(delta, 5, 0.99)
    for column, sign in ((delta, -1), (volume, 1), (sold, 1)):
        column[at : at + 3] += sign * much
    price[at - 5 : at + 3] = price[at - 5]
    return with_columns(bars, **changed)


def plant_exhaustion(bars: PatternBars, at: int) -> PatternBars:
    """A fall of 52 s, three times a usual one, with heavy selling that stops eight seconds before."""
    changed, (price, sold) = edited(bars, "mid_price", "sell_volume")
    moves = np.abs(price[60:] - price[:-60])
    fall, stop = 3 * float(np.nanquantile(moves, 0.95)), at - 7
    price[stop - 52 : stop] = price[stop - 53] - fall * np.arange(1, 53) / 52
    price[stop:] += price[stop - 1] - price[stop]
    price[stop : at + 3] = price[stop - 1]
    sold[stop - 52 : stop] += np.nanmax(sold)
    sold[stop : at + 3] = 0.0
    return with_columns(bars, **changed)


def plant_delta_divergence(bars: PatternBars, at: int) -> PatternBars:
    """At once a new low by far, after 45 s of buying at a price that is high."""
    changed, (price, delta) = edited(bars, "mid_price", "vol_delta")
    low = price[at - 120 : at + 1].min()
    step = 4 * float(np.nanmedian(np.abs(price[30:] - price[:-30])))
    price[at - 46 : at] = np.maximum(price[at - 46 : at], low + step)
    price[at:] += low - step - price[at]
    delta[at - 45 : at] += 6 * usual(delta, 30, 0.95) / 45
    return with_columns(bars, **changed)


def plant_whale_print(bars: PatternBars, at: int) -> PatternBars:
    changed, (quantity, count, delta, volume) = edited(
        bars, "large_trade_volume", "large_trade_count", "vol_delta", "volume"
    )
    size = 10 * float(np.nanmax(quantity / np.maximum(count, 1)))
    quantity[at], count[at], delta[at], volume[at] = size, 1.0, size, size
    return with_columns(bars, **changed)


def plant_liquidity_vacuum(bars: PatternBars, at: int) -> PatternBars:
    """In one second asks go, six times what three seconds rarely lose."""
    changed, (change,) = edited(bars, "ask_depth_change")
    change[at] -= 6 * usual(change, 3, 0.99)
    return with_columns(bars, **changed)


def plant_spoof_wall(bars: PatternBars, at: int) -> PatternBars:
    """A wall that stands for 20 s and is cancelled in one."""
    changed, (change,) = edited(bars, "ask_depth_change")
    wall = 20 * usual(change, 1, 0.99)
    change[at - 20] += wall
    change[at] -= wall
    return with_columns(bars, **changed)


def plant_imbalance_extreme(bars: PatternBars, at: int) -> PatternBars:
    """Three seconds at which there is nearly nothing on the other side."""
    changed, (imbalance,) = edited(bars, "imbalance_10_avg")
    imbalance[at - 2 : at + 1] = 0.99
    return with_columns(bars, **changed)


PLANTS: dict[str, Callable[[PatternBars, int], PatternBars]] = {
    "absorption": plant_absorption,
    "exhaustion": plant_exhaustion,
    "delta_divergence": plant_delta_divergence,
    "whale_print": plant_whale_print,
    "liquidity_vacuum": plant_liquidity_vacuum,
    "spoof_wall": plant_spoof_wall,
    "imbalance_extreme": plant_imbalance_extreme,
}


@pytest.mark.parametrize("side", [1, -1])
@pytest.mark.parametrize("pattern", PATTERNS, ids=lambda pattern: pattern.name)
def test_what_is_planted_is_found_within_a_second(
    pattern: Pattern, side: int, martingale: PatternBars
) -> None:
    market = martingale if side > 0 else mirrored(martingale)
    for at in PLACES:
        planted = PLANTS[pattern.name](market, at)
        events = detect(pattern, planted if side > 0 else mirrored(planted))
        late_s = (events.time_ns[events.side == side] - market.open_ns[at]) / SECOND_NS - 1
        assert (np.abs(late_s) <= 1).any(), f"planted at row {at}, found {late_s.tolist()}"


@pytest.mark.parametrize("pattern", PATTERNS, ids=lambda pattern: pattern.name)
def test_where_nothing_is_planted_nothing_is_found_at_those_times(
    pattern: Pattern, martingale: PatternBars
) -> None:
    """Else the test above would prove nothing."""
    found = detect(pattern, martingale).bar
    assert not any(abs(bar - at) <= 1 for bar in found for at in PLACES)


@pytest.mark.parametrize("pattern", PATTERNS, ids=lambda pattern: pattern.name)
def test_a_martingale_has_no_more_events_than_stated(pattern: Pattern) -> None:
    events, hours = 0, 0.0
    for symbol in ("BTCUSDT", "ETHUSDT"):
        market = simulated_bars(symbol, 31, 9000)
        events += len(detect(pattern, market))
        hours += (len(market.open_ns) - pattern.lookback_bars()) / 3600
    assert hours > 3.5
    assert events / hours <= pattern.false_alarms


def test_a_stranger_to_the_thresholds_would_break_the_promise(martingale: PatternBars) -> None:
    """Thresholds of one times the usual are alarms by the hour: the factors carry the promise."""
    loose = detect(pattern_named("whale_print"), martingale, {"factor": 1.0})
    hours = (len(martingale.open_ns) - pattern_named("whale_print").lookback_bars()) / 3600
    assert len(loose) / hours > pattern_named("whale_print").false_alarms
