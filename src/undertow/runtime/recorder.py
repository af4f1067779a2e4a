"""Recording one symbol live: journal first, then the fold; whatever fails, what was received is kept."""

import contextlib
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import structlog

from undertow.errors import InUseError, LakeError
from undertow.frames.sampler import SamplerSettings
from undertow.journal.reader import read_chunks, segments
from undertow.journal.writer import JournalWriter
from undertow.market.instruments import Instrument
from undertow.market.time import MINUTE_NS
from undertow.runtime.backlog import Backlog
from undertow.runtime.disk_guard import DiskGuard
from undertow.runtime.pipeline import OnBars, Pipeline
from undertow.runtime.symbol_fold import SymbolFold
from undertow.runtime.track import NOTHING_RECORDED, RecorderStatus
from undertow.venues.mapped import Reason

__all__ = ["SymbolRecorder"]

log = structlog.get_logger(__name__)

_PORTION_BYTES, _PORTIONS = 1 << 20, 8
"""What is folded at once, as larger portions take more memory, and how many before it is others' turn."""
_FOLD_FRAMES = 512
"""So many frames are folded without waiting for more."""


class SymbolRecorder:
    """Appends frames to the journal, folds them, and keeps a checkpoint to go on from.

    Opening it recovers: the fold goes on from the checkpoint through all that the journal holds, so that
    nothing received is lost and nothing is written twice, however the last run ended.

    `record` may be called by one thread while another is in any other method; it touches no disk. While the
    journal cannot be written, frames wait in a Backlog. While the lake cannot be written, or `guard` says
    that its disk is nearly full, only the journal goes on; later the fold catches up from it.
    """

    def __init__(
        self,
        instrument: Instrument,
        settings: SamplerSettings,
        lake: Path,
        journal: Path,
        on_bars: OnBars | None = None,
        checkpoint_every_ns: int = MINUTE_NS,
        *,
        guard: DiskGuard | None = None,
        spill: Path | None = None,
        spill_beyond_bytes: int = 1 << 21,
        sync_every_s: float = 1.0,
        retry_s: float = 1.0,
        fold_every_s: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings, self._lake, self._root = settings, lake, journal
        self._on_bars = on_bars
        self._every_ns = checkpoint_every_ns
        self._guard = guard
        self._sync_every_s, self._retry_s, self._clock = sync_every_s, retry_s, clock
        self._fold_every_s = fold_every_s
        self._synced_s = self._journal_due_s = self._fold_due_s = self._folded_s = clock()
        self._block: list[bytes] = []
        self._missing: tuple[tuple[int, int], ...] = ()
        self._missing_singles: tuple[tuple[int, int], ...] = ()
        self._journal_trouble = self._fold_trouble = ""
        fold = SymbolFold(instrument, settings, lake)
        try:
            self._instrument = fold.instrument
            self._journal = JournalWriter(journal, instrument.venue, instrument.symbol, fold.position)
        except BaseException:
            fold.abandon()
            raise
        try:
            self.recovered_frames = fold.recover(journal, on_bars)
            self._fold: SymbolFold | None = fold
            self._backlog = Backlog(self._spill_file(spill), spill_beyond_bytes)
            self._without_what_was_journalled()
        except BaseException:
            self._journal.close()
            fold.abandon()
            raise

    @property
    def instrument(self) -> Instrument:
        """What is recorded, in the steps of the fold."""
        return self._instrument

    @property
    def pipeline(self) -> Pipeline:
        """The fold; to be read. Raises LakeError while it rests."""
        if self._fold is None:
            raise LakeError(f"{self._instrument.symbol}: {self._fold_trouble}")
        return self._fold.pipeline

    def record(self, receive_ns: int, frame: bytes) -> None:
        """Take a frame, which holds no line break; `process` writes and folds it."""
        self._backlog.put(receive_ns, frame)

    def process(self) -> bool:
        """Write what was received to the journal, from where on it is on disk, and fold it in its time.

        True: something waits to be folded, so this is to be called again though nothing comes.
        """
        for _ in range(_PORTIONS):
            if self._clock() < self._journal_due_s or not self._write_journal():
                break
            if self._fold is None:
                self._resume()
            elif self._is_fold_due():
                self._advance(self._fold)
            if not len(self._backlog):
                break
        return bool(self._block)

    def _is_fold_due(self) -> bool:
        """A fold of few frames costs as much as one of many, so they are gathered while the book is exact."""
        return (
            len(self._block) >= _FOLD_FRAMES
            or self._clock() >= self._folded_s + self._fold_every_s
            or not self.is_synced()
        )

    def _write_journal(self) -> bool:
        """Whether everything taken so far is in the journal."""
        is_due = self._clock() - self._synced_s >= self._sync_every_s
        try:
            if self._journal_trouble:
                self._journal.flush(sync=True)
            taken = self._backlog.take(_PORTION_BYTES)
            lines = [self._journal.append(stamp, frame) for stamp, frame in taken]
            self._block += lines
            if lines or is_due:
                self._journal.flush(sync=is_due)
        except LakeError as error:
            self._note_journal(str(error))
            return False
        if is_due:
            self._synced_s = self._clock()
        if self._journal_trouble:
            log.info("journal_goes_on", symbol=self._instrument.symbol)
            self._journal_trouble = ""
        return True

    def _note_journal(self, trouble: str) -> None:
        self._journal_trouble = f"{trouble}; frames wait in memory, then in the spill folder"
        self._journal_due_s = self._clock() + self._retry_s

    def _advance(self, fold: SymbolFold) -> None:
        """Fold the block, and save a checkpoint when one is due."""
        block, self._block = self._block, []
        self._folded_s = self._clock()
        if not block:
            return
        try:
            if self._guard is not None and self._guard.is_low():
                self._rest(fold, self._low_disk(self._guard))
                return
            fold.pipeline.fold(b"".join(block))
            newest_ns = fold.pipeline.sampler.newest_ns
            if newest_ns - fold.saved_ns >= self._every_ns and not self.is_off_step():
                # Values off the steps say that these have changed: what was refused will be folded again.
                self.checkpoint()
        except LakeError as error:
            self._rest(fold, f"{error}; the journal goes on, and the lake catches up from it")
        else:
            self._missing = tuple(fold.pipeline.sampler.missing("aggtrades"))
            self._missing_singles = tuple(fold.pipeline.sampler.missing_singles("aggtrades"))

    def _low_disk(self, guard: DiskGuard) -> str:
        return (
            f"{guard.free / 1e6:,.0f} MB are free under {guard.folder}, {guard.low_bytes / 1e6:,.0f} kept "
            "for the journal: the lake rests, and catches up when there is room; free space"
        )

    def _rest(self, fold: SymbolFold, trouble: str) -> None:
        """Fold no more for now: only the journal is written."""
        fold.abandon()
        self._fold, self._fold_trouble = None, trouble
        self._missing = self._missing_singles = ()
        self._fold_due_s = self._clock() + self._retry_s

    def _resume(self) -> None:
        """Fold again if that can be, from the checkpoint through all that the journal holds."""
        self._block = []
        if self._clock() < self._fold_due_s or (self._guard is not None and self._guard.is_low()):
            return
        self._fold_due_s = self._clock() + self._retry_s
        try:
            fold = SymbolFold(self._instrument, self._settings, self._lake)
        except InUseError:
            raise
        except LakeError as error:
            self._fold_trouble = f"{error}; the journal goes on, and the lake catches up from it"
            return
        try:
            fold.recover(self._root, self._on_bars)
        except LakeError as error:
            self._rest(fold, f"{error}; the journal goes on, and the lake catches up from it")
            return
        log.info("fold_goes_on", symbol=self._instrument.symbol, frames=fold.pipeline.counts.frames)
        self._fold, self._fold_trouble = fold, ""

    def trouble(self) -> str:
        """What keeps it from recording in full, and what to do; empty: nothing."""
        return self._journal_trouble or self._fold_trouble

    def needs_snapshot(self) -> bool:
        """Whether the book waits for a REST snapshot."""
        return self._fold is not None and self._fold.pipeline.sampler.book.needs_snapshot

    def is_synced(self) -> bool:
        """Whether the book is exact."""
        return self._fold is not None and self._fold.pipeline.sampler.is_synced

    def trusts_enough(self) -> bool:
        """Whether the levels that are sampled lie inside the range of the newest snapshot."""
        return self._fold is None or self._fold.pipeline.sampler.trusts(self._settings.l2_levels)

    def is_off_step(self) -> bool:
        """Whether frames came whose prices or quantities do not lie on the instrument's steps."""
        return self._fold is not None and self._fold.pipeline.counts.rejected[Reason.OFF_STEP] > 0

    def missing_trades(self) -> list[tuple[int, int]]:
        """Ranges of aggregate trade ids that were skipped and have not come."""
        return list(self._missing)

    def missing_singles(self) -> list[tuple[int, int]]:
        """Ranges of ids of single trades that no aggregate told and that have not been had."""
        return list(self._missing_singles)

    def status(self) -> RecorderStatus:
        """How things stand, for people."""
        if self._fold is None:
            return NOTHING_RECORDED._replace(book="resting")
        pipeline = self._fold.pipeline
        counts, sampler = pipeline.counts, pipeline.sampler
        return RecorderStatus(
            book=sampler.book.status.name.lower(),
            last_price=pipeline.last_price,
            gaps=counts.gaps,
            resyncs=max(0, sampler.book.snapshot_count - 1),
            duplicates=sampler.duplicate_count,
            snapshots=sampler.book.snapshot_count,
            repaired_trades=counts.repaired_trades,
            audits=counts.audits,
            audited_levels=counts.audited_levels,
            matched_levels=counts.matched_levels,
            mismatched_levels=counts.mismatched_levels,
            unknown=pipeline.unknown(),
        )

    def newest_event_ns(self) -> int:
        """Newest event time folded; 0 before the first."""
        return 0 if self._fold is None else self._fold.pipeline.sampler.newest_ns

    def checkpoint(self) -> None:
        """Write out what is open, save the state, and seal the hours that are over."""
        if self._fold is not None and self._block:
            self._advance(self._fold)
        if self._fold is None:
            return
        try:
            position = self._journal.mark()
        except LakeError as error:
            self._note_journal(str(error))
            return
        self._fold.checkpoint(position)

    def abandon(self) -> None:
        """Let go as after a crash: what was folded since the checkpoint is folded again on opening."""
        try:
            self._take_in()
            self._journal.close()
        except LakeError as error:
            log.warning("journal_fell_behind", symbol=self._instrument.symbol, reason=str(error))
        finally:
            self._let_go()

    def close(self) -> None:
        """Fold the rest and seal everything; raises LakeError where the journal cannot take the rest.

        That rest is then in the spill file, and is taken up when the symbol is recorded again.
        """
        try:
            self._take_in()
            if self._fold is not None:
                self._fold.finish(self._journal.mark())
            self._journal.close()
        finally:
            self._let_go()

    def _let_go(self) -> None:
        """Save what the journal could not take, and release what is still held."""
        self._backlog.close(self._journal.unwritten())
        if self._fold is not None:
            self._fold.abandon()
        with contextlib.suppress(LakeError):  # said before; this is for the lock
            self._journal.close()

    def _take_in(self) -> None:
        """Write and fold all that waits."""
        self._journal_due_s = self._clock()
        self._fold_every_s = 0.0
        self.process()
        while len(self._backlog) and not self._journal_trouble:
            self.process()
        if self._journal_trouble:
            raise LakeError(f"{self._instrument.symbol}: {self._journal_trouble}")

    def _spill_file(self, folder: Path | None) -> Path:
        """In the system's folder for temporary files, which mostly is another disk; one for each journal.

        A journal that was deleted and begun anew is another one: what waited for the old one is not its own.
        """
        base = folder or Path(tempfile.gettempdir()) / f"undertow-{os.getuid()}"
        name = f"{self._instrument.symbol}-{self._journal.identity}.lines"
        return base / self._instrument.venue / name

    def _without_what_was_journalled(self) -> None:
        """Of frames that a process which ended has left, keep those that the journal does not hold."""
        if not (waiting := self._backlog.leftover()):
            return
        first_ns = min(int(line.partition(b" ")[0]) for line in waiting)
        paths = segments(self._root, self._instrument.venue, self._instrument.symbol)
        kept = {
            line
            for chunk in read_chunks(paths[-2:], problems=[])
            for line in chunk.data.splitlines(keepends=True)
            if int(line.partition(b" ")[0]) >= first_ns
        }
        self._backlog.keep_only(line for line in waiting if line not in kept)
        log.info("backlog_taken_up", symbol=self._instrument.symbol, frames=len(waiting))
