"""Mark price, funding, open interest and liquidations (SPEC 5.4), as they were known at the close (SPEC 5.9).

A reading is a state that lasts until the next: a bar shows the newest one, and null once that is older than
it may be. Ages are counted from the time that the exchange states, so the local clock is nowhere in them.
Forced orders are flow: they count in the bar in which they became known. Where a venue has no such table, as
spot has none, everything here is null.
"""

import numpy as np

from undertow.compiled import borrowed, kernel
from undertow.features.feature import ANY, NO_FLOW, NO_PRICE, POSITIVE, SHARE, SIGNED, Feature, Formula, Range
from undertow.features.memory import Floats, Integers, Memory
from undertow.features.nulls import known_tick, quotient
from undertow.frames.frames import Frames
from undertow.market.time import MILLISECOND_NS, MINUTE_NS, SECOND_NS

__all__ = [
    "LINES",
    "basis_bps",
    "funding_rate",
    "funding_rate_delta",
    "high_funding_pressure",
    "index_price",
    "liq_imbalance",
    "liq_long_vol",
    "liq_ratio",
    "liq_short_vol",
    "mark_price",
    "minutes_to_funding",
    "oi_change_pct",
    "open_interest",
    "settled_funding_rate",
    "spot_premium_pct",
]

_MARK_AGE_NS = 10 * SECOND_NS
"""The exchange pushes mark prices every 1 or 3 s."""
_INTEREST_AGE_NS = 10 * MINUTE_NS
"""It is asked for once a minute."""
_HIGH_RATE = 0.0005


_MARK, _INDEX, _PREMIUM, _BASIS, _FUNDING, _SETTLED, _DELTA, _IS_HIGH, _MINUTES = range(9)
_INTEREST, _INTEREST_CHANGE, _LONG, _SHORT, _LIQUIDATED_RATIO, _LIQUIDATED_IMBALANCE, _ROWS = range(9, 16)


@kernel
def _recent(read_ns: int, close_ns: int, oldest_ns: int) -> bool:
    """Whether a reading was at most so old at the close."""
    return read_ns > 0 and close_ns - read_ns <= oldest_ns


@kernel
def _of_mark(
    i: int,
    readings: tuple[Floats, Floats, Floats, Floats, Floats, Floats, Floats],
    close_ns: int,
    close: float,
    row: Floats,
) -> None:
    """What the newest mark price and its companions say; `close`: last trade price [quote] or null."""
    marks, spots, rates, next_ms, settled_rates, _, _ = readings
    row[_MARK], row[_INDEX], row[_FUNDING] = marks[i], spots[i], rates[i]
    row[_PREMIUM] = quotient(marks[i] - spots[i], spots[i]) * 100.0
    row[_BASIS] = quotient(close - spots[i], spots[i]) * 1e4
    row[_DELTA] = rates[i] - settled_rates[i]
    if not np.isnan(rates[i]):
        row[_IS_HIGH] = 1.0 if abs(rates[i]) > _HIGH_RATE else 0.0
    minutes = (next_ms[i] - close_ns // MILLISECOND_NS) / 60_000.0
    if minutes >= 0.0:
        row[_MINUTES] = minutes


@kernel
def _of_liquidations(long: int, short: int, lot: tuple[int, int], row: Floats) -> None:
    """Forced sales and purchases of the bar [lots]."""
    row[_LONG], row[_SHORT] = long * lot[0] / lot[1], short * lot[0] / lot[1]
    row[_LIQUIDATED_RATIO] = quotient(long, short)
    row[_LIQUIDATED_IMBALANCE] = quotient(long - short, long + short)


@kernel
def _fold(
    readings: tuple[Floats, Floats, Floats, Floats, Floats, Floats, Floats],
    columns: tuple[Integers, Integers, Integers, Integers, Integers, Integers, Integers, Integers, Integers],
    length_ns: int,
    steps: tuple[int, int, int, int],
    out: Floats,
) -> None:
    """All rows for each bar.

    `readings`: mark and index price, funding rate, time of the next, settled rate, open interest and the
    reading before; `columns`: times of mark, settlement, interest and newest forced order, lots of forced
    sales and purchases, open time, close, trade gap; `steps`: units and divisor of prices and quantities.
    """
    readings, columns, out = borrowed(readings), borrowed(columns), borrowed((out,))[0]
    mark_ns, settled_ns, interest_ns, liquidation_ns, sells, buys, open_ns, close, gap_ns = columns
    for i in range(len(open_ns)):
        row, close_ns, whole = out[:, i], open_ns[i] + length_ns, gap_ns[i] < length_ns
        row[:] = np.nan
        if _recent(mark_ns[i], close_ns, _MARK_AGE_NS):
            last = known_tick(close[i], gap_ns[i], length_ns)
            _of_mark(i, readings, close_ns, last * steps[0] / steps[1], row)
        if settled_ns[i] > 0:
            row[_SETTLED] = readings[4][i]
        if _recent(interest_ns[i], close_ns, _INTEREST_AGE_NS):
            interest, before = readings[5][i], readings[6][i]
            row[_INTEREST] = interest
            row[_INTEREST_CHANGE] = quotient(interest - before, before) * 100.0
        if liquidation_ns[i] > 0 and whole:
            _of_liquidations(sells[i], buys[i], (steps[2], steps[3]), row)


def _rows(f: Frames, m: Memory) -> Floats:  # noqa: ARG001 - one signature for all
    """(rows, T)."""
    market = f.market
    funding = (market.funding_rate, market.next_funding_ms, market.settled_rate)
    readings = (market.mark_price, market.index_price, *funding, market.open_interest, market.interest_before)
    times = (market.mark_ns, market.settled_ns, market.interest_ns, market.last_liquidation_ns)
    lots = (market.liquidated_sell_lots, market.liquidated_buy_lots)
    columns = (*times, *lots, f.open_ns, f.close, f.trade_gap_ns)
    steps = (f.price.units, f.price.divisor, f.quantity.units, f.quantity.divisor)
    out = np.empty((_ROWS, len(f.open_ns)))
    _fold(readings, columns, f.length_ns, steps, out)
    return out


def mark_price(f: Frames, m: Memory) -> Floats:
    """The exchange's mark price, by which positions are valued and liquidated [quote]."""
    return m.shared(f, _rows, _MARK)


def index_price(f: Frames, m: Memory) -> Floats:
    """The exchange's index: the price of the underlying on the spot markets that it weighs [quote]."""
    return m.shared(f, _rows, _INDEX)


def spot_premium_pct(f: Frames, m: Memory) -> Floats:
    """(mark − spot) / spot · 100, spot being the index price [%]."""
    return m.shared(f, _rows, _PREMIUM)


def basis_bps(f: Frames, m: Memory) -> Floats:
    """(close − index) / index · 10⁴: what the last trade paid above spot [bps]."""
    return m.shared(f, _rows, _BASIS)


def funding_rate(f: Frames, m: Memory) -> Floats:
    """The exchange's estimate of the rate settled next; above 0 longs pay shorts [share of notional]."""
    return m.shared(f, _rows, _FUNDING)


def settled_funding_rate(f: Frames, m: Memory) -> Floats:
    """The rate that was settled last [share of notional]."""
    return m.shared(f, _rows, _SETTLED)


def funding_rate_delta(f: Frames, m: Memory) -> Floats:
    """funding_rate − settled_funding_rate: how far the next payment is from the last [share of notional]."""
    return m.shared(f, _rows, _DELTA)


def high_funding_pressure(f: Frames, m: Memory) -> Floats:
    """1 where |funding_rate| > 0.0005, else 0."""
    return m.shared(f, _rows, _IS_HIGH)


def minutes_to_funding(f: Frames, m: Memory) -> Floats:
    """From the close to the next settlement that the exchange announced [min]."""
    return m.shared(f, _rows, _MINUTES)


def open_interest(f: Frames, m: Memory) -> Floats:
    """Contracts that are open [base units]."""
    return m.shared(f, _rows, _INTEREST)


def oi_change_pct(f: Frames, m: Memory) -> Floats:
    """(open interest − that of the reading before) / that of the reading before · 100 [%]."""
    return m.shared(f, _rows, _INTEREST_CHANGE)


def liq_long_vol(f: Frames, m: Memory) -> Floats:
    """Longs liquidated: Σ quantity of forced sales that became known in the bar [base units]."""
    return m.shared(f, _rows, _LONG)


def liq_short_vol(f: Frames, m: Memory) -> Floats:
    """Shorts liquidated: Σ quantity of forced purchases that became known in the bar [base units]."""
    return m.shared(f, _rows, _SHORT)


def liq_ratio(f: Frames, m: Memory) -> Floats:
    """liq_long_vol / liq_short_vol; null where no short was liquidated."""
    return m.shared(f, _rows, _LIQUIDATED_RATIO)


def liq_imbalance(f: Frames, m: Memory) -> Floats:
    """(long − short) / (long + short) of liq_long_vol and liq_short_vol; null where both are 0."""
    return m.shared(f, _rows, _LIQUIDATED_IMBALANCE)


_NO_MARK = "newest mark price older than 10 s at the close, or none known yet"
_NO_RATE = f"{_NO_MARK}; a contract without funding"
_NO_INTEREST = "newest reading older than 10 min at the close, or none known yet"
_NO_LIQUIDATION = f"before the first forced order that became known; {NO_FLOW}"
_ZERO_INDEX = "index price 0"

_SPEC = "SPEC 5.4"


def _mark(function: Formula, unit: str, bounds: Range, mirror: str, null: str = _NO_MARK) -> Feature:
    return Feature(function.__name__, function, unit, bounds, null, "mark_price", _SPEC, mirror=mirror)


def _interest(function: Formula, unit: str, bounds: Range, null: str = _NO_INTEREST) -> Feature:
    return Feature(function.__name__, function, unit, bounds, null, "open_interest", _SPEC, mirror="even")


def _liquidations(
    function: Formula, unit: str, bounds: Range, mirror: str, null: str = _NO_LIQUIDATION
) -> Feature:
    inputs = "liquidations, gaps"
    return Feature(function.__name__, function, unit, bounds, null, inputs, _SPEC, mirror=mirror)


LINES = (
    _mark(mark_price, "quote", POSITIVE, "price"),
    _mark(index_price, "quote", POSITIVE, "price"),
    _mark(spot_premium_pct, "%", ANY, "none", f"{_NO_MARK}; {_ZERO_INDEX}"),
    Feature(
        "basis_bps",
        basis_bps,
        "bps",
        ANY,
        f"{NO_PRICE}; {NO_FLOW}; {_NO_MARK}; {_ZERO_INDEX}",
        "trades, gaps, mark_price",
        _SPEC,
    ),
    _mark(funding_rate, "share", ANY, "odd", _NO_RATE),
    Feature(
        "settled_funding_rate",
        settled_funding_rate,
        "share",
        ANY,
        "no settlement known yet",
        "funding_rate",
        _SPEC,
        mirror="odd",
    ),
    Feature(
        "funding_rate_delta",
        funding_rate_delta,
        "share",
        ANY,
        f"{_NO_RATE}; no settlement known yet",
        "mark_price, funding_rate",
        _SPEC,
        mirror="odd",
    ),
    Feature(
        "high_funding_pressure",
        high_funding_pressure,
        "flag",
        SHARE,
        _NO_RATE,
        "mark_price",
        _SPEC,
        dtype="int",
        mirror="even",
    ),
    _mark(minutes_to_funding, "min", POSITIVE, "even", f"{_NO_RATE}; the announced time is over"),
    _interest(open_interest, "base", POSITIVE),
    _interest(oi_change_pct, "%", ANY, f"{_NO_INTEREST}; no reading before it, or one of 0"),
    _liquidations(liq_long_vol, "base", POSITIVE, "swap:liq_short_vol"),
    _liquidations(liq_short_vol, "base", POSITIVE, "swap:liq_long_vol"),
    _liquidations(liq_ratio, "ratio", POSITIVE, "none", f"{_NO_LIQUIDATION}; no short liquidated in the bar"),
    _liquidations(liq_imbalance, "share", SIGNED, "odd", f"{_NO_LIQUIDATION}; none in the bar"),
)
"""In the order of the columns of a feature table."""
