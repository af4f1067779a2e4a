"""From a market to the frames of its streams."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from operator import attrgetter
from typing import NamedTuple

from undertow.venues.simulated import spot_wire, wire
from undertow.venues.simulated.level_text import (
    changed_levels_text,
    levels_text,
    new_marks,
    new_text,
    text_format,
)
from undertow.venues.simulated.market import Events, Market
from undertow.venues.simulated.matching import ASK, BID, CHANGE_COUNT, UPDATE_ID
from undertow.venues.simulated.orderflow import LIQUIDATION
from undertow.venues.simulated.retick import refine_tick
from undertow.venues.simulated.streams import KINDS, SPOT_KINDS, StreamKind
from undertow.venues.simulated.wire import Aggregate, book_ticker, depth_update, force_order, mark_price

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
    previous_id: int = -1
    """Where the ids of a stream form a chain: the last id before `first_id`; else -1."""


@dataclass(slots=True)
class _DepthCursor:
    """How far a depth stream has told the book's changes."""

    row: int
    """First row of the log not sent yet."""
    last_id: int
    """`u` of the frame before."""
    owes_empty: bool = False
    """Whether a delta without levels is to follow."""


class Publisher:
    """Frames of the open streams of one market. Each depth stream has its own unbroken chain of ids.

    Usage: `publisher.open("depth@100ms")`, then `publisher.advance(until_ms)` again and again.
    """

    def __init__(self, market: Market, *, is_spot: bool = False) -> None:
        self.market = market
        self.is_spot = is_spot
        self.ghosts: list[tuple[str, str]] = []
        """(side, price) of levels that were removed without telling it."""
        self.silent_until_ms = 0
        """No stream sends anything before."""
        self._served = SPOT_KINDS if is_spot else KINDS
        self._wire = spot_wire if is_spot else wire
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
        kind = self._served[suffix]
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
                if (
                    kind.cadence_ms
                    and not boundary_ms % kind.cadence_ms
                    and boundary_ms >= self.silent_until_ms
                ):
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
        listing, prefix, make = self.market.listing, self._prefix, self._wire
        if "trade" in self._kinds:
            for identity, time_ms, ticks, lots, side, _, _ in events.trades:
                payload = make.trade(listing, identity, time_ms, ticks, lots, side)
                frames.append(Frame(time_ms, prefix + "trade", payload, identity, identity, identity - 1))
        if "aggTrade" in self._kinds:
            for item in events.aggregates:
                payload = make.aggregate_trade(listing, item)
                identity = item.identity
                frames.append(
                    Frame(item.time_ms, prefix + "aggTrade", payload, identity, identity, identity - 1)
                )
        if "bookTicker" in self._kinds:
            for time_ms, update_id, *top in events.tops:
                bid, ask = (top[0], top[1]), (top[2], top[3])
                payload = (
                    spot_wire.book_ticker(listing, update_id, bid, ask)
                    if self.is_spot
                    else book_ticker(listing, time_ms, update_id, bid, ask)
                )
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
        frames = []
        if cursor.row != stop:
            bids, asks = changed_levels_text(book, cursor.row, stop, self._marks, self._text, self._format)
            first, last = int(book.changes[cursor.row, 0]), self.market.update_id
            frames.append(self._delta(kind, now_ms, (first, last, cursor.last_id), bids, asks))
            cursor.row, cursor.last_id = stop, last
        if cursor.owes_empty:
            cursor.owes_empty = False
            before = cursor.last_id
            cursor.last_id = self.market.take_update_id()
            frames.append(self._delta(kind, now_ms, (cursor.last_id, cursor.last_id, before), b"[]", b"[]"))
        return frames

    def _delta(
        self, kind: StreamKind, now_ms: int, ids: tuple[int, int, int], bids: bytes, asks: bytes
    ) -> Frame:
        """A change of the book; `ids` are U, u and pu. On spot each U follows the u before."""
        name, symbol = self._prefix + kind.suffix, self.market.listing.symbol
        if self.is_spot:
            first, last = ids[2] + 1, ids[1]
            payload = spot_wire.depth_update(symbol, now_ms, (first, last), bids, asks)
            return Frame(now_ms, name, payload, first, last, ids[2])
        payload = depth_update(symbol, now_ms, self.market.update_ms, ids, bids, asks)
        return Frame(now_ms, name, payload, *ids)

    def is_diff(self, stream: str) -> bool:
        """Whether a stream tells changes of this book."""
        kind = self._served.get(stream.removeprefix(self._prefix))
        return kind is not None and _is_diff(kind)

    def owe_empty_deltas(self) -> None:
        """Send a change without levels, which advances the ids, on each stream of changes that is open."""
        for cursor in self._cursors.values():
            cursor.owes_empty = True

    def change_tick(self, tick: str) -> None:
        """Go on with a finer tick; raises InputError for any other."""
        refine_tick(self.market, tick)
        self._format = text_format(self.market.listing)
        self._marks = new_marks(self.market.book)
        self._liquidation = None

    def jump_clock(self, jump_ms: int) -> None:
        """Move all times from now on."""
        self.market.jump_clock(jump_ms)
        self.silent_until_ms += jump_ms

    def rebase(self) -> int:
        """Let update ids fall to a thousandth, as after maintenance; by how much they fell."""
        book = self.market.book
        fall = self.market.update_id - self.market.update_id // 1000
        book.changes[: book.meta[CHANGE_COUNT], 0] -= fall
        book.meta[UPDATE_ID] -= fall
        for cursor in self._cursors.values():
            cursor.last_id -= fall
        for suffix in self._partial_ids:
            self._partial_ids[suffix] -= fall
        return fall

    def _partial(self, kind: StreamKind, now_ms: int) -> list[Frame]:
        last, before = self.market.update_id, self._partial_ids[kind.suffix]
        if last == before:
            return []
        self._partial_ids[kind.suffix] = last
        bids, asks = (levels_text(self.market.levels(side, kind.levels), self._format) for side in (BID, ASK))
        ids = (before + 1, last, before)
        symbol, updated_ms = self.market.listing.symbol, self.market.update_ms
        payload = (
            spot_wire.partial_book(last, bids, asks)
            if self.is_spot
            else depth_update(symbol, now_ms, updated_ms, ids, bids, asks)
        )
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
        payload = self._wire.kline(self.market.listing, now_ms, candle)
        return [Frame(now_ms, name, payload, candle.first_id, candle.last_id)]

    def snapshot(self, limit: int) -> bytes:
        """Answer of REST `depth`: the book as it is now."""
        market = self.market
        bids, asks = (levels_text(market.levels(side, limit), self._format) for side in (BID, ASK))
        if self.is_spot:
            return spot_wire.partial_book(market.update_id, bids, asks)
        head = b'{"lastUpdateId":%d,"E":%d,"T":%d' % (market.update_id, market.now_ms, market.update_ms)
        return b'%s,"bids":%s,"asks":%s}' % (head, bids, asks)


def _is_diff(kind: StreamKind) -> bool:
    return kind.suffix.startswith("depth") and not kind.levels
