"""Bars, L2 features and market tables of one symbol side by side, each as it was known at the decision."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from undertow.datasets.asof import as_of_rows, take_rows
from undertow.datasets.bars import REQUIRED_COLUMNS, SymbolBars, known_ns
from undertow.datasets.cross_join import join_cross
from undertow.datasets.sources import SourceHour, one_lineage, read_hours, source_hours, venue_of
from undertow.errors import InputError, LakeError
from undertow.market.time import HOUR_NS, MILLISECOND_NS, MINUTE_NS, SECOND_NS, parse_timeframe

__all__ = [
    "L2_TABLE",
    "SEQUENCE_COLUMNS",
    "JoinedSymbol",
    "MarketSource",
    "Selection",
    "join_l2",
    "join_market",
    "read_symbol",
]

Integers = NDArray[np.int64]

L2_TABLE = "l2_features"
_L2_AGE_NS = SECOND_NS - 1
"""A sample comes every second: one that was known a second ago has a successor, or the book was lost."""

_LEVELS = range(1, 101)
SEQUENCE_COLUMNS = (
    *(f"{side}_price_norm_{level}" for side in ("bid", "ask") for level in _LEVELS),
    *(f"{side}_volume_{level}" for side in ("bid", "ask") for level in _LEVELS),
)
"""Inputs of a sequence model in their order: 200 prices relative to the mid, then 200 volumes."""


@dataclass(frozen=True, slots=True)
class MarketSource:
    """Columns of a market table that are joined, and how long a row of it may be used."""

    table: str
    columns: tuple[tuple[str, str], ...]
    """(stored name, name in the dataset)."""
    max_age_ns: int


MARKET_SOURCES = (
    MarketSource(
        "mark_price",
        (
            ("mark_price", "market_mark_price"),
            ("index_price", "market_index_price"),
            ("funding_rate", "market_estimated_funding_rate"),
        ),
        10 * SECOND_NS,
    ),
    MarketSource("funding_rate", (("funding_rate", "market_settled_funding_rate"),), 9 * HOUR_NS),
    MarketSource("open_interest", (("open_interest", "market_open_interest"),), 15 * MINUTE_NS),
)


@dataclass(frozen=True, slots=True)
class Selection:
    """Which rows of the lake; bounds [ns] half open, None = no bound."""

    lake: Path
    timeframe: str
    venue: str | None = None
    from_ns: int | None = None
    to_ns: int | None = None
    with_l2: bool = True
    with_market: bool = True
    with_cross: bool = True


@dataclass(frozen=True, slots=True)
class JoinedSymbol:
    """One symbol's bars with what was joined, and the hours that they came from."""

    bars: SymbolBars
    venue: str
    joined_columns: tuple[str, ...]
    """Names of the columns from other tables than `features`."""
    hours: tuple[SourceHour, ...]

    def hours_of(self, table: str) -> list[SourceHour]:
        """The hours of one table."""
        return [hour for hour in self.hours if hour.table == table]


def read_symbol(selection: Selection, symbol: str, features: Sequence[str] | None) -> JoinedSymbol:
    """The bars of a symbol with `features` (None: all columns) and what else the lake has of it.

    Raises LakeError where there are no bars, InputError where the timeframe is none or hours of one table
    were computed by different code.
    """
    try:
        length_ns = parse_timeframe(selection.timeframe)
    except ValueError as error:
        raise InputError(f"--timeframe: {error}") from error
    venue = venue_of(selection.lake, "features", symbol, selection.venue)
    bounds = selection.from_ns, selection.to_ns
    hours = source_hours(selection.lake, venue, "features", symbol, selection.timeframe, *bounds)
    columns = None if features is None else [*REQUIRED_COLUMNS, *features]
    frame = read_hours(hours, columns, *bounds) if hours else pl.DataFrame()
    if frame.height == 0:
        raise LakeError(
            f"{selection.lake}: no features of {symbol} at {selection.timeframe} in this range; "
            f"run `undertow features --timeframes {selection.timeframe}` or choose another --from and --to"
        )
    lineage = one_lineage(hours)
    bars = SymbolBars(symbol, length_ns, frame, lineage)
    extra: list[pl.DataFrame] = []
    for joined, read in _others(selection, venue, bars):
        extra.append(joined)
        hours += read
    wide = pl.concat([bars.frame, *extra], how="horizontal")
    names = tuple(name for part in extra for name in part.columns)
    return JoinedSymbol(SymbolBars(symbol, length_ns, wide, lineage), venue, names, tuple(hours))


def _others(
    selection: Selection, venue: str, bars: SymbolBars
) -> list[tuple[pl.DataFrame, list[SourceHour]]]:
    """What is joined to the bars, of the tables that the lake has, with the hours read."""
    first_ns, last_ns = int(known_ns(bars)[0]), int(known_ns(bars)[-1])
    found = []
    if selection.with_l2:
        hours = source_hours(
            selection.lake, venue, L2_TABLE, bars.symbol, "", first_ns - 2 * SECOND_NS, last_ns + 1
        )
        if hours:
            one_lineage(hours)
            found.append((join_l2(bars, read_hours(hours, _l2_columns(hours))), hours))
    if selection.with_cross:
        joined, hours = join_cross(bars, selection.lake, venue, selection.timeframe)
        if hours:
            found.append((joined, hours))
    for source in MARKET_SOURCES if selection.with_market else ():
        reach_ns = first_ns - source.max_age_ns - HOUR_NS
        hours = source_hours(selection.lake, venue, source.table, bars.symbol, "", reach_ns, last_ns + 1)
        if hours:
            found.append((join_market(bars, read_hours(hours), source), hours))
    return found


def _l2_columns(hours: Sequence[SourceHour]) -> list[str]:
    """All but the sequence, which is 400 columns wide and read by itself."""
    try:
        stored = pl.read_parquet_schema(hours[-1].path)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise LakeError(f"{hours[-1].path}: cannot be read ({error}); run `undertow verify`") from error
    return [name for name in stored if name not in set(SEQUENCE_COLUMNS)]


def join_l2(bars: SymbolBars, rows: pl.DataFrame) -> pl.DataFrame:
    """Columns of `l2_features` with the prefix `l2_`, as each bar's decision knew them; a row a bar."""
    seen = _rows_seen(bars, rows, _known_ns(rows), _L2_AGE_NS)
    named = rows.drop(["timestamp", "known_ns"], strict=False)
    return take_rows(named.select(pl.all().name.prefix("l2_")), seen)


def join_market(bars: SymbolBars, rows: pl.DataFrame, source: MarketSource) -> pl.DataFrame:
    """Columns of a market table as each bar's decision knew them, and how old they were [s]; a row a bar."""
    seen = _rows_seen(bars, rows, _known_ns(rows), source.max_age_ns)
    names = [pl.col(stored).alias(name) for stored, name in source.columns if stored in rows.columns]
    taken = take_rows(rows.select("timestamp", *names), seen)
    age_s = (pl.Series(known_ns(bars)) - taken["timestamp"] * MILLISECOND_NS) / SECOND_NS
    return taken.drop("timestamp").with_columns(age_s.alias(f"market_{source.table}_age_s"))


def _rows_seen(bars: SymbolBars, rows: pl.DataFrame, row_known_ns: Integers, max_age_ns: int) -> Integers:
    event_ns = rows["timestamp"].cast(pl.Int64).to_numpy() * MILLISECOND_NS
    return as_of_rows(known_ns(bars), row_known_ns, event_ns, max_age_ns)


def _known_ns(rows: pl.DataFrame) -> Integers:
    """When each row could first be used [ns].

    Rows were usable when they had come, and not before the time they are about: the later of the two, as the
    local clock may be early. Those with `known_ns` were usable then, and where they also say when they came,
    not before that: `known_ns` of a market table is about bars, and a decision is made a little later than
    its bar ends.
    """
    event_ns = pl.col("timestamp") * MILLISECOND_NS
    received_ns = pl.col("received_ns") if "received_ns" in rows.columns else event_ns
    arrived_ns = pl.max_horizontal(event_ns, received_ns)
    known = arrived_ns
    if "known_ns" in rows.columns:
        told_ns = pl.col("known_ns").fill_null(arrived_ns)
        known = pl.max_horizontal(told_ns, arrived_ns) if "received_ns" in rows.columns else told_ns
    return rows.select(known.cast(pl.Int64).alias("known_ns"))["known_ns"].to_numpy()
