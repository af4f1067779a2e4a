from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from undertow.labels.horizon_return import HorizonReturns, gap_free_stretches, horizon_returns, rows_at

S = 1_000_000_000
LATE = S // 4


def labels(
    opens: Sequence[int], mids: Sequence[float], gaps: Sequence[float] | None = None, horizon: int = 2
) -> HorizonReturns:
    open_ns = np.array(opens, dtype=np.int64) * S
    known_ns = open_ns + S + LATE
    gap = np.zeros(len(opens)) if gaps is None else np.array(gaps, dtype=np.float64)
    stretch = gap_free_stretches(open_ns, gap, S)
    return horizon_returns(open_ns, known_ns, np.array(mids, dtype=np.float64), stretch, S, horizon * S)


def test_values_by_hand() -> None:
    made = labels([0, 1, 2, 3], [100.0, 101.0, 102.0, 100.0])
    assert made.return_bps[:2] == pytest.approx([1e4 * np.log(1.02), 1e4 * np.log(100 / 101)], rel=1e-12)
    assert np.isnan(made.return_bps[2:]).all()
    assert made.start_ns.tolist() == [S + LATE, 2 * S + LATE, 3 * S + LATE, 4 * S + LATE]
    assert made.end_ns.tolist()[:2] == [3 * S + LATE, 4 * S + LATE]
    assert made.end_ns.tolist()[2:] == made.start_ns.tolist()[2:]
    assert made.end_row.tolist() == [2, 3, -1, -1]


def test_missing_bar_makes_null_never_a_longer_label() -> None:
    made = labels([0, 1, 3, 4, 5], [100.0, 101.0, 102.0, 103.0, 104.0])
    assert np.isnan(made.return_bps[:2]).all()
    assert made.return_bps[2] == pytest.approx(1e4 * np.log(104 / 102))


@pytest.mark.parametrize("gap", [0.3, np.nan])
def test_gap_inside_the_horizon_makes_null(gap: float) -> None:
    made = labels(range(7), [100.0 + i for i in range(7)], [0, 0, 0, gap, 0, 0, 0])
    known = np.isfinite(made.return_bps)
    assert known.tolist() == [True, False, False, False, True, False, False]


def test_null_mid_makes_null_at_either_end_only() -> None:
    made = labels(range(5), [100.0, np.nan, 102.0, 103.0, 104.0])
    assert np.isfinite(made.return_bps).tolist() == [True, False, True, False, False]


@pytest.mark.parametrize("horizon_ns", [0, -S, S + S // 2])
def test_horizon_must_be_whole_bars(horizon_ns: int) -> None:
    zeros = np.zeros(3, dtype=np.int64)
    with pytest.raises(ValueError, match="positive multiple"):
        horizon_returns(np.arange(3) * S, np.arange(3) * S, np.ones(3), zeros, S, horizon_ns)


@pytest.mark.parametrize("opens", [[0, 0, 1], [2, 1, 3]])
def test_bars_must_be_sorted(opens: list[int]) -> None:
    with pytest.raises(ValueError, match="sorted"):
        gap_free_stretches(np.array(opens) * S, np.zeros(3), S)


def test_bars_must_lie_on_the_grid() -> None:
    with pytest.raises(ValueError, match="grid"):
        gap_free_stretches(np.array([0, S, S + 5]), np.zeros(3), S)


def test_no_bars_no_rows() -> None:
    empty = np.empty(0, dtype=np.int64)
    assert len(rows_at(empty, empty, S)) == 0


@settings(max_examples=60, deadline=None)
@given(
    present=st.lists(st.booleans(), min_size=2, max_size=40),
    gaps=st.sets(st.integers(0, 39)),
    horizon=st.integers(1, 5),
)
def test_labels_agree_with_a_dictionary(present: list[bool], gaps: set[int], horizon: int) -> None:
    opens = [i for i, here in enumerate(present) if here]
    if not opens:
        return
    mids = {i: 100.0 + (i * 7919 % 13) for i in opens}
    made = labels(opens, [mids[i] for i in opens], [0.5 if i in gaps else 0.0 for i in opens], horizon)
    for row, at in enumerate(opens):
        span = range(at, at + horizon + 1)
        if all(i in mids and i not in gaps for i in span):
            expected = 1e4 * np.log(mids[at + horizon] / mids[at])
            assert made.return_bps[row] == pytest.approx(expected, abs=1e-9)
        else:
            assert np.isnan(made.return_bps[row])
