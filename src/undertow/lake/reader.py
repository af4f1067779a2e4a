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
    return sorted(folder.glob("part-*.open"))


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
        for key in find_hours(self.root, venue, table, symbol, timeframe):
            if (from_ns is not None and key.end_ns <= from_ns) or (
                to_ns is not None and key.hour_ns >= to_ns
            ):
                continue
            rows = self._read_hour(key, include_open=include_open)
            if rows is None:
                continue
            rows = _between(rows, from_ns, to_ns)
            if rows.num_rows:
                yield rows.select(columns) if columns else rows

    def _read_hour(self, key: HourKey, *, include_open: bool) -> pa.Table | None:
        folder = key.folder(self.root)
        paths = [folder / DATA] if (folder / DATA).exists() else []
        paths += part_files(folder) if include_open else []
        if not paths:
            return None
        try:
            parts = [read_table(path) for path in paths]
        except FileNotFoundError:  # sealed in the meantime; what it became is there
            return self._read_hour(key, include_open=include_open)
        return parts[0] if paths == [folder / DATA] else merge(key.table, parts)

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
