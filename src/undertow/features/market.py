"""Mark price, funding, open interest and liquidations (SPEC 5.4), as they were known at the close (SPEC 5.9).

A reading is a state that lasts until the next: a bar shows the newest one, and null once that is older than
it may be. Ages are counted from the time that the exchange states, so the local clock is nowhere in them.
Forced orders are flow: they count in the bar in which they became known. Where a venue has no such table, as
spot has none, everything here is null.
"""

import numpy as np
from numpy.typing import NDArray

from undertow.features.feature import ANY, NO_FLOW, NO_PRICE, POSITIVE, SHARE, SIGNED, Feature, Formula, Range
from undertow.features.memory import Floats, Integers, Memory
from undertow.features.nulls import flow_only, known, known_close, ratio
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


def _recent(times_ns: Integers, oldest_ns: int, f: Frames) -> NDArray[np.bool_]:
    """Where a reading was at most so old at the close."""
    return (times_ns > 0) & (f.open_ns + f.length_ns - times_ns <= oldest_ns)


def _with_mark(values: Floats, f: Frames) -> Floats:
    return known(values, _recent(f.market.mark_ns, _MARK_AGE_NS, f))


def _with_interest(values: Floats, f: Frames) -> Floats:
    return known(values, _recent(f.market.interest_ns, _INTEREST_AGE_NS, f))


def _with_liquidations(values: Floats | Integers, f: Frames) -> Floats:
    return flow_only(known(values, f.market.last_liquidation_ns > 0), f)


def mark_price(f: Frames, m: Memory) -> Floats:  # noqa: ARG001 - one signature for all features
    """The exchange's mark price, by which positions are valued and liquidated [quote]."""
    return _with_mark(f.market.mark_price, f)


def index_price(f: Frames, m: Memory) -> Floats:  # noqa: ARG001
    """The exchange's index: the price of the underlying on the spot markets that it weighs [quote]."""
    return _with_mark(f.market.index_price, f)


def spot_premium_pct(f: Frames, m: Memory) -> Floats:  # noqa: ARG001
    """(mark − spot) / spot · 100, spot being the index price [%]."""
    spot = f.market.index_price
    return _with_mark(ratio(f.market.mark_price - spot, spot) * 100.0, f)


def basis_bps(f: Frames, m: Memory) -> Floats:  # noqa: ARG001
    """(close − index) / index · 10⁴: what the last trade paid above spot [bps]."""
    close = known_close(f) * f.price.units / f.price.divisor
    spot = f.market.index_price
    return _with_mark(ratio(close - spot, spot) * 1e4, f)


def funding_rate(f: Frames, m: Memory) -> Floats:  # noqa: ARG001
    """The exchange's estimate of the rate settled next; above 0 longs pay shorts [share of notional]."""
    return _with_mark(f.market.funding_rate, f)


def settled_funding_rate(f: Frames, m: Memory) -> Floats:  # noqa: ARG001
    """The rate that was settled last [share of notional]."""
    return known(f.market.settled_rate, f.market.settled_ns > 0)


def funding_rate_delta(f: Frames, m: Memory) -> Floats:  # noqa: ARG001
    """funding_rate − settled_funding_rate: how far the next payment is from the last [share of notional]."""
    return _with_mark(f.market.funding_rate - f.market.settled_rate, f)


def high_funding_pressure(f: Frames, m: Memory) -> Floats:  # noqa: ARG001
    """1 where |funding_rate| > 0.0005, else 0."""
    rate = f.market.funding_rate
    is_high = (np.abs(rate) > _HIGH_RATE).astype(np.float64)
    return _with_mark(known(is_high, ~np.isnan(rate)), f)


def minutes_to_funding(f: Frames, m: Memory) -> Floats:  # noqa: ARG001
    """From the close to the next settlement that the exchange announced [min]."""
    close_ms = (f.open_ns + f.length_ns) // MILLISECOND_NS
    minutes = (f.market.next_funding_ms - close_ms) / 60_000.0
    return _with_mark(known(minutes, minutes >= 0.0), f)


def open_interest(f: Frames, m: Memory) -> Floats:  # noqa: ARG001
    """Contracts that are open [base units]."""
    return _with_interest(f.market.open_interest, f)


def oi_change_pct(f: Frames, m: Memory) -> Floats:  # noqa: ARG001
    """(open interest − that of the reading before) / that of the reading before · 100 [%]."""
    before = f.market.interest_before
    return _with_interest(ratio(f.market.open_interest - before, before) * 100.0, f)


def liq_long_vol(f: Frames, m: Memory) -> Floats:  # noqa: ARG001
    """Longs liquidated: Σ quantity of forced sales that became known in the bar [base units]."""
    return _with_liquidations(f.quantity.to_floats(f.market.liquidated_sell_lots), f)


def liq_short_vol(f: Frames, m: Memory) -> Floats:  # noqa: ARG001
    """Shorts liquidated: Σ quantity of forced purchases that became known in the bar [base units]."""
    return _with_liquidations(f.quantity.to_floats(f.market.liquidated_buy_lots), f)


def liq_ratio(f: Frames, m: Memory) -> Floats:  # noqa: ARG001
    """liq_long_vol / liq_short_vol; null where no short was liquidated."""
    return _with_liquidations(ratio(f.market.liquidated_sell_lots, f.market.liquidated_buy_lots), f)


def liq_imbalance(f: Frames, m: Memory) -> Floats:  # noqa: ARG001
    """(long − short) / (long + short) of liq_long_vol and liq_short_vol; null where both are 0."""
    long, short = f.market.liquidated_sell_lots, f.market.liquidated_buy_lots
    return _with_liquidations(ratio(long - short, long + short), f)


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
