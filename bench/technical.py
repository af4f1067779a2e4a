"""Technical indicators of a year of minutes beside TA-Lib, on one core.

Ours starts from bars in ticks, TA-Lib from floats. In a block ours computes all 18 columns of the family with
its state kept, so that the next bar can follow; bar by bar is the same one bar at a time, as live. TA-Lib has
no state: the columns of the newest bar cost it the whole window again, here the 600 bars that its longest
average needs to settle.

Before the clock runs, each column must agree to 1e-9 wherever TA-Lib has a value.
"""

from collections.abc import Callable
from dataclasses import fields, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.duel import Claim, Contender, duel
from bench.peers import with_talib
from bench.synthetic_day import DAY_END_NS, INSTRUMENT, make_samples
from undertow.features.catalogue import feature_set
from undertow.features.engine import FeatureEngine
from undertow.frames.column_set import empty_trades
from undertow.frames.frame_fold import FrameFold
from undertow.frames.frames import Frames
from undertow.frames.trade_fold import LargeTradeRule
from undertow.market.time import MINUTE_NS, SECOND_NS

__all__ = ["measure"]

_YEAR = 365 * 1_440
_LIVE_BARS = 2_000
_WINDOW = 600
_TECHNICAL = feature_set("technical")

Floats = NDArray[np.float64]


def make_minutes(count: int, seed: int) -> Frames:
    """Bars whose price walks; nothing but prices is in them."""
    rng = np.random.default_rng(seed)
    close = 600_000 + rng.integers(-300, 301, count).cumsum()
    opened = np.concatenate([close[:1], close[:-1]])
    own = {
        "open_ns": DAY_END_NS + np.arange(count) * MINUTE_NS,
        "open": opened,
        "close": close,
        "high": np.maximum(opened, close) + rng.integers(0, 200, count),
        "low": np.minimum(opened, close) - rng.integers(0, 200, count),
        "trade_count": np.ones(count, np.int64),
    }
    pattern = _one_minute()
    empty = {f.name: getattr(pattern, f.name) for f in fields(Frames) if f.name not in own}
    long = {
        name: np.broadcast_to(value[:1], (count, *value.shape[1:]))
        for name, value in empty.items()
        if isinstance(value, np.ndarray)
    }
    changed: dict[str, Any] = long | own
    return replace(pattern, **changed)


def _one_minute() -> Frames:
    """A bar as the fold makes it."""
    fold = FrameFold(INSTRUMENT, (MINUTE_NS,), 0, LargeTradeRule(2.0, MINUTE_NS))
    samples = make_samples(seed=1).take(slice(0, 240))
    return fold.advance(empty_trades(), samples, (), int(samples.grid_ns[-1]) // SECOND_NS * SECOND_NS)[
        MINUTE_NS
    ]


def _cut(frames: Frames, at: int) -> Frames:
    """One bar."""
    arrays: dict[str, Any] = {
        f.name: getattr(frames, f.name)[at : at + 1]
        for f in fields(Frames)
        if isinstance(getattr(frames, f.name), np.ndarray)
    }
    return replace(frames, **arrays)


def check_agreement(frames: Frames, theirs: dict[str, Floats]) -> None:
    """Raise AssertionError, naming the column, where TA-Lib has another value than ours."""
    block = FeatureEngine(_TECHNICAL, MINUTE_NS).push(frames)
    assert sorted(block.names) == sorted(theirs)
    for name, values in zip(block.names, block.values, strict=True):
        there = ~np.isnan(theirs[name])
        assert there.sum() > len(values) - 250
        np.testing.assert_allclose(values[there], theirs[name][there], rtol=1e-9, atol=1e-9, err_msg=name)


def _live(bars: list[Frames]) -> Callable[[], int]:
    engine = FeatureEngine(_TECHNICAL, MINUTE_NS)

    def run() -> int:
        for bar in bars:
            engine.push(bar)
        return len(bars)

    return run


def measure(rounds: int) -> list[Claim]:
    """A year in one block, and bar by bar."""
    frames = make_minutes(_YEAR, seed=4)
    high, low, close = (INSTRUMENT.price.to_floats(c) for c in (frames.high, frames.low, frames.close))
    check_agreement(frames, with_talib.indicators(high, low, close))
    bars = [_cut(frames, at) for at in range(_LIVE_BARS)]

    def ours() -> int:
        return len(FeatureEngine(_TECHNICAL, MINUTE_NS).push(frames))

    def theirs() -> int:
        with_talib.indicators(high, low, close)
        return _YEAR

    def theirs_live() -> int:
        for end in range(_WINDOW, _WINDOW + _LIVE_BARS):
            window = slice(end - _WINDOW, end)
            with_talib.indicators(high[window], low[window], close[window])
        return _LIVE_BARS

    block = [Contender("undertow", lambda: ours), Contender("TA-Lib", lambda: theirs)]
    single = [Contender("undertow", partial(_live, bars)), Contender("TA-Lib", lambda: theirs_live)]
    return [
        duel("a year of 1 m bars → technical indicators", "bars/s", block, rounds),
        duel("one 1 m bar at a time → technical indicators", "bars/s", single, rounds),
    ]
