"""What an update changes in a book: quantities added and removed, and order-flow imbalance."""

import numpy as np
from numpy.typing import NDArray

from undertow.book.ladder import BID, Ladder, level, set_level
from undertow.compiled import borrowed, kernel

__all__ = ["apply_levels", "side_flow"]

Integers = NDArray[np.int64]


@kernel
def side_flow(now_ticks: int, now_lots: int, ticks: int, lots: int, sign: int) -> int:
    """One side's term of the order-flow imbalance; sign +1 bid, -1 ask; lots 0 = no such level.

    e = 1{P ≥ P₋}q − 1{P ≤ P₋}q₋ on the bid, mirrored on the ask (Cont, Kukanov, Stoikov 2014, eq. 4).
    """
    now = sign * now_ticks if now_lots > 0 else -(2**62)
    before = sign * ticks if lots > 0 else -(2**62)
    flow = 0
    if now >= before:
        flow += now_lots
    if now <= before:
        flow -= lots
    return sign * flow


@kernel
def apply_levels(
    ladder: Ladder,
    side: int,
    start: int,
    count: int,
    ticks: Integers,
    lots: Integers,
    best: Integers,
    sums: Integers,
    at: int,
) -> bool:
    """Set the levels of one side; False when the ladder has to grow first (setting again does no harm).

    Adds what was added and what was removed at or better than the last of the best prices of before to
    columns `at` and `at + 1` of `sums` (grids, columns). `best` is (4, levels): bid ticks, bid lots, ask
    ticks, ask lots; where a side had fewer levels, every price counts.
    """
    ladder = borrowed(ladder)
    sign = 1 if side == BID else -1
    last = best.shape[1] - 1
    worst = sign * best[2 * side, last] if best[2 * side + 1, last] > 0 else -(2**62)
    added, removed, done = 0, 0, True
    for i in range(start, start + count):
        change = lots[i] - level(ladder, side, ticks[i]) if sign * ticks[i] >= worst else 0
        done = set_level(ladder, side, ticks[i], lots[i])
        if not done:
            break
        added += max(change, 0)
        removed -= min(change, 0)
    for grid in range(len(sums)):
        sums[grid, at] += added
        sums[grid, at + 1] += removed
    return done
