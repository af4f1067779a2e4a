"""Feature blocks as rows of the lake's `features` table, and timeframes' names."""

import numpy as np
import pyarrow as pa

from undertow.features.catalogue import FEATURES
from undertow.features.engine import FeatureBlock
from undertow.lake.schemas import instrument_metadata
from undertow.market.instruments import Instrument
from undertow.market.time import HOUR_NS, MILLISECOND_NS, MINUTE_NS, SECOND_NS

__all__ = ["timeframe_name", "to_arrow"]

_INTEGERS = frozenset(feature.name for feature in FEATURES if feature.dtype == "int")


def timeframe_name(length_ns: int) -> str:
    """`1s`, `5m` or `1h`: the shortest name of a length.

    >>> timeframe_name(15 * MINUTE_NS)
    '15m'
    """
    for unit, name in ((HOUR_NS, "h"), (MINUTE_NS, "m")):
        if length_ns % unit == 0:
            return f"{length_ns // unit}{name}"
    return f"{length_ns // SECOND_NS}s"


def to_arrow(instrument: Instrument, block: FeatureBlock) -> pa.Table:
    """`timestamp` (bar open, Unix ms), each feature, `known_ns`; NaN becomes null, counts become int64."""
    columns: dict[str, pa.Array] = {"timestamp": pa.array(block.open_ns // MILLISECOND_NS)}
    for name, values in zip(block.names, block.values, strict=True):
        column = pa.array(values, mask=np.isnan(values))
        columns[name] = column.cast(pa.int64()) if name in _INTEGERS else column
    columns["known_ns"] = pa.array(block.known_ns)
    return pa.table(columns).replace_schema_metadata(instrument_metadata(instrument))
