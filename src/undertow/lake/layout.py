"""Where things lie; the only place that knows paths."""

from datetime import UTC, datetime
from pathlib import Path

import msgspec

from undertow.market.time import HOUR_NS, SECOND_NS

__all__ = ["DATA", "MANIFEST", "TABLES", "HourKey", "find_hours", "part_name"]

DATA = "data.parquet"
MANIFEST = "manifest.json"
TABLES = ("aggtrades", "trades", "book_depth", "l2", "gaps", "features")


class HourKey(msgspec.Struct, frozen=True, order=True):
    """One hour of one table of one symbol; `timeframe` only for features, else empty."""

    venue: str
    table: str
    symbol: str
    timeframe: str
    hour_ns: int
    """Start of the hour."""

    def folder(self, root: Path) -> Path:
        """`{venue}/{table}/{SYMBOL}[/{timeframe}]/{YYYY}/{MM}/{DD}/hour={HH}`."""
        start = datetime.fromtimestamp(self.hour_ns // SECOND_NS, UTC)
        return _series(root, self.venue, self.table, self.symbol, self.timeframe) / start.strftime(
            "%Y/%m/%d/hour=%H"
        )

    @property
    def end_ns(self) -> int:
        """End of the hour."""
        return self.hour_ns + HOUR_NS


def _series(root: Path, venue: str, table: str, symbol: str, timeframe: str) -> Path:
    folder = root / venue / table / symbol
    return folder / timeframe if timeframe else folder


def part_name(number: int) -> str:
    """Name of a part of an open hour; no glob for Parquet files finds it."""
    return f"part-{number:06d}.open"


def find_hours(root: Path, venue: str, table: str, symbol: str, timeframe: str = "") -> list[HourKey]:
    """Every hour that has a folder, oldest first."""
    found = []
    for folder in _series(root, venue, table, symbol, timeframe).glob("[0-9]*/[0-9]*/[0-9]*/hour=[0-9]*"):
        year, month, day = folder.parts[-4:-1]
        start = datetime(int(year), int(month), int(day), int(folder.name.removeprefix("hour=")), tzinfo=UTC)
        found.append(HourKey(venue, table, symbol, timeframe, int(start.timestamp()) * SECOND_NS))
    return sorted(found)
