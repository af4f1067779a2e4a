"""Claim: stored trades take ≤ 0.4 of the bytes of pyarrow's defaults, written and read about 1.9 × as fast.

It holds for a day of aggregated trades of the public archive; the six minutes of the capture are too few for
its rates. Book samples are mostly the entropy of their levels: there ours is the smallest, at about the rate
of the defaults. All contenders hold the same rows and columns, compress with Snappy and run on one core. The
size of each stands behind its name.
"""

import io
import os
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from bench.captured import CAPTURE
from bench.duel import Claim, Contender, duel
from undertow.errors import InputError
from undertow.frames.sampler import Sampler, SamplerSettings
from undertow.journal.reader import read_chunks
from undertow.lake.schemas import parquet_options
from undertow.lake.tables import book_to_arrow, trades_to_arrow
from undertow.market.columns import TradeColumns
from undertow.market.instruments import Instrument
from undertow.market.time import MILLISECOND_NS
from undertow.venues.binance.mapper import BinanceMapper

__all__ = ["measure"]

_ARCHIVE = "archive/futures/um/daily/aggTrades/SOLUSDT/SOLUSDT-aggTrades-2026-04-10.zip"
_BTC = Instrument("binance-usdm", "BTCUSDT", tick="0.1", lot="0.001")
_SOL = Instrument("binance-usdm", "SOLUSDT", tick="0.01", lot="0.01")

Options = dict[str, Any]


def _options(schema: pa.Schema) -> dict[str, Options]:
    """Ours, pyarrow's defaults, and the candidates that were turned down."""
    ours = parquet_options(schema)
    repeating = [path for path in ours["use_dictionary"] or [] if not _is_word(schema, path)]
    words = [path for path in ours["use_dictionary"] or [] if _is_word(schema, path)] or False
    split = dict.fromkeys(repeating, "BYTE_STREAM_SPLIT")
    return {
        "undertow": ours,
        "pyarrow default": {},
        "no dictionary": {"use_dictionary": False},
        "deltas, plain floats": {**ours, "use_dictionary": words},
        "deltas, split floats": {
            **ours,
            "use_dictionary": words,
            "column_encoding": {**ours["column_encoding"], **split},
        },
    }


def _is_word(schema: pa.Schema, path: str) -> bool:
    return bool(pa.types.is_string(schema.field(path.partition(".")[0]).type))


def _written(table: pa.Table, options: Options) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink, **options)
    return sink.getvalue()


def _writing(table: pa.Table, options: Options) -> Callable[[], int]:
    def run() -> int:
        _written(table, options)
        return int(table.num_rows)

    return run


def _reading(table: pa.Table, options: Options) -> Callable[[], int]:
    data = _written(table, options)
    return lambda: int(pq.read_table(io.BytesIO(data), use_threads=False).num_rows)


def _duels(what: str, table: pa.Table, rounds: int) -> list[Claim]:
    """Writing, then reading."""
    table = table.combine_chunks()
    found = []
    for verb, prepare in (("write", _writing), ("read", _reading)):
        contenders = [
            Contender(
                f"{name} ({len(_written(table, options)) / table.num_rows:.1f} B a row)",
                partial(prepare, table, options),
            )
            for name, options in _options(table.schema).items()
        ]
        found.append(duel(f"{verb} {what}", "rows/s", contenders, rounds))
    return found


def _folder() -> Path:
    return Path(os.environ.get("UNDERTOW_DATA", "../shared/data"))


def _captured() -> tuple[pa.Table, pa.Table, pa.Table]:
    """Trades, 20-level and 100-level samples of the capture."""
    mapper, sampler = BinanceMapper(_BTC), Sampler(_BTC, SamplerSettings(flow="trades"))
    trades, depth, l2 = [], [], []
    for chunk in read_chunks([_folder() / CAPTURE], problems=[]):
        sampled = sampler.feed(mapper.map(chunk.data).batch)
        trades.append(trades_to_arrow(_BTC, sampled.trades["trades"]))
        depth.append(book_to_arrow(_BTC, sampled.depth))
        l2.append(book_to_arrow(_BTC, sampled.l2))
    return pa.concat_tables(trades), pa.concat_tables(depth), pa.concat_tables(l2)


def _archived() -> pa.Table:
    """A day of aggregated trades; receive times, which the archive lacks, are drawn 30 to 39 ms later."""
    path = _folder() / _ARCHIVE
    if not path.exists():
        raise InputError(f"{path}: no such archive; set UNDERTOW_DATA to the folder that holds {_ARCHIVE}")
    with zipfile.ZipFile(path) as archive:
        rows = pl.read_csv(archive.read(archive.namelist()[0]))
    count = len(rows)
    event_ns = rows["transact_time"].to_numpy() * MILLISECOND_NS
    delay_ns = np.random.default_rng(1).integers(30 * MILLISECOND_NS, 39 * MILLISECOND_NS, count)
    trades = TradeColumns(
        event_ns=event_ns,
        receive_ns=event_ns + delay_ns,
        trade_id=rows["agg_trade_id"].to_numpy(),
        first_trade_id=rows["first_trade_id"].to_numpy(),
        last_trade_id=rows["last_trade_id"].to_numpy(),
        price_ticks=_SOL.price.to_counts(rows["price"].to_numpy()),
        quantity_lots=_SOL.quantity.to_counts(rows["quantity"].to_numpy()),
        is_buyer_maker=rows["is_buyer_maker"].to_numpy(),
        order_type=np.zeros(count, np.uint8),
        is_late=np.zeros(count, np.bool_),
        source=np.zeros(count, np.uint8),
        normal_lots=np.full(count, -1),
    )
    return trades_to_arrow(_SOL, trades)


def measure(rounds: int) -> list[Claim]:
    """Trades of the archive and of the capture, then book samples."""
    pa.set_cpu_count(1)
    trades, depth, l2 = _captured()
    return [
        *_duels("archived trades", _archived(), rounds),
        *_duels("captured trades", trades, rounds),
        *_duels("20-level samples", depth, rounds),
        *_duels("100-level samples", l2, rounds),
    ]
