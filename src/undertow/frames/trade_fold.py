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
    """(2, capacity) times of the trades in the large-trade window, and Σ lots of all trades before each; a
    ring, its capacity a power of two."""
    meta: Integers
    """(4,) head and size of the window, Σ lots of all trades, and whether the grid has started."""


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
def _expired(window: Integers, head: int, oldest_ns: int) -> int:
    """The first place from `head` on whose trade is after `oldest_ns`; there is one."""
    mask = window.shape[1] - 1  # a division would be dear
    while window[0, head & mask] <= oldest_ns:
        head += 1
    return head


@kernel
def _append(
    state: TradeState, event_ns: Integers, lots: Integers, at: int, until_ns: int, window_ns: int
) -> int:
    """Put the trades from row `at` on and before `until_ns` into the window, as many as it has room for.

    Returns the row after them.
    """
    meta, window = state.meta, state.window
    capacity = window.shape[1]
    if meta[_SIZE] == capacity and window[0, (meta[_HEAD] - 1) & (capacity - 1)] > event_ns[at] - window_ns:
        head = _expired(window, meta[_HEAD], event_ns[at] - window_ns)
        meta[_SIZE] -= head - meta[_HEAD]
        meta[_HEAD] = head & (capacity - 1)
    elif meta[_SIZE] == capacity:
        meta[_SIZE] = 0
    place, total = meta[_HEAD] + meta[_SIZE], meta[_SUM]
    limit = min(len(event_ns), at + capacity - meta[_SIZE])
    begin = at
    while at < limit and event_ns[at] < until_ns:
        slot = place & (capacity - 1)
        window[0, slot], window[1, slot] = event_ns[at], total
        total += lots[at]
        place += 1
        at += 1
    meta[_SIZE] += at - begin
    meta[_SUM] = total
    return at


@kernel
def _judge(
    state: TradeState,
    event_ns: Integers,
    lots: Integers,
    begin: int,
    end: int,
    factor: float,
    window_ns: int,
) -> None:
    """Count the large ones of the newest trades of the window, rows `begin` to `end`; let old ones leave it.

    What has left by the first and by the last of these trades bounds what has left by any of them; nearly
    always that decides, and where it does not, the trade's own window is looked up.
    """
    meta, window, row = state.meta, state.window, state.row
    mask = window.shape[1] - 1
    first = meta[_HEAD] + meta[_SIZE] - (end - begin)
    near = _expired(window, meta[_HEAD], event_ns[begin] - window_ns)
    far = _expired(window, near, event_ns[end - 1] - window_ns)
    most, least = window[1, near & mask], window[1, far & mask]
    exact = near
    for i in range(begin, end):
        place = first + i - begin
        total = window[1, place & mask] + lots[i]
        if lots[i] * (place - near + 1) <= factor * (total - least):
            continue
        if not lots[i] * (place - far + 1) > factor * (total - most):
            exact = _expired(window, exact, event_ns[i] - window_ns)
            if not lots[i] * (place - exact + 1) > factor * (total - window[1, exact & mask]):
                continue
        row[_LARGE_COUNT] += 1
        row[_LARGE_LOTS] += lots[i]
    meta[_SIZE] -= far - meta[_HEAD]
    meta[_HEAD] = far & mask


@kernel
def _add_sums(
    row: Integers,
    event_ns: Integers,
    ticks: Integers,
    lots: Integers,
    is_buyer_maker: NDArray[np.bool_],
    begin: int,
    end: int,
) -> None:
    """Prices and sums of trades of the open second; at least one."""
    if row[_COUNT] == 0:
        row[_OPEN] = row[_HIGH] = row[_LOW] = ticks[begin]
    high, low = row[_HIGH], row[_LOW]
    total, sold, notional = 0, 0, 0
    prices, sizes, sells = ticks[begin:end], lots[begin:end], is_buyer_maker[begin:end]
    for i in range(len(sizes)):  # from 0 on, no index has to be looked at for being negative
        high = max(high, prices[i])
        low = min(low, prices[i])
        total += sizes[i]
        sold += sizes[i] * sells[i]
        notional += prices[i] * sizes[i]
    row[_HIGH], row[_LOW], row[_CLOSE] = high, low, ticks[end - 1]
    row[_COUNT] += end - begin
    row[_BUY] += total - sold
    row[_SELL] += sold
    row[_NOTIONAL] += notional
    row[_LAST_NS] = event_ns[end - 1]


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
    written, row = 0, state.row
    window_ns = max(window_ns, 1)  # a trade is in its own window
    while True:
        close_ns = row[_OPEN_NS] + SECOND_NS
        while at < len(event_ns) and event_ns[at] < min(close_ns, until_ns):
            end = _append(state, event_ns, lots, at, close_ns, window_ns)
            if end == at:
                return at, written
            _judge(state, event_ns, lots, at, end, factor, window_ns)
            _add_sums(row, event_ns, ticks, lots, is_buyer_maker, at, end)
            at = end
        if close_ns > until_ns:
            return at, written
        _close_second(state, out[written])
        written += 1
