"""Features of any slice of a stored history, the same to the last bit as that slice of the whole."""

from collections.abc import Iterator
from dataclasses import dataclass

import msgspec
import numpy as np

from undertow.features.engine import FeatureBlock
from undertow.frames.market_fold import MarketRows
from undertow.frames.sampler import SamplerSettings
from undertow.market.time import HOUR_NS
from undertow.runtime.ahead import ahead
from undertow.runtime.feature_run import FeatureRun
from undertow.runtime.feature_states import FeatureStates
from undertow.runtime.history import Place, Step, StoredHistory, gaps_of, steps
from undertow.runtime.market_readings import MarketHistory

__all__ = ["Span", "compute_features", "settings_for"]


@dataclass(frozen=True, slots=True)
class Span:
    """Bars that are asked for: those that open at `from_ns` or later and before `to_ns`; None = no bound."""

    from_ns: int | None = None
    to_ns: int | None = None

    def hours(self) -> "Span":
        """The whole hours that it touches: an hour is what the lake replaces."""
        from_ns = None if self.from_ns is None else self.from_ns // HOUR_NS * HOUR_NS
        to_ns = None if self.to_ns is None else -(-self.to_ns // HOUR_NS) * HOUR_NS
        return Span(from_ns, to_ns)

    def take(self, block: FeatureBlock) -> FeatureBlock:
        """The bars of a block that are asked for."""
        opens = block.open_ns
        first = 0 if self.from_ns is None else int(np.searchsorted(opens, self.from_ns))
        last = len(opens) if self.to_ns is None else int(np.searchsorted(opens, self.to_ns))
        if last - first == len(opens):
            return block
        cut = slice(first, last)
        return FeatureBlock(
            block.names, block.length_ns, opens[cut], block.known_ns[cut], block.values[:, cut]
        )

    def end_ns(self, lengths_ns: tuple[int, ...]) -> int | None:
        """The full hour up to which all of it can be closed, in bars of every length."""
        if self.to_ns is None:
            return None
        ends = [-(-self.to_ns // length) * length for length in lengths_ns]
        return -(-max(ends) // HOUR_NS) * HOUR_NS


def settings_for(history: StoredHistory, lengths_ns: tuple[int, ...]) -> SamplerSettings:
    """What the history was recorded with, in bars of these lengths, the shortest first."""
    return msgspec.structs.replace(history.settings, timeframes_ns=tuple(sorted(lengths_ns)))


def compute_features(
    history: StoredHistory,
    settings: SamplerSettings,
    span: Span | None = None,
    states: FeatureStates | None = None,
) -> Iterator[dict[int, FeatureBlock]]:
    """Blocks of consecutive bars by length [ns], a stored hour at a time; those of the span, by default all.

    With `states` it begins at the newest of them before the span, and keeps one at each midnight that it
    passes.
    """
    span = span or Span()
    run = FeatureRun(history.instrument, settings)
    state = None if states is None else states.load(states.newest(span.from_ns))
    if state is not None:
        run.restore(state.arrays)
    place = None if state is None else state.place
    gaps, to_ns = gaps_of(history), span.end_ns(settings.timeframes_ns)
    for step, market in ahead(_with_market(history, place, to_ns)):
        blocks = run.push(step, market, gaps)
        yield {length: span.take(block) for length, block in blocks.items()}
        if states is not None:
            _keep(states, step, run)


def _keep(states: FeatureStates, step: Step, run: FeatureRun) -> None:
    """Keep what is carried across the midnight behind a step, if there is one."""
    if step.midnight_ns is not None and not states.has(step.midnight_ns):
        states.save(step.midnight_ns, step.place, run.to_arrays())


def _with_market(
    history: StoredHistory, place: Place | None, to_ns: int | None
) -> Iterator[tuple[Step, MarketRows]]:
    """Each step with the rows of the market tables that it brings."""
    told = MarketHistory(history.lake, history.instrument, None if place is None else place.until_ns)
    for step in steps(history, place, to_ns):
        yield step, told.until(step.until_ns)
