"""Telling stored bars of trades that came too late for them."""

from collections import Counter

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from undertow.lake.writer import LakeWriter
from undertow.market.instruments import Instrument
from undertow.market.time import MILLISECOND_NS
from undertow.runtime.feature_rows import timeframe_name

__all__ = ["amend_late_counts"]


def amend_late_counts(
    lake: LakeWriter, instrument: Instrument, late_ns: NDArray[np.int64], lengths_ns: tuple[int, ...]
) -> None:
    """Add trades with event times `late_ns` to `late_count` of every stored bar that missed them."""
    for length in lengths_ns:
        bars = Counter((late_ns // length * length).tolist())
        for open_ns, count in sorted(bars.items()):
            row = _stored_row(lake, instrument.symbol, timeframe_name(length), open_ns)
            if row is None:
                continue  # the bar is still open, and its fold left the trade out as well
            place = row.schema.get_field_index("late_count")
            amended = pc.add(row.column(place), pa.scalar(count, pa.int64()))
            row = row.set_column(place, row.schema.field(place), amended)
            lake.append("features", instrument.symbol, row, timeframe=timeframe_name(length))


def _stored_row(lake: LakeWriter, symbol: str, timeframe: str, open_ns: int) -> pa.Table | None:
    """The newest row of the bar that opened at `open_ns`."""
    lake.flush()
    stamp = open_ns // MILLISECOND_NS
    for table in lake.reader().read(
        lake.venue, "features", symbol, open_ns, open_ns + 1, timeframe=timeframe, include_open=True
    ):
        rows = table.filter(pc.equal(table["timestamp"], stamp))
        if rows.num_rows:
            return rows
    return None
