"""Who trades in the simulated market, and why its price moves.

A latent fair value F (whole ticks) jumps at self-exciting times. A market maker requotes real orders at
F − h and F + h within the same millisecond, so that at every published instant the mid is exactly F: no
bounce, no imbalance of the queues moves it. A jump is up with probability

    1/2 + signal · tanh(flow / scale) / 2          flow: signed market-order volume, half-life 5 s

At signal = 0 the sign is a fair coin, independent of all that came before: the mid is a martingale with
respect to everything that can be seen, whatever sizes, arrival times, spreads and queues do.

The others place and cancel limit orders (distances and sizes after power laws) and send market orders whose
sign persists; a market order raises the rate of further ones for a while (Hawkes process with exponential
kernel, simulated by thinning: Ogata 1981), and so does a jump for further jumps, which clusters volatility.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from undertow.compiled import borrowed, kernel
from undertow.venues.simulated.matching import (
    ANCHOR,
    ASK,
    BID,
    BID_LEVELS,
    HANDLE,
    MAKER,
    NO_TICK,
    NOW_MS,
    OWNER,
    PUBLIC,
    RESTING,
    TICK,
    UPDATE_ID,
    Book,
    add,
    best,
    cancel,
    has_room,
    is_resting,
    level_lots,
    set_anchor,
    take,
)

__all__ = ["FlowState", "Habits", "advance", "new_flow", "seed_book"]

Integers = NDArray[np.int64]
Reals = NDArray[np.float64]

# Entries of FlowState.reals. Times in ms since the start, rates per ms.
NEXT_MS, BOUND, LAST_MS, TRADE_HEAT, JUMP_HEAT, FLOW = range(6)
# Entries of FlowState.integers.
FAIR, HALF_SPREAD, LEANING, START_MS, TOP_COUNT = range(5)
# Cause of a fill, in Book.trades.
MARKET, LIQUIDATION = range(2)

_FLOW_HALF_LIFE_MS = 5000.0
_ROOM = 8192
"""Log rows that one millisecond never needs."""
_MAKER_OFFSETS = 3
"""The market maker quotes its best price and the next ticks behind it."""


class Habits(NamedTuple):
    """How a market behaves. Rates per second, sizes in lots, distances in ticks."""

    signal: float = 0.0
    flow_scale: float = 1.5
    """Flow, in mean order sizes, at which tanh bends."""
    trade_rate: float = 2.4
    """Base rate of market orders; about twice as many come, since they excite each other."""
    trade_excitement: float = 0.5
    """Further market orders that one causes on average."""
    trade_memory_s: float = 2.0
    jump_rate: float = 0.45
    jump_excitement: float = 0.7
    jump_memory_s: float = 8.0
    jump_ticks: float = 10.0
    """Mean size of a jump."""
    lean: float = 0.6
    """A market order follows the current leaning with probability (1 + lean) / 2."""
    lean_change_rate: float = 0.12
    place_rate: float = 130.0
    cancel_rate: float = 0.13
    """Per resting order."""
    spread_change_rate: float = 0.4
    distance: float = 40.0
    """Distance from the best price of half the new orders, about."""
    distance_power: float = 1.1
    most_distant: float = 6000.0
    order_lots: float = 4.0
    trade_lots: float = 2.0
    size_power: float = 1.4
    largest: float = 1000.0
    """Largest size, in smallest ones."""
    maker_lots: float = 800.0
    snipe_share: float = 0.2
    """Share of the jumps in which stale orders are hit rather than withdrawn in time."""
    liquidation_share: float = 0.004
    minimum_levels: int = 160
    """Levels a side that are always there."""


class FlowState(NamedTuple):
    """The arrays of one market's participants, which kernels change in place."""

    reals: Reals
    """Time of the next candidate event, the rate it was drawn with, time of the last, excitements, flow."""
    integers: Integers
    """Fair value, half spread, leaning of the flow (±1), start [ms since the epoch], rows in `tops`."""
    maker: Integers
    """(2, 3): handles of the market maker's orders."""
    tops: Integers
    """(rows, 6): time [ms], update id, best bid, its lots, best ask, its lots, wherever one has changed;
    row 0 is what was there before."""


def new_flow(fair_ticks: int, start_ms: int, *, rows: int = 1 << 15) -> FlowState:
    """Participants before their first action."""
    integers = np.array([fair_ticks, 1, 1, start_ms, 1], np.int64)
    maker = np.zeros((2, _MAKER_OFFSETS), np.int64)
    return FlowState(np.zeros(6), integers, maker, np.zeros((rows, 6), np.int64))


@kernel
def _power_law(rng: np.random.Generator, power: float, largest: float) -> float:
    """A Pareto variable from 1 up, cut at `largest`."""
    return float(min(largest, (1.0 - rng.random()) ** (-1.0 / power)))


@kernel
def _wait(rng: np.random.Generator, rate: float) -> float:
    """An exponential waiting time."""
    return float(-math.log(1.0 - rng.random()) / rate)


@kernel
def _mean_size(habits: Habits) -> float:
    """Mean of the cut power law that sizes follow, in smallest sizes."""
    power, largest = habits.size_power, habits.largest
    return float((power - largest ** (1.0 - power)) / (power - 1.0))


@kernel
def _place(book: Book, rng: np.random.Generator, habits: Habits, side: int, nearest: float) -> None:
    """A limit order at a power-law distance from the best price, at least `nearest` ticks."""
    book = borrowed(book)
    distance = habits.distance * (_power_law(rng, habits.distance_power, 1e9) - 1.0) + nearest
    lots = int(habits.order_lots * _power_law(rng, habits.size_power, habits.largest))
    touch = best(book, side)
    if touch == NO_TICK or distance > habits.most_distant:
        return
    add(book, side, touch + (1 if side == ASK else -1) * int(distance), lots, PUBLIC)


@kernel
def _cancel_any(book: Book, rng: np.random.Generator) -> None:
    """Withdraw a random order, unless it is the market maker's."""
    book = borrowed(book)
    slot = book.resting[int(rng.random() * book.meta[RESTING])]
    if book.orders[slot, OWNER] == PUBLIC:
        cancel(book, book.orders[slot, HANDLE])


@kernel
def _trade(book: Book, flow: FlowState, rng: np.random.Generator, habits: Habits) -> None:
    """A market order; its volume becomes part of the flow."""
    book = borrowed(book)
    flow = borrowed(flow)
    follows = rng.random() < 0.5 + 0.5 * habits.lean
    sign = flow.integers[LEANING] if follows else -flow.integers[LEANING]
    lots = max(1, int(habits.trade_lots * _power_law(rng, habits.size_power, habits.largest)))
    cause = LIQUIDATION if rng.random() < habits.liquidation_share else MARKET
    filled = lots - take(book, BID if sign > 0 else ASK, NO_TICK, lots, cause)
    flow.reals[FLOW] += sign * filled / (habits.trade_lots * _mean_size(habits))


@kernel
def _jump(flow: FlowState, rng: np.random.Generator, habits: Habits, floor_ticks: int) -> None:
    """Move the fair value; a move that could end below the floor is left out in both directions."""
    lean = habits.signal * math.tanh(flow.reals[FLOW] / habits.flow_scale)
    sign = 1 if rng.random() < 0.5 + 0.5 * lean else -1
    usual_rate = habits.jump_rate / (1.0 - habits.jump_excitement)
    agitation = min(4.0, (habits.jump_rate + 1e3 * flow.reals[JUMP_HEAT]) / usual_rate)
    size = 1 + int(_wait(rng, 1.0) * agitation * (habits.jump_ticks - 0.5))
    if flow.integers[FAIR] - size > floor_ticks:
        flow.integers[FAIR] += sign * size


@kernel
def _clear_inside(book: Book, side: int, target: int) -> None:
    """Withdraw all orders of a side that are better than `target`."""
    book = borrowed(book)
    while True:
        touch = best(book, side)
        if touch == NO_TICK or (touch <= target if side == BID else touch >= target):
            return
        slot = book.levels[touch & (book.levels.shape[0] - 1), 0]
        cancel(book, book.orders[slot, HANDLE])


@kernel
def _withdraw_maker(book: Book, flow: FlowState, side: int, target: int) -> None:
    """Take back the market maker's orders of a side where they no longer stand as they should."""
    book = borrowed(book)
    flow = borrowed(flow)
    step = 1 if side == ASK else -1
    capacity = book.orders.shape[0]
    for row in range(_MAKER_OFFSETS):
        handle = flow.maker[side, row]
        if is_resting(book, handle) and book.orders[handle % capacity, TICK] != target + step * row:
            cancel(book, handle)


@kernel
def _quote(
    book: Book, flow: FlowState, rng: np.random.Generator, habits: Habits, side: int, target: int
) -> None:
    """Have the market maker's orders of a side stand at `target` and behind it."""
    book = borrowed(book)
    flow = borrowed(flow)
    step = 1 if side == ASK else -1
    for row in range(_MAKER_OFFSETS):
        if not is_resting(book, flow.maker[side, row]):
            lots = 1 + int(habits.maker_lots * _wait(rng, 1.0))
            flow.maker[side, row] = add(book, side, target + step * row, lots, MAKER)


@kernel
def _snipe(book: Book, side: int, target: int) -> None:
    """Hit what still rests on `side` better than `target`, instead of letting it be withdrawn."""
    beyond = target + 1 if side == BID else target - 1
    take(book, 1 - side, beyond, 1 << 40, MARKET)


@kernel
def _publish(book: Book, flow: FlowState, rng: np.random.Generator, habits: Habits) -> None:
    """Bring the quotes to the fair value and note the top of the book, at the end of a millisecond."""
    book = borrowed(book)
    flow = borrowed(flow)
    fair, half = flow.integers[FAIR], flow.integers[HALF_SPREAD]
    targets = (fair - half, fair + half)
    if abs(fair - book.meta[ANCHOR]) > book.levels.shape[0] >> 4:
        set_anchor(book, fair)
    for side in range(2):
        _withdraw_maker(book, flow, side, targets[side])
    for side in range(2):
        touch = best(book, side)
        passed = touch >= fair if side == BID else (touch != NO_TICK and touch <= fair)
        if passed and rng.random() < habits.snipe_share:
            _snipe(book, side, targets[side])
        _clear_inside(book, side, targets[side])
    for side in range(2):
        _quote(book, flow, rng, habits, side, targets[side])
        while book.meta[BID_LEVELS + side] < habits.minimum_levels:
            _place(book, rng, habits, side, 3.0)
    _note_top(book, flow, targets[BID], targets[ASK])


@kernel
def _note_top(book: Book, flow: FlowState, bid: int, ask: int) -> None:
    book = borrowed(book)
    flow = borrowed(flow)
    count = flow.integers[TOP_COUNT]
    row = flow.tops[count]
    row[0], row[1] = book.meta[NOW_MS], book.meta[UPDATE_ID]
    row[2], row[3] = bid, level_lots(book, BID, bid)
    row[4], row[5] = ask, level_lots(book, ASK, ask)
    last = flow.tops[count - 1]
    if not (row[2] == last[2] and row[3] == last[3] and row[4] == last[4] and row[5] == last[5]):
        flow.integers[TOP_COUNT] = count + 1


@kernel
def _rates(book: Book, flow: FlowState, habits: Habits) -> tuple[float, float, float, float, float, float]:
    """Rates per ms now: market order, jump, placement, cancellation, change of spread, change of leaning."""
    book = borrowed(book)
    flow = borrowed(flow)
    reals = flow.reals
    return (
        habits.trade_rate * 1e-3 + reals[TRADE_HEAT],
        habits.jump_rate * 1e-3 + reals[JUMP_HEAT],
        habits.place_rate * 1e-3,
        habits.cancel_rate * 1e-3 * book.meta[RESTING],
        habits.spread_change_rate * 1e-3,
        habits.lean_change_rate * 1e-3,
    )


@kernel
def _act(book: Book, flow: FlowState, rng: np.random.Generator, habits: Habits, floor_ticks: int) -> bool:
    """Let what happens at the candidate time happen; False where the candidate is rejected."""
    book = borrowed(book)
    flow = borrowed(flow)
    rates = _rates(book, flow, habits)
    pick = rng.random() * flow.reals[BOUND]
    kind = 0
    while kind < 6 and pick >= rates[kind]:
        pick -= rates[kind]
        kind += 1
    if kind == 0:
        flow.reals[TRADE_HEAT] += habits.trade_excitement / (habits.trade_memory_s * 1e3)
        _trade(book, flow, rng, habits)
    elif kind == 1:
        _jump(flow, rng, habits, floor_ticks)
        flow.reals[JUMP_HEAT] += habits.jump_excitement / (habits.jump_memory_s * 1e3)
    elif kind == 2:
        _place(book, rng, habits, int(rng.random() * 2.0), 0.0)
    elif kind == 3:
        _cancel_any(book, rng)
    elif kind == 4:
        flow.integers[HALF_SPREAD] = 1 + int(rng.random() * 3.0)
    elif kind == 5:
        flow.integers[LEANING] = -flow.integers[LEANING]
    return kind < 6


@kernel
def _draw_next(book: Book, flow: FlowState, rng: np.random.Generator, habits: Habits) -> None:
    """Draw the next candidate; until then rates only fall, so their sum now bounds them (Ogata 1981)."""
    book = borrowed(book)
    flow = borrowed(flow)
    rates = _rates(book, flow, habits)
    bound = rates[0] + rates[1] + rates[2] + rates[3] + rates[4] + rates[5]
    flow.reals[BOUND] = bound
    flow.reals[NEXT_MS] += _wait(rng, bound)


@kernel
def _decay(flow: FlowState, habits: Habits) -> None:
    """Let excitements and flow fade until the candidate time."""
    flow = borrowed(flow)
    reals = flow.reals
    elapsed_ms = reals[NEXT_MS] - reals[LAST_MS]
    reals[LAST_MS] = reals[NEXT_MS]
    reals[TRADE_HEAT] *= math.exp(-elapsed_ms / (habits.trade_memory_s * 1e3))
    reals[JUMP_HEAT] *= math.exp(-elapsed_ms / (habits.jump_memory_s * 1e3))
    reals[FLOW] *= 0.5 ** (elapsed_ms / _FLOW_HALF_LIFE_MS)


@kernel
def advance(
    book: Book, flow: FlowState, rng: np.random.Generator, habits: Habits, until_ms: int, floor_ticks: int
) -> bool:
    """Let the market live until just before `until_ms` [ms since the epoch].

    False: a log is nearly full, and the market stands still after a published millisecond until it is called
    again. The outcome does not depend on how the time is divided among calls.
    """
    book = borrowed(book)
    flow = borrowed(flow)
    reals, start_ms = flow.reals, flow.integers[START_MS]
    while reals[NEXT_MS] < until_ms - start_ms:
        if not has_room(book, _ROOM) or flow.integers[TOP_COUNT] + 2 > flow.tops.shape[0]:
            return False
        present_ms = math.floor(reals[NEXT_MS])
        book.meta[NOW_MS] = start_ms + int(present_ms)
        has_changed = False
        while reals[NEXT_MS] < present_ms + 1.0:
            _decay(flow, habits)
            has_changed = _act(book, flow, rng, habits, floor_ticks) or has_changed
            _draw_next(book, flow, rng, habits)
        if has_changed:
            _publish(book, flow, rng, habits)
    return True


@kernel
def seed_book(book: Book, flow: FlowState, rng: np.random.Generator, habits: Habits) -> None:
    """Fill the empty book as it is after a long time, and draw the first event."""
    book.meta[NOW_MS] = flow.integers[START_MS]
    fair, half = flow.integers[FAIR], flow.integers[HALF_SPREAD]
    for side in range(2):
        _quote(book, flow, rng, habits, side, fair - half if side == BID else fair + half)
    while book.meta[RESTING] < habits.place_rate / habits.cancel_rate:
        _place(book, rng, habits, book.meta[RESTING] & 1, 0.0)
    _publish(book, flow, rng, habits)
    _draw_next(book, flow, rng, habits)
