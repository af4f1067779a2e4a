"""A small lake written hour by hour, with manifests, from columns given by hand."""

import hashlib
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import polars as pl

from undertow.datasets.joined import SEQUENCE_COLUMNS
from undertow.lake.files import Manifest
from undertow.lake.layout import DATA, MANIFEST, HourKey

S = 1_000_000_000
HOUR_MS = 3_600_000
LATE_NS = S // 4
START_MS = 1_723_161_600_000
"""2024-08-09 00:00 UTC."""


def write_rows(
    lake: Path,
    table: str,
    frame: pl.DataFrame,
    symbol: str = "BTCUSDT",
    timeframe: str = "",
    lineage: str | None = "a1",
) -> list[Path]:
    """One file an hour, as the lake has them; `lineage` None: the manifest does not record it."""
    made = []
    for (hour,), rows in frame.group_by(pl.col("timestamp") // HOUR_MS, maintain_order=True):
        key = HourKey("sim", table, symbol, timeframe, int(str(hour)) * HOUR_MS * 1_000_000)
        data = key.folder(lake) / DATA
        data.parent.mkdir(parents=True, exist_ok=True)
        rows.write_parquet(data)
        described = Manifest(
            rows=rows.height,
            first_timestamp=int(rows["timestamp"][0]),
            last_timestamp=int(rows["timestamp"][-1]),
            first_id=-1,
            last_id=-1,
            sha256=hashlib.sha256(data.read_bytes()).hexdigest(),
            schema_version="2",
            code_version="0.1.0",
            version=1,
            extra={"lineage": lineage} if lineage else {},
        )
        (data.parent / MANIFEST).write_bytes(msgspec.json.encode(described))
        made.append(data)
    return made


def feature_rows(
    count: int, first_ms: int = START_MS, step_s: int = 1, seed: int = 1, **columns: Any
) -> pl.DataFrame:
    """Bars with a walking mid, spread 0.02, the columns that labels need and two features."""
    random = np.random.default_rng(seed)
    mid = 100 * np.exp(np.cumsum(random.normal(0, 2e-4, count)))
    opens = first_ms + np.arange(count, dtype=np.int64) * step_s * 1000
    return pl.DataFrame(
        {
            "timestamp": opens,
            "known_ns": opens * 1_000_000 + step_s * S + LATE_NS,
            "best_bid": mid - 0.01,
            "best_ask": mid + 0.01,
            "mid_price": mid,
            "gap_fraction": np.zeros(count),
            "returns": random.normal(size=count),
            "vol_delta": random.normal(size=count),
            **columns,
        }
    )


def l2_rows(count: int, first_ms: int = START_MS + 1000) -> pl.DataFrame:
    """Samples of the deep book; column k of row i of the sequence is i + k / 1000, `net_pressure` is i."""
    stamps = first_ms + np.arange(count, dtype=np.int64) * 1000
    places = np.arange(len(SEQUENCE_COLUMNS)) / 1000
    values = (np.arange(count)[:, None] + places).astype(np.float32)
    # Stored in another order than that of the matrix: names decide, not places.
    sequence = {name: values[:, k] for k, name in reversed(list(enumerate(SEQUENCE_COLUMNS)))}
    base = {"timestamp": stamps, "net_pressure": np.arange(count, dtype=np.float64)}
    return pl.DataFrame({**base, **sequence, "known_ns": stamps * 1_000_000 + LATE_NS})
