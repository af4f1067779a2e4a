"""The one interface of every model, and how its probabilities become a class."""

from pathlib import Path
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

from undertow.datasets.dataset import Dataset
from undertow.labels.thresholds import CLASSES, UNLABELLED

__all__ = ["Model", "class_shares", "decide", "labelled_rows"]

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]


class Model(Protocol):
    """A classifier of rows into `CLASSES` (0 down, 1 flat, 2 up).

    Scalers, imputers and stopping points are fitted inside `fit`, from what it is given and nothing else.
    """

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Columns, in order, that `predict_proba` expects; empty before `fit`."""
        ...

    def fit(self, train: Dataset, valid: Dataset) -> Self:
        """Learn from the labelled rows of `train`; `valid` only chooses settings or when to stop.

        Raises ValueError where `train` has no labelled row.
        """
        ...

    def predict_proba(self, features: Floats, /) -> Floats:
        """Probabilities (n, 3) of rows (n, k), each row adding up to 1; NaN in a row is allowed."""
        ...

    def save(self, path: Path) -> None:
        """Write everything that `predict_proba` needs to one file, without pickle."""
        ...

    @classmethod
    def load(cls, path: Path) -> Self:
        """What `save` wrote, its predictions equal to the last bit. Raises LakeError if it cannot be read."""
        ...


def labelled_rows(dataset: Dataset) -> Dataset:
    """The rows that have a class."""
    return dataset.select(dataset.classes != UNLABELLED)


def class_shares(classes: Integers) -> Floats:
    """Share of each class among the labelled rows, (3,); equal shares where there are none."""
    counts = np.bincount(classes[classes != UNLABELLED], minlength=len(CLASSES)).astype(np.float64)
    total = counts.sum()
    return counts / total if total > 0 else np.full(len(CLASSES), 1 / len(CLASSES))


def decide(probabilities: Floats, training_shares: Floats) -> Integers:
    """Class whose probability rose most over its share in training, (n,): argmax p / share.

    The plain argmax names the most frequent class nearly always when classes are uneven and the signal is
    weak. Balanced error is least under this rule, and the probabilities themselves stay calibrated. A class
    that training never saw is never chosen.
    """
    weight = np.divide(1.0, training_shares, out=np.zeros_like(training_shares), where=training_shares > 0)
    chosen: Integers = np.argmax(probabilities * weight, axis=1).astype(np.int64)
    return chosen
