"""Planted in the exchange's own frames, patterns are found in time: through mapper, book and features.

Trades of the simulated exchange are rewritten on their way: their quantities and sides, never their ids or
times, so that nobody downstream can know.
"""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.patterns.simulated import bars_of_lines, simulated_bars
from undertow.market.time import SECOND_NS
from undertow.patterns.catalogue import pattern_named
from undertow.patterns.detect import detect
from undertow.patterns.pattern import PatternBars
from undertow.venues.simulated.capture import DEFAULT_START_NS, simulate_capture

SEED, SECONDS, AT = 7, 1800, 1500
Data = dict[str, Any]
Edit = Callable[[Data, float], None]
"""Changes a frame of some event time [s since the start]."""


@pytest.fixture(scope="module")
def before() -> PatternBars:
    """The market as it is, for its prices at the time of the plant."""
    return simulated_bars("BTCUSDT", SEED, SECONDS)


def planted(edit: Edit) -> PatternBars:
    lines = []
    for receive_ns, frame in simulate_capture(symbol="BTCUSDT", seed=SEED, seconds=SECONDS):
        told, seconds = frame, (receive_ns - DEFAULT_START_NS) / SECOND_NS
        if AT - 60 < seconds < AT + 60:
            whole = json.loads(frame)
            data = whole.get("data", {})
            if data.get("e") == "aggTrade":
                edit(data, data["T"] / 1000 - DEFAULT_START_NS / SECOND_NS)
            told = json.dumps(whole, separators=(",", ":")).encode()
        lines.append(b"%d %s\n" % (receive_ns, told))
    return bars_of_lines("BTCUSDT", lines)


def found_at(name: str, bars: PatternBars, side: int) -> list[int]:
    """Start of the bar of each event within a minute of the plant [s since the start]."""
    events = detect(pattern_named(name), bars)
    opened = (bars.open_ns[events.bar[events.side == side]] - DEFAULT_START_NS) // SECOND_NS
    return [int(second) for second in opened if abs(second - AT) < 60]


def test_one_big_trade_is_a_whale() -> None:
    done: list[float] = []

    def edit(data: Data, seconds: float) -> None:
        if seconds >= AT and not done:
            data["q"] = data["nq"] = "40.000"
            data["m"] = False
            done.append(seconds)

    bars = planted(edit)
    assert found_at("whale_print", bars, 1) == [int(done[0])]
    assert not found_at("whale_print", bars, -1)


@pytest.mark.parametrize("side", [1, -1])
def test_trades_that_move_nothing_are_absorbed(before: PatternBars, side: int) -> None:
    """For a second, when the price is stillest, all takers are on one side, with a hundred times as much."""
    price = before.columns["mid_price"]
    rows = np.arange(AT - 30, AT + 30)
    still = int(rows[np.argmin(np.abs(price[rows] - price[rows - 5]))])
    done: list[float] = []

    def edit(data: Data, seconds: float) -> None:
        if still <= seconds < still + 1:
            data["q"] = data["nq"] = "10.000"
            data["m"] = side > 0
            done.append(seconds)

    assert still in found_at("absorption", planted(edit), side)
    assert done
    assert still not in found_at("absorption", before, side)
