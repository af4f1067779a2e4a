"""Storing features of a stored history: lake tables → feature tables, hour by hour, as live makes them."""

from collections.abc import Callable
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa

from undertow.features.catalogue import FEATURES
from undertow.features.engine import FeatureBlock, lineage
from undertow.lake.files import merge
from undertow.lake.layout import HourKey
from undertow.lake.writer import LakeWriter
from undertow.market.time import HOUR_NS
from undertow.runtime.feature_check import verify_features
from undertow.runtime.feature_rows import timeframe_name, to_arrow
from undertow.runtime.feature_slices import Span, compute_features, settings_for
from undertow.runtime.feature_states import FeatureStates
from undertow.runtime.history import StoredHistory, histories, open_history
from undertow.runtime.hour_file import replace_hour

__all__ = [
    "Span",
    "StoredHistory",
    "compute_features",
    "histories",
    "open_history",
    "settings_for",
    "verify_features",
    "write_features",
    "write_span",
]

OnHour = Callable[[datetime], None]


def write_features(
    history: StoredHistory, lengths_ns: tuple[int, ...], on_hour: OnHour, span: Span | None = None
) -> dict[str, int]:
    """Compute and store the features of a history, or of the hours that a span touches; rows by timeframe.

    What these hours held before is replaced, hour by hour.
    """
    writer = LakeWriter(history.lake.root, history.instrument.venue, history.instrument.symbol)
    try:
        states = FeatureStates(history, settings_for(history, lengths_ns))
        return write_span(history, lengths_ns, on_hour, span or Span(), states)
    finally:
        writer.close()


def write_span(
    history: StoredHistory, lengths_ns: tuple[int, ...], on_hour: OnHour, span: Span, states: FeatureStates
) -> dict[str, int]:
    """As `write_features`, for who sees to it that nobody else writes these hours."""
    settings, span = settings_for(history, lengths_ns), span.hours()
    rows: dict[str, int] = {timeframe_name(length): 0 for length in lengths_ns}
    hours = {length: _HourRows(history, length) for length in settings.timeframes_ns}
    for blocks in compute_features(history, settings, span, states):
        for length, block in blocks.items():
            if len(block):
                hours[length].add(block)
                rows[timeframe_name(length)] += len(block)
                on_hour(datetime.fromtimestamp(int(block.open_ns[-1]) / 1e9, UTC))
    for writer in hours.values():
        writer.finish()
    return rows


class _HourRows:
    """Puts rows of one timeframe into the lake, each hour at once, when it is complete."""

    def __init__(self, history: StoredHistory, length_ns: int) -> None:
        self._history = history
        self._name = timeframe_name(length_ns)
        self._extra = {"closed_ns": history.closed_ns, "lineage": {"features": lineage(FEATURES)}}
        self._hour_ns = 0
        self._held: list[FeatureBlock] = []

    def add(self, block: FeatureBlock) -> None:
        """The next bars, at least one."""
        hours = block.open_ns // HOUR_NS * HOUR_NS
        for hour_ns in np.unique(hours).tolist():
            if hour_ns != self._hour_ns:
                self.finish()
                self._hour_ns = hour_ns
            self._held.append(Span(hour_ns, hour_ns + HOUR_NS).take(block))

    def finish(self) -> None:
        """Write what is held; of the hour in which the recording ends, rows already stored behind it stay."""
        if not self._held:
            return
        instrument, lake = self._history.instrument, self._history.lake
        key = HourKey(instrument.venue, "features", instrument.symbol, self._name, self._hour_ns)
        rows = pa.concat_tables([to_arrow(instrument, block) for block in self._held])
        if key.end_ns > self._history.closed_ns:
            stored = lake.read_whole(
                key.venue,
                key.table,
                key.symbol,
                key.hour_ns,
                key.end_ns,
                timeframe=key.timeframe,
                include_open=True,
            )
            rows = rows if stored is None else merge(key.table, [stored, rows])
        replace_hour(lake.root, key, rows, self._extra)
        self._held = []
