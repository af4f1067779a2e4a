"""Features of a history on their way: frames, what the market tables say, an engine for each timeframe."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from undertow.features.catalogue import FEATURES
from undertow.features.engine import FeatureBlock, FeatureEngine
from undertow.frames.frame_fold import FrameFold
from undertow.frames.market_fold import MarketFold, MarketRows
from undertow.frames.sampler import SamplerSettings
from undertow.market.events import Gap
from undertow.market.instruments import Instrument
from undertow.runtime.history import Step

__all__ = ["Arrays", "FeatureRun"]

Arrays = dict[str, NDArray[np.generic]]


class FeatureRun:
    """Turns consecutive steps of a history into blocks of features; any cut of it gives the same bits."""

    def __init__(self, instrument: Instrument, settings: SamplerSettings) -> None:
        lengths = settings.timeframes_ns
        self._fold = FrameFold(instrument, lengths, settings.lateness_ns, settings.large())
        self._market = MarketFold(lengths)
        self._engines = {length: FeatureEngine(FEATURES, length) for length in lengths}

    def push(self, step: Step, market: MarketRows, gaps: Sequence[Gap]) -> dict[int, FeatureBlock]:
        """Features of the bars that the step closes, by length [ns].

        `market` are the rows of the market tables that are about times up to the step's end and were not
        given before, `gaps` all that may touch these bars.
        """
        self._fold.note_late(step.late_ns, np.zeros_like(step.late_ns))
        closed = self._fold.advance(step.trades, step.samples, gaps, step.until_ns)
        frames = self._market.advance(market, closed, step.until_ns)
        return {length: self._engines[length].push(bars) for length, bars in frames.items()}

    def to_arrays(self) -> Arrays:
        """Everything carried from step to step; `restore` takes it back."""
        arrays: Arrays = {f"fold {name}": values for name, values in self._fold.to_arrays().items()}
        arrays |= {f"market {name}": values for name, values in self._market.to_arrays().items()}
        for length, engine in self._engines.items():
            arrays |= {f"{length} {name}": values for name, values in engine.state().items()}
        return arrays

    def restore(self, arrays: Mapping[str, NDArray[np.generic]]) -> None:
        """Go on from `to_arrays()` of a run with the same instrument and settings."""
        self._fold.restore(_behind("fold ", arrays))
        self._market.restore(_behind("market ", arrays))
        for length, engine in self._engines.items():
            engine.restore(_behind(f"{length} ", arrays))


def _behind(prefix: str, arrays: Mapping[str, NDArray[np.generic]]) -> Arrays:
    return {name.removeprefix(prefix): values for name, values in arrays.items() if name.startswith(prefix)}
