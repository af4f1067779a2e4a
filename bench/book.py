"""Claim: the ladder takes ≥ 30 M level updates/s, ≥ 20 × two sortedcontainers.SortedDict 2.4.

A message sets 64 levels; then the top 20 of both sides is read.
The updates come from a seed: a price that wanders, levels at distances with a heavy tail, a fifth of them
removals, and the levels that the price has crossed removed. Once in a compiled loop over all messages, as in
replay, and once with a call from Python for every message, as live.
"""

from collections.abc import Callable
from functools import partial
from itertools import islice

import numpy as np
from numpy.typing import NDArray
from sortedcontainers import SortedDict

from bench.duel import Claim, Contender, duel
from undertow.book.ladder import ASK, BID, Ladder, levels, new_ladder, set_level, top
from undertow.compiled import kernel

__all__ = ["measure"]

Integers = NDArray[np.int64]

_MESSAGES = 4_000
_LEVELS = 64
_DEPTH = 20
_START_TICKS = 600_000


def _updates(seed: int) -> Integers:
    """(updates, 3): side, tick and lots; a message is _LEVELS consecutive rows."""
    rng = np.random.default_rng(seed)
    half = _LEVELS // 2
    middle = _START_TICKS + np.cumsum(rng.integers(-2, 3, _MESSAGES))
    distance = 1 + np.minimum(rng.pareto(0.6, (_MESSAGES, 2, half)) * 4, 50_000).astype(np.int64)
    distance[:, :, :2] = [0, -1]
    lots = rng.integers(1, 5_000, distance.shape)
    lots[rng.random(distance.shape) < 0.2] = 0
    lots[distance <= 0] = 0
    ticks = middle[:, None, None] + np.array([-1, 1])[None, :, None] * distance
    sides = np.broadcast_to(np.array([BID, ASK])[None, :, None], ticks.shape)
    return np.stack([sides, ticks, lots], axis=-1).reshape(-1, 3)


@kernel
def _apply(ladder: Ladder, updates: Integers, begin: int, end: int) -> None:
    for row in range(begin, end):
        set_level(ladder, updates[row, 0], updates[row, 1], updates[row, 2])


@kernel
def _message(ladder: Ladder, updates: Integers, begin: int, out: Integers) -> None:
    """One message, then the top of both sides into `out`, (4, depth): ticks and lots of bids, of asks."""
    _apply(ladder, updates, begin, begin + _LEVELS)
    top(ladder, BID, out[0], out[1])
    top(ladder, ASK, out[2], out[3])


@kernel
def _replay(ladder: Ladder, updates: Integers, out: Integers) -> None:
    for begin in range(0, len(updates), _LEVELS):
        _message(ladder, updates, begin, out)


def _in_one_loop(updates: Integers) -> Callable[[], int]:
    ladder, out = _empty()

    def run() -> int:
        _replay(ladder, updates, out)
        return len(updates)

    return run


def _call_by_call(updates: Integers) -> Callable[[], int]:
    ladder, out = _empty()

    def run() -> int:
        for begin in range(0, len(updates), _LEVELS):
            _message(ladder, updates, begin, out)
        return len(updates)

    return run


def _empty() -> tuple[Ladder, Integers]:
    """A ladder whose overflow never has to grow here, and room for the best levels."""
    return new_ladder(overflow_capacity=200_000), np.zeros((4, _DEPTH), np.int64)


def _with_sorted_dicts(updates: Integers) -> Callable[[], int]:
    rows = updates.tolist()
    return lambda: len(rows) if _fill_sorted_dicts(rows) else 0


def _fill_sorted_dicts(rows: list[list[int]]) -> list[SortedDict]:
    """The book as two SortedDicts, bids by negative tick, with the best levels read after every message."""
    book = [SortedDict(), SortedDict()]
    for begin in range(0, len(rows), _LEVELS):
        for side, tick, lots in rows[begin : begin + _LEVELS]:
            key = tick if side else -tick
            if lots:
                book[side][key] = lots
            else:
                book[side].pop(key, None)
        for levels_of_side in book:
            list(islice(levels_of_side.items(), _DEPTH))
    return book


def _check_agreement(updates: Integers) -> None:
    ladder, out = _empty()
    _replay(ladder, updates, out)
    for side, expected in enumerate(_fill_sorted_dicts(updates.tolist())):
        ticks, lots = levels(ladder, side)
        if dict(zip((ticks if side else -ticks).tolist(), lots.tolist(), strict=True)) != dict(expected):
            raise ValueError("the ladder and the dictionaries hold different books")


def measure(rounds: int) -> list[Claim]:
    """One table."""
    updates = _updates(seed=1)
    _check_agreement(updates)
    contenders = [
        Contender("undertow, one loop", partial(_in_one_loop, updates)),
        Contender("undertow, a call a message", partial(_call_by_call, updates)),
        Contender("SortedDict", partial(_with_sorted_dicts, updates)),
    ]
    return [duel("level updates, top 20 read every 64", "updates/s", contenders, rounds)]
