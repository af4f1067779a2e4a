"""What single trades say of a second beyond its sums: signs, price moves, spreads, intensities, VPIN.

Folded from the same trades and book samples as the bars, in whole ticks and lots; only the decaying counts
are floats, and what is added to what depends on the clock alone. `FlowFrames` says what each column means.

The middle of the market at a trade is that of the newest sample g with g ≤ trade time, no older than a
second: that is known live and from stored samples alike. Where a second is touched by a gap of the trade
stream, chains from trade to trade end with it.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from undertow.compiled import borrowed, kernel
from undertow.market.time import DAY_NS, HOUR_NS, MILLISECOND_NS, SECOND_NS

__all__ = ["WIDTH", "FlowState", "fold_flow", "merge_flow", "new_flow_bar", "new_flow_state", "start_flow"]

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]

# Columns of a row, in the order of `FlowFrames`: sums, then values as of the close.
_BUYS, _ACTIVE_MS, _PAIRS, _CONTINUED, _UPS, _DOWNS, _ABSOLUTE, _SQUARE = range(8)
_CHANGE_PAIRS, _PRODUCTS, _SIGNED_NOTIONAL, _EFFECTIVE, _EFFECTIVE_VALUE = range(8, 13)
_REALISED, _IMPACT, _REALISED_VALUE, _VPIN_IMBALANCE, _VPIN_VOLUME, _SINCE_GAP = range(13, 19)
WIDTH, _SUMS = 19, 16

# Slots of FlowState.carry.
_OPEN_NS, _CLEAN_NS, _TICKS, _CHANGE, _CHANGED, _SIGN, _MILLISECOND = range(7)
_MID, _MID_NS, _HELD_LOTS, _HELD_SPREAD, _HELD_VALUE, _HEAD, _SIZE = range(7, 14)
_BUCKET, _NEXT_BUCKET, _FILLED, _BALANCE, _BUCKETS = range(14, 19)
_VOLUME, _VOLUME_NS, _WHOLE_DAY, _SLOTS = range(19, 23)

_HELD, _HORIZON_NS, _MID_AGE_NS = 1024, 5 * SECOND_NS, SECOND_NS
_VPIN_BUCKETS = 50
_NEVER = 2**62

_HALF_LIVES_S = np.array([1.0, 10.0, 60.0])
_PER_SECOND = 0.5 ** (1.0 / _HALF_LIVES_S)
_WEIGHTS = 0.5 ** ((1.0 - np.arange(1000)[:, None] / 1000.0) / _HALF_LIVES_S)
"""(1000, 3): what is left at the close of a trade in each millisecond of the second."""


class FlowState(NamedTuple):
    """Everything the fold carries, changed in place."""

    row: Integers
    """(19,) the second that is open."""
    recent: Floats
    """(2, 3) decaying counts of the open second: buys + sells, buys − sells."""
    levels: Floats
    """(2, 3) decaying counts of buys and of sells as of the newest close."""
    carry: Integers
    """(22,) the slots above."""
    held: Integers
    """(5, 1024) ring of samples whose later middle is awaited: time, middle, and of the trades at them signed
    lots, effective spread and value."""
    buckets: Integers
    """(2, 50) ring: |buys − sells| and volume of the newest complete buckets [lots]."""


def new_flow_state() -> FlowState:
    """The state before the first trade."""
    carry = np.zeros(_SLOTS, np.int64)
    carry[_CLEAN_NS], carry[_MILLISECOND] = -_NEVER, -1
    carry[_BUCKET] = carry[_NEXT_BUCKET] = _NEVER
    return FlowState(
        np.zeros(WIDTH, np.int64),
        np.zeros((2, 3)),
        np.zeros((2, 3)),
        carry,
        np.zeros((5, _HELD), np.int64),
        np.zeros((2, _VPIN_BUCKETS), np.int64),
    )


def start_flow(state: FlowState, start_ns: int) -> None:
    """Begin at the second of `start_ns`, once."""
    state.carry[_OPEN_NS] = state.carry[_VOLUME_NS] = start_ns // SECOND_NS * SECOND_NS


@kernel
def _hold(carry: Integers, held: Integers) -> None:
    """Put the trades at the present sample into the ring, in place of the oldest where it is full."""
    if carry[_HELD_VALUE] == 0:
        return
    if carry[_SIZE] == _HELD:
        carry[_HEAD] = (carry[_HEAD] + 1) % _HELD
        carry[_SIZE] -= 1
    slot = (carry[_HEAD] + carry[_SIZE]) % _HELD
    held[0, slot], held[1, slot] = carry[_MID_NS], carry[_MID]
    held[2, slot], held[3, slot], held[4, slot] = carry[_HELD_LOTS], carry[_HELD_SPREAD], carry[_HELD_VALUE]
    carry[_SIZE] += 1
    carry[_HELD_LOTS] = carry[_HELD_SPREAD] = carry[_HELD_VALUE] = 0


@kernel
def _take_sample(state: FlowState, sample_ns: int, middle: int) -> None:
    """A new middle [half ticks], 0 = a side is empty; it settles what waited for it."""
    carry, held, row = state.carry, state.held, state.row
    _hold(carry, held)
    carry[_MID], carry[_MID_NS] = middle, sample_ns
    while middle > 0 and carry[_SIZE] > 0 and held[0, carry[_HEAD]] + _HORIZON_NS <= sample_ns:
        head = carry[_HEAD]
        if held[0, head] + _HORIZON_NS + _MID_AGE_NS >= sample_ns:
            moved = (middle - held[1, head]) * held[2, head]
            row[_IMPACT] += moved
            row[_REALISED] += held[3, head] - moved
            row[_REALISED_VALUE] += held[4, head]
        carry[_HEAD] = (head + 1) % _HELD
        carry[_SIZE] -= 1


@kernel
def _fill_buckets(state: FlowState, sign: int, lots: int) -> None:
    """Share a trade that completes a volume bucket between this one and the next."""
    carry, buckets = state.carry, state.buckets
    while lots >= carry[_BUCKET] - carry[_FILLED]:
        room = carry[_BUCKET] - carry[_FILLED]
        slot = carry[_BUCKETS] % _VPIN_BUCKETS
        buckets[0, slot] = abs(carry[_BALANCE] + sign * room)
        buckets[1, slot] = carry[_BUCKET]
        carry[_BUCKETS] += 1
        lots -= room
        carry[_FILLED] = carry[_BALANCE] = 0
        carry[_BUCKET] = carry[_NEXT_BUCKET]
        if lots // carry[_BUCKET] > _VPIN_BUCKETS:  # only the newest are kept, and all would be alike
            lots -= (lots // carry[_BUCKET] - _VPIN_BUCKETS) * carry[_BUCKET]
    carry[_FILLED] += lots
    carry[_BALANCE] += sign * lots


@kernel
def _size_buckets(carry: Integers, now_ns: int) -> None:
    """At a full hour: a bucket is a fiftieth of a day's volume (Easley, López de Prado, O'Hara 2012).

    Fixed at 00:00 UTC from the day before; until a whole day has been seen, at each hour from what has.
    """
    elapsed_ns = now_ns - carry[_VOLUME_NS]
    whole_day = elapsed_ns >= DAY_NS and now_ns % DAY_NS == 0
    if elapsed_ns < HOUR_NS or carry[_VOLUME] == 0 or (carry[_WHOLE_DAY] == 1 and not whole_day):
        return
    size = max(1, int(carry[_VOLUME] * (DAY_NS / elapsed_ns) / _VPIN_BUCKETS))
    if carry[_BUCKET] == _NEVER:
        carry[_BUCKET] = size
        carry[_FILLED] = carry[_BALANCE] = 0
    carry[_NEXT_BUCKET] = size
    if whole_day:
        carry[_WHOLE_DAY], carry[_VOLUME], carry[_VOLUME_NS] = 1, 0, now_ns


@kernel
def _add_chain(
    state: FlowState, ticks: Integers, is_buyer_maker: NDArray[np.bool_], begin: int, end: int
) -> None:
    """What each trade is to the one before it; at least one trade."""
    row, carry = state.row, state.carry
    row[_PAIRS] += end - begin
    row[_CHANGE_PAIRS] += end - begin - 1 + carry[_CHANGED]
    carry[_CHANGED] = 1
    if carry[_SIGN] == 0:  # the first of a chain is nothing to any before it
        row[_PAIRS] -= 1
        row[_CHANGE_PAIRS] -= min(end - begin, 2) - 1
        carry[_TICKS], carry[_SIGN] = ticks[begin], 1 - 2 * is_buyer_maker[begin]
        carry[_CHANGED] = end - begin > 1
        begin += 1
    price, sign, before = carry[_TICKS], carry[_SIGN], carry[_CHANGE]
    products, ups, downs, absolute, square, signs = 0, 0, 0, 0, 0, 0
    prices, sold = ticks[begin:end], is_buyer_maker[begin:end]
    for i in range(len(prices)):  # from 0 on, no index has to be looked at for being negative
        now, change = 1 - 2 * sold[i], prices[i] - price
        signs += now * sign
        ups += change > 0
        downs += change < 0
        absolute += abs(change)
        square += change * change
        products += change * before
        price, sign, before = prices[i], now, change
    row[_CONTINUED] += (end - begin + signs) // 2
    row[_UPS] += ups
    row[_DOWNS] += downs
    row[_ABSOLUTE] += absolute
    row[_SQUARE] += square
    row[_PRODUCTS] += products
    carry[_TICKS], carry[_SIGN], carry[_CHANGE] = price, sign, before


@kernel
def _add_counts(
    state: FlowState, event_ns: Integers, is_buyer_maker: NDArray[np.bool_], at: int, until_ns: int
) -> int:
    """Count the trades from row `at` on and before `until_ns`, now and decaying; the row after them."""
    row, carry, recent = state.row, state.carry, state.recent
    begin, open_ns, newest = at, carry[_OPEN_NS], carry[_MILLISECOND]
    active, signs = 0, 0
    both_1, both_2, both_3 = recent[0, 0], recent[0, 1], recent[0, 2]
    net_1, net_2, net_3 = recent[1, 0], recent[1, 1], recent[1, 2]
    while at < len(event_ns) and event_ns[at] < until_ns:
        sign = 1 - 2 * is_buyer_maker[at]
        millisecond = np.uint64(event_ns[at] - open_ns) // np.uint64(MILLISECOND_NS)
        active += np.int64(millisecond) != newest
        newest = np.int64(millisecond)
        signs += sign
        weight_1, weight_2, weight_3 = _WEIGHTS[millisecond]
        both_1 += weight_1
        both_2 += weight_2
        both_3 += weight_3
        net_1 += sign * weight_1
        net_2 += sign * weight_2
        net_3 += sign * weight_3
        at += 1
    recent[0, 0], recent[0, 1], recent[0, 2] = both_1, both_2, both_3
    recent[1, 0], recent[1, 1], recent[1, 2] = net_1, net_2, net_3
    carry[_MILLISECOND] = newest
    row[_ACTIVE_MS] += active
    row[_BUYS] += (at - begin + signs) // 2
    return at


@kernel
def _add_lots(
    state: FlowState,
    ticks: Integers,
    lots: Integers,
    is_buyer_maker: NDArray[np.bool_],
    begin: int,
    end: int,
    has_middle: bool,  # noqa: FBT001 - kernels have no keyword arguments
) -> None:
    """Signed notional, spread to the middle, and volume buckets."""
    row, carry = state.row, state.carry
    volume, balance, notional = 0, 0, 0
    prices, sizes, sold = ticks[begin:end], lots[begin:end], is_buyer_maker[begin:end]
    for i in range(len(sizes)):
        signed = sizes[i] * (1 - 2 * sold[i])
        volume += sizes[i]
        balance += signed
        notional += signed * prices[i]
    row[_SIGNED_NOTIONAL] += notional
    if has_middle:
        spread, value = 2 * notional - carry[_MID] * balance, carry[_MID] * volume
        row[_EFFECTIVE] += spread
        row[_EFFECTIVE_VALUE] += value
        carry[_HELD_LOTS] += balance
        carry[_HELD_SPREAD] += spread
        carry[_HELD_VALUE] += value
    carry[_VOLUME] += volume
    if carry[_FILLED] + volume < carry[_BUCKET]:
        carry[_FILLED] += volume
        carry[_BALANCE] += balance
        return
    for i in range(begin, end):
        _fill_buckets(state, 1 - 2 * is_buyer_maker[i], lots[i])


@kernel
def _add_trades(
    state: FlowState,
    event_ns: Integers,
    ticks: Integers,
    lots: Integers,
    is_buyer_maker: NDArray[np.bool_],
    at: int,
    until_ns: int,
) -> int:
    """Take the trades from row `at` on and before `until_ns`, all in the open second and at one sample."""
    carry = state.carry
    while at < len(event_ns) and event_ns[at] < until_ns:
        stale_ns = carry[_MID_NS] + _MID_AGE_NS + 1
        has_middle = carry[_MID] > 0 and event_ns[at] < stale_ns
        end = _add_counts(
            state, event_ns, is_buyer_maker, at, min(until_ns, stale_ns) if has_middle else until_ns
        )
        _add_chain(state, ticks, is_buyer_maker, at, end)
        _add_lots(state, ticks, lots, is_buyer_maker, at, end, has_middle)
        at = end
    return at


@kernel
def _close_second(state: FlowState, gap_ns: int, out: Integers, out_levels: Floats) -> None:
    """Write the open second's row and open the next; `gap_ns` of it lie in a gap of the trade stream."""
    row, carry = state.row, state.carry
    close_ns = carry[_OPEN_NS] + SECOND_NS
    if gap_ns > 0:
        carry[_SIGN] = carry[_CHANGE] = carry[_CHANGED] = 0
    if gap_ns >= SECOND_NS:
        carry[_CLEAN_NS] = close_ns
    row[_SINCE_GAP] = _NEVER if carry[_CLEAN_NS] < 0 else close_ns - carry[_CLEAN_NS]
    row[_VPIN_IMBALANCE] = row[_VPIN_VOLUME] = 0
    if carry[_BUCKETS] >= _VPIN_BUCKETS:
        row[_VPIN_IMBALANCE] = state.buckets[0].sum()
        row[_VPIN_VOLUME] = state.buckets[1].sum()
    out[:] = row
    row[:_SUMS] = 0
    for i in range(3):
        both, net = state.recent[0, i], state.recent[1, i]
        state.levels[0, i] = state.levels[0, i] * _PER_SECOND[i] + (both + net) / 2
        state.levels[1, i] = state.levels[1, i] * _PER_SECOND[i] + (both - net) / 2
    state.recent[:, :] = 0.0
    out_levels[:, :] = state.levels
    carry[_OPEN_NS], carry[_MILLISECOND] = close_ns, -1
    if close_ns % HOUR_NS == 0:
        _size_buckets(carry, close_ns)


@kernel
def fold_flow(
    event_ns: Integers,
    ticks: Integers,
    lots: Integers,
    is_buyer_maker: NDArray[np.bool_],
    sample_ns: Integers,
    middles: Integers,
    gap_ns: Integers,
    state: FlowState,
    out: Integers,
    out_levels: Floats,
) -> None:
    """Fold trades, sorted by (time, id), and samples into as many seconds as `gap_ns` has.

    `middles` is (m,): best bid + best ask [ticks], 0 where a side is empty; `gap_ns` (n,) the part of each
    second in a gap of the trade stream; `out` (n, 19) and `out_levels` (n, 2, 3). Every trade lies in these
    seconds, and every sample time in (start, end].
    """
    event_ns, ticks, lots, is_buyer_maker = borrowed((event_ns, ticks, lots, is_buyer_maker))
    sample_ns, middles, gap_ns, out, out_levels = borrowed((sample_ns, middles, gap_ns, out, out_levels))
    state = borrowed(state)
    trade, sample = 0, 0
    for second in range(len(gap_ns)):
        close_ns = state.carry[_OPEN_NS] + SECOND_NS
        while sample < len(sample_ns) and sample_ns[sample] <= close_ns:
            trade = _add_trades(state, event_ns, ticks, lots, is_buyer_maker, trade, sample_ns[sample])
            _take_sample(state, sample_ns[sample], middles[sample])
            sample += 1
        trade = _add_trades(state, event_ns, ticks, lots, is_buyer_maker, trade, close_ns)
        _close_second(state, gap_ns[second], out[second], out_levels[second])


def new_flow_bar() -> Integers:
    """The sums of an open bar before its first second."""
    return np.zeros(_SUMS, np.int64)


@kernel
def merge_flow(
    open_ns: int,
    rows: Integers,
    levels: Floats,
    length_ns: int,
    bar: Integers,
    out: Integers,
    out_levels: Floats,
) -> int:
    """Merge consecutive seconds, the first from `open_ns`, into bars; returns the bars written."""
    written = 0
    for i in range(len(rows)):
        bar += rows[i, :_SUMS]
        open_ns += SECOND_NS
        if open_ns % length_ns == 0:
            out[written] = rows[i]
            out[written, :_SUMS] = bar
            out_levels[written] = levels[i]
            bar[:] = 0
            written += 1
    return written
