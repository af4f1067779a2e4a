"""Trade flow (SPEC 5.2). Only market orders: insurance-fund and ADL prints never reach a frame."""

import numpy as np

from undertow.features.feature import ANY, FLOW, NO_FLOW, NO_PRICE, NO_TRADE, POSITIVE, SHARE, Feature
from undertow.features.memory import Floats, Memory
from undertow.features.nulls import flow_only, known, known_since_gap, ratio
from undertow.frames.frames import Frames
from undertow.market.time import SECOND_NS

__all__ = [
    "LINES",
    "buy_pressure",
    "buy_volume",
    "cvd",
    "large_trade_count",
    "large_trade_pct",
    "large_trade_volume",
    "sell_volume",
    "trade_count",
    "trade_intensity_1s",
    "trade_intensity_5s",
    "trade_intensity_10s",
    "vol_delta",
    "vwap",
]


def buy_volume(f: Frames, m: Memory) -> Floats:  # noqa: ARG001 - one signature for all features
    """Taker buys: Σ quantity of trades whose maker was the seller [base units]."""
    return flow_only(f.quantity.to_floats(f.buy_lots), f)


def sell_volume(f: Frames, m: Memory) -> Floats:  # noqa: ARG001
    """Taker sells: Σ quantity of trades whose maker was the buyer [base units]."""
    return flow_only(f.quantity.to_floats(f.sell_lots), f)


def vol_delta(f: Frames, m: Memory) -> Floats:  # noqa: ARG001
    """Taker buys − taker sells [base units]."""
    return flow_only(f.quantity.to_floats(f.buy_lots - f.sell_lots), f)


def cvd(f: Frames, m: Memory) -> Floats:
    """Cumulative volume delta: Σ vol_delta since 00:00 UTC, this bar included [base units]."""
    return flow_only(f.quantity.to_floats(m.sum_since_midnight(f.buy_lots - f.sell_lots, f.open_ns)), f)


def vwap(f: Frames, m: Memory) -> Floats:  # noqa: ARG001
    """Σ price·quantity / Σ quantity [quote]; the previous close in an empty bar."""
    volume = f.buy_lots + f.sell_lots
    ticks = np.where(volume > 0, ratio(f.notional, volume), known(f.close, f.close > 0))
    return flow_only(ticks * f.price.units / f.price.divisor, f)


def buy_pressure(f: Frames, m: Memory) -> Floats:  # noqa: ARG001
    """Taker-buy share of the volume, B / (B + S), in [0, 1]; null where nothing traded."""
    return flow_only(ratio(f.buy_lots, f.buy_lots + f.sell_lots), f)


def trade_count(f: Frames, m: Memory) -> Floats:  # noqa: ARG001
    """Number of trades."""
    return flow_only(f.trade_count, f)


def trade_intensity_1s(f: Frames, m: Memory) -> Floats:  # noqa: ARG001
    """Trades in the last second before the close, per second [1/s]."""
    return flow_only(f.trailing_counts[:, 0] / 1.0, f)


def trade_intensity_5s(f: Frames, m: Memory) -> Floats:  # noqa: ARG001
    """Trades in the last 5 s before the close, per second [1/s]."""
    return flow_only(known_since_gap(f.trailing_counts[:, 1] / 5.0, f, 5 * SECOND_NS), f)


def trade_intensity_10s(f: Frames, m: Memory) -> Floats:  # noqa: ARG001
    """Trades in the last 10 s before the close, per second [1/s]."""
    return flow_only(known_since_gap(f.trailing_counts[:, 2] / 10.0, f, 10 * SECOND_NS), f)


def large_trade_count(f: Frames, m: Memory) -> Floats:  # noqa: ARG001
    """Trades larger than 2 × the mean quantity of the last 15 minutes, themselves included."""
    return flow_only(f.large_count, f)


def large_trade_volume(f: Frames, m: Memory) -> Floats:  # noqa: ARG001
    """Σ quantity of large trades [base units]."""
    return flow_only(f.quantity.to_floats(f.large_lots), f)


def large_trade_pct(f: Frames, m: Memory) -> Floats:  # noqa: ARG001
    """Large trades' share of the volume, in [0, 1]; null where nothing traded."""
    return flow_only(ratio(f.large_lots, f.buy_lots + f.sell_lots), f)


LINES = (
    Feature("buy_volume", buy_volume, "base", POSITIVE, NO_FLOW, FLOW, "SPEC 5.2", mirror="swap:sell_volume"),
    Feature(
        "sell_volume", sell_volume, "base", POSITIVE, NO_FLOW, FLOW, "SPEC 5.2", mirror="swap:buy_volume"
    ),
    Feature("vol_delta", vol_delta, "base", ANY, NO_FLOW, FLOW, "SPEC 5.2", mirror="odd"),
    Feature("cvd", cvd, "base", ANY, NO_FLOW, FLOW, "SPEC 5.2", mirror="odd"),
    Feature("vwap", vwap, "quote", POSITIVE, f"{NO_PRICE}; {NO_FLOW}", FLOW, "SPEC 5.2", mirror="price"),
    Feature("buy_pressure", buy_pressure, "share", SHARE, NO_TRADE, FLOW, "SPEC 5.2", mirror="complement"),
    Feature(
        "trade_count", trade_count, "trades", POSITIVE, NO_FLOW, FLOW, "SPEC 5.2", dtype="int", mirror="even"
    ),
    Feature(
        "trade_intensity_1s",
        trade_intensity_1s,
        "trades/s",
        POSITIVE,
        NO_FLOW,
        FLOW,
        "SPEC 5.2",
        mirror="even",
    ),
    Feature(
        "trade_intensity_5s",
        trade_intensity_5s,
        "trades/s",
        POSITIVE,
        f"{NO_FLOW}, and 5 s after it",
        FLOW,
        "SPEC 5.2",
        mirror="even",
    ),
    Feature(
        "trade_intensity_10s",
        trade_intensity_10s,
        "trades/s",
        POSITIVE,
        f"{NO_FLOW}, and 10 s after it",
        FLOW,
        "SPEC 5.2",
        mirror="even",
    ),
    Feature(
        "large_trade_count",
        large_trade_count,
        "trades",
        POSITIVE,
        NO_FLOW,
        FLOW,
        "SPEC 5.2",
        dtype="int",
        mirror="even",
    ),
    Feature(
        "large_trade_volume", large_trade_volume, "base", POSITIVE, NO_FLOW, FLOW, "SPEC 5.2", mirror="even"
    ),
    Feature("large_trade_pct", large_trade_pct, "share", SHARE, NO_TRADE, FLOW, "SPEC 5.2", mirror="even"),
)
"""In the order of the columns of a feature table."""
