"""How much of each label is its own: overlapping labels tell of the same returns.

López de Prado, Advances in Financial Machine Learning (2018), chapter 4. All of one symbol; row numbers are
bar numbers within a gap-free stretch, and no label reaches out of its stretch. Weights look at later labels:
they are for fitting, never an input of a model.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from undertow.compiled import kernel

__all__ = ["LabelWeights", "effective_samples", "label_weights"]

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class LabelWeights:
    """Of n rows; NaN where a row has no label."""

    concurrency: Integers
    """(n,) how many labels depend on the return over each bar."""
    uniqueness: Floats
    """(n,) mean of 1/concurrency over the bars of a label, in (0, 1]."""
    attribution: Floats
    """(n,) |Σ return/concurrency| over the bars of a label, scaled to sum to the number of labels; NaN
    everywhere where no price moved."""


def label_weights(begin_row: Integers, end_row: Integers, bar_return: Floats) -> LabelWeights:
    """Weights of labels that depend on the returns over the bars begin_row + 1 … end_row.

    `begin_row`, `end_row` (n,) int64, −1 = no label; `bar_return` (n,) log return over each bar, NaN counts
    as 0. Takes O(n). Raises ValueError where a label ends before it begins or past the last bar.
    """
    labelled = (begin_row >= 0) & (end_row >= 0)
    if np.any(labelled & ((end_row <= begin_row) | (end_row >= len(bar_return)))):
        raise ValueError("a label must end after it begins and at a bar that is there")
    begin = np.where(labelled, begin_row, -1)
    concurrency = np.zeros(len(bar_return), dtype=np.int64)
    uniqueness, attribution = np.full(len(begin), np.nan), np.full(len(begin), np.nan)
    _count(begin, end_row, concurrency)
    _weigh(begin, end_row, concurrency, bar_return, uniqueness, attribution)
    total = float(np.nansum(attribution))
    scale = labelled.sum() / total if total > 0 else np.nan
    return LabelWeights(concurrency, uniqueness, attribution * scale)


def effective_samples(uniqueness: Floats) -> float:
    """Number of independent labels that so many overlapping ones are worth: Σ average uniqueness.

    >>> effective_samples(np.array([0.5, 0.5, np.nan, 1.0]))
    2.0
    """
    return float(np.nansum(uniqueness))


@kernel
def _count(begin: Integers, end: Integers, concurrency: Integers) -> None:
    """Labels begin at the bar after `begin` and end with `end`: add at one, take away after the other."""
    for i in range(len(begin)):
        if begin[i] >= 0:
            concurrency[begin[i] + 1] += 1
            if end[i] + 1 < len(concurrency):
                concurrency[end[i] + 1] -= 1
    for bar in range(1, len(concurrency)):
        concurrency[bar] += concurrency[bar - 1]


@kernel
def _weigh(
    begin: Integers,
    end: Integers,
    concurrency: Integers,
    bar_return: Floats,
    uniqueness: Floats,
    attribution: Floats,
) -> None:
    """Means and sums over each label's bars, from running totals."""
    bars = len(concurrency)
    inverse, share = np.zeros(bars + 1), np.zeros(bars + 1)
    for bar in range(bars):
        count = max(concurrency[bar], 1)
        moved = 0.0 if np.isnan(bar_return[bar]) else bar_return[bar]
        inverse[bar + 1] = inverse[bar] + (1.0 / count if concurrency[bar] > 0 else 0.0)
        share[bar + 1] = share[bar] + (moved / count if concurrency[bar] > 0 else 0.0)
    for i in range(len(begin)):
        if begin[i] >= 0:
            first, after = begin[i] + 1, end[i] + 1
            uniqueness[i] = min((inverse[after] - inverse[first]) / (after - first), 1.0)
            attribution[i] = abs(share[after] - share[first])
