"""Multinomial logistic regression on standardised features."""

from pathlib import Path
from typing import Self
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

from undertow.datasets.dataset import Dataset
from undertow.errors import LakeError
from undertow.labels.thresholds import CLASSES
from undertow.models.base import labelled_rows

__all__ = ["Logistic"]

Floats = NDArray[np.float64]

STRENGTHS = (0.001, 0.01, 0.1, 1.0)
"""Inverse regularisation that the validation block chooses from."""
CLIP = 6.0
"""Standardised values are cut here: a heavy tail would otherwise steer a linear score alone."""


class Logistic:
    """p = softmax(W·z + b), z the features after imputation with the training median and standardisation."""

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed
        self.feature_names: tuple[str, ...] = ()
        self._median = self._mean = self._scale = np.empty(0)
        self._weights = np.empty((len(CLASSES), 0))
        self._bias = np.zeros(len(CLASSES))

    def fit(self, train: Dataset, valid: Dataset) -> Self:
        """Fit one model a strength, weak penalties last, until the log loss on `valid` no longer falls."""
        rows, check = labelled_rows(train), labelled_rows(valid)
        if len(rows) == 0:
            raise ValueError("no labelled row to fit on")
        self.feature_names = train.feature_names
        self._fit_scaler(rows.features)
        present = np.unique(rows.classes)
        if len(present) == 1:
            self._set(present, np.zeros((1, rows.features.shape[1])), np.zeros(1))
            return self
        best, standard = np.inf, self._standardise(rows.features)
        for strength in STRENGTHS:
            fitted = LogisticRegression(C=strength, solver="newton-cholesky", random_state=self.seed)
            fitted.fit(standard, rows.classes)
            kept = self._weights, self._bias
            self._set(present, *_softmax_form(fitted.coef_, fitted.intercept_))
            loss = _loss(self, check)
            if loss >= best:
                self._weights, self._bias = kept
                break
            best = loss
        return self

    def predict_proba(self, features: Floats, /) -> Floats:
        """Probabilities (n, 3) of rows (n, k)."""
        score = self._standardise(features) @ self._weights.T + self._bias
        raised = np.exp(score - score.max(axis=1, keepdims=True))
        probabilities: Floats = raised / raised.sum(axis=1, keepdims=True)
        return probabilities

    def save(self, path: Path) -> None:
        """Write the arrays to one `.npz` file."""
        with path.open("wb") as file:
            np.savez(
                file,
                feature_names=np.array(self.feature_names, dtype=np.str_),
                median=self._median,
                mean=self._mean,
                scale=self._scale,
                weights=self._weights,
                bias=self._bias,
            )

    @classmethod
    def load(cls, path: Path) -> Self:
        """What `save` wrote."""
        model = cls()
        try:
            with np.load(path, allow_pickle=False) as stored:
                model.feature_names = tuple(str(name) for name in stored["feature_names"])
                model._median, model._mean = stored["median"], stored["mean"]
                model._scale, model._weights = stored["scale"], stored["weights"]
                model._bias = stored["bias"]
        except (OSError, KeyError, ValueError, BadZipFile) as error:
            raise LakeError(f"{path} is not a stored logistic model: {error}; train it again") from error
        return model

    def _fit_scaler(self, features: Floats) -> None:
        known = np.isfinite(features)
        empty = ~known.any(axis=0)
        filled = np.where(empty, 0.0, features)
        self._median = np.nanmedian(filled, axis=0)
        filled = np.where(np.isfinite(filled), filled, self._median)
        self._mean, spread = filled.mean(axis=0), filled.std(axis=0)
        self._scale = np.where(spread > 1e-12 * np.abs(self._mean), spread, np.inf)

    def _standardise(self, features: Floats) -> Floats:
        filled = np.where(np.isfinite(features), features, self._median)
        scaled: Floats = np.clip((filled - self._mean) / self._scale, -CLIP, CLIP)
        return scaled

    def _set(self, present: NDArray[np.int64], weights: Floats, bias: Floats) -> None:
        """Place the fitted classes among all; a class never seen gets probability zero."""
        self._weights = np.zeros((len(CLASSES), weights.shape[1]))
        self._bias = np.full(len(CLASSES), -np.inf)
        self._weights[present], self._bias[present] = weights, bias


def _softmax_form(weights: Floats, bias: Floats) -> tuple[Floats, Floats]:
    """Of two classes the library keeps only the second's row; softmax wants both."""
    if len(weights) > 1:
        return weights, bias
    return np.vstack([np.zeros_like(weights), weights]), np.concatenate([np.zeros(1), bias])


def _loss(model: Logistic, check: Dataset) -> float:
    if len(check) == 0:
        return 0.0
    return float(log_loss(check.classes, model.predict_proba(check.features), labels=np.arange(len(CLASSES))))
