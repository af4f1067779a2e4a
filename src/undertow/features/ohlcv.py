"""Open, high, low, close, volume and returns (SPEC 5.1).

An empty bar has the previous close as its prices and volume 0; before the first trade prices are null.
A bar wholly inside a gap of the trade stream carries prices too, but its volume is null, and so are the
returns to it and from it.
"""

from math import inf

import numpy as np

from undertow.features.feature import ANY, FLOW, NO_CHANGE, NO_FLOW, NO_PRICE, POSITIVE, TRADES, Feature
from undertow.features.memory import Floats, Integers, Memory
from undertow.features.nulls import flow_only, known, known_close, ratio
from undertow.frames.frames import Frames

__all__ = ["LINES", "close", "high", "log_returns", "low", "open", "returns", "volume"]


def _price(ticks: Integers, f: Frames) -> Floats:
    return known(f.price.to_floats(ticks), ticks > 0)


def open(f: Frames, m: Memory) -> Floats:  # noqa: A001, ARG001 - the field's name; one signature for all features
    """First trade price of the bar [quote]."""
    return _price(f.open, f)


def high(f: Frames, m: Memory) -> Floats:  # noqa: ARG001
    """Highest trade price of the bar [quote]."""
    return _price(f.high, f)


def low(f: Frames, m: Memory) -> Floats:  # noqa: ARG001
    """Lowest trade price of the bar [quote]."""
    return _price(f.low, f)


def close(f: Frames, m: Memory) -> Floats:  # noqa: ARG001
    """Last trade price of the bar [quote]."""
    return _price(f.close, f)


def volume(f: Frames, m: Memory) -> Floats:  # noqa: ARG001
    """Σ quantity [base units]."""
    return flow_only(f.quantity.to_floats(f.buy_lots + f.sell_lots), f)


def returns(f: Frames, m: Memory) -> Floats:
    """Simple return close / close₋₁ − 1, computed from ticks as (close − close₋₁) / close₋₁."""
    ticks = known_close(f)
    before = m.lag(ticks)
    return ratio(ticks - before, before)


def log_returns(f: Frames, m: Memory) -> Floats:
    """Log return ln(close / close₋₁)."""
    ticks = known_close(f)
    return np.log(ratio(ticks, m.lag(ticks)))


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
