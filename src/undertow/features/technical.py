"""Indicators of the technical selector (SPEC 5.6), on trade prices, seeded as TA-Lib seeds them.

Computed in ticks, where a flat price has exactly no variance. A bar wholly inside a gap of the trade stream
takes no part: it is null, means and Wilder's levels stay where they were, and the change across it is left
out.
"""

import numpy as np

from undertow.features.feature import ANY, FLOW, NO_SEED, POSITIVE, Feature
from undertow.features.memory import Floats, Memory
from undertow.features.nulls import flow_only, known, known_close, ratio
from undertow.frames.frames import Frames

__all__ = [
    "LINES",
    "atr_14",
    "bollinger_position",
    "ema_12",
    "ema_26",
    "keltner_position",
    "macd",
    "macd_signal",
    "rsi_14",
]

_ROUNDING = 1e-12
"""Share of the price below which a channel's width is nothing but rounding of its exponential mean."""

_UNDERFLOW = 1e-300
"""A mean of moves [ticks] below this has lost its digits: the price has stood still for thousands of bars."""


def _price(ticks: Floats, f: Frames) -> Floats:
    return flow_only(ticks * f.price.units / f.price.divisor, f)


def ema_12(f: Frames, m: Memory) -> Floats:
    """Exponential mean of the close over 12 bars [quote]."""
    return _price(m.ema(known_close(f), 12), f)


def ema_26(f: Frames, m: Memory) -> Floats:
    """Exponential mean of the close over 26 bars [quote]."""
    return _price(m.ema(known_close(f), 26), f)


def _macd_ticks(f: Frames, m: Memory) -> Floats:
    close = known_close(f)
    return m.ema(close, 12, skip=14) - m.ema(close, 26)


def macd(f: Frames, m: Memory) -> Floats:
    """Exponential mean over 12 bars − over 26 bars [quote] (Appel); both seeds end with the 26th bar."""
    return _price(_macd_ticks(f, m), f)


def macd_signal(f: Frames, m: Memory) -> Floats:
    """Exponential mean of the MACD over 9 bars [quote]."""
    known_macd = flow_only(_macd_ticks(f, m), f)
    return _price(m.ema(known_macd, 9), f)


def rsi_14(f: Frames, m: Memory) -> Floats:
    """100 · U / (U + D), U and D Wilder's means over 14 bars of rises and falls (Wilder 1978).

    Null where the price has not moved at all.
    """
    close = known_close(f)
    change = close - m.lag(close)
    rise = m.wilder(np.maximum(change, 0.0), 14)
    fall = m.wilder(np.maximum(-change, 0.0), 14)
    moves = rise + fall
    return flow_only(100.0 * ratio(rise, known(moves, moves > _UNDERFLOW)), f)


def _atr_ticks(f: Frames, m: Memory) -> Floats:
    before = m.lag(known_close(f))
    true_range = np.maximum(f.high, before) - np.minimum(f.low, before)
    return m.wilder(flow_only(true_range, f), 14)


def atr_14(f: Frames, m: Memory) -> Floats:
    """Wilder's mean over 14 bars of the true range max(high, close₋₁) − min(low, close₋₁) [quote]."""
    return _price(_atr_ticks(f, m), f)


def bollinger_position(f: Frames, m: Memory) -> Floats:
    """(close − lower) / (upper − lower) of the bands mean ± 2 std over 20 bars (Bollinger)."""
    close = known_close(f)
    middle, width = m.mean(close, 20), 2.0 * m.std(close, 20)
    return ratio(close - (middle - width), 2.0 * width)


def keltner_position(f: Frames, m: Memory) -> Floats:
    """(close − lower) / (upper − lower) of the channel ema₂₀ ± 2·ATR₁₄ (Keltner, Raschke)."""
    close = known_close(f)
    middle, width = m.ema(close, 20), 2.0 * _atr_ticks(f, m)
    width = known(width, width > _ROUNDING * close)
    return ratio(close - (middle - width), 2.0 * width)


LINES = (
    Feature(
        "ema_12", ema_12, "quote", POSITIVE, NO_SEED, FLOW, "SPEC 5.6, TA-Lib", warm_up=11, mirror="price"
    ),
    Feature(
        "ema_26", ema_26, "quote", POSITIVE, NO_SEED, FLOW, "SPEC 5.6, TA-Lib", warm_up=25, mirror="price"
    ),
    Feature("macd", macd, "quote", ANY, NO_SEED, FLOW, "SPEC 5.6, TA-Lib", warm_up=25, mirror="odd"),
    Feature(
        "macd_signal", macd_signal, "quote", ANY, NO_SEED, FLOW, "SPEC 5.6, TA-Lib", warm_up=33, mirror="odd"
    ),
    Feature(
        "rsi_14",
        rsi_14,
        "points",
        (0.0, 100.0),
        f"{NO_SEED}; the price has not moved",
        FLOW,
        "SPEC 5.6, TA-Lib",
        warm_up=14,
        mirror="complement",
    ),
    Feature(
        "atr_14", atr_14, "quote", POSITIVE, NO_SEED, FLOW, "SPEC 5.6, TA-Lib", warm_up=14, mirror="even"
    ),
    Feature(
        "bollinger_position",
        bollinger_position,
        "share",
        ANY,
        "unless the last 20 bars are known; flat price",
        FLOW,
        "SPEC 5.6, TA-Lib",
        warm_up=19,
        mirror="complement",
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
