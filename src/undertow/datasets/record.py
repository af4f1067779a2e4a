"""The manifest of an exported dataset, and which datasets may be put together."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import polars as pl

from undertow import __version__
from undertow.datasets.exports import file_sha256, read_record
from undertow.datasets.labelled import LabelSettings
from undertow.datasets.sources import SourceHour, one_lineage, same_lineage
from undertow.datasets.table import LABEL_COLUMNS, DatasetTable
from undertow.errors import InputError
from undertow.features.catalogue import FEATURES
from undertow.features.engine import lineage

__all__ = [
    "FittedThreshold",
    "check_joinable",
    "check_lineages",
    "join_exports",
    "label_record",
    "lineages",
    "table_record",
]

_LINEAGE_TABLES = ("features", "l2_features")
_ALIKE = ("timeframe", "label", "columns")


@dataclass(frozen=True, slots=True)
class FittedThreshold:
    """A threshold that came from training rows."""

    threshold_bps: float
    training_end_ns: int
    """Labels that ended before were what it was fitted on."""


def lineages(hours: Sequence[SourceHour]) -> dict[str, str]:
    """The lineage of each computed table; raises InputError where hours of one differ."""
    found = {}
    for table in _LINEAGE_TABLES:
        chosen = [hour for hour in hours if hour.table == table]
        if chosen:
            found[table] = one_lineage(chosen)
    return found


def label_record(settings: LabelSettings, fitted: FittedThreshold | None) -> dict[str, Any]:
    """The definition of the label, and what was fitted for it."""
    return {
        "kind": settings.kind.value,
        "definition": settings.definition,
        "classes": {"0": "down", "1": "flat", "2": "up"},
        "horizon_seconds": settings.horizon_ns / 1e9,
        "threshold": str(settings.threshold),
        "stop": str(settings.stop) if settings.stop else None,
        "volatility_bars": settings.volatility_bars,
        "train_share": settings.train_share,
        "fitted": asdict(fitted) if fitted else None,
    }


def table_record(
    table: DatasetTable, hours: Sequence[SourceHour], lake: Path, files: Sequence[Path]
) -> dict[str, Any]:
    """What one symbol's part holds and was made of; paths of sources are relative to the lake."""
    frame = table.frame
    return {
        "rows": frame.height,
        "first_timestamp": int(frame["timestamp"][0]),
        "last_timestamp": int(frame["timestamp"][-1]),
        "bars_read": table.bars,
        "left_out": {
            "no label": table.unlabelled,
            "no sequence": table.unusable,
            "not proved by the coverage ledger": table.uncovered,
        },
        "coverage": table.coverage,
        "columns": frame.columns,
        "inputs": list(table.features),
        "targets_and_weights": [name for name in frame.columns if name in LABEL_COLUMNS],
        "nulls": {name: count for name, count in frame.null_count().row(0, named=True).items() if count},
        "label_shares": table.label_shares,
        "effective_samples": table.effective_samples,
        "lineage": lineages(hours),
        "code_lineage": lineage(FEATURES),
        "code_version": __version__,
        "sources": {str(hour.path.relative_to(lake)): hour.sha256 for hour in hours},
        "files": {path.name: file_sha256(path) for path in files},
    }


def check_lineages(records: Mapping[str, Mapping[str, Any]]) -> None:
    """Raise InputError, naming two, unless the records by name have each table from one lineage."""
    for table in _LINEAGE_TABLES:
        same_lineage(
            {name: r["lineage"][table] for name, r in records.items() if table in r.get("lineage", {})}
        )


def check_joinable(records: Mapping[str, Mapping[str, Any]]) -> None:
    """Raise InputError, naming two, unless records by name share lineage, label, timeframe and columns."""
    check_lineages(records)
    named = list(records.items())
    for name, record in named[1:]:
        for key in _ALIKE:
            if record.get(key) != named[0][1].get(key):
                raise InputError(
                    f"datasets do not join: {named[0][0]} and {name} differ in {key} "
                    f"({_difference(named[0][1].get(key), record.get(key))}); build both alike, "
                    "perhaps without L2 or market columns"
                )


def join_exports(paths: Sequence[Path]) -> pl.DataFrame:
    """Rows of several exported CSV or Parquet datasets, sorted by time, then symbol.

    Raises InputError where one has no manifest, has changed since it was written, or does not belong to the
    others.
    """
    if not paths:
        raise InputError("no dataset was named; give at least one file")
    check_joinable({str(path): _record_of(path) for path in paths})
    read = [pl.read_csv(path) if path.suffix == ".csv" else pl.read_parquet(path) for path in paths]
    return pl.concat(read, how="vertical_relaxed").sort("timestamp", "symbol")


def _record_of(path: Path) -> dict[str, Any]:
    record = read_record(path)
    if not path.exists() or record.get("files", {}).get(path.name) != file_sha256(path):
        raise InputError(f"{path}: is not the file that its manifest describes; build the dataset again")
    return record


def _difference(first: Any, second: Any) -> str:
    """The first thing in which two values differ, short enough for a message."""
    if isinstance(first, list) and isinstance(second, list):
        only = [str(name) for name in [*first, *second] if (name in first) != (name in second)]
        return ", ".join(only[:5]) or "their order"
    if isinstance(first, Mapping) and isinstance(second, Mapping):
        keys = [key for key in first if first[key] != second.get(key)]
        return "; ".join(f"{key}: {first[key]} / {second.get(key)}" for key in keys[:2])
    return f"{first} / {second}"
