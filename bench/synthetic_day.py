"""A seeded day of one symbol: aggregated trades and a 20-level book sample every 500 ms.

Trades come in bursts and no two share a millisecond, so that a window by time holds the same trades whether
it counts equal times in or not. Prices walk tick by tick; quantities and levels are log-normal.
"""

from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from undertow.frames.column_set import book_columns
from undertow.frames.frames import BOOK_LEVELS
from undertow.frames.sampler import SamplerSettings
from undertow.lake.tables import book_to_arrow, trades_to_arrow
from undertow.lake.writer import LakeWriter
from undertow.market.columns import BookColumns, TradeColumns
from undertow.market.instruments import Instrument
from undertow.market.time import HOUR_NS, MILLISECOND_NS, SECOND_NS

__all__ = [
    "DAY_END_NS",
    "INSTRUMENT",
    "SETTINGS",
    "Day",
    "make_day",
    "make_samples",
    "make_trades",
    "write_day",
]

Integers = NDArray[np.int64]

INSTRUMENT = Instrument("binance-usdm", "BTCUSDT", tick="0.1", lot="0.001")
SETTINGS = SamplerSettings(flow="aggtrades", timeframes_ns=(SECOND_NS,))

_DAY_MS = 86_400_000
_DAY_START_NS = 1_723_075_200 * SECOND_NS
DAY_END_NS = _DAY_START_NS + _DAY_MS * MILLISECOND_NS
_START_TICKS = 600_000


@dataclass(frozen=True, slots=True)
class Day:
    """What the tables of the day hold."""

    trades: TradeColumns
    samples: BookColumns


def make_day(trade_count: int, seed: int) -> Day:
    """Trades and book samples of the day."""
    return Day(make_trades(trade_count, seed), make_samples(seed + 1))


def make_trades(count: int, seed: int) -> TradeColumns:
    """Trades of the day, the first in its first millisecond and the last in its last."""
    rng = np.random.default_rng(seed)
    waits = np.cumsum(rng.pareto(1.5, count))
    share = (waits - waits[0]) / (waits[-1] - waits[0])
    event_ms = (share * (_DAY_MS - count)).astype(np.int64) + np.arange(count)
    event_ns = _DAY_START_NS + event_ms * MILLISECOND_NS
    ids = np.arange(1, count + 1)
    return TradeColumns(
        event_ns=event_ns,
        receive_ns=event_ns + rng.integers(30 * MILLISECOND_NS, 39 * MILLISECOND_NS, count),
        trade_id=ids,
        first_trade_id=ids,
        last_trade_id=ids,
        price_ticks=_START_TICKS + np.cumsum(rng.integers(-2, 3, count)),
        quantity_lots=_lots(rng, count),
        is_buyer_maker=rng.random(count) < 0.5,
        order_type=np.zeros(count, np.uint8),
        is_late=np.zeros(count, np.bool_),
        source=np.zeros(count, np.uint8),
        normal_lots=np.full(count, -1),
    )


def _lots(rng: np.random.Generator, shape: int | tuple[int, ...]) -> Integers:
    lots: Integers = 1 + rng.lognormal(3.0, 1.5, shape).astype(np.int64)
    return lots


def make_samples(seed: int) -> BookColumns:
    """Book samples of the day: 20 full levels a side, at every half second."""
    rng = np.random.default_rng(seed)
    interval_ns = SETTINGS.depth_interval_ns
    count = _DAY_MS * MILLISECOND_NS // interval_ns
    grid_ns = _DAY_START_NS + interval_ns * np.arange(1, count + 1)
    middle = _START_TICKS + np.cumsum(rng.integers(-5, 6, count))
    steps = np.cumsum(rng.integers(1, 4, (count, 2, BOOK_LEVELS)), axis=2)
    levels = np.empty((count, 4, BOOK_LEVELS), np.int64)
    levels[:, 0] = middle[:, None] - steps[:, 0]
    levels[:, 2] = middle[:, None] + steps[:, 1]
    levels[:, 1::2] = _lots(rng, (count, 2, BOOK_LEVELS))
    return book_columns(_sample_integers(rng, grid_ns, levels), levels)


def _sample_integers(rng: np.random.Generator, grid_ns: Integers, levels: Integers) -> Integers:
    """(n, 11) in the order that `book_columns` reads; the best levels are taken to have stood throughout."""
    count, interval_us = len(grid_ns), SETTINGS.depth_interval_ns // 1000
    update_count = rng.integers(1, 12, count)
    spread = levels[:, 2, 0] - levels[:, 0, 0]
    flow = rng.integers(-500, 501, (2, count))
    columns = (
        grid_ns,
        np.cumsum(update_count),
        grid_ns - MILLISECOND_NS,
        grid_ns + 30 * MILLISECOND_NS,
        spread * interval_us,
        spread**2 * interval_us,
        np.full(count, interval_us),
        flow[0],
        flow[1],
        update_count,
        np.zeros(count, np.int64),
    )
    return np.stack(columns, axis=1)


def write_day(day: Day, root: Path, *, with_book: bool) -> None:
    """Write the day into a lake, hour by hour as a recording does, and seal it."""
    writer = LakeWriter(root, INSTRUMENT.venue, INSTRUMENT.symbol)
    try:
        for begin in range(_DAY_START_NS, DAY_END_NS + HOUR_NS, HOUR_NS):
            trades, samples = _hour(day.trades.event_ns, begin), _hour(day.samples.grid_ns, begin)
            writer.append("aggtrades", trades_to_arrow(INSTRUMENT, day.trades.take(trades)))
            if with_book:
                writer.append("book_depth", book_to_arrow(INSTRUMENT, day.samples.take(samples)))
        extra = {"closed_ns": DAY_END_NS, "settings": msgspec.to_builtins(SETTINGS)}
        writer.seal(None, extra)
    finally:
        writer.close()


def _hour(times_ns: Integers, begin_ns: int) -> slice:
    begin, end = np.searchsorted(times_ns, (begin_ns, begin_ns + HOUR_NS)).tolist()
    return slice(begin, end)
