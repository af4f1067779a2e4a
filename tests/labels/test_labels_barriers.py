import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from undertow.labels.barriers import NO_OUTCOME, PROFIT, STOP, TIME, BarrierLabels, entry_rows, triple_barrier
from undertow.labels.horizon_return import gap_free_stretches
from undertow.labels.thresholds import DOWN, FLAT, UNLABELLED, UP

S = 1_000_000_000
LATE = S // 4


def labels(
    bid: Sequence[float],
    ask: Sequence[float],
    profit: float,
    stop: float,
    horizon: int = 3,
    gaps: Sequence[float] | None = None,
    opens: Sequence[int] | None = None,
) -> BarrierLabels:
    open_ns = np.array(range(len(bid)) if opens is None else opens, dtype=np.int64) * S
    gap = np.zeros(len(bid)) if gaps is None else np.array(gaps, dtype=np.float64)
    return triple_barrier(
        open_ns,
        open_ns + S + LATE,
        np.array(bid, dtype=np.float64),
        np.array(ask, dtype=np.float64),
        gap_free_stretches(open_ns, gap, S),
        S,
        horizon * S,
        np.full(len(bid), profit),
        np.full(len(bid), stop),
    )


def test_by_hand() -> None:
    # Decided after bar 0, entered at the close of bar 1 at 101 / 100, watched at the closes of bars 2, 3, 4.
    made = labels([99, 100, 100, 103, 90, 90], [100, 101, 101, 104, 91, 91], profit=150, stop=300)
    assert made.begin_row.tolist() == [1, 2, -1, -1, -1, -1]
    # The long has 103 / 101 = +196 bps at bar 3; the short has 100 / 104 = -392 bps there, its stop.
    assert made.long.outcome[0] == PROFIT
    assert made.long.end_row[0] == 3
    assert made.long.return_bps[0] == pytest.approx(1e4 * math.log(103 / 101))
    assert made.short.outcome[0] == STOP
    assert made.short.return_bps[0] == pytest.approx(1e4 * math.log(100 / 104))
    assert made.classes.tolist() == [UP, UP, UNLABELLED, UNLABELLED, UNLABELLED, UNLABELLED]
    assert made.end_ns[0] == 4 * S + LATE
    assert made.start_ns[0] == S + LATE


def test_the_spread_is_paid_on_both_sides() -> None:
    still = labels([100] * 6, [101] * 6, profit=10, stop=50)
    assert still.long.outcome[0] == still.short.outcome[0] == STOP
    assert still.long.return_bps[0] == pytest.approx(1e4 * math.log(100 / 101))
    assert still.short.return_bps[0] == pytest.approx(1e4 * math.log(100 / 101))
    assert still.classes[0] == FLAT


def test_time_barrier_ends_at_the_last_close() -> None:
    made = labels([100] * 6, [100] * 6, profit=10, stop=10)
    assert made.long.outcome[:2].tolist() == [TIME, TIME]
    assert made.end_row[:2].tolist() == [4, 5]
    assert made.end_ns[:2].tolist() == [5 * S + LATE, 6 * S + LATE]


def test_first_of_two_profits_decides() -> None:
    # No stop: the long profits at bar 2, the short later at bar 3.
    made = labels([100, 100, 102, 97, 97], [100, 100, 102, 97, 97], profit=100, stop=math.inf)
    assert (made.long.outcome[0], made.short.outcome[0]) == (PROFIT, PROFIT)
    assert made.classes[0] == UP
    assert made.end_row[0] == 2
    mirrored = labels([100, 100, 97, 102, 102], [100, 100, 97, 102, 102], profit=100, stop=math.inf)
    assert mirrored.classes[0] == DOWN


def test_a_gap_before_the_time_barrier_makes_null_even_after_a_touch() -> None:
    quotes = [100, 100, 110, 110, 110, 110, 110]
    whole = labels(quotes, quotes, profit=100, stop=100)
    assert whole.classes[0] == UP
    cut = labels(quotes, quotes, profit=100, stop=100, gaps=[0, 0, 0, 0, 0.1, 0, 0])
    assert cut.classes[0] == UNLABELLED
    assert cut.end_ns[0] == cut.start_ns[0]
    missing = labels(quotes[:6], quotes[:6], profit=100, stop=100, opens=[0, 1, 2, 4, 5, 6])
    assert set(missing.classes.tolist()) == {UNLABELLED}


@pytest.mark.parametrize("unknown", [math.nan, 0.0, math.inf])
def test_an_unknown_quote_on_the_path_makes_null(unknown: float) -> None:
    bid = [100.0, 100, 110, unknown, 110, 110, 110, 110]
    made = labels(bid, [100.0, 100, 110, 110, 110, 110, 110, 110], profit=100, stop=100)
    assert made.classes[:4].tolist() == [UNLABELLED, UNLABELLED, UNLABELLED, FLAT]


@pytest.mark.parametrize("profit", [math.nan, 0.0, math.inf])
def test_a_barrier_that_is_no_distance_makes_null(profit: float) -> None:
    made = labels([100] * 6, [101] * 6, profit=profit, stop=10)
    assert set(made.long.outcome.tolist()) == {NO_OUTCOME}


def test_a_decision_known_late_enters_later() -> None:
    opens = np.arange(4, dtype=np.int64) * S
    rows = entry_rows(opens, opens + S + np.array([0, LATE, S, 2 * S]), np.zeros(4, dtype=np.int64), S)
    assert rows.tolist() == [1, 2, -1, -1]
    assert len(entry_rows(opens[:0], opens[:0], opens[:0], S)) == 0


def test_horizon_must_be_whole_bars() -> None:
    none, nothing = np.empty(0, dtype=np.int64), np.empty(0)
    with pytest.raises(ValueError, match="positive multiple"):
        triple_barrier(none, none, nothing, nothing, none, S, S // 2, nothing, nothing)


prices = st.integers(95, 105)


@settings(max_examples=150, deadline=None)
@given(
    quotes=st.lists(st.tuples(prices, st.integers(0, 2)), min_size=1, max_size=40),
    gaps=st.sets(st.integers(0, 39), max_size=3),
    horizon=st.integers(1, 6),
    profit=st.sampled_from([55.0, 151.0, 333.0]),
    stop=st.sampled_from([57.0, 153.0, math.inf]),
)
def test_agrees_with_a_loop(
    quotes: list[tuple[int, int]], gaps: set[int], horizon: int, profit: float, stop: float
) -> None:
    bid = [float(b) for b, _ in quotes]
    ask = [float(b + spread) for b, spread in quotes]
    made = labels(bid, ask, profit, stop, horizon, [float(i in gaps) for i in range(len(bid))])
    for i in range(len(bid)):
        path = range(i, i + 2 + horizon)
        if path[-1] >= len(bid) or any(j in gaps for j in path):
            assert made.classes[i] == UNLABELLED
            continue
        ends = []
        gains_of = (
            (made.long, {j: bid[j] / ask[i + 1] for j in path}),
            (made.short, {j: bid[i + 1] / ask[j] for j in path}),
        )
        for side, gains in gains_of:
            outcome, end = TIME, path[-1]
            for j in path[2:]:
                gain = 1e4 * math.log(gains[j])
                if gain >= profit or gain <= -stop:
                    outcome, end = (PROFIT if gain >= profit else STOP), j
                    break
            assert (side.outcome[i], side.end_row[i]) == (outcome, end)
            ends.append((outcome, end))
        (rise, rise_end), (fall, fall_end) = ends
        if rise == PROFIT and (fall != PROFIT or rise_end < fall_end):
            assert (made.classes[i], made.end_row[i]) == (UP, rise_end)
        elif fall == PROFIT and (rise != PROFIT or fall_end < rise_end):
            assert (made.classes[i], made.end_row[i]) == (DOWN, fall_end)
        else:
            assert (made.classes[i], made.end_row[i]) == (FLAT, max(rise_end, fall_end))


@settings(max_examples=60, deadline=None)
@given(quotes=st.lists(st.tuples(prices, st.integers(0, 2)), min_size=6, max_size=30), cut=st.integers(1, 29))
def test_nothing_after_the_end_matters(quotes: list[tuple[int, int]], cut: int) -> None:
    bid = [float(b) for b, _ in quotes]
    ask = [float(b + spread) for b, spread in quotes]
    made = labels(bid, ask, 101.0, 101.0)
    changed = labels(
        [b * 10 if i > cut else b for i, b in enumerate(bid)],
        [a * 10 if i > cut else a for i, a in enumerate(ask)],
        101.0,
        101.0,
    )
    decided = (made.end_row >= 0) & (made.end_row <= cut)
    assert made.classes[decided].tolist() == changed.classes[decided].tolist()


def test_mirrored_quotes_swap_the_sides() -> None:
    random = np.random.default_rng(3)
    mid = 100 * np.exp(np.cumsum(random.normal(0, 1e-3, 300)))
    bid, ask = mid * 0.9999, mid * 1.0001
    made = labels(bid.tolist(), ask.tolist(), 15, 12, 10)
    mirrored = labels((1e4 / ask).tolist(), (1e4 / bid).tolist(), 15, 12, 10)
    swapped = np.where(made.classes == UNLABELLED, UNLABELLED, UP + DOWN - made.classes)
    assert {DOWN, FLAT, UP} <= set(made.classes.tolist())
    assert mirrored.classes.tolist() == swapped.tolist()
    np.testing.assert_allclose(mirrored.long.return_bps, made.short.return_bps, rtol=1e-9, atol=1e-9)
