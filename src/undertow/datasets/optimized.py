"""Lake → exported datasets: labels of all symbols first, then one symbol's columns at a time."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from undertow.datasets.bars import known_ns
from undertow.datasets.coverage import CoverageRule, streams_of
from undertow.datasets.exports import (
    ExportFormat,
    all_symbols_name,
    dates_of,
    file_sha256,
    manifest_path,
    symbol_name,
    write_record,
    write_table,
)
from undertow.datasets.joined import L2_TABLE, JoinedSymbol, Selection, read_symbol
from undertow.datasets.labelled import LabelKind, LabelSettings, SymbolLabels, label_symbols, training_cut_ns
from undertow.datasets.record import (
    FittedThreshold,
    check_joinable,
    check_lineages,
    label_record,
    lineages,
    table_record,
)
from undertow.datasets.sequence_export import SequenceExport, prepare_sequences
from undertow.datasets.sources import SourceHour, read_hours, source_hours
from undertow.datasets.table import DatasetTable, make_table
from undertow.errors import InputError
from undertow.features.feature import Feature
from undertow.labels.threshold_rule import ThresholdUnit
from undertow.market.time import DAY_NS

__all__ = ["DatasetReport", "DatasetRequest", "SymbolReport", "write_dataset"]

_Labels = tuple[list[SymbolLabels], FittedThreshold | None]
_Written = list[tuple[DatasetTable, dict[str, Any], list[Path]]]


@dataclass(frozen=True, slots=True)
class DatasetRequest:
    """What is to be written, from what, to where."""

    selection: Selection
    symbols: tuple[str, ...]
    features: tuple[Feature, ...]
    labels: LabelSettings
    out: Path
    format: ExportFormat = ExportFormat.PARQUET
    coverage: CoverageRule = CoverageRule.FLAG
    sequence_steps: int = 30
    """Rows of a sequence, for `npy` and `windows`."""

    def __post_init__(self) -> None:
        if not self.symbols:
            raise InputError("no symbol was given; name at least one with --symbols")
        if len(set(self.symbols)) != len(self.symbols):
            raise InputError("a symbol is named twice")
        if not self.features:
            raise InputError("no feature was given; name a set with --features")
        if self.sequence_steps < 1:
            raise InputError(f"a sequence of {self.sequence_steps} steps is none; give --sequence 1 or more")

    @property
    def names(self) -> list[str]:
        """Names of the features."""
        return [feature.name for feature in self.features]


@dataclass(frozen=True, slots=True)
class SymbolReport:
    """What was written of one symbol."""

    symbol: str
    rows: int
    label_shares: dict[str, float]
    effective_samples: float
    coverage: dict[str, int]


@dataclass(frozen=True, slots=True)
class DatasetReport:
    """What was written."""

    symbols: tuple[SymbolReport, ...]
    files: tuple[Path, ...]


def write_dataset(request: DatasetRequest, tell: Callable[[str], None]) -> DatasetReport:
    """Write the dataset of every symbol, and of all together where tables of several are asked for.

    Memory holds one symbol's columns at a time, all symbols' where they are written together. `tell` hears
    how far it is. Raises InputError or LakeError where the lake does not allow it.
    """
    labels, fitted = _labels(request, tell)
    written: _Written = []
    together: list[pl.DataFrame] = []
    is_table = request.format in {ExportFormat.PARQUET, ExportFormat.CSV}
    for symbol, label in zip(request.symbols, labels, strict=True):
        tell(symbol)
        table, record, files = _write_symbol(request, symbol, label, fitted)
        check_lineages(dict([*_by_name(written), (symbol, record)]))
        if is_table and len(request.symbols) > 1:
            together.append(table.frame)
        written.append((replace(table, frame=table.frame.select("label", "uniqueness")), record, files))
    files = [path for _, _, paths in written for path in paths]
    if together:
        tell("all symbols")
        files += _write_together(request, together, dict(_by_name(written)))
    return DatasetReport(tuple(_report(table) for table, _, _ in written), tuple(files))


def _by_name(written: _Written) -> list[tuple[str, Any]]:
    return [(table.symbol, record) for table, record, _ in written]


def _report(table: DatasetTable) -> SymbolReport:
    shares, effective = table.label_shares, table.effective_samples
    return SymbolReport(table.symbol, table.frame.height, shares, effective, table.coverage)


def _labels(request: DatasetRequest, tell: Callable[[str], None]) -> _Labels:
    """Labels of all symbols from their quotes alone, and the threshold if one was fitted."""
    tell("labels")
    bare = replace(request.selection, with_l2=False, with_market=False, with_cross=False)
    read = [read_symbol(bare, symbol, []) for symbol in request.symbols]
    lineages([hour for joined in read for hour in joined.hours])
    labels = label_symbols([joined.bars for joined in read], request.labels)
    is_fitted = (
        request.labels.kind is LabelKind.HORIZON and request.labels.threshold.unit is ThresholdUnit.QUANTILE
    )
    if not is_fitted:
        return labels, None
    cut_ns = training_cut_ns([known_ns(joined.bars) for joined in read], request.labels.train_share)
    return labels, FittedThreshold(float(labels[0].threshold_bps[0]), cut_ns)


def _write_symbol(
    request: DatasetRequest, symbol: str, labels: SymbolLabels, fitted: FittedThreshold | None
) -> tuple[DatasetTable, dict[str, Any], list[Path]]:
    """Read, join, label and write one symbol; its table, manifest and files."""
    joined = read_symbol(request.selection, symbol, request.names)
    if not np.array_equal(known_ns(joined.bars), labels.start_ns):
        raise InputError(f"{symbol}: its features were written anew meanwhile; build the dataset again")
    ledger, ledger_hours = _ledger(request, joined)
    streams = _streams(request, joined, ledger)
    sequences = None
    if request.format in {ExportFormat.NPY, ExportFormat.WINDOWS}:
        sequences = prepare_sequences(request.selection, joined, request.sequence_steps, request.out)
    try:
        usable = sequences.ends >= 0 if sequences else None
        table = make_table(joined, request.names, labels, ledger, streams, request.coverage, usable)
        if table.frame.height == 0:
            raise InputError(f"{symbol}: no row is left: {_left_out(table)}")
        table, files = _write_files(request, table, sequences, joined)
    finally:
        if sequences:
            sequences.discard()
    hours = [*joined.hours, *ledger_hours, *(sequences.hours if sequences else ())]
    record = _record(request, joined, fitted) | table_record(table, hours, request.selection.lake, files)
    if sequences:
        record["sequence"] = sequences.record()
    write_record(manifest_path(files[0]), record)
    return table, record, [*files, manifest_path(files[0])]


def _write_files(
    request: DatasetRequest, table: DatasetTable, sequences: SequenceExport | None, joined: JoinedSymbol
) -> tuple[DatasetTable, list[Path]]:
    if sequences is not None:
        is_matrix = request.format is ExportFormat.NPY
        return sequences.write(table, known_ns(joined.bars), request.out, is_matrix=is_matrix)
    path = request.out / symbol_name(table.symbol, dates_of(table.frame), request.format.value)
    write_table(path, table.frame)
    return table, [path]


def _record(request: DatasetRequest, joined: JoinedSymbol, fitted: FittedThreshold | None) -> dict[str, Any]:
    """What is the same for every row of a symbol."""
    return {
        "symbols": [joined.bars.symbol],
        "venue": joined.venue,
        "timeframe": request.selection.timeframe,
        "bar_seconds": joined.bars.length_ns / 1e9,
        "range_ns": [request.selection.from_ns, request.selection.to_ns],
        "features": request.names,
        "label": label_record(request.labels, fitted),
        "coverage_rule": request.coverage.value,
    }


def _left_out(table: DatasetTable) -> str:
    return (
        f"of {table.bars} bars {table.unlabelled} have no label, {table.unusable} no whole sequence, "
        f"{table.uncovered} are not proved whole; try another range, --sequence or --coverage flag"
    )


def _ledger(request: DatasetRequest, joined: JoinedSymbol) -> tuple[pl.DataFrame | None, list[SourceHour]]:
    """The coverage ledger around the bars, None where there is none or it is not asked."""
    if request.coverage is CoverageRule.IGNORE:
        return None, []
    times = known_ns(joined.bars)
    bounds = int(times[0]) - DAY_NS, int(times[-1]) + 1
    hours = source_hours(
        request.selection.lake, joined.venue, "coverage", joined.bars.symbol, "", bounds[0], bounds[1]
    )
    return (read_hours(hours) if hours else None), hours


def _streams(request: DatasetRequest, joined: JoinedSymbol, ledger: pl.DataFrame | None) -> list[str]:
    inputs = [feature.inputs for feature in request.features]
    if joined.hours_of(L2_TABLE) or request.format in {ExportFormat.NPY, ExportFormat.WINDOWS}:
        inputs.append(L2_TABLE)
    return streams_of(inputs, ledger["stream"].unique().to_list() if ledger is not None else [])


def _write_together(
    request: DatasetRequest, frames: Sequence[pl.DataFrame], records: dict[str, dict[str, Any]]
) -> list[Path]:
    """One table of all symbols, sorted by time, then symbol; its manifest holds theirs."""
    check_joinable(records)
    frame = pl.concat(frames).sort("timestamp", "symbol")
    length_ns = round(next(iter(records.values()))["bar_seconds"] * 1e9)
    path = request.out / all_symbols_name(frame, length_ns, request.format.value)
    write_table(path, frame)
    first = next(iter(records.values()))
    shared = {
        key: first[key] for key in ("timeframe", "label", "columns", "inputs", "lineage", "code_version")
    }
    table_files = {"rows": frame.height, "symbols": list(records), "parts": records}
    write_record(manifest_path(path), {**shared, **table_files, "files": {path.name: file_sha256(path)}})
    return [path, manifest_path(path)]
