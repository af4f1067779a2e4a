"""Columns in ticks and lots ↔ Arrow tables in prices and quantities, exact both ways."""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from undertow.lake.schemas import BOOK, BOOK_CHANGES, GAPS, TRADES, instrument_metadata
from undertow.market.columns import ORDER_TYPES, TRADE_SOURCES, BookColumns, TradeColumns
from undertow.market.events import Gap
from undertow.market.instruments import Instrument, Scale
from undertow.market.time import MILLISECOND_NS

__all__ = [
    "arrow_to_book",
    "arrow_to_gaps",
    "arrow_to_trades",
    "book_to_arrow",
    "described_table",
    "gaps_to_arrow",
    "rows_to_arrow",
    "trades_to_arrow",
]

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]


def described_table(columns: list[pa.Array], schema: pa.Schema, instrument: Instrument) -> pa.Table:
    """Columns in the order of a schema, with what each file says about itself."""
    described = schema.with_metadata(instrument_metadata(instrument))
    arrays = [pa.array(column).cast(field.type) for column, field in zip(columns, schema, strict=True)]
    return pa.Table.from_arrays(arrays, schema=described)


def _integers(table: pa.Table, name: str) -> Integers:
    values: Integers = np.ascontiguousarray(table[name].to_numpy(), dtype=np.int64)
    return values


def _words(codes: NDArray[np.uint8], words: tuple[str, ...]) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array(codes.astype(np.int8)), pa.array(words)).cast(pa.string())


def _codes(table: pa.Table, name: str, words: tuple[str, ...]) -> NDArray[np.uint8]:
    """Inverse of `_words`; the first word where an older file has no such column."""
    if name not in table.column_names:
        return np.zeros(table.num_rows, np.uint8)
    places = pc.fill_null(pc.index_in(table[name], value_set=pa.array(words)), 0)
    codes: NDArray[np.uint8] = places.to_numpy().astype(np.uint8)
    return codes


def _floats_or_null(counts: Integers, scale: Scale) -> pa.Array:
    """Values of whole steps; null where the count is -1."""
    return pa.array(scale.to_floats(counts), mask=counts < 0)


def _counts_or_absent(table: pa.Table, name: str, scale: Scale) -> Integers:
    """Inverse of `_floats_or_null`; -1 where an older file has no such column."""
    if name not in table.column_names:
        return np.full(table.num_rows, -1, np.int64)
    values = table[name]
    counts = scale.to_counts(pc.fill_null(values, 0.0).to_numpy())
    return np.where(values.is_null().to_numpy(), -1, counts)


def trades_to_arrow(instrument: Instrument, trades: TradeColumns) -> pa.Table:
    """Rows of `aggtrades` or `trades`."""
    columns = [
        trades.event_ns // MILLISECOND_NS,
        trades.trade_id,
        instrument.price.to_floats(trades.price_ticks),
        instrument.quantity.to_floats(trades.quantity_lots),
        trades.is_buyer_maker,
        trades.first_trade_id,
        trades.last_trade_id,
        trades.receive_ns,
        _words(trades.order_type, ORDER_TYPES),
        trades.is_late,
        trades.event_ns % MILLISECOND_NS,
        _words(trades.source, TRADE_SOURCES),
        _floats_or_null(trades.normal_lots, instrument.quantity),
    ]
    return described_table(columns, TRADES, instrument)


def arrow_to_trades(instrument: Instrument, table: pa.Table) -> TradeColumns:
    """Inverse of `trades_to_arrow`."""
    return TradeColumns(
        event_ns=_integers(table, "timestamp") * MILLISECOND_NS + _integers(table, "event_remainder_ns"),
        receive_ns=_integers(table, "received_ns"),
        trade_id=_integers(table, "trade_id"),
        first_trade_id=_integers(table, "first_trade_id"),
        last_trade_id=_integers(table, "last_trade_id"),
        price_ticks=instrument.price.to_counts(table["price"].to_numpy()),
        quantity_lots=instrument.quantity.to_counts(table["quantity"].to_numpy()),
        is_buyer_maker=table["is_buyer_maker"].to_numpy(),
        order_type=_codes(table, "order_type", ORDER_TYPES),
        is_late=table["is_late"].to_numpy(),
        source=_codes(table, "source", TRADE_SOURCES),
        normal_lots=_counts_or_absent(table, "normal_quantity", instrument.quantity),
    )


def _side_to_arrow(ticks: Integers, lots: Integers, price: Scale, quantity: Scale) -> pa.Array:
    """(n, levels) as list<[price, quantity]> of the levels that exist."""
    exists = lots > 0
    pairs = np.stack([price.to_floats(ticks[exists]), quantity.to_floats(lots[exists])], axis=1)
    inner = pa.ListArray.from_arrays(
        np.arange(0, 2 * len(pairs) + 1, 2, dtype=np.int32), pa.array(pairs.ravel())
    )
    offsets = np.concatenate([[0], np.cumsum(exists.sum(axis=1))]).astype(np.int32)
    return pa.ListArray.from_arrays(offsets, inner)


def _side_from_arrow(column: pa.ChunkedArray, price: Scale, quantity: Scale) -> tuple[Integers, Integers]:
    """Inverse of `_side_to_arrow`; as many levels as the fullest row has."""
    rows = column.combine_chunks()
    counts = pc.list_value_length(rows).to_numpy(zero_copy_only=False)
    pairs = rows.flatten().flatten().to_numpy().reshape(-1, 2)
    width = int(counts.max(initial=0))
    ticks, lots = np.zeros((len(counts), width), np.int64), np.zeros((len(counts), width), np.int64)
    exists = np.arange(width) < counts[:, None]
    ticks[exists] = price.to_counts(pairs[:, 0])
    lots[exists] = quantity.to_counts(pairs[:, 1])
    return ticks, lots


def _ratio(above: Integers, below: Integers) -> pa.Array:
    return pa.array(above / np.where(below == 0, 1, below), mask=below == 0)


def _derived(instrument: Instrument, book: BookColumns) -> list[pa.Array]:
    """Volumes, imbalances, spread and mids of each sample; null where a side is empty."""
    volumes, imbalances = [], []
    for depth in (5, 10, 20):
        bids, asks = book.bid_lots[:, :depth].sum(axis=1), book.ask_lots[:, :depth].sum(axis=1)
        volumes += [instrument.quantity.to_floats(bids), instrument.quantity.to_floats(asks)]
        imbalances.append(_ratio(bids - asks, bids + asks))
    bid, ask = book.bid_ticks[:, 0], book.ask_ticks[:, 0]
    bid_lots, ask_lots = book.bid_lots[:, 0], book.ask_lots[:, 0]
    unknown = (bid_lots == 0) | (ask_lots == 0)
    price = instrument.price
    weight = bid_lots + ask_lots
    # (bid·ask_lots + ask·bid_lots) / weight, in a form whose products of ticks and lots cannot overflow
    weighted = (
        (bid + (ask - bid) * (bid_lots / np.where(weight == 0, 1, weight))) * price.units / price.divisor
    )
    mids = [price.to_floats(ask - bid), (bid + ask) * price.units / (2 * price.divisor), weighted]
    return [*volumes, *imbalances, *(pa.array(values, mask=unknown) for values in mids)]


def book_to_arrow(instrument: Instrument, book: BookColumns) -> pa.Table:
    """Rows of `book_depth` or `l2`."""
    price, quantity = instrument.price, instrument.quantity
    columns = [
        book.grid_ns // MILLISECOND_NS,
        book.last_update_id,
        _side_to_arrow(book.bid_ticks, book.bid_lots, price, quantity),
        _side_to_arrow(book.ask_ticks, book.ask_lots, price, quantity),
        *_derived(instrument, book),
        book.spread_integral,
        book.spread_square_integral,
        book.spread_time_us,
        book.ofi_1,
        book.ofi_10,
        book.update_count,
        book.late_update_count,
        book.last_update_ns,
        book.receive_ns,
        price.to_floats(book.trusted_bid_ticks),
        price.to_floats(book.trusted_ask_ticks),
        *(pa.array(getattr(book, name), mask=book.added_bids < 0) for name in BOOK_CHANGES),
    ]
    return described_table(columns, BOOK, instrument)


def arrow_to_book(instrument: Instrument, table: pa.Table) -> BookColumns:
    """Inverse of `book_to_arrow`; as many levels as the fullest side has, at least 20."""
    sides = [
        _side_from_arrow(table[name], instrument.price, instrument.quantity) for name in ("bids", "asks")
    ]
    width = max(20, *(ticks.shape[1] for ticks, _ in sides))
    (bid_ticks, bid_lots), (ask_ticks, ask_lots) = (
        tuple(np.pad(values, ((0, 0), (0, width - values.shape[1]))) for values in side) for side in sides
    )
    return BookColumns(
        grid_ns=_integers(table, "timestamp") * MILLISECOND_NS,
        last_update_id=_integers(table, "last_update_id"),
        last_update_ns=_integers(table, "last_update_ns"),
        receive_ns=_integers(table, "received_ns"),
        trusted_bid_ticks=_trusted(instrument, table, "trusted_bid"),
        trusted_ask_ticks=_trusted(instrument, table, "trusted_ask"),
        bid_ticks=bid_ticks,
        bid_lots=bid_lots,
        ask_ticks=ask_ticks,
        ask_lots=ask_lots,
        spread_integral=_integers(table, "spread_integral"),
        spread_square_integral=_integers(table, "spread_square_integral"),
        spread_time_us=_integers(table, "spread_time_us"),
        ofi_1=_integers(table, "ofi_1"),
        ofi_10=_integers(table, "ofi_10"),
        update_count=_integers(table, "update_count"),
        late_update_count=_integers(table, "late_update_count"),
        **{name: _changes(table, name) for name in BOOK_CHANGES},
    )


def _changes(table: pa.Table, name: str) -> Integers:
    """One of BOOK_CHANGES; where an older file has none, -1, and 0 for order-flow imbalances."""
    absent = 0 if name.startswith("ofi") else -1
    if name not in table.column_names:
        return np.full(table.num_rows, absent, np.int64)
    values: Integers = pc.fill_null(table[name], absent).to_numpy()
    return np.ascontiguousarray(values)


def _trusted(instrument: Instrument, table: pa.Table, name: str) -> Integers:
    """Ticks of a trusted price; 0 where an older file has none."""
    if name not in table.column_names:
        return np.zeros(table.num_rows, np.int64)
    return instrument.price.to_counts(pc.fill_null(table[name], 0.0).to_numpy())


def gaps_to_arrow(instrument: Instrument, gaps: list[Gap]) -> pa.Table:
    """Rows of `gaps`."""
    columns: list[pa.Array] = [pa.array([gap.from_ns // MILLISECOND_NS for gap in gaps], pa.int64())]
    columns += [pa.array([getattr(gap, field.name) for gap in gaps], field.type) for field in list(GAPS)[1:]]
    return described_table(columns, GAPS, instrument)


def rows_to_arrow(instrument: Instrument, schema: pa.Schema, rows: list[dict[str, Any]]) -> pa.Table:
    """Rows given by column name; what a row lacks is null."""
    described = schema.with_metadata(instrument_metadata(instrument))
    return pa.Table.from_pylist(rows, schema=described)


def arrow_to_gaps(instrument: Instrument, table: pa.Table) -> list[Gap]:
    """Inverse of `gaps_to_arrow`."""
    rows = table.drop_columns(["timestamp"]).to_pylist()
    return [Gap(symbol=instrument.symbol, **row) for row in rows]
