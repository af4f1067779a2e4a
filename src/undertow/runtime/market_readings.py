"""Rows of the market tables as the numbers that bars are made of: of a block, and of a stored history."""

from collections.abc import Mapping
from hashlib import blake2b

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from undertow.frames.market_fold import MARKET_TABLES, MarketRows, Readings
from undertow.lake.market_schemas import MARKET_UNIQUE_KEYS
from undertow.lake.reader import Lake
from undertow.market.instruments import Instrument
from undertow.market.time import HOUR_NS, MILLISECOND_NS

__all__ = ["MarketHistory", "readings_of"]

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]

_FLOATS = {
    "mark_price": ("mark_price", "index_price", "funding_rate", "next_funding_ms"),
    "funding_rate": ("funding_rate",),
    "open_interest": ("open_interest",),
    "liquidations": (),
}
"""Table → columns of `Readings.floats`."""

_FORCED_ORDER = MARKET_UNIQUE_KEYS["liquidations"]
_MOST_LOTS = 2.0**52
"""A quantity beyond it is no whole number any more."""


def readings_of(instrument: Instrument, tables: Mapping[str, pa.Table]) -> MarketRows:
    """What bars use of the lake's rows, in their order; tables that they do not use are left out."""
    return {
        name: Readings(_integers(instrument, name, rows), _floats(name, rows))
        for name, rows in tables.items()
        if name in MARKET_TABLES
    }


def _floats(table: str, rows: pa.Table) -> Floats:
    """(n, k), null as NaN."""
    columns = [rows[name].cast(pa.float64()).to_numpy() for name in _FLOATS[table]]
    return np.column_stack(columns) if columns else np.zeros((rows.num_rows, 0))


def _integers(instrument: Instrument, table: str, rows: pa.Table) -> Integers:
    event_ns = rows["timestamp"].to_numpy() * MILLISECOND_NS
    columns = [_known_ns(rows, event_ns), event_ns]
    if table == "liquidations":
        quantity = np.clip(
            rows["quantity"].fill_null(0.0).to_numpy(), 0.0, _MOST_LOTS * instrument.quantity.to_float(1)
        )
        sign = np.where(np.array(rows["side"].to_pylist()) == "SELL", 1, -1)
        columns += [_keys(rows), instrument.quantity.to_counts(quantity) * sign]
    return np.column_stack(columns).astype(np.int64)


def _known_ns(rows: pa.Table, event_ns: Integers) -> Integers:
    """Of rows of older files, which do not tell: when they came, and not before the time they are about."""
    came_ns: Integers = np.maximum(event_ns, rows["received_ns"].to_numpy())
    if "known_ns" not in rows.column_names:
        return came_ns
    known_ns: Integers = rows["known_ns"].fill_null(0).to_numpy()
    told_ns: Integers = np.where(known_ns > 0, known_ns, came_ns)
    return told_ns


def _keys(rows: pa.Table) -> Integers:
    """(n,) a number for each forced order that its copies share: of what tells one from another."""
    words = rows.select(list(_FORCED_ORDER)).to_pylist()
    digests = b"".join(blake2b(repr(list(row.values())).encode(), digest_size=8).digest() for row in words)
    return np.frombuffer(digests, np.int64)


class MarketHistory:
    """The market tables of one symbol in a lake, read on step by step; `after_ns`: up to there they were."""

    def __init__(self, lake: Lake, instrument: Instrument, after_ns: int | None = None) -> None:
        self._lake = lake
        self._instrument = instrument
        self._from_ns = None if after_ns is None else after_ns + 1
        self._hours = {
            table: np.array(lake.hours(instrument.venue, table, instrument.symbol), np.int64)
            for table in MARKET_TABLES
        }

    def until(self, until_ns: int) -> MarketRows:
        """Rows up to a time that were not read yet, that of the exchange: no row is known before it."""
        bounds = self._from_ns, until_ns + 1
        self._from_ns = until_ns + 1
        found = {table: self._read(table, *bounds) for table in MARKET_TABLES if self._holds(table, *bounds)}
        return readings_of(self._instrument, {t: rows for t, rows in found.items() if rows is not None})

    def _holds(self, table: str, from_ns: int | None, to_ns: int) -> bool:
        """Whether there are stored hours between two times."""
        before_ns = self._hours[table][self._hours[table] < to_ns]
        return bool(len(before_ns)) and (from_ns is None or int(before_ns[-1]) + HOUR_NS > from_ns)

    def _read(self, table: str, from_ns: int | None, to_ns: int) -> pa.Table | None:
        told = _FORCED_ORDER if table == "liquidations" else ("timestamp", *_FLOATS[table])
        return self._lake.read_whole(
            self._instrument.venue,
            table,
            self._instrument.symbol,
            from_ns,
            to_ns,
            columns=[*told, "received_ns", "known_ns"],
            include_open=True,
        )
