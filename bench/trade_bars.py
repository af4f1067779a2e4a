"""Goal: trades in memory → 1 s bars with every column of SPEC 5.1 and 5.2, ≥ 50 M trades/s on one core.

The trades are the ten million of `bench.features`, whose polars and pandas peers are measured there on all
of them. Here duckdb fills the seconds with an as-of join, polars runs beside it, and both see only the first
half million trades of the day: rates are per trade. Ours is `FrameFold` and the 20 columns; the fold also
makes what every other family needs of single trades, so beside it stands the one kernel that folds trades
into seconds.

Before the clock runs, each column of duckdb must agree with ours in every bar.
"""

from collections.abc import Callable
from functools import partial

import numpy as np
import polars as pl
import pyarrow as pa

from bench.duel import Claim, Contender, duel
from bench.features import ours_in_memory
from bench.peers import with_duckdb, with_polars
from bench.synthetic_day import INSTRUMENT, SETTINGS, make_trades
from undertow.features.engine import FeatureBlock
from undertow.frames import trade_fold
from undertow.market.columns import TradeColumns
from undertow.market.time import MILLISECOND_NS, SECOND_NS

__all__ = ["measure"]

_TRADES = 10_000_000
_SLOW_TRADES = 500_000


def _table(trades: TradeColumns) -> pa.Table:
    """The trades as a peer would hold them."""
    return pa.table(
        {
            "timestamp": trades.event_ns // MILLISECOND_NS,
            "price": INSTRUMENT.price.to_floats(trades.price_ticks),
            "quantity": INSTRUMENT.quantity.to_floats(trades.quantity_lots),
            "is_buyer_maker": trades.is_buyer_maker,
        }
    )


def fold_seconds(trades: TradeColumns) -> int:
    """Seconds from the kernel alone."""
    state, large = trade_fold.new_trade_state(), SETTINGS.large()
    begin_ns, end_ns = int(trades.event_ns[0]), int(trades.event_ns[-1])
    trade_fold.start_grid(state, begin_ns)
    until_ns = end_ns // SECOND_NS * SECOND_NS + SECOND_NS
    out = np.empty(((until_ns - begin_ns) // SECOND_NS + 2, len(trade_fold.SECOND_COLUMNS)), np.int64)
    at, written = 0, 0
    columns = (trades.event_ns, trades.price_ticks, trades.quantity_lots, trades.is_buyer_maker)
    while True:
        at, rows = trade_fold.fold_trades(
            *columns, at, until_ns, large.factor, large.window_ns, state, out[written:]
        )
        written += rows
        if at == len(trades):
            return written
        state = trade_fold.grow_window(state)


def check_agreement(ours: FeatureBlock, theirs: dict[str, np.ndarray]) -> None:
    """Raise AssertionError, naming the column, where duckdb's bars have other values than ours."""
    bars = len(theirs["second"])
    for name, values in zip(ours.names, ours.values, strict=True):
        np.testing.assert_allclose(theirs[name], values[:bars], rtol=1e-9, atol=1e-6, err_msg=name)


def _contender(name: str, units: int, work: Callable[[], object]) -> Contender:
    def run() -> int:
        work()
        return units

    return Contender(name, lambda: run)


def measure(rounds: int) -> list[Claim]:
    """Ours on all trades; duckdb and polars on the first of them."""
    trades = make_trades(_TRADES, seed=2)
    part = trades.take(slice(0, _SLOW_TRADES))
    table = _table(part)
    check_agreement(ours_in_memory(part), with_duckdb.trade_bars(table))
    frame = pl.DataFrame(table).lazy()
    contenders = [
        _contender("undertow", _TRADES, partial(ours_in_memory, trades)),
        _contender("undertow, seconds alone", _TRADES, partial(fold_seconds, trades)),
        _contender("polars", _SLOW_TRADES, partial(with_polars.trade_bars, frame)),
        _contender("duckdb, as-of join", _SLOW_TRADES, partial(with_duckdb.trade_bars, table)),
    ]
    return [duel("trades in memory → 1 s bars beside duckdb", "trades/s", contenders, rounds)]
