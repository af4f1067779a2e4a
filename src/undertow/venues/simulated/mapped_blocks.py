"""A market's frames as a mapper would have them, without a byte of text: blocks of `Mapped`.

Row for row, and to the last bit, they are what mapping the lines of `capture.simulate_capture` gives: the
same frames in the same order with the same receive times.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from undertow.errors import InputError
from undertow.market.batch import EventBatch, EventKind
from undertow.market.events import Liquidation, MarketEvent, MarkPrice
from undertow.market.time import MILLISECOND_NS
from undertow.venues.mapped import Mapped
from undertow.venues.simulated import changes
from undertow.venues.simulated.capture import DEFAULT_STREAMS, SNAPSHOT_AFTER_MS, latencies
from undertow.venues.simulated.changes import ChangeRecorder, Stretch
from undertow.venues.simulated.market import Market
from undertow.venues.simulated.matching import ASK, BID
from undertow.venues.simulated.orderflow import LIQUIDATION
from undertow.venues.simulated.wire import Mark

__all__ = ["STREAMS", "mapped_blocks"]

Integers = NDArray[np.int64]

STREAMS = frozenset({*DEFAULT_STREAMS, "trade", "forceOrder"})
"""Suffixes of the streams that can be had as blocks."""

_DEPTH, _MARK, _FORCED = "depth@100ms", "markPrice@1s", "forceOrder"
_STEP_MS, _SECOND_MS = 100, 1000
_SNAPSHOT_LEVELS = 1000
# Columns of the rows of a block: first what orders them, then those of EventBatch.
KIND, SENT_MS, PHASE, EVENT_NS, FIRST, LAST, PREVIOUS, TRADE = range(8)
PRICE, LOTS, MAKER, NORMAL, BIDS_AT, BIDS, ASKS_AT, ASKS = range(8, 16)
_COLUMNS = 16
# Within a millisecond: what is sent at its begin in the order of the streams, an answer of REST, then events.
_ANSWER_PHASE, _TRADE_PHASE, _AGGREGATE_PHASE = 13, 14, 15


def mapped_blocks(
    market: Market,
    *,
    seed: int,
    seconds: float,
    streams: Sequence[str] = DEFAULT_STREAMS,
    block_seconds: float = 60.0,
) -> Iterator[Mapped]:
    """The next `seconds` of a market that has just begun, in blocks of `block_seconds` of its time.

    `seed` is that of the receive times. A REST snapshot comes after the first 350 ms where changes of the
    book are asked for. Raises InputError for a stream that is not among `STREAMS`.
    """
    unknown = [suffix for suffix in streams if suffix not in STREAMS]
    if unknown:
        raise InputError(
            f"stream {unknown[0]!r} cannot be had without frames; choose among {', '.join(sorted(STREAMS))}"
        )
    maker = _BlockMaker(market, seed, streams)
    start_ms = market.now_ms
    end_ms = start_ms + round(seconds * 1000)
    snapshot_ms = min(end_ms, start_ms + SNAPSHOT_AFTER_MS)
    yield maker.block(snapshot_ms, with_snapshot=_DEPTH in streams)
    block_ms = max(_SECOND_MS, round(block_seconds * 1000))
    for until_ms in range(start_ms + block_ms, end_ms + block_ms, block_ms):
        if market.now_ms < min(until_ms, end_ms):
            yield maker.block(min(until_ms, end_ms), with_snapshot=False)


class _BlockMaker:
    """Makes block after block of one market."""

    def __init__(self, market: Market, seed: int, streams: Sequence[str]) -> None:
        self._market = market
        self._phases = {suffix: phase for phase, suffix in enumerate(dict.fromkeys(streams))}
        self._recorder = ChangeRecorder(market)
        self._latencies = latencies(seed)
        self._spare = np.empty(0, np.int64)
        self._receive_ns = 0
        self._forced = np.empty((0, _COLUMNS), np.int64)
        """Liquidations that the next full second is to tell the last of."""

    def block(self, until_ms: int, *, with_snapshot: bool) -> Mapped:
        """Live until then; what was sent meanwhile, and a snapshot behind it."""
        ends_ms = _step_ends(self._market.now_ms, until_ms)
        stretch = self._recorder.live(ends_ms, ends_ms % _STEP_MS == 0)
        if _DEPTH not in self._phases:
            stretch = replace(
                stretch, deltas=stretch.deltas[:0], ticks=stretch.ticks[:0], lots=stretch.lots[:0]
            )
        marks = self._pass_seconds(ends_ms, stretch.fairs)
        aggregates, causes = self._aggregates(stretch.trades)
        forced = self._forced_orders(aggregates[causes == LIQUIDATION], until_ms)
        rare: list[Callable[[int], MarketEvent]] = []
        if _MARK in self._phases:
            rare += [partial(self._mark, mark) for mark in marks]
        rare += [partial(self._liquidation, row) for row in forced.tolist()]
        parts = [self._rare_rows(_MARK, [mark.time_ms for mark in marks])]
        parts.append(self._rare_rows(_FORCED, forced[:, SENT_MS].tolist()))
        parts.append(self._deltas(stretch, ends_ms))
        parts.append(_singles(stretch.trades if "trade" in self._phases else stretch.trades[:0]))
        parts.append(aggregates if "aggTrade" in self._phases else aggregates[:0])
        ticks, lots = stretch.ticks, stretch.lots
        if with_snapshot:
            snapshot, levels = self._snapshot(len(ticks))
            parts.append(snapshot)
            ticks, lots = np.concatenate([ticks, levels[:, 0]]), np.concatenate([lots, levels[:, 1]])
        return self._mapped(np.concatenate(parts), rare, ticks, lots)

    def _pass_seconds(self, ends_ms: Integers, fairs: Integers) -> list[Mark]:
        """Index and funding at each full second, and the marks then."""
        market, found = self._market, list[Mark]()
        full = ends_ms % _SECOND_MS == 0
        for time_ms, fair in zip(ends_ms[full].tolist(), fairs[full].tolist(), strict=True):
            market.pass_second(time_ms, fair)
            found.append(market.mark_at(time_ms, fair))
        return found

    def _rare_rows(self, suffix: str, sent_ms: list[int]) -> Integers:
        """Rows of a stream whose frames the columns do not hold; none where it is not asked for."""
        rows = _rows(len(sent_ms) if suffix in self._phases else 0, EventKind.OTHER)
        if len(rows):
            rows[:, SENT_MS], rows[:, PHASE] = sent_ms, self._phases[suffix]
        return rows

    def _aggregates(self, trades: Integers) -> tuple[Integers, Integers]:
        """(rows, their causes): the fills of one taker at one price put together."""
        taker, ticks = trades[:, 5], trades[:, 2]
        is_first = np.ones(len(trades), np.bool_)
        is_first[1:] = (taker[1:] != taker[:-1]) | (ticks[1:] != ticks[:-1])
        begin = np.flatnonzero(is_first)
        rows = _rows(len(begin), EventKind.AGGREGATE_TRADE)
        if len(begin):
            head = trades[begin]
            rows[:, LOTS] = rows[:, NORMAL] = np.add.reduceat(trades[:, 3], begin)
            rows[:, SENT_MS], rows[:, PRICE], rows[:, MAKER] = head[:, 1], head[:, 2], head[:, 4]
            rows[:, FIRST], rows[:, LAST] = head[:, 0], trades[np.append(begin[1:], len(trades)) - 1, 0]
            rows[:, TRADE] = self._market.aggregate_count + np.arange(1, len(begin) + 1)
            rows[:, EVENT_NS] = rows[:, SENT_MS] * MILLISECOND_NS
            rows[:, PHASE] = _AGGREGATE_PHASE
            self._market.aggregate_count += len(begin)
        return rows, trades[begin, 6]

    def _forced_orders(self, aggregates: Integers, until_ms: int) -> Integers:
        """Rows of the last liquidation of each second, sent when the second is over."""
        waiting = np.concatenate([self._forced, aggregates])
        told_ms = (waiting[:, SENT_MS] // _SECOND_MS + 1) * _SECOND_MS
        is_due = told_ms <= until_ms
        self._forced = waiting[~is_due]
        due, told_ms = waiting[is_due].copy(), told_ms[is_due]
        is_last = np.append(told_ms[1:] != told_ms[:-1], np.ones(min(1, len(due)), np.bool_))
        rows = due[is_last] if _FORCED in self._phases else due[:0]
        rows[:, SENT_MS] = told_ms[is_last][: len(rows)]
        return rows

    def _deltas(self, stretch: Stretch, ends_ms: Integers) -> Integers:
        told = stretch.deltas
        rows = _rows(len(told), EventKind.DELTA)
        rows[:, SENT_MS] = ends_ms[told[:, changes.STEP]]
        rows[:, PHASE] = self._phases.get(_DEPTH, 0)
        rows[:, EVENT_NS] = told[:, changes.UPDATED_MS] * MILLISECOND_NS
        rows[:, FIRST], rows[:, LAST] = told[:, changes.FIRST_ID], told[:, changes.LAST_ID]
        rows[:, PREVIOUS] = told[:, changes.PREVIOUS_ID]
        rows[:, BIDS_AT], rows[:, BIDS] = told[:, changes.START], told[:, changes.BID_COUNT]
        rows[:, ASKS_AT] = rows[:, BIDS_AT] + rows[:, BIDS]
        rows[:, ASKS] = told[:, changes.ASK_COUNT]
        return rows

    def _snapshot(self, at: int) -> tuple[Integers, Integers]:
        """(one row, (n, 2) its levels): the answer of REST `depth`, whose levels begin at `at`."""
        market = self._market
        sides = [market.levels(side, _SNAPSHOT_LEVELS) for side in (BID, ASK)]
        rows = _rows(1, EventKind.SNAPSHOT)
        rows[0, [SENT_MS, PHASE, LAST]] = market.now_ms, _ANSWER_PHASE, market.update_id
        rows[0, EVENT_NS] = market.update_ms * MILLISECOND_NS
        rows[0, [BIDS_AT, BIDS, ASKS_AT, ASKS]] = at, len(sides[0]), at + len(sides[0]), len(sides[1])
        return rows, np.concatenate(sides)

    def _mapped(
        self, rows: Integers, rare: list[Callable[[int], MarketEvent]], ticks: Integers, lots: Integers
    ) -> Mapped:
        """All rows in the order in which they were sent; `rare` makes the events of the first of them."""
        order = np.argsort(rows[:, SENT_MS] * 16 + rows[:, PHASE], kind="stable")
        receive_ns = self._receive_times(rows[order, SENT_MS])
        mapped = Mapped(_batch(rows[order], receive_ns, ticks, lots))
        places = np.empty(len(order), np.int64)
        places[order] = np.arange(len(order))
        events = dict(zip(places.tolist(), rare, strict=False))
        for place in sorted(events):
            mapped.add_others(place, [events[place](int(receive_ns[place]))])
        return mapped

    def _receive_times(self, sent_ms: Integers) -> Integers:
        """When each frame came; none before the one before it."""
        while len(self._spare) < len(sent_ms):
            self._spare = np.concatenate([self._spare, next(self._latencies)])
        delays, self._spare = self._spare[: len(sent_ms)], self._spare[len(sent_ms) :]
        times = sent_ms * MILLISECOND_NS + delays
        if len(times):
            times[0] = max(int(times[0]), self._receive_ns)
            times = np.maximum.accumulate(times)
            self._receive_ns = int(times[-1])
        return times

    def _mark(self, mark: Mark, receive_ns: int) -> MarkPrice:
        price, index_price = float(mark.price), float(mark.index_price)
        return MarkPrice(
            symbol=self._market.listing.symbol,
            event_ns=mark.time_ms * MILLISECOND_NS,
            receive_ns=receive_ns,
            mark_price=price,
            index_price=index_price,
            funding_rate=float(mark.rate),
            next_funding_ns=mark.next_funding_ms * MILLISECOND_NS,
            estimated_settle_price=index_price,
            average_mark_price=price,
        )

    def _liquidation(self, row: list[int], receive_ns: int) -> Liquidation:
        """Of the row of an aggregate, told at the end of its second."""
        listing = self._market.listing
        price, quantity = float(listing.price(row[PRICE])), float(listing.quantity(row[LOTS]))
        return Liquidation(
            symbol=listing.symbol,
            event_ns=row[EVENT_NS],
            receive_ns=receive_ns,
            is_sell=bool(row[MAKER]),
            quantity=quantity,
            price=price,
            average_price=price,
            filled_quantity=quantity,
            order_type="LIMIT",
            time_in_force="IOC",
            status="FILLED",
            published_ns=row[SENT_MS] * MILLISECOND_NS,
        )


def _step_ends(now_ms: int, until_ms: int) -> Integers:
    """Ends of the steps in (now, until], at full tenths of a second and at the end."""
    first_ms = now_ms - now_ms % _STEP_MS + _STEP_MS
    ends_ms = np.arange(first_ms, until_ms, _STEP_MS, dtype=np.int64)
    return np.append(ends_ms, until_ms)


def _rows(count: int, kind: EventKind) -> Integers:
    """(count, 16): rows of a kind that tell nothing yet."""
    rows = np.full((count, _COLUMNS), -1, np.int64)
    rows[:, KIND] = kind
    rows[:, [EVENT_NS, MAKER, BIDS_AT, BIDS, ASKS_AT, ASKS]] = 0
    return rows


def _singles(trades: Integers) -> Integers:
    rows = _rows(len(trades), EventKind.TRADE)
    rows[:, TRADE] = rows[:, FIRST] = rows[:, LAST] = trades[:, 0]
    rows[:, SENT_MS], rows[:, PRICE], rows[:, LOTS], rows[:, MAKER] = trades[:, 1:5].T
    rows[:, EVENT_NS] = rows[:, SENT_MS] * MILLISECOND_NS
    rows[:, PHASE] = _TRADE_PHASE
    return rows


def _batch(rows: Integers, receive_ns: Integers, ticks: Integers, lots: Integers) -> EventBatch:
    columns = np.ascontiguousarray(rows.T)
    return EventBatch(
        kind=columns[KIND].astype(np.uint8),
        event_ns=columns[EVENT_NS],
        receive_ns=receive_ns,
        first_id=columns[FIRST],
        last_id=columns[LAST],
        previous_id=columns[PREVIOUS],
        trade_id=columns[TRADE],
        price_ticks=columns[PRICE],
        quantity_lots=columns[LOTS],
        is_buyer_maker=columns[MAKER] == 1,
        order_type=np.zeros(len(rows), np.uint8),
        normal_lots=columns[NORMAL],
        bid_start=columns[BIDS_AT],
        bid_count=columns[BIDS],
        ask_start=columns[ASKS_AT],
        ask_count=columns[ASKS],
        level_ticks=ticks,
        level_lots=lots,
    )
