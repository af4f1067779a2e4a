"""Rows of the market tables out of a mapped block.

Nothing is carried from block to block: a frame that came twice gives its row twice, and the lake keeps one of
them by the keys in `lake.market_schemas`.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from undertow.frames.column_set import book_columns
from undertow.lake.market_schemas import MARKET_SCHEMAS
from undertow.lake.tables import book_to_arrow, described_table, rows_to_arrow
from undertow.market.batch import EventBatch, EventKind
from undertow.market.events import (
    ClockOffset,
    FundingRate,
    Gap,
    Kline,
    Liquidation,
    ListingChange,
    MarketEvent,
    MarkPrice,
    OpenInterest,
)
from undertow.market.instruments import Instrument
from undertow.market.time import MILLISECOND_NS, MINUTE_NS
from undertow.venues.mapped import Mapped

__all__ = ["market_tables"]

Integers = NDArray[np.int64]
Row = dict[str, Any]

_PARTIAL_LEVELS = 20


def market_tables(instrument: Instrument, mapped: Mapped, closed_at: Integers) -> dict[str, pa.Table]:
    """Table → its rows in this block, in arrival order; tables without any are left out.

    `closed_at`: for each row of the batch the boundary up to which bars were closed when it came. Candles are
    stored when they are closed, and those of one minute only.
    """
    rows: dict[str, list[Row]] = {}
    for event, place in zip(mapped.others, mapped.other_rows, strict=True):
        if isinstance(event, Gap) or not _is_stored(event):
            continue
        name, row_of = _ROWS[type(event)]
        row = {**row_of(event), "received_ns": event.receive_ns}
        if isinstance(event, MarkPrice | FundingRate | OpenInterest | Liquidation):
            row["known_ns"] = max(_published_ns(event), int(closed_at[place]) + 1)
        rows.setdefault(name, []).append(row)
    found = {name: rows_to_arrow(instrument, MARKET_SCHEMAS[name], entries) for name, entries in rows.items()}
    batch = mapped.batch
    quotes = np.flatnonzero(batch.kind == EventKind.BEST_QUOTE)
    if len(quotes):
        found["book_ticker"] = _quotes(instrument, batch, quotes)
    partial = np.flatnonzero(batch.kind == EventKind.PARTIAL_BOOK)
    if len(partial):
        found["depth20"] = _partial_books(instrument, batch, partial)
    return found


def _published_ns(event: MarkPrice | FundingRate | OpenInterest | Liquidation) -> int:
    """When the exchange told it, as far as it says so: answers of REST carry no time but their own."""
    return max(event.event_ns, event.published_ns) if isinstance(event, Liquidation) else event.event_ns


def _is_stored(event: MarketEvent) -> bool:
    if isinstance(event, Kline):
        return event.is_closed and event.close_ns - event.open_ns == MINUTE_NS
    return type(event) in _ROWS


def _quotes(instrument: Instrument, batch: EventBatch, rows: Integers) -> pa.Table:
    """Of a side that is empty (the venue gives price 0) the price is null."""
    price, quantity = instrument.price, instrument.quantity
    event_ns, receive_ns = batch.event_ns[rows], batch.receive_ns[rows]
    bid, ask = batch.bid_start[rows], batch.ask_start[rows]
    bid_ticks, ask_ticks = batch.level_ticks[bid], batch.level_ticks[ask]
    columns = [
        np.where(event_ns > 0, event_ns, receive_ns) // MILLISECOND_NS,
        batch.last_id[rows],
        pa.array(price.to_floats(bid_ticks), mask=bid_ticks == 0),
        quantity.to_floats(batch.level_lots[bid]),
        pa.array(price.to_floats(ask_ticks), mask=ask_ticks == 0),
        quantity.to_floats(batch.level_lots[ask]),
        pa.array(event_ns // MILLISECOND_NS, mask=event_ns == 0),
        receive_ns,
    ]
    return described_table(columns, MARKET_SCHEMAS["book_ticker"], instrument)


def _partial_books(instrument: Instrument, batch: EventBatch, rows: Integers) -> pa.Table:
    """Through the columns of samples, whose derived columns are the same."""
    event_ns, receive_ns = batch.event_ns[rows], batch.receive_ns[rows]
    integers = np.zeros((len(rows), 13), np.int64)
    integers[:, 0] = np.where(event_ns > 0, event_ns, receive_ns)
    integers[:, 1], integers[:, 3] = batch.last_id[rows], receive_ns
    levels = np.zeros((len(rows), 4, _PARTIAL_LEVELS), np.int64)
    levels[:, 0], levels[:, 1] = _levels(batch, batch.bid_start[rows], batch.bid_count[rows])
    levels[:, 2], levels[:, 3] = _levels(batch, batch.ask_start[rows], batch.ask_count[rows])
    full = book_to_arrow(instrument, book_columns(integers, levels))
    schema = MARKET_SCHEMAS["depth20"]
    return full.select(schema.names).cast(schema.with_metadata(full.schema.metadata))


def _levels(batch: EventBatch, start: Integers, count: Integers) -> tuple[Integers, Integers]:
    """(ticks, lots), each (n, 20), of the levels that lie from `start` on; 0 where there are no more."""
    place = np.arange(_PARTIAL_LEVELS)
    exists = place < count[:, None]
    at = (start[:, None] + place)[exists]
    ticks, lots = np.zeros(exists.shape, np.int64), np.zeros(exists.shape, np.int64)
    ticks[exists], lots[exists] = batch.level_ticks[at], batch.level_lots[at]
    return ticks, lots


def _mark_price(event: MarkPrice) -> Row:
    return {
        "timestamp": event.event_ns // MILLISECOND_NS,
        "mark_price": event.mark_price,
        "index_price": event.index_price,
        "estimated_settle_price": event.estimated_settle_price,
        "funding_rate": event.funding_rate,
        "next_funding_ms": event.next_funding_ns // MILLISECOND_NS or None,
        "mark_price_average": event.average_mark_price,
    }


def _funding_rate(event: FundingRate) -> Row:
    return {
        "timestamp": event.event_ns // MILLISECOND_NS,
        "funding_rate": event.funding_rate,
        "mark_price": event.mark_price,
    }


def _open_interest(event: OpenInterest) -> Row:
    return {"timestamp": event.event_ns // MILLISECOND_NS, "open_interest": event.open_interest}


def _liquidation(event: Liquidation) -> Row:
    return {
        "timestamp": event.event_ns // MILLISECOND_NS,
        "side": "SELL" if event.is_sell else "BUY",
        "price": event.price,
        "average_price": event.average_price,
        "quantity": event.quantity,
        "filled_quantity": event.filled_quantity,
        "order_type": event.order_type or None,
        "time_in_force": event.time_in_force or None,
        "status": event.status or None,
        "event_ms": event.published_ns // MILLISECOND_NS or None,
    }


def _kline(event: Kline) -> Row:
    return {
        "timestamp": event.open_ns // MILLISECOND_NS,
        "open": event.open,
        "high": event.high,
        "low": event.low,
        "close": event.close,
        "volume": event.volume,
        "close_ms": event.close_ns // MILLISECOND_NS - 1,
        "quote_volume": event.quote_volume,
        "trade_count": event.trade_count,
        "taker_buy_volume": event.taker_buy_volume,
        "taker_buy_quote_volume": event.taker_buy_quote_volume,
        "first_trade_id": event.first_trade_id if event.trade_count > 0 else None,
        "last_trade_id": event.last_trade_id if event.trade_count > 0 else None,
    }


def _clock(event: ClockOffset) -> Row:
    return {
        "timestamp": event.event_ns // MILLISECOND_NS,
        "offset_us": event.offset_us,
        "error_us": event.error_us,
        "rtt_us": event.rtt_us,
    }


def _listing_change(event: ListingChange) -> Row:
    return {
        "timestamp": event.event_ns // MILLISECOND_NS,
        "change": event.change,
        "before": event.before,
        "after": event.after,
    }


_ROWS: Mapping[type[MarketEvent], tuple[str, Callable[[Any], Row]]] = {
    MarkPrice: ("mark_price", _mark_price),
    FundingRate: ("funding_rate", _funding_rate),
    OpenInterest: ("open_interest", _open_interest),
    Liquidation: ("liquidations", _liquidation),
    Kline: ("klines", _kline),
    ClockOffset: ("clock", _clock),
    ListingChange: ("instruments", _listing_change),
}
"""Kind of event → its table, and what makes a row of it."""
