"""The exchange's own candles against the trades that were stored: a second witness that none is missing."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from undertow.lake.quality import Finding
from undertow.lake.reader import Lake

__all__ = ["check_candles"]

_MINUTE_MS = 60_000
_MILLISECOND_NS = 1_000_000
_NAMED = 3
_TOLERANCE = 1e-9
"""Relative: the candle's volume is one decimal, ours a sum of doubles."""


def check_candles(root: Path) -> Iterator[Finding]:
    """Minutes that the ledger calls whole, and whose stored trades do not add up to the exchange's candle."""
    lake = Lake(root)
    for venue in lake.venues():
        for symbol in lake.symbols(venue, "klines"):
            wrong = _wrong_minutes(lake, venue, symbol)
            if len(wrong):
                named = ", ".join(str(minute) for minute in wrong[:_NAMED]) + (
                    " …" if len(wrong) > _NAMED else ""
                )
                yield Finding(
                    root / venue / "aggtrades" / symbol,
                    f"trades of {len(wrong)} minutes do not add up to the exchange's candles: {named}",
                )


def _wrong_minutes(lake: Lake, venue: str, symbol: str) -> list[int]:
    candles = _read(lake, venue, "klines", symbol, ["timestamp", "volume", "trade_count"])
    columns = ["timestamp", "quantity", "first_trade_id", "last_trade_id"]
    trades = _read(lake, venue, "aggtrades", symbol, columns)
    ledger = _read(lake, venue, "coverage", symbol, ["stream", "status", "from_ns", "to_ns"])
    if candles.is_empty() or trades.is_empty() or ledger.is_empty():
        return []
    sums = trades.group_by((pl.col("timestamp") // _MINUTE_MS * _MINUTE_MS).alias("timestamp")).agg(
        pl.col("quantity").sum().alias("stored_volume"),
        (pl.col("last_trade_id") - pl.col("first_trade_id") + 1).sum().alias("stored_count"),
    )
    joined = candles.join(sums, on="timestamp", how="left").fill_null(0).sort("timestamp")
    joined = joined.filter(pl.Series(_is_whole(joined["timestamp"].to_numpy(), ledger)))
    differs = (pl.col("trade_count") != pl.col("stored_count")) | (
        (pl.col("volume") - pl.col("stored_volume")).abs() > _TOLERANCE * pl.col("volume").abs() + _TOLERANCE
    )
    return joined.filter(differs)["timestamp"].to_list()


def _is_whole(minutes: NDArray[np.int64], ledger: pl.DataFrame) -> NDArray[np.bool_]:
    """Which minutes lie inside a stretch of trades that the ledger calls complete.

    Stretches that follow on one another, such as those of two hours, count as one.
    """
    rows = ledger.filter((pl.col("stream") == "aggtrades") & (pl.col("status") == "complete by id chain"))
    whole = np.zeros(len(minutes), np.bool_)
    begin = reached = -1
    for from_ns, to_ns in sorted(rows.select("from_ns", "to_ns").rows()):
        if from_ns > reached:
            begin = from_ns
        reached = max(reached, to_ns)
        whole |= (minutes * _MILLISECOND_NS >= begin) & ((minutes + _MINUTE_MS) * _MILLISECOND_NS <= reached)
    return whole


def _read(lake: Lake, venue: str, table: str, symbol: str, columns: list[str]) -> pl.DataFrame:
    parts = [
        pl.from_arrow(rows) for rows in lake.read(venue, table, symbol, columns=columns, include_open=True)
    ]
    frames = [part for part in parts if isinstance(part, pl.DataFrame)]
    return pl.concat(frames) if frames else pl.DataFrame()
