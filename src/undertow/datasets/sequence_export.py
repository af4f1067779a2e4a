"""Sequences of one symbol as files: their rows once, or all of them as one matrix."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from undertow.datasets.bars import known_ns
from undertow.datasets.exports import check_room, dates_of, matrix_name, read_record, whole_file, write_table
from undertow.datasets.joined import L2_TABLE, SEQUENCE_COLUMNS, JoinedSymbol, Selection
from undertow.datasets.sequences import (
    STEP_NS,
    SequenceWindows,
    window_ends,
    write_matrix,
    write_rows,
)
from undertow.datasets.sources import SourceHour, read_hours, source_hours
from undertow.datasets.table import DatasetTable
from undertow.errors import InputError
from undertow.market.time import DAY_NS

__all__ = ["END_COLUMN", "SequenceExport", "open_windows", "prepare_sequences"]

Integers = NDArray[np.int64]

END_COLUMN = "sequence_end_row"
"""Of the samples' table: the last row of each sequence in the row file."""

_NOTHING_LOST = "disconnected, no id missing"


@dataclass(frozen=True, slots=True)
class SequenceExport:
    """The rows of one symbol on disk under a temporary name, and the sequence of each bar."""

    rows_path: Path
    ends: Integers
    """(bars,) last row of each bar's sequence, −1 = none."""
    steps: int
    row_count: int
    hours: tuple[SourceHour, ...]
    """What the rows were read from."""

    def write(
        self, table: DatasetTable, bar_known_ns: Integers, out: Path, *, is_matrix: bool
    ) -> tuple[DatasetTable, list[Path]]:
        """Write the sequences of the table's rows, as a matrix or as rows, and the table beside them.

        The table, which gets the column `sequence_end_row`, and the files: that of the sequences first.
        """
        places = np.searchsorted(bar_known_ns, table.frame["known_ns"].to_numpy())
        ends = self.ends[places]
        dates = dates_of(table.frame)
        samples = replace(table, frame=table.frame.with_columns(pl.Series(END_COLUMN, ends)))
        matrix_path = out / matrix_name(table.symbol, dates)
        rows_path = out / matrix_path.name.replace("_lstm_matrix_", "_lstm_rows_")
        table_path = out / matrix_path.name.replace("_lstm_matrix_", "_lstm_samples_")
        table_path = table_path.with_suffix(".parquet")
        if is_matrix:
            windows = SequenceWindows(np.load(self.rows_path, mmap_mode="r"), ends, self.steps)
            check_room(out, 4 * int(np.prod(windows.shape)))
            with whole_file(matrix_path) as temporary:
                write_matrix(temporary, windows)
        else:
            self.rows_path.replace(rows_path)
        write_table(table_path, samples.frame)
        return samples, [matrix_path if is_matrix else rows_path, table_path]

    def discard(self) -> None:
        """Delete the temporary rows, where they are still there."""
        self.rows_path.unlink(missing_ok=True)

    def record(self) -> dict[str, Any]:
        """What a manifest says of the sequences."""
        return {
            "steps": self.steps,
            "step_seconds": STEP_NS / 1e9,
            "rows": self.row_count,
            "columns": list(SEQUENCE_COLUMNS),
            "dtype": "float32",
        }


def prepare_sequences(selection: Selection, joined: JoinedSymbol, steps: int, out: Path) -> SequenceExport:
    """Read the rows that the bars' sequences need into a file under `out`.

    Raises InputError where the lake has no L2 features of the symbol in the range, or the disk no room.
    """
    times, symbol = known_ns(joined.bars), joined.bars.symbol
    bounds = int(times[0]) - (steps + 2) * STEP_NS, int(times[-1]) + 1
    hours = source_hours(selection.lake, joined.venue, L2_TABLE, symbol, "", *bounds)
    if not hours:
        raise InputError(
            f"{selection.lake}: no {L2_TABLE} of {symbol} in this range, of which sequences are made; run "
            "`undertow features --l2` or choose --format parquet"
        )
    check_room(out, 4 * len(SEQUENCE_COLUMNS) * sum(hour.rows for hour in hours))
    gap_hours = source_hours(selection.lake, joined.venue, "gaps", symbol, "", bounds[0] - DAY_NS, bounds[1])
    rows_path = out / f".{symbol}_lstm_rows.npy.tmp"
    rows = write_rows(rows_path, hours, _book_gaps(gap_hours), *bounds)
    ends = window_ends(times, rows, steps)
    return SequenceExport(rows_path, ends, steps, len(rows.event_ns), (*hours, *gap_hours))


def open_windows(samples: Path) -> tuple[SequenceWindows, pl.DataFrame]:
    """Sequences exported with `--format windows`, memory-mapped, and the table of their samples.

    `samples` is the `..._lstm_samples_....parquet`; the row file lies beside it. Raises InputError where one
    of them is missing.
    """
    rows_path = samples.with_name(samples.name.replace("_lstm_samples_", "_lstm_rows_")).with_suffix(".npy")
    for path in (samples, rows_path):
        if not path.exists():
            raise InputError(f"{path}: is not there; export with `undertow dataset --format windows`")
    steps = int(read_record(rows_path)["sequence"]["steps"])
    frame = pl.read_parquet(samples)
    rows = np.load(rows_path, mmap_mode="r")
    return SequenceWindows(rows, frame[END_COLUMN].to_numpy(), steps), frame


def _book_gaps(hours: list[SourceHour]) -> tuple[Integers, Integers]:
    """Begins and ends of the recorded gaps of the book."""
    if not hours:
        return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)
    rows = read_hours(hours, ["timestamp", "from_ns", "to_ns", "stream", "cause"])
    lost = rows.filter((pl.col("stream") == "depth") & (pl.col("cause") != _NOTHING_LOST))
    return lost["from_ns"].to_numpy(), lost["to_ns"].to_numpy()
