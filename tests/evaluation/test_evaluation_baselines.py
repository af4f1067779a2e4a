from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.evaluation.conftest import Market

from undertow.datasets.build import DatasetSettings, build_dataset
from undertow.datasets.dataset import Dataset, with_classes
from undertow.evaluation.baselines import BASELINES, FoldRows
from undertow.evaluation.metrics import score_classes
from undertow.labels.thresholds import Threshold
from undertow.models.base import class_shares

S = 1_000_000_000


@pytest.fixture
def rows(market: Market) -> FoldRows:
    made = with_classes(build_dataset(market(900, 1), ["flow"], DatasetSettings(5 * S)), Threshold(1.0))
    train, valid, test = (made.select(slice(*cut)) for cut in ((0, 1000), (1000, 1300), (1300, 1700)))
    return FoldRows(train, valid, test, Threshold(1.0), class_shares(train.classes), 0)


def ask(name: str, rows: FoldRows) -> NDArray[np.int64]:
    said = BASELINES[name](rows)
    assert said is not None, name
    return said


def test_every_baseline_answers_every_row(rows: FoldRows) -> None:
    for name in BASELINES:
        said = ask(name, rows)
        assert said.shape == (400,)
        assert said.dtype == np.int64
        assert set(np.unique(said)) <= {0, 1, 2}


def test_no_baseline_reads_the_test_labels(rows: FoldRows) -> None:
    blind = replace(
        rows,
        test=replace(rows.test, classes=np.full(400, -1), return_bps=np.full(400, np.nan)),
    )
    for name in BASELINES:
        assert np.array_equal(ask(name, rows), ask(name, blind)), name


def test_signs_and_persistence_by_hand(rows: FoldRows) -> None:
    test = rows.test.select(slice(0, 4))
    test = replace(
        test,
        last_return_bps=np.array([0.2, -0.1, 0.0, np.nan]),
        known_return_bps=np.array([1.5, -2.0, 0.5, np.nan]),
    )
    small = replace(rows, test=test, shares=np.array([0.2, 0.3, 0.5]))
    assert ask("last_return_sign", small).tolist() == [2, 0, 1, 1]
    assert ask("last_return_reversed", small).tolist() == [0, 2, 1, 1]
    assert ask("persistence", small).tolist() == [2, 0, 1, 2]
    assert ask("majority", small).tolist() == [2, 2, 2, 2]


def test_time_of_day_learns_the_hour(rows: FoldRows) -> None:
    hour = 3600 * S
    train = replace(
        rows.train,
        start_ns=np.where(np.arange(1000) < 400, 0, 5 * hour),
        classes=np.where(np.arange(1000) < 400, 2, 0),
    )
    test = replace(rows.test.select(slice(0, 3)), start_ns=np.array([0, 29 * hour, 8 * hour]))
    small = replace(rows, train=train, test=test, shares=class_shares(train.classes))
    assert ask("time_of_day", small).tolist() == [2, 0, 0]


def test_book_baselines_find_what_they_are_about(rows: FoldRows) -> None:
    def planted(part: Dataset) -> Dataset:
        noisy = part.return_bps + np.random.default_rng(0).normal(size=len(part))
        return replace(part, best_imbalance=np.tanh(noisy), order_flow=noisy[:, None])

    found = replace(rows, train=planted(rows.train), valid=planted(rows.valid), test=planted(rows.test))
    for name in ("imbalance_logistic", "order_flow_ridge"):
        assert score_classes(rows.test.classes, ask(name, found)).mcc > 0.3


def test_book_baselines_stand_aside_without_a_book(rows: FoldRows) -> None:
    def blind(part: Dataset) -> Dataset:
        return replace(part, best_imbalance=np.full(len(part), np.nan), order_flow=np.zeros((len(part), 0)))

    without = replace(rows, train=blind(rows.train), valid=blind(rows.valid), test=blind(rows.test))
    assert BASELINES["imbalance_logistic"](without) is None
    assert BASELINES["order_flow_ridge"](without) is None


def test_stratified_random_follows_the_shares(rows: FoldRows) -> None:
    many = replace(rows, test=rows.train, shares=np.array([0.1, 0.7, 0.2]))
    said = ask("stratified_random", many)
    assert np.bincount(said) / len(said) == pytest.approx([0.1, 0.7, 0.2], abs=0.05)
