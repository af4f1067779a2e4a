"""Every model by name. A new one is a class in its own file and a line here."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from undertow.errors import InputError
from undertow.models.base import Model
from undertow.models.boosting import Boosting
from undertow.models.logistic import Logistic

__all__ = ["MODELS", "ModelEntry", "find_model"]


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """How a model is made from a seed, and read back."""

    create: Callable[[int], Model]
    load: Callable[[Path], Model]
    about: str


MODELS: Mapping[str, ModelEntry] = MappingProxyType(
    {
        "logistic": ModelEntry(Logistic, Logistic.load, "multinomial logistic regression (scikit-learn)"),
        "lightgbm": ModelEntry(Boosting, Boosting.load, "gradient-boosted trees (LightGBM)"),
    }
)


def find_model(name: str) -> ModelEntry:
    """The entry of `name`. Raises InputError where there is none.

    >>> find_model("lightgbm").about
    'gradient-boosted trees (LightGBM)'
    """
    if name not in MODELS:
        raise InputError(f"no model is called {name!r}; choose one of {', '.join(sorted(MODELS))}")
    return MODELS[name]
