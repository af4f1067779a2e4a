"""Indicators of the technical selector (SPEC 5.6), on trade prices, seeded as TA-Lib seeds them.

Computed in ticks, where a flat price has exactly no variance. A bar wholly inside a gap of the trade stream
takes no part: it is null, exponential and Wilder's means stay where they were, and the change across it is
left out. Windows of bars (Bollinger, Stochastic) are null until they hold known bars only.

All are rows of one kernel: live, a call for each would cost more than the arithmetic of all.
"""

import numpy as np

from undertow.compiled import borrowed, kernel
from undertow.features.feature import ANY, FLOW, NO_SEED, POSITIVE, Feature
from undertow.features.memory import Floats, Integers, Memory, smooth_step
from undertow.frames.frames import Frames

__all__ = [
    "LINES",
    "atr_14",
    "bollinger_lower",
    "bollinger_position",
    "bollinger_upper",
    "bollinger_width",
    "ema_12",
    "ema_26",
    "ema_50",
    "ema_200",
    "keltner_lower",
    "keltner_position",
    "keltner_upper",
    "macd",
    "macd_histogram",
    "macd_signal",
    "rsi_14",
    "stochastic_d",
    "stochastic_k",
]

_ROUNDING = 1e-12
"""Share of the price below which a channel's width is nothing but rounding of its exponential mean."""

_UNDERFLOW = 1e-300
"""A mean of moves [ticks] below this has lost its digits: the price has stood still for thousands of bars."""

# Rows of the kernel's output, in the order of the features, and those that are prices or differences of them.
_EMA_12, _EMA_26, _EMA_50, _EMA_200, _MACD, _SIGNAL, _HISTOGRAM = range(7)
_RSI, _STOCHASTIC_K, _STOCHASTIC_D, _ATR = range(7, 11)
_BOLLINGER_UPPER, _BOLLINGER_LOWER, _BOLLINGER_WIDTH, _BOLLINGER_POSITION = range(11, 15)
_KELTNER_UPPER, _KELTNER_LOWER, _KELTNER_POSITION, _ROWS = range(15, 19)
_PRICES = (0, 1, 2, 3, 4, 5, 6, _ATR, _BOLLINGER_UPPER, _BOLLINGER_LOWER, _KELTNER_UPPER, _KELTNER_LOWER)

# Places in the state of the means, three numbers each (`smooth_step`).
_FAST, _SIGNAL_MEAN, _MIDDLE, _RISE, _FALL, _RANGE, _MEANS = 12, 15, 18, 21, 24, 27, 30

# Places in the past: the last closes, highs, lows and values of %K, oldest first, and the close before.
_CLOSES, _HIGHS, _LOWS, _RAW_K, _BEFORE, _PAST = 0, 20, 34, 48, 51, 52
_BAND, _REACH, _SMOOTHING = 20, 14, 3


@kernel
def _append(value: float, past: Floats, at: int, length: int) -> None:
    """The oldest of `past[at : at + length]` goes, `value` comes last."""
    for i in range(at, at + length - 1):
        past[i] = past[i + 1]
    past[at + length - 1] = value


@kernel
def _averages(close: float, means: Floats, out: Floats) -> None:
    """Exponential means of the close and the MACD."""
    out[_EMA_12] = smooth_step(close, 2.0 / 13, 0, 12, means, 0)
    out[_EMA_26] = smooth_step(close, 2.0 / 27, 0, 26, means, 3)
    out[_EMA_50] = smooth_step(close, 2.0 / 51, 0, 50, means, 6)
    out[_EMA_200] = smooth_step(close, 2.0 / 201, 0, 200, means, 9)
    out[_MACD] = smooth_step(close, 2.0 / 13, 14, 12, means, _FAST) - out[_EMA_26]
    fresh = np.nan if np.isnan(close) else out[_MACD]
    out[_SIGNAL] = smooth_step(fresh, 2.0 / 10, 0, 9, means, _SIGNAL_MEAN)
    out[_HISTOGRAM] = out[_MACD] - out[_SIGNAL]


@kernel
def _oscillators(close: float, high: float, low: float, means: Floats, past: Floats, out: Floats) -> None:
    """RSI, ATR and Stochastic."""
    before = past[_BEFORE]
    past[_BEFORE] = close
    change = close - before
    known = not np.isnan(change)
    rise = smooth_step(max(change, 0.0) if known else np.nan, 1.0 / 14, 0, 14, means, _RISE)
    fall = smooth_step(max(-change, 0.0) if known else np.nan, 1.0 / 14, 0, 14, means, _FALL)
    out[_RSI] = 100.0 * (rise / (rise + fall)) if rise + fall > _UNDERFLOW else np.nan
    true_range = max(high, before) - min(low, before) if known else np.nan
    out[_ATR] = smooth_step(true_range, 1.0 / 14, 0, 14, means, _RANGE)
    _append(high, past, _HIGHS, _REACH)
    _append(low, past, _LOWS, _REACH)
    highest, lowest, total = high, low, 0.0
    for i in range(_REACH):
        highest, lowest = max(highest, past[_HIGHS + i]), min(lowest, past[_LOWS + i])
        total += past[_HIGHS + i]
    reach = highest - lowest + 0.0 * total
    out[_STOCHASTIC_K] = 100.0 * ((close - lowest) / reach) if reach > 0 else np.nan
    _append(out[_STOCHASTIC_K], past, _RAW_K, _SMOOTHING)
    total = 0.0
    for i in range(_SMOOTHING):
        total += past[_RAW_K + i]
    out[_STOCHASTIC_D] = total / _SMOOTHING


@kernel
def _channels(close: float, means: Floats, past: Floats, out: Floats) -> None:
    """Bollinger's bands and Keltner's channel; needs the ATR in `out`."""
    _append(close, past, _CLOSES, _BAND)
    total, square = 0.0, 0.0
    for i in range(_BAND):
        total += past[_CLOSES + i]
    mean = total / _BAND
    for i in range(_BAND):
        square += (past[_CLOSES + i] - mean) ** 2
    width = 2.0 * np.sqrt(square / _BAND)
    out[_BOLLINGER_UPPER], out[_BOLLINGER_LOWER] = mean + width, mean - width
    out[_BOLLINGER_WIDTH] = 2.0 * width / mean
    out[_BOLLINGER_POSITION] = (close - (mean - width)) / (2.0 * width) if width > 0 else np.nan
    middle, width = smooth_step(close, 2.0 / 21, 0, 20, means, _MIDDLE), 2.0 * out[_ATR]
    out[_KELTNER_UPPER], out[_KELTNER_LOWER] = middle + width, middle - width
    wide = width > _ROUNDING * close
    out[_KELTNER_POSITION] = (close - (middle - width)) / (2.0 * width) if wide else np.nan


@kernel
def _fold(
    columns: tuple[Integers, Integers, Integers, Integers],
    length_ns: int,
    units: int,
    divisor: int,
    means: Floats,
    past: Floats,
    row: Floats,
    out: Floats,
) -> None:
    """All rows for each bar; `columns`: close, high, low, trade gap; `row`: scratch."""
    close, high, low, gap_ns = borrowed(columns)
    means, past, row, out = borrowed((means, past, row, out))
    for i in range(len(close)):
        known = close[i] > 0 and gap_ns[i] < length_ns
        last = float(close[i]) if known else np.nan
        highest, lowest = float(high[i]) if known else np.nan, float(low[i]) if known else np.nan
        _averages(last, means, row)
        _oscillators(last, highest, lowest, means, past, row)
        _channels(last, means, past, row)
        for j in _PRICES:
            row[j] = row[j] * units / divisor
        for j in range(_ROWS):
            out[j, i] = row[j] if known else np.nan


def _indicators(f: Frames, m: Memory) -> Floats:
    """(rows, T): every indicator; prices in quote units."""
    means, past = m.floats(_MEANS), m.floats(_PAST, fill=np.nan)
    columns = (f.close, f.high, f.low, f.trade_gap_ns)
    row, out = np.empty(_ROWS), np.empty((_ROWS, len(f.open_ns)))
    _fold(columns, f.length_ns, f.price.units, f.price.divisor, means, past, row, out)
    return out


def ema_12(f: Frames, m: Memory) -> Floats:
    """Exponential mean of the close over 12 bars [quote]."""
    return m.shared(f, _indicators, _EMA_12)


def ema_26(f: Frames, m: Memory) -> Floats:
    """Exponential mean of the close over 26 bars [quote]."""
    return m.shared(f, _indicators, _EMA_26)


def ema_50(f: Frames, m: Memory) -> Floats:
    """Exponential mean of the close over 50 bars [quote]."""
    return m.shared(f, _indicators, _EMA_50)


def ema_200(f: Frames, m: Memory) -> Floats:
    """Exponential mean of the close over 200 bars [quote]."""
    return m.shared(f, _indicators, _EMA_200)


def macd(f: Frames, m: Memory) -> Floats:
    """Exponential mean over 12 bars − over 26 bars [quote] (Appel); both seeds end with the 26th bar."""
    return m.shared(f, _indicators, _MACD)


def macd_signal(f: Frames, m: Memory) -> Floats:
    """Exponential mean of the MACD over 9 bars [quote]."""
    return m.shared(f, _indicators, _SIGNAL)


def macd_histogram(f: Frames, m: Memory) -> Floats:
    """MACD − its signal [quote]."""
    return m.shared(f, _indicators, _HISTOGRAM)


def rsi_14(f: Frames, m: Memory) -> Floats:
    """100 · U / (U + D), U and D Wilder's means over 14 bars of rises and falls (Wilder 1978).

    Null where the price has not moved at all.
    """
    return m.shared(f, _indicators, _RSI)


def stochastic_k(f: Frames, m: Memory) -> Floats:
    """100 · (close − L) / (H − L), H the highest high and L the lowest low of 14 bars (Lane)."""
    return m.shared(f, _indicators, _STOCHASTIC_K)


def stochastic_d(f: Frames, m: Memory) -> Floats:
    """Mean of %K over 3 bars (Lane)."""
    return m.shared(f, _indicators, _STOCHASTIC_D)


def atr_14(f: Frames, m: Memory) -> Floats:
    """Wilder's mean over 14 bars of the true range max(high, close₋₁) − min(low, close₋₁) [quote]."""
    return m.shared(f, _indicators, _ATR)


def bollinger_upper(f: Frames, m: Memory) -> Floats:
    """Mean + 2 std of the close over 20 bars [quote] (Bollinger); std in population form."""
    return m.shared(f, _indicators, _BOLLINGER_UPPER)


def bollinger_lower(f: Frames, m: Memory) -> Floats:
    """Mean − 2 std of the close over 20 bars [quote] (Bollinger); std in population form."""
    return m.shared(f, _indicators, _BOLLINGER_LOWER)


def bollinger_width(f: Frames, m: Memory) -> Floats:
    """(upper − lower) / mean of the bands mean ± 2 std over 20 bars (Bollinger)."""
    return m.shared(f, _indicators, _BOLLINGER_WIDTH)


def bollinger_position(f: Frames, m: Memory) -> Floats:
    """(close − lower) / (upper − lower) of the bands mean ± 2 std over 20 bars (Bollinger)."""
    return m.shared(f, _indicators, _BOLLINGER_POSITION)


def keltner_upper(f: Frames, m: Memory) -> Floats:
    """Exponential mean of the close over 20 bars + 2·ATR₁₄ [quote] (Keltner, Raschke)."""
    return m.shared(f, _indicators, _KELTNER_UPPER)


def keltner_lower(f: Frames, m: Memory) -> Floats:
    """Exponential mean of the close over 20 bars − 2·ATR₁₄ [quote] (Keltner, Raschke)."""
    return m.shared(f, _indicators, _KELTNER_LOWER)


def keltner_position(f: Frames, m: Memory) -> Floats:
    """(close − lower) / (upper − lower) of the channel ema₂₀ ± 2·ATR₁₄ (Keltner, Raschke)."""
    return m.shared(f, _indicators, _KELTNER_POSITION)


_SOURCE = "SPEC 5.6, TA-Lib"
_POINTS = (0.0, 100.0)
_UNLESS_20 = "unless the last 20 bars are known"
_UNLESS_14 = "unless the last 14 bars are known; flat price"
_UNMOVED = f"{NO_SEED}; the price has not moved"

LINES = (
    Feature("ema_12", ema_12, "quote", POSITIVE, NO_SEED, FLOW, _SOURCE, warm_up=11, mirror="price"),
    Feature("ema_26", ema_26, "quote", POSITIVE, NO_SEED, FLOW, _SOURCE, warm_up=25, mirror="price"),
    Feature("ema_50", ema_50, "quote", POSITIVE, NO_SEED, FLOW, _SOURCE, warm_up=49, mirror="price"),
    Feature("ema_200", ema_200, "quote", POSITIVE, NO_SEED, FLOW, _SOURCE, warm_up=199, mirror="price"),
    Feature("macd", macd, "quote", ANY, NO_SEED, FLOW, _SOURCE, warm_up=25, mirror="odd"),
    Feature("macd_signal", macd_signal, "quote", ANY, NO_SEED, FLOW, _SOURCE, warm_up=33, mirror="odd"),
    Feature("macd_histogram", macd_histogram, "quote", ANY, NO_SEED, FLOW, _SOURCE, warm_up=33, mirror="odd"),
    Feature("rsi_14", rsi_14, "points", _POINTS, _UNMOVED, FLOW, _SOURCE, warm_up=14, mirror="complement"),
    Feature(
        "stochastic_k",
        stochastic_k,
        "points",
        _POINTS,
        _UNLESS_14,
        FLOW,
        _SOURCE,
        warm_up=13,
        mirror="complement",
    ),
    Feature(
        "stochastic_d",
        stochastic_d,
        "points",
        _POINTS,
        "unless the last 3 values of %K are known",
        FLOW,
        _SOURCE,
        warm_up=15,
        mirror="complement",
    ),
    Feature("atr_14", atr_14, "quote", POSITIVE, NO_SEED, FLOW, _SOURCE, warm_up=14, mirror="even"),
    Feature(
        "bollinger_upper",
        bollinger_upper,
        "quote",
        POSITIVE,
        _UNLESS_20,
        FLOW,
        _SOURCE,
        warm_up=19,
        mirror="price:bollinger_lower",
    ),
    Feature(
        "bollinger_lower",
        bollinger_lower,
        "quote",
        ANY,
        _UNLESS_20,
        FLOW,
        _SOURCE,
        warm_up=19,
        mirror="price:bollinger_upper",
    ),
    Feature("bollinger_width", bollinger_width, "share", POSITIVE, _UNLESS_20, FLOW, _SOURCE, warm_up=19),
    Feature(
        "bollinger_position",
        bollinger_position,
        "share",
        ANY,
        f"{_UNLESS_20}; flat price",
        FLOW,
        _SOURCE,
        warm_up=19,
        mirror="complement",
    ),
    Feature(
        "keltner_upper",
        keltner_upper,
        "quote",
        POSITIVE,
        NO_SEED,
        FLOW,
        "SPEC 5.6",
        warm_up=19,
        mirror="price:keltner_lower",
    ),
    Feature(
        "keltner_lower",
        keltner_lower,
        "quote",
        ANY,
        NO_SEED,
        FLOW,
        "SPEC 5.6",
        warm_up=19,
        mirror="price:keltner_upper",
    ),
    Feature(
        "keltner_position",
        keltner_position,
        "share",
        ANY,
        f"{NO_SEED}; flat price",
        FLOW,
        "SPEC 5.6",
        warm_up=19,
        mirror="complement",
    ),
)
"""In the order of the columns of a feature table."""
