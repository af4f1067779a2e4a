"""Telling stored bars of trades that came too late for them."""

from collections import Counter

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from undertow.lake.writer import LakeWriter
from undertow.market.time import MILLISECOND_NS
from undertow.runtime.feature_rows import timeframe_name

__all__ = ["amend_late_counts"]


def amend_late_counts(
    lake: LakeWriter, late_ns: NDArray[np.int64], closed_ns: NDArray[np.int64], lengths_ns: tuple[int, ...]
) -> None:
    """Add trades with event times `late_ns` to `late_count` of the bars that were closed when they came.

    `closed_ns`: the boundary up to which bars were closed at each trade's arrival.
    """
    for length in lengths_ns:
        opens = late_ns // length * length
        missed = opens[opens + length <= closed_ns]
        for open_ns, count in sorted(Counter(missed.tolist()).items()):
            row = lake.stored_row("features", open_ns // MILLISECOND_NS, timeframe_name(length))
            if row is None:
                continue  # no bar began that early
            place = row.schema.get_field_index("late_count")
            amended = pc.add(row.column(place), pa.scalar(count, pa.int64()))
            lake.append(
                "features", row.set_column(place, row.schema.field(place), amended), timeframe_name(length)
            )
