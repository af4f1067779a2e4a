"""Reading the lake's feature tables."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from undertow.datasets.bars import REQUIRED_COLUMNS, SymbolBars, known_ns
from undertow.datasets.cross_join import CROSS_TABLE, join_cross
from undertow.datasets.joined import L2_TABLE, join_l2
from undertow.datasets.sources import (
    lineage_of,
    one_lineage,
    read_hours,
    same_lineage,
    source_hours,
    venue_of,
)
from undertow.errors import InputError, LakeError
from undertow.features.sets import chosen_set
from undertow.market.time import SECOND_NS, parse_timeframe

__all__ = [
    "TrainingBars",
    "default_features",
    "feature_files",
    "file_hashes",
    "read_chosen",
    "read_symbol_bars",
]

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


@dataclass(frozen=True, slots=True)
class TrainingBars:
    """What a model is fitted on or judged by: bars of each symbol, the chosen columns, the files read."""

    bars: list[SymbolBars]
    features: list[str]
    files: list[Path]


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


def read_chosen(
    lake: Path, symbols: Sequence[str], timeframe: str, venue: str | None, features: str | None
) -> TrainingBars:
    """Bars of the symbols with the columns that `--features` names; None: `default_features`.

    `features` is what `features.sets.chosen_set` takes, or other columns of the bars. Columns of the deep
    book and features of two markets are joined as each bar's decision knew them, the former with the prefix
    `l2_`. Raises LakeError where a table is missing, InputError for an unknown name, no symbol, or hours
    computed by different code.
    """
    if not symbols:
        raise InputError("no symbol was given; name at least one with --symbols")
    files = [path for symbol in symbols for path in feature_files(lake, symbol, timeframe, venue)]
    bars = [
        read_symbol_bars(feature_files(lake, symbol, timeframe, venue), symbol, timeframe)
        for symbol in symbols
    ]
    own = set.intersection(*(set(symbol.frame.columns) for symbol in bars)) - NOT_FEATURES
    chosen = chosen_set(features, own) if features else None
    deep = [*chosen.l2, *chosen.sequence] if chosen else []
    if deep:
        joined = [_with_deep_book(symbol, lake, venue, deep) for symbol in bars]
        bars, files = [symbol for symbol, _ in joined], files + [path for _, more in joined for path in more]
    if chosen and chosen.cross:
        joined = [_with_other_markets(symbol, lake, venue, timeframe, chosen.cross) for symbol in bars]
        bars, files = [symbol for symbol, _ in joined], files + [path for _, more in joined for path in more]
    return TrainingBars(bars, list(chosen.columns) if chosen else default_features(bars), files)


def _with_deep_book(
    bars: SymbolBars, lake: Path, venue: str | None, columns: Sequence[str]
) -> tuple[SymbolBars, list[Path]]:
    """The bars with columns of `l2_features` beside them, and the files that these came from."""
    where = venue_of(lake, "features", bars.symbol, venue)
    times = known_ns(bars)
    first_ns, last_ns = int(times[0]) - 2 * SECOND_NS, int(times[-1]) + 1
    hours = source_hours(lake, where, L2_TABLE, bars.symbol, "", first_ns, last_ns)
    if not hours:
        raise LakeError(
            f"{lake}: no table {L2_TABLE} of {bars.symbol} at {where} in the time of its bars; run "
            "`undertow features --l2`, or choose features without the deep book"
        )
    one_lineage(hours)
    rows = read_hours(hours, ["timestamp", "known_ns", *columns])
    wide = pl.concat([bars.frame, join_l2(bars, rows)], how="horizontal")
    return SymbolBars(bars.symbol, bars.length_ns, wide, bars.lineage), [hour.path for hour in hours]


def _with_other_markets(
    bars: SymbolBars, lake: Path, venue: str | None, timeframe: str, columns: Sequence[str]
) -> tuple[SymbolBars, list[Path]]:
    """The bars with columns of `cross_features` beside them, and the files that these came from."""
    where = venue_of(lake, "features", bars.symbol, venue)
    joined, hours = join_cross(bars, lake, where, timeframe, columns)
    missing = [name for name in columns if name not in joined.columns]
    if missing:
        raise LakeError(
            f"{lake}: no table {CROSS_TABLE} of {bars.symbol} at {where} with {missing[0]}; compute it with "
            "`undertow features --leader SYMBOL`, or with --spot VENUE for a perpetual beside its spot market"
        )
    wide = pl.concat([bars.frame, joined], how="horizontal")
    return SymbolBars(bars.symbol, bars.length_ns, wide, bars.lineage), [hour.path for hour in hours]


def file_hashes(files: Sequence[Path]) -> dict[str, str]:
    """SHA-256 of each file's bytes, by path."""
    return {str(file): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def default_features(bars: Sequence[SymbolBars]) -> list[str]:
    """Numeric columns that all symbols have, without keys, levels that wander and what nothing can prove."""
    first = bars[0].frame
    names = [name for name in first.columns if first[name].dtype.is_numeric()]
    shared = set.intersection(*(set(symbol.frame.columns) for symbol in bars))
    return [name for name in names if name in shared - NOT_FEATURES - WANDERING - UNPROVABLE]
