"""What followed an event: entries nobody could have had are not taken, luck is not called an edge."""

from collections.abc import Sequence

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

from undertow.datasets.bars import SymbolBars, known_ns, open_ns
from undertow.errors import InputError
from undertow.evaluation.pattern_study import StudyRow, StudySettings, forward_returns, holm, study
from undertow.patterns.pattern import Events

S = 1_000_000_000
START_MS = 1_723_161_600_000
Floats = NDArray[np.float64]


def bars_of(
    mid: Floats, symbol: str = "AUSDT", late_ns: int = S // 4, half_spread: float = 0.05
) -> SymbolBars:
    opened = START_MS + 1000 * np.arange(len(mid))
    frame = pl.DataFrame(
        {
            "timestamp": opened,
            "known_ns": (opened + 1000) * 1_000_000 + late_ns,
            "best_bid": mid - half_spread,
            "best_ask": mid + half_spread,
            "mid_price": mid,
            "gap_fraction": np.zeros(len(mid)),
        }
    )
    return SymbolBars(symbol, S, frame)


def events_at(
    bars: SymbolBars, rows: Sequence[int], sides: Sequence[int] | int = 1, name: str = "made"
) -> Events:
    bar = np.array(rows, dtype=np.int64)
    return Events(
        pattern=name,
        bar=bar,
        time_ns=open_ns(bars)[bar] + S,
        known_ns=known_ns(bars)[bar],
        side=np.broadcast_to(np.array(sides, dtype=np.int8), bar.shape),
        strength=np.ones(len(bar)),
        names=(),
        numbers=np.empty((len(bar), 0)),
    )


def walk(count: int, seed: int, step_bps: float = 1.0) -> Floats:
    steps = np.random.default_rng(seed).normal(0, step_bps * 1e-4, count)
    return np.asarray(100.0 * np.exp(np.cumsum(steps)))


def only(rows: Sequence[StudyRow], horizon_s: float) -> StudyRow:
    (row,) = (row for row in rows if row.horizon_s == horizon_s)
    return row


def test_the_entry_is_the_first_quote_after_the_event_was_known() -> None:
    mid = np.array([100.0, 110.0, 120.0, 130.0, 160.0, 100.0])
    after = forward_returns(bars_of(mid), 2 * S)
    assert after.entry.tolist() == [1, 2, 3, 4, 5, 6]
    assert after.middle_bps[:3] == pytest.approx([20 / 110 * 1e4, 40 / 120 * 1e4, -30 / 130 * 1e4])
    assert np.isnan(after.middle_bps[3:]).all()
    assert after.buyer_bps[0] == pytest.approx((129.95 - 110.05) / 110 * 1e4)
    assert after.seller_bps[0] == pytest.approx((109.95 - 130.05) / 110 * 1e4)


def test_an_event_known_late_is_entered_late() -> None:
    mid = np.array([100.0, 110.0, 120.0, 130.0, 160.0, 100.0])
    assert forward_returns(bars_of(mid, late_ns=S), S).entry.tolist() == [1, 2, 3, 4, 5, 6]
    assert forward_returns(bars_of(mid, late_ns=S + 1), S).entry.tolist() == [2, 3, 4, 5, 6, 6]
    assert forward_returns(bars_of(mid, late_ns=0), S).entry.tolist() == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("hole", ["gap", "null", "missing"])
def test_nothing_is_followed_across_a_hole(hole: str) -> None:
    bars = bars_of(np.linspace(100, 120, 21))
    row = pl.int_range(pl.len()) == 8
    if hole == "gap":
        frame = bars.frame.with_columns(gap_fraction=pl.when(row).then(0.1).otherwise(0.0))
    elif hole == "null":
        frame = bars.frame.with_columns(mid_price=pl.when(row).then(None).otherwise("mid_price"))
    else:
        frame = bars.frame.filter(~row)
    after = forward_returns(SymbolBars("AUSDT", S, frame), 2 * S)
    seconds = (frame["timestamp"].to_numpy() - START_MS) // 1000
    known = seconds[np.isfinite(after.middle_bps)]
    assert known.tolist() == [0, 1, 2, 3, 4, *range(9, 18)]


def test_returns_are_signed_and_beside_the_drift() -> None:
    mid = 100 + 0.01 * np.arange(2000.0)
    mid[1000:] += 0.5
    bars = bars_of(mid)
    events = events_at(bars, [*range(50, 950, 60), 998], [*[-1, 1] * 7, -1, -1])
    row = only(study([bars], [[events]]), 5.0)
    assert row.events == 16
    signed = [
        side * (mid[at + 6] - mid[at + 1]) / mid[at + 1] * 1e4
        for at, side in zip(events.bar, events.side, strict=True)
    ]
    assert row.mean_bps == pytest.approx(np.mean(signed))
    any_bar = np.mean((mid[6:] - mid[1:-5]) / mid[1:-5] * 1e4)
    assert row.any_bar_bps == pytest.approx(any_bar * events.side.mean())
    assert row.mean_bps is not None
    assert row.any_bar_bps is not None
    assert row.excess_bps is not None
    assert row.excess_bps.value == pytest.approx(row.mean_bps - row.any_bar_bps)
    assert row.hit_rate == 7 / 16
    assert row.after_spread_bps == pytest.approx(row.mean_bps - np.mean(0.1 / mid[events.bar + 1] * 1e4))


def test_a_planted_reaction_is_found_at_its_horizon() -> None:
    rows = np.arange(100, 19_900, 90)
    sides = np.where(np.arange(len(rows)) % 3 == 0, 1, -1)
    steps = np.random.default_rng(1).normal(0, 1e-4, 20_000)
    for at, side in zip(rows.tolist(), sides.tolist(), strict=True):
        steps[at + 2 : at + 7] += side * 0.5e-4
    bars = bars_of(100 * np.exp(np.cumsum(steps)))
    told = study([bars], [[events_at(bars, rows.tolist(), sides.tolist())]])
    row = only(told, 5.0)
    assert row.disjoint == len(rows)
    assert row.excess_bps is not None
    assert row.excess_bps.low < 2.5 < row.excess_bps.high
    assert row.excess_bps.low > 1.5
    assert row.p_holm is not None
    assert row.p_holm < 1e-6
    assert row.hit_rate is not None
    assert row.hit_rate > 0.7
    assert only(told, 60.0).mean_bps == pytest.approx(2.5, abs=1.5)


def test_on_a_martingale_intervals_cover_nothing_at_their_rate() -> None:
    """Events come in bursts, so that horizons overlap: taken as independent they would claim too much."""
    covered, significant, narrow = 0, 0, 0
    for seed in range(60):
        random = np.random.default_rng([seed, 1])
        bars = bars_of(walk(6000, seed))
        starts = random.choice(np.arange(50, 5800, 150), 20, replace=False)
        rows = (starts[:, None] + np.arange(0, 60, 2)).ravel()
        sides = np.repeat(random.choice([-1, 1], 20), 30)
        order = np.argsort(rows)
        events = events_at(bars, rows[order].tolist(), sides[order].tolist())
        told = study([bars], [[events]], StudySettings((30 * S,)))
        excess, p = told[0].excess_bps, told[0].p_holm
        assert excess is not None
        assert p is not None
        covered += excess.low <= 0 <= excess.high
        significant += p < 0.05
        naive_reach = 1.96 * np.sqrt(30) / np.sqrt(len(rows))
        narrow += excess.high - excess.low < 4 * naive_reach
    assert covered >= 54
    assert significant == 60 - covered
    assert narrow <= 3


def test_symbols_are_drawn_together_and_have_their_own_drift() -> None:
    rising, still = bars_of(100 * np.exp(np.arange(3000) * 1e-4), "AUSDT"), bars_of(walk(3000, 4), "BUSDT")
    rows = list(range(100, 2900, 70))
    told = study([rising, still], [[events_at(rising, rows)], [events_at(still, [])]])
    row = only(told, 10.0)
    assert row.mean_bps == pytest.approx(10.0, rel=1e-3)
    assert row.excess_bps is not None
    assert row.excess_bps.value == pytest.approx(0.0, abs=1e-9)
    both = study([rising, rising], [[events_at(rising, rows)], [events_at(rising, rows)]])
    assert only(both, 10.0).events == 2 * len(rows)
    assert only(both, 10.0).disjoint == len(rows)


def test_few_events_have_a_mean_and_no_interval() -> None:
    bars = bars_of(walk(500, 2))
    nine, none = events_at(bars, list(range(10, 460, 50))), events_at(bars, [], name="other")
    told = study([bars], [[nine, none]], StudySettings((S, 60 * S)))
    assert [(row.pattern, row.horizon_s) for row in told] == [
        ("made", 1.0),
        ("made", 60.0),
        ("other", 1.0),
        ("other", 60.0),
    ]
    assert told[0].events == 9
    assert told[0].mean_bps is not None
    assert (told[0].excess_bps, told[0].p, told[0].p_holm) == (None, None, None)
    assert (told[2].events, told[2].mean_bps, told[2].hit_rate) == (0, None, None)


def test_holm_steps_down_over_what_was_tested() -> None:
    assert holm([]) == []
    assert holm([None]) == [None]
    assert holm([0.01, None, 0.04, 0.03]) == pytest.approx([0.03, None, 0.06, 0.06])
    assert holm([0.9, 0.8, 0.001]) == pytest.approx([1.0, 1.0, 0.003])


def test_what_cannot_be_studied_is_said() -> None:
    bars = bars_of(walk(100, 1))
    events = events_at(bars, [5])
    with pytest.raises(InputError, match=r"a horizon of 1\.5 s is no multiple of the bars' 1 s"):
        study([bars], [[events]], StudySettings((3 * S // 2,)))
    with pytest.raises(InputError, match="the same patterns, of every symbol"):
        study([bars, bars], [[events], []])
