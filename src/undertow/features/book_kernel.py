"""What one sampled book says, in whole ticks and lots; the arrays are those of one bar, best level first."""

import numpy as np
from numpy.typing import NDArray

from undertow.compiled import kernel
from undertow.features.nulls import quotient

__all__ = ["imbalance", "near_share", "slope", "spread_deviation", "weighted_mid"]

Integers = NDArray[np.int64]


@kernel
def imbalance(bid_lots: Integers, ask_lots: Integers, depth: int) -> float:
    """(B − A) / (B + A) over the best `depth` levels; null without a level."""
    bids, asks = 0, 0
    for j in range(depth):
        bids += bid_lots[j]
        asks += ask_lots[j]
    return quotient(bids - asks, bids + asks)


@kernel
def near_share(lots: Integers, near: int) -> float:
    """Quantity of the best `near` levels over that of all; null without a level."""
    first, total = 0, 0
    for j in range(near):
        first += lots[j]
    for j in range(near, len(lots)):
        total += lots[j]
    return quotient(first, total + first)


@kernel
def slope(ticks: Integers, lots: Integers) -> float:
    """Least-squares slope of lots on distance from the best level, over those that exist [lots / tick]."""
    count = len(lots)
    while count > 0 and lots[count - 1] == 0:
        count -= 1
    away, square, held, moment = 0, 0, 0, 0
    for j in range(count):
        distance = abs(ticks[j] - ticks[0])
        away += distance
        square += distance * distance
        held += lots[j]
        moment += distance * lots[j]
    return quotient(count * moment - away * held, count * square - away * away)


@kernel
def weighted_mid(bid_tick: int, bid_lots: int, ask_tick: int, ask_lots: int) -> float:
    """(bid · ask lots + ask · bid lots) / both lots [ticks]; null without a side."""
    if bid_lots <= 0 or ask_lots <= 0:
        return np.nan
    return (bid_tick * ask_lots + ask_tick * bid_lots) / (bid_lots + ask_lots)


@kernel
def spread_deviation(integral: int, square_integral: int, time_us: int) -> float:
    """√((1/Δ) ∫ s² dt − ((1/Δ) ∫ s dt)²) [ticks]; null without a spread. For how see `book.spread_std`."""
    if time_us == 0:
        return np.nan
    centre = int(np.rint(integral / time_us))
    first = (integral - centre * time_us) / time_us
    second = (square_integral - 2 * centre * integral + centre * centre * time_us) / time_us
    return float(np.sqrt(max(second - first * first, 0.0)))
