"""L2 features of a stored history: `l2` → `l2_features`, hour by hour, as live computes them."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa

from undertow.errors import InputError
from undertow.features.l2_engine import L2Engine, lineage
from undertow.frames.sampler import SamplerSettings
from undertow.lake.layout import HourKey
from undertow.lake.reader import Lake
from undertow.lake.schemas import instrument_of
from undertow.lake.tables import arrow_to_book
from undertow.lake.writer import LakeWriter
from undertow.market.instruments import Instrument
from undertow.market.time import HOUR_NS
from undertow.runtime.l2_rows import l2_to_arrow

__all__ = [
    "TABLE",
    "DeepHistory",
    "compute_l2_features",
    "deep_histories",
    "l2_engine",
    "open_deep_history",
    "verify_l2_features",
    "write_l2_features",
]

TABLE = "l2_features"
OnHour = Callable[[datetime], None]


@dataclass(frozen=True, slots=True)
class DeepHistory:
    """Where the deep book of one symbol is stored, and how it was recorded."""

    lake: Lake
    venue: str
    symbol: str
    settings: SamplerSettings


def l2_engine(instrument: Instrument, settings: SamplerSettings) -> L2Engine:
    """The engine for samples taken with `settings`, live or stored."""
    return L2Engine(instrument, settings.lateness_ns, settings.l2_levels)


def open_deep_history(lake: Lake, venue: str, symbol: str) -> DeepHistory:
    """Look up a symbol's deep book; raises InputError where there is none."""
    if not lake.hours(venue, "l2", symbol):
        raise InputError(
            f"{lake.root}: no deep book (table l2) of {symbol} at {venue}; "
            "`undertow replay` or `collect` write it"
        )
    extras = [manifest.extra for manifest in lake.manifests(venue, "l2", symbol)]
    stored: dict[str, Any] = next(
        (extra["settings"] for extra in reversed(extras) if "settings" in extra), {}
    )
    return DeepHistory(lake, venue, symbol, msgspec.convert(stored, SamplerSettings))


def deep_histories(lake: Lake, venue: str | None, symbols: Sequence[str]) -> list[DeepHistory]:
    """Every history that was asked for, all of the lake by default; raises InputError where there is none."""
    found = [
        open_deep_history(lake, name, symbol)
        for name in ([venue] if venue else lake.venues())
        for symbol in lake.symbols(name, "l2")
        if not symbols or symbol in symbols
    ]
    missing = sorted(set(symbols) - {history.symbol for history in found})
    if missing or not found:
        what = ", ".join(missing) or "anything"
        raise InputError(
            f"{lake.root}: holds no deep book of {what}; `undertow replay` or `collect` write it"
        )
    return found


def compute_l2_features(history: DeepHistory) -> Iterator[tuple[int, pa.Table]]:
    """(start of the hour [ns], rows of `l2_features`) of each stored hour; one hour is held at a time.

    What one second needs of those before it is carried from hour to hour, unless tick or lot change.
    """
    engine, known = None, None
    for hour in history.lake.hours(history.venue, "l2", history.symbol):
        tables = history.lake.read(
            history.venue, "l2", history.symbol, hour, hour + HOUR_NS, include_open=True
        )
        for table in tables:
            instrument = instrument_of(table.schema)
            if engine is None or instrument != known:
                engine, known = l2_engine(instrument, history.settings), instrument
            yield hour, l2_to_arrow(instrument, engine.push(arrow_to_book(instrument, table)))


def write_l2_features(history: DeepHistory, on_hour: OnHour) -> int:
    """Compute and store the L2 features of a history, each hour sealed when it is done; rows written.

    What an hour held before is replaced; its manifest says under `lineage` what computed it.
    """
    rows, extra = 0, {"lineage": lineage()}
    writer = LakeWriter(history.lake.root, history.venue, history.symbol)
    try:
        for hour, table in compute_l2_features(history):
            writer.replace(HourKey(history.venue, TABLE, history.symbol, "", hour), table, extra)
            rows += table.num_rows
            on_hour(datetime.fromtimestamp(hour / 1e9, UTC))
    finally:
        writer.close()
    return rows


def verify_l2_features(lake: Lake) -> tuple[int, list[str]]:
    """Compute every stored row again; (rows compared, what differs in any bit, named)."""
    compared, wrong = 0, []
    for venue in lake.venues():
        for symbol in lake.symbols(venue, TABLE):
            if not lake.hours(venue, "l2", symbol):
                wrong.append(
                    f"{venue} {symbol} {TABLE}: the books (table l2) that it came from are not there"
                )
                continue
            for hour, computed in compute_l2_features(open_deep_history(lake, venue, symbol)):
                stored = lake.read(venue, TABLE, symbol, hour, hour + HOUR_NS, include_open=True)
                for table in stored:
                    compared += table.num_rows
                    where = f"{venue} {symbol} {TABLE} {datetime.fromtimestamp(hour / 1e9, UTC):%Y-%m-%d %H}h"
                    wrong += [f"{where}: {text}" for text in _differences(table, computed)]
    return compared, wrong


def _differences(stored: pa.Table, computed: pa.Table) -> Iterator[str]:
    """Columns that are not the same to the last bit."""
    if stored["timestamp"].to_pylist() != computed["timestamp"].to_pylist():
        yield f"{stored.num_rows} rows stored, {computed.num_rows} computed, or at other times"
        return
    for name in computed.column_names:
        if name not in stored.column_names:
            yield f"column {name} is not stored"
            continue
        first, second = (side[name].combine_chunks() for side in (stored, computed))
        values = [side.fill_null(0).to_numpy(zero_copy_only=False) for side in (first, second)]
        nulls = [np.asarray(side.is_null()) for side in (first, second)]
        if values[0].tobytes() != values[1].tobytes() or nulls[0].tobytes() != nulls[1].tobytes():
            yield f"column {name} differs"
