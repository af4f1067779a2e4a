"""Goal: bar close → all features of the bar, p50 ≤ 60 µs, p99 ≤ 300 µs per symbol.

Ten symbols take turns on one core, as their bars of 1 s close, with the garbage collector on: an engine each,
that has seen an hour before the clock runs. Their bars, with trades and book, are those of ten hours of
`bench.synthetic_day`. A push begins with the bar as the fold has made it and ends with every feature of the
catalogue; medians and percentiles are over all pushes of a round. Lower is better.

Before the clock runs, a stretch in single bars must have the same bits as the same stretch in one block.
"""

import statistics
import time

import numpy as np

from bench.duel import Claim, Outcome
from bench.synthetic_day import DAY_END_NS, INSTRUMENT, SETTINGS, make_day
from undertow.features.catalogue import FEATURES
from undertow.features.engine import FeatureEngine
from undertow.frames.frame_fold import FrameFold
from undertow.frames.frames import Frames
from undertow.market.time import SECOND_NS

__all__ = ["measure"]

_TRADES = 1_000_000
_SYMBOLS, _HOUR = 10, 3_600
_BARS_A_ROUND = 300


def _day() -> Frames:
    """A day of bars."""
    day = make_day(_TRADES, seed=1)
    fold = FrameFold(INSTRUMENT, SETTINGS.timeframes_ns, SETTINGS.lateness_ns, SETTINGS.large())
    return fold.advance(day.trades, day.samples, (), DAY_END_NS)[SECOND_NS]


def check_agreement(frames: Frames) -> None:
    """Raise AssertionError where single bars and one block differ."""
    whole = FeatureEngine(FEATURES, SECOND_NS).push(frames).values
    engine = FeatureEngine(FEATURES, SECOND_NS)
    parts = [engine.push(frames[at : at + 1]).values for at in range(len(frames))]
    assert np.concatenate(parts, axis=1).tobytes() == whole.tobytes()


def _percentiles_us(engines: list[FeatureEngine], bars: list[list[Frames]]) -> tuple[float, float]:
    """Median and 99th percentile of a push [µs]; `bars` are those of each symbol."""
    took_ns = []
    for at in range(len(bars[0])):
        for engine, own in zip(engines, bars, strict=True):
            bar = own[at]
            begin_ns = time.perf_counter_ns()
            engine.push(bar)
            took_ns.append(time.perf_counter_ns() - begin_ns)
    median, high = np.percentile(took_ns, (50, 99)) / 1e3
    return float(median), float(high)


def _claim(title: str, found_us: list[float]) -> Claim:
    outcome = Outcome("undertow", statistics.median(found_us), 1.0, 1.0, 1.0)
    return Claim(title, "µs", len(found_us), (outcome,))


def measure(rounds: int) -> list[Claim]:
    """Median and 99th percentile, each the median over the rounds."""
    frames = _day()
    check_agreement(frames[:_HOUR])
    begins = [2 * _HOUR * symbol for symbol in range(_SYMBOLS)]
    engines = [FeatureEngine(FEATURES, SECOND_NS) for _ in begins]
    for engine, begin in zip(engines, begins, strict=True):
        engine.push(frames[begin : begin + _HOUR])
    found = []
    for turn in range(-1, rounds):
        first = _HOUR + (turn + 1) * _BARS_A_ROUND
        bars = [
            [frames[at : at + 1] for at in range(begin + first, begin + first + _BARS_A_ROUND)]
            for begin in begins
        ]
        found.append(_percentiles_us(engines, bars))
    title = f"bar of 1 s → all {len(FEATURES)} features, {_SYMBOLS} symbols"
    medians, highs = zip(*found[1:], strict=True)
    return [_claim(f"{title}: median", list(medians)), _claim(f"{title}: 99th percentile", list(highs))]
