"""From raw journal lines of one symbol to the lake and to features: the one path of replay and live."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from undertow.features.catalogue import FEATURES
from undertow.features.engine import FeatureBlock, FeatureEngine
from undertow.frames.sampler import Sampled, Sampler, SamplerSettings
from undertow.lake.tables import book_to_arrow, gaps_to_arrow, trades_to_arrow
from undertow.lake.writer import LakeWriter
from undertow.market.batch import EventKind
from undertow.market.instruments import Instrument
from undertow.runtime.feature_rows import timeframe_name, to_arrow
from undertow.runtime.late import amend_late_counts
from undertow.venues.binance.mapper import BinanceMapper, Mapped, Rejection

__all__ = ["Counts", "Pipeline"]

Arrays = dict[str, NDArray[np.generic]]
OnBars = Callable[["Pipeline", dict[int, FeatureBlock]], None]


@dataclass(slots=True)
class Counts:
    """What went through, for the summary and for tests."""

    frames: int = 0
    kinds: Counter[int] = field(default_factory=Counter)
    trades: int = 0
    late_trades: int = 0
    gaps: int = 0
    rejected: Counter[int] = field(default_factory=Counter)
    unknown_types: Counter[str] = field(default_factory=Counter)
    unknown_fields: Counter[str] = field(default_factory=Counter)
    book_samples: int = 0
    bars: Counter[int] = field(default_factory=Counter)


class Pipeline:
    """Folds the frames of one symbol and writes what they give.

    The same lines in the same order give the same files, however they are cut. `on_bars` is called with every
    block of closed bars, after it has been written.
    """

    def __init__(
        self,
        instrument: Instrument,
        settings: SamplerSettings,
        lake: LakeWriter,
        on_bars: OnBars | None = None,
    ) -> None:
        self.instrument = instrument
        self.settings = settings
        self.sampler = Sampler(instrument, settings)
        self.counts = Counts()
        self._mapper = BinanceMapper(instrument)
        self._engines = {length: FeatureEngine(FEATURES, length) for length in settings.timeframes_ns}
        self._lake = lake
        self.on_bars = on_bars

    def fold(self, lines: bytes) -> list[Rejection]:
        """Fold complete journal lines, in arrival order; the lines among them that are no usable frames."""
        mapped = self._mapper.map(lines)
        self._count(mapped)
        sampled = self.sampler.feed(mapped.batch)
        blocks = {length: self._engines[length].push(frames) for length, frames in sampled.frames.items()}
        self._write(sampled, blocks)
        if self.on_bars is not None and any(len(block) for block in blocks.values()):
            self.on_bars(self, blocks)
        return mapped.rejections

    def _count(self, mapped: Mapped) -> None:
        counts, kind = self.counts, mapped.batch.kind
        counts.rejected.update(rejection.reason for rejection in mapped.rejections)
        counts.frames += len(kind)
        counts.kinds.update(dict(enumerate(np.bincount(kind, minlength=len(EventKind)).tolist())))
        counts.unknown_types += mapped.unknown_types
        counts.unknown_fields += mapped.unknown_fields

    def _write(self, sampled: Sampled, blocks: Mapping[int, FeatureBlock]) -> None:
        lake, instrument, counts = self._lake, self.instrument, self.counts
        for table, trades in sampled.trades.items():
            if len(trades):
                lake.append(table, trades_to_arrow(instrument, trades))
                counts.trades += len(trades)
                counts.late_trades += int(trades.is_late.sum())
        for table, samples in (("book_depth", sampled.depth), ("l2", sampled.l2)):
            if len(samples):
                lake.append(table, book_to_arrow(instrument, samples))
        counts.book_samples += len(sampled.depth)
        if sampled.gaps:
            lake.append("gaps", gaps_to_arrow(instrument, sampled.gaps))
            counts.gaps += len(sampled.gaps)
        for length, block in blocks.items():
            if len(block):
                lake.append("features", to_arrow(instrument, block), timeframe_name(length))
                counts.bars[length] += len(block)
        flow = sampled.trades[self.settings.flow]
        late_ns = flow.event_ns[flow.is_late & (flow.order_type == 0)]
        if len(late_ns):
            amend_late_counts(lake, late_ns, sampled.late_closed_ns, self.settings.timeframes_ns)

    def finish(self) -> None:
        """The recording ends here, perhaps for good: store gaps that are open, as far as they go."""
        gaps = self.sampler.open_gaps()
        if gaps:
            self._lake.append("gaps", gaps_to_arrow(self.instrument, gaps))

    def provenance(self) -> dict[str, Any]:
        """What a batch run needs to know of this one: how far bars are complete, and the settings."""
        return {"closed_ns": self.sampler.closed_ns, "settings": msgspec.to_builtins(self.settings)}

    def to_arrays(self) -> Arrays:
        """Everything carried, as arrays; `restore` takes it back."""
        arrays: Arrays = {f"sampler.{k}": v for k, v in self.sampler.to_arrays().items()}
        for length, engine in self._engines.items():
            arrays |= {f"features.{length}.{k}": v for k, v in engine.state().items()}
        return arrays

    def restore(self, arrays: Mapping[str, NDArray[np.generic]]) -> None:
        """Go on from `to_arrays()` of a pipeline with the same instrument and settings."""
        self.sampler.restore(_part(arrays, "sampler."))
        for length, engine in self._engines.items():
            engine.restore(_part(arrays, f"features.{length}."))


def _part(arrays: Mapping[str, NDArray[np.generic]], prefix: str) -> Arrays:
    return {k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)}
