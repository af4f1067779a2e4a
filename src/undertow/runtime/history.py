"""What the lake holds of a symbol, read hour by hour in the order that frames are made from it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from undertow.errors import InputError
from undertow.frames.sampler import SamplerSettings
from undertow.lake.layout import HourKey
from undertow.lake.reader import Lake
from undertow.lake.schemas import instrument_of
from undertow.lake.tables import arrow_to_gaps
from undertow.market.columns import BookColumns, TradeColumns
from undertow.market.events import Gap
from undertow.market.instruments import Instrument
from undertow.market.time import DAY_NS, HOUR_NS, MILLISECOND_NS, SECOND_NS
from undertow.runtime.history_rows import (
    BOOK_NAMES,
    TRADE_NAMES,
    TRADE_WORDS,
    Flow,
    book_rows,
    flow_rows,
    no_book,
    no_flow,
)
from undertow.runtime.sealed_hour import read_sealed

__all__ = ["Place", "Step", "StoredHistory", "gaps_of", "histories", "hours_of", "open_history", "steps"]

Integers = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class StoredHistory:
    """What the lake holds of one symbol that features need."""

    lake: Lake
    instrument: Instrument
    settings: SamplerSettings
    """What the history was recorded with; `settings.flow` is the table of the trades."""
    closed_ns: int
    """Every bar that ends at or before this was complete when it was written."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where the fold of a history stands: behind the last stored hour before `hour_ns`."""

    hour_ns: int
    """Stored hours from here on are still to be read."""
    until_ns: int
    """Seconds up to here are folded; trades from here on were read and wait."""


@dataclass(frozen=True, slots=True)
class Step:
    """What comes next in a history."""

    trades: TradeColumns
    """Flow trades due, sorted by (event time, id); columns that no frame uses are 0."""
    samples: BookColumns
    """Book samples due; columns that no frame uses are 0."""
    late_ns: Integers
    """Event times of the late trades read with this step."""
    place: Place
    """Where the fold stands after it; behind the last step, without an hour."""
    midnight_ns: int | None
    """The midnight that it is the last stored hour before, if all of it is closed."""

    @property
    def until_ns(self) -> int:
        """Every second up to here can be closed."""
        return self.place.until_ns


def open_history(lake: Lake, venue: str, symbol: str) -> StoredHistory:
    """Look up a symbol's tables; raises InputError where there are no trades."""
    for table in ("aggtrades", "trades"):
        first = next(lake.read(venue, table, symbol, columns=["timestamp"], include_open=True), None)
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


def gaps_of(history: StoredHistory) -> list[Gap]:
    """Every gap stored, in order."""
    venue, symbol = history.instrument.venue, history.instrument.symbol
    tables = history.lake.read(venue, "gaps", symbol, include_open=True)
    return [gap for table in tables for gap in arrow_to_gaps(history.instrument, table)]


def hours_of(history: StoredHistory) -> list[int]:
    """Starts of the hours that hold trades or book samples [ns], ascending."""
    venue, symbol = history.instrument.venue, history.instrument.symbol
    found: set[int] = set()
    for table in (history.settings.flow, "book_depth"):
        found.update(history.lake.hours(venue, table, symbol))
    return sorted(found)


def steps(history: StoredHistory, after: Place | None, to_ns: int | None) -> Iterator[Step]:
    """A step for each stored hour behind `after`, and one for what is left at `to_ns`, a full hour.

    None: from the beginning, to the end. A book sample belongs to the bar that ends with it but is stored in
    the hour that begins with it, so the last second of an hour waits for the next step.
    """
    flow, book = _waiting(history, after)
    hours = [hour for hour in hours_of(history) if after is None or hour >= after.hour_ns]
    for hour, following in zip(hours, [*hours[1:], None], strict=False):
        if to_ns is not None and hour >= to_ns:
            break
        found, late_ns = _read_flow(history, hour, hour + HOUR_NS)
        flow, book = flow.then(found), _read_book(history, book, hour, hour + HOUR_NS)
        until_ns = min(history.closed_ns, hour + HOUR_NS - SECOND_NS)
        place = Place(hour + HOUR_NS, until_ns)
        due, sampled = _due(flow, book, until_ns)
        midnight_ns = _midnight(place, following)
        yield Step(flow.take(slice(due)).trades(), book.take(slice(sampled)), late_ns, place, midnight_ns)
        flow, book = flow.take(slice(due, None)), book.take(slice(sampled, None))
    until_ns = history.closed_ns if to_ns is None else min(history.closed_ns, to_ns)
    if to_ns is not None:
        book = _read_book(history, book, to_ns, to_ns + MILLISECOND_NS)
    due, sampled = _due(flow, book, until_ns)
    late_ns = np.empty(0, np.int64)
    yield Step(flow.take(slice(due)).trades(), book.take(slice(sampled)), late_ns, Place(0, until_ns), None)


def _midnight(place: Place, following_ns: int | None) -> int | None:
    """The midnight after the hour that ends at a place, if the next stored hour, or none, lies behind it."""
    midnight_ns = -(-place.hour_ns // DAY_NS) * DAY_NS
    is_last = place.hour_ns == midnight_ns or (following_ns is not None and following_ns >= midnight_ns)
    return midnight_ns if is_last and place.until_ns == place.hour_ns - SECOND_NS else None


def _waiting(history: StoredHistory, after: Place | None) -> tuple[Flow, BookColumns]:
    """What was read before a place and not folded yet."""
    if after is None:
        return no_flow(), no_book()
    flow, _ = _read_flow(history, after.until_ns, after.hour_ns)
    book = _read_book(history, no_book(), after.until_ns, after.hour_ns)
    due, sampled = _due(flow, book, after.until_ns)
    return flow.take(slice(due, None)), book.take(slice(sampled, None))


def _due(flow: Flow, book: BookColumns, until_ns: int) -> tuple[int, int]:
    """How many trades lie before a time, and how many samples do or are of it."""
    sampled = np.searchsorted(book.grid_ns, until_ns, side="right")
    return int(np.searchsorted(flow.event_ns, until_ns)), int(sampled)


def _read(
    history: StoredHistory, table: str, names: Sequence[str], from_ns: int, to_ns: int
) -> Iterator[pa.Table]:
    """Rows between these times, all of them in one hour."""
    lake, venue, symbol = history.lake, history.instrument.venue, history.instrument.symbol
    if to_ns - from_ns == HOUR_NS:
        words = [name for name in names if name in TRADE_WORDS]
        rows = read_sealed(lake.root, HourKey(venue, table, symbol, "", from_ns), names, words)
        if rows is not None:
            yield rows
            return
    yield from lake.read(venue, table, symbol, from_ns, to_ns, columns=list(names), include_open=True)


def _read_flow(history: StoredHistory, from_ns: int, to_ns: int) -> tuple[Flow, Integers]:
    """Trades that came in time, and the event times of streamed ones that did not."""
    table = history.settings.flow

    def sources() -> pa.ChunkedArray:
        return next(_read(history, table, ("source",), from_ns, to_ns))["source"]

    rows = next(_read(history, table, TRADE_NAMES, from_ns, to_ns), None)
    if rows is None:
        return no_flow(), np.empty(0, np.int64)
    return flow_rows(history.instrument, rows, sources)


def _read_book(history: StoredHistory, before: BookColumns, from_ns: int, to_ns: int) -> BookColumns:
    """Samples that wait and those between these times."""
    for rows in _read(history, "book_depth", BOOK_NAMES, from_ns, to_ns):
        before = book_rows(before, history.instrument, rows)
    return before
