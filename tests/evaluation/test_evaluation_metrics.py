import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import confusion_matrix, f1_score, matthews_corrcoef

from undertow.evaluation.metrics import direction_of, macro_f1_of, matthews_of, score_classes

classes = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=60)


@settings(max_examples=150, deadline=None)
@given(pairs=classes)
def test_scores_of_counts_equal_those_of_rows(pairs: list[tuple[int, int]]) -> None:
    true, predicted = np.array(pairs).T
    counts = confusion_matrix(true, predicted, labels=[0, 1, 2]).astype(np.float64)
    scores = score_classes(true, predicted)
    assert macro_f1_of(counts) == pytest.approx(scores.macro_f1, abs=1e-12)
    assert matthews_of(counts) == pytest.approx(scores.mcc, abs=1e-12)
    expected = f1_score(true, predicted, labels=[0, 1, 2], average="macro", zero_division=0.0)
    assert scores.macro_f1 == pytest.approx(expected)


@settings(max_examples=80, deadline=None)
@given(pairs=classes)
def test_direction_is_the_correlation_of_up_against_down(pairs: list[tuple[int, int]]) -> None:
    true, predicted = np.array(pairs).T
    counts = confusion_matrix(true, predicted, labels=[0, 1, 2]).astype(np.float64)
    sides = (true != 1) & (predicted != 1)
    varied = len(set(true[sides])) == len(set(predicted[sides])) == 2
    expected = matthews_corrcoef(true[sides], predicted[sides]) if varied else 0.0
    assert direction_of(counts) == pytest.approx(expected, abs=1e-12)


def test_by_hand() -> None:
    scores = score_classes(np.array([0, 0, 1, 2]), np.array([0, 1, 1, 1]))
    # F1: 2/3, 1/2, 0; recall: 1/2, 1, 0
    assert scores.macro_f1 == pytest.approx(7 / 18)
    assert scores.balanced_accuracy == pytest.approx(1 / 2)
    assert score_classes(np.array([0, 0]), np.array([0, 2])).balanced_accuracy == pytest.approx(1 / 2)


def test_many_at_once_keep_their_shape() -> None:
    counts = np.random.default_rng(0).integers(0, 9, size=(5, 4, 3, 3)).astype(np.float64)
    assert macro_f1_of(counts).shape == matthews_of(counts).shape == direction_of(counts).shape == (5, 4)
