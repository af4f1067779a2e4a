"""Columns of each table, in their order, and how Parquet stores them."""

from typing import Any

import pyarrow as pa

from undertow import __version__
from undertow.market.instruments import Instrument

__all__ = [
    "BOOK",
    "BOOK_AUDITS",
    "BOOK_CHANGES",
    "COVERAGE",
    "GAPS",
    "SCHEMA_VERSION",
    "SORT_KEYS",
    "TRADES",
    "UNIQUE_KEYS",
    "instrument_metadata",
    "instrument_of",
    "parquet_options",
]

SCHEMA_VERSION = "4"

TRADES = pa.schema(
    [
        ("timestamp", pa.int64()),
        ("trade_id", pa.int64()),
        ("price", pa.float64()),
        ("quantity", pa.float64()),
        ("is_buyer_maker", pa.bool_()),
        ("first_trade_id", pa.int64()),
        ("last_trade_id", pa.int64()),
        ("received_ns", pa.int64()),
        ("order_type", pa.string()),
        ("is_late", pa.bool_()),
        ("event_remainder_ns", pa.int64()),
        ("source", pa.string()),
        ("normal_quantity", pa.float64()),
    ]
)
"""Event time [ns] = `timestamp` · 10⁶ + `event_remainder_ns`, which is 0 where a venue counts in ms.

`normal_quantity` is the part of `quantity` that was no retail price improvement (`nq`).
"""

_SIDE = pa.list_(pa.field("element", pa.list_(pa.field("element", pa.float64()))))  # as Parquet names them
_DERIVED = [f"{side}_vol_{depth}" for depth in (5, 10, 20) for side in ("bid", "ask")]
_DERIVED += [f"imbalance_{depth}" for depth in (5, 10, 20)] + ["spread", "mid_price", "weighted_mid"]

BOOK_CHANGES: tuple[str, ...] = ("added_bids", "removed_bids", "added_asks", "removed_asks")
BOOK_CHANGES += tuple(f"ofi_level_{level}" for level in range(2, 11))
"""Whole lots, null where an older file does not tell; meaning as in `BookColumns`."""

BOOK = pa.schema(
    [
        ("timestamp", pa.int64()),
        ("last_update_id", pa.int64()),
        ("bids", _SIDE),
        ("asks", _SIDE),
        *((name, pa.float64()) for name in _DERIVED),
        ("spread_integral", pa.int64()),
        ("spread_square_integral", pa.int64()),
        ("spread_time_us", pa.int64()),
        ("ofi_1", pa.int64()),
        ("ofi_10", pa.int64()),
        ("update_count", pa.int64()),
        ("late_update_count", pa.int64()),
        ("last_update_ns", pa.int64()),
        ("received_ns", pa.int64()),
        ("trusted_bid", pa.float64()),
        ("trusted_ask", pa.float64()),
        *((name, pa.int64()) for name in BOOK_CHANGES),
    ]
)
"""Accumulators are whole ticks and lots: ∫ spread dt in ticks·µs, order-flow imbalance in lots.

Levels from `trusted_bid` to `trusted_ask` were in the newest snapshot or have changed since; further out the
book is known only as far as it has changed.
"""

GAPS = pa.schema(
    [
        ("timestamp", pa.int64()),
        ("from_ns", pa.int64()),
        ("to_ns", pa.int64()),
        ("first_id", pa.int64()),
        ("last_id", pa.int64()),
        ("stream", pa.string()),
        ("cause", pa.string()),
        ("counted_from_ns", pa.int64()),
        ("counted_to_ns", pa.int64()),
    ]
)

COVERAGE = pa.schema(
    [
        ("timestamp", pa.int64()),
        ("stream", pa.string()),
        ("status", pa.string()),
        ("from_ns", pa.int64()),
        ("to_ns", pa.int64()),
        ("first_id", pa.int64()),
        ("last_id", pa.int64()),
        ("cause", pa.string()),
        ("repaired_ns", pa.int64()),
    ]
)
"""The ledger of completeness; see `frames.coverage`."""

BOOK_AUDITS = pa.schema(
    [
        ("timestamp", pa.int64()),
        ("update_id", pa.int64()),
        ("compared", pa.int64()),
        ("matched", pa.int64()),
        ("mismatched", pa.int64()),
        ("ghosts", pa.int64()),
        ("trusted_bid", pa.float64()),
        ("trusted_ask", pa.float64()),
        ("cause", pa.string()),
    ]
)
"""What comparing the book with a fresh snapshot found; see `frames.book_audit`."""

SORT_KEYS = {
    "aggtrades": ("timestamp", "event_remainder_ns", "trade_id"),
    "trades": ("timestamp", "event_remainder_ns", "trade_id"),
    "gaps": ("from_ns", "stream", "first_id"),
    "coverage": ("from_ns", "stream", "to_ns"),
    "book_audits": ("timestamp", "update_id"),
}
"""What rows are sorted by where it is not `timestamp` alone."""

UNIQUE_KEYS = {
    "aggtrades": ("trade_id",),
    "trades": ("trade_id",),
    "gaps": ("from_ns", "to_ns", "stream", "first_id"),
    "coverage": ("stream", "from_ns", "first_id"),
    "book_audits": ("timestamp", "update_id"),
}
"""What tells one row from another where it is not `timestamp` alone."""


_REPEATING = frozenset({"price", "quantity", "normal_quantity", "bids", "asks", "spread", "mid_price"})


def instrument_metadata(instrument: Instrument) -> dict[str, str]:
    """What each file says about itself."""
    return {
        "venue": instrument.venue,
        "symbol": instrument.symbol,
        "tick": instrument.tick,
        "lot": instrument.lot,
        "schema_version": SCHEMA_VERSION,
        "code_version": __version__,
    }


def instrument_of(schema: pa.Schema) -> Instrument:
    """The instrument that a table's metadata names."""
    metadata = schema.metadata or {}
    venue, symbol, tick, lot = (metadata[key].decode() for key in (b"venue", b"symbol", b"tick", b"lot"))
    return Instrument(venue, symbol, tick, lot)


def parquet_options(schema: pa.Schema) -> dict[str, Any]:
    """Arguments of `pyarrow.parquet.write_table`, as measured by `bench/lake_encodings.py`; always Snappy.

    Integers are stored as deltas. Words, and prices and quantities that repeat, as dictionaries: their
    doubles have few distinct values but no regular bytes, so that split byte streams take three times the
    room. Other floats are stored plainly.
    """
    encodings: dict[str, str] = {}
    repeating: list[str] = []
    for field in schema:
        path, kind = field.name, field.type
        while pa.types.is_list(kind):
            path, kind = f"{path}.list.element", kind.value_type
        if pa.types.is_int64(kind):
            encodings[path] = "DELTA_BINARY_PACKED"
        elif pa.types.is_string(kind) or field.name in _REPEATING:
            repeating.append(path)
    return {"compression": "snappy", "use_dictionary": repeating or False, "column_encoding": encodings}
