import json
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from undertow.datasets.bars import SymbolBars
from undertow.datasets.build import DatasetSettings, build_dataset
from undertow.datasets.dataset import concatenate
from undertow.datasets.durations import parse_duration
from undertow.datasets.manifest import content_hash, manifest
from undertow.errors import InputError

S = 1_000_000_000


def bars() -> list[SymbolBars]:
    n = 20
    mid = 100.0 + np.arange(n)
    frame = pl.DataFrame(
        {
            "timestamp": np.arange(n) * 1000,
            "known_ns": (np.arange(n) + 1) * S,
            "best_bid": mid,
            "best_ask": mid,
            "mid_price": mid,
            "gap_fraction": np.zeros(n),
            "x": [None, *range(n - 1)],
        }
    )
    return [SymbolBars("A", S, frame)]


def test_manifest_says_what_it_is_made_of() -> None:
    settings = DatasetSettings(5 * S, (1,))
    made = build_dataset(bars(), ["x"], settings)
    record = json.loads(json.dumps(manifest(made, bars(), settings, {"a.parquet": "ff"})))
    assert record["rows"] == 15
    assert record["columns"] == ["x", "x_lag_1"]
    assert record["label"]["horizon_seconds"] == 5.0
    assert record["sources"] == {"a.parquet": "ff"}
    assert record["sha256"] == content_hash(build_dataset(bars(), ["x"], settings))


def test_any_change_changes_the_hash() -> None:
    made = build_dataset(bars(), ["x"], DatasetSettings(5 * S))
    changed = made.features.copy()
    changed[7, 0] = np.nextafter(changed[7, 0], np.inf)
    hashes = {
        content_hash(made),
        content_hash(replace(made, features=changed)),
        content_hash(replace(made, feature_names=("y",))),
        content_hash(made.select(slice(0, 14))),
    }
    assert len(hashes) == 4


def test_different_features_do_not_join() -> None:
    made = build_dataset(bars(), ["x"], DatasetSettings(5 * S))
    assert len(concatenate([made, made])) == 30
    with pytest.raises(ValueError, match="different features"):
        concatenate([made, replace(made, feature_names=("y",))])


@pytest.mark.parametrize("text", ["", "10", "s", "-5s", "0s", "1.5h", "3w"])
def test_what_is_no_duration_is_said(text: str) -> None:
    with pytest.raises(InputError, match="length of time"):
        parse_duration(text, S)


def test_durations() -> None:
    assert parse_duration("90d", S) == 90 * 86_400 * S
    assert parse_duration("3b", 60 * S) == 180 * S
