"""Windows over rows that stay on disk: a sequence is a view, made when it is asked for."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from undertow.datasets.asof import as_of_rows
from undertow.datasets.joined import SEQUENCE_COLUMNS
from undertow.datasets.sources import SourceHour, read_hours
from undertow.errors import InputError
from undertow.market.time import MILLISECOND_NS, SECOND_NS

__all__ = ["SequenceRows", "SequenceWindows", "row_stretches", "window_ends", "write_matrix", "write_rows"]

Integers = NDArray[np.int64]
Singles = NDArray[np.float32]
Flags = NDArray[np.bool_]

NO_STRETCH = -1
STEP_NS = SECOND_NS
"""The sampled book has a row every second."""
_BATCH_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class SequenceRows:
    """When each row (n,) of a row file was, and which rows lie in one gap-free stretch."""

    event_ns: Integers
    known_ns: Integers
    stretch: Integers
    """−1 for a row that lies in none."""


@dataclass(frozen=True, slots=True)
class SequenceWindows:
    """m sequences of `steps` rows that end at rows `ends` of a row file."""

    rows: NDArray[Any]
    """(n, k) float32, commonly a memory map."""
    ends: Integers
    """(m,) last row of each sequence, `steps` − 1 or more."""
    steps: int

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise InputError(f"a sequence of {self.steps} steps is none; give --sequence 1 or more")
        if len(self.ends) and (self.ends.min() < self.steps - 1 or self.ends.max() >= len(self.rows)):
            raise ValueError("a sequence reaches out of the rows")

    def __len__(self) -> int:
        """Number of sequences."""
        return len(self.ends)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(samples, timesteps, features)."""
        return len(self.ends), self.steps, self.rows.shape[1]

    def __getitem__(self, at: int) -> NDArray[Any]:
        """One sequence, (steps, k), oldest row first: a view of the rows, not a copy."""
        end = int(self.ends[at]) + 1
        return self.rows[end - self.steps : end]

    def batch(self, samples: Sequence[int] | Integers | slice) -> NDArray[Any]:
        """Copies of several sequences, (len, steps, k)."""
        ends = self.ends[samples]
        copies: NDArray[Any] = self.rows[ends[:, None] + np.arange(1 - self.steps, 1)]
        return copies


def row_stretches(event_ns: Integers, complete: Flags, breaks: tuple[Integers, Integers]) -> Integers:
    """Number of the gap-free stretch that each row lies in, (n,) int64; −1 for a row that lies in none.

    A stretch ends where the next row is not one second later and where a recorded gap [from, to) (each (g,),
    any order) touches the time from the row before to this one. In none lies a row that is not complete, or
    whose instant is inside a gap.
    """
    cut = np.zeros(len(event_ns), dtype=np.bool_)
    cut[1:] = np.diff(event_ns) != STEP_NS
    usable = complete.copy()
    for from_ns, to_ns in zip(*breaks, strict=True):
        # the gap touches (row before, row]: the first row at or after its begin up to the first after its end
        first = int(np.searchsorted(event_ns, from_ns, side="left"))
        last = int(np.searchsorted(event_ns, max(to_ns, from_ns + 1), side="left"))
        cut[first : last + 1] = True
        usable[(event_ns > from_ns) & (event_ns < to_ns)] = False
    cut[1:] |= ~usable[:-1]
    return np.where(usable, np.cumsum(cut, dtype=np.int64), NO_STRETCH)


def window_ends(decision_ns: Integers, rows: SequenceRows, steps: int) -> Integers:
    """Last row of each decision's sequence, (m,) int64: the newest row known then.

    −1 where that was known for a second or more already, or the sequence would cross a gap.
    """
    ends = as_of_rows(decision_ns, rows.known_ns, rows.event_ns, STEP_NS - 1)
    begins = ends - (steps - 1)
    if len(rows.stretch) == 0:
        return ends
    whole = (begins >= 0) & (rows.stretch[ends] != NO_STRETCH)
    whole &= rows.stretch[np.maximum(begins, 0)] == rows.stretch[ends]
    return np.where(whole, ends, -1).astype(np.int64)


def write_rows(
    path: Path,
    hours: Sequence[SourceHour],
    breaks: tuple[Integers, Integers],
    from_ns: int | None = None,
    to_ns: int | None = None,
) -> SequenceRows:
    """Write the sequence columns of `l2_features` as a `.npy` (n, 400) float32, an hour at a time.

    `breaks` are the recorded gaps of the book. Raises InputError where a column is missing.
    """
    times = [read_hours([hour], ["timestamp", "known_ns"], from_ns, to_ns) for hour in hours]
    count = sum(part.height for part in times)
    if count == 0:
        raise InputError("no row of l2_features lies in this range; run `undertow features --l2` for it")
    shape = (count, len(SEQUENCE_COLUMNS))
    _create(path, shape)
    complete, at = np.empty(count, dtype=np.bool_), 0
    for hour in hours:
        frame = read_hours([hour], ["timestamp", *SEQUENCE_COLUMNS], from_ns, to_ns)
        missing = [name for name in SEQUENCE_COLUMNS if name not in frame.columns]
        if missing:
            raise InputError(f"{hour.path}: no column {missing[0]}; compute the L2 features again")
        values = frame.select(pl.col(SEQUENCE_COLUMNS).cast(pl.Float32)).to_numpy()
        _fill(path, at, values)
        complete[at : at + len(values)] = np.isfinite(values).all(axis=1)
        at += len(values)
    stamps = pl.concat(times)
    event_ns = stamps["timestamp"].cast(pl.Int64).to_numpy() * MILLISECOND_NS
    known = stamps["known_ns"].cast(pl.Int64).to_numpy()
    return SequenceRows(event_ns, known, row_stretches(event_ns, complete, breaks))


def write_matrix(path: Path, windows: SequenceWindows) -> None:
    """Write all sequences as a `.npy` (samples, timesteps, features) float32, a batch at a time."""
    _create(path, windows.shape)
    batch = max(_BATCH_BYTES // max(windows.steps * windows.shape[2] * 4, 1), 1)
    for start in range(0, len(windows), batch):
        _fill(path, start, windows.batch(slice(start, start + batch)))


def _create(path: Path, shape: tuple[int, ...]) -> None:
    """A `.npy` of float32 zeros of this shape."""
    np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=shape).flush()


def _fill(path: Path, start: int, values: NDArray[Any]) -> None:
    """Write entries from `start` on; mapped anew each time, so that memory need not hold what was written."""
    target = np.load(path, mmap_mode="r+")
    target[start : start + len(values)] = values
    target.flush()
