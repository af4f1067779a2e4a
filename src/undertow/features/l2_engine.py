"""Samples of the deep book through the L2 features: a long block in batch, one sample live."""

import hashlib
import inspect
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from undertow.features import l2, l2_kernel
from undertow.features.l2 import SEQUENCE_NAMES, VALUE_NAMES
from undertow.features.memory import Floats, Integers
from undertow.market.columns import BookColumns
from undertow.market.instruments import Instrument
from undertow.market.time import SECOND_NS

__all__ = ["L2Block", "L2Engine", "lineage"]

Singles = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class L2Block:
    """Features of n samples of the deep book, in order of time."""

    grid_ns: Integers
    """(n,) the samples' times: each is the state after every update before that."""
    known_ns: Integers
    """(n,) the earliest time the row could have been used: sample + lateness."""
    values: Floats
    """(n, 55) by `l2.VALUE_NAMES`; NaN = null."""
    sequence: Singles
    """(n, 400) float32 by `l2.SEQUENCE_NAMES`; NaN = null."""

    def __len__(self) -> int:
        """Number of samples."""
        return len(self.grid_ns)

    def row(self, at: int) -> dict[str, float]:
        """One sample's features by name, without the sequence."""
        return dict(zip(VALUE_NAMES, self.values[at].tolist(), strict=True))

    def column(self, name: str) -> NDArray[np.floating]:
        """(n,) one feature. Raises ValueError for a name that is none."""
        if name in VALUE_NAMES:
            return self.values[:, VALUE_NAMES.index(name)]
        return self.sequence[:, SEQUENCE_NAMES.index(name)]


class L2Engine:
    """Computes the L2 features of one symbol; call `push` with samples in order of time, cut anywhere.

    `kept_levels` is how many levels a side the samples keep at most: a side with fewer is the whole side.
    """

    def __init__(self, instrument: Instrument, lateness_ns: int, kept_levels: int = l2_kernel.LEVELS) -> None:
        price, quantity = instrument.price, instrument.quantity
        self._lateness_ns = lateness_ns
        self._levels = min(kept_levels, l2_kernel.LEVELS)
        self._scale = np.array([price.units, price.divisor, quantity.units, quantity.divisor])
        above, below = price.divisor * quantity.divisor, price.units * quantity.units
        self._sizes = np.array([notional * above / below for notional in l2_kernel.NOTIONALS])
        self._ring = np.full((l2_kernel.RING_ROWS, l2_kernel.RING_COLUMNS), np.nan)
        self._run = np.zeros(2, np.int64)

    def push(self, samples: BookColumns) -> L2Block:
        """Features of the next samples of the `l2` grid.

        Raises ValueError for samples that are not on whole seconds or not after the one before.
        """
        grid_ns = samples.grid_ns
        self._check(grid_ns)
        values = np.empty((len(grid_ns), l2_kernel.VALUE_COLUMNS))
        sequence = np.empty((len(grid_ns), l2_kernel.SEQUENCE_COLUMNS), np.float32)
        # Each update, and the sample itself, may have cut less than a microsecond off the time covered.
        covered_us = samples.spread_time_us + samples.update_count + 1
        l2_kernel.fold_books(
            grid_ns,
            covered_us,
            np.ascontiguousarray(samples.bid_ticks),
            np.ascontiguousarray(samples.bid_lots),
            np.ascontiguousarray(samples.ask_ticks),
            np.ascontiguousarray(samples.ask_lots),
            (samples.trusted_bid_ticks, samples.trusted_ask_ticks),
            self._levels,
            self._scale,
            self._sizes,
            self._ring,
            self._run,
            values,
            sequence,
        )
        return L2Block(grid_ns, grid_ns + self._lateness_ns, values, sequence)

    def _check(self, grid_ns: Integers) -> None:
        if not len(grid_ns):
            return
        if (grid_ns % SECOND_NS).any():
            raise ValueError(
                "L2 features are computed from samples on whole seconds; sample `l2` every second"
            )
        if grid_ns[0] <= self._run[0] or (grid_ns[1:] <= grid_ns[:-1]).any():
            raise ValueError("L2 samples must come in order of time, each once")

    def state(self) -> dict[str, NDArray[np.generic]]:
        """Everything carried, as arrays."""
        return {"ring": self._ring.copy(), "run": self._run.copy()}

    def restore(self, states: Mapping[str, NDArray[np.generic]]) -> None:
        """Go on from `state()`."""
        self._ring[:], self._run[:] = states["ring"], states["run"]


def lineage() -> str:
    """sha256 over everything that decides what values mean: the catalogue and the arithmetic."""
    sources = (inspect.getsource(module) for module in (l2, l2_kernel))
    return hashlib.sha256("\n".join(sources).encode()).hexdigest()
