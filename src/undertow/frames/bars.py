"""Merging seconds and book samples into bars of any length: one pass, state carried across any cut."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from undertow.compiled import borrowed, kernel
from undertow.frames.frames import BOOK_LEVELS, FlowFrames, Frames
from undertow.frames.market_frames import unknown_market
from undertow.market.instruments import Instrument
from undertow.market.time import SECOND_NS

__all__ = ["LATE", "WIDTH", "BarState", "fold_bars", "new_bar_state", "to_frames"]

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]

# Columns of a bar's integers; the first fifteen are those of a second (`trade_fold.SECOND_COLUMNS`).
_OPEN_NS, _OPEN, _HIGH, _LOW, _CLOSE, _COUNT, _BUY, _LARGE_LOTS = 0, 1, 2, 3, 4, 5, 6, 10
_TRAILING, _LAST_TRADE_NS = 11, 14
LATE, _TRADE_GAP, _GAP, _SAMPLES, _IMBALANCE_COUNT = 15, 16, 17, 18, 19
_SPREAD, _UPDATES, _LAST_UPDATE_NS, _DETAILED, _CHANGES = 22, 27, 28, 29, 30
WIDTH = 43

_COLUMNS = {
    "open_ns": 0,
    "open": 1,
    "high": 2,
    "low": 3,
    "close": 4,
    "trade_count": 5,
    "buy_lots": 6,
    "sell_lots": 7,
    "notional": 8,
    "large_count": 9,
    "large_lots": 10,
    "last_trade_ns": 14,
    "late_count": 15,
    "trade_gap_ns": 16,
    "gap_ns": 17,
    "sample_count": 18,
    "spread_integral": 22,
    "spread_square_integral": 23,
    "spread_time_us": 24,
    "ofi_1": 25,
    "ofi_10": 26,
    "update_count": 27,
    "last_update_ns": 28,
    "detailed_count": 29,
    "bid_added": 30,
    "bid_removed": 31,
    "ask_added": 32,
    "ask_removed": 33,
}
"""Where the columns of `Frames` that are one column of a bar lie."""

# Columns of a sample's integers (`book_fold.Samples`).
_SAMPLE_GRID, _SAMPLE_UPDATE_NS, _SAMPLE_SPREAD, _SAMPLE_CHANGES = 0, 2, 4, 10

_DEPTHS = (5, 10, 20)


class BarState(NamedTuple):
    """The open bar of one timeframe, changed in place."""

    integers: Integers
    """(43,)"""
    imbalances: Floats
    """(3,) Σ over the bar's samples, at depths 5, 10, 20."""
    levels: Integers
    """(4, 20) bid ticks, bid lots, ask ticks, ask lots of the bar's last sample."""
    started: Integers
    """(1,)"""


def new_bar_state() -> BarState:
    """The state before the first second."""
    return BarState(
        np.zeros(WIDTH, np.int64),
        np.zeros(3, np.float64),
        np.zeros((4, BOOK_LEVELS), np.int64),
        np.zeros(1, np.int64),
    )


@kernel
def _add_second(bar: Integers, second: Integers, extra: Integers) -> None:
    """Merge one second and its (trade gap, gap) into the bar."""
    bar, second, extra = borrowed((bar, second, extra))
    if second[_COUNT] > 0:
        if bar[_COUNT] == 0:
            bar[_OPEN], bar[_HIGH], bar[_LOW] = second[_OPEN], second[_HIGH], second[_LOW]
        bar[_HIGH] = max(bar[_HIGH], second[_HIGH])
        bar[_LOW] = min(bar[_LOW], second[_LOW])
    elif bar[_COUNT] == 0:
        bar[_OPEN] = bar[_HIGH] = bar[_LOW] = second[_CLOSE]
    bar[_CLOSE] = second[_CLOSE]
    for i in range(_COUNT, _LARGE_LOTS + 1):
        bar[i] += second[i]
    for i in range(_TRAILING, _LAST_TRADE_NS + 1):
        bar[i] = second[i]
    bar[_TRADE_GAP] += extra[0]
    bar[_GAP] += extra[1]


@kernel
def _add_sample(state: BarState, sample: Integers, bid_lots: Integers, ask_lots: Integers) -> None:
    """Merge one book sample into the bar, its levels apart."""
    state = borrowed(state)
    sample, bid_lots, ask_lots = borrowed((sample, bid_lots, ask_lots))
    bar = state.integers
    bar[_SAMPLES] += 1
    for i in range(6):
        bar[_SPREAD + i] += sample[_SAMPLE_SPREAD + i]
    bar[_LAST_UPDATE_NS] = sample[_SAMPLE_UPDATE_NS]
    if sample[_SAMPLE_CHANGES] >= 0:
        bar[_DETAILED] += 1
        for i in range(WIDTH - _CHANGES):
            bar[_CHANGES + i] += sample[_SAMPLE_CHANGES + i]
    bids, asks, level = 0, 0, 0
    for i in range(3):
        while level < _DEPTHS[i]:
            bids += bid_lots[level]
            asks += ask_lots[level]
            level += 1
        if bids + asks > 0:
            state.imbalances[i] += (bids - asks) / (bids + asks)
            bar[_IMBALANCE_COUNT + i] += 1


@kernel
def _close_bar(state: BarState, integers: Integers, imbalances: Floats) -> None:
    """Write the bar out and clear what does not carry over, its levels apart."""
    state = borrowed(state)
    integers, imbalances = borrowed((integers, imbalances))
    bar = state.integers
    for i in range(WIDTH):
        integers[i] = bar[i]
    for i in range(3):
        imbalances[i] = state.imbalances[i]
        state.imbalances[i] = 0.0
    for i in range(_COUNT, _LARGE_LOTS + 1):
        bar[i] = 0
    for i in range(LATE, _LAST_UPDATE_NS):
        bar[i] = 0
    for i in range(_DETAILED, WIDTH):
        bar[i] = 0


@kernel
def _copy_level(source: Integers, at: int, out: Integers, to: int) -> None:
    """Copy the best levels of one side of a sample."""
    source, out = borrowed((source, out))
    for j in range(BOOK_LEVELS):
        out[to, j] = source[at, j]


@kernel
def fold_bars(
    seconds: Integers,
    extras: Integers,
    samples: Integers,
    bid_ticks: Integers,
    bid_lots: Integers,
    ask_ticks: Integers,
    ask_lots: Integers,
    length_ns: int,
    state: BarState,
    integers: Integers,
    imbalances: Floats,
    levels: Integers,
) -> int:
    """Merge consecutive seconds; returns the bars written.

    `seconds` is (n, 15); `extras` (n, 2): ns in a trade gap, ns in any gap; `samples` (m, 23) and
    their levels (m, ≥20) all with first open < g ≤ last close. Output arrays have room; `levels` is
    (4, bars, 20).
    """
    seconds, extras, samples = borrowed((seconds, extras, samples))
    bid_ticks, bid_lots, ask_ticks, ask_lots = borrowed((bid_ticks, bid_lots, ask_ticks, ask_lots))
    integers, imbalances, levels = borrowed((integers, imbalances, levels))
    state = borrowed(state)
    written, at, first = 0, 0, 0
    for i in range(len(seconds)):
        open_ns = seconds[i, _OPEN_NS]
        close_ns = open_ns + SECOND_NS
        if state.started[0] == 0 or open_ns % length_ns == 0:
            state.integers[_OPEN_NS] = open_ns // length_ns * length_ns
            state.started[0] = 1
        _add_second(state.integers, seconds[i], extras[i])
        while at < len(samples) and samples[at, _SAMPLE_GRID] <= close_ns:
            _add_sample(state, samples[at], bid_lots[at], ask_lots[at])
            at += 1
        if close_ns % length_ns == 0:
            if at > first:
                _copy_level(bid_ticks, at - 1, levels[0], written)
                _copy_level(bid_lots, at - 1, levels[1], written)
                _copy_level(ask_ticks, at - 1, levels[2], written)
                _copy_level(ask_lots, at - 1, levels[3], written)
            else:
                levels[:, written] = state.levels
            state.levels[:, :] = 0
            _close_bar(state, integers[written], imbalances[written])
            written += 1
            first = at
    if at > first:
        _copy_level(bid_ticks, at - 1, state.levels, 0)
        _copy_level(bid_lots, at - 1, state.levels, 1)
        _copy_level(ask_ticks, at - 1, state.levels, 2)
        _copy_level(ask_lots, at - 1, state.levels, 3)
    return written


def to_frames(
    integers: Integers,
    imbalances: Floats,
    levels: Integers,
    flow: FlowFrames,
    instrument: Instrument,
    length_ns: int,
    lateness_ns: int,
) -> Frames:
    """Bars as the columns that features read."""
    columns = np.ascontiguousarray(integers.T)
    return Frames(
        length_ns=length_ns,
        price=instrument.price,
        quantity=instrument.quantity,
        lateness_ns=lateness_ns,
        **{name: columns[at] for name, at in _COLUMNS.items()},
        trailing_counts=integers[:, 11:14].copy(),
        bid_ticks=levels[0],
        bid_lots=levels[1],
        ask_ticks=levels[2],
        ask_lots=levels[3],
        imbalance_sums=imbalances,
        imbalance_counts=integers[:, 19:22].copy(),
        ofi_levels=np.concatenate([integers[:, 25:26], integers[:, 34:43]], axis=1),
        flow=flow,
        market=unknown_market(len(integers)),
    )
