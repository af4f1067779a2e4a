"""Stored feature rows beside the same rows computed again, a stored hour at a time."""

from collections.abc import Iterator

import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from undertow.features.engine import FeatureBlock
from undertow.lake.reader import Lake
from undertow.market.time import parse_timeframe
from undertow.runtime.feature_rows import timeframe_name, to_arrow
from undertow.runtime.feature_slices import compute_features
from undertow.runtime.history import StoredHistory, histories

__all__ = ["verify_features"]


def verify_features(lake: Lake) -> tuple[int, list[str]]:
    """Compute every stored feature row again; (rows compared, what differs in any bit, named)."""
    compared, wrong = 0, []
    for history in histories(lake, None, ()):
        venue, symbol = history.instrument.venue, history.instrument.symbol
        names = lake.timeframes(venue, symbol)
        if not names:
            continue
        lengths = tuple(parse_timeframe(name) for name in names)
        checks = {length: _Check(history, length) for length in lengths}
        settings = msgspec.structs.replace(history.settings, timeframes_ns=lengths)
        for blocks in compute_features(history, settings):
            for length, block in blocks.items():
                checks[length].compare(block)
        for check in checks.values():
            wrong += [f"{venue} {symbol} features {check.name}: {text}" for text in check.finish()]
            compared += check.stored
    return compared, wrong


class _Check:
    """Compares the stored rows of one timeframe with those computed, as these come."""

    def __init__(self, history: StoredHistory, length_ns: int) -> None:
        self.name = timeframe_name(length_ns)
        self.stored = 0
        """Rows compared so far."""
        self._computed = 0
        self._history = history
        self._next_ns: int | None = None
        """Stored rows from here on were not looked at yet; None: none was."""
        self._bars_differ = False
        self._differing: dict[str, int] = {}
        """Bars by column."""
        self._first: dict[str, str] = {}
        """When and how a column differs first."""

    def compare(self, block: FeatureBlock) -> None:
        """The next bars computed."""
        if not len(block):
            return
        end_ns = int(block.open_ns[-1]) + block.length_ns
        stored = self._read(self._next_ns, end_ns)
        self._next_ns = end_ns
        computed = to_arrow(self._history.instrument, block)
        self._computed += computed.num_rows
        if stored is None or not stored["timestamp"].equals(computed["timestamp"]):
            self._bars_differ = True
            return
        for name in computed.column_names:
            self._compare_column(name, stored, computed)

    def _read(self, from_ns: int | None, to_ns: int | None) -> pa.Table | None:
        venue, symbol = self._history.instrument.venue, self._history.instrument.symbol
        rows = self._history.lake.read_whole(
            venue, "features", symbol, from_ns, to_ns, timeframe=self.name, include_open=True
        )
        self.stored += 0 if rows is None else rows.num_rows
        return rows

    def _compare_column(self, name: str, stored: pa.Table, computed: pa.Table) -> None:
        if name not in stored.column_names:
            self._first.setdefault(name, "")
            return
        first, second = stored[name], computed[name]
        if first.type != second.type:
            first = first.cast(second.type)
        unequal = _unequal(first, second)
        if unequal.any():
            self._differing[name] = self._differing.get(name, 0) + int(unequal.sum())
            row = int(np.flatnonzero(unequal)[0])
            stamp = stored["timestamp"][row].as_py()
            self._first.setdefault(name, f"{stamp}: {first[row]} stored, {second[row]} computed")

    def finish(self) -> Iterator[str]:
        """What differs, now that all bars have been computed."""
        behind = self._read(self._next_ns, None)
        if self._bars_differ or behind is not None:
            yield f"{self.stored} bars stored, {self._computed} computed, or other opens"
            return
        for name, first in self._first.items():
            count = self._differing.get(name, 0)
            yield (
                f"{name} differs in {count} bars, first at {first}"
                if count
                else f"column {name} is not stored"
            )


def _unequal(first: pa.ChunkedArray, second: pa.ChunkedArray) -> NDArray[np.bool_]:
    """(n,) whether values differ in any bit, or in being null."""
    nulls = [np.asarray(side.is_null()) for side in (first, second)]
    bits = [side.fill_null(0).to_numpy().view(np.int64) for side in (first, second)]
    unequal: NDArray[np.bool_] = (nulls[0] != nulls[1]) | ((bits[0] != bits[1]) & ~nulls[0])
    return unequal
