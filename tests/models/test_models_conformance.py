from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from undertow.datasets.dataset import Dataset, with_classes
from undertow.errors import InputError, LakeError
from undertow.labels.thresholds import Threshold
from undertow.models.artefact import load_artefact, save_artefact
from undertow.models.base import class_shares, decide
from undertow.models.catalogue import MODELS, find_model
from undertow.models.training import fit_for_use

every_model = pytest.mark.parametrize("name", sorted(MODELS))


def dataset(n: int = 1200, seed: int = 0) -> Dataset:
    random = np.random.default_rng(seed)
    features = random.normal(size=(n, 4))
    returns = features[:, 0] + random.normal(size=n)
    features[random.random((n, 4)) < 0.05] = np.nan
    features[:, 3] = np.nan
    start = np.arange(n, dtype=np.int64) * 10
    whole, zeros = np.zeros(n, dtype=np.int64), np.zeros(n)
    made = Dataset(
        features=features,
        feature_names=("a", "b", 'c "quoted" {}', "d"),
        return_bps=returns,
        classes=whole,
        start_ns=start,
        end_ns=start + 25,
        slot=whole,
        group=whole,
        entry_bid=zeros,
        entry_ask=zeros,
        exit_bid=zeros,
        exit_ask=zeros,
        last_return_bps=zeros,
        known_return_bps=zeros,
        best_imbalance=zeros,
        order_flow=np.zeros((n, 0)),
    )
    return with_classes(made, Threshold(0.5))


@every_model
def test_learns_and_gives_probabilities(name: str) -> None:
    train, valid, test = dataset(seed=1), dataset(400, seed=2), dataset(400, seed=3)
    model = find_model(name).create(0)
    assert model.fit(train, valid) is model
    assert model.feature_names == train.feature_names
    probabilities = model.predict_proba(test.features)
    assert probabilities.shape == (400, 3)
    assert probabilities.min() >= 0
    assert probabilities.sum(axis=1) == pytest.approx(np.ones(400), abs=1e-12)
    chosen = decide(probabilities, class_shares(train.classes))
    assert np.mean(chosen == test.classes) > 0.45


@every_model
def test_stored_and_loaded_is_equal_to_the_last_bit(name: str, tmp_path: Path) -> None:
    train, test = dataset(), dataset(300, seed=3)
    model = find_model(name).create(0).fit(train, dataset(300, seed=2))
    model.save(tmp_path / "model")
    loaded = find_model(name).load(tmp_path / "model")
    assert loaded.feature_names == model.feature_names
    assert np.array_equal(loaded.predict_proba(test.features), model.predict_proba(test.features))
    assert b"pickle" not in (tmp_path / "model").read_bytes()


@every_model
def test_same_seed_same_bits_and_one_row_equals_many(name: str) -> None:
    train, valid, test = dataset(), dataset(300, seed=2), dataset(50, seed=3)
    first, second = (find_model(name).create(7).fit(train, valid) for _ in range(2))
    answer = first.predict_proba(test.features)
    assert np.array_equal(answer, second.predict_proba(test.features))
    single = np.vstack([first.predict_proba(row[None, :]) for row in test.features])
    assert single == pytest.approx(answer, abs=1e-12)


@every_model
def test_validation_labels_do_not_move_the_scaler(name: str) -> None:
    train, test = dataset(), dataset(50, seed=3)
    valid = dataset(300, seed=2)
    loud = replace(valid, features=valid.features * 1000)
    quiet_fit = find_model(name).create(0).fit(train, valid.select(slice(0, 0)))
    assert np.isfinite(quiet_fit.predict_proba(test.features)).all()
    loud_fit = find_model(name).create(0).fit(train, loud)
    assert np.isfinite(loud_fit.predict_proba(test.features)).all()


@every_model
def test_class_missing_in_training_is_never_chosen(name: str) -> None:
    train = dataset()
    two = train.select(train.classes != 1)
    model = find_model(name).create(0).fit(two, dataset(300, seed=2))
    probabilities = model.predict_proba(dataset(200, seed=3).features)
    assert probabilities.sum(axis=1) == pytest.approx(np.ones(200))
    assert not (decide(probabilities, class_shares(two.classes)) == 1).any()


@every_model
def test_nothing_labelled_nothing_fitted(name: str) -> None:
    train = dataset()
    empty = replace(train, classes=np.full(len(train), -1))
    with pytest.raises(ValueError, match="no labelled row"):
        find_model(name).create(0).fit(empty, train)


@every_model
def test_a_file_that_is_no_model_is_said(name: str, tmp_path: Path) -> None:
    (tmp_path / "model").write_bytes(b"nonsense\nmore")
    with pytest.raises(LakeError, match="train it again"):
        find_model(name).load(tmp_path / "model")


def test_an_unknown_name_is_said() -> None:
    with pytest.raises(InputError, match="lightgbm, logistic"):
        find_model("oracle")


def test_decision_rule_by_hand() -> None:
    shares = np.array([0.25, 0.5, 0.25])
    probabilities = np.array([[0.25, 0.45, 0.30], [0.2, 0.6, 0.2], [0.3, 0.45, 0.25]])
    assert decide(probabilities, shares).tolist() == [2, 1, 0]
    assert decide(probabilities, np.array([0.5, 0.5, 0.0])).tolist() == [1, 1, 1]


@every_model
def test_artefact_round_trip_and_tampering(name: str, tmp_path: Path) -> None:
    made = dataset()
    fitted = fit_for_use(made, name)
    stored = save_artefact(tmp_path, name, fitted.model, {"threshold_bps": fitted.threshold.bps})
    loaded = load_artefact(tmp_path)
    assert loaded.version == stored.version
    assert loaded.record["threshold_bps"] == fitted.threshold.bps
    assert np.array_equal(
        loaded.model.predict_proba(made.features), fitted.model.predict_proba(made.features)
    )
    with (tmp_path / "model.bin").open("ab") as file:
        file.write(b" ")
    with pytest.raises(LakeError, match="was changed"):
        load_artefact(tmp_path)


def test_training_for_use_purges_and_refuses() -> None:
    made = dataset()
    fitted = fit_for_use(made, "logistic", flat_share=0.5)
    # labels of 25 ns on rows 10 ns apart reach over the cut from the last two rows and touch it from none
    assert (fitted.train_rows, fitted.valid_rows) == (958, 240)
    with pytest.raises(InputError, match="to train on"):
        fit_for_use(made.select(slice(0, 100)), "logistic")
    with pytest.raises(InputError, match="one class"):
        fit_for_use(made, "logistic", threshold_bps=1e9)


def test_no_artefact_is_said(tmp_path: Path) -> None:
    with pytest.raises(LakeError, match="undertow train"):
        load_artefact(tmp_path / "nowhere")
