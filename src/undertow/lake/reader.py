"""Reading a lake hour by hour; plain Parquet readers need none of this."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from undertow.lake.files import Manifest, merge, read_manifest, read_table
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

        With `include_open` also what the hour that is still being written holds so far.
        """
        for key in find_hours(self.root, venue, table, symbol, timeframe, from_ns, to_ns):
            rows = self._read_hour(key, columns, include_open=include_open)
            if rows is None:
                continue
            rows = _between(rows, from_ns, to_ns)
            if rows.num_rows:
                yield rows.select(columns) if columns else rows

    def _read_hour(self, key: HourKey, columns: list[str] | None, *, include_open: bool) -> pa.Table | None:
        data = key.folder(self.root) / DATA
        # Parts are listed before the file that a seal turns them into: in the other order a seal in between
        # would hide both.
        parts = part_files(data.parent) if include_open else []
        paths = [data, *parts] if data.exists() else parts
        if not paths:
            return None
        try:
            if paths == [data]:
                return read_table(data, list(dict.fromkeys([*columns, "timestamp"])) if columns else None)
            return merge(key.table, [read_table(path) for path in paths])
        except FileNotFoundError:  # sealed in the meantime; what it became is there
            return self._read_hour(key, columns, include_open=include_open)

    def manifests(self, venue: str, table: str, symbol: str, timeframe: str = "") -> list[Manifest]:
        """Manifests of the sealed hours, oldest first."""
        keys = find_hours(self.root, venue, table, symbol, timeframe)
        found = (read_manifest(key.folder(self.root) / MANIFEST) for key in keys)
        return [manifest for manifest in found if manifest is not None]


def _between(rows: pa.Table, from_ns: int | None, to_ns: int | None) -> pa.Table:
    stamps = rows["timestamp"]
    keep = None
    if from_ns is not None:
        keep = pc.greater_equal(stamps, -(-from_ns // MILLISECOND_NS))
    if to_ns is not None:
        below = pc.less(stamps, -(-to_ns // MILLISECOND_NS))
        keep = below if keep is None else pc.and_(keep, below)
    return rows if keep is None or pc.all(keep).as_py() else rows.filter(keep)


def _folders(root: Path) -> list[str]:
    if not root.is_dir():
        return []
    return sorted(
        path.name for path in root.iterdir() if path.is_dir() and not path.name.startswith((".", "_"))
    )
