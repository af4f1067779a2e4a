import json
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import polars as pl
import pytest
from tests.evaluation.conftest import Market

from undertow.datasets.bars import SymbolBars
from undertow.datasets.build import DatasetSettings, build_dataset
from undertow.datasets.splits import Windows, even_windows, walk_forward_folds
from undertow.errors import InputError
from undertow.evaluation.baselines import BASELINES
from undertow.evaluation.report import WalkForwardReport
from undertow.evaluation.tracks import disjoint_labels
from undertow.evaluation.walkforward import WalkForwardSettings, fold_rows, walk_forward
from undertow.models.catalogue import MODELS

S = 1_000_000_000
FEATURES = ("flow", "x0", "x1", "x2", "x3", "queue_imbalance", "ofi_1", "ofi_10")
Judged = Callable[..., WalkForwardReport]
NULLS = ("martingale_null", "shuffled_classes", "random_same_turnover")


def settings(horizon: int = 5, **changes: Any) -> WalkForwardSettings:
    return WalkForwardSettings(DatasetSettings(horizon * S), resamples=400, **changes)


@pytest.fixture(scope="module")
def judged(market: Market) -> Judged:
    @cache
    def run(
        seed: int, signal: float = 0.0, clustered: bool = False, n: int = 3000, folds: int = 2
    ) -> WalkForwardReport:
        bars = market(n, seed, signal, clustered=clustered)
        return walk_forward(bars, FEATURES, settings(seed=seed, folds=folds, null_refits=2))

    return run


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_on_a_martingale_nothing_has_an_edge(judged: Judged, seed: int) -> None:
    report = judged(seed)
    assert [row.name for row in report.rows if row.mcc_difference.low > 0] == []
    assert not report.verdict.has_edge
    assert report.verdict.text.startswith("No edge")
    assert abs(report.excess_macro_f1) < 0.1


def test_foretelling_volatility_of_a_martingale_is_no_edge(judged: Judged) -> None:
    report = judged(1, clustered=True)
    assert report.row("lightgbm").mcc.low > 0
    assert report.row("martingale_null").mcc.low > 0
    assert not report.verdict.has_edge


@pytest.mark.parametrize("seed", [1, 2])
def test_a_planted_signal_beats_every_baseline(judged: Judged, market: Market, seed: int) -> None:
    bars = market(6000, seed, 0.15)
    made = build_dataset(bars, ["flow"], settings().dataset)
    explained = np.corrcoef(made.features[:, 0], made.return_bps)[0, 1] ** 2
    assert 0.035 < explained < 0.065
    report = judged(seed, 0.15, n=6000, folds=3)
    assert report.row("lightgbm").mcc_difference.low > 0
    assert all(difference.low > 0 for difference in report.against.values())
    assert report.verdict.has_edge
    assert not report.verdict.earns
    assert report.verdict.text.startswith("lightgbm beats every baseline")


def test_every_mandatory_row_is_there_and_the_report_is_json(judged: Judged) -> None:
    report = judged(1)
    assert [row.name for row in report.rows] == ["lightgbm", "logistic", *BASELINES, *NULLS]
    plain = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert plain["rows"][0]["name"] == "lightgbm"
    assert len(plain["folds"]) == 2
    assert plain["manifest"]["rows"] == 2 * (3000 - 5)
    for row in report.rows:
        assert row.mcc.low <= row.mcc.value <= row.mcc.high
        assert row.rows == sum(fold.test_rows for fold in report.folds)
        assert 1 <= row.effective_rows <= row.rows / 5 + 10
    with pytest.raises(KeyError):
        report.row("oracle")


def test_the_same_seed_gives_the_same_report(judged: Judged, market: Market) -> None:
    again = walk_forward(market(3000, 1), FEATURES, settings(seed=1, folds=2, null_refits=2))
    assert again == judged(1)


def with_copied_future(bars: list[SymbolBars], horizon: int) -> list[SymbolBars]:
    copied = []
    for symbol in bars:
        mid = symbol.frame["mid_price"]
        ahead = (mid.shift(-horizon) / mid).log() * 1e4
        copied.append(replace(symbol, frame=symbol.frame.with_columns(spy=ahead)))
    return copied


@pytest.mark.parametrize("name", sorted(MODELS))
def test_a_copied_future_is_caught_and_would_score_above_nine_tenths(market: Market, name: str) -> None:
    spied = with_copied_future(market(2500, 5), 5)
    report = walk_forward(spied, [*FEATURES, "spy"], settings(model=name, rivals=(), null_refits=1, folds=2))
    assert report.row(name).macro_f1.value > (0.9 if name == "lightgbm" else 0.8)
    assert report.suspects == ("spy",)
    assert not report.verdict.has_edge
    assert "copy of the future" in report.verdict.text


def test_nothing_fitted_changes_when_the_test_block_is_multiplied(market: Market) -> None:
    made = build_dataset(market(2000, 7), list(FEATURES), settings().dataset)
    fold = next(iter(walk_forward_folds(made, even_windows(made, 4))))
    loud_features, loud_returns = made.features.copy(), made.return_bps.copy()
    loud_features[fold.test] *= 1000
    loud_returns[fold.test] *= 1000
    loud = replace(made, features=loud_features, return_bps=loud_returns)
    quiet_rows, quiet_record = fold_rows(made, fold, settings(), 0)
    loud_rows, loud_record = fold_rows(loud, fold, settings(), 0)
    assert quiet_rows is not None
    assert loud_rows is not None
    assert quiet_record == loud_record
    for entry in MODELS.values():
        answers = [
            entry.create(0).fit(rows.train, rows.valid).predict_proba(made.features[fold.test])
            for rows in (quiet_rows, loud_rows)
        ]
        assert np.array_equal(answers[0], answers[1])


def test_no_fitted_row_knows_the_test(market: Market) -> None:
    made = build_dataset(market(2000, 7), list(FEATURES), settings(60).dataset)
    for fold in walk_forward_folds(made, even_windows(made, 4)):
        for rows in (fold.train, fold.valid):
            assert made.end_ns[rows].max() < made.start_ns[fold.test].min()


def test_a_fold_that_cannot_be_judged_is_reported(market: Market) -> None:
    bars = market(3000, 8)
    calm = [
        replace(
            symbol,
            frame=symbol.frame.with_columns(
                mid_price=pl.when(pl.int_range(3000) < 1400).then(100.0).otherwise(pl.col("mid_price"))
            ),
        )
        for symbol in bars
    ]
    report = walk_forward(calm, FEATURES, settings(null_refits=1, threshold_bps=0.5))
    assert report.folds[0].skipped is not None
    assert "one class" in report.folds[0].skipped
    assert report.folds[-1].skipped is None
    assert report.folds[-1].threshold_bps == 0.5


def test_what_cannot_be_judged_is_said(market: Market) -> None:
    with pytest.raises(InputError, match="no fold could be judged"):
        walk_forward(market(200, 1), FEATURES, settings())
    windows = Windows(10**15, 10**15, S, S)
    with pytest.raises(InputError, match="collect for longer"):
        walk_forward(market(300, 1), FEATURES, settings(windows=windows))
    with pytest.raises(InputError, match="no model is called"):
        settings(model="oracle")
    with pytest.raises(InputError, match="at least one refit"):
        settings(null_refits=0)
    with pytest.raises(InputError, match="resamples"):
        WalkForwardSettings(DatasetSettings(S), resamples=3)


def test_progress_is_told(market: Market) -> None:
    told: list[str] = []
    walk_forward(market(800, 1), FEATURES, settings(folds=1, null_refits=1, rivals=()), told.append)
    assert told == ["fold 1: models and baselines", "fold 1: nulls", "intervals"]


def test_disjoint_labels_by_hand() -> None:
    start = np.array([0, 1, 2, 3, 4, 5, 0, 9])
    group = np.array([0, 0, 0, 0, 0, 0, 1, 1])
    assert disjoint_labels(start, start + 3, group) == 4
    assert disjoint_labels(np.arange(5000), np.arange(5000) + 60, np.zeros(5000, dtype=np.int64)) == 84
