"""From a market to the frames of its topics: a snapshot for who subscribes, then what changes."""

from dataclasses import dataclass, field

from undertow.venues.simulated.market import Events, Market
from undertow.venues.simulated.matching import CHANGE_COUNT
from undertow.venues.simulated.orderflow import LIQUIDATION
from undertow.venues.simulated.wire import Aggregate
from undertow.venues.simulated_bybit import wire
from undertow.venues.simulated_bybit.books import TopicBook

__all__ = ["DEPTHS", "STEP_MS", "MarketTopics", "is_topic"]

STEP_MS = 20
DEPTHS = {1: 20, 50: 20, 200: 100, 1000: 200}
"""Levels a side of a depth topic → how often it is pushed [ms]; the real level 1 is pushed every 10 ms."""
_TICKER_MS, _LIQUIDATION_MS, _KLINE_MS = 100, 500, 1000
_FIRST_UPDATE_ID = 5_000_000
_LEVEL_ONE_AGAIN_MS = 3000
_KINDS = frozenset({"publicTrade", "tickers", "allLiquidation"})


def is_topic(name: str, symbols: frozenset[str]) -> bool:
    """Whether a topic of one of these symbols exists.

    >>> is_topic("orderbook.200.BTCUSDT", frozenset({"BTCUSDT"}))
    True
    """
    kind, _, rest = name.partition(".")
    if kind == "orderbook":
        depth, _, symbol = rest.partition(".")
        return depth.isdecimal() and int(depth) in DEPTHS and symbol in symbols
    if kind == "kline":
        return rest.startswith("1.") and rest[2:] in symbols
    return kind in _KINDS and rest in symbols


@dataclass(slots=True)
class MarketTopics:
    """The topics of one market. `advance` lets it live and tells the frames that all subscribers get."""

    market: Market
    books: dict[int, TopicBook] = field(default_factory=dict)
    """Depth → book; made when first asked for."""
    sequence: int = 100_000_000
    """Cross sequence: rises with whatever is told, in all topics alike."""
    trade_count: int = 0
    recent_trades: list[dict[str, str | int | bool]] = field(default_factory=list)
    restated: set[int] = field(default_factory=set)
    """Depths whose next push is a snapshot."""
    _ticker: dict[str, str] = field(default_factory=dict)
    _liquidated: list[Aggregate] = field(default_factory=list)
    _closed_ms: int = 0
    """Opening of the newest candle that was told as closed."""

    @property
    def symbol(self) -> str:
        """Upper case."""
        return self.market.listing.symbol

    def book(self, depth: int) -> TopicBook:
        """The book of a depth topic."""
        if depth not in self.books:
            self.books[depth] = TopicBook(depth, _FIRST_UPDATE_ID)
            self.books[depth].restate(self.market)
        return self.books[depth]

    def restart(self) -> None:
        """The service starts anew: update ids begin at 1, with a snapshot on every depth."""
        for depth, book in self.books.items():
            book.update_id = 0
            self.restated.add(depth)

    def snapshot(self, topic: str) -> bytes | None:
        """What a new subscriber gets at once; None where a topic has no such frame."""
        kind, _, rest = topic.partition(".")
        if kind == "orderbook":
            depth = int(rest.partition(".")[0])
            self.book(depth)
            return self._book_snapshot(depth)
        if kind == "tickers":
            self._ticker = self._ticker or wire.ticker_fields(self.market, self.market.now_ms)
            return wire.ticker_frame(topic, "snapshot", self.symbol, self._ticker, self.market.now_ms)
        return None

    def _book_snapshot(self, depth: int) -> bytes:
        book = self.book(depth)
        self.sequence += 1
        topic = f"orderbook.{depth}.{self.symbol}"
        ids, times = (book.update_id, self.sequence), (self.market.now_ms, book.pushed_ms)
        return wire.book_frame(topic, "snapshot", self.market.listing, (book.bids, book.asks), ids, times)

    def advance(self, until_ms: int) -> list[tuple[str, bytes]]:
        """Live until `until_ms`, a multiple of STEP_MS after the start; (topic, frame) of what is due."""
        events = self.market.advance(until_ms)
        self.market.book.meta[CHANGE_COUNT] = 0
        frames = self._trades(events, until_ms)
        self._liquidated += [item for item in events.aggregates if item.cause == LIQUIDATION]
        for depth, every_ms in DEPTHS.items():
            if depth in self.books and until_ms % every_ms == 0:
                frames += self._push(depth, until_ms)
        if until_ms % _TICKER_MS == 0:
            frames += self._ticker_delta(until_ms)
        if until_ms % _LIQUIDATION_MS == 0 and self._liquidated:
            topic = f"allLiquidation.{self.symbol}"
            told, self._liquidated = self._liquidated, []
            frames.append((topic, wire.liquidation_frame(topic, self.market.listing, told, until_ms)))
        if until_ms % _KLINE_MS == 0:
            frames += self._kline(until_ms)
        return frames

    def _trades(self, events: Events, now_ms: int) -> list[tuple[str, bytes]]:
        if not events.trades:
            return []
        self.sequence += 1
        rows = [wire.trade_row(self.market.listing, row, self.sequence) for row in events.trades]
        self.trade_count += len(rows)
        self.recent_trades = (self.recent_trades + rows)[-1000:]
        topic = f"publicTrade.{self.symbol}"
        return [(topic, wire.trades_frame(topic, rows, now_ms))]

    def _push(self, depth: int, now_ms: int) -> list[tuple[str, bytes]]:
        book, topic = self.books[depth], f"orderbook.{depth}.{self.symbol}"
        if depth in self.restated:
            self.restated.discard(depth)
            book.update_id += 1
            book.restate(self.market)
            return [(topic, self._book_snapshot(depth))]
        changed = book.push(self.market)
        if depth == 1:
            is_due = changed is not None or now_ms % _LEVEL_ONE_AGAIN_MS == 0
            return [(topic, self._book_snapshot(depth))] if is_due else []
        if changed is None:
            return []
        self.sequence += 1
        ids, times = (book.update_id, self.sequence), (now_ms, book.pushed_ms)
        return [(topic, wire.book_frame(topic, "delta", self.market.listing, changed, ids, times))]

    def _ticker_delta(self, now_ms: int) -> list[tuple[str, bytes]]:
        now = wire.ticker_fields(self.market, now_ms)
        changed = {name: value for name, value in now.items() if self._ticker.get(name) != value}
        self._ticker = now
        topic = f"tickers.{self.symbol}"
        return [(topic, wire.ticker_frame(topic, "delta", self.symbol, changed, now_ms))] if changed else []

    def _kline(self, now_ms: int) -> list[tuple[str, bytes]]:
        """The minute under way, and once more each that has closed since."""
        listing, topic = self.market.listing, f"kline.1.{self.symbol}"
        frames = []
        for candle in self.market.candles[-2:]:
            is_closed = candle.open_ms + 60_000 <= now_ms
            if is_closed and candle.open_ms <= self._closed_ms:
                continue
            if is_closed:
                self._closed_ms = candle.open_ms
            frames.append((topic, wire.kline_frame(topic, listing, candle, now_ms, is_closed=is_closed)))
        return frames
