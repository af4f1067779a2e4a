"""Feature bars of the simulated market, for what patterns find where nothing is planted."""

from collections.abc import Iterable
from functools import cache
from itertools import islice

import numpy as np

from undertow.features.catalogue import FEATURES
from undertow.features.engine import FeatureBlock, FeatureEngine
from undertow.frames.sampler import Sampler, SamplerSettings
from undertow.market.time import SECOND_NS
from undertow.patterns.catalogue import PATTERNS
from undertow.patterns.pattern import PatternBars
from undertow.venues.binance.instruments import known_instrument
from undertow.venues.binance.mapper import BinanceMapper
from undertow.venues.simulated.capture import simulate_capture

__all__ = ["bars_of_lines", "simulated_bars"]

QUOTES = ("best_bid", "best_ask")
NEEDED = {name for pattern in PATTERNS for name in pattern.inputs} | {"gap_fraction", *QUOTES}
LINES_A_BLOCK = 5000


@cache
def simulated_bars(symbol: str, seed: int, seconds: float, signal: float = 0.0) -> PatternBars:
    """One-second bars of a simulated market; at signal 0 its middle price is a martingale."""
    frames = simulate_capture(symbol=symbol, seed=seed, signal=signal, seconds=seconds)
    return bars_of_lines(symbol, (b"%d %s\n" % frame for frame in frames))


def bars_of_lines(symbol: str, lines: Iterable[bytes]) -> PatternBars:
    """One-second bars of capture lines, through the same mapper, fold and kernels as live."""
    instrument = known_instrument("binance-usdm", symbol)
    assert instrument is not None
    mapper, sampler = (
        BinanceMapper(instrument),
        Sampler(instrument, SamplerSettings(timeframes_ns=(SECOND_NS,))),
    )
    engine = FeatureEngine([feature for feature in FEATURES if feature.name in NEEDED], SECOND_NS)
    blocks: list[FeatureBlock] = []
    left = iter(lines)
    while batch := list(islice(left, LINES_A_BLOCK)):
        blocks += _pushed(engine, mapper, sampler, batch)
    columns = {
        name: np.concatenate([block.values[i] for block in blocks]).astype(np.float64)
        for i, name in enumerate(blocks[0].names)
    }
    opened = np.concatenate([block.open_ns for block in blocks])
    return PatternBars(opened, np.concatenate([block.known_ns for block in blocks]), SECOND_NS, columns)


def _pushed(
    engine: FeatureEngine, mapper: BinanceMapper, sampler: Sampler, lines: list[bytes]
) -> list[FeatureBlock]:
    sampled = sampler.feed(mapper.map(b"".join(lines)).batch)
    return [engine.push(sampled.frames[SECOND_NS])] if SECOND_NS in sampled.frames else []
