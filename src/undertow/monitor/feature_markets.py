"""Small markets for the examples of the catalogue: written down event by event, folded as any other.

Frames of the exchange are mapped, sampled and folded by what collects and replays; nothing here computes a
feature. The short market is ten seconds that a reader can work through by hand. The long one is a walk, for
what looks back further.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from undertow.frames.frames import Frames
from undertow.frames.market_fold import MarketFold, MarketRows, Readings
from undertow.frames.sampler import Sampler, SamplerSettings
from undertow.market.columns import BookColumns
from undertow.market.instruments import Instrument
from undertow.market.time import HOUR_NS, MILLISECOND_NS, MINUTE_NS, SECOND_NS
from undertow.venues.binance.mapper import BinanceMapper

__all__ = ["EXAMPLE", "Bar", "Market", "Trade", "long_bars", "made_market", "short_bars"]

EXAMPLE = Instrument("binance-usdm", "EXAMPLE", "1", "1")
"""Prices are whole quote units, quantities whole base units."""

START_NS = 1_723_161_600 * SECOND_NS
"""2024-08-09 00:00 UTC, a Friday."""

Levels = dict[int, int]


@dataclass(frozen=True, slots=True)
class Trade:
    """One trade of a bar."""

    price: int
    quantity: int
    is_sale: bool
    """Whether the taker sold."""


@dataclass(frozen=True, slots=True)
class Bar:
    """What happens in one bar: trades evenly over its first half, one change of the book in its second."""

    trades: tuple[Trade, ...]
    bids: Levels
    """Price → quantity after the change, the whole side."""
    asks: Levels


@dataclass(frozen=True, slots=True)
class Market:
    """A market and what the pipeline made of it."""

    bars: tuple[Bar, ...]
    length_ns: int
    frames: Frames
    deep: BookColumns
    """Samples of the deep book, one a second while the book is quoted."""


def short_bars() -> tuple[Bar, ...]:
    """Ten bars for working by hand."""
    prices = (100, 101, 101, 102, 101, 100, 99, 100, 102, 103)
    bought = (2, 3, 1, 4, 1, 0, 1, 3, 6, 2)
    sold = (1, 1, 2, 1, 3, 0, 5, 1, 2, 1)
    bid_lots, ask_lots = (4, 6, 5, 7, 3, 3, 2, 5, 8, 6), (5, 3, 4, 2, 6, 6, 8, 4, 2, 3)
    return tuple(
        _bar(price, *volumes)
        for price, *volumes in zip(prices, bought, sold, bid_lots, ask_lots, strict=True)
    )


def long_bars(count: int) -> tuple[Bar, ...]:
    """`count` bars of a walk that begins at 1000; the same everywhere, as its steps come from `_numbers`."""
    numbers = _numbers()
    price, bars = 1000, []
    for _ in range(count):
        price = max(500, price + next(numbers) % 9 - 4)
        bought, sold, bid_lots, ask_lots = (1 + next(numbers) % 11 for _ in range(4))
        reach = next(numbers) % 4
        first = (Trade(price - 1 - reach, 2, is_sale=True), Trade(price + reach, 3, is_sale=False))
        bar = _bar(price, bought, sold, bid_lots, ask_lots)
        bars.append(Bar((*first, *bar.trades), bar.bids, bar.asks))
    return tuple(bars)


def _numbers() -> Iterator[int]:
    """Whole numbers without an order (a linear congruence of modulus 2³¹, its upper bits)."""
    state = 7
    while True:
        state = (1_103_515_245 * state + 12_345) % 2**31
        yield state >> 12


def made_market(bars: Sequence[Bar], length_ns: int) -> Market:
    """The bars as frames of the exchange, through mapper, sampler and fold."""
    settings = SamplerSettings(timeframes_ns=(length_ns,))
    batch = BinanceMapper(EXAMPLE).map(b"".join(_lines(bars, length_ns))).batch
    sampled = Sampler(EXAMPLE, settings).feed(batch)
    frames = sampled.frames[length_ns][: len(bars)]
    until_ns = START_NS + len(bars) * length_ns
    told = MarketFold((length_ns,)).advance(_readings(len(bars), length_ns), {length_ns: frames}, until_ns)
    return Market(tuple(bars), length_ns, told[length_ns], sampled.l2)


def _bar(price: int, bought: int, sold: int, bid_lots: int, ask_lots: int) -> Bar:
    """Sales at the price − 1, then purchases at the price; three levels a side around them."""
    trades = [Trade(price - 1, sold, is_sale=True)] if sold else []
    trades += [Trade(price, bought, is_sale=False)] if bought else []
    bids = {price - 1: bid_lots, price - 2: bid_lots + 2, price - 3: bid_lots + 4}
    asks = {price: ask_lots, price + 1: ask_lots + 1, price + 2: ask_lots + 3}
    return Bar(tuple(trades), bids, asks)


def _lines(bars: Sequence[Bar], length_ns: int) -> Iterator[bytes]:
    """Journal lines: a snapshot, each bar's trades and change of the book, and what closes the last bar."""
    update_id, trade_id = 1, 0
    bids, asks = dict(bars[0].bids), dict(bars[0].asks)
    yield _line(
        START_NS, {"lastUpdateId": update_id, **_stamp(START_NS), **_sides(bids, asks, "bids", "asks")}
    )
    for at, bar in enumerate(bars):
        open_ns = START_NS + at * length_ns
        for place, trade in enumerate(bar.trades):
            trade_id += 1
            yield _trade(open_ns + (place + 1) * length_ns // 8, trade_id, trade)
        changed = _changes(bids, bar.bids), _changes(asks, bar.asks)
        bids, asks = dict(bar.bids), dict(bar.asks)
        # a second and less before the close: a book that stands still for minutes is sampled no more
        update_id += 1
        yield _update(open_ns + length_ns - min(length_ns // 2, SECOND_NS), update_id, changed)
    after_ns = START_NS + len(bars) * length_ns
    yield _update(after_ns + 600 * MILLISECOND_NS, update_id + 1, ({}, {}))


def _changes(before: Levels, after: Levels) -> Levels:
    """Price → new quantity, 0 where a level is gone."""
    gone = dict.fromkeys(before.keys() - after.keys(), 0)
    return gone | {price: lots for price, lots in after.items() if before.get(price) != lots}


def _update(time_ns: int, update_id: int, changed: tuple[Levels, Levels]) -> bytes:
    ids = {"U": update_id, "u": update_id, "pu": update_id - 1}
    names = {"e": "depthUpdate", "s": EXAMPLE.symbol}
    return _line(time_ns, names | _stamp(time_ns) | ids | _sides(*changed, "b", "a"))


def _trade(time_ns: int, trade_id: int, trade: Trade) -> bytes:
    names = {"e": "aggTrade", "s": EXAMPLE.symbol, "a": trade_id, "f": trade_id, "l": trade_id}
    values = {"p": str(trade.price), "q": str(trade.quantity), "m": trade.is_sale}
    return _line(time_ns, names | _stamp(time_ns) | values)


def _stamp(time_ns: int) -> dict[str, object]:
    return {"E": time_ns // MILLISECOND_NS, "T": time_ns // MILLISECOND_NS}


def _sides(bids: Levels, asks: Levels, bid_name: str, ask_name: str) -> dict[str, object]:
    named = ((bid_name, bids), (ask_name, asks))
    return {name: [[str(price), str(lots)] for price, lots in side.items()] for name, side in named}


def _line(time_ns: int, frame: Mapping[str, object]) -> bytes:
    return b"%d %s\n" % (time_ns, json.dumps(frame, separators=(",", ":")).encode())


def _readings(count: int, length_ns: int) -> MarketRows:
    """A mark price a bar, two settlements, open interest a bar, and a forced order in each third bar."""
    times_ns = START_NS + np.arange(count, dtype=np.int64) * length_ns
    at = np.arange(count)
    marks = np.full((count, 4), (START_NS + 8 * HOUR_NS) / MILLISECOND_NS)
    marks[:, 0], marks[:, 1], marks[:, 2] = 100 + at % 5 * 0.5, 100 + at % 3 * 0.5, 1e-4 * (1 + at % 8)
    settled_ns = np.array([START_NS - MINUTE_NS, START_NS + 4 * length_ns])
    forced = at % 3 == 2
    sides = np.where(at % 2 == 0, 3, -2)
    orders = np.stack([times_ns + 1, times_ns, at, sides], axis=1)[forced]
    return {
        "mark_price": Readings(_known(times_ns), marks),
        "funding_rate": Readings(_known(settled_ns), np.array([[1e-4], [3e-4]])),
        "open_interest": Readings(_known(times_ns), (5000.0 + at * 10 % 70).astype(np.float64)[:, None]),
        "liquidations": Readings(orders, np.empty((len(orders), 0))),
    }


def _known(times_ns: NDArray[np.int64]) -> NDArray[np.int64]:
    """(n, 2) known a nanosecond behind the exchange's time."""
    return np.stack([times_ns + 1, times_ns], axis=1)
