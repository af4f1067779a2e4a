"""What a dataset was made of: enough to tell whether two are the same."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from undertow import __version__
from undertow.datasets.bars import SymbolBars
from undertow.datasets.build import DatasetSettings
from undertow.datasets.dataset import Dataset, arrays_of

__all__ = ["content_hash", "manifest"]


def content_hash(dataset: Dataset) -> str:
    """SHA-256 over names, shapes and values of every column; equal NaNs count as equal."""
    digest = hashlib.sha256("\n".join(dataset.feature_names).encode())
    for name, array in sorted(arrays_of(dataset).items()):
        digest.update(f"{name}{array.shape}{array.dtype.str}".encode())
        clean = np.where(np.isnan(array), np.nan, array) if array.dtype.kind == "f" else array
        digest.update(np.ascontiguousarray(clean).tobytes())
    return digest.hexdigest()


def manifest(
    dataset: Dataset,
    bars: Sequence[SymbolBars],
    settings: DatasetSettings,
    sources: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """A record that can be written as JSON; `sources` maps each file read to its SHA-256."""
    return {
        "symbols": [symbol.symbol for symbol in bars],
        "bar_seconds": bars[0].length_ns / 1e9,
        "rows": len(dataset),
        "first_decision_ns": int(dataset.start_ns[0]),
        "last_decision_ns": int(dataset.start_ns[-1]),
        "columns": list(dataset.feature_names),
        "label": {
            "kind": "horizon_return",
            "definition": "10000 * ln(mid(close + horizon) / mid(close)) [bps]; null across gaps",
            "horizon_seconds": settings.horizon_ns / 1e9,
        },
        "lags": list(settings.lags),
        "lineage": bars[0].lineage,
        "sources": dict(sources or {}),
        "code_version": __version__,
        "sha256": content_hash(dataset),
    }
