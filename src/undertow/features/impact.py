"""Cost of trading and price impact, from the literature (SPEC 5.7).

Spreads are of the middle of the market at the trade, see `FlowFrames`; a second of the market without a book
sample has none, and its trades take no part. Windows are whole bars, this one included; a bar wholly inside a
gap of the trade stream takes no part in them, nor does the change across it, and a value is null while fewer
than half of the window's bars are known.
"""

import numpy as np

from undertow.compiled import borrowed, kernel
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
from undertow.features.nulls import quotient
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

# Rows of the output: costs of the bar's trades, then each measure for the short window and for the long one.
_EFFECTIVE, _REALISED, _IMPACT, _VPIN = range(4)
_RETURN_SLOPE, _PRICE_SLOPE, _AMIHUD, _ROLL, _SIGNS = range(4, 14, 2)
_ROWS = 14

# Places in the state: the close before, 0 where it is unknown; the windows of each length, one after another.
_PRODUCT, _WINDOWS = 6, 1
_PER_BAR = _TERMS + 2 * _PRODUCT
_STATE = _WINDOWS + (_SHORT + 1 + _LONG + 1) * _PER_BAR


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
def _of_bar(
    close: int,
    row: tuple[int, int, int],
    events: tuple[int, int, int, int],
    before: float,
    terms: Floats,
    pairs: Floats,
) -> None:
    """The terms of a known bar; `before`: the close before, 0 where it is unknown.

    `row`: net lots, signed notional, notional; `events`: the last four of the terms; `pairs`: (2, 6) of
    log returns and signed notional, and of price changes and net lots.
    """
    terms[_KNOWN] = 1.0
    for i in range(4):
        terms[_PRODUCTS + i] = events[i]
    if before > 0:
        change, moved = close - before, 1e4 * np.log(close / before)
        pairs[0, 0], pairs[0, 1], pairs[0, 2] = 1.0, row[1], moved
        pairs[1, 0], pairs[1, 1], pairs[1, 2] = 1.0, row[0], change
        if row[2] > 0:
            terms[_ILLIQUIDITY], terms[_TRADED] = abs(moved) / row[2], 1.0


@kernel
def _read(length: int, sums: Floats, joined: Floats, window: int, row: Floats) -> None:
    """What a window says; `joined`: (2, 6) as the pairs of a bar; `window`: 0 the short, 1 the long one."""
    returns, changes = joined[0], joined[1]
    if returns[0] >= length / 2 and returns[3] > 0:
        row[_RETURN_SLOPE + window] = returns[5] / returns[3]
    if changes[0] >= length / 2 and changes[3] > 0:
        row[_PRICE_SLOPE + window] = changes[5] / changes[3]
    if not sums[_KNOWN] >= length / 2:
        return
    if sums[_TRADED] > 0:
        row[_AMIHUD + window] = sums[_ILLIQUIDITY] / sums[_TRADED]
    if sums[_CHANGE_PAIRS] > 0 and sums[_PRODUCTS] <= 0:
        row[_ROLL + window] = 2.0 * np.sqrt(-sums[_PRODUCTS] / sums[_CHANGE_PAIRS])
    if sums[_SIGN_PAIRS] > 0:
        row[_SIGNS + window] = (2.0 * sums[_ALIKE] - sums[_SIGN_PAIRS]) / sums[_SIGN_PAIRS]


@kernel
def _slide(number: int, terms: Floats, pairs: Floats, state: Floats, scratch: Floats, row: Floats) -> None:
    """A bar through both windows; `scratch`: (3, 7)."""
    at, total, joined = _WINDOWS, scratch[0], scratch[1:, :_PRODUCT]
    for window in range(2):
        length = _LONG if window else _SHORT
        bars = length + 1
        products = at + bars * _TERMS
        after = products + bars * _PRODUCT
        slide_sums(terms, number, length, state[at:products].reshape(bars, _TERMS), total)
        _slide_products(pairs[0], number, length, state[products:after].reshape(bars, _PRODUCT), joined[0])
        at = after + bars * _PRODUCT
        _slide_products(pairs[1], number, length, state[after:at].reshape(bars, _PRODUCT), joined[1])
        _read(length, total, joined, window, row)


@kernel
def _scale(scales: tuple[float, float, int, int], row: Floats) -> None:
    """From ticks and lots to units.

    `scales`: a million of quote units in ticks·lots, a tick per lot in quote per base, units and divisor of
    prices.
    """
    for window in range(2):
        row[_RETURN_SLOPE + window] = row[_RETURN_SLOPE + window] * scales[0]
        row[_PRICE_SLOPE + window] = row[_PRICE_SLOPE + window] * scales[1]
        row[_AMIHUD + window] = row[_AMIHUD + window] * scales[0]
        row[_ROLL + window] = row[_ROLL + window] * scales[2] / scales[3]


@kernel
def _costs(
    i: int,
    columns: tuple[Integers, Integers, Integers, Integers, Integers, Integers, Integers],
    samples: int,
    row: Floats,
) -> None:
    """Twice the mean distance from the middle, weighted by value [bps], and VPIN.

    `columns`: effective and its value, realised, impact and the value of both; imbalance and volume of VPIN.
    """
    effective, value, realised, impact, later_value, imbalance, volume = columns
    row[_VPIN] = quotient(imbalance[i], volume[i])
    if samples > 0:
        row[_EFFECTIVE] = 2e4 * quotient(effective[i], value[i])
        row[_REALISED] = 2e4 * quotient(realised[i], later_value[i])
        row[_IMPACT] = 2e4 * quotient(impact[i], later_value[i])


@kernel
def _fold(
    columns: tuple[Integers, Integers, Integers, Integers, Integers, Integers],
    events: tuple[Integers, Integers, Integers, Integers, Integers],
    costs: tuple[Integers, Integers, Integers, Integers, Integers, Integers, Integers],
    clock: tuple[int, int],
    scales: tuple[float, float, int, int],
    state: Floats,
    scratch: Floats,
    out: Floats,
) -> None:
    """All rows for each bar.

    `columns`: close, taker buys and sells, notional, trade gap, samples; `events`: signed notional, products
    and pairs of changes, pairs and continuations of signs; `costs`: what was paid, see `_costs`;
    `clock`: length of a bar and number of the first; `scratch`: (6, 7).
    """
    close, buys, sells, notional, gap_ns, samples = borrowed(columns)
    signed, products, changes, pairs, alike = borrowed(events)
    costs, (state, scratch, out) = borrowed(costs), borrowed((state, scratch, out))
    terms, of_pairs = scratch[0], scratch[1:3, :_PRODUCT]
    for i in range(len(close)):
        row, whole = out[:, i], gap_ns[i] < clock[0]
        row[:], scratch[:3] = np.nan, 0.0
        if whole and close[i] != 0:
            flows = (buys[i] - sells[i], signed[i], notional[i])
            found = (products[i], changes[i], pairs[i], alike[i])
            _of_bar(close[i], flows, found, state[0], terms, of_pairs)
        state[0] = float(close[i]) if whole else 0.0
        _slide(clock[1] + i, terms, of_pairs, state, scratch[3:], row)
        _scale(scales, row)
        if whole:
            _costs(i, costs, samples[i], row)
        else:
            row[:] = np.nan


def _rows(f: Frames, m: Memory) -> Floats:
    """(rows, T)."""
    flow = f.flow
    columns = (f.close, f.buy_lots, f.sell_lots, f.notional, f.trade_gap_ns, f.sample_count)
    signs = (flow.sign_pairs, flow.sign_continuations)
    events = (flow.signed_notional, flow.change_products, flow.change_pairs, *signs)
    spreads = (flow.effective, flow.effective_value, flow.realised, flow.impact, flow.realised_value)
    costs = (*spreads, flow.vpin_imbalance, flow.vpin_volume)
    price, quantity = f.price, f.quantity
    a_million = price.divisor * quantity.divisor / (price.units * quantity.units) * 1e6
    steps = price.units * quantity.divisor / (price.divisor * quantity.units)
    scales = (a_million, steps, price.units, price.divisor)
    clock = (f.length_ns, int(f.open_ns[0]) // f.length_ns)
    out = np.empty((_ROWS, len(f.close)))
    _fold(columns, events, costs, clock, scales, m.floats(_STATE), np.empty((6, _TERMS)), out)
    return out


def effective_spread_bps(f: Frames, m: Memory) -> Floats:
    """Mean of 2·d·(p − m)/m over the bar's trades, weighted by m·quantity; d = ±1 the taker's side [bps]."""
    return m.shared(f, _rows, _EFFECTIVE)


def realised_spread_bps(f: Frames, m: Memory) -> Floats:
    """Mean of 2·d·(p − m₊₅ₛ)/m over the trades whose middle 5 s later became known in the bar [bps]."""
    return m.shared(f, _rows, _REALISED)


def price_impact_bps(f: Frames, m: Memory) -> Floats:
    """Mean of 2·d·(m₊₅ₛ − m)/m over the same trades: effective less realised spread [bps]."""
    return m.shared(f, _rows, _IMPACT)


def vpin(f: Frames, m: Memory) -> Floats:
    """Σ |B − S| / Σ (B + S) over the newest 50 complete volume buckets, of 1/50 of a day's volume each."""
    return m.shared(f, _rows, _VPIN)


def kyle_lambda_60(f: Frames, m: Memory) -> Floats:
    """Slope of log return on Σ d·p·quantity over 60 bars [bps per million quote units]."""
    return m.shared(f, _rows, _RETURN_SLOPE)


def kyle_lambda_300(f: Frames, m: Memory) -> Floats:
    """Slope of log return on Σ d·p·quantity over 300 bars [bps per million quote units]."""
    return m.shared(f, _rows, _RETURN_SLOPE + 1)


def kyle_lambda_price_60(f: Frames, m: Memory) -> Floats:
    """Slope of the change of close on vol_delta over 60 bars [quote per base unit]."""
    return m.shared(f, _rows, _PRICE_SLOPE)


def kyle_lambda_price_300(f: Frames, m: Memory) -> Floats:
    """Slope of the change of close on vol_delta over 300 bars [quote per base unit]."""
    return m.shared(f, _rows, _PRICE_SLOPE + 1)


def amihud_60(f: Frames, m: Memory) -> Floats:
    """Mean of |log return| / Σ p·quantity over the bars of 60 that traded [bps per million quote units]."""
    return m.shared(f, _rows, _AMIHUD)


def amihud_300(f: Frames, m: Memory) -> Floats:
    """Mean of |log return| / Σ p·quantity over the bars of 300 that traded [bps per million quote units]."""
    return m.shared(f, _rows, _AMIHUD + 1)


def roll_spread_60(f: Frames, m: Memory) -> Floats:
    """2·√(−mean of Δp·Δp₋₁) over the trades of 60 bars, Δp from trade to trade [quote]."""
    return m.shared(f, _rows, _ROLL)


def roll_spread_300(f: Frames, m: Memory) -> Floats:
    """2·√(−mean of Δp·Δp₋₁) over the trades of 300 bars, Δp from trade to trade [quote]."""
    return m.shared(f, _rows, _ROLL + 1)


def trade_sign_autocorrelation_60(f: Frames, m: Memory) -> Floats:
    """Mean of d·d₋₁ over the trades of 60 bars, d = ±1 the taker's side."""
    return m.shared(f, _rows, _SIGNS)


def trade_sign_autocorrelation_300(f: Frames, m: Memory) -> Floats:
    """Mean of d·d₋₁ over the trades of 300 bars, d = ±1 the taker's side."""
    return m.shared(f, _rows, _SIGNS + 1)


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
