"""Blocks of L2 features as rows of the lake's `l2_features` table."""

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from undertow.features.l2 import L2_FEATURES, SEQUENCE_NAMES, VALUE_NAMES
from undertow.features.l2_engine import L2Block
from undertow.lake.schemas import instrument_metadata
from undertow.market.instruments import Instrument
from undertow.market.time import MILLISECOND_NS

__all__ = ["L2_SCHEMA", "l2_to_arrow"]

_TYPES = {"float": pa.float64(), "single": pa.float32()}

L2_SCHEMA = pa.schema(
    [
        ("timestamp", pa.int64()),
        *((feature.name, _TYPES[feature.dtype]) for feature in L2_FEATURES),
        ("known_ns", pa.int64()),
    ]
)
"""`timestamp`: that of the sample in `l2` [Unix ms]; it ends the bar that it belongs to."""


def l2_to_arrow(instrument: Instrument, block: L2Block) -> pa.Table:
    """Rows of `l2_features`; NaN becomes null."""
    columns = dict(zip(VALUE_NAMES, _columns(block.values), strict=True))
    columns |= dict(zip(SEQUENCE_NAMES, _columns(block.sequence), strict=True))
    arrays = [columns[feature.name] for feature in L2_FEATURES]
    arrays = [pa.array(block.grid_ns // MILLISECOND_NS), *arrays, pa.array(block.known_ns)]
    return pa.Table.from_arrays(arrays, schema=L2_SCHEMA.with_metadata(instrument_metadata(instrument)))


def _columns(matrix: NDArray[np.floating]) -> list[pa.Array]:
    """The columns of (n, columns) as slices of one array, which for a single row is the faster way."""
    rows = len(matrix)
    whole = pa.array(np.ascontiguousarray(matrix.T).ravel(), from_pandas=True)
    return [whole.slice(at * rows, rows) for at in range(matrix.shape[1])]
