"""Building, joining and cutting sets of columns."""

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from undertow.market.batch import EventBatch
from undertow.market.columns import BookColumns, TradeColumns

__all__ = ["book_columns", "empty_trades", "join", "shallow", "single_event"]

Integers = NDArray[np.int64]
C = TypeVar("C", TradeColumns, BookColumns)

_SAMPLE_COLUMNS = 26


def empty_trades() -> TradeColumns:
    """No trades."""
    columns = {f.name: np.zeros(0, np.int64) for f in fields(TradeColumns)}
    flags = {name: np.zeros(0, np.bool_) for name in ("is_buyer_maker", "is_late")}
    codes = {name: np.zeros(0, np.uint8) for name in ("order_type", "source")}
    return TradeColumns(**{**columns, **flags, **codes})  # type: ignore[arg-type]


def book_columns(integers: Integers, levels: Integers) -> BookColumns:
    """Samples from `Samples.integers` (n, up to 26) and `Samples.levels` (n, 4, levels).

    Columns left out at the end are 0.
    """
    columns = np.zeros((_SAMPLE_COLUMNS, len(integers)), np.int64)
    columns[: integers.shape[1]] = integers.T
    return BookColumns(
        grid_ns=columns[0],
        last_update_id=columns[1],
        last_update_ns=columns[2],
        receive_ns=columns[3],
        trusted_bid_ticks=columns[11],
        trusted_ask_ticks=columns[12],
        bid_ticks=levels[:, 0],
        bid_lots=levels[:, 1],
        ask_ticks=levels[:, 2],
        ask_lots=levels[:, 3],
        spread_integral=columns[4],
        spread_square_integral=columns[5],
        spread_time_us=columns[6],
        ofi_1=columns[7],
        ofi_10=columns[8],
        update_count=columns[9],
        late_update_count=columns[10],
        added_bids=columns[13],
        removed_bids=columns[14],
        added_asks=columns[15],
        removed_asks=columns[16],
        ofi_level_2=columns[17],
        ofi_level_3=columns[18],
        ofi_level_4=columns[19],
        ofi_level_5=columns[20],
        ofi_level_6=columns[21],
        ofi_level_7=columns[22],
        ofi_level_8=columns[23],
        ofi_level_9=columns[24],
        ofi_level_10=columns[25],
    )


def join(parts: Sequence[C]) -> C:
    """One after the other; at least one part."""
    if len(parts) == 1:
        return parts[0]
    names = [f.name for f in fields(parts[0])]
    return type(parts[0])(**{n: np.concatenate([getattr(p, n) for p in parts]) for n in names})


def single_event(batch: EventBatch, row: int) -> EventBatch:
    """One event as a batch of its own, with its levels copied."""
    bids = slice(batch.bid_start[row], batch.bid_start[row] + batch.bid_count[row])
    asks = slice(batch.ask_start[row], batch.ask_start[row] + batch.ask_count[row])
    columns = {
        f.name: getattr(batch, f.name)[row : row + 1].copy()
        for f in fields(EventBatch)
        if not f.name.startswith("level_")
    }
    columns["bid_start"], columns["ask_start"] = np.array([0]), columns["bid_count"].copy()
    return EventBatch(
        **columns,
        level_ticks=np.concatenate([batch.level_ticks[bids], batch.level_ticks[asks]]),
        level_lots=np.concatenate([batch.level_lots[bids], batch.level_lots[asks]]),
    )


def shallow(samples: BookColumns, levels: int) -> BookColumns:
    """The same samples with only the best `levels` levels."""
    return replace(
        samples,
        bid_ticks=samples.bid_ticks[:, :levels],
        bid_lots=samples.bid_lots[:, :levels],
        ask_ticks=samples.ask_ticks[:, :levels],
        ask_lots=samples.ask_lots[:, :levels],
    )
