"""Feature bars of one symbol, as the feature tables hold them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from undertow.errors import InputError
from undertow.market.time import MILLISECOND_NS

__all__ = ["REQUIRED_COLUMNS", "SymbolBars", "float_column", "float_matrix", "known_ns", "open_ns"]

REQUIRED_COLUMNS = ("timestamp", "known_ns", "best_bid", "best_ask", "mid_price", "gap_fraction")


@dataclass(frozen=True, slots=True)
class SymbolBars:
    """One symbol's bars of one length, sorted by `timestamp` (bar open, Unix ms); rows may be missing.

    Raises InputError where a needed column is missing or the bars are not sorted on their grid.
    """

    symbol: str
    length_ns: int
    frame: pl.DataFrame
    lineage: str = "unrecorded"
    """What computed the bars, see `datasets.sources.lineage_of`."""

    def __post_init__(self) -> None:
        missing = [name for name in REQUIRED_COLUMNS if name not in self.frame.columns]
        if missing:
            raise InputError(
                f"{self.symbol}: the feature bars have no column {', '.join(missing)}; "
                "compute the features again"
            )
        if any(self.frame[name].null_count() for name in ("timestamp", "known_ns")):
            raise InputError(f"{self.symbol}: timestamp or known_ns is null in some bar; a bar needs both")
        steps = np.diff(open_ns(self))
        if np.any(steps <= 0) or np.any(steps % self.length_ns):
            raise InputError(
                f"{self.symbol}: bars must be sorted, each once, on a grid of {self.length_ns / 1e9:g} s; "
                "pass the timeframe that they were computed for"
            )


def open_ns(bars: SymbolBars) -> NDArray[np.int64]:
    """Start of each bar [ns], (n,)."""
    return bars.frame["timestamp"].cast(pl.Int64).to_numpy() * MILLISECOND_NS


def known_ns(bars: SymbolBars) -> NDArray[np.int64]:
    """When each bar could first be used [ns], (n,)."""
    return bars.frame["known_ns"].cast(pl.Int64).to_numpy()


def float_column(bars: SymbolBars, name: str) -> NDArray[np.float64]:
    """A column as (n,) float64; null and infinite become NaN."""
    return float_matrix(bars, [name])[:, 0]


def float_matrix(bars: SymbolBars, names: Sequence[str]) -> NDArray[np.float64]:
    """Columns as (n, k) float64 in row order; null and infinite become NaN.

    Raises InputError where a column is missing or not a number.
    """
    matrix = np.empty((bars.frame.height, len(names)), dtype=np.float64)
    for position, name in enumerate(names):
        if name not in bars.frame.columns:
            raise InputError(
                f"{bars.symbol}: the feature bars have no column {name!r}; compute the features again"
            )
        column = bars.frame[name]
        if not (column.dtype.is_numeric() or column.dtype in {pl.Boolean, pl.Null}):
            raise InputError(f"{bars.symbol}: column {name!r} is {column.dtype}, a feature must be a number")
        matrix[:, position] = column.cast(pl.Float64).to_numpy()
    matrix[~np.isfinite(matrix)] = np.nan
    return matrix
