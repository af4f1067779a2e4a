"""Feature bars into a Dataset: features and lags, labels, and the quotes at which a decision could trade."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from undertow.datasets.bars import SymbolBars, float_column, float_matrix, known_ns, open_ns
from undertow.datasets.dataset import Dataset, concatenate, in_time_order
from undertow.datasets.sources import same_lineage
from undertow.errors import InputError
from undertow.labels.horizon_return import HorizonReturns, gap_free_stretches, horizon_returns, rows_at
from undertow.labels.thresholds import UNLABELLED

__all__ = ["DatasetSettings", "build_dataset", "lagged_names", "newest_known"]

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]

BEST_IMBALANCE_COLUMNS = ("best_imbalance", "queue_imbalance", "imbalance_1")
ORDER_FLOW_COLUMNS = ("ofi_1", "ofi_10")


@dataclass(frozen=True, slots=True)
class DatasetSettings:
    """What is predicted and from what."""

    horizon_ns: int
    lags: tuple[int, ...] = ()
    """How many bars back each feature is repeated, e.g. (1, 2, 5); by time, within a gap-free stretch."""

    def __post_init__(self) -> None:
        if any(lag < 1 for lag in self.lags) or len(set(self.lags)) != len(self.lags):
            raise InputError(f"lags {self.lags} must be whole bars back, 1 or more, each once")


def build_dataset(bars: Sequence[SymbolBars], features: Sequence[str], settings: DatasetSettings) -> Dataset:
    """Every bar of every symbol that has a label, in time order, classes not yet cut.

    Raises InputError where the symbols' bars differ in length or lineage, the horizon is no multiple of that
    length, a column is missing or no bar has a label.
    """
    _check(bars, features, settings)
    parts = [_of_symbol(symbol, group, features, settings) for group, symbol in enumerate(bars)]
    dataset = concatenate(parts)
    labelled = dataset.select(np.isfinite(dataset.return_bps))
    if len(labelled) == 0:
        raise InputError(
            f"no bar has a label: nothing is known {settings.horizon_ns / 1e9:g} s after any bar; "
            "collect for longer or choose a shorter horizon"
        )
    return in_time_order(labelled)


def lagged_names(features: Sequence[str], lags: Sequence[int]) -> tuple[str, ...]:
    """Column names: the features, then each lag's copies.

    >>> lagged_names(["ofi_1"], [1, 5])
    ('ofi_1', 'ofi_1_lag_1', 'ofi_1_lag_5')
    """
    return (*features, *(f"{name}_lag_{lag}" for lag in lags for name in features))


def newest_known(return_bps: Floats, start_ns: Integers, end_ns: Integers) -> Floats:
    """For each row the return of the newest label with t1 ≤ that row's t0, (n,); NaN before the first."""
    labelled = np.flatnonzero(np.isfinite(return_bps))
    by_end = labelled[np.argsort(end_ns[labelled], kind="stable")]
    place = np.searchsorted(end_ns[by_end], start_ns, side="right") - 1
    if len(by_end) == 0:
        return np.full(len(start_ns), np.nan)
    return np.where(place >= 0, return_bps[by_end[place]], np.nan)


def _check(bars: Sequence[SymbolBars], features: Sequence[str], settings: DatasetSettings) -> None:
    if not bars:
        raise InputError("no symbol was given; name at least one with --symbols")
    if not features:
        raise InputError("no feature was given; name at least one")
    if len(set(features)) != len(features):
        raise InputError("a feature is named twice")
    length_ns = bars[0].length_ns
    if any(symbol.length_ns != length_ns for symbol in bars):
        raise InputError("bars of different lengths cannot be joined; read one timeframe")
    same_lineage({symbol.symbol: symbol.lineage for symbol in bars})
    if settings.horizon_ns <= 0 or settings.horizon_ns % length_ns:
        raise InputError(
            f"horizon {settings.horizon_ns / 1e9:g} s is not a whole number of {length_ns / 1e9:g} s bars"
        )


def _of_symbol(
    bars: SymbolBars, group: int, feature_names: Sequence[str], settings: DatasetSettings
) -> Dataset:
    opens, known = open_ns(bars), known_ns(bars)
    stretch = gap_free_stretches(opens, float_column(bars, "gap_fraction"), bars.length_ns)
    mid = float_column(bars, "mid_price")
    labels = horizon_returns(opens, known, mid, stretch, bars.length_ns, settings.horizon_ns)
    entry, leave = _trade_rows(bars, opens, known, stretch, settings.horizon_ns)
    bid, ask = float_column(bars, "best_bid"), float_column(bars, "best_ask")
    lags = [rows_at(opens, stretch, -lag * bars.length_ns) for lag in settings.lags]
    return Dataset(
        features=_with_lags(float_matrix(bars, feature_names), lags),
        feature_names=lagged_names(feature_names, settings.lags),
        return_bps=labels.return_bps,
        classes=np.full(len(opens), UNLABELLED, dtype=np.int64),
        start_ns=labels.start_ns,
        end_ns=labels.end_ns,
        slot=opens // bars.length_ns,
        group=np.full(len(opens), group, dtype=np.int64),
        entry_bid=_take(bid, entry),
        entry_ask=_take(ask, entry),
        exit_bid=_take(bid, leave),
        exit_ask=_take(ask, leave),
        last_return_bps=_last_return(mid, opens, stretch, bars.length_ns),
        known_return_bps=_newest_known(labels),
        best_imbalance=_best_imbalance(bars),
        order_flow=float_matrix(bars, [n for n in ORDER_FLOW_COLUMNS if n in bars.frame.columns]),
    )


def _trade_rows(
    bars: SymbolBars, opens: Integers, known: Integers, stretch: Integers, horizon_ns: int
) -> tuple[Integers, Integers]:
    """Rows whose closing quotes a decision trades at: the first close after it was known, and the exit."""
    length_ns = bars.length_ns
    close_ns = opens + length_ns
    wait_ns = (np.maximum(known - close_ns, 0) // length_ns + 1) * length_ns
    entry = np.full(len(opens), -1, dtype=np.int64)
    leave = np.full(len(opens), -1, dtype=np.int64)
    for wait in np.unique(wait_ns):
        rows = wait_ns == wait
        entry[rows] = rows_at(opens, stretch, int(wait))[rows]
        leave[rows] = rows_at(opens, stretch, max(horizon_ns, int(wait) + length_ns))[rows]
    return entry, leave


def _take(values: Floats, rows: Integers) -> Floats:
    """(n,) or (n, k) values at rows, NaN where the row is −1."""
    known = rows >= 0
    return np.where(known if values.ndim == 1 else known[:, None], values[rows], np.nan)


def _with_lags(matrix: Floats, lags: Sequence[Integers]) -> Floats:
    return np.hstack([matrix, *(_take(matrix, rows) for rows in lags)])


def _last_return(mid: Floats, opens: Integers, stretch: Integers, length_ns: int) -> Floats:
    previous = _take(mid, rows_at(opens, stretch, -length_ns))
    with np.errstate(divide="ignore", invalid="ignore"):
        change = 1e4 * np.log(mid / previous)
    return np.where(np.isfinite(change), change, np.nan)


def _newest_known(labels: HorizonReturns) -> Floats:
    return newest_known(labels.return_bps, labels.start_ns, labels.end_ns)


def _best_imbalance(bars: SymbolBars) -> Floats:
    """Imbalance at the best level, from its own column or from the microprice.

    weighted_mid = (bid·askQty + ask·bidQty) / (bidQty + askQty) lies (B−A)/(B+A) half spreads above the mid.
    """
    for name in BEST_IMBALANCE_COLUMNS:
        if name in bars.frame.columns:
            return float_column(bars, name)
    if "weighted_mid" not in bars.frame.columns:
        return np.full(bars.frame.height, np.nan)
    half_spread = (float_column(bars, "best_ask") - float_column(bars, "best_bid")) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        imbalance = (float_column(bars, "weighted_mid") - float_column(bars, "mid_price")) / half_spread
    return np.where(np.isfinite(imbalance), np.clip(imbalance, -1.0, 1.0), np.nan)
