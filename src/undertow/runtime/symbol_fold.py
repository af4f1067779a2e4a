"""The fold of one symbol's journal into the lake, with a checkpoint to go on from."""

import os
from pathlib import Path

import msgspec
import numpy as np

from undertow.errors import LakeError
from undertow.features.catalogue import FEATURES
from undertow.features.engine import lineage
from undertow.frames.sampler import SamplerSettings
from undertow.journal.reader import Position, Problem, read_chunks, segments
from undertow.lake.writer import LakeWriter
from undertow.market.instruments import Instrument
from undertow.market.time import HOUR_NS
from undertow.runtime.pipeline import OnBars, Pipeline
from undertow.runtime.warm_up import load_kernels

__all__ = ["SymbolFold"]

_STATE_VERSION = 4
_CHUNK_BYTES = 1 << 20
"""Of journal lines folded at once on opening: more would only take memory."""


class _Checkpoint(msgspec.Struct, frozen=True):
    """Where the journal stood when the pipeline's state was saved, and what of the lake it had written."""

    position: Position
    parts: dict[str, int]
    instrument: Instrument
    settings: SamplerSettings
    lineage: str
    """Of the features: the state of another formula means nothing to this one."""
    version: int = 1
    """Of what is carried: raised whenever that changes."""


class SymbolFold:
    """Folds journal lines into the lake. Opened, it stands at its checkpoint; `recover` reads on from there.

    What is folded after a checkpoint is folded again after a crash: nothing is lost, nothing written twice.
    Raises LakeError where the lake cannot be written, another process has the symbol, or the checkpoint was
    written with other settings or features.
    """

    def __init__(self, instrument: Instrument, settings: SamplerSettings, lake: Path) -> None:
        self._settings = settings
        self._lake = LakeWriter(lake, instrument.venue, instrument.symbol)
        self._path = lake / instrument.venue / "_checkpoints" / f"{instrument.symbol}.npz"
        self._sealed_ns = 0
        self.saved_ns = 0
        """Newest event time at the checkpoint."""
        try:
            self.instrument = self._steps(instrument)
            self.pipeline = Pipeline(self.instrument, settings, self._lake, None)
            self.position = self._load()
        except BaseException:
            self._lake.close()
            raise

    def recover(self, journal: Path, on_bars: OnBars | None) -> int:
        """Fold what the journal holds behind the checkpoint; the frames folded.

        From then on `on_bars` is called.
        """
        load_kernels(self.instrument.venue, self._settings)
        problems: list[Problem] = []
        paths = segments(journal, self.instrument.venue, self.instrument.symbol)
        for chunk in read_chunks(paths, start=self.position, chunk_bytes=_CHUNK_BYTES, problems=problems):
            self.pipeline.fold(chunk.data)
        self.pipeline.on_bars = on_bars
        return self.pipeline.counts.frames

    def checkpoint(self, position: Position) -> None:
        """Write out what is open, save the state as of `position`, and seal the hours that are over."""
        self._lake.flush()
        closed_ns = self.pipeline.sampler.closed_ns
        self._save(position)
        if closed_ns // HOUR_NS > self._sealed_ns // HOUR_NS:
            self._lake.seal(closed_ns // HOUR_NS * HOUR_NS, extra=self.pipeline.provenance())
        self._sealed_ns = closed_ns
        self.saved_ns = self.pipeline.sampler.newest_ns

    def finish(self, position: Position) -> None:
        """The recording ends at `position`: seal everything and let go of the lake."""
        self.pipeline.finish()
        self._lake.flush()
        self._save(position)
        self._lake.seal(None, extra=self.pipeline.provenance())
        self._lake.close()

    def abandon(self) -> None:
        """Let go of the lake as after a crash."""
        self._lake.close()

    def _save(self, position: Position) -> None:
        checkpoint = _Checkpoint(
            position,
            self._lake.checkpoint(),
            self.instrument,
            self._settings,
            lineage(FEATURES),
            _STATE_VERSION,
        )
        arrays = self.pipeline.to_arrays()
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
        ours = (self._settings, lineage(FEATURES), _STATE_VERSION)
        if (checkpoint.settings, checkpoint.lineage, checkpoint.version) != ours:
            raise LakeError(
                f"{self._path}: was written with other settings, other features or another version; "
                "use another lake, or delete this file to fold the journal again from its start"
            )
        self._lake.discard_parts_after(checkpoint.parts)
        if checkpoint.instrument != self.instrument:
            return checkpoint.position
        self.pipeline.restore(arrays)
        self.saved_ns = self.pipeline.sampler.newest_ns
        return checkpoint.position
