"""Events of one symbol in arrival order → trades to store, book samples, gaps, and frames.

Everything depends only on the order of the frames, never on how they were cut into blocks or on a clock, so a
journal folded again gives the same bits.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields

import msgspec
import numpy as np
from numpy.typing import NDArray

from undertow.book.ladder import ASK, BID, Ladder, top
from undertow.frames import book_fold
from undertow.frames.book_fold import BookStatus
from undertow.frames.book_track import BookTracker
from undertow.frames.column_set import empty_trades, join
from undertow.frames.frame_fold import FrameFold
from undertow.frames.frames import BOOK_LEVELS, Frames
from undertow.frames.trade_fold import LargeTradeRule
from undertow.frames.trade_track import TradeTracker
from undertow.market.batch import EventBatch, EventKind
from undertow.market.columns import BookColumns, TradeColumns
from undertow.market.events import Gap
from undertow.market.instruments import Instrument
from undertow.market.time import MILLISECOND_NS, MINUTE_NS, SECOND_NS
from undertow.venues.rules import rules_of

__all__ = ["Sampled", "Sampler", "SamplerSettings"]

Integers = NDArray[np.int64]
Arrays = dict[str, NDArray[np.generic]]

_TABLES = {"trades": (EventKind.TRADE, 1), "aggtrades": (EventKind.AGGREGATE_TRADE, 2)}
"""Table → the kind of event that it holds, and the bit of the connection that carries them."""


class SamplerSettings(msgspec.Struct, frozen=True):
    """What a user may set about sampling; part of the lineage of every feature."""

    flow: str = "aggtrades"
    """Table that flow features read: aggtrades or trades."""
    depth_interval_ns: int = 500 * MILLISECOND_NS
    depth_levels: int = BOOK_LEVELS
    l2_interval_ns: int = SECOND_NS
    l2_levels: int = 100
    lateness_ns: int = 250 * MILLISECOND_NS
    quiet_ns: int = MINUTE_NS
    """A book without an update for longer is not sampled while event time leaps on."""
    large_factor: float = 2.0
    large_window_ns: int = 15 * MINUTE_NS
    timeframes_ns: tuple[int, ...] = (SECOND_NS, MINUTE_NS, 5 * MINUTE_NS, 15 * MINUTE_NS)

    def __post_init__(self) -> None:
        """Raise ValueError for settings that contradict each other."""
        if self.flow not in _TABLES:
            raise ValueError(f"flow {self.flow!r}: choose aggtrades or trades")
        if self.depth_levels < BOOK_LEVELS:
            raise ValueError(f"depth levels {self.depth_levels}: features need at least {BOOK_LEVELS}")
        for interval in (self.depth_interval_ns, self.l2_interval_ns):
            if interval <= 0 or MINUTE_NS % interval:
                raise ValueError(f"sampling interval {interval} ns does not divide a minute")

    def large(self) -> LargeTradeRule:
        """The large-trade rule."""
        return LargeTradeRule(self.large_factor, self.large_window_ns)


@dataclass(frozen=True, slots=True)
class Sampled:
    """What a block of events gave."""

    trades: dict[str, TradeColumns]
    """By table, in arrival order; late ones are marked."""
    depth: BookColumns
    l2: BookColumns
    gaps: list[Gap]
    frames: dict[int, Frames]
    """Bars closed, by length [ns]."""
    late_closed_ns: Integers
    """For each late flow trade the boundary up to which bars were closed when it came."""
    closed_at: Integers
    """(n,) for each row of the block the boundary up to which bars were closed when it came."""


class Sampler:
    """Folds events of one symbol."""

    def __init__(self, instrument: Instrument, settings: SamplerSettings) -> None:
        self.instrument = instrument
        self.settings = settings
        rules = rules_of(instrument.venue)
        state = book_fold.new_book_state(
            rules.book_rule,
            (settings.depth_interval_ns, settings.l2_interval_ns),
            settings.lateness_ns,
            settings.quiet_ns,
        )
        self.book = BookTracker(instrument.symbol, state, settings.depth_levels, settings.l2_levels)
        self._trackers = {
            table: TradeTracker(instrument.symbol, table, is_chained=rules.has_trade_chain)
            for table in _TABLES
        }
        self._fold = FrameFold(instrument, settings.timeframes_ns, settings.lateness_ns, settings.large())
        self._pending_trades = empty_trades()
        self._pending_samples: BookColumns | None = None
        self._recent_gaps: list[Gap] = []

    @property
    def newest_ns(self) -> int:
        """Newest event time seen; 0 before the first."""
        return int(self.book.state.meta[book_fold.NEWEST_NS])

    @property
    def closed_ns(self) -> int:
        """Every bar that ends at or before this is closed."""
        return int(self.book.state.meta[book_fold.CLOSED_NS])

    @property
    def update_ns(self) -> int:
        """Event time of the newest update of the book."""
        return int(self.book.state.meta[book_fold.UPDATE_NS])

    @property
    def is_synced(self) -> bool:
        """Whether `ladder` is exact."""
        return self.book.status == BookStatus.SYNCED

    @property
    def implausible_count(self) -> int:
        """Events left out because their time cannot be true; the journal has them."""
        return int(self.book.state.meta[book_fold.IMPLAUSIBLE])

    @property
    def ladder(self) -> Ladder:
        """The live book; only to be read."""
        return self.book.ladder

    @property
    def duplicate_count(self) -> int:
        """Trades that came more than once and were stored once."""
        return sum(tracker.duplicate_count for tracker in self._trackers.values())

    def feed(self, batch: EventBatch) -> Sampled:
        """Fold a block of events, in arrival order."""
        closed_at = np.empty(len(batch), np.int64)
        first_closed = self.closed_ns
        depth, l2, gaps = self.book.fold(batch, closed_at)
        closed_before = np.concatenate([[first_closed], closed_at])[: len(batch)]
        taken = {table: self._take_trades(batch, table, closed_at, closed_before, gaps) for table in _TABLES}
        trades = {table: _trade_columns(batch, rows, closed_at) for table, rows in taken.items()}
        flow = trades[self.settings.flow]
        late = flow.is_late & (flow.order_type == 0)
        arrived_ns = closed_at[taken[self.settings.flow]][late]
        frames = self._fold_frames(flow, arrived_ns, depth, gaps)
        return Sampled(trades, depth, l2, gaps, frames, arrived_ns, closed_at)

    def _take_trades(
        self,
        batch: EventBatch,
        table: str,
        closed_at: Integers,
        closed_before: Integers,
        gaps: list[Gap],
    ) -> Integers:
        """Rows of the block that hold trades of `table` not seen before; gaps found go to `gaps`."""
        kind, connection = _TABLES[table]
        rows = np.flatnonzero(batch.kind == kind)
        lost = (batch.kind == EventKind.DISCONNECT) & ((batch.first_id & connection) > 0)
        cuts = np.flatnonzero(lost)
        fresh = np.ones(len(rows), np.bool_)
        tracker = self._trackers[table]
        begin = 0
        for cut in [*cuts, len(batch)]:
            end = int(np.searchsorted(rows, cut))
            part = rows[begin:end]
            fresh[begin:end], found = tracker.accept(
                batch.trade_id[part],
                batch.event_ns[part],
                closed_before[part],
                (batch.first_id[part], batch.last_id[part]),
            )
            gaps.extend(found)
            if cut < len(batch):
                tracker.disconnect(int(closed_at[cut]))
            begin = end
        return rows[fresh]

    def _fold_frames(
        self, trades: TradeColumns, late_closed_ns: Integers, samples: BookColumns, gaps: list[Gap]
    ) -> dict[int, Frames]:
        closed_ns = self.closed_ns
        if len(late_closed_ns):
            self._fold.note_late(trades.event_ns[trades.is_late & (trades.order_type == 0)], late_closed_ns)
        flow = trades.take(~trades.is_late & (trades.order_type == 0))
        held = join([self._pending_trades, flow]) if len(flow) else self._pending_trades
        due = held.event_ns < closed_ns
        ready, self._pending_trades = held.take(due), held.take(~due)
        ready = ready.take(np.lexsort((ready.trade_id, ready.event_ns)))
        rows = samples if self._pending_samples is None else join([self._pending_samples, samples])
        sampled = rows.grid_ns <= closed_ns
        self._pending_samples = rows.take(~sampled)
        self._recent_gaps += gaps
        known = self._recent_gaps + self.open_gaps()
        frames = self._fold.advance(ready, rows.take(sampled), known, closed_ns)
        self._recent_gaps = [gap for gap in self._recent_gaps if gap.counted_to_ns > closed_ns]
        return frames

    def repair(self, trades: TradeColumns, table: str) -> TradeColumns:
        """Of trades had from elsewhere those that were missing; they are to be stored and not folded."""
        return trades.take(self._trackers[table].fill(trades.trade_id))

    def repair_singles(self, trades: TradeColumns, table: str) -> TradeColumns:
        """Of single trades had from elsewhere those that no aggregate of `table` told."""
        return trades.take(self._trackers[table].fill_singles(trades.trade_id))

    def trusts(self, levels: int) -> bool:
        """Whether the best `levels` of each side lie in the price range of the newest snapshot or audit."""
        ticks, lots = np.zeros(levels, np.int64), np.zeros(levels, np.int64)
        for side, sign in ((BID, 1), (ASK, -1)):
            found = top(self.ladder, side, ticks, lots)
            if found and sign * ticks[found - 1] < sign * self.book.trusted[side]:
                return False
        return True

    def missing(self, table: str) -> list[tuple[int, int]]:
        """Ranges of ids that a stream skipped and that have not come yet."""
        return list(self._trackers[table].missing)

    def missing_singles(self, table: str) -> list[tuple[int, int]]:
        """Ranges of ids of single trades that no aggregate told and that have not been had."""
        return list(self._trackers[table].missing_singles)

    def open_gaps(self) -> list[Gap]:
        """Gaps that have not ended, as far as bars are closed."""
        gaps = [tracker.open_gap(self.closed_ns) for tracker in self._trackers.values()]
        return [gap for gap in (*gaps, self.book.open_gap(self.closed_ns)) if gap is not None]

    def to_arrays(self) -> Arrays:
        """Everything carried, as arrays: what `restore` needs to go on with the same bits."""
        arrays: Arrays = {f"book.{k}": v for k, v in self.book.to_arrays().items()}
        arrays |= {f"fold.{k}": v for k, v in self._fold.to_arrays().items()}
        for prefix, columns in (("trades", self._pending_trades), ("samples", self._pending_samples)):
            if columns is not None:
                arrays |= {f"{prefix}.{f.name}": getattr(columns, f.name) for f in fields(columns)}
        extra = (list(self._trackers.values()), self._recent_gaps)
        arrays["extra"] = np.frombuffer(msgspec.msgpack.encode(extra), np.uint8)
        return arrays

    def restore(self, arrays: Mapping[str, NDArray[np.generic]]) -> None:
        """Go on from `to_arrays()` of a sampler with the same instrument and settings."""

        def part(prefix: str) -> Arrays:
            return {k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)}

        self.book.restore(part("book."))
        self._fold.restore(part("fold."))
        self._pending_trades = TradeColumns(**part("trades."))  # type: ignore[arg-type]
        samples = part("samples.")
        self._pending_samples = BookColumns(**samples) if samples else None  # type: ignore[arg-type]
        kind = tuple[list[TradeTracker], list[Gap]]
        trackers, self._recent_gaps = msgspec.msgpack.decode(arrays["extra"].tobytes(), type=kind)
        self._trackers = {tracker.stream: tracker for tracker in trackers}


def _trade_columns(batch: EventBatch, rows: Integers, closed_at: Integers) -> TradeColumns:
    return TradeColumns(
        event_ns=batch.event_ns[rows],
        receive_ns=batch.receive_ns[rows],
        trade_id=batch.trade_id[rows],
        first_trade_id=batch.first_id[rows],
        last_trade_id=batch.last_id[rows],
        price_ticks=batch.price_ticks[rows],
        quantity_lots=batch.quantity_lots[rows],
        is_buyer_maker=batch.is_buyer_maker[rows],
        order_type=batch.order_type[rows],
        is_late=batch.event_ns[rows] < closed_at[rows],
        source=np.zeros(len(rows), np.uint8),
        normal_lots=batch.normal_lots[rows],
    )
