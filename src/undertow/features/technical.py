"""Indicators of the technical selector (SPEC 5.6), on trade prices; null until their seed is complete."""

import numpy as np

from undertow.features.memory import Floats, Memory
from undertow.features.nulls import known, ratio
from undertow.frames.frames import Frames

__all__ = [
    "atr_14",
    "bollinger_position",
    "ema_12",
    "ema_26",
    "keltner_position",
    "macd",
    "macd_signal",
    "rsi_14",
]


def _close(f: Frames) -> Floats:
    return known(f.price.to_floats(f.close), f.close > 0)


def ema_12(f: Frames, m: Memory) -> Floats:
    """Exponential mean of the close over 12 bars [quote]."""
    return m.ema(_close(f), 12)


def ema_26(f: Frames, m: Memory) -> Floats:
    """Exponential mean of the close over 26 bars [quote]."""
    return m.ema(_close(f), 26)


def macd(f: Frames, m: Memory) -> Floats:
    """Exponential mean over 12 bars − over 26 bars [quote] (Appel); each seeded by its own first bars."""
    close = _close(f)
    return m.ema(close, 12) - m.ema(close, 26)


def macd_signal(f: Frames, m: Memory) -> Floats:
    """Exponential mean of the MACD over 9 bars [quote]."""
    return m.ema(macd(f, m), 9)


def rsi_14(f: Frames, m: Memory) -> Floats:
    """100 · U / (U + D), U and D Wilder's means over 14 bars of rises and falls (Wilder 1978).

    Null where the price has not moved at all.
    """
    close = _close(f)
    change = close - m.lag(close)
    rise = m.wilder(np.maximum(change, 0.0), 14)
    fall = m.wilder(np.maximum(-change, 0.0), 14)
    return 100.0 * ratio(rise, rise + fall)


def atr_14(f: Frames, m: Memory) -> Floats:
    """Wilder's mean over 14 bars of the true range max(high, close₋₁) − min(low, close₋₁) [quote]."""
    before = m.lag(_close(f))
    top = np.maximum(f.price.to_floats(f.high), before)
    bottom = np.minimum(f.price.to_floats(f.low), before)
    return m.wilder(top - bottom, 14)


def bollinger_position(f: Frames, m: Memory) -> Floats:
    """(close − lower) / (upper − lower) of the bands mean ± 2 std over 20 bars (Bollinger)."""
    close = _close(f)
    middle, width = m.mean(close, 20), 2.0 * m.std(close, 20)
    return ratio(close - (middle - width), 2.0 * width)


def keltner_position(f: Frames, m: Memory) -> Floats:
    """(close − lower) / (upper − lower) of the channel ema₂₀ ± 2·ATR₁₄ (Keltner, Raschke)."""
    close = _close(f)
    middle, width = m.ema(close, 20), 2.0 * atr_14(f, m)
    return ratio(close - (middle - width), 2.0 * width)
