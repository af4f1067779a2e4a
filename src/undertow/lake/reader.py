"""Reading a lake hour by hour; plain Parquet readers need none of this."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from undertow.errors import LakeError
from undertow.lake.files import (
    SCHEMAS,
    Manifest,
    join,
    merge,
    read_manifest,
    read_schema,
    read_table,
    sort_keys,
)
from undertow.lake.layout import DATA, MANIFEST, HourKey, find_hours
from undertow.market.time import MILLISECOND_NS

__all__ = ["Lake", "part_files"]


def part_files(folder: Path) -> list[Path]:
    """The parts of an open hour, oldest first."""
    return sorted(folder.glob("_part-*.open"))


class Lake:
    """A folder of tables."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def venues(self) -> list[str]:
        """Venues that have a folder."""
        return _folders(self.root)

    def symbols(self, venue: str, table: str) -> list[str]:
        """Symbols of a table."""
        return _folders(self.root / venue / table)

    def timeframes(self, venue: str, symbol: str) -> list[str]:
        """Timeframes that features are stored in."""
        return _folders(self.root / venue / "features" / symbol)

    def hours(self, venue: str, table: str, symbol: str, timeframe: str = "") -> list[int]:
        """Starts of the hours that hold anything [ns], ascending."""
        return [key.hour_ns for key in find_hours(self.root, venue, table, symbol, timeframe)]

    def read(
        self,
        venue: str,
        table: str,
        symbol: str,
        from_ns: int | None = None,
        to_ns: int | None = None,
        *,
        timeframe: str = "",
        columns: list[str] | None = None,
        include_open: bool = False,
    ) -> Iterator[pa.Table]:
        """Rows with from ≤ timestamp < to, an hour at a time in order; hours without such rows are left out.

        Only `columns` are read and decoded, and of a long hour only what lies near these times; a column that
        an hour of an older version lacks is null. Without `columns` each hour has those that it was written
        with. With `include_open` also what the hour that is still being written holds so far. Raises
        LakeError where a file is damaged, or no version of the table has a column.
        """
        keys = find_hours(self.root, venue, table, symbol, timeframe, from_ns, to_ns)
        between_ms = (_ceil_ms(from_ns), _ceil_ms(to_ns))
        for key in keys:
            rows = self._read_hour(key, columns, between_ms, include_open=include_open)
            if rows is None:
                continue
            rows = _between(rows, *between_ms)
            if rows.num_rows:
                yield self._chosen(rows, columns, keys) if columns else rows

    def read_whole(
        self,
        venue: str,
        table: str,
        symbol: str,
        from_ns: int | None = None,
        to_ns: int | None = None,
        *,
        timeframe: str = "",
        columns: list[str] | None = None,
        include_open: bool = False,
    ) -> pa.Table | None:
        """As `read`, in one table with the columns of every version; None where there are no rows."""
        parts = self.read(
            venue,
            table,
            symbol,
            from_ns,
            to_ns,
            timeframe=timeframe,
            columns=columns,
            include_open=include_open,
        )
        tables = list(parts)
        return join(tables) if tables else None

    def _chosen(self, rows: pa.Table, columns: list[str], keys: list[HourKey]) -> pa.Table:
        """These columns of an hour, null where it was written without them."""
        for name in columns:
            if name not in rows.column_names:
                rows = rows.append_column(name, pa.nulls(rows.num_rows, self._type_of(name, keys)))
        return rows.select(columns)

    def _type_of(self, column: str, keys: list[HourKey]) -> pa.DataType:
        known = SCHEMAS.get(keys[0].table)
        if known is not None and column in known.names:
            return known.field(column).type
        for key in reversed(keys):
            data = key.folder(self.root) / DATA
            if data.exists() and column in (schema := read_schema(data)).names:
                return schema.field(column).type
        raise LakeError(f"{self.root}: table {keys[0].table} has no column {column!r} in any stored version")

    def _read_hour(
        self,
        key: HourKey,
        columns: list[str] | None,
        between_ms: tuple[int | None, int | None],
        *,
        include_open: bool,
    ) -> pa.Table | None:
        data = key.folder(self.root) / DATA
        # Parts are listed before the file that a seal turns them into: in the other order a seal in between
        # would hide both.
        parts = part_files(data.parent) if include_open else []
        paths = [data, *parts] if data.exists() else parts
        if not paths:
            return None
        try:
            if paths == [data]:
                return read_table(data, _with(columns, ("timestamp",)), between_ms)
            # two versions of a row may have different times, so parts are merged before any are left out
            wanted = _with(columns, ("timestamp", *sort_keys(key.table)))
            return merge(key.table, [read_table(path, wanted) for path in paths])
        except FileNotFoundError:  # sealed in the meantime; what it became is there
            return self._read_hour(key, columns, between_ms, include_open=include_open)

    def manifests(self, venue: str, table: str, symbol: str, timeframe: str = "") -> list[Manifest]:
        """Manifests of the sealed hours, oldest first."""
        keys = find_hours(self.root, venue, table, symbol, timeframe)
        found = (read_manifest(key.folder(self.root) / MANIFEST) for key in keys)
        return [manifest for manifest in found if manifest is not None]


def _with(columns: list[str] | None, needed: tuple[str, ...]) -> list[str] | None:
    return None if columns is None else list(dict.fromkeys([*columns, *needed]))


def _ceil_ms(time_ns: int | None) -> int | None:
    return None if time_ns is None else -(-time_ns // MILLISECOND_NS)


def _between(rows: pa.Table, from_ms: int | None, to_ms: int | None) -> pa.Table:
    stamps = rows["timestamp"]
    keep = None
    if from_ms is not None:
        keep = pc.greater_equal(stamps, from_ms)
    if to_ms is not None:
        below = pc.less(stamps, to_ms)
        keep = below if keep is None else pc.and_(keep, below)
    return rows if keep is None or pc.all(keep).as_py() else rows.filter(keep)


def _folders(root: Path) -> list[str]:
    if not root.is_dir():
        return []
    return sorted(
        path.name for path in root.iterdir() if path.is_dir() and not path.name.startswith((".", "_"))
    )
