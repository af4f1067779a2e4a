"""Rows of an EventBatch as they are read, and their columns at the end of a block."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from undertow.market.batch import EventBatch, EventKind
from undertow.market.instruments import Instrument, Scale

__all__ = ["BatchRows"]

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

_EXACT = 2.0**52
"""Counts above it have no double of their own."""

# Columns of a row.
_KIND, _EVENT_NS, _RECEIVE_NS, _FIRST, _LAST, _TRADE_ID = 0, 1, 2, 3, 4, 5
_IS_BUYER_MAKER, _ORDER_TYPE, _BID_START, _BID_COUNT, _ASK_START, _ASK_COUNT = 6, 7, 8, 9, 10, 11
_COLUMNS = 12

Levels = list[tuple[float, float]]


@dataclass(slots=True)
class BatchRows:
    """The rows of a block of lines: one a frame, several where a frame holds several trades."""

    rows: list[tuple[int, ...]] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    """Line of each row within the block."""
    levels: Levels = field(default_factory=list)
    """(price, quantity) of all rows."""
    trades: Levels = field(default_factory=list)
    """(price, quantity) of each trade."""
    ordinary: list[int] = field(default_factory=list)
    """Of each trade: 1 filled an ordinary order, 0 one of retail price improvement, -1 is not told."""

    def put(self, line: int, kind: EventKind, receive_ns: int, event_ns: int = 0, first_id: int = -1) -> None:
        """A row that has neither levels nor a trade."""
        self.rows.append((kind, event_ns, receive_ns, first_id, -1, -1, 0, 0, 0, 0, 0, 0))
        self.lines.append(line)

    def put_book(
        self, line: int, kind: EventKind, times: tuple[int, int], update_id: int, bids: Levels, asks: Levels
    ) -> None:
        """A snapshot, a delta or a quote; `times` are (event, receive)."""
        first = update_id if kind == EventKind.DELTA else -1
        start = len(self.levels)
        places = (start, len(bids), start + len(bids), len(asks))
        self.rows.append((kind, *times, first, update_id, -1, 0, 0, *places))
        self.lines.append(line)
        self.levels += bids
        self.levels += asks

    def put_trade(
        self,
        line: int,
        times: tuple[int, int],
        trade_id: int,
        price_and_quantity: tuple[float, float],
        *,
        is_buyer_maker: bool,
        order_type: int,
        is_improved: bool | None,
    ) -> None:
        """A single trade; `is_improved` where it filled an order of retail price improvement."""
        ids = (trade_id, trade_id, trade_id)
        self.rows.append((EventKind.TRADE, *times, *ids, is_buyer_maker, order_type, 0, 0, 0, 0))
        self.lines.append(line)
        self.trades.append(price_and_quantity)
        self.ordinary.append(-1 if is_improved is None else int(not is_improved))

    def batch(self, instrument: Instrument) -> tuple[EventBatch, list[int]]:
        """The columns, and the rows whose prices or quantities do not lie on the instrument's steps.

        Those are REJECTED in the columns.
        """
        table = np.array(self.rows, np.int64).reshape(-1, _COLUMNS)
        kind = table[:, _KIND].astype(np.uint8)
        ticks, lots, is_off_level = _counts(self.levels, instrument)
        price_ticks, quantity_lots = np.full(len(table), -1), np.full(len(table), -1)
        is_off = _rows_with(is_off_level, table)
        is_trade = kind == EventKind.TRADE
        price_ticks[is_trade], quantity_lots[is_trade], is_off[is_trade] = _counts(self.trades, instrument)
        kind[is_off] = EventKind.REJECTED
        normal_lots, ordinary = np.full(len(table), -1), np.array(self.ordinary, np.int64)
        normal_lots[is_trade] = np.where(ordinary < 0, -1, ordinary * quantity_lots[is_trade])
        columns = np.ascontiguousarray(table.T)
        batch = EventBatch(
            kind=kind,
            event_ns=columns[_EVENT_NS],
            receive_ns=columns[_RECEIVE_NS],
            first_id=columns[_FIRST],
            last_id=columns[_LAST],
            previous_id=np.full(len(table), -1),
            trade_id=columns[_TRADE_ID],
            price_ticks=price_ticks,
            quantity_lots=quantity_lots,
            is_buyer_maker=columns[_IS_BUYER_MAKER] == 1,
            order_type=columns[_ORDER_TYPE].astype(np.uint8),
            normal_lots=normal_lots,
            bid_start=columns[_BID_START],
            bid_count=columns[_BID_COUNT],
            ask_start=columns[_ASK_START],
            ask_count=columns[_ASK_COUNT],
            level_ticks=ticks,
            level_lots=lots,
        )
        return batch, np.flatnonzero(is_off).tolist()


def _counts(pairs: Levels, instrument: Instrument) -> tuple[Integers, Integers, NDArray[np.bool_]]:
    """Ticks and lots of (price, quantity) pairs, and which pairs are off the steps."""
    values = np.array(pairs, np.float64).reshape(-1, 2)
    ticks, is_off_tick = _on_step(values[:, 0], instrument.price)
    lots, is_off_lot = _on_step(values[:, 1], instrument.quantity)
    return ticks, lots, is_off_tick | is_off_lot


def _on_step(values: Floats, scale: Scale) -> tuple[Integers, NDArray[np.bool_]]:
    """Whole steps of values; off where the double nearest to those steps is another one."""
    is_held = values <= _EXACT * scale.units / scale.divisor
    counts = scale.to_counts(np.where(is_held, values, 0.0))
    return counts, ~is_held | (scale.to_floats(counts) != values)


def _rows_with(is_off_level: NDArray[np.bool_], table: Integers) -> NDArray[np.bool_]:
    """Which rows have a level that is marked."""
    marked = np.concatenate([[0], np.cumsum(is_off_level)])
    first = table[:, _BID_START]
    return np.asarray(marked[first + table[:, _BID_COUNT] + table[:, _ASK_COUNT]] > marked[first])
