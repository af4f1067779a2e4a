"""What lies behind a bar: sums, moves, extremes and quantiles of the bars just before it.

A stretch is a run of bars without a hole whose inputs are all known. `age` counts them: 1 at the first bar of
a stretch, 0 at a bar that is in none. Nothing here looks across the start of a stretch. Every value is
computed from its own window alone, never from a running total, so that a slice gives the same bits as the
whole.
"""

import numpy as np
from numpy.typing import NDArray

from undertow.compiled import kernel

__all__ = [
    "ages",
    "episode_starts",
    "highest",
    "move",
    "multiple",
    "trailing_quantile",
    "window_sum",
]

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]


@kernel
def ages(open_ns: Integers, usable: Flags, length_ns: int) -> Integers:
    """Bars of its stretch up to each bar (n,), itself included; 0 where the bar is not usable."""
    age = np.zeros(len(open_ns), np.int64)
    for i in range(len(open_ns)):
        if not usable[i]:
            continue
        follows = i > 0 and open_ns[i] - open_ns[i - 1] == length_ns
        age[i] = age[i - 1] + 1 if follows else 1
    return age


@kernel
def window_sum(values: Floats, age: Integers, window: int) -> Floats:
    """Sum over the `window` bars that end with each bar (n,); NaN where the stretch holds fewer."""
    total = np.full(len(values), np.nan)
    for i in range(len(values)):
        if age[i] >= window:
            running = 0.0
            for k in range(i - window + 1, i + 1):
                running += values[k]
            total[i] = running
    return total


@kernel
def move(values: Floats, age: Integers, window: int) -> Floats:
    """Value of each bar less that `window` bars before (n,); NaN where that lies outside the stretch."""
    change = np.full(len(values), np.nan)
    for i in range(len(values)):
        if age[i] > window:
            change[i] = values[i] - values[i - window]
    return change


@kernel
def highest(values: Floats, age: Integers, window: int) -> Floats:
    """Maximum over the `window` bars that end with each bar (n,); NaN where the stretch holds fewer."""
    top = np.full(len(values), np.nan)
    for i in range(len(values)):
        if age[i] >= window:
            most = values[i - window + 1]
            for k in range(i - window + 2, i + 1):
                most = max(most, values[k])
            top[i] = most
    return top


def multiple(value: Floats, threshold: Floats, *conditions: Flags) -> Floats:
    """Value over threshold (n,) where all conditions hold, else 0; NaN where either is or threshold ≤ 0."""
    known = np.isfinite(value) & (threshold > 0)
    ratio: Floats = np.divide(value, threshold, out=np.full(len(value), np.nan), where=known)
    for condition in conditions:
        ratio[known & ~condition] = 0.0
    return ratio


@kernel
def _insert(held: Floats, count: int, value: float) -> None:
    """Put a value into its place among the first `count` sorted ones."""
    at = np.searchsorted(held[:count], value)
    for k in range(count, at, -1):
        held[k] = held[k - 1]
    held[at] = value


@kernel
def _remove(held: Floats, count: int, value: float) -> None:
    """Take a value out of the first `count` sorted ones."""
    at = np.searchsorted(held[:count], value)
    for k in range(at, count - 1):
        held[k] = held[k + 1]


@kernel
def trailing_quantile(values: Floats, age: Integers, baseline: int, lag: int, share: float) -> Floats:
    """The value that a `share` of the `baseline` bars up to `lag` bars before each bar do not exceed (n,).

    An order statistic, the nearest rank: no interpolation, so that it scales exactly with the values. NaN
    where one of those bars is unknown (NaN) or outside the stretch.
    """
    quantile = np.full(len(values), np.nan)
    held = np.empty(baseline + 1)
    rank = min(max(int(np.ceil(share * baseline)), 1), baseline) - 1
    count = 0
    for i in range(lag, len(values)):
        newest = i - lag
        if age[newest] <= 1 or np.isnan(values[newest]):
            count = 0
        if age[newest] >= 1 and not np.isnan(values[newest]):
            if count == baseline:
                _remove(held, count, values[newest - baseline])
                count -= 1
            _insert(held, count, values[newest])
            count += 1
        if count == baseline and age[i] > lag:
            quantile[i] = held[rank]
    return quantile


@kernel
def episode_starts(strength: Floats, age: Integers, quiet: int, least_age: int) -> Integers:
    """Bars at which an episode begins: strength at least 1, after `quiet` bars of known strength below 1.

    A local rule rather than a count-down from the last event: whether a bar is an event depends on the
    `quiet` bars before it and on nothing older. Bars whose age is not over `least_age` are no events; with at
    least `quiet` of it, those bars are of the same stretch.
    """
    found = np.empty(len(strength), np.int64)
    count, calm = 0, 0
    for i in range(len(strength)):
        if strength[i] >= 1.0 and calm >= quiet and age[i] > least_age:
            found[count] = i
            count += 1
        calm = calm + 1 if strength[i] < 1.0 else 0
    return found[:count]
