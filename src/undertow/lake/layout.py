"""Where things lie; the only place that knows paths."""

from datetime import UTC, datetime
from pathlib import Path

import msgspec

from undertow.market.time import HOUR_NS, SECOND_NS

__all__ = ["DATA", "MANIFEST", "TABLES", "HourKey", "find_hours", "part_name"]

DATA = "data.parquet"
MANIFEST = "_manifest.json"
TABLES = (
    *("aggtrades", "trades", "book_depth", "l2", "depth20", "book_ticker"),
    *("mark_price", "funding_rate", "open_interest", "liquidations", "klines", "clock", "instruments"),
    *("gaps", "coverage", "book_audits", "features", "l2_features"),
)

_LOOK_UP_NS = 48 * HOUR_NS
"""Up to this length it is cheaper to look for each hour's folder than to list all of them."""


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
    return f"_part-{number:06d}.open"


def find_hours(
    root: Path,
    venue: str,
    table: str,
    symbol: str,
    timeframe: str = "",
    from_ns: int | None = None,
    to_ns: int | None = None,
) -> list[HourKey]:
    """Every hour that has a folder and overlaps [from_ns, to_ns), oldest first; None = no bound."""
    if from_ns is not None and to_ns is not None and to_ns - from_ns <= _LOOK_UP_NS:
        starts = range(from_ns // HOUR_NS * HOUR_NS, to_ns, HOUR_NS)
        keys = [HourKey(venue, table, symbol, timeframe, start) for start in starts]
        return [key for key in keys if key.folder(root).is_dir()]
    return [
        key
        for key in _listed_hours(root, venue, table, symbol, timeframe)
        if (from_ns is None or key.end_ns > from_ns) and (to_ns is None or key.hour_ns < to_ns)
    ]


def _listed_hours(root: Path, venue: str, table: str, symbol: str, timeframe: str) -> list[HourKey]:
    found = []
    for folder in _series(root, venue, table, symbol, timeframe).glob("[0-9]*/[0-9]*/[0-9]*/hour=[0-9]*"):
        year, month, day = folder.parts[-4:-1]
        start = datetime(int(year), int(month), int(day), int(folder.name.removeprefix("hour=")), tzinfo=UTC)
        found.append(HourKey(venue, table, symbol, timeframe, int(start.timestamp()) * SECOND_NS))
    return sorted(found)
