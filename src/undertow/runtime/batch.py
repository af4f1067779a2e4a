"""Features of a stored history: lake tables → the same frames and features as live, hour by hour."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from undertow.errors import InputError
from undertow.features.catalogue import FEATURES
from undertow.features.engine import FeatureBlock, FeatureEngine, lineage
from undertow.frames.column_set import book_columns, empty_trades, join, shallow
from undertow.frames.frame_fold import FrameFold
from undertow.frames.frames import BOOK_LEVELS
from undertow.frames.market_fold import MarketFold
from undertow.frames.sampler import SamplerSettings
from undertow.lake.reader import Lake
from undertow.lake.schemas import instrument_of
from undertow.lake.tables import arrow_to_book, arrow_to_gaps, arrow_to_trades
from undertow.lake.writer import LakeWriter
from undertow.market.columns import BookColumns, TradeColumns
from undertow.market.events import Gap
from undertow.market.instruments import Instrument
from undertow.market.time import HOUR_NS, SECOND_NS, parse_timeframe
from undertow.runtime.feature_rows import timeframe_name, to_arrow
from undertow.runtime.market_readings import MarketHistory

__all__ = [
    "StoredHistory",
    "compute_features",
    "histories",
    "open_history",
    "verify_features",
    "write_features",
]


Integers = NDArray[np.int64]
OnHour = Callable[[datetime], None]


@dataclass(frozen=True, slots=True)
class StoredHistory:
    """What the lake holds of one symbol that features need."""

    lake: Lake
    instrument: Instrument
    settings: SamplerSettings
    """What the history was recorded with; `settings.flow` is the table of the trades."""
    closed_ns: int
    """Every bar that ends at or before this was complete when it was written."""


def open_history(lake: Lake, venue: str, symbol: str) -> StoredHistory:
    """Look up a symbol's tables; raises InputError where there are no trades."""
    for table in ("aggtrades", "trades"):
        first = next(lake.read(venue, table, symbol, include_open=True), None)
        if first is None:
            continue
        tables = (table, "book_depth", "l2", "gaps")
        extras = [m.extra for name in tables for m in lake.manifests(venue, name, symbol)]
        closed_ns = max((int(extra.get("closed_ns", 0)) for extra in extras), default=0)
        stored: dict[str, Any] = next(
            (extra["settings"] for extra in reversed(extras) if "settings" in extra), {}
        )
        settings = msgspec.convert({**stored, "flow": table}, SamplerSettings)
        return StoredHistory(lake, instrument_of(first.schema), settings, closed_ns)
    raise InputError(
        f"{lake.root}: no trades of {symbol} at {venue}; `undertow replay` or `collect` write them"
    )


def histories(lake: Lake, venue: str | None, symbols: Sequence[str]) -> list[StoredHistory]:
    """Every history that was asked for, all of the lake by default; raises InputError where there is none."""
    venues = [venue] if venue else lake.venues()
    found = []
    for name in venues:
        stored = {s for table in ("aggtrades", "trades") for s in lake.symbols(name, table)}
        found += [
            open_history(lake, name, symbol) for symbol in (symbols or sorted(stored)) if symbol in stored
        ]
    missing = set(symbols) - {history.instrument.symbol for history in found}
    if missing or not found:
        what = ", ".join(sorted(missing)) or "anything"
        raise InputError(f"{lake.root}: holds no trades of {what}; `undertow replay` or `collect` write them")
    return found


def write_features(history: StoredHistory, lengths_ns: tuple[int, ...], on_hour: OnHour) -> dict[str, int]:
    """Compute and store the features of a history; rows written by timeframe."""
    settings = msgspec.structs.replace(history.settings, timeframes_ns=lengths_ns)
    rows: dict[str, int] = {timeframe_name(length): 0 for length in lengths_ns}
    instrument = history.instrument
    writer = LakeWriter(history.lake.root, instrument.venue, instrument.symbol)
    try:
        for blocks in compute_features(history, settings):
            for length, block in blocks.items():
                if len(block):
                    name = timeframe_name(length)
                    writer.append("features", to_arrow(instrument, block), timeframe=name)
                    rows[name] += len(block)
                    on_hour(datetime.fromtimestamp(int(block.open_ns[-1]) / 1e9, UTC))
        writer.seal(None, extra={"closed_ns": history.closed_ns, "lineage": {"features": lineage(FEATURES)}})
    finally:
        writer.close()
    return rows


def verify_features(lake: Lake) -> tuple[int, list[str]]:
    """Compute every stored feature row again; (rows compared, what differs in any bit, named)."""
    compared, wrong = 0, []
    for history in histories(lake, None, ()):
        venue, symbol = history.instrument.venue, history.instrument.symbol
        names = lake.timeframes(venue, symbol)
        if not names:
            continue
        lengths = tuple(parse_timeframe(name) for name in names)
        settings = msgspec.structs.replace(history.settings, timeframes_ns=lengths)
        computed: dict[int, list[pa.Table]] = {length: [] for length in settings.timeframes_ns}
        for blocks in compute_features(history, settings):
            for length, block in blocks.items():
                computed[length].append(to_arrow(history.instrument, block))
        for length, name in zip(settings.timeframes_ns, names, strict=True):
            stored = pa.concat_tables(lake.read(venue, "features", symbol, timeframe=name, include_open=True))
            compared += stored.num_rows
            found = _differences(stored, pa.concat_tables(computed[length]))
            wrong += [f"{venue} {symbol} features {name}: {text}" for text in found]
    return compared, wrong


def _differences(stored: pa.Table, computed: pa.Table) -> Iterator[str]:
    """What is not the same to the last bit in two tables of bars."""
    if stored["timestamp"].to_pylist() != computed["timestamp"].to_pylist():
        yield f"{stored.num_rows} bars stored, {computed.num_rows} computed, or other opens"
        return
    for name in computed.column_names:
        if name not in stored.column_names:
            yield f"column {name} is not stored"
            continue
        first, second = stored[name].combine_chunks(), computed[name].combine_chunks()
        values = [np.ascontiguousarray(side.to_numpy(zero_copy_only=False)) for side in (first, second)]
        nulls = [np.asarray(side.is_null()) for side in (first, second)]
        bits = [value.view(np.int64) for value in values]
        unequal = (nulls[0] != nulls[1]) | ((bits[0] != bits[1]) & ~nulls[0])
        if unequal.any():
            row = int(np.flatnonzero(unequal)[0])
            stamp = stored["timestamp"][row].as_py()
            pair = f"{first[row]} stored, {second[row]} computed"
            yield f"{name} differs in {int(unequal.sum())} bars, first at {stamp}: {pair}"


def compute_features(history: StoredHistory, settings: SamplerSettings) -> Iterator[dict[int, FeatureBlock]]:
    """Blocks of consecutive bars by length [ns], over the whole history, a stored hour at a time."""
    fold = FrameFold(history.instrument, settings.timeframes_ns, settings.lateness_ns, settings.large())
    engines = {length: FeatureEngine(FEATURES, length) for length in settings.timeframes_ns}
    market, told = MarketFold(settings.timeframes_ns), MarketHistory(history.lake, history.instrument)
    gaps = _gaps(history)
    for trades, samples, late_ns, until_ns in _steps(history):
        fold.note_late(late_ns, np.zeros_like(late_ns))
        closed = fold.advance(trades, samples, gaps, until_ns)
        frames = market.advance(told.until(until_ns), closed, until_ns)
        yield {length: engines[length].push(f) for length, f in frames.items()}


def _gaps(history: StoredHistory) -> list[Gap]:
    venue, symbol = history.instrument.venue, history.instrument.symbol
    tables = history.lake.read(venue, "gaps", symbol, include_open=True)
    return [gap for table in tables for gap in arrow_to_gaps(history.instrument, table)]


def _steps(history: StoredHistory) -> Iterator[tuple[TradeColumns, BookColumns, Integers, int]]:
    """For each stored hour: flow trades and book samples due, late trades' times, and until when.

    A book sample belongs to the bar that ends with it but is stored in the hour that begins with it, so the
    last second of an hour waits for the next step.
    """
    trades, book = empty_trades(), _read_book(history, 0)
    for hour in [*_hours(history), None]:
        until_ns, late_ns = history.closed_ns, np.empty(0, np.int64)
        if hour is not None:
            found = _read_trades(history, hour)
            flow = found.take(found.order_type == 0)
            trades = join([trades, flow.take(~flow.is_late)])
            book = join([book, _read_book(history, hour)])
            late_ns = flow.event_ns[flow.is_late & (flow.source == 0)]
            until_ns = min(until_ns, hour + HOUR_NS - SECOND_NS)
        due, sampled = trades.event_ns < until_ns, book.grid_ns <= until_ns
        ready = trades.take(due)
        order = np.lexsort((ready.trade_id, ready.event_ns))
        yield ready.take(order), book.take(sampled), late_ns, until_ns
        trades, book = trades.take(~due), book.take(~sampled)


def _hours(history: StoredHistory) -> list[int]:
    """Starts of the hours that hold anything [ns], ascending."""
    venue, symbol = history.instrument.venue, history.instrument.symbol
    found: set[int] = set()
    for table in (history.settings.flow, "book_depth"):
        found.update(history.lake.hours(venue, table, symbol))
    return sorted(found)


def _read(history: StoredHistory, table: str, hour: int) -> Iterator[pa.Table]:
    venue, symbol = history.instrument.venue, history.instrument.symbol
    return history.lake.read(venue, table, symbol, hour, hour + HOUR_NS, include_open=True)


def _read_trades(history: StoredHistory, hour: int) -> TradeColumns:
    parts = [
        arrow_to_trades(history.instrument, part) for part in _read(history, history.settings.flow, hour)
    ]
    return join([empty_trades(), *parts])


def _read_book(history: StoredHistory, hour: int) -> BookColumns:
    parts = [arrow_to_book(history.instrument, part) for part in _read(history, "book_depth", hour)]
    empty = book_columns(np.zeros((0, 13), np.int64), np.zeros((0, 4, BOOK_LEVELS), np.int64))
    return join([empty, *(shallow(part, BOOK_LEVELS) for part in parts)])
