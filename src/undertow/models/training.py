"""Fitting one model for use: the newest part of the data decides when to stop, the rest is learnt from."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from undertow.datasets.dataset import Dataset, with_classes
from undertow.datasets.splits import purged
from undertow.errors import InputError
from undertow.labels.thresholds import Threshold, fit_threshold
from undertow.models.base import Model, class_shares
from undertow.models.catalogue import find_model

__all__ = ["FEWEST_TRAINING_ROWS", "Trained", "fit_for_use"]

FEWEST_TRAINING_ROWS = 200


@dataclass(frozen=True, slots=True)
class Trained:
    """A fitted model with what its training rows fixed."""

    model: Model
    threshold: Threshold
    shares: NDArray[np.float64]
    """(3,) class shares in training, which `decide` needs."""
    train_rows: int
    valid_rows: int


def fit_for_use(
    dataset: Dataset,
    name: str,
    *,
    threshold_bps: float | None = None,
    flat_share: float = 1 / 3,
    valid_share: float = 0.2,
    seed: int = 0,
) -> Trained:
    """Fit the model called `name` on a dataset sorted by decision time, purged before its validation part.

    Without `threshold_bps` the threshold is fitted on the training part. Raises InputError where there are
    too few rows or one class only.
    """
    at = int(len(dataset) * (1 - valid_share))
    rows = np.arange(len(dataset), dtype=np.int64)
    block_start_ns = int(dataset.start_ns[min(at, len(dataset) - 1)])
    train = dataset.select(purged(dataset.start_ns, dataset.end_ns, rows[:at], block_start_ns, 0))
    if len(train) < FEWEST_TRAINING_ROWS:
        raise InputError(
            f"{len(train)} rows to train on, {FEWEST_TRAINING_ROWS} are needed; collect for longer"
        )
    threshold = (
        fit_threshold(train.return_bps, flat_share) if threshold_bps is None else Threshold(threshold_bps)
    )
    train, valid = with_classes(train, threshold), with_classes(dataset.select(rows[at:]), threshold)
    if len(np.unique(train.classes)) < 2:
        raise InputError(f"all rows are of one class at a threshold of {threshold.bps:g} bps; lower it")
    model = find_model(name).create(seed).fit(train, valid)
    return Trained(model, threshold, class_shares(train.classes), len(train), len(valid))
