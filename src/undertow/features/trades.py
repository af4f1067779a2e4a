"""Trade flow (SPEC 5.2). Only market orders: insurance-fund and ADL prints never reach a frame."""

import numpy as np

from undertow.compiled import borrowed, kernel
from undertow.features.feature import ANY, FLOW, NO_FLOW, NO_PRICE, NO_TRADE, POSITIVE, SHARE, Feature
from undertow.features.memory import Floats, Integers, Memory
from undertow.features.nulls import quotient
from undertow.frames.frames import Frames
from undertow.market.time import DAY_NS, SECOND_NS

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


_BUYS, _SELLS, _DELTA, _CVD, _VWAP, _PRESSURE, _COUNT = range(7)
_INTENSITY_1S, _INTENSITY_5S, _INTENSITY_10S = range(7, 10)
_LARGE_COUNT, _LARGE_VOLUME, _LARGE_SHARE, _ROWS = range(10, 14)


@kernel
def _sums(
    i: int,
    columns: tuple[Integers, Integers, Integers, Integers, Integers, Integers, Integers],
    steps: tuple[int, int, int, int],
    cvd_lots: int,
    row: Floats,
) -> None:
    """What the bar's exact sums say; `columns` and `steps` as in `_fold`."""
    buys, sells, notional, close, counts, large_counts, large_lots = columns
    volume = buys[i] + sells[i]
    row[_BUYS] = buys[i] * steps[2] / steps[3]
    row[_SELLS] = sells[i] * steps[2] / steps[3]
    row[_DELTA] = (buys[i] - sells[i]) * steps[2] / steps[3]
    row[_CVD] = cvd_lots * steps[2] / steps[3]
    ticks = float(close[i]) if close[i] > 0 else np.nan
    if volume > 0:
        ticks = notional[i] / volume
    row[_VWAP] = ticks * steps[0] / steps[1]
    row[_PRESSURE] = quotient(buys[i], volume)
    row[_COUNT] = counts[i]
    row[_LARGE_COUNT] = large_counts[i]
    row[_LARGE_VOLUME] = large_lots[i] * steps[2] / steps[3]
    row[_LARGE_SHARE] = quotient(large_lots[i], volume)


@kernel
def _fold(
    columns: tuple[Integers, Integers, Integers, Integers, Integers, Integers, Integers],
    trailing_counts: Integers,
    clock: tuple[Integers, Integers, Integers],
    length_ns: int,
    steps: tuple[int, int, int, int],
    since_midnight: Integers,
    out: Floats,
) -> None:
    """All rows for each bar.

    `columns`: taker buys and sells, notional, close, trades, large trades and their lots; `clock`: open time,
    trade gap, time since such a gap; `steps`: units and divisor of prices and of quantities;
    `since_midnight`: the day and its exact sum of taker delta so far.
    """
    columns = borrowed(columns)
    buys, sells = columns[0], columns[1]
    open_ns, gap_ns, since_gap_ns = borrowed(clock)
    trailing_counts, since_midnight, out = borrowed((trailing_counts, since_midnight, out))
    for i in range(len(open_ns)):
        day = open_ns[i] // DAY_NS
        if day != since_midnight[0]:
            since_midnight[0], since_midnight[1] = day, 0
        since_midnight[1] += buys[i] - sells[i]
        if gap_ns[i] >= length_ns:
            out[:, i] = np.nan
            continue
        _sums(i, columns, steps, since_midnight[1], out[:, i])
        since_ns, counts = since_gap_ns[i], trailing_counts[i]
        out[_INTENSITY_1S, i] = counts[0] / 1.0
        out[_INTENSITY_5S, i] = counts[1] / 5.0 if since_ns >= 5 * SECOND_NS else np.nan
        out[_INTENSITY_10S, i] = counts[2] / 10.0 if since_ns >= 10 * SECOND_NS else np.nan


def _rows(f: Frames, m: Memory) -> Floats:
    """(rows, T)."""
    columns = (f.buy_lots, f.sell_lots, f.notional, f.close, f.trade_count, f.large_count, f.large_lots)
    clock = (f.open_ns, f.trade_gap_ns, f.flow.since_gap_ns)
    steps = (f.price.units, f.price.divisor, f.quantity.units, f.quantity.divisor)
    out = np.empty((_ROWS, len(f.close)))
    _fold(columns, f.trailing_counts, clock, f.length_ns, steps, m.integers(2, fill=-1), out)
    return out


def buy_volume(f: Frames, m: Memory) -> Floats:
    """Taker buys: Σ quantity of trades whose maker was the seller [base units]."""
    return m.shared(f, _rows, _BUYS)


def sell_volume(f: Frames, m: Memory) -> Floats:
    """Taker sells: Σ quantity of trades whose maker was the buyer [base units]."""
    return m.shared(f, _rows, _SELLS)


def vol_delta(f: Frames, m: Memory) -> Floats:
    """Taker buys − taker sells [base units]."""
    return m.shared(f, _rows, _DELTA)


def cvd(f: Frames, m: Memory) -> Floats:
    """Cumulative volume delta: Σ vol_delta since 00:00 UTC, this bar included [base units]."""
    return m.shared(f, _rows, _CVD)


def vwap(f: Frames, m: Memory) -> Floats:
    """Σ price·quantity / Σ quantity [quote]; the previous close in an empty bar."""
    return m.shared(f, _rows, _VWAP)


def buy_pressure(f: Frames, m: Memory) -> Floats:
    """Taker-buy share of the volume, B / (B + S), in [0, 1]; null where nothing traded."""
    return m.shared(f, _rows, _PRESSURE)


def trade_count(f: Frames, m: Memory) -> Floats:
    """Number of trades."""
    return m.shared(f, _rows, _COUNT)


def trade_intensity_1s(f: Frames, m: Memory) -> Floats:
    """Trades in the last second before the close, per second [1/s]."""
    return m.shared(f, _rows, _INTENSITY_1S)


def trade_intensity_5s(f: Frames, m: Memory) -> Floats:
    """Trades in the last 5 s before the close, per second [1/s]."""
    return m.shared(f, _rows, _INTENSITY_5S)


def trade_intensity_10s(f: Frames, m: Memory) -> Floats:
    """Trades in the last 10 s before the close, per second [1/s]."""
    return m.shared(f, _rows, _INTENSITY_10S)


def large_trade_count(f: Frames, m: Memory) -> Floats:
    """Trades larger than 2 × the mean quantity of the last 15 minutes, themselves included."""
    return m.shared(f, _rows, _LARGE_COUNT)


def large_trade_volume(f: Frames, m: Memory) -> Floats:
    """Σ quantity of large trades [base units]."""
    return m.shared(f, _rows, _LARGE_VOLUME)


def large_trade_pct(f: Frames, m: Memory) -> Floats:
    """Large trades' share of the volume, in [0, 1]; null where nothing traded."""
    return m.shared(f, _rows, _LARGE_SHARE)


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
