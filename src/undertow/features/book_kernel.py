"""Row sums over the levels of sampled books: one pass a feature, in whole ticks and lots."""

import numpy as np
from numpy.typing import NDArray

from undertow.compiled import borrowed, kernel

__all__ = ["best_sums", "imbalances", "slopes", "volume_ratios", "weighted_mids"]

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]


@kernel
def imbalances(
    bid_lots: Integers, ask_lots: Integers, sample_count: Integers, depth: int, out: Floats
) -> None:
    """(B − A) / (B + A) over the best `depth` levels; null without a sample or a level."""
    bid_lots, ask_lots, sample_count, out = borrowed((bid_lots, ask_lots, sample_count, out))
    for i in range(len(out)):
        bids, asks = 0, 0
        for j in range(depth):
            bids += bid_lots[i, j]
            asks += ask_lots[i, j]
        known = sample_count[i] > 0 and bids + asks != 0
        out[i] = (bids - asks) / (bids + asks) if known else np.nan


@kernel
def volume_ratios(lots: Integers, near: int, out: Floats) -> None:
    """Quantity of the best `near` levels over that of all; null without a level."""
    lots, out = borrowed((lots, out))
    for i in range(len(out)):
        first, total = 0, 0
        for j in range(near):
            first += lots[i, j]
        for j in range(near, lots.shape[1]):
            total += lots[i, j]
        total += first
        out[i] = first / total if total != 0 else np.nan


@kernel
def slopes(ticks: Integers, lots: Integers, out: Floats) -> None:
    """Least-squares slope of lots on distance from the best level, over those that exist [lots / tick]."""
    ticks, lots, out = borrowed((ticks, lots, out))
    for i in range(len(out)):
        side, held_by = ticks[i], lots[i]
        count = len(held_by)
        while count > 0 and held_by[count - 1] == 0:
            count -= 1
        away, square, held, moment = 0, 0, 0, 0
        for j in range(count):
            distance = abs(side[j] - side[0])
            away += distance
            square += distance * distance
            held += held_by[j]
            moment += distance * held_by[j]
        variance = count * square - away * away
        out[i] = (count * moment - away * held) / variance if variance != 0 else np.nan


@kernel
def weighted_mids(
    bid_ticks: Integers,
    bid_lots: Integers,
    ask_ticks: Integers,
    ask_lots: Integers,
    sample_count: Integers,
    out: Floats,
) -> None:
    """(bid · ask lots + ask · bid lots) / both lots [ticks]; null without a sample or a side."""
    bid_ticks, bid_lots, ask_ticks = borrowed((bid_ticks, bid_lots, ask_ticks))
    ask_lots, sample_count, out = borrowed((ask_lots, sample_count, out))
    for i in range(len(out)):
        bids, asks = bid_lots[i, 0], ask_lots[i, 0]
        known = sample_count[i] > 0 and bids > 0 and asks > 0
        out[i] = (bid_ticks[i, 0] * asks + ask_ticks[i, 0] * bids) / (bids + asks) if known else np.nan


@kernel
def best_sums(
    bid_ticks: Integers,
    bid_lots: Integers,
    ask_ticks: Integers,
    ask_lots: Integers,
    sample_count: Integers,
    weights: tuple[int, int, int],
    out: Floats,
) -> None:
    """(best bid · weights[0] + best ask · weights[1]) / weights[2]; null without a sample or a side."""
    bid_ticks, bid_lots, ask_ticks = borrowed((bid_ticks, bid_lots, ask_ticks))
    ask_lots, sample_count, out = borrowed((ask_lots, sample_count, out))
    for i in range(len(out)):
        known = sample_count[i] > 0 and bid_lots[i, 0] > 0 and ask_lots[i, 0] > 0
        total = bid_ticks[i, 0] * weights[0] + ask_ticks[i, 0] * weights[1]
        out[i] = total / weights[2] if known else np.nan
