"""Features of two markets: values by hand and by numpy, and the laws that every one of them obeys."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from undertow.features.cross import CROSS_FEATURES, CROSS_NAMES, CrossEngine, PairBars
from undertow.features.cross_kernel import PAST_BARS

SECOND = 10**9
START = 1_723_161_600 * SECOND
few = settings(max_examples=60, deadline=None, derandomize=True)
every_feature = pytest.mark.parametrize("feature", CROSS_FEATURES, ids=lambda f: f.name)


def pair(count: int, length_ns: int = SECOND, **columns: Any) -> PairBars:
    """Bars of two still markets that are known a quarter of a second behind, with some columns replaced."""
    open_ns = START + np.arange(count) * length_ns
    values: dict[str, Any] = {
        "follower_mid": np.full(count, 100.0),
        "leader_mid": np.full(count, 200.0),
        "leader_buys": np.zeros(count),
        "leader_sells": np.zeros(count),
        "follower_known_ns": open_ns + length_ns + SECOND // 4,
        "leader_known_ns": open_ns + length_ns + SECOND // 4,
    }
    arrays = {name: np.asarray(value) for name, value in columns.items()}
    return PairBars(length_ns, open_ns, **(values | arrays))


def computed(bars: PairBars) -> dict[str, Any]:
    return dict(zip(CROSS_NAMES, CrossEngine(bars.length_ns).push(bars).values, strict=True))


def walk(seed: int, count: int, hole: float = 0.0) -> PairBars:
    """Two walks, the second a bar behind the first; a share `hole` of all values unknown, some bars late."""
    rng = np.random.default_rng(seed)
    steps = rng.normal(0, 2e-4, count)
    follows = np.concatenate([[0.0], 0.7 * steps[:-1]]) + rng.normal(0, 1e-4, count)
    columns: dict[str, Any] = {
        "leader_mid": 200 * np.exp(np.cumsum(steps)),
        "follower_mid": 100 * np.exp(np.cumsum(follows)),
        "leader_buys": rng.integers(0, 5, count) * 1.0,
        "leader_sells": rng.integers(0, 5, count) * 1.0,
    }
    for values in columns.values():
        values[rng.random(count) < hole] = np.nan
    bars = pair(count, **columns)
    late = bars.leader_known_ns + (rng.random(count) < hole) * SECOND
    return replace(bars, leader_known_ns=late)


@st.composite
def random_pairs(draw: st.DrawFn) -> PairBars:
    hole = draw(st.sampled_from((0.0, 0.05, 0.4)))
    bars = walk(draw(st.integers(0, 2**32 - 1)), draw(st.integers(1, 400)), hole)
    if draw(st.booleans()):
        return bars
    return replace(bars, leader_mid=np.full(len(bars), 200.0))


def test_values_worked_by_hand() -> None:
    mids: dict[str, Any] = {"leader_mid": [200.0, 202.0, 202.0], "follower_mid": [100.0, 100.0, 101.0]}
    found = computed(pair(3, **mids, leader_buys=[1.0, 3.0, 0.0], leader_sells=[1.0, 1.0, 0.0]))
    move = 1e4 * np.log(1.01)
    np.testing.assert_allclose(found["leader_return_1s"], [np.nan, move, 0.0], rtol=1e-12)
    np.testing.assert_allclose(found["spot_perp_return_gap_1s"], [np.nan, -move, move], rtol=1e-12)
    basis = [1e4 * np.log(0.5), 1e4 * np.log(100 / 202), 1e4 * np.log(0.5)]
    np.testing.assert_allclose(found["spot_perp_basis_bps"], basis, rtol=1e-12)
    np.testing.assert_array_equal(found["leader_flow_imbalance"], [0.0, 0.5, np.nan])


def test_slopes_and_correlations_are_those_of_numpy() -> None:
    bars = walk(3, 400)
    leader, follower = (
        1e4 * np.diff(np.log(m), prepend=np.nan) for m in (bars.leader_mid, bars.follower_mid)
    )
    found = computed(bars)
    for n in (60, 300):
        x, y = leader[-n:], follower[-n:]
        slope, intercept = np.polyfit(x, y, 1)
        assert found[f"leader_beta_{n}"][-1] == pytest.approx(slope, rel=1e-9)
        assert found[f"leader_residual_{n}"][-1] == pytest.approx(n * intercept, rel=1e-6)
        behind = np.polyfit(leader[-n - 1 : -1], y, 1)[0]
        assert found[f"lead_lag_beta_{n}"][-1] == pytest.approx(behind, rel=1e-9)
        assert behind == pytest.approx(0.7, abs=0.15), "the market was made so"
    ahead, back = np.zeros(5), np.zeros(5)
    for lag in range(1, 6):
        ahead[lag - 1] = np.corrcoef(leader[-300 - lag : -lag], follower[-300:])[0, 1]
        back[lag - 1] = np.corrcoef(follower[-300 - lag : -lag], leader[-300:])[0, 1]
        assert found[f"lead_lag_correlation_{lag}"][-1] == pytest.approx(ahead[lag - 1], rel=1e-9)
    a, b = (ahead**2).sum(), (back**2).sum()
    assert found["lead_lag_balance"][-1] == pytest.approx((a - b) / (a + b), rel=1e-9)
    assert found["lead_lag_balance"][-1] > 0.5


def test_flow_over_ten_bars_is_that_of_their_sums() -> None:
    bars = walk(4, 30)
    bought, sold = bars.leader_buys[-10:].sum(), bars.leader_sells[-10:].sum()
    assert computed(bars)["leader_flow_imbalance_10"][-1] == pytest.approx((bought - sold) / (bought + sold))


@few
@given(random_pairs(), st.lists(st.integers(0, 90), max_size=8))
def test_any_cut_gives_the_same_bits(bars: PairBars, sizes: list[int]) -> None:
    whole, engine, at, parts = CrossEngine(SECOND).push(bars).values, CrossEngine(SECOND), 0, []
    for size in [*sizes, len(bars)]:
        parts.append(engine.push(bars[at : at + size]).values)
        state, engine = engine.state(), CrossEngine(SECOND)
        engine.restore(state)
        at += size
    assert np.concatenate(parts, axis=1).tobytes() == whole.tobytes()


Compute = Callable[[PairBars], dict[str, Any]]


def looking_ahead(compute: Compute, bars: PairBars, cut: int) -> list[str]:
    """Features whose values before `cut` are not the same when everything from there on is different."""
    names = ("follower_mid", "leader_mid", "leader_buys", "leader_sells", "leader_known_ns")
    changed = {name: getattr(bars, name).copy() for name in names}
    for name, values in changed.items():
        values[cut:] = values[cut:] * 1.5 + 0.1 if name != "leader_known_ns" else 0
    before, after = compute(bars), compute(replace(bars, **changed))
    return [n for n in CROSS_NAMES if before[n][:cut].tobytes() != after[n][:cut].tobytes()]


@few
@given(random_pairs(), st.integers(1, 399))
def test_the_future_changes_nothing_before_it(bars: PairBars, cut: int) -> None:
    assert looking_ahead(computed, bars, cut) == []


@every_feature
def test_a_feature_that_looked_one_bar_ahead_would_be_caught(feature: Any) -> None:
    def cheating(bars: PairBars) -> dict[str, Any]:
        found = computed(bars)
        found[feature.name] = np.roll(found[feature.name], -1)
        return found

    assert looking_ahead(cheating, walk(7, 340), 320) == [feature.name]


@few
@given(random_pairs(), st.integers(0, 10))
def test_a_bar_of_the_leader_that_came_late_might_as_well_be_missing(bars: PairBars, by_s: int) -> None:
    """Its values are nowhere: not in its own bar, and not in a later one that had seen it."""
    late = bars.leader_known_ns > bars.follower_known_ns
    noise = np.where(late, 17.0 + by_s, 1.0)
    columns = {name: getattr(bars, name) * noise for name in ("leader_mid", "leader_buys", "leader_sells")}
    before, after = computed(bars), computed(replace(bars, **columns))
    assert [n for n in CROSS_NAMES if before[n].tobytes() != after[n].tobytes()] == []
    for name in CROSS_NAMES:
        assert np.isnan(before[name][late]).all(), name


@few
@given(random_pairs())
def test_values_are_null_or_finite_and_in_range(bars: PairBars) -> None:
    found = computed(bars)
    for feature in CROSS_FEATURES:
        known = found[feature.name][~np.isnan(found[feature.name])]
        assert np.isfinite(known).all(), feature.name
        assert ((known >= feature.range[0]) & (known <= feature.range[1])).all(), feature.name


@few
@given(random_pairs())
def test_mirrored_markets_mirror_the_features(bars: PairBars) -> None:
    """Prices p become c / p, buyers sellers."""
    mirrored = replace(
        bars,
        follower_mid=1e4 / bars.follower_mid,
        leader_mid=1e4 / bars.leader_mid,
        leader_buys=bars.leader_sells,
        leader_sells=bars.leader_buys,
    )
    there, back = computed(bars), computed(mirrored)
    for feature in CROSS_FEATURES:
        sign = {"odd": -1.0, "even": 1.0}[feature.mirror]
        np.testing.assert_allclose(
            back[feature.name], sign * there[feature.name], rtol=1e-6, atol=1e-6, err_msg=feature.name
        )


@few
@given(random_pairs(), st.sampled_from((1e-6, 3.0, 1e5)))
def test_the_units_of_price_and_quantity_do_not_matter(bars: PairBars, factor: float) -> None:
    columns = {name: getattr(bars, name) * factor for name in ("leader_mid", "follower_mid")}
    columns |= {name: getattr(bars, name) * 8.0 for name in ("leader_buys", "leader_sells")}
    one, other = computed(bars), computed(replace(bars, **columns))
    for name in CROSS_NAMES:
        np.testing.assert_allclose(other[name], one[name], rtol=1e-6, atol=1e-6, err_msg=name)


@every_feature
def test_it_is_known_from_the_end_of_its_warm_up_on(feature: Any) -> None:
    values = computed(walk(5, PAST_BARS + 10))[feature.name]
    assert np.isnan(values[: feature.warm_up]).all()
    assert not np.isnan(values[feature.warm_up])


@every_feature
def test_it_is_described(feature: Any) -> None:
    assert len(feature.formula) > 10
    assert feature.unit
    assert feature.null
    assert feature.source
    assert feature.family in ("lead_lag", "spot_perp")
    assert CROSS_NAMES.count(feature.name) == 1


def test_a_leader_that_stands_still_has_no_slope() -> None:
    bars = replace(walk(6, 330), leader_mid=np.full(330, 123.456))
    found = computed(bars)
    for name in ("leader_beta_60", "lead_lag_beta_300", "lead_lag_correlation_1", "lead_lag_balance"):
        assert np.isnan(found[name]).all(), name
    assert (found["leader_return_5s"][10:] == 0).all()


def test_returns_over_seconds_need_bars_that_make_them_up() -> None:
    mids = {"leader_mid": np.exp(np.arange(20) / 100), "follower_mid": np.ones(20)}
    five = computed(pair(20, 5 * SECOND, **mids))
    assert np.isnan(five["leader_return_1s"]).all()
    np.testing.assert_allclose(five["leader_return_5s"][1:], 100.0, rtol=1e-9)
    np.testing.assert_allclose(five["leader_return_10s"][2:], 200.0, rtol=1e-9)
    assert np.isnan(computed(pair(20, 60 * SECOND, **mids))["leader_return_10s"]).all()


def test_bars_that_do_not_follow_one_another_are_refused() -> None:
    bars = pair(10)
    engine = CrossEngine(SECOND)
    engine.push(bars[:4])
    with pytest.raises(ValueError, match="is the next"):
        engine.push(bars[5:])
    with pytest.raises(ValueError, match="follow one another"):
        CrossEngine(SECOND).push(replace(bars, open_ns=bars.open_ns * 2))
    with pytest.raises(ValueError, match="for an engine of"):
        CrossEngine(60 * SECOND).push(bars)
