"""Is what lies in a lake sound? Every sealed hour against its manifest and its neighbours."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from undertow.errors import LakeError
from undertow.lake.files import merge, read_manifest, read_table, sha256_of
from undertow.lake.layout import DATA, MANIFEST, TABLES, HourKey, find_hours
from undertow.lake.reader import Lake
from undertow.lake.schemas import BOOK, GAPS, TRADES

__all__ = ["Finding", "audit"]

_SCHEMAS = {"aggtrades": TRADES, "trades": TRADES, "book_depth": BOOK, "l2": BOOK, "gaps": GAPS}


@dataclass(frozen=True, slots=True)
class Finding:
    """Something wrong."""

    path: Path
    message: str

    def __str__(self) -> str:
        """`file: message`."""
        return f"{self.path}: {self.message}"


def audit(root: Path) -> list[Finding]:
    """Everything that is wrong in a lake; raises LakeError where there is none."""
    lake = Lake(root)
    if not lake.venues():
        raise LakeError(f"{root}: holds no lake; `undertow replay` or `collect` write one")
    findings = [
        Finding(path, "left behind by a write that was cut off; harmless") for path in root.rglob("*.tmp")
    ]
    for venue in lake.venues():
        for table in TABLES:
            for symbol in lake.symbols(venue, table):
                names = lake.timeframes(venue, symbol) if table == "features" else [""]
                for name in names:
                    findings += _audit_series(lake, venue, table, symbol, name)
    return findings


def _audit_series(lake: Lake, venue: str, table: str, symbol: str, timeframe: str) -> Iterator[Finding]:
    for key in find_hours(lake.root, venue, table, symbol, timeframe):
        yield from _audit_hour(lake.root, key)
    if table in ("trades", "aggtrades"):
        yield from _audit_ids(lake, venue, table, symbol)


def _audit_hour(root: Path, key: HourKey) -> Iterator[Finding]:
    data, manifest = key.folder(root) / DATA, read_manifest(key.folder(root) / MANIFEST)
    if not data.exists():
        return  # still open
    if manifest is None:
        yield Finding(data, "has no manifest: the seal was cut off; sealing again repairs it")
    elif sha256_of(data) != manifest.sha256:
        yield Finding(data, "is not what its manifest says: changed or damaged since it was sealed")
        return
    try:
        rows = read_table(data)
    except LakeError as error:
        yield Finding(data, str(error))
        return
    schema = _SCHEMAS.get(key.table)
    if schema is not None and not rows.schema.equals(schema, check_metadata=False):
        yield Finding(data, "has other columns than this version writes")
        return
    yield from _audit_rows(data, key, rows)


def _audit_rows(data: Path, key: HourKey, rows: pa.Table) -> Iterator[Finding]:
    stamps = rows["timestamp"].to_numpy()
    if not rows.equals(merge(key.table, [rows])):
        yield Finding(data, "holds rows twice or out of order")
    if len(stamps) and not key.hour_ns <= int(stamps.min()) * 10**6 <= int(stamps.max()) * 10**6 < key.end_ns:
        yield Finding(data, "holds rows of another hour")


def _audit_ids(lake: Lake, venue: str, table: str, symbol: str) -> Iterator[Finding]:
    """Trade ids that are missing without a gap that says so."""
    parts = [part["trade_id"].to_numpy() for part in lake.read(venue, table, symbol)]
    ids = np.sort(np.concatenate(parts)) if parts else np.empty(0, np.int64)
    recorded = [
        (row["first_id"], row["last_id"])
        for part in lake.read(venue, "gaps", symbol)
        for row in part.select(["first_id", "last_id", "stream"]).to_pylist()
        if row["stream"] == table
    ]
    for at in np.flatnonzero(np.diff(ids) > 1):
        first, last = int(ids[at]) + 1, int(ids[at + 1]) - 1
        if not any(gap_first <= first and last <= gap_last for gap_first, gap_last in recorded):
            place = lake.root / venue / table / symbol
            yield Finding(place, f"trade ids {first} to {last} are missing and no gap says so")
