"""The stored hours that a dataset is read from, and whether they belong together."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from undertow.errors import InputError, LakeError
from undertow.lake.files import Manifest, read_manifest, sha256_of
from undertow.lake.layout import DATA, MANIFEST, find_hours
from undertow.lake.reader import Lake
from undertow.market.time import MILLISECOND_NS

__all__ = [
    "SourceHour",
    "lineage_of",
    "one_lineage",
    "read_hours",
    "same_lineage",
    "source_hours",
    "venue_of",
]


@dataclass(frozen=True, slots=True)
class SourceHour:
    """One sealed hour of one table of one symbol."""

    path: Path
    table: str
    symbol: str
    rows: int
    sha256: str
    """Of the file's bytes, as its manifest has it; computed where it has none."""
    lineage: str
    """What computed it, see `lineage_of`."""


def lineage_of(data: Path, table: str = "features") -> str:
    """Lineage that the manifest beside a file records; `unrecorded` with the code version where it does not.

    It stands under `lineage`, as text or by table. Two files of one lineage were computed by the same
    formulas; of two unrecorded ones that is as likely as their code version says.
    """
    return _lineage(read_manifest(data.parent / MANIFEST), table)


def _lineage(manifest: Manifest | None, table: str) -> str:
    if manifest is None:
        return "unrecorded"
    recorded = manifest.extra.get("lineage")
    if isinstance(recorded, Mapping):
        recorded = recorded.get(table)
    return str(recorded or f"unrecorded, code {manifest.code_version}")


def same_lineage(lineages: Mapping[str, str]) -> str:
    """The one lineage of things by name; raises InputError that names two that differ, and both lineages."""
    named = list(lineages.items())
    for name, lineage in named[1:]:
        if lineage != named[0][1]:
            raise InputError(
                f"lineages do not mix: {named[0][0]} was computed by {named[0][1]}, {name} by {lineage}; "
                "compute both again with one version of the code"
            )
    return named[0][1] if named else "unrecorded"


def one_lineage(hours: Iterable[SourceHour]) -> str:
    """The lineage that hours share; raises InputError where they do not."""
    return same_lineage({str(hour.path): hour.lineage for hour in hours})


def venue_of(lake: Path, table: str, symbol: str, venue: str | None) -> str:
    """The venue that holds a symbol's table.

    Raises LakeError where none does, or several do and none was named.
    """
    names = [venue] if venue else Lake(lake).venues()
    found = [name for name in names if (lake / name / table / symbol).is_dir()]
    if not found:
        raise LakeError(f"{lake}: no table {table} of {symbol}; run `undertow features` for {symbol} first")
    if len(found) > 1:
        raise LakeError(f"{symbol} lies in {lake} for {', '.join(found)}; choose one with --venue")
    return found[0]


def source_hours(
    lake: Path,
    venue: str,
    table: str,
    symbol: str,
    timeframe: str = "",
    from_ns: int | None = None,
    to_ns: int | None = None,
) -> list[SourceHour]:
    """The sealed hours that overlap [from_ns, to_ns), oldest first; None = no bound."""
    found = []
    for key in find_hours(lake, venue, table, symbol, timeframe, from_ns, to_ns):
        data = key.folder(lake) / DATA
        if data.exists():
            manifest = read_manifest(data.parent / MANIFEST)
            digest = manifest.sha256 if manifest else sha256_of(data)
            rows = manifest.rows if manifest else pl.scan_parquet(data).select(pl.len()).collect().item()
            found.append(SourceHour(data, table, symbol, rows, digest, _lineage(manifest, table)))
    return found


def read_hours(
    hours: Sequence[SourceHour],
    columns: Sequence[str] | None = None,
    from_ns: int | None = None,
    to_ns: int | None = None,
) -> pl.DataFrame:
    """Rows with from ≤ timestamp < to of at least one hour, sorted by `timestamp` [Unix ms].

    Columns that an hour lacks are null there; `columns` that all lack are left out. Raises LakeError where a
    file cannot be read.
    """
    try:
        rows = pl.concat([pl.scan_parquet(hour.path) for hour in hours], how="diagonal_relaxed")
        if columns is not None:
            stored = set(rows.collect_schema().names())
            rows = rows.select([name for name in dict.fromkeys(columns) if name in stored])
        if from_ns is not None:
            rows = rows.filter(pl.col("timestamp") >= -(-from_ns // MILLISECOND_NS))
        if to_ns is not None:
            rows = rows.filter(pl.col("timestamp") < -(-to_ns // MILLISECOND_NS))
        return rows.sort("timestamp", maintain_order=True).collect()
    except (pl.exceptions.PolarsError, OSError) as error:
        raise LakeError(
            f"table {hours[0].table} of {hours[0].symbol} under {hours[0].path.parent} cannot be read: "
            f"{error}; run `undertow verify` on the lake"
        ) from error
