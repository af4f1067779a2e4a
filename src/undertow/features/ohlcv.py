"""Open, high, low, close, volume and returns (SPEC 5.1).

An empty bar has the previous close as its prices and volume 0; before the first trade prices are null.
A bar wholly inside a gap of the trade stream carries prices too, but its volume is null, and so are the
returns to it and from it.
"""

from math import inf

import numpy as np

from undertow.compiled import borrowed, kernel
from undertow.features.feature import ANY, FLOW, NO_CHANGE, NO_FLOW, NO_PRICE, POSITIVE, TRADES, Feature
from undertow.features.memory import Floats, Integers, Memory
from undertow.features.nulls import known_tick
from undertow.frames.frames import Frames

__all__ = ["LINES", "close", "high", "log_returns", "low", "open", "returns", "volume"]

_OPEN, _HIGH, _LOW, _CLOSE, _VOLUME, _RETURN, _LOG_RETURN, _ROWS = range(8)


@kernel
def _price(ticks: int, units: int, divisor: int) -> float:
    """Null before the first trade."""
    return ticks * units / divisor if ticks > 0 else np.nan


@kernel
def _fold(
    columns: tuple[Integers, Integers, Integers, Integers, Integers, Integers, Integers],
    length_ns: int,
    steps: tuple[int, int, int, int],
    past: Floats,
    out: Floats,
) -> None:
    """All rows for each bar, but close / close₋₁ for the log return.

    `columns`: open, high, low, close, taker buys and sells, trade gap; `steps`: units and divisor of prices
    and of quantities; `past`: the close before [ticks], NaN where it is unknown.
    """
    opens, high, low, close, buys, sells, gap_ns = borrowed(columns)
    past, out = borrowed((past, out))
    for i in range(len(close)):
        whole = gap_ns[i] < length_ns
        out[_OPEN, i] = _price(opens[i], steps[0], steps[1])
        out[_HIGH, i] = _price(high[i], steps[0], steps[1])
        out[_LOW, i] = _price(low[i], steps[0], steps[1])
        out[_CLOSE, i] = _price(close[i], steps[0], steps[1])
        out[_VOLUME, i] = (buys[i] + sells[i]) * steps[2] / steps[3] if whole else np.nan
        last = known_tick(close[i], gap_ns[i], length_ns)
        out[_RETURN, i] = (last - past[0]) / past[0]
        out[_LOG_RETURN, i] = last / past[0]
        past[0] = last


def _rows(f: Frames, m: Memory) -> Floats:
    """(rows, T)."""
    columns = (f.open, f.high, f.low, f.close, f.buy_lots, f.sell_lots, f.trade_gap_ns)
    steps = (f.price.units, f.price.divisor, f.quantity.units, f.quantity.divisor)
    out = np.empty((_ROWS, len(f.close)))
    _fold(columns, f.length_ns, steps, m.floats(1, fill=np.nan), out)
    np.log(out[_LOG_RETURN], out=out[_LOG_RETURN])
    return out


def open(f: Frames, m: Memory) -> Floats:  # noqa: A001 - the field's name
    """First trade price of the bar [quote]."""
    return m.shared(f, _rows, _OPEN)


def high(f: Frames, m: Memory) -> Floats:
    """Highest trade price of the bar [quote]."""
    return m.shared(f, _rows, _HIGH)


def low(f: Frames, m: Memory) -> Floats:
    """Lowest trade price of the bar [quote]."""
    return m.shared(f, _rows, _LOW)


def close(f: Frames, m: Memory) -> Floats:
    """Last trade price of the bar [quote]."""
    return m.shared(f, _rows, _CLOSE)


def volume(f: Frames, m: Memory) -> Floats:
    """Σ quantity [base units]."""
    return m.shared(f, _rows, _VOLUME)


def returns(f: Frames, m: Memory) -> Floats:
    """Simple return close / close₋₁ − 1, computed from ticks as (close − close₋₁) / close₋₁."""
    return m.shared(f, _rows, _RETURN)


def log_returns(f: Frames, m: Memory) -> Floats:
    """Log return ln(close / close₋₁)."""
    return m.shared(f, _rows, _LOG_RETURN)


LINES = (
    Feature("open", open, "quote", POSITIVE, NO_PRICE, TRADES, "SPEC 5.1", mirror="price"),
    Feature("high", high, "quote", POSITIVE, NO_PRICE, TRADES, "SPEC 5.1", mirror="price:low"),
    Feature("low", low, "quote", POSITIVE, NO_PRICE, TRADES, "SPEC 5.1", mirror="price:high"),
    Feature("close", close, "quote", POSITIVE, NO_PRICE, TRADES, "SPEC 5.1", mirror="price"),
    Feature("volume", volume, "base", POSITIVE, NO_FLOW, FLOW, "SPEC 5.1", mirror="even"),
    Feature("returns", returns, "share", (-1.0, inf), NO_CHANGE, FLOW, "SPEC 5.1", warm_up=1, mirror="none"),
    Feature(
        "log_returns", log_returns, "log share", ANY, NO_CHANGE, FLOW, "SPEC 5.1", warm_up=1, mirror="none"
    ),
)
"""In the order of the columns of a feature table."""
