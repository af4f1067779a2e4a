"""From a market to the frames of its streams."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from operator import attrgetter
from typing import NamedTuple

from undertow.venues.simulated.level_text import (
    changed_levels_text,
    levels_text,
    new_marks,
    new_text,
    text_format,
)
from undertow.venues.simulated.market import Events, Market
from undertow.venues.simulated.matching import ASK, BID, CHANGE_COUNT
from undertow.venues.simulated.orderflow import LIQUIDATION
from undertow.venues.simulated.streams import KINDS, StreamKind
from undertow.venues.simulated.wire import (
    Aggregate,
    aggregate_trade,
    book_ticker,
    depth_update,
    force_order,
    kline,
    mark_price,
    trade,
)

__all__ = ["Frame", "Publisher"]

_STEP_MS = 100


class Frame(NamedTuple):
    """A message before it is wrapped."""

    event_ms: int
    stream: str
    payload: bytes
    first_id: int
    """First and last id that it carries: update ids, trade ids; 0 where it has none."""
    last_id: int


@dataclass(slots=True)
class _DepthCursor:
    """How far a depth stream has told the book's changes."""

    row: int
    """First row of the log not sent yet."""
    last_id: int
    """`u` of the frame before."""


class Publisher:
    """Frames of the open streams of one market. Each depth stream has its own unbroken chain of ids.

    Usage: `publisher.open("depth@100ms")`, then `publisher.advance(until_ms)` again and again.
    """

    def __init__(self, market: Market) -> None:
        self.market = market
        self._prefix = market.listing.symbol.lower() + "@"
        self._kinds: dict[str, StreamKind] = {}
        self._cursors: dict[str, _DepthCursor] = {}
        self._partial_ids: dict[str, int] = {}
        self._liquidation: Aggregate | None = None
        self._last_kline_id = 0
        self._step_ms = _STEP_MS
        self._format = text_format(market.listing)
        self._marks = new_marks(market.book)
        self._text = new_text(4 * market.book.changes.shape[0])

    @property
    def open_streams(self) -> frozenset[str]:
        """Suffixes of the streams that are open."""
        return frozenset(self._kinds)

    def open(self, suffix: str) -> None:
        """Begin a stream with what changes from now on."""
        if suffix in self._kinds:
            return
        kind = KINDS[suffix]
        self._kinds[suffix] = kind
        if _is_diff(kind):
            row = int(self.market.book.meta[CHANGE_COUNT])
            self._cursors[suffix] = _DepthCursor(row, self.market.update_id)
        elif kind.levels:
            self._partial_ids[suffix] = self.market.update_id
        self._set_step()

    def close(self, suffix: str) -> None:
        """End a stream."""
        self._kinds.pop(suffix, None)
        self._cursors.pop(suffix, None)
        self._partial_ids.pop(suffix, None)
        self._set_step()

    def _set_step(self) -> None:
        self._step_ms = math.gcd(_STEP_MS, *(kind.cadence_ms for kind in self._kinds.values()))

    def advance(self, until_ms: int) -> list[Frame]:
        """Let the market live until `until_ms`; the frames that are due by then, by event time."""
        frames: list[Frame] = []
        while (now_ms := self.market.now_ms) < until_ms:
            boundary_ms = min(until_ms, now_ms - now_ms % self._step_ms + self._step_ms)
            events = self.market.advance(boundary_ms)
            self._note_liquidation(events.aggregates)
            frames.extend(sorted(self._event_frames(events), key=attrgetter("event_ms")))
            for kind in self._kinds.values():
                if kind.cadence_ms and boundary_ms % kind.cadence_ms == 0:
                    frames.extend(self._timed_frames(kind, boundary_ms))
            self._forget_changes()
        return frames

    def _forget_changes(self) -> None:
        """Empty the log of what all depth streams have sent."""
        book = self.market.book
        count = int(book.meta[CHANGE_COUNT])
        done = min((cursor.row for cursor in self._cursors.values()), default=count)
        if done == count or done > book.changes.shape[0] // 4:
            book.changes[: count - done] = book.changes[done:count].copy()
            book.meta[CHANGE_COUNT] = count - done
            for cursor in self._cursors.values():
                cursor.row -= done

    def _note_liquidation(self, aggregates: Iterable[Aggregate]) -> None:
        for item in aggregates:
            if item.cause == LIQUIDATION:
                self._liquidation = item

    def _event_frames(self, events: Events) -> list[Frame]:
        """Frames of the streams that send with every event."""
        frames = []
        listing, prefix = self.market.listing, self._prefix
        if "trade" in self._kinds:
            for identity, time_ms, ticks, lots, side, _, _ in events.trades:
                payload = trade(listing, identity, time_ms, ticks, lots, side)
                frames.append(Frame(time_ms, prefix + "trade", payload, identity, identity))
        if "aggTrade" in self._kinds:
            for item in events.aggregates:
                payload = aggregate_trade(listing, item)
                frames.append(Frame(item.time_ms, prefix + "aggTrade", payload, item.identity, item.identity))
        if "bookTicker" in self._kinds:
            for time_ms, update_id, *top in events.tops:
                payload = book_ticker(listing, time_ms, update_id, (top[0], top[1]), (top[2], top[3]))
                frames.append(Frame(time_ms, prefix + "bookTicker", payload, update_id, update_id))
        return frames

    def _timed_frames(self, kind: StreamKind, now_ms: int) -> list[Frame]:
        """The frame that a stream sends at this boundary, if it has anything to say."""
        if _is_diff(kind):
            return self._diff(kind, now_ms)
        if kind.levels:
            return self._partial(kind, now_ms)
        name = self._prefix + kind.suffix
        if kind.suffix.startswith("markPrice"):
            mark = self.market.mark(now_ms)
            return [Frame(now_ms, name, mark_price(self.market.listing.symbol, mark), 0, 0)]
        if kind.suffix == "forceOrder":
            return self._force_order(name, now_ms)
        return self._kline(name, now_ms)

    def _diff(self, kind: StreamKind, now_ms: int) -> list[Frame]:
        cursor, book = self._cursors[kind.suffix], self.market.book
        stop = int(book.meta[CHANGE_COUNT])
        if cursor.row == stop:
            return []
        bids, asks = changed_levels_text(book, cursor.row, stop, self._marks, self._text, self._format)
        first, last = int(book.changes[cursor.row, 0]), self.market.update_id
        ids = (first, last, cursor.last_id)
        payload = depth_update(self.market.listing.symbol, now_ms, self.market.update_ms, ids, bids, asks)
        cursor.row, cursor.last_id = stop, last
        return [Frame(now_ms, self._prefix + kind.suffix, payload, first, last)]

    def _partial(self, kind: StreamKind, now_ms: int) -> list[Frame]:
        last, before = self.market.update_id, self._partial_ids[kind.suffix]
        if last == before:
            return []
        self._partial_ids[kind.suffix] = last
        bids, asks = (levels_text(self.market.levels(side, kind.levels), self._format) for side in (BID, ASK))
        ids = (before + 1, last, before)
        payload = depth_update(self.market.listing.symbol, now_ms, self.market.update_ms, ids, bids, asks)
        return [Frame(now_ms, self._prefix + kind.suffix, payload, before + 1, last)]

    def _force_order(self, name: str, now_ms: int) -> list[Frame]:
        """The latest liquidation of the last second; earlier ones of it are never told."""
        item, self._liquidation = self._liquidation, None
        if item is None:
            return []
        return [Frame(now_ms, name, force_order(self.market.listing, now_ms, item), 0, 0)]

    def _kline(self, name: str, now_ms: int) -> list[Frame]:
        """The minute under way where it has changed; once more when it closes."""
        if not self.market.candles:
            return []
        candle = self.market.candles[-1]
        closes = now_ms == candle.open_ms + 60_000
        if candle.last_id == self._last_kline_id and not closes:
            return []
        self._last_kline_id = candle.last_id
        payload = kline(self.market.listing, now_ms, candle)
        return [Frame(now_ms, name, payload, candle.first_id, candle.last_id)]

    def snapshot(self, limit: int) -> bytes:
        """Answer of REST `depth`: the book as it is now."""
        market = self.market
        bids, asks = (levels_text(market.levels(side, limit), self._format) for side in (BID, ASK))
        head = b'{"lastUpdateId":%d,"E":%d,"T":%d' % (market.update_id, market.now_ms, market.update_ms)
        return b'%s,"bids":%s,"asks":%s}' % (head, bids, asks)


def _is_diff(kind: StreamKind) -> bool:
    return kind.suffix.startswith("depth") and not kind.levels
