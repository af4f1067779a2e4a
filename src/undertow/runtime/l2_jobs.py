"""L2 features of several histories at once, cut at any hour: a row needs only the half minute before it."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise

import pyarrow as pa

from undertow.features.l2_engine import L2Engine, lineage
from undertow.features.l2_kernel import RING_ROWS
from undertow.lake.layout import HourKey
from undertow.lake.schemas import instrument_of
from undertow.lake.tables import arrow_to_book
from undertow.lake.writer import LakeWriter
from undertow.market.time import DAY_NS, HOUR_NS, SECOND_NS
from undertow.runtime.ahead import ahead
from undertow.runtime.at_once import Tell, work_off
from undertow.runtime.hour_file import replace_hour
from undertow.runtime.l2_features import TABLE, DeepHistory, l2_engine
from undertow.runtime.l2_rows import l2_to_arrow

__all__ = ["L2_LOOKBACK_NS", "write_all_l2"]

L2_LOOKBACK_NS = RING_ROWS * SECOND_NS
"""How far back a row of `l2_features` reaches at most: as many samples as the engine keeps."""


@dataclass(frozen=True, slots=True)
class _Hours:
    """Stored hours of one history that are computed in one go."""

    history: DeepHistory
    hours_ns: tuple[int, ...]

    def work(self, tell: Tell) -> int:
        """Compute them and store each, sealed, when it is done; rows written."""
        history, rows, extra = self.history, 0, {"lineage": lineage()}
        for hour_ns, table in ahead(self._tables()):
            key = HourKey(history.venue, TABLE, history.symbol, "", hour_ns)
            replace_hour(history.lake.root, key, table, extra)
            rows += table.num_rows
            tell(history.symbol, datetime.fromtimestamp(hour_ns / 1e9, UTC))
        return rows

    def _tables(self) -> Iterator[tuple[int, pa.Table]]:
        """(start [ns], rows) of each hour, in order."""
        engine, known = self._warm()
        for hour_ns in self.hours_ns:
            for table in self._read(hour_ns, hour_ns + HOUR_NS):
                instrument = instrument_of(table.schema)
                if engine is None or instrument != known:
                    engine, known = l2_engine(instrument, self.history.settings), instrument
                yield hour_ns, l2_to_arrow(instrument, engine.push(arrow_to_book(instrument, table)))

    def _warm(self) -> tuple[L2Engine | None, object]:
        """An engine that knows what lies before the first hour, and its instrument."""
        begin_ns = self.hours_ns[0]
        engine, known = None, None
        for table in self._read(begin_ns - L2_LOOKBACK_NS, begin_ns):
            known = instrument_of(table.schema)
            engine = l2_engine(known, self.history.settings)
            engine.push(arrow_to_book(known, table))
        return engine, known

    def _read(self, from_ns: int, to_ns: int) -> Iterator[pa.Table]:
        history = self.history
        return history.lake.read(history.venue, "l2", history.symbol, from_ns, to_ns, include_open=True)


def write_all_l2(
    histories: Sequence[DeepHistory], from_ns: int | None, to_ns: int | None, jobs: int, tell: Tell
) -> dict[str, int]:
    """Compute and store `l2_features` of the hours that a span touches, a day at a time in `jobs` processes.

    Rows by `VENUE SYMBOL`. What an hour held before is replaced; its manifest says under `lineage` what
    computed it. Raises what a worker raised; InUseError, before anything is computed, where another process
    writes a symbol.
    """
    with ExitStack() as stack:
        for history in histories:
            writer = LakeWriter(history.lake.root, history.venue, history.symbol)
            stack.enter_context(closing(writer))
        pieces = [piece for history in histories for piece in _days(history, from_ns, to_ns)]
        written = {f"{history.venue} {history.symbol}": 0 for history in histories}
        for piece, rows in zip(pieces, work_off(pieces, jobs, tell), strict=True):
            written[f"{piece.history.venue} {piece.history.symbol}"] += rows
        return written


def _days(history: DeepHistory, from_ns: int | None, to_ns: int | None) -> Iterator[_Hours]:
    """The stored hours that a span touches, day by day."""
    hours = [
        hour
        for hour in history.lake.hours(history.venue, "l2", history.symbol)
        if (from_ns is None or hour + HOUR_NS > from_ns) and (to_ns is None or hour < to_ns)
    ]
    begins = [at for at, hour in enumerate(hours) if not at or hour // DAY_NS != hours[at - 1] // DAY_NS]
    for begin, end in pairwise([*begins, len(hours)]):
        yield _Hours(history, tuple(hours[begin:end]))
