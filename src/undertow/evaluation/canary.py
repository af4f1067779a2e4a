"""Finding columns that know the future before anybody believes a score."""

import numpy as np
from numpy.typing import NDArray

from undertow.datasets.dataset import Dataset

__all__ = ["copied_future"]

Floats = NDArray[np.float64]

RANK_CORRELATION = 0.7
"""A market feature that foretells half of the rank variance of a return does not exist."""
MOST_ROWS = 20_000


def copied_future(dataset: Dataset) -> tuple[str, ...]:
    """Names of the features whose rank correlation with the return ahead is beyond ±0.7."""
    step = -(-len(dataset) // MOST_ROWS)
    sample = dataset.select(slice(None, None, step))
    return tuple(
        name
        for name, column in zip(sample.feature_names, sample.features.T, strict=True)
        if abs(_rank_correlation(column, sample.return_bps)) > RANK_CORRELATION
    )


def _rank_correlation(left: Floats, right: Floats) -> float:
    known = np.isfinite(left) & np.isfinite(right)
    if known.sum() < 30:
        return 0.0
    ranks = [_average_ranks(values[known]) for values in (left, right)]
    centred = [rank - rank.mean() for rank in ranks]
    spread = np.sqrt((centred[0] @ centred[0]) * (centred[1] @ centred[1]))
    return float(centred[0] @ centred[1] / spread) if spread > 0 else 0.0


def _average_ranks(values: Floats) -> Floats:
    """Ranks (n,) in which equal values share their mean rank."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    ranks: Floats = (last - (counts - 1) / 2)[place]
    return ranks
