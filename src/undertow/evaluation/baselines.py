"""Naive and simple rivals that every report shows; each is fitted on the fold's training rows only."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import Ridge

from undertow.datasets.dataset import Dataset
from undertow.labels.thresholds import DOWN, FLAT, UNLABELLED, UP, Threshold, classify
from undertow.market.time import DAY_NS, HOUR_NS
from undertow.models.base import class_shares, decide
from undertow.models.logistic import Logistic

__all__ = ["BASELINES", "INFORMED", "RANDOMISED", "FoldRows"]

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class FoldRows:
    """One fold's rows with classes cut at the threshold that its training rows gave."""

    train: Dataset
    valid: Dataset
    test: Dataset
    threshold: Threshold
    shares: Floats
    """(3,) class shares in training."""
    seed: int


def majority(rows: FoldRows) -> Integers:
    """The class most frequent in training, always."""
    return np.full(len(rows.test), np.argmax(rows.shares), dtype=np.int64)


def stratified_random(rows: FoldRows) -> Integers:
    """A class drawn with the training shares."""
    drawn = np.random.default_rng(rows.seed).choice(len(rows.shares), size=len(rows.test), p=rows.shares)
    return drawn.astype(np.int64)


def persistence(rows: FoldRows) -> Integers:
    """The class of the newest label known at the decision time; the majority before the first."""
    known = classify(rows.test.known_return_bps, rows.threshold)
    return np.where(known == UNLABELLED, majority(rows), known)


def last_return_sign(rows: FoldRows) -> Integers:
    """Up after a bar that rose, down after one that fell, flat where it did neither or is unknown."""
    rose = rows.test.last_return_bps > 0
    fell = rows.test.last_return_bps < 0
    return np.where(rose, UP, np.where(fell, DOWN, FLAT)).astype(np.int64)


def last_return_reversed(rows: FoldRows) -> Integers:
    """The opposite of the last bar's direction."""
    return UP - last_return_sign(rows)


def imbalance_logistic(rows: FoldRows) -> Integers | None:
    """Logistic regression on the imbalance at the best level; None where the bars do not have it."""
    if not np.isfinite(rows.train.best_imbalance).any():
        return None
    train, valid, test = (_only_imbalance(part) for part in (rows.train, rows.valid, rows.test))
    return decide(Logistic(rows.seed).fit(train, valid).predict_proba(test.features), rows.shares)


def order_flow_ridge(rows: FoldRows) -> Integers | None:
    """Ridge regression of the return on order-flow imbalance; None where the bars do not have it.

    The forecast is cut so that each class is as frequent among the training forecasts as among the labels.
    """
    flow = rows.train.order_flow
    if flow.shape[1] == 0 or not np.isfinite(flow).any():
        return None
    filled = np.nan_to_num(flow)
    mean, spread = filled.mean(axis=0), filled.std(axis=0)
    scale = np.where(spread > 0, spread, np.inf)
    model = Ridge(alpha=1.0).fit((filled - mean) / scale, rows.train.return_bps)
    fitted = model.predict((filled - mean) / scale)
    forecast = model.predict((np.nan_to_num(rows.test.order_flow) - mean) / scale)
    low, high = np.quantile(fitted, [rows.shares[DOWN], 1 - rows.shares[UP]])
    return np.where(forecast > high, UP, np.where(forecast < low, DOWN, FLAT)).astype(np.int64)


def time_of_day(rows: FoldRows) -> Integers:
    """The class most frequent in training in that hour of the day; over all hours where the hour is new."""
    by_hour = np.tile(np.argmax(rows.shares), DAY_NS // HOUR_NS).astype(np.int64)
    train_hours = _hour(rows.train)
    for hour in np.unique(train_hours):
        by_hour[hour] = np.argmax(class_shares(rows.train.classes[train_hours == hour]))
    return by_hour[_hour(rows.test)]


BASELINES: Mapping[str, Callable[[FoldRows], Integers | None]] = MappingProxyType(
    {
        "majority": majority,
        "stratified_random": stratified_random,
        "persistence": persistence,
        "last_return_sign": last_return_sign,
        "last_return_reversed": last_return_reversed,
        "imbalance_logistic": imbalance_logistic,
        "order_flow_ridge": order_flow_ridge,
        "time_of_day": time_of_day,
    }
)
"""Row name → predictions of the test rows, or None where its input does not exist."""

RANDOMISED = frozenset({"stratified_random"})
"""Baselines whose answer depends on the seed."""

INFORMED = frozenset({"imbalance_logistic", "order_flow_ridge"})
"""Baselines that read the order book: simple rules, not naive ones."""


def _only_imbalance(rows: Dataset) -> Dataset:
    return replace(rows, features=rows.best_imbalance[:, None], feature_names=("best_imbalance",))


def _hour(rows: Dataset) -> Integers:
    return rows.start_ns % DAY_NS // HOUR_NS
