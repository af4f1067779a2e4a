"""Columns of the tables beside trades and the kept book: prices, rates, liquidations, quotes, candles."""

from collections.abc import Mapping

import pyarrow as pa

from undertow.lake.schemas import BOOK

__all__ = ["MARKET_SCHEMAS", "MARKET_SORT_KEYS", "MARKET_UNIQUE_KEYS"]

_TIME = ("timestamp", pa.int64())
_RECEIVED = ("received_ns", pa.int64())
_KNOWN = ("known_ns", pa.int64())


def _floats(*names: str) -> list[tuple[str, pa.DataType]]:
    return [(name, pa.float64()) for name in names]


def _integers(*names: str) -> list[tuple[str, pa.DataType]]:
    return [(name, pa.int64()) for name in names]


def _words(*names: str) -> list[tuple[str, pa.DataType]]:
    return [(name, pa.string()) for name in names]


MARKET_SCHEMAS: Mapping[str, pa.Schema] = {
    "mark_price": pa.schema(
        [
            _TIME,
            *_floats("mark_price", "index_price", "estimated_settle_price", "funding_rate"),
            *_integers("next_funding_ms"),
            *_floats("mark_price_average"),
            _RECEIVED,
            _KNOWN,
        ]
    ),
    "funding_rate": pa.schema([_TIME, *_floats("funding_rate", "mark_price"), _RECEIVED, _KNOWN]),
    "open_interest": pa.schema([_TIME, *_floats("open_interest"), _RECEIVED, _KNOWN]),
    "liquidations": pa.schema(
        [
            _TIME,
            *_words("side"),
            *_floats("price", "average_price", "quantity", "filled_quantity"),
            *_words("order_type", "time_in_force", "status"),
            *_integers("event_ms"),
            _RECEIVED,
            _KNOWN,
        ]
    ),
    "klines": pa.schema(
        [
            _TIME,
            *_floats("open", "high", "low", "close", "volume"),
            *_integers("close_ms"),
            *_floats("quote_volume"),
            *_integers("trade_count"),
            *_floats("taker_buy_volume", "taker_buy_quote_volume"),
            *_integers("first_trade_id", "last_trade_id"),
            _RECEIVED,
        ]
    ),
    "book_ticker": pa.schema(
        [
            _TIME,
            *_integers("update_id"),
            *_floats("bid_price", "bid_quantity", "ask_price", "ask_quantity"),
            *_integers("event_ms"),
            _RECEIVED,
        ]
    ),
    "depth20": pa.schema([*list(BOOK)[:16], pa.field("received_ns", pa.int64())]),
    "clock": pa.schema([_TIME, *_integers("offset_us", "error_us", "rtt_us"), _RECEIVED]),
    "instruments": pa.schema([_TIME, *_words("change", "before", "after"), _RECEIVED]),
}
"""`timestamp`: the exchange's time [Unix ms], of a candle its beginning, of a liquidation the order's.

`event_ms` of `book_ticker` is null where the venue gives no time, and `timestamp` then when it came; of
a liquidation it is when the exchange sent it. `side` SELL: a long was liquidated. `received_ns`: when it
came, by the local clock; no row may be used before.

`known_ns`: bars that end at or after it may use the row; null in older files. It is when the exchange
published the row, or later: 1 ns behind the bars that were closed when the row came. No clock of ours takes
part.
"""

_FORCED_ORDER = tuple(
    name for name in MARKET_SCHEMAS["liquidations"].names if name not in ("received_ns", "known_ns")
)

MARKET_UNIQUE_KEYS: Mapping[str, tuple[str, ...]] = {
    "liquidations": _FORCED_ORDER,
    "book_ticker": ("update_id",),
    "depth20": ("last_update_id",),
    "instruments": ("timestamp", "change", "before", "after"),
}
"""What tells one row from another where it is not `timestamp` alone.

A forced order has no id: one whose every word is the same, down to when it was sent, is a copy of it, and two
of one millisecond that differ are two.
"""

MARKET_SORT_KEYS: Mapping[str, tuple[str, ...]] = {
    "liquidations": ("timestamp", "event_ms", *_FORCED_ORDER[1:-1]),
    "book_ticker": ("timestamp", "update_id"),
    "depth20": ("timestamp", "last_update_id"),
    "instruments": ("timestamp", "change", "before", "after"),
}
"""What rows are sorted by where it is not `timestamp` alone; no two rows are equal in all of it."""
