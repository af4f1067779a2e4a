"""The case worked by hand in each line of the catalogue, to the bar and to the number."""

from collections.abc import Callable, Mapping

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.patterns.markets import flat, mirrored, with_columns
from undertow.patterns.catalogue import PATTERNS, pattern_named
from undertow.patterns.detect import detect
from undertow.patterns.pattern import Pattern, PatternBars

Floats = NDArray[np.float64]

BARS = 2600
AT = 2400
"""Where each example begins; before it nothing but what makes the usual."""


def every(count: int, step: int, value: float, until: int = AT - 200) -> Floats:
    """Zeros but for `value` in each `step`-th bar, up to some bars before the example."""
    values = np.zeros(count)
    values[:until:step] = value
    return values


def absorbed() -> PatternBars:
    delta = every(BARS, 50, 10.0)
    delta[AT : AT + 5] = -6.0
    return with_columns(flat(BARS), vol_delta=delta, volume=np.abs(delta))


def exhausted() -> PatternBars:
    price = 1000.0 + 8.0 * (np.arange(float(BARS)) // 60 % 2)
    price[AT - 140 :] = 1000.0
    sold = every(BARS, 10, 15.0)
    price[AT : AT + 40] -= 0.48 * np.arange(1, 41)
    price[AT + 40 :] = price[AT + 39]
    sold[AT : AT + 40] = 2.0
    return with_columns(flat(BARS), mid_price=price, sell_volume=sold)


def diverged() -> PatternBars:
    delta = every(BARS, 100, 20.0, until=AT - 120)
    price = 1000.0 + np.arange(float(BARS)) // 30 % 2
    price[AT - 60 :] = 1001.0
    price[AT] = 100.0 + 899.0
    delta[AT + 1 : AT + 34] = 1.0
    price[AT + 40 :] = 997.0
    return with_columns(flat(BARS), vol_delta=delta, mid_price=price)


def printed() -> PatternBars:
    count, quantity = every(BARS, 20, 2.0), every(BARS, 20, 6.0)
    delta, volume = np.zeros(BARS), quantity.copy()
    count[AT], quantity[AT], delta[AT], volume[AT] = 1.0, 18.0, 16.0, 20.0
    return with_columns(
        flat(BARS), large_trade_count=count, large_trade_volume=quantity, vol_delta=delta, volume=volume
    )


def emptied() -> PatternBars:
    change, bought = every(BARS, 40, -15.0), np.zeros(BARS)
    bought[AT], change[AT] = 2.0, -38.0
    return with_columns(flat(BARS), buy_volume=bought, ask_depth_change=change)


def spoofed() -> PatternBars:
    change, bought = every(BARS, 40, 10.0), np.zeros(BARS)
    change[AT] = 30.0
    bought[AT + 3], change[AT + 3] = 4.0, -4.0
    change[AT + 9] = -28.0
    return with_columns(flat(BARS), ask_depth_change=change, buy_volume=bought)


def one_sided() -> PatternBars:
    imbalance = every(BARS, 20, -0.6)
    imbalance[AT : AT + 3] = 0.72, 0.66, 0.75
    return with_columns(flat(BARS), imbalance_10_avg=imbalance)


EXAMPLES: dict[str, tuple[Callable[[], PatternBars], int, float, dict[str, float]]] = {
    "absorption": (absorbed, AT + 2, 1.2, {"net_taken": 18, "moved": 0, "usual_taken": 15}),
    "exhaustion": (
        exhausted,
        AT + 47,
        1.2,
        {"moved": 19.2, "usual_move": 16, "taken": 4, "most_taken": 20},
    ),
    "delta_divergence": (
        diverged,
        AT + 40,
        1.1,
        {"beyond": 2, "net_taken": 33, "bars_since": 40, "usual_taken": 30},
    ),
    "whale_print": (printed, AT, 1.5, {"print_size": 18, "net_taken": 16, "usual_size": 12}),
    "liquidity_vacuum": (
        emptied,
        AT,
        1.2,
        {"vanished": 36, "taken": 2, "depth_lost": 38, "usual_vanished": 30},
    ),
    "spoof_wall": (
        spoofed,
        AT + 9,
        28 / 15,
        {"put_up": 30, "pulled": 28, "bars_stood": 9, "taken": 4},
    ),
    "imbalance_extreme": (
        one_sided,
        AT + 2,
        1.1,
        {"least_imbalance": 0.66, "usual_imbalance": 0.6},
    ),
}
"""Bars; the row, the strength and the numbers of their only event."""


@pytest.mark.parametrize("pattern", PATTERNS, ids=lambda pattern: pattern.name)
def test_the_example_of_the_catalogue_is_its_only_event(pattern: Pattern) -> None:
    make, row, strength, numbers = EXAMPLES[pattern.name]
    events = detect(pattern, make())
    assert events.bar.tolist() == [row]
    assert events.side.tolist() == [1]
    assert events.strength[0] == pytest.approx(strength)
    told = dict(zip(events.names, events.numbers[0], strict=True))
    assert {name: told[name] for name in numbers} == pytest.approx(numbers)
    image = detect(pattern, mirrored(make()))
    assert (image.bar.tolist(), image.side.tolist()) == ([row], [-1])


def _plus(row: int, value: float, until: int | None = None) -> tuple[slice, float]:
    return slice(row, row + 1 if until is None else until), value


Change = tuple[slice, float | Floats]
RAMP = np.arange(1.0, 201.0)
ALMOST: list[tuple[str, str, Mapping[str, Change]]] = [
    ("absorption", "the price falls", {"mid_price": (slice(AT, BARS), -RAMP)}),
    ("absorption", "buyers are there too", {"volume": _plus(AT, 6.0, AT + 5)}),
    ("absorption", "too little is sold", {"vol_delta": _plus(AT, 3.5, AT + 5)}),
    ("exhaustion", "the fall is small", {"mid_price": (slice(AT, BARS), 0.1 * np.minimum(RAMP, 40))}),
    ("exhaustion", "the price is back", {"mid_price": _plus(AT + 41, 4.0, BARS)}),
    ("exhaustion", "sellers go on", {"sell_volume": _plus(AT + 40, 0.6, BARS)}),
    ("exhaustion", "nobody had sold much", {"sell_volume": _plus(AT, -0.6, AT + 40)}),
    ("delta_divergence", "no new low", {"mid_price": _plus(AT + 40, 2.0, BARS)}),
    ("delta_divergence", "lower by too little", {"mid_price": _plus(AT + 40, 1.75, BARS)}),
    ("delta_divergence", "takers sold as well", {"vol_delta": _plus(AT + 20, -4.0)}),
    ("whale_print", "no large trade", {"large_trade_volume": _plus(AT, -6.5)}),
    ("whale_print", "as much was sold", {"vol_delta": _plus(AT, -6.5)}),
    (
        "liquidity_vacuum",
        "bought away",
        {"buy_volume": _plus(AT, 8.0), "ask_depth_change": _plus(AT, -8.0)},
    ),
    ("liquidity_vacuum", "bought a moment before", {"buy_volume": _plus(AT - 1, 7.0)}),
    ("liquidity_vacuum", "put back", {"ask_depth_change": _plus(AT, 7.0)}),
    ("spoof_wall", "traded", {"buy_volume": _plus(AT + 3, 3.0)}),
    ("spoof_wall", "no wall put up", {"ask_depth_change": _plus(AT, -16.0)}),
    ("spoof_wall", "another size", {"ask_depth_change": _plus(AT + 9, 8.0)}),
    ("spoof_wall", "pulled bit by bit", {"ask_depth_change": _plus(AT + 4, -2.0, AT + 8)}),
    ("imbalance_extreme", "too short", {"imbalance_10_avg": _plus(AT + 1, -0.1)}),
]


@pytest.mark.parametrize(("name", "why", "changes"), ALMOST)
def test_each_clause_is_needed(name: str, why: str, changes: Mapping[str, Change]) -> None:
    bars = EXAMPLES[name][0]()
    for column, (where, value) in changes.items():
        values = bars.columns[column].copy()
        values[where] += value
        bars = with_columns(bars, **{column: values})
    assert len(detect(pattern_named(name), bars)) == 0, why


def test_nothing_is_extreme_below_the_floor() -> None:
    bars = one_sided()
    small = with_columns(bars, imbalance_10_avg=bars.columns["imbalance_10_avg"] / 2)
    pattern = pattern_named("imbalance_extreme")
    assert len(detect(pattern, small)) == 0
    assert len(detect(pattern, small, {"floor": 0.1})) == 1


def test_a_wall_pulled_at_once_was_none() -> None:
    assert len(detect(pattern_named("spoof_wall"), spoofed(), {"least": 10})) == 0
    assert len(detect(pattern_named("spoof_wall"), spoofed(), {"most": 8})) == 0


def test_what_is_usual_ends_before_the_pattern_begins() -> None:
    """With its own bars in its baseline, what is usual at most would rise with the pattern."""
    for name, (make, row, strength, _) in EXAMPLES.items():
        if name != "imbalance_extreme":
            events = detect(pattern_named(name), make(), {"share": 1.0})
            told = dict(zip(events.bar.tolist(), events.strength.tolist(), strict=True))
            assert told[row] == pytest.approx(strength), name


def test_of_two_equal_lows_the_later_one_counts() -> None:
    bars = diverged()
    price = bars.columns["mid_price"].copy()
    price[AT + 2] = price[AT]
    events = detect(pattern_named("delta_divergence"), with_columns(bars, mid_price=price))
    told = dict(zip(events.names, events.numbers[0], strict=True))
    assert (told["bars_since"], told["net_taken"]) == (38, 31)
