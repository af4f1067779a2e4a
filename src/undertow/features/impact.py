"""Cost of trading and price impact, from the literature (SPEC 5.7).

Spreads are of the middle of the market at the trade, see `FlowFrames`; a second of the market without a book
sample has none, and its trades take no part. Windows are whole bars, this one included; a bar wholly inside a
gap of the trade stream takes no part in them, nor does the change across it, and a value is null while fewer
than half of the window's bars are known.
"""

import numpy as np

from undertow.compiled import kernel
from undertow.features.feature import (
    ANY,
    BOOK,
    FLOW,
    NO_FLOW,
    NO_SAMPLE,
    POSITIVE,
    SHARE,
    SIGNED,
    Feature,
    Formula,
    Range,
)
from undertow.features.memory import Floats, Integers, Memory, join_products, slide_sums
from undertow.features.nulls import flow_only, known, ratio
from undertow.frames.frames import Frames

__all__ = [
    "LINES",
    "amihud_60",
    "amihud_300",
    "effective_spread_bps",
    "kyle_lambda_60",
    "kyle_lambda_300",
    "kyle_lambda_price_60",
    "kyle_lambda_price_300",
    "price_impact_bps",
    "realised_spread_bps",
    "roll_spread_60",
    "roll_spread_300",
    "trade_sign_autocorrelation_60",
    "trade_sign_autocorrelation_300",
    "vpin",
]

_SHORT, _LONG = 60, 300

# What windows sum up: known bars; |return| per value, and bars that have one; products of neighbouring price
# changes, and how many; pairs of signs, and how many are alike.
_KNOWN, _ILLIQUIDITY, _TRADED, _PRODUCTS, _CHANGE_PAIRS, _SIGN_PAIRS, _ALIKE = range(7)
_TERMS = 7

# Rows of the output of a window.
_RETURN_SLOPE, _PRICE_SLOPE, _AMIHUD, _ROLL, _SIGNS, _PER_WINDOW = range(6)


def _costs(amount: Integers, value: Integers, f: Frames) -> Floats:
    """Twice the mean distance from the middle, weighted by value [bps]."""
    return flow_only(known(2e4 * ratio(amount, value), f.sample_count > 0), f)


def effective_spread_bps(f: Frames, m: Memory) -> Floats:  # noqa: ARG001 - one signature for all features
    """Mean of 2·d·(p − m)/m over the bar's trades, weighted by m·quantity; d = ±1 the taker's side [bps]."""
    return _costs(f.flow.effective, f.flow.effective_value, f)


def realised_spread_bps(f: Frames, m: Memory) -> Floats:  # noqa: ARG001
    """Mean of 2·d·(p − m₊₅ₛ)/m over the trades whose middle 5 s later became known in the bar [bps]."""
    return _costs(f.flow.realised, f.flow.realised_value, f)


def price_impact_bps(f: Frames, m: Memory) -> Floats:  # noqa: ARG001
    """Mean of 2·d·(m₊₅ₛ − m)/m over the same trades: effective less realised spread [bps]."""
    return _costs(f.flow.impact, f.flow.realised_value, f)


def vpin(f: Frames, m: Memory) -> Floats:  # noqa: ARG001
    """Σ |B − S| / Σ (B + S) over the newest 50 complete volume buckets, of 1/50 of a day's volume each."""
    return flow_only(ratio(f.flow.vpin_imbalance, f.flow.vpin_volume), f)


@kernel
def _slide_products(pair: Floats, number: int, length: int, window: Floats, out: Floats) -> None:
    """`memory.slide_sums` for `memory.join_products`: (6,) of one bar in, of the last `length` bars out.

    `window` is (length + 1, 6), 0 at first, row 0 unused; an unknown bar is six zeros.
    """
    at = number % length
    if at == 0:
        window[length] = 0.0
    join_products(window[length], pair, 0)
    out[:] = 0.0
    if at < length - 1:
        out[:] = window[at + 1]
    join_products(out, window[length], 0)
    window[at] = pair
    if at == length - 1:
        for p in range(length - 2, 0, -1):
            join_products(window[p], window[p + 1], 0)


@kernel
def _of_bar(close: int, row: Integers, past: Floats, terms: Floats, returns: Floats, changes: Floats) -> None:
    """The terms of one bar.

    `row`: known (0 or 1), net lots, signed notional, notional, then the last four of the terms; `past`: close
    before, NaN where it is unknown.
    """
    terms[:], returns[:], changes[:] = 0.0, 0.0, 0.0
    if row[0] == 0 or close == 0:
        past[0] = np.nan
        return
    terms[_KNOWN] = 1.0
    for i in range(4):
        terms[_PRODUCTS + i] = row[4 + i]
    if not np.isnan(past[0]):
        change, moved = close - past[0], 1e4 * np.log(close / past[0])
        changes[0], changes[1], changes[2] = 1.0, row[1], change
        returns[0], returns[1], returns[2] = 1.0, row[2], moved
        if row[3] > 0:
            terms[_ILLIQUIDITY], terms[_TRADED] = abs(moved) / row[3], 1.0
    past[0] = close


@kernel
def _read(length: int, sums: Floats, returns: Floats, changes: Floats, row: Floats) -> None:
    """What a window says."""
    row[:] = np.nan
    if returns[0] >= length / 2 and returns[3] > 0:
        row[_RETURN_SLOPE] = returns[5] / returns[3]
    if changes[0] >= length / 2 and changes[3] > 0:
        row[_PRICE_SLOPE] = changes[5] / changes[3]
    if not sums[_KNOWN] >= length / 2:
        return
    if sums[_TRADED] > 0:
        row[_AMIHUD] = sums[_ILLIQUIDITY] / sums[_TRADED]
    if sums[_CHANGE_PAIRS] > 0 and sums[_PRODUCTS] <= 0:
        row[_ROLL] = 2.0 * np.sqrt(-sums[_PRODUCTS] / sums[_CHANGE_PAIRS])
    if sums[_SIGN_PAIRS] > 0:
        row[_SIGNS] = (2.0 * sums[_ALIKE] - sums[_SIGN_PAIRS]) / sums[_SIGN_PAIRS]


@kernel
def _slide(
    close: Integers,
    rows: Integers,
    first: int,
    length: int,
    past: Floats,
    sums: Floats,
    returns: Floats,
    changes: Floats,
    out: Floats,
) -> None:
    """Each bar through one window; `rows` is (8, T), `first` the number of the first bar, `out` (5, T)."""
    terms, total = np.empty(_TERMS), np.empty(_TERMS)
    pairs, joined, row = np.empty((2, 6)), np.empty((2, 6)), np.empty(_PER_WINDOW)
    for i in range(len(close)):
        _of_bar(close[i], rows[:, i], past, terms, pairs[0], pairs[1])
        slide_sums(terms, first + i, length, sums, total)
        _slide_products(pairs[0], first + i, length, returns, joined[0])
        _slide_products(pairs[1], first + i, length, changes, joined[1])
        _read(length, total, joined[0], joined[1], row)
        out[:, i] = row


def _windows(f: Frames, m: Memory) -> Floats:
    """All rows of the short window, then all of the long one; known bars only."""
    whole = f.trade_gap_ns < f.length_ns
    terms = (f.flow.change_products, f.flow.change_pairs, f.flow.sign_pairs, f.flow.sign_continuations)
    flows = (f.buy_lots - f.sell_lots, f.flow.signed_notional, f.notional)
    rows = np.stack([whole.astype(np.int64), *flows, *terms])
    out = np.empty((2 * _PER_WINDOW, len(f)))
    for at, length in enumerate((_SHORT, _LONG)):
        _slide(
            f.close,
            rows,
            int(f.open_ns[0]) // f.length_ns,
            length,
            m.floats(1, fill=np.nan),
            m.floats(length + 1, _TERMS),
            m.floats(length + 1, 6),
            m.floats(length + 1, 6),
            out[at * _PER_WINDOW : (at + 1) * _PER_WINDOW],
        )
    return known(out, whole)


def _return_slope(f: Frames, m: Memory, window: int) -> Floats:
    """Slope per quote unit of signed notional, times a million."""
    a_million = f.price.divisor * f.quantity.divisor / (f.price.units * f.quantity.units) * 1e6
    return m.shared(f, _windows, window * _PER_WINDOW + _RETURN_SLOPE) * a_million


def _price_slope(f: Frames, m: Memory, window: int) -> Floats:
    steps = f.price.units * f.quantity.divisor / (f.price.divisor * f.quantity.units)
    return m.shared(f, _windows, window * _PER_WINDOW + _PRICE_SLOPE) * steps


def _illiquidity(f: Frames, m: Memory, window: int) -> Floats:
    a_million = f.price.divisor * f.quantity.divisor / (f.price.units * f.quantity.units) * 1e6
    return m.shared(f, _windows, window * _PER_WINDOW + _AMIHUD) * a_million


def _roll(f: Frames, m: Memory, window: int) -> Floats:
    ticks = m.shared(f, _windows, window * _PER_WINDOW + _ROLL)
    return ticks * f.price.units / f.price.divisor


def kyle_lambda_60(f: Frames, m: Memory) -> Floats:
    """Slope of log return on Σ d·p·quantity over 60 bars [bps per million quote units]."""
    return _return_slope(f, m, 0)


def kyle_lambda_300(f: Frames, m: Memory) -> Floats:
    """Slope of log return on Σ d·p·quantity over 300 bars [bps per million quote units]."""
    return _return_slope(f, m, 1)


def kyle_lambda_price_60(f: Frames, m: Memory) -> Floats:
    """Slope of the change of close on vol_delta over 60 bars [quote per base unit]."""
    return _price_slope(f, m, 0)


def kyle_lambda_price_300(f: Frames, m: Memory) -> Floats:
    """Slope of the change of close on vol_delta over 300 bars [quote per base unit]."""
    return _price_slope(f, m, 1)


def amihud_60(f: Frames, m: Memory) -> Floats:
    """Mean of |log return| / Σ p·quantity over the bars of 60 that traded [bps per million quote units]."""
    return _illiquidity(f, m, 0)


def amihud_300(f: Frames, m: Memory) -> Floats:
    """Mean of |log return| / Σ p·quantity over the bars of 300 that traded [bps per million quote units]."""
    return _illiquidity(f, m, 1)


def roll_spread_60(f: Frames, m: Memory) -> Floats:
    """2·√(−mean of Δp·Δp₋₁) over the trades of 60 bars, Δp from trade to trade [quote]."""
    return _roll(f, m, 0)


def roll_spread_300(f: Frames, m: Memory) -> Floats:
    """2·√(−mean of Δp·Δp₋₁) over the trades of 300 bars, Δp from trade to trade [quote]."""
    return _roll(f, m, 1)


def trade_sign_autocorrelation_60(f: Frames, m: Memory) -> Floats:
    """Mean of d·d₋₁ over the trades of 60 bars, d = ±1 the taker's side."""
    return m.shared(f, _windows, _SIGNS)


def trade_sign_autocorrelation_300(f: Frames, m: Memory) -> Floats:
    """Mean of d·d₋₁ over the trades of 300 bars, d = ±1 the taker's side."""
    return m.shared(f, _windows, _PER_WINDOW + _SIGNS)


_ALL = f"{FLOW}, {BOOK}"
_COST = f"{NO_SAMPLE}; no trade whose middle is known; {NO_FLOW}"
_LATER = f"{NO_SAMPLE}; no trade 5 s before whose middles are known; {NO_FLOW}"
_HALF = f"fewer than half of the window's bars known; {NO_FLOW}"
_SLOPE = f"{_HALF}; no two bars of different flow"
_BUCKETS = f"until 50 buckets are complete, the first begun a full hour after the first trade; {NO_FLOW}"
_KYLE, _MILLION = "SPEC 5.7; Kyle 1985; Hasbrouck 2007", "bps/Mquote"
_AMIHUD_2002, _ROLL_1984 = "SPEC 5.7; Amihud 2002", "SPEC 5.7; Roll 1984"
_NO_BOUNCE = f"{_HALF}; no changes; neighbouring changes of like sign on the whole"


def _cost(function: Formula, null: str, warm_up: int) -> Feature:
    return Feature(
        function.__name__, function, "bps", ANY, null, _ALL, "SPEC 5.7; Huang, Stoll 1996", warm_up
    )


def _line(
    function: Formula, unit: str, bounds: Range, null: str, source: str, warm_up: int, mirror: str
) -> Feature:
    return Feature(function.__name__, function, unit, bounds, null, FLOW, source, warm_up, mirror=mirror)


LINES = (
    _cost(effective_spread_bps, _COST, 0),
    _cost(realised_spread_bps, _LATER, 5),
    _cost(price_impact_bps, _LATER, 5),
    _line(vpin, "share", SHARE, _BUCKETS, "SPEC 5.7; Easley, López de Prado, O'Hara 2012", 0, "even"),
    _line(kyle_lambda_60, _MILLION, ANY, _SLOPE, _KYLE, 30, "none"),
    _line(kyle_lambda_300, _MILLION, ANY, _SLOPE, _KYLE, 150, "none"),
    _line(kyle_lambda_price_60, "quote/base", ANY, _SLOPE, _KYLE, 30, "even"),
    _line(kyle_lambda_price_300, "quote/base", ANY, _SLOPE, _KYLE, 150, "even"),
    _line(amihud_60, _MILLION, POSITIVE, f"{_HALF}; no trade", _AMIHUD_2002, 29, "none"),
    _line(amihud_300, _MILLION, POSITIVE, f"{_HALF}; no trade", _AMIHUD_2002, 149, "none"),
    _line(roll_spread_60, "quote", POSITIVE, _NO_BOUNCE, _ROLL_1984, 29, "even"),
    _line(roll_spread_300, "quote", POSITIVE, _NO_BOUNCE, _ROLL_1984, 149, "even"),
    _line(
        trade_sign_autocorrelation_60,
        "share",
        SIGNED,
        f"{_HALF}; no pair of trades",
        "SPEC 5.7; Lillo, Farmer 2004",
        29,
        "even",
    ),
    _line(
        trade_sign_autocorrelation_300,
        "share",
        SIGNED,
        f"{_HALF}; no pair of trades",
        "SPEC 5.7; Lillo, Farmer 2004",
        149,
        "even",
    ),
)
"""In the order of the columns of a feature table. Warm-ups are in bars of a second that trade."""
