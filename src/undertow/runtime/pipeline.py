"""From raw journal lines of one symbol to the lake and to features: the one path of replay and live."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import structlog
from numpy.typing import NDArray

from undertow.errors import VenueError
from undertow.features.catalogue import FEATURES
from undertow.features.engine import FeatureBlock, FeatureEngine, lineage
from undertow.frames.book_audit import BookAudit
from undertow.frames.market_fold import MarketFold
from undertow.frames.sampler import Sampled, Sampler, SamplerSettings
from undertow.lake.tables import book_to_arrow, gaps_to_arrow, trades_to_arrow
from undertow.lake.writer import LakeWriter
from undertow.market.batch import EventKind
from undertow.market.instruments import Instrument
from undertow.runtime.feature_rows import timeframe_name, to_arrow
from undertow.runtime.late import amend_late_counts
from undertow.runtime.ledger import Ledger, audits_to_arrow
from undertow.runtime.market_readings import readings_of
from undertow.runtime.market_rows import market_tables
from undertow.venues.binance.rest_trades import (
    REPAIR_STREAM,
    SINGLES_STREAM,
    parse_aggregate_trades,
    parse_single_trades,
)
from undertow.venues.mapped import Mapped, Reason, Rejection
from undertow.venues.mappers import mapper_of, mapper_state, restore_mapper

__all__ = ["Counts", "Pipeline"]

log = structlog.get_logger(__name__)

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
    field_faults: Counter[str] = field(default_factory=Counter)
    """Frames of a known type whose fields are not as they were, by what is wrong."""
    filtered: Counter[str] = field(default_factory=Counter)
    """Rows of other markets in streams of all symbols."""
    book_samples: int = 0
    audits: int = 0
    audited_levels: int = 0
    """Levels compared with snapshots, and of these the ones that were right."""
    matched_levels: int = 0
    mismatched_levels: int = 0
    ghosts: int = 0
    repaired_trades: int = 0
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
        self._mapper = mapper_of(instrument)
        self._market = MarketFold(settings.timeframes_ns)
        self._engines = {length: FeatureEngine(FEATURES, length) for length in settings.timeframes_ns}
        self._lake = lake
        self._ledger = Ledger(instrument)
        self.last_price: float | None = None
        """Of the newest flow trade."""
        self.on_bars = on_bars

    def fold(self, lines: bytes) -> list[Rejection]:
        """Fold complete journal lines, in arrival order; the lines among them that are no usable frames."""
        if REPAIR_STREAM not in lines and SINGLES_STREAM not in lines:
            return self._fold_frames(lines)
        # A repair is a fold of its own, so that any cut of the lines gives the same.
        rejections: list[Rejection] = []
        first, block = 0, []
        for number, line in enumerate(lines.splitlines(keepends=True)):
            is_repair = REPAIR_STREAM in line
            if not is_repair and SINGLES_STREAM not in line:
                block.append(line)
                continue
            rejections += _from_line(self._fold_frames(b"".join(block)), first)
            self._repair(line) if is_repair else self._repair_singles(line)
            first, block = number + 1, []
        return rejections + _from_line(self._fold_frames(b"".join(block)), first)

    def _repair(self, line: bytes) -> None:
        """Store what REST gave of the trades that the stream had skipped."""
        stamp, _, frame = line.partition(b" ")
        body = frame[frame.index(REPAIR_STREAM) + len(REPAIR_STREAM) : frame.rindex(b"}")]
        self.counts.frames += 1
        try:
            found = parse_aggregate_trades(body, self.instrument, int(stamp))
        except VenueError as error:
            log.warning("repair_unusable", reason=str(error))
            return
        trades = self.sampler.repair(found, "aggtrades")
        if len(trades):
            self._lake.append("aggtrades", trades_to_arrow(self.instrument, trades))
            self._ledger.note_repair("aggtrades", trades, self.sampler.missing("aggtrades"))
            self._write_proofs([])
        self.counts.repaired_trades += len(trades)

    def _repair_singles(self, line: bytes) -> None:
        """Store what REST gave of the single trades that no aggregate told."""
        stamp, _, frame = line.partition(b" ")
        body = frame[frame.index(SINGLES_STREAM) + len(SINGLES_STREAM) : frame.rindex(b"}")]
        self.counts.frames += 1
        try:
            found = parse_single_trades(body, self.instrument, int(stamp))
        except VenueError as error:
            log.warning("repair_unusable", reason=str(error))
            return
        trades = self.sampler.repair_singles(found, "aggtrades")
        if len(trades):
            self._lake.append("trades", trades_to_arrow(self.instrument, trades))
            missing = self.sampler.missing_singles("aggtrades")
            self._ledger.note_repair("aggtrades singles", trades, missing)
            self._write_proofs([])
        self.counts.repaired_trades += len(trades)

    def unknown(self) -> dict[str, int]:
        """What came and is not understood, by name; the journal has all of it."""
        counts = self.counts
        found = {f"event type {name!r}": count for name, count in counts.unknown_types.items()}
        found |= {f"field {name!r}": count for name, count in counts.unknown_fields.items()}
        found |= {f"changed frame {name!r}": count for name, count in counts.field_faults.items()}
        rejected = {Reason(reason): count for reason, count in counts.rejected.items()}
        return found | {f"frames with {r.name.lower()}": count for r, count in rejected.items()}

    def _fold_frames(self, lines: bytes) -> list[Rejection]:
        return self.fold_mapped(self._mapper.map(lines)) if lines else []

    def fold_mapped(self, mapped: Mapped) -> list[Rejection]:
        """Fold a block that has been mapped already; what of it was rejected."""
        self._count(mapped)
        sampled = self.sampler.feed(mapped.batch)
        self._ledger.note(mapped.batch, self.sampler, sampled)
        told = readings_of(self.instrument, self._write_market(mapped, sampled))
        attached = self._market.advance(told, sampled.frames, self.sampler.closed_ns)
        blocks = {length: self._engines[length].push(frames) for length, frames in attached.items()}
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
        counts.field_faults += mapped.field_faults
        counts.filtered += mapped.filtered

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
        self._write_proofs(self.sampler.book.audits)
        for length, block in blocks.items():
            if len(block):
                lake.append("features", to_arrow(instrument, block), timeframe_name(length))
                counts.bars[length] += len(block)
        flow = sampled.trades[self.settings.flow]
        if len(flow):
            self.last_price = instrument.price.to_float(int(flow.price_ticks[-1]))
        late_ns = flow.event_ns[flow.is_late & (flow.order_type == 0)]
        if len(late_ns):
            amend_late_counts(lake, late_ns, sampled.late_closed_ns, self.settings.timeframes_ns)

    def _write_market(self, mapped: Mapped, sampled: Sampled) -> dict[str, pa.Table]:
        """Quotes, prices, rates, liquidations and candles; what was stored of them."""
        told = market_tables(self.instrument, mapped, sampled.closed_at)
        plausible = {table: self._lake.plausible(table, rows) for table, rows in told.items()}
        tables = {table: rows for table, rows in plausible.items() if rows.num_rows}
        for table, rows in tables.items():
            self._lake.append(table, rows)
        self._ledger.note_market(tables, mapped.batch)
        return tables

    def _write_proofs(self, audits: list[BookAudit]) -> None:
        """Rows of the ledger, and what audits of the book found."""
        lake, counts = self._lake, self.counts
        coverage = self._ledger.take()
        if coverage.num_rows:
            lake.append("coverage", coverage)
        if audits:
            lake.append("book_audits", audits_to_arrow(self.instrument, audits))
        for audit in audits:
            counts.audits += not audit.cause
            counts.audited_levels += audit.compared
            counts.matched_levels += audit.matched
            counts.mismatched_levels += audit.mismatched
            counts.ghosts += audit.ghosts

    def finish(self) -> None:
        """The recording ends here, perhaps for good: store gaps that are open, as far as they go."""
        gaps = self.sampler.open_gaps()
        if gaps:
            self._lake.append("gaps", gaps_to_arrow(self.instrument, gaps))
        self._ledger.finish()
        self._write_proofs([])

    def provenance(self) -> dict[str, Any]:
        """What others need to know of this one: how far bars are complete, settings, what features mean."""
        return {
            "closed_ns": self.sampler.closed_ns,
            "settings": msgspec.to_builtins(self.settings),
            "lineage": {"features": lineage(FEATURES)},
        }

    def to_arrays(self) -> Arrays:
        """Everything carried, as arrays; `restore` takes it back."""
        arrays: Arrays = {f"sampler.{k}": v for k, v in self.sampler.to_arrays().items()}
        arrays |= {f"market.{k}": v for k, v in self._market.to_arrays().items()}
        arrays["ledger"] = np.frombuffer(self._ledger.to_bytes(), np.uint8)
        arrays["mapper"] = np.frombuffer(mapper_state(self._mapper), np.uint8)
        for length, engine in self._engines.items():
            arrays |= {f"features.{length}.{k}": v for k, v in engine.state().items()}
        return arrays

    def restore(self, arrays: Mapping[str, NDArray[np.generic]]) -> None:
        """Go on from `to_arrays()` of a pipeline with the same instrument and settings."""
        self.sampler.restore(_part(arrays, "sampler."))
        self._market.restore(_part(arrays, "market."))
        self._ledger.restore(arrays["ledger"].tobytes())
        restore_mapper(self._mapper, arrays["mapper"].tobytes() if "mapper" in arrays else b"")
        for length, engine in self._engines.items():
            engine.restore(_part(arrays, f"features.{length}."))


def _from_line(rejections: list[Rejection], first: int) -> list[Rejection]:
    """The same with lines counted from `first` on."""
    return [msgspec.structs.replace(found, line=found.line + first) for found in rejections]


def _part(arrays: Mapping[str, NDArray[np.generic]], prefix: str) -> Arrays:
    return {k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)}
