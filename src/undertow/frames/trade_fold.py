"""Folding trades into one row a second: exact sums in ticks and lots, state carried across any cut."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from undertow.compiled import borrowed, kernel
from undertow.market.time import SECOND_NS

__all__ = [
    "SECOND_COLUMNS",
    "LargeTradeRule",
    "TradeState",
    "fold_trades",
    "grow_window",
    "new_trade_state",
    "start_grid",
]

Integers = NDArray[np.int64]

SECOND_COLUMNS = (
    "open_ns",
    "open",
    "high",
    "low",
    "close",
    "trade_count",
    "buy_lots",
    "sell_lots",
    "notional",
    "large_count",
    "large_lots",
    "trailing_1",
    "trailing_5",
    "trailing_10",
    "last_trade_ns",
)
"""Columns of a second's row; meaning as in `Frames`."""

_OPEN_NS, _OPEN, _HIGH, _LOW, _CLOSE, _COUNT, _BUY, _SELL = 0, 1, 2, 3, 4, 5, 6, 7
_NOTIONAL, _LARGE_COUNT, _LARGE_LOTS, _TRAILING, _LAST_NS = 8, 9, 10, 11, 14
_WIDTH = 15
_TRAILING_SECONDS = 10

_HEAD, _SIZE, _SUM, _STARTED = 0, 1, 2, 3


class LargeTradeRule(NamedTuple):
    """A trade is large when quantity > factor × mean quantity of those in (t − window, t] up to itself."""

    factor: float = 2.0
    window_ns: int = 15 * 60 * SECOND_NS


class TradeState(NamedTuple):
    """Everything the fold carries, changed in place."""

    row: Integers
    """(15,) the second that is open."""
    counts: Integers
    """(10,) trades in each of the last ten seconds, ring by second of the epoch."""
    window: Integers
    """(2, capacity) times and lots of the trades in the large-trade window, a ring; a power of two."""
    meta: Integers
    """(4,) head, size and Σ lots of the window, and whether the grid has started."""


def new_trade_state() -> TradeState:
    """The state before the first trade."""
    return TradeState(
        np.zeros(_WIDTH, np.int64),
        np.zeros(_TRAILING_SECONDS, np.int64),
        np.zeros((2, 1 << 14), np.int64),
        np.zeros(4, np.int64),
    )


def start_grid(state: TradeState, start_ns: int) -> None:
    """Begin the row grid at the second of `start_ns`, once."""
    if not state.meta[_STARTED]:
        state.row[_OPEN_NS] = start_ns // SECOND_NS * SECOND_NS
        state.meta[_STARTED] = 1


def grow_window(state: TradeState) -> TradeState:
    """The same state with room for twice as many trades in the window."""
    capacity = state.window.shape[1]
    order = (state.meta[_HEAD] + np.arange(state.meta[_SIZE])) % capacity
    window = np.zeros((2, 2 * capacity), np.int64)
    window[:, : len(order)] = state.window[:, order]
    state.meta[_HEAD] = 0
    return state._replace(window=window)


@kernel
def _expire(state: TradeState, event_ns: int, window_ns: int) -> None:
    """Let trades at or before `event_ns - window_ns` leave the window."""
    meta, window = state.meta, state.window
    mask = window.shape[1] - 1  # a division would be half of the fold's time
    while meta[_SIZE] > 0 and window[0, meta[_HEAD]] <= event_ns - window_ns:
        meta[_SUM] -= window[1, meta[_HEAD]]
        meta[_HEAD] = (meta[_HEAD] + 1) & mask
        meta[_SIZE] -= 1


@kernel
def _add_trade(
    state: TradeState,
    event_ns: int,
    ticks: int,
    lots: int,
    is_buyer_maker: bool,  # noqa: FBT001 - kernels have no keyword arguments
    factor: float,
    window_ns: int,
) -> None:
    """Take one trade into the open second; the window has room for it."""
    meta, window, row = state.meta, state.window, state.row
    _expire(state, event_ns, window_ns)
    slot = (meta[_HEAD] + meta[_SIZE]) & (window.shape[1] - 1)
    window[0, slot] = event_ns
    window[1, slot] = lots
    meta[_SIZE] += 1
    meta[_SUM] += lots
    if row[_COUNT] == 0:
        row[_OPEN] = row[_HIGH] = row[_LOW] = ticks
    row[_HIGH] = max(row[_HIGH], ticks)
    row[_LOW] = min(row[_LOW], ticks)
    row[_CLOSE] = ticks
    row[_COUNT] += 1
    row[_SELL if is_buyer_maker else _BUY] += lots
    row[_NOTIONAL] += ticks * lots
    if lots * meta[_SIZE] > factor * meta[_SUM]:
        row[_LARGE_COUNT] += 1
        row[_LARGE_LOTS] += lots
    row[_LAST_NS] = event_ns


@kernel
def _close_second(state: TradeState, out: Integers) -> None:
    """Write the open second's row and open the next."""
    row = state.row
    second = row[_OPEN_NS] // SECOND_NS
    state.counts[second % _TRAILING_SECONDS] = row[_COUNT]
    total = 0
    for back in range(_TRAILING_SECONDS):
        total += state.counts[(second - back) % _TRAILING_SECONDS]
        if back == 0:
            row[_TRAILING] = total
        elif back == 4:
            row[_TRAILING + 1] = total
    row[_TRAILING + 2] = total
    if row[_COUNT] == 0:
        row[_OPEN] = row[_HIGH] = row[_LOW] = row[_CLOSE]
    out[:] = row
    row[_OPEN_NS] += SECOND_NS
    for i in range(_COUNT, _LAST_NS):
        row[i] = 0


@kernel
def fold_trades(
    event_ns: Integers,
    ticks: Integers,
    lots: Integers,
    is_buyer_maker: NDArray[np.bool_],
    at: int,
    until_ns: int,
    factor: float,
    window_ns: int,
    state: TradeState,
    out: Integers,
) -> tuple[int, int]:
    """Fold trades, sorted by (time, id), from row `at` on and close every second that ends by `until_ns`.

    `out` is (seconds, 15) and large enough. Returns (trades folded so far, rows written); fewer trades than
    there are means that the window must grow before going on. The grid has been started, and no trade lies
    before it or at or after `until_ns`.
    """
    event_ns, ticks, lots, is_buyer_maker, out = borrowed((event_ns, ticks, lots, is_buyer_maker, out))
    state = borrowed(state)
    written = 0
    row = state.row
    capacity = state.window.shape[1]
    for i in range(at, len(event_ns)):
        while event_ns[i] >= row[_OPEN_NS] + SECOND_NS:
            _close_second(state, out[written])
            written += 1
        if state.meta[_SIZE] == capacity:
            _expire(state, event_ns[i], window_ns)
            if state.meta[_SIZE] == capacity:
                return i, written
        _add_trade(state, event_ns[i], ticks[i], lots[i], is_buyer_maker[i], factor, window_ns)
    while row[_OPEN_NS] + SECOND_NS <= until_ns:
        _close_second(state, out[written])
        written += 1
    return len(event_ns), written
