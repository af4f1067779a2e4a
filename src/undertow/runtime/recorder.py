"""Recording one symbol live: journal first, then the fold; after a crash the journal makes all good."""

import os
from pathlib import Path

import msgspec
import numpy as np

from undertow.errors import LakeError
from undertow.features.catalogue import FEATURES
from undertow.features.engine import lineage
from undertow.frames.sampler import SamplerSettings
from undertow.journal.reader import Position, Problem, read_chunks, segments
from undertow.journal.writer import JournalWriter
from undertow.lake.writer import LakeWriter
from undertow.market.instruments import Instrument
from undertow.market.time import HOUR_NS, MINUTE_NS
from undertow.runtime.pipeline import OnBars, Pipeline
from undertow.runtime.track import RecorderStatus
from undertow.venues.binance.frame_row import Reason

__all__ = ["SymbolRecorder"]


class _Checkpoint(msgspec.Struct, frozen=True):
    """Where the journal stood when the pipeline's state was saved, and what of the lake it had written."""

    position: Position
    parts: dict[str, int]
    instrument: Instrument
    settings: SamplerSettings
    lineage: str
    """Of the features: the state of another formula means nothing to this one."""


class SymbolRecorder:
    """Appends frames to the journal, folds them, and keeps a checkpoint to go on from.

    Opening it recovers: the fold goes on from the checkpoint through all that the journal holds, so that
    nothing received is lost and nothing is written twice, however the last run ended.
    """

    def __init__(
        self,
        instrument: Instrument,
        settings: SamplerSettings,
        lake: Path,
        journal: Path,
        on_bars: OnBars | None = None,
        checkpoint_every_ns: int = MINUTE_NS,
    ) -> None:
        self._settings = settings
        self._every_ns = checkpoint_every_ns
        self._lake = LakeWriter(lake, instrument.venue, instrument.symbol)
        self._path = lake / instrument.venue / "_checkpoints" / f"{instrument.symbol}.npz"
        self.instrument = instrument = self._steps(instrument)
        self._journal = JournalWriter(journal, instrument.venue, instrument.symbol)
        self._pipeline = Pipeline(instrument, settings, self._lake, None)
        self._block: list[bytes] = []
        self._saved_ns = 0
        self._sealed_ns = 0
        try:
            self.recovered_frames = self._recover(journal)
        except BaseException:
            self._journal.close()
            self._lake.close()
            raise
        self._pipeline.on_bars = on_bars

    @property
    def pipeline(self) -> Pipeline:
        """The fold; to be read."""
        return self._pipeline

    def record(self, receive_ns: int, frame: bytes) -> None:
        """Append a frame to the journal and to the block to be folded."""
        self._block.append(self._journal.append(receive_ns, frame))

    def process(self) -> None:
        """Fold everything recorded so far; from then on it is on disk."""
        if not self._block:
            return
        self._journal.flush()
        block, self._block = self._block, []
        self._pipeline.fold(b"".join(block))
        newest_ns = self._pipeline.sampler.newest_ns
        off_step = self._pipeline.counts.rejected[Reason.OFF_STEP]
        if newest_ns - self._saved_ns >= self._every_ns and not off_step:
            # Values off the steps say that these have changed: what was refused is going to be folded again.
            self.checkpoint()

    def needs_snapshot(self) -> bool:
        """Whether the book waits for a REST snapshot."""
        return self._pipeline.sampler.book.needs_snapshot

    def is_synced(self) -> bool:
        """Whether the book is exact."""
        return self._pipeline.sampler.is_synced

    def trusts_enough(self) -> bool:
        """Whether the levels that are sampled lie inside the range of the newest snapshot."""
        return self._pipeline.sampler.trusts(self._settings.l2_levels)

    def is_off_step(self) -> bool:
        """Whether frames came whose prices or quantities do not lie on the instrument's steps."""
        return self._pipeline.counts.rejected[Reason.OFF_STEP] > 0

    def missing_trades(self) -> list[tuple[int, int]]:
        """Ranges of aggregate trade ids that were skipped and have not come."""
        return self._pipeline.sampler.missing("aggtrades")

    def status(self) -> RecorderStatus:
        """How things stand, for people."""
        counts, sampler = self._pipeline.counts, self._pipeline.sampler
        return RecorderStatus(
            book=sampler.book.status.name.lower(),
            last_price=self._pipeline.last_price,
            gaps=counts.gaps,
            resyncs=max(0, sampler.book.snapshot_count - 1),
            duplicates=sampler.duplicate_count,
            snapshots=sampler.book.snapshot_count,
            repaired_trades=counts.repaired_trades,
            audits=counts.audits,
            audited_levels=counts.audited_levels,
            matched_levels=counts.matched_levels,
            mismatched_levels=counts.mismatched_levels,
            unknown=self._pipeline.unknown(),
        )

    def newest_event_ns(self) -> int:
        """Newest event time folded; 0 before the first."""
        return self._pipeline.sampler.newest_ns

    def checkpoint(self) -> None:
        """Write out what is open, save the state, and seal the hours that are over."""
        self._journal.flush()
        self._lake.flush()
        closed_ns = self._pipeline.sampler.closed_ns
        self._save()
        if closed_ns // HOUR_NS > self._sealed_ns // HOUR_NS:
            self._lake.seal(closed_ns // HOUR_NS * HOUR_NS, extra=self._pipeline.provenance())
        self._sealed_ns = closed_ns
        self._saved_ns = self._pipeline.sampler.newest_ns

    def abandon(self) -> None:
        """Let go as after a crash: what was folded since the checkpoint is folded again on opening."""
        self._journal.flush(sync=True)
        self._journal.close()
        self._lake.close()

    def close(self) -> None:
        """Fold the rest and seal everything."""
        self.process()
        self._journal.flush(sync=True)
        self._pipeline.finish()
        self._lake.flush()
        self._save()
        self._lake.seal(None, extra=self._pipeline.provenance())
        self._journal.close()
        self._lake.close()

    def _save(self) -> None:
        checkpoint = _Checkpoint(
            self._journal.position,
            self._lake.checkpoint(),
            self.instrument,
            self._settings,
            lineage(FEATURES),
        )
        arrays = self._pipeline.to_arrays()
        arrays["checkpoint"] = np.frombuffer(msgspec.json.encode(checkpoint), np.uint8)
        temporary = self._path.with_suffix(".tmp")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with temporary.open("wb") as file:
                np.savez(file, allow_pickle=False, **arrays)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(self._path)
        except OSError as error:
            raise LakeError(f"{self._path}: cannot be written ({error.strerror})") from error

    def _recover(self, journal: Path) -> int:
        """Go on from the checkpoint through the journal; the frames folded again."""
        start = self._load()
        problems: list[Problem] = []
        paths = segments(journal, self.instrument.venue, self.instrument.symbol)
        for chunk in read_chunks(paths, start=start, problems=problems):
            self._pipeline.fold(chunk.data)
        return self._pipeline.counts.frames

    def _steps(self, stated: Instrument) -> Instrument:
        """The instrument to go on with: where its steps have changed, steps that suit old and new values."""
        if not self._path.exists():
            return stated
        with np.load(self._path, allow_pickle=False) as file:
            written = msgspec.json.decode(file["checkpoint"].tobytes(), type=_Checkpoint).instrument
        finer = written.finer(stated)
        return written if (finer.price, finer.quantity) == (written.price, written.quantity) else finer

    def _load(self) -> Position | None:
        """Restore the state that was saved, if it fits; the journal position that it belongs to.

        A state in coarser steps is not taken over: the book is fetched anew, running features begin anew.
        """
        if not self._path.exists():
            self._lake.discard_parts_after({})
            return None
        with np.load(self._path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        checkpoint = msgspec.json.decode(arrays.pop("checkpoint").tobytes(), type=_Checkpoint)
        if (checkpoint.settings, checkpoint.lineage) != (self._settings, lineage(FEATURES)):
            raise LakeError(
                f"{self._path}: was written with other settings or other features; "
                "use another lake, or delete this file to fold the journal again from its start"
            )
        self._lake.discard_parts_after(checkpoint.parts)
        if checkpoint.instrument != self.instrument:
            return checkpoint.position
        self._pipeline.restore(arrays)
        self._saved_ns = self._pipeline.sampler.newest_ns
        return checkpoint.position
