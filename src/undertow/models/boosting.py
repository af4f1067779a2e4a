"""Gradient-boosted trees by LightGBM."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import lightgbm
import numpy as np
from numpy.typing import NDArray

from undertow.datasets.dataset import Dataset
from undertow.errors import LakeError
from undertow.labels.thresholds import CLASSES
from undertow.models.base import labelled_rows

__all__ = ["Boosting", "BoostingSettings"]

Floats = NDArray[np.float64]

HEADER_END = "\n"


@dataclass(frozen=True, slots=True)
class BoostingSettings:
    """Small trees with large leaves, because market labels are mostly noise."""

    trees: int = 150
    leaves: int = 7
    learning_rate: float = 0.05
    min_rows_in_leaf: int = 100
    features_per_tree: float = 0.6
    l2: float = 5.0
    bins: int = 63
    patience: int = 30
    """Trees without progress on the validation block after which fitting stops."""
    threads: int = 2


class Boosting:
    """Multiclass log loss; the number of trees is chosen on the validation block; same seed, same bits."""

    def __init__(self, seed: int = 0, settings: BoostingSettings | None = None) -> None:
        self.seed = seed
        self.settings = settings or BoostingSettings()
        self.feature_names: tuple[str, ...] = ()
        self._booster: lightgbm.Booster | None = None

    def fit(self, train: Dataset, valid: Dataset) -> Self:
        """Fit trees on `train` until the log loss on `valid` stops falling."""
        rows, check = labelled_rows(train), labelled_rows(valid)
        if len(rows) == 0:
            raise ValueError("no labelled row to fit on")
        self.feature_names = train.feature_names
        parameters = _parameters(self.settings, self.seed)
        fitted = lightgbm.Dataset(rows.features, rows.classes, params=parameters, free_raw_data=True)
        stop = lightgbm.early_stopping(self.settings.patience, verbose=False)
        booster = lightgbm.train(
            parameters,
            fitted,
            num_boost_round=self.settings.trees,
            valid_sets=[fitted.create_valid(check.features, check.classes)] if len(check) else None,
            callbacks=[stop] if len(check) else None,
        )
        self._booster = lightgbm.Booster(
            model_str=booster.model_to_string(num_iteration=booster.best_iteration)
        )
        return self

    @property
    def trees(self) -> int:
        """Trees a class that were kept."""
        return self._fitted().current_iteration()

    def predict_proba(self, features: Floats, /) -> Floats:
        """Probabilities (n, 3) of rows (n, k)."""
        answer = self._fitted().predict(features, num_threads=self.settings.threads)
        return np.asarray(answer, dtype=np.float64)

    def save(self, path: Path) -> None:
        """One line of JSON with the feature names, then the trees in LightGBM's own text format."""
        header = json.dumps({"feature_names": self.feature_names})
        path.write_text(header + HEADER_END + self._fitted().model_to_string(), encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> Self:
        """What `save` wrote."""
        model = cls()
        try:
            header, _, trees = path.read_text(encoding="utf-8").partition(HEADER_END)
            model.feature_names = tuple(json.loads(header)["feature_names"])
            model._booster = lightgbm.Booster(model_str=trees)
        except (OSError, ValueError, KeyError, TypeError, lightgbm.basic.LightGBMError) as error:
            raise LakeError(f"{path} is not a stored LightGBM model: {error}; train it again") from error
        return model

    def _fitted(self) -> lightgbm.Booster:
        if self._booster is None:
            raise ValueError("the model is not fitted yet")
        return self._booster


def _parameters(settings: BoostingSettings, seed: int) -> dict[str, Any]:
    return {
        "objective": "multiclass",
        "num_class": len(CLASSES),
        "num_leaves": settings.leaves,
        "learning_rate": settings.learning_rate,
        "min_data_in_leaf": settings.min_rows_in_leaf,
        "feature_fraction": settings.features_per_tree,
        "lambda_l2": settings.l2,
        "max_bin": settings.bins,
        "num_threads": settings.threads,
        "seed": seed,
        "deterministic": True,
        "force_col_wise": True,
        "verbosity": -1,
    }
