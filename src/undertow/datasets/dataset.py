"""Dataset: what a model is fitted on and judged by."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from undertow.labels.thresholds import Threshold, classify

__all__ = ["Dataset", "concatenate", "in_time_order", "with_classes"]

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Dataset:
    """n rows, one a decision. NaN = null, in every float array.

    All arrays have n rows; float64 unless said otherwise.
    """

    features: Floats
    """(n, k)"""
    feature_names: tuple[str, ...]
    return_bps: Floats
    """Log return of the mid over the horizon from the bar's close."""
    classes: Integers
    """int64: 0 down, 1 flat, 2 up, −1 not labelled yet (see `with_classes`)."""
    start_ns: Integers
    """int64 decision time t0: the bar was known."""
    end_ns: Integers
    """int64 t1: the label was known."""
    slot: Integers
    """int64 bar number on the grid (bar open / bar length): equal for all symbols of one instant."""
    group: Integers
    """int64 index of the symbol."""
    entry_bid: Floats
    """Quotes at which a decision can be acted on: first bar close after the decision time."""
    entry_ask: Floats
    exit_bid: Floats
    """Quotes at the label's end, or at the bar after the entry where that is later."""
    exit_ask: Floats
    last_return_bps: Floats
    """Return of the mid over the bar that just closed."""
    known_return_bps: Floats
    """The newest label return that was known at the decision time (t1 ≤ t0) of the same symbol."""
    best_imbalance: Floats
    """(bid quantity − ask quantity) / their sum at the best level."""
    order_flow: Floats
    """(n, j) order-flow imbalance; j = 0 where the bars have none."""

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.start_ns)

    def select(self, rows: Any) -> "Dataset":
        """The rows of an index array, mask or slice."""
        return replace(self, **{name: array[rows] for name, array in arrays_of(self).items()})


def arrays_of(dataset: Dataset) -> Mapping[str, NDArray[Any]]:
    """The arrays by field name."""
    values = {field.name: getattr(dataset, field.name) for field in fields(dataset)}
    return {name: value for name, value in values.items() if isinstance(value, np.ndarray)}


def with_classes(dataset: Dataset, threshold: Threshold) -> Dataset:
    """The same rows with classes cut at `threshold`."""
    return replace(dataset, classes=classify(dataset.return_bps, threshold))


def in_time_order(dataset: Dataset) -> Dataset:
    """Rows sorted by decision time, symbols of one instant in their order."""
    return dataset.select(np.lexsort((dataset.group, dataset.start_ns)))


def concatenate(parts: Sequence[Dataset]) -> Dataset:
    """The rows of all parts, which share feature names; at least one part."""
    if any(part.feature_names != parts[0].feature_names for part in parts):
        raise ValueError("datasets with different features cannot be joined")
    columns = [arrays_of(part) for part in parts]
    joined: dict[str, Any] = {name: np.concatenate([c[name] for c in columns]) for name in columns[0]}
    return replace(parts[0], **joined)
