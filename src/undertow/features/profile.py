"""Volume profile of the last four hours (SPEC 5.6): where the volume changed hands.

A bar's volume counts whole at its own volume-weighted price: exact for the centre of mass, and in bars of a
second nearly exact altogether. Prices fall into bins of a power of two ticks, the largest one that is at most
1/4096 of the last price (at least a tick): 1.2 to 2.4 bps, some fifty bins in an ordinary four hours. The
width depends on the last price alone, not on the window's reach, so nothing of the future or of one outlier
decides it; when it changes, the window's bars are sorted into bins anew. Volumes are whole lots.

Null in bars wholly inside a gap of the trade stream; while fewer than half of the window's bars are known;
where nothing traded; where prices of the window lie further apart than 4096 bins, at least half of the price.
"""

import numpy as np

from undertow.compiled import borrowed, kernel
from undertow.features.feature import ANY, FLOW, NO_FLOW, POSITIVE, SHARE, Feature, Formula, Range
from undertow.features.memory import Floats, Integers, Memory, smooth_step
from undertow.frames.frames import Frames
from undertow.market.time import HOUR_NS

__all__ = [
    "LINES",
    "poc_distance_atr",
    "poc_price",
    "poc_volume_share",
    "value_area_high",
    "value_area_low",
]

_WINDOW_NS = 4 * HOUR_NS
_BINS = 4096
_FINENESS = 4096
"""Bins between 0 and the last price, at least; twice as many at most."""

_VALUE_AREA = 0.7
"""Share of the volume that the value area holds (Steidlmayer's market profile)."""

_ROUNDING = 1e-12
"""Share of the price below which the ATR is nothing but rounding."""

_POC, _HIGH, _LOW, _DISTANCE, _SHARE, _ROWS = range(6)

# Places in the kernel's integers: bin width [ticks], volume in the bins, lowest and highest bin that holds
# any, known bars in the window, whether the bins hold the window's bars.
_STEP, _TOTAL, _LOWEST, _HIGHEST, _KNOWN, _SORTED, _NUMBERS = range(7)


@kernel
def _step_of(price: int) -> int:
    """Largest power of two that is at most price / 4096, at least 1."""
    step = 1
    while 2 * step * _FINENESS <= price:
        step *= 2
    return step


@kernel
def _add(price: int, lots: int, bins: Integers, numbers: Integers) -> None:
    """Volume comes into its bin; where the bins' reach does not suffice they are unsorted from then on."""
    if lots <= 0 or numbers[_SORTED] == 0:
        return
    at = price // numbers[_STEP]
    if numbers[_TOTAL] == 0:
        numbers[_LOWEST] = numbers[_HIGHEST] = at
    lowest, highest = min(numbers[_LOWEST], at), max(numbers[_HIGHEST], at)
    if highest - lowest >= _BINS:
        numbers[_SORTED] = 0
        return
    numbers[_LOWEST], numbers[_HIGHEST] = lowest, highest
    bins[at % _BINS] += lots
    numbers[_TOTAL] += lots


@kernel
def _remove(price: int, lots: int, bins: Integers, numbers: Integers) -> None:
    """Volume leaves its bin."""
    if lots <= 0 or numbers[_SORTED] == 0:
        return
    bins[price // numbers[_STEP] % _BINS] -= lots
    numbers[_TOTAL] -= lots
    if numbers[_TOTAL] > 0:
        while bins[numbers[_LOWEST] % _BINS] == 0:
            numbers[_LOWEST] += 1
        while bins[numbers[_HIGHEST] % _BINS] == 0:
            numbers[_HIGHEST] -= 1


@kernel
def _sort(step: int, past: Integers, bins: Integers, numbers: Integers) -> None:
    """All bars of the window into bins of this width."""
    bins[:] = 0
    numbers[_STEP], numbers[_TOTAL], numbers[_SORTED] = step, 0, 1
    for i in range(len(past)):
        _add(past[i, 0], past[i, 1], bins, numbers)


@kernel
def _slide(slot: int, price: int, lots: int, past: Integers, bins: Integers, numbers: Integers) -> None:
    """A bar takes the place of the one that leaves the window; lots −1: a bar that is not known."""
    gone_price, gone_lots = past[slot, 0], past[slot, 1]
    past[slot, 0], past[slot, 1] = price, lots
    numbers[_KNOWN] += (lots >= 0) - (gone_lots >= 0)
    _add(price, lots, bins, numbers)
    _remove(gone_price, gone_lots, bins, numbers)


@kernel
def _point_of_control(bins: Integers, numbers: Integers) -> int:
    """The bin with most volume, the lowest of several."""
    found = numbers[_LOWEST]
    for at in range(numbers[_LOWEST] + 1, numbers[_HIGHEST] + 1):
        if bins[at % _BINS] > bins[found % _BINS]:
            found = at
    return int(found)


@kernel
def _value_area(control: int, bins: Integers, numbers: Integers) -> tuple[int, int]:
    """Lowest and highest bin of the value area: from the point of control on, the fuller neighbour joins."""
    low = high = control
    held, wanted = bins[control % _BINS], _VALUE_AREA * numbers[_TOTAL]
    while held < wanted:
        below = bins[(low - 1) % _BINS] if low > numbers[_LOWEST] else -1
        above = bins[(high + 1) % _BINS] if high < numbers[_HIGHEST] else -1
        if above >= below:
            high += 1
            held += above
        else:
            low -= 1
            held += below
    return low, high


@kernel
def _read(close: int, atr: float, bins: Integers, numbers: Integers, row: Floats) -> None:
    """What the profile says, prices in ticks."""
    step, control = numbers[_STEP], _point_of_control(bins, numbers)
    low, high = _value_area(control, bins, numbers)
    row[_POC] = control * step + (step - 1) / 2.0
    row[_LOW], row[_HIGH] = float(low * step), float((high + 1) * step - 1)
    if atr > _ROUNDING * close:
        row[_DISTANCE] = (close - row[_POC]) / atr
    row[_SHARE] = bins[control % _BINS] / numbers[_TOTAL]


@kernel
def _true_range(close: float, high: int, low: int, means: Floats) -> float:
    """ATR 14 [ticks] after this bar; `means`: the mean's three numbers, then the close before."""
    before = means[3]
    means[3] = close
    reach = max(float(high), before) - min(float(low), before) if close > 0 and before > 0 else np.nan
    return smooth_step(reach, 1.0 / 14, 0, 14, means, 0)


@kernel
def _fold(
    columns: tuple[Integers, Integers, Integers, Integers, Integers, Integers, Integers],
    length_ns: int,
    first: int,
    price_step: tuple[int, int],
    means: Floats,
    states: tuple[Integers, Integers, Integers],
    out: Floats,
) -> None:
    """All rows for each bar.

    `columns`: close, high, low, taker buys and sells, notional, trade gap; `states`: (bars of the window, 2)
    price [ticks] and lots of each, bins, numbers. `first` is the first bar's number on the time grid,
    `price_step` units and divisor of prices.
    """
    close, high, low, buys, sells, notional, gap_ns = borrowed(columns)
    past, bins, numbers = borrowed(states)
    means, out = borrowed((means, out))
    for i in range(len(close)):
        known = close[i] > 0 and gap_ns[i] < length_ns
        lots = buys[i] + sells[i] if known else -1
        price = notional[i] // lots if lots > 0 else 0
        _slide((first + i) % len(past), price, lots, past, bins, numbers)
        atr = _true_range(float(close[i]) if known else np.nan, high[i], low[i], means)
        out[:, i] = np.nan
        if not known:
            continue
        step = _step_of(close[i])
        if step != numbers[_STEP] or numbers[_SORTED] == 0:
            _sort(step, past, bins, numbers)
        if numbers[_SORTED] == 1 and numbers[_TOTAL] > 0 and 2 * numbers[_KNOWN] >= len(past):
            _read(close[i], atr, bins, numbers, out[:, i])
            for row in range(_DISTANCE):
                out[row, i] = out[row, i] * price_step[0] / price_step[1]


def _rows(f: Frames, m: Memory) -> Floats:
    """(rows, T)."""
    bars, shape = _WINDOW_NS // f.length_ns, (_ROWS, len(f.open_ns))
    if bars == 0:
        return np.full(shape, np.nan)
    states = m.integers(bars, 2, fill=-1), m.integers(_BINS), m.integers(_NUMBERS)
    columns = (f.close, f.high, f.low, f.buy_lots, f.sell_lots, f.notional, f.trade_gap_ns)
    first, price_step = int(f.open_ns[0]) // f.length_ns, (f.price.units, f.price.divisor)
    out = np.empty(shape)
    _fold(columns, f.length_ns, first, price_step, m.floats(4), states, out)
    return out


def poc_price(f: Frames, m: Memory) -> Floats:
    """Point of control: middle of the bin with the most volume of the last four hours [quote]."""
    return m.shared(f, _rows, _POC)


def value_area_high(f: Frames, m: Memory) -> Floats:
    """Top of the bins around the point of control that hold 70 % of the volume of four hours [quote]."""
    return m.shared(f, _rows, _HIGH)


def value_area_low(f: Frames, m: Memory) -> Floats:
    """Bottom of the bins around the point of control that hold 70 % of the volume of four hours [quote]."""
    return m.shared(f, _rows, _LOW)


def poc_distance_atr(f: Frames, m: Memory) -> Floats:
    """(close − point of control of the last four hours) / ATR₁₄ [ATR]."""
    return m.shared(f, _rows, _DISTANCE)


def poc_volume_share(f: Frames, m: Memory) -> Floats:
    """Share of the volume of the last four hours in the point of control's bin, in (0, 1]."""
    return m.shared(f, _rows, _SHARE)


def _line(name: str, function: Formula, unit: str, bounds: Range, null: str) -> Feature:
    """A line of this family; the warm-up, half of the window, is in bars of a second."""
    return Feature(name, function, unit, bounds, null, FLOW, _SOURCE, warm_up=_WINDOW_NS // 2 // 10**9 - 1)


_SOURCE = "SPEC 5.6; Steidlmayer 1984"
_NULL = f"unless half of the window's bars are known; nothing traded; prices over 4096 bins apart; {NO_FLOW}"

LINES = (
    _line("poc_price", poc_price, "quote", POSITIVE, _NULL),
    _line("value_area_high", value_area_high, "quote", POSITIVE, _NULL),
    _line("value_area_low", value_area_low, "quote", POSITIVE, _NULL),
    _line("poc_distance_atr", poc_distance_atr, "ATR", ANY, f"{_NULL}; flat price"),
    _line("poc_volume_share", poc_volume_share, "share", SHARE, _NULL),
)
"""In the order of the columns of a feature table."""
