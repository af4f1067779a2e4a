import importlib.util
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.datasets.lake_factory import LATE_NS, START_MS, S, l2_rows, write_rows
from undertow.datasets.joined import SEQUENCE_COLUMNS
from undertow.datasets.sequences import (
    SequenceRows,
    SequenceWindows,
    row_stretches,
    window_ends,
    write_matrix,
)
from undertow.datasets.sequences import write_rows as write_sequence_rows
from undertow.datasets.sources import source_hours
from undertow.datasets.torch_view import torch_dataset
from undertow.errors import InputError

NO_GAPS = (np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64))


def rows_of(lake: Path, frame: pl.DataFrame, out: Path) -> SequenceRows:
    write_rows(lake, "l2_features", frame)
    return write_sequence_rows(out, source_hours(lake, "sim", "l2_features", "BTCUSDT"), NO_GAPS)


def test_columns_lie_in_the_order_of_the_specification() -> None:
    assert len(SEQUENCE_COLUMNS) == 400
    assert SEQUENCE_COLUMNS[0] == "bid_price_norm_1"
    assert SEQUENCE_COLUMNS[100] == "ask_price_norm_1"
    assert SEQUENCE_COLUMNS[199] == "ask_price_norm_100"
    assert SEQUENCE_COLUMNS[200] == "bid_volume_1"
    assert SEQUENCE_COLUMNS[399] == "ask_volume_100"


def test_rows_across_hours_are_one_file_by_name(tmp_path: Path) -> None:
    made = rows_of(tmp_path, l2_rows(30, START_MS - 10_000), tmp_path / "rows.npy")
    values = np.load(tmp_path / "rows.npy", mmap_mode="r")
    assert values.shape == (30, 400)
    assert values.dtype == np.float32
    assert values[12, 399] == np.float32(12 + 399 / 1000)
    assert made.stretch.tolist() == [0] * 30
    assert made.known_ns[0] == (START_MS - 10_000) * 1_000_000 + LATE_NS


def test_a_missing_second_and_an_unknown_value_break_a_sequence(tmp_path: Path) -> None:
    frame = l2_rows(12).with_row_index()
    holed = frame.filter(pl.col("index") != 3).with_columns(
        bid_volume_7=pl.when(pl.col("index") == 8).then(None).otherwise("bid_volume_7")
    )
    made = rows_of(tmp_path, holed.drop("index"), tmp_path / "rows.npy")
    assert made.stretch.tolist() == [0, 0, 0, 1, 1, 1, 1, -1, 2, 2, 2]
    decisions = made.known_ns
    assert window_ends(decisions, made, 1).tolist() == [0, 1, 2, 3, 4, 5, 6, -1, 8, 9, 10]
    assert window_ends(decisions, made, 3).tolist() == [-1, -1, 2, -1, -1, 5, 6, -1, -1, -1, 10]


def test_a_column_that_is_missing_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="ask_price_norm_3"):
        rows_of(tmp_path, l2_rows(5).drop("ask_price_norm_3"), tmp_path / "rows.npy")
    hours = source_hours(tmp_path, "sim", "l2_features", "BTCUSDT")
    with pytest.raises(InputError, match="no row of l2_features"):
        write_sequence_rows(tmp_path / "rows.npy", hours, NO_GAPS, 0, S)


def test_a_recorded_gap_between_two_samples_breaks_a_sequence() -> None:
    event = np.arange(8, dtype=np.int64) * S
    whole = np.ones(8, dtype=np.bool_)

    def stretches(from_ns: float, to_ns: float) -> list[int]:
        gap = np.array([from_ns * S]).astype(np.int64), np.array([to_ns * S]).astype(np.int64)
        return list(row_stretches(event, whole, gap))

    # Lost and found again between the samples at 3 and 4 s: that of 4 s starts anew.
    assert stretches(3.2, 3.4) == [0, 0, 0, 0, 1, 1, 1, 1]
    # A sample is the state before its instant, so a gap from 3 s on was not yet in that of 3 s, and is cut
    # off as well rather than trusted.
    assert stretches(3.0, 5.0) == [0, 0, 0, 1, -1, 3, 3, 3]
    assert stretches(20, 21) == [0] * 8


def test_windows_are_views_and_copies_agree(tmp_path: Path) -> None:
    rows_of(tmp_path, l2_rows(40), tmp_path / "rows.npy")
    values = np.load(tmp_path / "rows.npy", mmap_mode="r")
    windows = SequenceWindows(values, np.array([4, 9, 39]), 5)
    assert windows.shape == (3, 5, 400)
    assert np.shares_memory(windows[1], values)
    assert windows[1][:, 0].tolist() == [5.0, 6.0, 7.0, 8.0, 9.0]
    assert np.array_equal(windows.batch([2, 0]), np.stack([windows[2], windows[0]]))


def test_the_matrix_is_every_window_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows_of(tmp_path, l2_rows(50), tmp_path / "rows.npy")
    windows = SequenceWindows(np.load(tmp_path / "rows.npy", mmap_mode="r"), np.arange(6, 50), 7)
    # So small that a batch holds three sequences and the last batch is not full.
    monkeypatch.setattr("undertow.datasets.sequences._BATCH_BYTES", 3 * 7 * 400 * 4)
    write_matrix(tmp_path / "matrix.npy", windows)
    matrix = np.load(tmp_path / "matrix.npy")
    assert matrix.dtype == np.float32
    assert np.array_equal(matrix, np.stack([windows[i] for i in range(44)]))


def test_windows_that_reach_out_are_refused() -> None:
    values = np.zeros((10, 2), dtype=np.float32)
    for end in (3, 10):
        with pytest.raises(ValueError, match="reaches out"):
            SequenceWindows(values, np.array([end]), 5)
    with pytest.raises(InputError, match="--sequence"):
        SequenceWindows(values, np.array([5]), 0)


@settings(max_examples=100, deadline=None)
@given(
    present=st.lists(st.booleans(), min_size=1, max_size=40),
    gaps=st.lists(st.tuples(st.integers(0, 400), st.integers(1, 30)), max_size=3),
    steps=st.integers(1, 6),
)
def test_no_window_straddles_a_gap_or_sees_the_future(
    present: list[bool], gaps: list[tuple[int, int]], steps: int
) -> None:
    event = np.array([i for i, here in enumerate(present) if here], dtype=np.int64) * S
    tenths = S // 10
    breaks = (
        np.array([a * tenths for a, _ in gaps], dtype=np.int64),
        np.array([(a + length) * tenths for a, length in gaps], dtype=np.int64),
    )
    stretch = row_stretches(event, np.ones(len(event), dtype=np.bool_), breaks)
    rows = SequenceRows(event, event + LATE_NS, stretch)
    decisions = np.arange(40, dtype=np.int64) * S + LATE_NS
    for decision, end in zip(decisions.tolist(), window_ends(decisions, rows, steps).tolist(), strict=True):
        instants = [decision - LATE_NS - k * S for k in range(steps)]
        spans = [(a * tenths, (a + length) * tenths) for a, length in gaps]
        lost = any(begin < instants[0] and stop > instants[-1] for begin, stop in spans)
        if end >= 0:
            assert not lost
            assert event[end] == instants[0]
            assert event[end - steps + 1] == instants[-1]


def test_torch_sees_the_same_sequences() -> None:
    if importlib.util.find_spec("torch") is None:
        pytest.skip("torch is not installed; it comes with the extra `deep`")
    values = np.arange(20, dtype=np.float32).reshape(10, 2)
    windows = SequenceWindows(values, np.array([4, 9]), 3)
    made = torch_dataset(windows, np.array([2, 0]), np.array([0.5, 1.0]))
    sequence, label, weight = made[1]
    assert len(made) == 2
    assert np.array_equal(sequence.numpy(), windows[1])
    assert (int(label), float(weight)) == (0, 1.0)


def test_without_torch_what_to_install_is_said() -> None:
    windows = SequenceWindows(np.zeros((5, 2), dtype=np.float32), np.array([4]), 3)
    with pytest.raises(InputError, match="give one for each"):
        torch_dataset(windows, np.array([1, 2]))
    if importlib.util.find_spec("torch") is not None:
        pytest.skip("torch is installed")
    with pytest.raises(InputError, match="extra `deep`"):
        torch_dataset(windows, np.array([1]))
