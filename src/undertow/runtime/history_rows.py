"""Rows of the lake as the columns that frames are made of, and no other column."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from undertow.compiled import kernel
from undertow.frames.frames import BOOK_LEVELS
from undertow.lake.schemas import BOOK_CHANGES
from undertow.market.columns import ORDER_TYPES, TRADE_SOURCES, BookColumns, TradeColumns
from undertow.market.instruments import Instrument, Scale
from undertow.market.time import MILLISECOND_NS

__all__ = ["BOOK_NAMES", "TRADE_NAMES", "TRADE_WORDS", "Flow", "book_rows", "flow_rows", "no_book", "no_flow"]

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

TRADE_NAMES = (
    "timestamp",
    "event_remainder_ns",
    "trade_id",
    "price",
    "quantity",
    "is_buyer_maker",
    "order_type",
    "is_late",
)
"""Columns of `aggtrades` or `trades` that `flow_rows` reads."""

TRADE_WORDS = ("order_type", "source")
"""Columns of words, which may come as dictionaries."""

_BOOK_SUMS = (
    "spread_integral",
    "spread_square_integral",
    "spread_time_us",
    "ofi_1",
    "ofi_10",
    "update_count",
    "last_update_ns",
)
BOOK_NAMES = ("timestamp", "bids", "asks", *_BOOK_SUMS, *BOOK_CHANGES)
"""Columns of `book_depth` that `book_rows` reads."""

_SIDES = ("bid_ticks", "bid_lots", "ask_ticks", "ask_lots")


@dataclass(frozen=True, slots=True)
class Flow:
    """Flow trades that came in time, in order of time and id; each column (n,)."""

    event_ns: Integers
    trade_id: Integers
    price_ticks: Integers
    quantity_lots: Integers
    is_buyer_maker: Flags

    def __len__(self) -> int:
        """Number of trades."""
        return len(self.event_ns)

    def take(self, rows: slice | Flags | Integers) -> "Flow":
        """The rows selected."""
        return Flow(
            self.event_ns[rows],
            self.trade_id[rows],
            self.price_ticks[rows],
            self.quantity_lots[rows],
            self.is_buyer_maker[rows],
        )

    def then(self, others: "Flow") -> "Flow":
        """These trades and others, sorted."""
        joined = Flow(
            np.concatenate([self.event_ns, others.event_ns]),
            np.concatenate([self.trade_id, others.trade_id]),
            np.concatenate([self.price_ticks, others.price_ticks]),
            np.concatenate([self.quantity_lots, others.quantity_lots]),
            np.concatenate([self.is_buyer_maker, others.is_buyer_maker]),
        )
        if _is_sorted(joined.event_ns, joined.trade_id):
            return joined
        return joined.take(np.lexsort((joined.trade_id, joined.event_ns)))

    def trades(self) -> TradeColumns:
        """The same with 0 in the columns that frames do not use."""
        zeros: Integers = np.broadcast_to(np.int64(0), len(self))
        codes: NDArray[np.uint8] = np.broadcast_to(np.uint8(0), len(self))
        return TradeColumns(
            event_ns=self.event_ns,
            receive_ns=zeros,
            trade_id=self.trade_id,
            first_trade_id=zeros,
            last_trade_id=zeros,
            price_ticks=self.price_ticks,
            quantity_lots=self.quantity_lots,
            is_buyer_maker=self.is_buyer_maker,
            order_type=codes,
            is_late=np.broadcast_to(np.False_, len(self)),
            source=codes,
            normal_lots=zeros,
        )


def no_flow() -> Flow:
    """No trades."""
    none = np.zeros(0, np.int64)
    return Flow(none, none, none, none, none.astype(np.bool_))


def flow_rows(
    instrument: Instrument, table: pa.Table, source: Callable[[], pa.ChunkedArray]
) -> tuple[Flow, Integers]:
    """Flow trades that came in time, and the event times of those of the stream that came too late [ns].

    Trades that took part in no flow (insurance fund, deleveraging) are left out. Of columns that older files
    lack, null means what was true before there was such a column. `source` is asked for where of each trade
    only if some came too late.
    """
    flow = _flow(instrument, table)
    is_late, is_other = _flags(table["is_late"]), _is_among(table["order_type"], ORDER_TYPES[1:])
    if not is_late.any() and not is_other.any():
        return flow, np.empty(0, np.int64)
    is_late &= ~is_other
    if not is_late.any():
        return flow.take(~is_other), np.empty(0, np.int64)
    is_streamed = ~_is_among(source(), TRADE_SOURCES[1:])
    return flow.take(~is_other & ~is_late), flow.event_ns[is_late & is_streamed]


def _flow(instrument: Instrument, table: pa.Table) -> Flow:
    event_ns, ticks, lots = (np.empty(table.num_rows, np.int64) for _ in range(3))
    _count(
        _integers(table, "timestamp"),
        _integers(table, "event_remainder_ns"),
        table["price"].to_numpy(),
        table["quantity"].to_numpy(),
        *_steps(instrument),
        event_ns,
        ticks,
        lots,
    )
    return Flow(event_ns, _integers(table, "trade_id"), ticks, lots, _flags(table["is_buyer_maker"]))


def no_book() -> BookColumns:
    """No samples."""
    none, levels = np.zeros(0, np.int64), np.zeros((0, BOOK_LEVELS), np.int64)
    names = (name for name in BookColumns.__dataclass_fields__ if name not in _SIDES)
    return BookColumns(**dict.fromkeys(names, none), **dict.fromkeys(_SIDES, levels))


def book_rows(before: BookColumns, instrument: Instrument, table: pa.Table) -> BookColumns:
    """Samples that wait and those of a table behind them, with the 20 best levels of each side.

    Columns that frames do not use are 0.
    """
    count = len(before)
    zeros = np.zeros(count + table.num_rows, np.int64)
    levels = {name: np.zeros((len(zeros), BOOK_LEVELS), np.int64) for name in _SIDES}
    for name, column in levels.items():
        column[:count] = getattr(before, name)
    for side in ("bid", "ask"):
        _fill_side(
            table[f"{side}s"], instrument, levels[f"{side}_ticks"][count:], levels[f"{side}_lots"][count:]
        )
    columns = {name: _integers(table, name, absent=_absent(name)) for name in (*_BOOK_SUMS, *BOOK_CHANGES)}
    columns["grid_ns"] = _integers(table, "timestamp") * MILLISECOND_NS
    known = {name: np.concatenate([getattr(before, name), column]) for name, column in columns.items()}
    unused = {name: zeros for name in BookColumns.__dataclass_fields__ if name not in (*known, *levels)}
    return BookColumns(**known, **levels, **unused)


def _absent(name: str) -> int:
    """What stands for a change of the book that an older file does not tell, as in `BookColumns`."""
    return -1 if name.startswith(("added", "removed")) else 0


def _integers(table: pa.Table, name: str, absent: int = 0) -> Integers:
    column = table[name]
    if column.null_count:
        column = pc.fill_null(column, absent)
    return np.ascontiguousarray(column.to_numpy(), dtype=np.int64)


def _flags(column: pa.ChunkedArray) -> Flags:
    """Null as false."""
    if column.null_count:
        column = pc.fill_null(column, False)  # noqa: FBT003 - a value
    values: Flags = column.to_numpy().astype(np.bool_)
    return values


def _is_among(column: pa.ChunkedArray, words: tuple[str, ...]) -> Flags:
    """Whether each is one of the words; null is none."""
    if not pa.types.is_dictionary(column.type):
        return _flags(pc.is_in(column, value_set=pa.array(words)))
    found = [np.zeros(len(chunk), np.bool_) for chunk in column.chunks]
    for chunk, among in zip(column.chunks, found, strict=True):
        is_word = np.array([word in words for word in chunk.dictionary.to_pylist()], np.bool_)
        if is_word.any():
            codes = pc.fill_null(chunk.indices, -1).to_numpy()
            among[:] = np.append(is_word, False)[codes]  # null is at -1, the end
    return np.concatenate([np.zeros(0, np.bool_), *found])


def _steps(instrument: Instrument) -> tuple[float, float]:
    """Ticks in a unit of price and lots in one of quantity."""
    price, quantity = instrument.price, instrument.quantity
    return _per_unit(price), _per_unit(quantity)


def _per_unit(scale: Scale) -> float:
    return scale.divisor / scale.units


def _fill_side(column: pa.ChunkedArray, instrument: Instrument, ticks: Integers, lots: Integers) -> None:
    """Ticks and lots of a column of lists of [price, quantity], into arrays of 0."""
    rows = column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
    pairs = rows.values
    _fill_levels(
        rows.offsets.to_numpy(),
        pairs.offsets.to_numpy(),
        pairs.values.to_numpy(),
        *_steps(instrument),
        ticks,
        lots,
    )


@kernel
def _is_sorted(event_ns: Integers, trade_id: Integers) -> bool:
    for i in range(1, len(event_ns)):
        if event_ns[i] < event_ns[i - 1]:
            return False
        if event_ns[i] == event_ns[i - 1] and trade_id[i] < trade_id[i - 1]:
            return False
    return True


@kernel
def _count(
    stamps_ms: Integers,
    remainders_ns: Integers,
    prices: Floats,
    quantities: Floats,
    per_price: float,
    per_quantity: float,
    event_ns: Integers,
    ticks: Integers,
    lots: Integers,
) -> None:
    """Times and whole counts of trades, as `Scale.to_counts` has them."""
    for i in range(len(ticks)):
        event_ns[i] = stamps_ms[i] * MILLISECOND_NS + remainders_ns[i]
        ticks[i] = np.int64(np.rint(prices[i] * per_price))
        lots[i] = np.int64(np.rint(quantities[i] * per_quantity))


@kernel
def _fill_levels(
    rows: NDArray[np.int32],
    pairs: NDArray[np.int32],
    values: Floats,
    per_price: float,
    per_quantity: float,
    ticks: Integers,
    lots: Integers,
) -> None:
    """Whole counts of the levels of each row.

    Row i holds the pairs from `rows[i]` on, pair j the values from `pairs[j]` on.
    """
    for i in range(len(ticks)):
        for k in range(min(rows[i + 1] - rows[i], BOOK_LEVELS)):
            at = pairs[rows[i] + k]
            ticks[i, k] = np.int64(np.rint(values[at] * per_price))
            lots[i, k] = np.int64(np.rint(values[at + 1] * per_quantity))
