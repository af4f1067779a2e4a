"""One simulated market: its engine and participants, and the record of what happened."""

import math
import zlib
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from undertow.venues.simulated.history import AggregateHistory
from undertow.venues.simulated.listings import Listing
from undertow.venues.simulated.matching import (
    CHANGE_COUNT,
    TRADE_COUNT,
    UPDATE_ID,
    UPDATE_MS,
    Book,
    new_book,
    read_levels,
)
from undertow.venues.simulated.orderflow import (
    FAIR,
    START_MS,
    TOP_COUNT,
    FlowState,
    Habits,
    advance,
    new_flow,
    seed_book,
)
from undertow.venues.simulated.record import MinuteRecord
from undertow.venues.simulated.wire import Aggregate, Candle, Mark

__all__ = ["DELISTED", "Events", "Market", "new_market"]

Integers = NDArray[np.int64]

DELISTED = ""
_RECENT_TRADES = 1000
_MINUTE_MS = 60_000
_HOUR_MS = 60 * _MINUTE_MS
_FUNDING_MS = 8 * _HOUR_MS
_INDEX_MEMORY = 0.99
"""Weight of the past in the index price, per second."""


class Events(NamedTuple):
    """What happened in a stretch of time, in order."""

    aggregates: list[Aggregate]
    trades: list[list[int]]
    """Rows of matching.Book.trades."""
    tops: list[list[int]]
    """Rows of orderflow.FlowState.tops."""


@dataclass(slots=True)
class Market:
    """The true state of a market, and what the exchange remembers of its past."""

    listing: Listing
    habits: Habits
    book: Book
    flow: FlowState
    rng: np.random.Generator
    now_ms: int
    """Everything before this millisecond has happened."""
    aggregates: AggregateHistory = field(default_factory=AggregateHistory)
    candles: list[Candle] = field(default_factory=list)
    open_interest_lots: int = 0
    index_ticks: float = 0.0
    funding: list[tuple[int, str, str]] = field(default_factory=list)
    """(time [ms], rate, mark price) of the settled rates."""
    aggregate_count: int = 0
    minutes: MinuteRecord = field(default_factory=MinuteRecord)
    """Sums of the aggregates of each minute of the whole run."""
    still_until_ms: int = 0
    """Nothing happens before."""
    trades_to_omit: int = 0
    """So many of the next trades are told by no aggregate."""
    omitted_ids: list[int] = field(default_factory=list)
    """Ids of such trades."""
    trades: deque[list[int]] = field(default_factory=lambda: deque(maxlen=_RECENT_TRADES))
    """The newest single trades: id, time [ms], ticks, lots, buyer is maker, taker, cause."""
    status: str = "TRADING"
    """What is stated of it; DELISTED: nothing is."""
    funding_hours: int = 8

    def advance(self, until_ms: int) -> Events:
        """Live until `until_ms`; the changes of levels stay in the book's log for the caller to read."""
        events = Events([], [], [])
        if self.now_ms < self.still_until_ms:
            self._stand_still(min(until_ms, self.still_until_ms))
            if self.now_ms == until_ms:
                return events
        while not advance(
            self.book, self.flow, self.rng, self.habits, until_ms, self.listing.start_ticks // 4
        ):
            self._drain(events)
            if self.book.meta[CHANGE_COUNT] > self.book.changes.shape[0] // 2:
                raise RuntimeError("the log of changes was not emptied in time")
        self._drain(events)
        self._pass_seconds(until_ms)
        self.now_ms = until_ms
        return events

    def _stand_still(self, until_ms: int) -> None:
        """Let time pass in which nobody acts; whatever was to happen happens so much later."""
        self.flow.integers[START_MS] += until_ms - self.now_ms
        self._pass_seconds(until_ms)
        self.now_ms = until_ms

    def jump_clock(self, jump_ms: int) -> None:
        """Move all times from now on."""
        self.flow.integers[START_MS] += jump_ms
        self.still_until_ms += jump_ms
        self.now_ms += jump_ms

    def take_update_id(self) -> int:
        """A new update id, for a change of no level."""
        self.book.meta[UPDATE_ID] += 1
        return self.update_id

    def _drain(self, events: Events) -> None:
        """Take trades and tops out of the logs and into the record."""
        meta, integers, tops = self.book.meta, self.flow.integers, self.flow.tops
        trades = self.book.trades[: meta[TRADE_COUNT]].tolist()
        meta[TRADE_COUNT] = 0
        events.trades.extend(trades)
        self.trades.extend(trades)
        if self.trades_to_omit:
            trades = self._without_omitted(trades)
        for item in self._aggregate(trades):
            events.aggregates.append(item)
            self._remember(item)
        count = int(integers[TOP_COUNT])
        if count > 1:
            events.tops.extend(tops[1:count].tolist())
            tops[0] = tops[count - 1]
            integers[TOP_COUNT] = 1

    def _without_omitted(self, trades: list[list[int]]) -> list[list[int]]:
        omitted = trades[: self.trades_to_omit]
        self.trades_to_omit -= len(omitted)
        self.omitted_ids.extend(row[0] for row in omitted)
        return trades[len(omitted) :]

    def _aggregate(self, trades: Iterable[list[int]]) -> list[Aggregate]:
        """Put together the fills of one taker at one price."""
        found: list[Aggregate] = []
        taker = -1
        for identity, time_ms, ticks, lots, buyer_is_maker, by, cause in trades:
            if found and by == taker and found[-1].ticks == ticks:
                last = found[-1]
                found[-1] = last._replace(lots=last.lots + lots, last_id=identity)
                continue
            taker = by
            self.aggregate_count += 1
            found.append(
                Aggregate(
                    self.aggregate_count, time_ms, ticks, lots, identity, identity, buyer_is_maker, cause
                )
            )
        return found

    def _remember(self, item: Aggregate) -> None:
        self.aggregates.append(item)
        self.minutes.add(item)
        change = item.lots if item.identity % 2 else -item.lots
        self.open_interest_lots = max(1, self.open_interest_lots + change)
        open_ms = item.time_ms - item.time_ms % _MINUTE_MS
        if self.candles and self.candles[-1].open_ms == open_ms:
            self.candles[-1] = _extended(self.candles[-1], item)
        else:
            self.candles.append(_opened(open_ms, item))

    def _pass_seconds(self, until_ms: int) -> None:
        """Let the index follow the price, and settle funding, at each full second gone by."""
        for second in range(self.now_ms // 1000 + 1, until_ms // 1000 + 1):
            self.pass_second(second * 1000, self.fair_ticks)

    def pass_second(self, time_ms: int, fair_ticks: int) -> None:
        """Let a full second go by at whose end the fair value was `fair_ticks`."""
        self.index_ticks += (1 - _INDEX_MEMORY) * (fair_ticks - self.index_ticks)
        if time_ms % (self.funding_hours * _HOUR_MS) == 0:
            mark = self.mark_at(time_ms, fair_ticks)
            self.funding.append((time_ms, mark.rate, mark.price))

    @property
    def fair_ticks(self) -> int:
        """The fair value, which is the mid."""
        return int(self.flow.integers[FAIR])

    @property
    def update_id(self) -> int:
        """Id of the last change of a level."""
        return int(self.book.meta[UPDATE_ID])

    @property
    def update_ms(self) -> int:
        """Time of the last change of a level."""
        return int(self.book.meta[UPDATE_MS])

    def mark(self, time_ms: int) -> Mark:
        """Mark price, index and funding rate; all of them functions of past prices."""
        return self.mark_at(time_ms, self.fair_ticks)

    def mark_at(self, time_ms: int, fair_ticks: int) -> Mark:
        """The same where the fair value is `fair_ticks`."""
        step = self.listing.instrument.price
        price, index = step.to_float(fair_ticks), self.index_ticks * step.units / step.divisor
        rate = min(0.003, max(-0.003, 0.0001 + (price - index) / index))
        interval_ms = self.funding_hours * _HOUR_MS
        next_ms = (time_ms // interval_ms + 1) * interval_ms
        return Mark(time_ms, f"{price:.8f}", f"{index:.8f}", f"{rate:.8f}", next_ms)

    def levels(self, side: int, limit: int) -> Integers:
        """(n, 2): (tick, lots) of the best levels, best first."""
        out = np.empty((limit, 2), np.int64)
        return out[: read_levels(self.book, side, out)]


def _opened(open_ms: int, item: Aggregate) -> Candle:
    empty = Candle(open_ms, item.ticks, item.ticks, item.ticks, item.ticks, 0, 0, 0, 0, item.first_id, 0)
    return _extended(empty, item)


def _extended(candle: Candle, item: Aggregate) -> Candle:
    bought = 0 if item.buyer_is_maker else item.lots
    return candle._replace(
        high_ticks=max(candle.high_ticks, item.ticks),
        low_ticks=min(candle.low_ticks, item.ticks),
        close_ticks=item.ticks,
        lots=candle.lots + item.lots,
        amount=candle.amount + item.lots * item.ticks,
        taker_lots=candle.taker_lots + bought,
        taker_amount=candle.taker_amount + bought * item.ticks,
        last_id=item.last_id,
    )


def _at_activity(habits: Habits, activity: float) -> Habits:
    """All that people do happens so many times as often; the number of resting orders stays the same.

    Excitements fade as much faster, and moves are smaller, so that volatility stays the same.
    """
    return habits._replace(
        trade_rate=habits.trade_rate * activity,
        trade_memory_s=habits.trade_memory_s / activity,
        jump_rate=habits.jump_rate * activity,
        jump_memory_s=habits.jump_memory_s / activity,
        jump_ticks=max(1.0, habits.jump_ticks / math.sqrt(activity)),
        lean_change_rate=habits.lean_change_rate * activity,
        place_rate=habits.place_rate * activity,
        cancel_rate=habits.cancel_rate * activity,
        spread_change_rate=habits.spread_change_rate * activity,
    )


def new_market(listing: Listing, *, seed: int, signal: float, start_ms: int, activity: float = 1.0) -> Market:
    """A market at its start. It depends on its own symbol and the seed, not on what else is listed."""
    if not 0.0 <= signal <= 1.0:
        raise ValueError(f"signal {signal} is not in [0, 1]")
    name = zlib.crc32(listing.symbol.encode())
    habits = Habits(
        signal=signal,
        jump_ticks=listing.jump_ticks,
        order_lots=float(listing.order_lots),
        trade_lots=float(listing.trade_lots),
        maker_lots=200.0 * listing.order_lots,
    )
    if activity != 1.0:
        habits = _at_activity(habits, activity)
    market = Market(
        listing=listing,
        habits=habits,
        book=new_book(listing.start_ticks, first_id=1_000_000 + name % 1_000_000),
        flow=new_flow(listing.start_ticks, start_ms),
        rng=np.random.default_rng([seed, name]),
        now_ms=start_ms,
        open_interest_lots=1_000_000 * listing.trade_lots,
        index_ticks=float(listing.start_ticks),
    )
    last_ms = start_ms - start_ms % _FUNDING_MS
    price = market.mark(last_ms).price
    market.funding = [(last_ms - back * _FUNDING_MS, "0.00010000", price) for back in (2, 1, 0)]
    seed_book(market.book, market.flow, market.rng, habits)
    market.book.meta[CHANGE_COUNT] = 0
    return market
