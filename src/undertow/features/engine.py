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
from undertow.features.memory import Floats, Integers, Memory, Shared
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


@dataclass(frozen=True, slots=True)
class _Family:
    """Features that are rows of one computation: `values[places] = compute(...)[rows]`."""

    compute: Shared
    rows: slice | Integers
    places: slice | Integers


@dataclass(frozen=True, slots=True)
class _Plan:
    """How to compute features: family by family, then the places of those that are computed alone."""

    families: tuple[_Family, ...]
    others: tuple[int, ...]


class FeatureEngine:
    """Computes features of one symbol and timeframe; call `push` with consecutive bars, cut anywhere."""

    def __init__(self, features: Sequence[Feature], length_ns: int) -> None:
        self.features = tuple(features)
        self.length_ns = length_ns
        self._names = tuple(feature.name for feature in self.features)
        self._memory = Memory()
        self._plan: _Plan | None = None

    def push(self, frames: Frames) -> FeatureBlock:
        """Features of the next bars. Raises ValueError for bars of another length."""
        if frames.length_ns != self.length_ns:
            raise ValueError(f"bars of {frames.length_ns} ns for an engine of {self.length_ns} ns")
        values = np.empty((len(self.features), len(frames)))
        if len(frames):
            self._fill(frames, values)
        known_ns = frames.open_ns + (frames.length_ns + frames.lateness_ns)
        return FeatureBlock(self._names, frames.length_ns, frames.open_ns, known_ns, values)

    def _fill(self, frames: Frames, values: Floats) -> None:
        """Live, a call for each feature would cost more than all arithmetic: a family is one."""
        if self._plan is None:
            self._plan = _planned(self.features, frames[:1])
        rows = self._memory.rows if self._plan.others else self._memory.computed
        for family in self._plan.families:
            values[family.places] = rows(frames, family.compute)[family.rows]
        for at in self._plan.others:
            self._memory.begin(self.features[at].name)
            values[at] = self.features[at].function(frames, self._memory)
        self._memory.release()

    def state(self) -> dict[str, NDArray[np.generic]]:
        """Everything carried, as arrays."""
        return self._memory.state()

    def restore(self, states: Mapping[str, NDArray[np.generic]]) -> None:
        """Go on from `state()`."""
        self._memory.restore(states)


def _planned(features: Sequence[Feature], frames: Frames) -> _Plan:
    """What each feature turns out to be read off: tried on some bars, with a memory of its own."""
    trial, others = Memory(), []
    rows: dict[Shared, list[tuple[int, int]]] = {}
    for at, feature in enumerate(features):
        trial.begin(feature.name)
        found = feature.function(frames, trial)
        if trial.shown is not None and trial.shown[2] is found:
            compute, row, _ = trial.shown
            rows.setdefault(compute, []).append((row, at))
        else:
            others.append(at)
    families = (
        _Family(compute, _as_slice([row for row, _ in pairs]), _as_slice([at for _, at in pairs]))
        for compute, pairs in rows.items()
    )
    return _Plan(tuple(families), tuple(others))


def _as_slice(places: list[int]) -> slice | Integers:
    """As a slice where the places follow one another: far cheaper to read and to write."""
    if places == list(range(places[0], places[0] + len(places))):
        return slice(places[0], places[0] + len(places))
    return np.array(places, np.int64)


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
