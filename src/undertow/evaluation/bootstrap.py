"""Intervals under dependence: whole blocks of time are drawn, all symbols of an instant together.

Circular moving blocks (Politis and Romano 1992) over sums per time slot: every score here is a function of
sums, so a resample costs one addition a block. Predictions are held fixed; the interval is that of the test
sample, not of fitting again.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

__all__ = [
    "Blocks",
    "Estimate",
    "autocorrelation_length",
    "block_length",
    "draw_blocks",
    "effective_size",
    "estimate",
    "resampled_sums",
    "sums_per_slot",
]

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]

HORIZONS_A_BLOCK = 4
"""A block of one horizon misses a third of the variance that overlapping labels add, of four a twelfth."""
FEWEST_BLOCKS = 10


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value with the ends of its interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Blocks:
    """Resamples of `slots` time slots, each made of whole blocks."""

    starts: Integers
    """(resamples, blocks) first slot of each block; blocks wrap around the end."""
    length: int
    slots: int

    @property
    def independent(self) -> int:
        """Disjoint blocks that the sample holds."""
        return max(self.slots // self.length, 1)


def autocorrelation_length(series: Floats) -> int:
    """First lag at which the autocorrelation of (n,) values is within 2/√n of zero, in [1, n // 2]."""
    n = len(series)
    centred = series - series.mean() if n else series
    variance = float(centred @ centred)
    longest = max(n // 2, 1)
    if variance == 0.0 or n < 4:
        return 1
    spectrum = np.abs(np.fft.rfft(centred, 2 * n)) ** 2
    correlation = np.fft.irfft(spectrum)[: longest + 1] / variance
    small = np.flatnonzero(np.abs(correlation) < 2 / np.sqrt(n))
    return int(min(max(small[0], 1), longest)) if len(small) else longest


def block_length(horizon_slots: int, series: Sequence[Floats], slots: int) -> int:
    """Slots a block: four horizons or the longest autocorrelation length, whichever is more.

    Cut to a tenth of the sample so that ten blocks remain, but never below the horizon.
    """
    wanted = max(HORIZONS_A_BLOCK * horizon_slots, *(autocorrelation_length(values) for values in series))
    affordable = max(slots // FEWEST_BLOCKS, horizon_slots)
    return max(min(wanted, affordable, slots), 1)


def draw_blocks(slots: int, length: int, resamples: int, seed: int) -> Blocks:
    """Draw `resamples` × ⌈slots / length⌉ block starts."""
    random = np.random.default_rng(seed)
    starts = random.integers(0, slots, size=(resamples, -(-slots // length)))
    return Blocks(starts.astype(np.int64), length, slots)


def sums_per_slot(values: Floats, slot: Integers, slots: int) -> Floats:
    """Sums (slots, k) of (n, k) values by their slot number (n,) in [0, slots)."""
    columns = [np.bincount(slot, weights=column, minlength=slots) for column in values.T]
    return np.stack(columns, axis=1)


def resampled_sums(per_slot: Floats, blocks: Blocks) -> Floats:
    """Sums (resamples, k) over the drawn blocks of (slots, k) sums per slot."""
    wrapped = np.concatenate([per_slot, per_slot[: blocks.length]])
    running = np.concatenate([np.zeros((1, per_slot.shape[1])), np.cumsum(wrapped, axis=0)])
    block_sums = running[blocks.length : blocks.length + blocks.slots] - running[: blocks.slots]
    return np.asarray(block_sums[blocks.starts].sum(axis=1))


def estimate(value: float, resampled: Floats, blocks: Blocks, confidence: float) -> Estimate:
    """Percentile interval, stretched by Student's t over the normal for the few blocks it rests on."""
    tail = (1 - confidence) / 2
    low, high = np.quantile(resampled, [tail, 1 - tail])
    freedom = max(blocks.independent - 1, 1)
    stretch = float(stdtrit(freedom, 1 - tail) / stdtrit(1e9, 1 - tail))
    return Estimate(value, value - stretch * (value - float(low)), value + stretch * (float(high) - value))


def effective_size(correct_sums: Floats, row_sums: Floats, rows: int, disjoint_labels: int) -> float:
    """How many independent decisions the interval is worth (Kish's design effect), in [1, disjoint labels].

    p(1 − p) over the resampled variance of the share of correct decisions; both sums are (resamples,).
    """
    share = np.divide(correct_sums, row_sums, out=np.zeros_like(correct_sums), where=row_sums > 0)
    mean, variance = float(share.mean()), float(share.var())
    by_variance = mean * (1 - mean) / variance if variance > 0 else float(rows)
    return float(np.clip(by_variance, 1.0, min(rows, disjoint_labels)))
