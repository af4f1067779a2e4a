"""Worlds without an edge, to see what the same procedure scores there."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from undertow.datasets.bars import SymbolBars, float_column, open_ns
from undertow.datasets.dataset import Dataset
from undertow.labels.horizon_return import gap_free_stretches

__all__ = ["excess", "martingale_bars", "shifted_decisions", "shuffled_classes"]

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]


def martingale_bars(bars: Sequence[SymbolBars], seed: int) -> list[SymbolBars]:
    """The same bars with each bar's mid return flipped at random: volatility stays and direction goes.

    Symbols share the flip of an instant, so how they move together stays too. Only `mid_price` is changed.
    """
    slots = [open_ns(symbol) // symbol.length_ns for symbol in bars]
    first = min(int(slot[0]) for slot in slots)
    last = max(int(slot[-1]) for slot in slots)
    signs = np.random.default_rng(seed).choice([-1.0, 1.0], size=last - first + 1)
    return [_with_signs(symbol, signs[slot - first]) for symbol, slot in zip(bars, slots, strict=True)]


def shuffled_classes(dataset: Dataset, block_rows: int, seed: int) -> Dataset:
    """Classes moved in whole blocks of `block_rows` to other times of the same symbol."""
    random = np.random.default_rng(seed)
    classes = dataset.classes.copy()
    for group in np.unique(dataset.group):
        rows = np.flatnonzero(dataset.group == group)
        blocks = np.array_split(rows, max(len(rows) // max(block_rows, 1), 1))
        order = random.permutation(len(blocks))
        classes[rows] = dataset.classes[np.concatenate([blocks[i] for i in order])]
    return replace(dataset, classes=classes)


def shifted_decisions(predicted: Integers, group: Integers, seed: int) -> Integers:
    """The same decisions at other times: each symbol's are turned round by a random offset.

    As many trades, as long runs, and no relation to what comes.
    """
    random = np.random.default_rng(seed)
    shifted = predicted.copy()
    for number in np.unique(group):
        rows = np.flatnonzero(group == number)
        offset = int(random.integers(len(rows) // 4, max(3 * len(rows) // 4, len(rows) // 4 + 1)))
        shifted[rows] = np.roll(predicted[rows], offset)
    return shifted


def excess(score: float, null_score: float) -> float:
    """(F − F₀) / (1 − F₀): the part of what was left to gain over the null that was gained."""
    return (score - null_score) / (1.0 - null_score) if null_score < 1.0 else 0.0


def _with_signs(bars: SymbolBars, signs: Floats) -> SymbolBars:
    mid = float_column(bars, "mid_price")
    stretch = gap_free_stretches(open_ns(bars), float_column(bars, "gap_fraction"), bars.length_ns)
    steps = _log_steps(mid, stretch) * signs
    start = float(mid[np.isfinite(mid)][0]) if np.isfinite(mid).any() else np.nan
    path = np.where(np.isfinite(mid), start * np.exp(np.cumsum(steps)), np.nan)
    return replace(bars, frame=bars.frame.with_columns(pl.Series("mid_price", path).fill_nan(None)))


def _log_steps(mid: Floats, stretch: Integers) -> Floats:
    """Log return into each row from the last known mid of its stretch, (n,); 0 where there is none."""
    steps = np.zeros(len(mid))
    known = np.flatnonzero(np.isfinite(mid) & (mid > 0))
    same = stretch[known[1:]] == stretch[known[:-1]]
    steps[known[1:]] = np.where(same, np.diff(np.log(mid[known])), 0.0)
    return steps
