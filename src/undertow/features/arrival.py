"""How trades arrive: their signs, runs, price moves and bursts, and decaying intensities (SPEC 5.7).

All of single trades in the order in which they came, see `FlowFrames`. An intensity is that of a Hawkes
process with an exponential kernel, without its constant part: every trade adds to it and fades away. After a
gap of the trade stream it is null for five half-lives: until then what is missing would weigh more than 1/32.
"""

import numpy as np

from undertow.features.feature import (
    ANY,
    FLOW,
    NO_FLOW,
    NO_TRADE,
    POSITIVE,
    SHARE,
    SIGNED,
    Feature,
    Formula,
    Range,
)
from undertow.features.memory import Floats, Memory
from undertow.features.nulls import flow_only, known, known_since_gap, ratio
from undertow.frames.frames import Frames
from undertow.market.time import SECOND_NS

__all__ = [
    "LINES",
    "buy_trade_share",
    "hawkes_buy_1s",
    "hawkes_buy_10s",
    "hawkes_buy_60s",
    "hawkes_imbalance_1s",
    "hawkes_imbalance_10s",
    "hawkes_imbalance_60s",
    "hawkes_sell_1s",
    "hawkes_sell_10s",
    "hawkes_sell_60s",
    "price_efficiency",
    "price_move_balance",
    "price_move_share",
    "tick_volatility",
    "trade_run_length",
    "trade_sign_autocorrelation",
    "trades_per_active_ms",
]

_HALF_LIVES_S = (1, 10, 60)
_FADED = 2.0**-10


def buy_trade_share(f: Frames, m: Memory) -> Floats:  # noqa: ARG001 - one signature for all features
    """Taker buys / trades, by number."""
    return flow_only(ratio(f.flow.buy_count, f.trade_count), f)


def trade_sign_autocorrelation(f: Frames, m: Memory) -> Floats:  # noqa: ARG001
    """Mean of d·d₋₁ over the bar's trades, d = ±1 the taker's side."""
    pairs = f.flow.sign_pairs
    return flow_only(ratio(2 * f.flow.sign_continuations - pairs, pairs), f)


def trade_run_length(f: Frames, m: Memory) -> Floats:  # noqa: ARG001
    """Trades per run of one taker's side: (pairs + 1) / (changes of side + 1) [trades]."""
    pairs = f.flow.sign_pairs
    runs = ratio(pairs + 1, pairs - f.flow.sign_continuations + 1)
    return flow_only(known(runs, pairs > 0), f)


def price_move_balance(f: Frames, m: Memory) -> Floats:  # noqa: ARG001
    """(up − down) / (up + down), trades at a higher or lower price than the trade before."""
    up, down = f.flow.up_moves, f.flow.down_moves
    return flow_only(ratio(up - down, up + down), f)


def price_move_share(f: Frames, m: Memory) -> Floats:  # noqa: ARG001
    """Share of trades at another price than the trade before."""
    return flow_only(ratio(f.flow.up_moves + f.flow.down_moves, f.flow.sign_pairs), f)


def tick_volatility(f: Frames, m: Memory) -> Floats:  # noqa: ARG001
    """√(Σ (p − p₋₁)²) from trade to trade [quote]."""
    steps = np.sqrt(f.flow.square_change.astype(np.float64))
    return flow_only(known(steps * f.price.units / f.price.divisor, f.flow.sign_pairs > 0), f)


def price_efficiency(f: Frames, m: Memory) -> Floats:  # noqa: ARG001
    """|close − open| / Σ |p − p₋₁| from trade to trade; 1 where the price went one way (Kaufman 1995)."""
    found = ratio(np.abs(f.close - f.open), f.flow.absolute_change)
    return known(found, f.trade_gap_ns == 0)


def trades_per_active_ms(f: Frames, m: Memory) -> Floats:  # noqa: ARG001
    """Trades / milliseconds with a trade: 1 where they come singly [trades]."""
    return flow_only(ratio(f.trade_count, f.flow.active_ms), f)


def _intensity(levels: Floats, f: Frames, at: int) -> Floats:
    half_life_s = _HALF_LIVES_S[at]
    rate = levels[:, at] * (np.log(2.0) / half_life_s)
    return flow_only(known_since_gap(rate, f, 5 * half_life_s * SECOND_NS), f)


def _imbalance(f: Frames, at: int) -> Floats:
    buys, sells = f.flow.buy_levels[:, at], f.flow.sell_levels[:, at]
    both = np.where(buys + sells >= _FADED, buys + sells, 0.0)
    return flow_only(known_since_gap(ratio(buys - sells, both), f, 5 * _HALF_LIVES_S[at] * SECOND_NS), f)


def hawkes_buy_1s(f: Frames, m: Memory) -> Floats:  # noqa: ARG001
    """Taker buys per second: ln 2 / h · Σ 2^(−age/h) over all so far, half-life h = 1 s [1/s]."""
    return _intensity(f.flow.buy_levels, f, 0)


def hawkes_sell_1s(f: Frames, m: Memory) -> Floats:  # noqa: ARG001
    """Taker sells per second: ln 2 / h · Σ 2^(−age/h) over all so far, half-life h = 1 s [1/s]."""
    return _intensity(f.flow.sell_levels, f, 0)


def hawkes_imbalance_1s(f: Frames, m: Memory) -> Floats:  # noqa: ARG001
    """(buys − sells) / (buys + sells) of the intensities of half-life 1 s."""
    return _imbalance(f, 0)


def hawkes_buy_10s(f: Frames, m: Memory) -> Floats:  # noqa: ARG001
    """Taker buys per second: ln 2 / h · Σ 2^(−age/h) over all so far, half-life h = 10 s [1/s]."""
    return _intensity(f.flow.buy_levels, f, 1)


def hawkes_sell_10s(f: Frames, m: Memory) -> Floats:  # noqa: ARG001
    """Taker sells per second: ln 2 / h · Σ 2^(−age/h) over all so far, half-life h = 10 s [1/s]."""
    return _intensity(f.flow.sell_levels, f, 1)


def hawkes_imbalance_10s(f: Frames, m: Memory) -> Floats:  # noqa: ARG001
    """(buys − sells) / (buys + sells) of the intensities of half-life 10 s."""
    return _imbalance(f, 1)


def hawkes_buy_60s(f: Frames, m: Memory) -> Floats:  # noqa: ARG001
    """Taker buys per second: ln 2 / h · Σ 2^(−age/h) over all so far, half-life h = 60 s [1/s]."""
    return _intensity(f.flow.buy_levels, f, 2)


def hawkes_sell_60s(f: Frames, m: Memory) -> Floats:  # noqa: ARG001
    """Taker sells per second: ln 2 / h · Σ 2^(−age/h) over all so far, half-life h = 60 s [1/s]."""
    return _intensity(f.flow.sell_levels, f, 2)


def hawkes_imbalance_60s(f: Frames, m: Memory) -> Floats:  # noqa: ARG001
    """(buys − sells) / (buys + sells) of the intensities of half-life 60 s."""
    return _imbalance(f, 2)


_PAIR = f"no trade whose predecessor is known; {NO_FLOW}"
_MOVE = f"no trade at another price than its predecessor; {NO_FLOW}"
_FADING = f"{NO_FLOW}, and five half-lives after it"
_HAWKES = "SPEC 5.7; Hawkes 1971; Bacry, Mastromatteo, Muzy 2015"


def _line(
    function: Formula, unit: str, bounds: Range, null: str, mirror: str, source: str = "SPEC 5.7"
) -> Feature:
    return Feature(function.__name__, function, unit, bounds, null, FLOW, source, mirror=mirror)


def _hawkes(buy: Formula, sell: Formula, imbalance: Formula) -> tuple[Feature, ...]:
    return (
        _line(buy, "trades/s", POSITIVE, _FADING, f"swap:{sell.__name__}", _HAWKES),
        _line(sell, "trades/s", POSITIVE, _FADING, f"swap:{buy.__name__}", _HAWKES),
        _line(imbalance, "share", SIGNED, f"{_FADING}; no trade in ten half-lives", "odd", _HAWKES),
    )


LINES = (
    _line(buy_trade_share, "share", SHARE, NO_TRADE, "complement"),
    _line(trade_sign_autocorrelation, "share", SIGNED, _PAIR, "even", "SPEC 5.7; Lillo, Farmer 2004"),
    _line(trade_run_length, "trades", (1.0, ANY[1]), _PAIR, "even"),
    _line(price_move_balance, "share", SIGNED, _MOVE, "odd"),
    _line(price_move_share, "share", SHARE, _PAIR, "even"),
    _line(tick_volatility, "quote", POSITIVE, _PAIR, "even"),
    _line(
        price_efficiency,
        "share",
        SHARE,
        "price unchanged from trade to trade; bar touched by a gap of the trade stream",
        "even",
        "SPEC 5.7; Kaufman 1995",
    ),
    _line(trades_per_active_ms, "trades", (1.0, ANY[1]), NO_TRADE, "even"),
    *_hawkes(hawkes_buy_1s, hawkes_sell_1s, hawkes_imbalance_1s),
    *_hawkes(hawkes_buy_10s, hawkes_sell_10s, hawkes_imbalance_10s),
    *_hawkes(hawkes_buy_60s, hawkes_sell_60s, hawkes_imbalance_60s),
)
"""In the order of the columns of a feature table."""
