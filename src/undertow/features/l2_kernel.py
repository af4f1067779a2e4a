"""The arithmetic of the L2 features: one pass over books in whole ticks and lots.

Distances are counted in half ticks, so that the mid is a whole number too: `middle` = best bid + best ask.
A side's levels are a prefix of its row: best first, then lots 0.
"""

import numpy as np
from numpy.typing import NDArray

from undertow.compiled import borrowed, kernel

__all__ = [
    "DEPTH_BPS",
    "LEVELS",
    "NOTIONALS",
    "RING_COLUMNS",
    "RING_ROWS",
    "SEQUENCE_COLUMNS",
    "VALUE_COLUMNS",
    "fold_books",
]

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]
Singles = NDArray[np.float32]

LEVELS = 100
"""Levels a side of the sequence columns."""
SEQUENCE_COLUMNS = 4 * LEVELS
DEPTH_BPS = (1, 2, 5, 10, 25, 50)
"""Distances from the mid up to which depth is summed [bps]."""
NOTIONALS = (10_000, 100_000, 1_000_000)
"""Order sizes whose cost is told [quote], ascending."""

# Places in a row of values; `l2.LINES` names them in this order.
_MID, _SPREAD, _SPREAD_PERCENT = 0, 1, 2
_BUY, _SELL, _NET, _RATIO, _TOTAL = 3, 4, 5, 6, 7
_BID_VOLUME, _ASK_VOLUME, _IMBALANCE = 8, 9, 10
_SIDE, _SIDE_COLUMNS = 11, 4  # price mean and deviation, volume mean and deviation; bids, then asks
_CONCENTRATION = 19
_PRICE_CHANGE, _PRICE_VOLATILITY = 21, 24
_SPREAD_CHANGE, _SPREAD_VOLATILITY = 25, 27
_IMBALANCE_CHANGE, _IMBALANCE_VOLATILITY = 28, 30
_PRESSURE_CHANGE, _PRESSURE_VOLATILITY = 31, 34
_DEPTH, _COST = 37, 49
VALUE_COLUMNS = 55

# Columns of the ring: one second's values, of which changes and deviations are taken.
_R_MIDDLE, _R_CHANGE, _R_SPREAD, _R_IMBALANCE, _R_BUY, _R_SELL, _R_NET = 0, 1, 2, 3, 4, 5, 6
RING_ROWS, RING_COLUMNS = 32, 8
"""A power of two above the longest lag of 30 s; the last column only makes rows of a vector's width."""
_WINDOW = 30
_NEAR_LEVELS = 10
_SQUARE_FITS = 2**28
"""Squares of smaller numbers, a hundred of them, have a sum below 2⁶³."""
_SECOND_NS, _SECOND_US = 1_000_000_000, 1_000_000

_WEIGHTS = 1.0 / np.arange(1, LEVELS + 1)


@kernel
def _count(lots: Integers, levels: int) -> int:
    """How many of the first `levels` levels exist."""
    count = min(levels, len(lots))
    while count > 0 and lots[count - 1] == 0:
        count -= 1
    return count


@kernel
def _stretch(run: Integers, grid_ns: int, covered_us: int) -> int:
    """Samples of the gap-free stretch that ends with this one; `run`: [newest grid_ns, samples].

    `covered_us` is an upper bound of the time since the book was last sampled or joined anew.
    """
    follows = grid_ns - run[0] == _SECOND_NS and covered_us >= _SECOND_US
    run[0] = grid_ns
    run[1] = run[1] + 1 if follows else 1
    return int(run[1])


@kernel
def _pressure(ticks: Integers, lots: Integers, count: int, middle: int) -> float:
    """Σ lots · 1/(i+1) · max(0, 1 − |p − mid|/mid) [lots], in four sums that are added at the end."""
    first, second, third, fourth = 0.0, 0.0, 0.0, 0.0
    whole = count - count % 4
    for i in range(0, whole, 4):
        first += _push(ticks, lots, i, middle)
        second += _push(ticks, lots, i + 1, middle)
        third += _push(ticks, lots, i + 2, middle)
        fourth += _push(ticks, lots, i + 3, middle)
    for i in range(whole, count):
        first += _push(ticks, lots, i, middle)
    return ((first + second) + (third + fourth)) / middle


@kernel
def _push(ticks: Integers, lots: Integers, i: int, middle: int) -> float:
    """One level's term of the pressure · mid [lots · half ticks]."""
    closeness = middle - abs(2 * ticks[i] - middle)
    return float(lots[i] * _WEIGHTS[i] * max(closeness, 0))


@kernel
def _squares(values: Integers, count: int) -> float:
    """Σ (v − v₀)²: in whole numbers, exact and several times as fast, where they cannot overflow."""
    farthest, exact, rounded = 0, 0, 0.0
    for i in range(count):
        farthest = max(farthest, abs(values[i] - values[0]))
    if farthest < _SQUARE_FITS:
        for i in range(count):
            away = values[i] - values[0]
            exact += away * away
        return float(exact)
    for i in range(count):
        rounded += float(values[i] - values[0]) ** 2
    return rounded


@kernel
def _deviation(values: Integers, count: int, total: int) -> float:
    """Population deviation of values whose sum is `total`.

    Taken about the first value: of equal values it is exactly 0, and as that is one of them, cancelling loses
    no more than a factor of their number.
    """
    away = float(total - count * values[0])
    return float(np.sqrt(max(_squares(values, count) - away * away / count, 0.0) / count))


@kernel
def _describe_side(
    ticks: Integers, lots: Integers, count: int, scale: Integers, out: Floats
) -> tuple[int, int]:
    """Means and deviations of prices and volumes into `out`; (volume, volume of the best 10) [lots]."""
    if count == 0:
        out[:] = np.nan
        return 0, 0
    price_sum, volume, near = 0, 0, 0
    for i in range(count):
        price_sum += ticks[i]
        volume += lots[i]
    for i in range(min(count, _NEAR_LEVELS)):
        near += lots[i]
    out[0] = price_sum * scale[0] / (count * scale[1])
    out[1] = _deviation(ticks, count, price_sum) * scale[0] / scale[1]
    out[2] = volume * scale[2] / (count * scale[3])
    out[3] = _deviation(lots, count, volume) * scale[2] / scale[3]
    return volume, near


@kernel
def _depth(
    ticks: Integers, lots: Integers, count: int, middle: int, edge: int, scale: Integers, out: Floats
) -> None:
    """Quantity within each of DEPTH_BPS of the mid; null where that lies beyond `edge` [half ticks]."""
    for k in range(len(DEPTH_BPS)):
        limit = middle * DEPTH_BPS[k]
        if limit > edge * 10_000:
            out[k] = np.nan
            continue
        farthest, held = limit // 10_000, 0
        for i in range(count):
            held += lots[i] if abs(2 * ticks[i] - middle) <= farthest else 0
        out[k] = held * scale[2] / scale[3]


@kernel
def _cost(
    ticks: Integers,
    lots: Integers,
    count: int,
    sign: int,
    middle: int,
    reach: int,
    sizes: Floats,
    out: Floats,
) -> None:
    """Mean distance from the mid of orders of `sizes` [ticks · lots, at the mid] in bps of it."""
    held, i, paid = 0, 0, 0.0
    for k in range(len(sizes)):
        wanted = 2.0 * sizes[k] / middle
        while i < count and held + lots[i] < wanted:
            paid += float(lots[i]) * (sign * (2 * ticks[i] - middle))
            held += lots[i]
            i += 1
        distance = sign * (2 * ticks[i] - middle) if i < count else reach + 1
        if distance > reach:
            out[k] = np.nan
        else:
            out[k] = (paid + (wanted - held) * distance) / (wanted * middle) * 1e4


@kernel
def _write_side(
    ticks: Integers,
    lots: Integers,
    count: int,
    side: int,
    levels: int,
    middle: int,
    trusted: int,
    sizes: Floats,
    scale: Integers,
    out: Floats,
) -> None:
    """Depth and cost of side 0 (bids) or 1, as far as the trusted price and the last level go."""
    sign = 2 * side - 1
    reach = sign * (2 * trusted - middle) if trusted > 0 else -1
    edge = reach if count < levels else min(reach, sign * (2 * ticks[count - 1] - middle))
    depth = out[_DEPTH + side * len(DEPTH_BPS) :]
    _depth(ticks, lots, count, middle, edge, scale, depth)
    _cost(ticks, lots, count, sign, middle, reach, sizes, out[_COST + side * len(NOTIONALS) :])


@kernel
def _write_prices(ticks: Integers, count: int, middle: int, out: Singles) -> None:
    """(p − mid) / mid; a level that does not exist repeats the last one."""
    whole = float(middle)
    for i in range(count):
        out[i] = np.float32((2 * ticks[i] - middle) / whole)
    out[count:] = out[count - 1]


@kernel
def _write_volumes(lots: Integers, count: int, scale: Integers, out: Singles) -> None:
    """Quantities [base]; 0 for a level that does not exist."""
    for i in range(count):
        out[i] = np.float32(lots[i] * scale[2] / scale[3])
    out[count:] = np.float32(0.0)


@kernel
def _three_volatilities(ring: Floats, place: int, column: int) -> tuple[float, float, float]:
    """Population deviations of three neighbouring ring columns over the 30 rows up to `place`.

    Values are taken from the oldest of them, in order of time: equal values have exactly the deviation 0.
    """
    oldest = ring[(place - _WINDOW + 1) & (RING_ROWS - 1)]
    sum_0, sum_1, sum_2, square_0, square_1, square_2 = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    for back in range(_WINDOW - 2, -1, -1):
        values = ring[(place - back) & (RING_ROWS - 1)]
        away_0 = values[column] - oldest[column]
        away_1 = values[column + 1] - oldest[column + 1]
        away_2 = values[column + 2] - oldest[column + 2]
        sum_0, square_0 = sum_0 + away_0, square_0 + away_0 * away_0
        sum_1, square_1 = sum_1 + away_1, square_1 + away_1 * away_1
        sum_2, square_2 = sum_2 + away_2, square_2 + away_2 * away_2
    return _root(sum_0, square_0), _root(sum_1, square_1), _root(sum_2, square_2)


@kernel
def _root(total: float, squares: float) -> float:
    """Deviation from Σ v and Σ v² of a window; null stays null."""
    variance = (squares - total * total / _WINDOW) / _WINDOW
    return 0.0 if variance <= 0.0 else float(np.sqrt(variance))


@kernel
def _change(ring: Floats, place: int, run: int, column: int, lag: int) -> float:
    """Value now less the value `lag` seconds before; null where the stretch began after that."""
    if run <= lag:
        return np.nan
    return float(ring[place, column] - ring[(place - lag) & (RING_ROWS - 1), column])


@kernel
def _write_changes(ring: Floats, place: int, run: int, scale: Integers, out: Floats) -> None:
    """Changes and deviations of the newest ring row; remembers its one-second price change."""
    price, lot = scale[0] / scale[1], scale[2] / scale[3]
    for k, lag in enumerate((1, 5, 30)):
        before = ring[(place - lag) & (RING_ROWS - 1), _R_MIDDLE]
        out[_PRICE_CHANGE + k] = 100.0 * _change(ring, place, run, _R_MIDDLE, lag) / before
    ring[place, _R_CHANGE] = out[_PRICE_CHANGE]
    for k, lag in enumerate((1, 5)):
        out[_SPREAD_CHANGE + k] = _change(ring, place, run, _R_SPREAD, lag) * price
        out[_IMBALANCE_CHANGE + k] = _change(ring, place, run, _R_IMBALANCE, lag)
    for k in range(3):
        out[_PRESSURE_CHANGE + k] = _change(ring, place, run, _R_BUY + k, 1) * lot
    change, spread, imbalance = np.nan, np.nan, np.nan
    buy, sell, net = np.nan, np.nan, np.nan
    if run >= _WINDOW:
        change, spread, imbalance = _three_volatilities(ring, place, _R_CHANGE)
        buy, sell, net = _three_volatilities(ring, place, _R_BUY)
    out[_PRICE_VOLATILITY] = change
    out[_SPREAD_VOLATILITY] = spread * price
    out[_IMBALANCE_VOLATILITY] = imbalance
    for k, deviation in enumerate((buy, sell, net)):
        out[_PRESSURE_VOLATILITY + k] = deviation * lot


@kernel
def _write_totals(
    bid: tuple[int, int], ask: tuple[int, int], scale: Integers, now: Floats, out: Floats
) -> None:
    """Totals, imbalance and concentration from (volume, of the best 10) of each side [lots]."""
    for side, (volume, near) in enumerate((bid, ask)):
        out[_BID_VOLUME + side] = volume * scale[2] / scale[3]
        out[_CONCENTRATION + side] = near / volume if volume > 0 else np.nan
    both = bid[0] + ask[0]
    now[_R_IMBALANCE] = (bid[0] - ask[0]) / both if both > 0 else np.nan
    out[_IMBALANCE] = now[_R_IMBALANCE]


@kernel
def _write_quotes(scale: Integers, now: Floats, out: Floats) -> None:
    """Mid, spread and pressures from what stands in their places: half ticks, ticks, lots."""
    middle, spread, buy, sell = out[_MID], out[_SPREAD], out[_BUY], out[_SELL]
    now[_R_MIDDLE], now[_R_SPREAD] = middle, spread
    now[_R_BUY], now[_R_SELL], now[_R_NET] = buy, sell, buy - sell
    out[_MID] = middle * scale[0] / (2 * scale[1])
    out[_SPREAD] = spread * scale[0] / scale[1]
    out[_SPREAD_PERCENT] = 200.0 * spread / middle
    for place, lots in ((_BUY, buy), (_SELL, sell), (_NET, buy - sell), (_TOTAL, buy + sell)):
        out[place] = lots * scale[2] / scale[3]
    out[_RATIO] = buy / sell if sell > 0 else np.nan


@kernel
def _write_two_sided(
    bid: tuple[Integers, Integers, int],
    ask: tuple[Integers, Integers, int],
    trusted: tuple[int, int],
    levels: int,
    sizes: Floats,
    scale: Integers,
    now: Floats,
    out: Floats,
    series: Singles,
) -> None:
    """What needs a mid, of a book with both sides: each (ticks, lots, levels that exist)."""
    middle = bid[0][0] + ask[0][0]
    out[_MID], out[_SPREAD] = middle, ask[0][0] - bid[0][0]
    out[_BUY] = _pressure(bid[0], bid[1], bid[2], middle)
    out[_SELL] = _pressure(ask[0], ask[1], ask[2], middle)
    _write_quotes(scale, now, out)
    _write_prices(bid[0], bid[2], middle, series[:LEVELS])
    _write_prices(ask[0], ask[2], middle, series[LEVELS : 2 * LEVELS])
    _write_side(bid[0], bid[1], bid[2], 0, levels, middle, trusted[0], sizes, scale, out)
    _write_side(ask[0], ask[1], ask[2], 1, levels, middle, trusted[1], sizes, scale, out)


@kernel
def fold_books(
    grid_ns: Integers,
    covered_us: Integers,
    bid_ticks: Integers,
    bid_lots: Integers,
    ask_ticks: Integers,
    ask_lots: Integers,
    trusted: tuple[Integers, Integers],
    levels: int,
    scale: Integers,
    sizes: Floats,
    ring: Floats,
    run: Integers,
    out: Floats,
    sequence: Singles,
) -> None:
    """Fold books in order of time into `out` (n, 55) and `sequence` (n, 400), NaN = null.

    Levels are (n, width), of which the best `levels` are looked at: so many the samples keep. `covered_us`:
    see `_stretch`. `trusted`: bid and ask price to which the book is known, 0 = not at all. `scale`: units
    and divisor of the price, then of the quantity. `sizes`: NOTIONALS in ticks · lots. State, changed in
    place: `ring` (32, 8), `run` (2,).
    """
    grid_ns, covered_us, bid_ticks, bid_lots = borrowed((grid_ns, covered_us, bid_ticks, bid_lots))
    ask_ticks, ask_lots, scale, sizes, ring = borrowed((ask_ticks, ask_lots, scale, sizes, ring))
    run, out, sequence = borrowed((run, out, sequence))
    trusted_bid, trusted_ask = borrowed(trusted)
    for i in range(len(grid_ns)):
        values, series = out[i], sequence[i]
        place = grid_ns[i] // _SECOND_NS & (RING_ROWS - 1)
        now = ring[place]
        now[:] = np.nan
        bids, asks = _count(bid_lots[i], levels), _count(ask_lots[i], levels)
        bid = _describe_side(bid_ticks[i], bid_lots[i], bids, scale, values[_SIDE : _SIDE + 4])
        ask = _describe_side(ask_ticks[i], ask_lots[i], asks, scale, values[_SIDE + 4 : _SIDE + 8])
        _write_totals(bid, ask, scale, now, values)
        _write_volumes(bid_lots[i], bids, scale, series[2 * LEVELS : 3 * LEVELS])
        _write_volumes(ask_lots[i], asks, scale, series[3 * LEVELS :])
        if bids > 0 and asks > 0:
            bid_side, ask_side = (bid_ticks[i], bid_lots[i], bids), (ask_ticks[i], ask_lots[i], asks)
            reach = (trusted_bid[i], trusted_ask[i])
            _write_two_sided(bid_side, ask_side, reach, levels, sizes, scale, now, values, series)
        else:
            values[:_BID_VOLUME] = np.nan
            values[_DEPTH:] = np.nan
            series[: 2 * LEVELS] = np.float32(np.nan)
        _write_changes(ring, place, _stretch(run, grid_ns[i], covered_us[i]), scale, values)
