"""Reading the lake's feature tables."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from undertow.datasets.bars import REQUIRED_COLUMNS, SymbolBars
from undertow.datasets.sources import lineage_of, same_lineage
from undertow.errors import InputError, LakeError
from undertow.market.time import parse_timeframe

__all__ = ["default_features", "feature_files", "file_hashes", "read_symbol_bars"]

# Levels of price and running totals wander without bound: what a model learns about them does not carry over.
WANDERING = frozenset(
    {
        *("open", "high", "low", "close", "vwap", "weighted_mid", "cvd"),
        *("mark_price", "index_price", "open_interest"),
        *("ema_12", "ema_26", "ema_50", "ema_200"),
        *("bollinger_upper", "bollinger_lower", "keltner_upper", "keltner_lower"),
        *("poc_price", "value_area_high", "value_area_low"),
    }
)
UNPROVABLE = frozenset({"liq_long_vol", "liq_short_vol", "liq_ratio", "liq_imbalance"})
"""Of a stream that shows at most one liquidation a second, and of which nobody can say what it left out."""
NOT_FEATURES = frozenset({*REQUIRED_COLUMNS, "received_ns", "late_count"})


def feature_files(lake: Path, symbol: str, timeframe: str, venue: str | None = None) -> list[Path]:
    """The sealed hours of a symbol's feature table, in time order.

    Raises LakeError where there are none, or where more than one venue has some and none was named.
    """
    pattern = f"{venue or '*'}/features/{symbol}/{timeframe}/*/*/*/hour=*/data.parquet"
    files = sorted(lake.glob(pattern))
    if not files:
        raise LakeError(
            f"no feature table at {lake / pattern}; run `undertow features` for {symbol} at {timeframe} first"
        )
    venues = sorted({file.relative_to(lake).parts[0] for file in files})
    if len(venues) > 1:
        raise LakeError(f"{symbol} lies in {lake} for {', '.join(venues)}; choose one with --venue")
    return files


def read_symbol_bars(files: Sequence[Path], symbol: str, timeframe: str) -> SymbolBars:
    """The files as one table sorted by time.

    Raises LakeError where one cannot be read, InputError where two were computed by different code.
    """
    lineage = same_lineage({str(file): lineage_of(file) for file in files})
    try:
        frame = pl.scan_parquet(list(files), missing_columns="insert", extra_columns="ignore").collect()
    except (pl.exceptions.PolarsError, OSError) as error:
        raise LakeError(
            f"the feature table of {symbol} under {files[0].parent} cannot be read: {error}; "
            "run `undertow verify` on the lake"
        ) from error
    try:
        length_ns = parse_timeframe(timeframe)
    except ValueError as error:
        raise InputError(str(error)) from error
    if "timestamp" not in frame.columns:
        raise LakeError(f"the feature table of {symbol} has no column timestamp; compute the features again")
    return SymbolBars(symbol, length_ns, frame.sort("timestamp"), lineage)


def file_hashes(files: Sequence[Path]) -> dict[str, str]:
    """SHA-256 of each file's bytes, by path."""
    return {str(file): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def default_features(bars: Sequence[SymbolBars]) -> list[str]:
    """Numeric columns that all symbols have, without keys, levels that wander and what nothing can prove."""
    first = bars[0].frame
    names = [name for name in first.columns if first[name].dtype.is_numeric()]
    shared = set.intersection(*(set(symbol.frame.columns) for symbol in bars))
    return [name for name in names if name in shared - NOT_FEATURES - WANDERING - UNPROVABLE]
