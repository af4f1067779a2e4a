"""Frames through the catalogue: a long block in batch, a block of one live."""

import hashlib
import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import TypeGuard

import numpy as np
from numpy.typing import NDArray

from undertow.features import memory, nulls
from undertow.features.feature import Feature
from undertow.features.memory import Floats, Integers, Memory
from undertow.frames import frames as frames_module
from undertow.frames import market_fold, market_frames
from undertow.frames.frames import Frames

__all__ = ["FeatureBlock", "FeatureEngine", "lineage"]


@dataclass(frozen=True, slots=True)
class FeatureBlock:
    """Features of T consecutive bars."""

    names: tuple[str, ...]
    length_ns: int
    open_ns: Integers
    """(T,) start of each bar."""
    known_ns: Integers
    """(T,) the earliest time the row could have been used: close + lateness."""
    values: Floats
    """(features, T); NaN = null."""

    def __len__(self) -> int:
        """Number of bars."""
        return len(self.open_ns)

    def row(self, at: int) -> dict[str, float]:
        """One bar's features by name."""
        return dict(zip(self.names, self.values[:, at].tolist(), strict=True))


class FeatureEngine:
    """Computes features of one symbol and timeframe; call `push` with consecutive bars, cut anywhere."""

    def __init__(self, features: Sequence[Feature], length_ns: int) -> None:
        self.features = tuple(features)
        self.length_ns = length_ns
        self._names = tuple(feature.name for feature in self.features)
        self._memory = Memory()

    def push(self, frames: Frames) -> FeatureBlock:
        """Features of the next bars. Raises ValueError for bars of another length."""
        if frames.length_ns != self.length_ns:
            raise ValueError(f"bars of {frames.length_ns} ns for an engine of {self.length_ns} ns")
        values = np.empty((len(self.features), len(frames)))
        if len(frames):
            for at, feature in enumerate(self.features):
                self._memory.begin(feature.name)
                values[at] = feature.function(frames, self._memory)
        known_ns = frames.open_ns + (frames.length_ns + frames.lateness_ns)
        return FeatureBlock(self._names, frames.length_ns, frames.open_ns, known_ns, values)

    def state(self) -> dict[str, NDArray[np.generic]]:
        """Everything carried, as arrays."""
        return self._memory.state()

    def restore(self, states: Mapping[str, NDArray[np.generic]]) -> None:
        """Go on from `state()`."""
        self._memory.restore(states)


def lineage(features: Sequence[Feature]) -> str:
    """sha256 over everything that decides what values mean: what a model was trained on, it must be fed.

    That is the source of every family concerned and of the kernels that it has in files of their own, of the
    operators and null rules, of the frames' schema, of what market tables put into them, and each feature's
    name and kind in their order.
    """
    families = {module for f in features if (module := inspect.getmodule(f.function)) is not None}
    kernels = {found for module in families for found in vars(module).values() if _is_kernel_file(found)}
    shared: set[ModuleType] = {memory, nulls, frames_module, market_frames, market_fold}
    digest = hashlib.sha256()
    for module in sorted(families | kernels | shared, key=lambda m: m.__name__):
        digest.update(f"{module.__name__}\n{inspect.getsource(module)}".encode())
    for feature in features:
        digest.update(f"{feature.name}:{feature.dtype}\n".encode())
    return digest.hexdigest()


def _is_kernel_file(found: object) -> TypeGuard[ModuleType]:
    return isinstance(found, ModuleType) and found.__name__.startswith("undertow.features.")
