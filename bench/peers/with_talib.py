"""The technical indicators with TA-Lib (0.8), of a whole history: it keeps no state between bars."""

from typing import Any

import numpy as np
import talib
from numpy.typing import NDArray

__all__ = ["indicators"]

Floats = NDArray[np.float64]


def indicators(high: Floats, low: Floats, close: Floats) -> dict[str, Any]:
    """Every column of the family `technical` by name; NaN before TA-Lib's first value."""
    out: dict[str, Any] = {f"ema_{span}": talib.EMA(close, span) for span in (12, 26, 50, 200)}
    out["macd"], out["macd_signal"], out["macd_histogram"] = talib.MACD(close, 12, 26, 9)
    out["rsi_14"] = talib.RSI(close, 14)
    simple: Any = 0  # MA_Type.SMA, whose stub names it nowhere
    out["stochastic_k"], out["stochastic_d"] = talib.STOCHF(high, low, close, 14, 3, simple)
    out["atr_14"] = talib.ATR(high, low, close, 14)
    upper, middle, lower = talib.BBANDS(close, 20, 2.0, 2.0)
    out["bollinger_upper"], out["bollinger_lower"] = upper, lower
    out["bollinger_width"] = (upper - lower) / middle
    out["bollinger_position"] = (close - lower) / (upper - lower)
    centre, reach = talib.EMA(close, 20), 2 * out["atr_14"]
    out["keltner_upper"], out["keltner_lower"] = centre + reach, centre - reach
    out["keltner_position"] = (close - out["keltner_lower"]) / (2 * reach)
    return out
