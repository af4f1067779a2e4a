"""Is what lies in a lake sound? Every sealed hour against its manifest and its neighbours."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from undertow.errors import LakeError
from undertow.lake.files import SCHEMAS, is_known_version, merge, read_manifest, read_table, sha256_of
from undertow.lake.layout import DATA, MANIFEST, TABLES, HourKey, find_hours
from undertow.lake.reader import Lake
from undertow.lake.schemas import SCHEMA_VERSION
from undertow.market.time import MILLISECOND_NS
from undertow.venues.rules import rules_of

__all__ = ["Finding", "audit", "late_rows"]

Integers = NDArray[np.int64]

_FLOWS = ("aggtrades", "trades")
_NAMED_IDS = 5


@dataclass(frozen=True, slots=True)
class Finding:
    """Something to know about a file."""

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
    for venue, table, symbol in _series(lake):
        for name in lake.timeframes(venue, symbol) if table == "features" else [""]:
            for key in find_hours(root, venue, table, symbol, name):
                findings += _audit_hour(root, key)
        if table in _FLOWS and not any(root / venue / table / symbol in f.path.parents for f in findings):
            findings += _audit_ids(lake, venue, table, symbol)
    return findings


def late_rows(root: Path) -> Iterator[Finding]:
    """Trades that came after their bar had been closed, hour by hour: stored, but left out of the fold."""
    lake = Lake(root)
    for venue, table, symbol in _series(lake):
        if table not in _FLOWS:
            continue
        for rows in lake.read(venue, table, symbol, columns=["timestamp", "trade_id", "is_late"]):
            ids = rows["trade_id"].to_numpy()[rows["is_late"].to_numpy()]
            if len(ids):
                named = ", ".join(map(str, ids[:_NAMED_IDS])) + (" …" if len(ids) > _NAMED_IDS else "")
                hour_ns = rows["timestamp"][0].as_py() * MILLISECOND_NS
                (key,) = find_hours(root, venue, table, symbol, "", hour_ns, hour_ns + 1)
                yield Finding(key.folder(root) / DATA, f"{len(ids)} late trades, ids {named}")


def _series(lake: Lake) -> Iterator[tuple[str, str, str]]:
    """(venue, table, symbol) of everything in the lake."""
    for venue in lake.venues():
        for table in TABLES:
            for symbol in lake.symbols(venue, table):
                yield venue, table, symbol


def _audit_hour(root: Path, key: HourKey) -> Iterator[Finding]:
    data = key.folder(root) / DATA
    try:
        manifest = read_manifest(key.folder(root) / MANIFEST)
    except LakeError as error:
        yield Finding(key.folder(root) / MANIFEST, str(error).partition(": ")[2])
        return
    if not data.exists():
        if manifest is not None:
            yield Finding(data, "is missing, but its manifest is there")
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
    schema = SCHEMAS.get(key.table)
    if schema is not None and not _fits(rows.schema, schema):
        yield Finding(data, "has other columns than this version writes")
        return
    yield from _audit_rows(data, key, rows)


def _fits(stored: pa.Schema, current: pa.Schema) -> bool:
    """Whether stored columns are those of this version, or of an older one that had fewer."""
    if stored.equals(current, check_metadata=False):
        return True
    version = (stored.metadata or {}).get(b"schema_version", b"").decode()
    is_older = is_known_version(version) and version != SCHEMA_VERSION
    return is_older and all(
        name in current.names and current.field(name).equals(stored.field(name)) for name in stored.names
    )


def _audit_rows(data: Path, key: HourKey, rows: pa.Table) -> Iterator[Finding]:
    stamps = rows["timestamp"].to_numpy()
    if not rows.equals(merge(key.table, [rows])):
        yield Finding(data, "holds rows twice or out of order")
    first_ms, end_ms = key.hour_ns // MILLISECOND_NS, key.end_ns // MILLISECOND_NS
    if len(stamps) and not first_ms <= int(stamps.min()) <= int(stamps.max()) < end_ms:
        yield Finding(data, "holds rows of another hour")


def _audit_ids(lake: Lake, venue: str, table: str, symbol: str) -> Iterator[Finding]:
    """Trade ids that are missing without a gap that says so, where ids form a chain.

    Single trades that were had because no aggregate told them are no recording of their stream.
    """
    if not rules_of(venue).has_trade_chain:
        return
    hours = list(lake.read(venue, table, symbol, columns=["trade_id", "source"]))
    if table == "trades" and not any("stream" in rows["source"].unique().to_pylist() for rows in hours):
        return
    stored = [_runs(rows["trade_id"].to_numpy()) for rows in hours]
    recorded = [
        np.stack([rows["first_id"].to_numpy(), rows["last_id"].to_numpy()], axis=1)[of_table]
        for rows in lake.read(venue, "gaps", symbol, include_open=True)
        if (of_table := np.array(rows["stream"].to_pylist()) == table).any()
    ]
    place = lake.root / venue / table / symbol
    for first, last in _holes(np.concatenate(stored), recorded) if stored else []:
        yield Finding(place, f"trade ids {first} to {last} are missing and no gap says so")


def _runs(ids: Integers) -> Integers:
    """(runs, 2): first and last of each run of consecutive ids."""
    ordered = np.sort(ids)
    breaks = np.flatnonzero(np.diff(ordered) > 1)
    return np.stack([ordered[np.r_[0, breaks + 1]], ordered[np.r_[breaks, len(ordered) - 1]]], axis=1)


def _holes(stored: Integers, recorded: list[Integers]) -> Iterator[tuple[int, int]]:
    """Ranges of ids between the stored ones that no stored and no recorded range covers."""
    known = np.concatenate([stored, *recorded])
    reached, end = int(stored[:, 0].min()) - 1, int(stored[:, 1].max())
    for first, last in known[np.argsort(known[:, 0], kind="stable")].tolist():
        if reached + 1 < first <= end:
            yield reached + 1, first - 1
        reached = max(reached, last)
