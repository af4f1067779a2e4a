"""Classification scores: of predictions by scikit-learn, and of many confusion matrices at once."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import f1_score, matthews_corrcoef, recall_score

from undertow.labels.thresholds import CLASSES, DOWN, UP

__all__ = ["Scores", "direction_of", "macro_f1_of", "matthews_of", "score_classes"]

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Scores:
    """Macro-F1 over the three classes, Matthews correlation, balanced accuracy over those that occur."""

    macro_f1: float
    mcc: float
    balanced_accuracy: float


def score_classes(true: Integers, predicted: Integers) -> Scores:
    """Scores of (n,) classes; a class neither true nor predicted counts 0 in F1."""
    labels = list(range(len(CLASSES)))
    return Scores(
        macro_f1=float(f1_score(true, predicted, labels=labels, average="macro", zero_division=0.0)),
        mcc=_matthews(true, predicted),
        balanced_accuracy=float(
            recall_score(true, predicted, labels=np.unique(true), average="macro", zero_division=0.0)
        ),
    )


def _matthews(true: Integers, predicted: Integers) -> float:
    """The library's, and 0 where one side is a single class: there it warns or divides by zero."""
    if len(np.unique(true)) < 2 or len(np.unique(predicted)) < 2:
        return 0.0
    return float(matthews_corrcoef(true, predicted))


def macro_f1_of(confusion: Floats) -> Floats:
    """Macro-F1 of (…, c, c) counts, true classes by row; a class without true or predicted rows counts 0."""
    hits = np.diagonal(confusion, axis1=-2, axis2=-1)
    both = confusion.sum(axis=-1) + confusion.sum(axis=-2)
    per_class: Floats = np.divide(2 * hits, both, out=np.zeros_like(both), where=both > 0)
    return np.asarray(per_class.mean(axis=-1))


def matthews_of(confusion: Floats) -> Floats:
    """Matthews correlation (Gorodkin's R_K, 2004) of (…, c, c) counts; 0 where one side is a single class."""
    true, predicted = confusion.sum(axis=-1), confusion.sum(axis=-2)
    total, hits = confusion.sum(axis=(-2, -1)), np.trace(confusion, axis1=-2, axis2=-1)
    covariance = hits * total - (true * predicted).sum(axis=-1)
    spread = (total**2 - (true**2).sum(axis=-1)) * (total**2 - (predicted**2).sum(axis=-1))
    safe = np.sqrt(np.maximum(spread, 0.0))
    return np.asarray(np.divide(covariance, safe, out=np.zeros_like(safe), where=safe > 0))


def direction_of(confusion: Floats) -> Floats:
    """Matthews correlation of up against down alone, of (…, 3, 3) counts; flat rows are left out.

    Foretelling how much the price moves lifts a score of three classes but not this one.
    """
    sides = np.array([DOWN, UP])
    return matthews_of(confusion[..., sides[:, None], sides])
