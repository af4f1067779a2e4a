from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import ArrayLike

from undertow.datasets.dataset import Dataset
from undertow.datasets.splits import Windows, even_windows, walk_forward_folds
from undertow.errors import InputError


def dataset(start: ArrayLike, end: ArrayLike) -> Dataset:
    n = np.size(start)
    zeros, whole = np.zeros(n), np.zeros(n, dtype=np.int64)
    return Dataset(
        features=np.zeros((n, 1)),
        feature_names=("x",),
        return_bps=zeros,
        classes=whole,
        start_ns=np.asarray(start, dtype=np.int64),
        end_ns=np.asarray(end, dtype=np.int64),
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


windows = st.builds(
    Windows,
    train_ns=st.integers(1, 80),
    valid_ns=st.integers(1, 40),
    test_ns=st.integers(1, 30),
    step_ns=st.integers(30, 60),
    anchored=st.booleans(),
    embargo_ns=st.integers(0, 20),
)


@settings(max_examples=150, deadline=None)
@given(
    starts=st.lists(st.integers(0, 300), min_size=20, max_size=120),
    spans=st.lists(st.integers(0, 50), min_size=120, max_size=120),
    cut=windows,
)
def test_no_earlier_label_reaches_a_later_block(starts: list[int], spans: list[int], cut: Windows) -> None:
    start = np.sort(np.array([*starts, 0, 300]))
    end = start + np.array([*spans, 0, 0])[: len(start)]
    for fold in walk_forward_folds(dataset(start, end), cut):
        blocks = [fold.train, fold.valid, fold.test]
        assert len(np.unique(np.concatenate(blocks))) == sum(len(block) for block in blocks)
        for earlier, later in [(0, 1), (0, 2), (1, 2)]:
            for row in blocks[earlier]:
                overlaps = (start[blocks[later]] <= end[row] + cut.embargo_ns) & (
                    end[blocks[later]] >= start[row]
                )
                assert not overlaps.any()


@settings(max_examples=60, deadline=None)
@given(cut=windows)
def test_each_row_is_tested_at_most_once(cut: Windows) -> None:
    start = np.arange(0, 300, 3)
    tested = np.concatenate([f.test for f in walk_forward_folds(dataset(start, start + 5), cut)])
    assert len(np.unique(tested)) == len(tested)


def test_rows_by_hand() -> None:
    start = np.arange(10) * 10
    folds = list(walk_forward_folds(dataset(start, start + 15), Windows(40, 20, 20, 20)))
    assert [fold.train.tolist() for fold in folds] == [[0, 1, 2], [2, 3, 4]]
    assert [fold.valid.tolist() for fold in folds] == [[4], [6]]
    assert [fold.test.tolist() for fold in folds] == [[6, 7], [8, 9]]
    assert [fold.purged for fold in folds] == [2, 2]


def test_anchored_training_starts_at_the_first_row() -> None:
    start = np.arange(10) * 10
    cut = Windows(40, 20, 20, 20, anchored=True, embargo_ns=10)
    folds = list(walk_forward_folds(dataset(start, start + 5), cut))
    assert folds[1].train.tolist() == [0, 1, 2, 3, 4]
    assert folds[0].train.tolist() == [0, 1, 2]


def test_last_test_window_may_be_cut_short() -> None:
    start = np.arange(10) * 10
    folds = list(walk_forward_folds(dataset(start, start), Windows(30, 20, 30, 30)))
    assert [len(fold.test) for fold in folds] == [3, 2]


def test_measured_case_of_broken_purging_is_clean() -> None:
    # n = 300, label span 10, 5 folds: others leave 36 to 750 training rows that overlap a test label
    start = np.arange(300)
    made = dataset(start, start + 10)
    folds = list(walk_forward_folds(made, even_windows(made, 5)))
    assert len(folds) == 5
    overlapping = sum(int((made.end_ns[f.train] >= start[f.test[0]]).sum()) for f in folds)
    assert overlapping == 0


def test_too_little_data_is_said() -> None:
    start = np.arange(10) * 10
    with pytest.raises(InputError, match="collect for longer"):
        list(walk_forward_folds(dataset(start, start), Windows(90, 20, 20, 20)))
    with pytest.raises(InputError, match="too few rows"):
        even_windows(dataset([0, 1], [0, 1]), 4)
    with pytest.raises(InputError, match="1 or more"):
        even_windows(dataset(start, start), 0)


@pytest.mark.parametrize("cut", [(0, 1, 1, 1), (5, 5, 5, 4)])
def test_windows_that_make_no_sense_are_refused(cut: tuple[int, int, int, int]) -> None:
    with pytest.raises(InputError):
        Windows(*cut)


def test_unsorted_rows_are_a_bug() -> None:
    made = dataset([0, 50, 20, 90], [0, 50, 20, 90])
    with pytest.raises(ValueError, match="sorted"):
        list(walk_forward_folds(made, Windows(10, 10, 10, 10)))
    assert len(replace(made).select(np.array([0, 1]))) == 2
