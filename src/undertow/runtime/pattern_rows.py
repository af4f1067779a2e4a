"""Patterns in stored feature bars: from a symbol's table to the rows of its events."""

from collections.abc import Sequence

import polars as pl

from undertow.datasets.bars import SymbolBars, float_column, known_ns, open_ns
from undertow.patterns.catalogue import PATTERNS
from undertow.patterns.detect import detect
from undertow.patterns.pattern import Events, Pattern, PatternBars

__all__ = ["EVENT_SCHEMA", "event_rows", "find_patterns", "pattern_bars"]

EVENT_SCHEMA = pl.Schema(
    {
        "symbol": pl.String(),
        "pattern": pl.String(),
        "time_ns": pl.Int64(),
        "known_ns": pl.Int64(),
        "side": pl.Int8(),
        "strength": pl.Float64(),
        "numbers": pl.List(pl.Struct({"name": pl.String(), "value": pl.Float64()})),
    }
)
"""Columns of a file of events. Times are Unix ns: the close of the bar, and when it could first be used."""


def pattern_bars(bars: SymbolBars, patterns: Sequence[Pattern] = PATTERNS) -> PatternBars:
    """The columns that the patterns need, NaN where null. Raises InputError where one is missing."""
    names = dict.fromkeys(name for pattern in patterns for name in pattern.inputs)
    columns = {name: float_column(bars, name) for name in (*names, "gap_fraction")}
    return PatternBars(open_ns(bars), known_ns(bars), bars.length_ns, columns)


def find_patterns(bars: SymbolBars, patterns: Sequence[Pattern] = PATTERNS) -> list[Events]:
    """The events of each pattern with its default settings. Raises InputError for a missing column."""
    columns = pattern_bars(bars, patterns)
    return [detect(pattern, columns) for pattern in patterns]


def event_rows(symbol: str, found: Sequence[Events]) -> pl.DataFrame:
    """The events of one symbol as rows of `EVENT_SCHEMA`, by time, at one time in the order of `found`."""
    frames = [_rows(symbol, events) for events in found]
    return pl.concat([pl.DataFrame(schema=EVENT_SCHEMA), *frames]).sort("time_ns", maintain_order=True)


def _rows(symbol: str, events: Events) -> pl.DataFrame:
    numbers = [
        [{"name": name, "value": float(value)} for name, value in zip(events.names, row, strict=True)]
        for row in events.numbers
    ]
    columns = {
        "symbol": [symbol] * len(events),
        "pattern": [events.pattern] * len(events),
        "time_ns": events.time_ns,
        "known_ns": events.known_ns,
        "side": events.side,
        "strength": events.strength,
        "numbers": numbers,
    }
    return pl.DataFrame(columns, schema=EVENT_SCHEMA)
