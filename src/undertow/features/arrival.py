"""How trades arrive: their signs, runs, price moves and bursts, and decaying intensities (SPEC 5.7).

All of single trades in the order in which they came, see `FlowFrames`. An intensity is that of a Hawkes
process with an exponential kernel, without its constant part: every trade adds to it and fades away. After a
gap of the trade stream it is null for five half-lives: until then what is missing would weigh more than 1/32.
"""

from math import log

import numpy as np

from undertow.compiled import borrowed, kernel
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
from undertow.features.memory import Floats, Integers, Memory
from undertow.features.nulls import quotient
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
_PER_LEVEL = (log(2.0) / 1, log(2.0) / 10, log(2.0) / 60)
_FADED = 2.0**-10

_BUY_SHARE, _SIGNS, _RUN_LENGTH, _MOVE_BALANCE, _MOVE_SHARE, _DEVIATION = range(6)
_EFFICIENCY, _PER_MS, _BUY_RATE, _SELL_RATE, _IMBALANCE, _RATES = 6, 7, 8, 9, 10, 3
_ROWS = _BUY_RATE + _RATES * len(_HALF_LIVES_S)


@kernel
def _of_trades(
    i: int,
    columns: tuple[Integers, Integers, Integers, Integers, Integers, Integers, Integers, Integers, Integers],
    price_step: tuple[int, int],
    row: Floats,
) -> None:
    """What the bar's trades say, one by one; `columns` as in `_fold`."""
    counts, buys, active_ms, pairs, continued, ups, downs, _, squares = columns
    row[_BUY_SHARE] = quotient(buys[i], counts[i])
    row[_SIGNS] = quotient(2 * continued[i] - pairs[i], pairs[i])
    runs, steps = quotient(pairs[i] + 1, pairs[i] - continued[i] + 1), np.sqrt(float(squares[i]))
    row[_RUN_LENGTH] = runs if pairs[i] > 0 else np.nan
    row[_DEVIATION] = steps * price_step[0] / price_step[1] if pairs[i] > 0 else np.nan
    row[_MOVE_BALANCE] = quotient(ups[i] - downs[i], ups[i] + downs[i])
    row[_MOVE_SHARE] = quotient(ups[i] + downs[i], pairs[i])
    row[_PER_MS] = quotient(counts[i], active_ms[i])


@kernel
def _intensities(i: int, buy_levels: Floats, sell_levels: Floats, since_gap_ns: int, row: Floats) -> None:
    """Decaying rates and their imbalance, for each half-life."""
    for h in range(len(_HALF_LIVES_S)):
        known = since_gap_ns >= 5 * _HALF_LIVES_S[h] * SECOND_NS
        buys, sells = buy_levels[i, h], sell_levels[i, h]
        both = buys + sells if known and buys + sells >= _FADED else 0.0
        row[_BUY_RATE + _RATES * h] = buys * _PER_LEVEL[h] if known else np.nan
        row[_SELL_RATE + _RATES * h] = sells * _PER_LEVEL[h] if known else np.nan
        row[_IMBALANCE + _RATES * h] = quotient(buys - sells, both)


@kernel
def _fold(
    columns: tuple[Integers, Integers, Integers, Integers, Integers, Integers, Integers, Integers, Integers],
    prices: tuple[Integers, Integers],
    gaps: tuple[Integers, Integers],
    levels: tuple[Floats, Floats],
    length_ns: int,
    price_step: tuple[int, int],
    out: Floats,
) -> None:
    """All rows for each bar.

    `columns`: trades, taker buys, active ms, pairs, continuations, moves up and down, absolute and squared
    change; `prices`: open and close; `gaps`: trade gap and time since one; `levels`: of buys and of sells.
    """
    columns = borrowed(columns)
    opens, close = borrowed(prices)
    gap_ns, since_gap_ns = borrowed(gaps)
    buy_levels, sell_levels = borrowed(levels)
    out = borrowed((out,))[0]
    for i in range(len(close)):
        row = out[:, i]
        if gap_ns[i] < length_ns:
            _of_trades(i, columns, price_step, row)
            _intensities(i, buy_levels, sell_levels, since_gap_ns[i], row)
        else:
            row[:] = np.nan
        moved = quotient(abs(close[i] - opens[i]), columns[7][i])
        row[_EFFICIENCY] = moved if gap_ns[i] == 0 else np.nan


def _rows(f: Frames, m: Memory) -> Floats:  # noqa: ARG001 - one signature for all
    """(rows, T)."""
    flow = f.flow
    signs = (flow.sign_pairs, flow.sign_continuations)
    changes = (flow.up_moves, flow.down_moves, flow.absolute_change, flow.square_change)
    columns = (f.trade_count, flow.buy_count, flow.active_ms, *signs, *changes)
    gaps, levels = (f.trade_gap_ns, flow.since_gap_ns), (flow.buy_levels, flow.sell_levels)
    price_step, out = (f.price.units, f.price.divisor), np.empty((_ROWS, len(f.close)))
    _fold(columns, (f.open, f.close), gaps, levels, f.length_ns, price_step, out)
    return out


def buy_trade_share(f: Frames, m: Memory) -> Floats:
    """Taker buys / trades, by number."""
    return m.shared(f, _rows, _BUY_SHARE)


def trade_sign_autocorrelation(f: Frames, m: Memory) -> Floats:
    """Mean of d·d₋₁ over the bar's trades, d = ±1 the taker's side."""
    return m.shared(f, _rows, _SIGNS)


def trade_run_length(f: Frames, m: Memory) -> Floats:
    """Trades per run of one taker's side: (pairs + 1) / (changes of side + 1) [trades]."""
    return m.shared(f, _rows, _RUN_LENGTH)


def price_move_balance(f: Frames, m: Memory) -> Floats:
    """(up − down) / (up + down), trades at a higher or lower price than the trade before."""
    return m.shared(f, _rows, _MOVE_BALANCE)


def price_move_share(f: Frames, m: Memory) -> Floats:
    """Share of trades at another price than the trade before."""
    return m.shared(f, _rows, _MOVE_SHARE)


def tick_volatility(f: Frames, m: Memory) -> Floats:
    """√(Σ (p − p₋₁)²) from trade to trade [quote]."""
    return m.shared(f, _rows, _DEVIATION)


def price_efficiency(f: Frames, m: Memory) -> Floats:
    """|close − open| / Σ |p − p₋₁| from trade to trade; 1 where the price went one way (Kaufman 1995)."""
    return m.shared(f, _rows, _EFFICIENCY)


def trades_per_active_ms(f: Frames, m: Memory) -> Floats:
    """Trades / milliseconds with a trade: 1 where they come singly [trades]."""
    return m.shared(f, _rows, _PER_MS)


def hawkes_buy_1s(f: Frames, m: Memory) -> Floats:
    """Taker buys per second: ln 2 / h · Σ 2^(−age/h) over all so far, half-life h = 1 s [1/s]."""
    return m.shared(f, _rows, _BUY_RATE)


def hawkes_sell_1s(f: Frames, m: Memory) -> Floats:
    """Taker sells per second: ln 2 / h · Σ 2^(−age/h) over all so far, half-life h = 1 s [1/s]."""
    return m.shared(f, _rows, _SELL_RATE)


def hawkes_imbalance_1s(f: Frames, m: Memory) -> Floats:
    """(buys − sells) / (buys + sells) of the intensities of half-life 1 s."""
    return m.shared(f, _rows, _IMBALANCE)


def hawkes_buy_10s(f: Frames, m: Memory) -> Floats:
    """Taker buys per second: ln 2 / h · Σ 2^(−age/h) over all so far, half-life h = 10 s [1/s]."""
    return m.shared(f, _rows, _BUY_RATE + _RATES)


def hawkes_sell_10s(f: Frames, m: Memory) -> Floats:
    """Taker sells per second: ln 2 / h · Σ 2^(−age/h) over all so far, half-life h = 10 s [1/s]."""
    return m.shared(f, _rows, _SELL_RATE + _RATES)


def hawkes_imbalance_10s(f: Frames, m: Memory) -> Floats:
    """(buys − sells) / (buys + sells) of the intensities of half-life 10 s."""
    return m.shared(f, _rows, _IMBALANCE + _RATES)


def hawkes_buy_60s(f: Frames, m: Memory) -> Floats:
    """Taker buys per second: ln 2 / h · Σ 2^(−age/h) over all so far, half-life h = 60 s [1/s]."""
    return m.shared(f, _rows, _BUY_RATE + 2 * _RATES)


def hawkes_sell_60s(f: Frames, m: Memory) -> Floats:
    """Taker sells per second: ln 2 / h · Σ 2^(−age/h) over all so far, half-life h = 60 s [1/s]."""
    return m.shared(f, _rows, _SELL_RATE + 2 * _RATES)


def hawkes_imbalance_60s(f: Frames, m: Memory) -> Floats:
    """(buys − sells) / (buys + sells) of the intensities of half-life 60 s."""
    return m.shared(f, _rows, _IMBALANCE + 2 * _RATES)


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
