"""Columns of `cross_features` beside the bars that they are of."""

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from undertow.datasets.asof import as_of_rows, take_rows
from undertow.datasets.bars import SymbolBars, known_ns
from undertow.datasets.sources import SourceHour, one_lineage, read_hours, source_hours
from undertow.market.time import MILLISECOND_NS

__all__ = ["CROSS_TABLE", "join_cross"]

CROSS_TABLE = "cross_features"


def join_cross(
    bars: SymbolBars, lake: Path, venue: str, timeframe: str, columns: Sequence[str] | None = None
) -> tuple[pl.DataFrame, list[SourceHour]]:
    """Features of two markets as each bar's decision knew them, a row a bar, and the hours they came from.

    `columns` None: all that are stored. No column and no hour where the lake has no such table in the time of
    the bars; null where the newest row that was known then had been known for a bar or longer. Raises
    InputError where hours were computed by different code or with different other markets.
    """
    times = known_ns(bars)
    bounds = int(times[0]) - 2 * bars.length_ns, int(times[-1]) + 1
    hours = source_hours(lake, venue, CROSS_TABLE, bars.symbol, timeframe, *bounds)
    if not hours:
        return pl.DataFrame(), []
    one_lineage(hours)
    wanted = None if columns is None else ["timestamp", "known_ns", *columns]
    rows = read_hours(hours, wanted)
    event_ns = rows["timestamp"].to_numpy() * MILLISECOND_NS
    seen = as_of_rows(times, rows["known_ns"].to_numpy(), event_ns, bars.length_ns - 1)
    return take_rows(rows.drop("timestamp", "known_ns"), seen), hours
