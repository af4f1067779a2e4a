"""Goal: lake → features in ≤ 2 × the time of reading the columns; in memory ≥ 10 × polars, ≥ 30 × pandas.

The day is that of `bench.synthetic_day`: 172,800 book samples and two million trades in the lake, ten million
trades in memory, bars of 1 s. All contenders run on one core and start from the same Parquet files, or from
the same trades.

What each computes: a peer makes the 20 columns of SPEC 5.1 and 5.2 from the four columns of the trades that
it needs, and never touches the book. Ours, from the lake, is `runtime.batch.compute_features`: it reads the
columns that features are made from, the next hour in a thread beside that in which this one is computed,
sorts, leaves late and non-market trades out, folds book samples where the lake has them, and computes the
whole catalogue. In memory ours is `FrameFold` and the same 20 columns; it starts from ticks and
lots, the peers from floats, as each would hold them. "Merely reads" is polars with the same
columns, and nothing done with them.

Before the clock runs, each column of each peer must agree with ours in every bar.
"""

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from bench.duel import Claim, Contender, duel
from bench.peers import with_pandas, with_polars
from bench.synthetic_day import DAY_END_NS, INSTRUMENT, SETTINGS, make_day, make_trades, write_day
from undertow.errors import UndertowError
from undertow.features.catalogue import FEATURES
from undertow.features.engine import FeatureBlock, FeatureEngine
from undertow.frames.column_set import book_columns
from undertow.frames.frame_fold import FrameFold
from undertow.frames.frames import BOOK_LEVELS
from undertow.lake.reader import Lake
from undertow.market.columns import TradeColumns
from undertow.market.time import MILLISECOND_NS, SECOND_NS
from undertow.runtime.batch import compute_features, open_history
from undertow.runtime.history_rows import BOOK_NAMES, TRADE_NAMES

__all__ = ["measure"]

_STORED_TRADES = 2_000_000
_TRADES_IN_MEMORY = 10_000_000
_BARS = 86_400
_FLOW = tuple(feature for feature in FEATURES if feature.family in ("ohlcv", "trades"))


def ours_from_lake(root: Path) -> list[FeatureBlock]:
    """Every feature of the day, as `undertow features` computes them."""
    history = open_history(Lake(root), INSTRUMENT.venue, INSTRUMENT.symbol)
    return [blocks[SECOND_NS] for blocks in compute_features(history, SETTINGS) if blocks]


def ours_in_memory(trades: TradeColumns) -> FeatureBlock:
    """The columns of SPEC 5.1 and 5.2, as the peers make them."""
    fold = FrameFold(INSTRUMENT, SETTINGS.timeframes_ns, SETTINGS.lateness_ns, SETTINGS.large())
    no_samples = book_columns(np.zeros((0, 13), np.int64), np.zeros((0, 4, BOOK_LEVELS), np.int64))
    frames = fold.advance(trades, no_samples, (), DAY_END_NS)[SECOND_NS]
    return FeatureEngine(_FLOW, SECOND_NS).push(frames)


def _table(root: Path, name: str) -> Path:
    return root / INSTRUMENT.venue / name / INSTRUMENT.symbol


def _read_with_polars(root: Path) -> None:
    with_polars.read_columns(_table(root, "aggtrades"), list(TRADE_NAMES))
    book = _table(root, "book_depth")
    if book.exists():
        with_polars.read_columns(book, list(BOOK_NAMES))


def _polars_from_lake(root: Path) -> pl.DataFrame:
    return with_polars.trade_bars(with_polars.scan_trades(_table(root, "aggtrades")))


def _pandas_from_lake(root: Path) -> pd.DataFrame:
    return with_pandas.trade_bars(with_pandas.read_trades(_table(root, "aggtrades")))


def _contender(name: str, units: int, work: Callable[[], object]) -> Contender:
    def run() -> int:
        work()
        return units

    return Contender(name, lambda: run)


def _from_lake(root: Path, what: str, rounds: int) -> Claim:
    works: dict[str, Callable[[Path], object]] = {
        "undertow, every feature": ours_from_lake,
        "polars, merely reads": _read_with_polars,
        "polars, trade bars": _polars_from_lake,
        "pandas, trade bars": _pandas_from_lake,
    }
    contenders = [_contender(name, _STORED_TRADES, partial(work, root)) for name, work in works.items()]
    return duel(f"lake of {what} → 1 s features", "trades/s", contenders, rounds)


def _from_the_lake(rounds: int) -> list[Claim]:
    """With book and trades, and with trades alone."""
    day = make_day(_STORED_TRADES, seed=1)
    with tempfile.TemporaryDirectory() as folder:
        full, flow = Path(folder) / "full", Path(folder) / "flow"
        write_day(day, full, with_book=True)
        write_day(day, flow, with_book=False)
        for root in (full, flow):
            ours = _by_name(ours_from_lake(root))
            check_agreement(ours, _polars_from_lake(root), _pandas_from_lake(root))
        return [_from_lake(full, "trades and book", rounds), _from_lake(flow, "trades", rounds)]


def _in_memory(rounds: int) -> Claim:
    trades = make_trades(_TRADES_IN_MEMORY, seed=2)
    columns = {
        "timestamp": trades.event_ns // MILLISECOND_NS,
        "price": INSTRUMENT.price.to_floats(trades.price_ticks),
        "quantity": INSTRUMENT.quantity.to_floats(trades.quantity_lots),
        "is_buyer_maker": trades.is_buyer_maker,
    }
    frame, table = pl.LazyFrame(columns), pd.DataFrame(columns)
    ours = _by_name([ours_in_memory(trades)])
    check_agreement(ours, with_polars.trade_bars(frame), with_pandas.trade_bars(table))
    works: dict[str, Callable[[], object]] = {
        "undertow": partial(ours_in_memory, trades),
        "polars": partial(with_polars.trade_bars, frame),
        "pandas": partial(with_pandas.trade_bars, table),
    }
    contenders = [_contender(name, len(trades), work) for name, work in works.items()]
    return duel("trades in memory → 1 s bars", "trades/s", contenders, rounds)


def _by_name(blocks: list[FeatureBlock]) -> dict[str, NDArray[np.float64]]:
    values = np.concatenate([block.values for block in blocks], axis=1)
    return dict(zip(blocks[0].names, values, strict=True))


def check_agreement(ours: dict[str, NDArray[np.float64]], *peers: pl.DataFrame | pd.DataFrame) -> None:
    """Raise AssertionError, naming the column, where a peer's bars have other values than ours."""
    assert len(ours["volume"]) == _BARS
    for feature in _FLOW:
        for peer in peers:
            theirs = peer[feature.name].to_numpy()
            np.testing.assert_allclose(theirs, ours[feature.name], rtol=1e-9, atol=1e-6, err_msg=feature.name)


def measure(rounds: int) -> list[Claim]:
    """From a lake with book and trades, from one with trades alone, and in memory."""
    pa.set_cpu_count(1)
    if pl.thread_pool_size() > 1:
        raise UndertowError("polars would use several cores; set POLARS_MAX_THREADS=1 before Python starts")
    return [*_from_the_lake(rounds), _in_memory(rounds)]
