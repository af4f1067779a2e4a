"""Properties of every L2 feature over random books, and books worked by hand."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.features.l2_factory import (
    SECOND,
    START,
    Reference,
    books,
    instrument,
    mirrored,
    random_books,
    with_columns,
)
from undertow.features.l2 import L2_FEATURES, SEQUENCE_NAMES, VALUE_NAMES, L2Feature, l2_markdown
from undertow.features.l2_engine import L2Block, L2Engine, lineage
from undertow.market.columns import BookColumns

few = settings(max_examples=40, deadline=None, derandomize=True)
BY_NAME = {feature.name: feature for feature in L2_FEATURES}
LATENESS_NS = 250_000_000


def engine(tick: str = "0.5", lot: str = "0.001", kept_levels: int = 100) -> L2Engine:
    return L2Engine(instrument(tick, lot), LATENESS_NS, kept_levels)


def columns(block: L2Block) -> dict[str, Any]:
    return {name: block.column(name) for name in BY_NAME}


def computed(samples: BookColumns, tick: str = "0.5", lot: str = "0.001") -> dict[str, Any]:
    return columns(engine(tick, lot).push(samples))


def different(first: dict[str, Any], second: dict[str, Any]) -> list[str]:
    """Names of columns that are not the same to the last bit."""
    return [name for name in BY_NAME if first[name].tobytes() != second[name].tobytes()]


@few
@given(random_books(), st.lists(st.integers(0, 30), max_size=12))
def test_any_cut_and_any_restart_give_the_same_bits(samples: BookColumns, sizes: list[int]) -> None:
    now, at, parts = engine(), 0, []
    for size in [*sizes, len(samples)]:
        parts.append(columns(now.push(samples.take(slice(at, at + size)))))
        state, now = now.state(), engine()
        now.restore(state)
        at += size
    joined = {name: np.concatenate([part[name] for part in parts]) for name in BY_NAME}
    assert different(computed(samples), joined) == []


@few
@given(random_books())
def test_values_are_null_or_finite_and_in_range(samples: BookColumns) -> None:
    for name, values in computed(samples).items():
        low, high = BY_NAME[name].range
        known = values[~np.isnan(values)]
        assert np.isfinite(known).all(), name
        assert ((known >= low) & (known <= high)).all(), name


@few
@given(random_books(), st.integers(1, 89))
def test_the_future_changes_nothing_before_it(samples: BookColumns, cut: int) -> None:
    changed = replace(samples, **{n: getattr(samples, n).copy() for n in samples.__slots__})
    for name in samples.__slots__:
        if name != "grid_ns":
            getattr(changed, name)[cut:] *= 1_000
    before, after = computed(samples), computed(changed)
    assert different({n: v[:cut] for n, v in before.items()}, {n: v[:cut] for n, v in after.items()}) == []


def mirror_expectation(feature: L2Feature, there: dict[str, Any], twice: Any) -> Any:
    """What a feature's line says that mirrored books show; `twice` the price mirrored at."""
    law, _, other = feature.mirror.partition(":")
    values = there[other or feature.name]
    if law == "price":
        return twice * 0.5 - values
    laws = {"odd": -values, "even": values, "swap": values}
    return laws[law] if law in laws else 1.0 / values


@few
@given(random_books())
def test_mirrored_books_mirror_the_features(samples: BookColumns) -> None:
    other, twice = mirrored(samples)
    there, back = computed(samples), computed(other)
    for name, feature in BY_NAME.items():
        expected = mirror_expectation(feature, there, twice)
        np.testing.assert_allclose(back[name], expected, rtol=1e-6, atol=1e-9, err_msg=name)


DIMENSIONLESS = [f.name for f in L2_FEATURES if f.unit in ("share", "percent", "ratio", "bps")]
FACTORS = {"quote": 10.0, "base": 0.1}


@few
@given(random_books())
def test_values_follow_the_scales_and_ratios_do_not(samples: BookColumns) -> None:
    """Ten times the tick and a tenth of the lot: an order of some notional takes as many levels."""
    one, other = computed(samples, "0.5", "0.01"), computed(samples, "5", "0.001")
    for name, feature in BY_NAME.items():
        expected = one[name] * FACTORS.get(feature.unit, 1.0)
        exactness = 1e-12 if feature.dtype == "float" else 1e-6
        np.testing.assert_allclose(other[name], expected, rtol=exactness, err_msg=name)
    assert [n for n in DIMENSIONLESS if one[n].tobytes() != other[n].tobytes()] == []
    assert {f.unit for f in L2_FEATURES} == {"share", "percent", "ratio", "bps", *FACTORS}


@settings(max_examples=12, deadline=None, derandomize=True)
@given(random_books(most=45), st.sampled_from((100, 17)))
def test_every_feature_equals_exact_fractions(samples: BookColumns, kept_levels: int) -> None:
    found = columns(engine(kept_levels=kept_levels).push(samples))
    reference = Reference(instrument("0.5", "0.001"), kept_levels)
    rows = [reference.row(samples, at) for at in range(len(samples))]
    for name, feature in BY_NAME.items():
        expected = np.array([np.nan if row[name] is None else float(row[name]) for row in rows])
        exactness = 1e-10 if feature.dtype == "float" else 1e-6
        np.testing.assert_allclose(found[name], expected, rtol=exactness, atol=1e-11, err_msg=name)


@few
@given(random_books())
def test_changes_are_null_as_long_as_they_warm_up(samples: BookColumns) -> None:
    """And known from then on, where the stretch goes on and both sides are there."""
    found = computed(samples)
    follows = np.diff(samples.grid_ns, prepend=0) == SECOND
    follows &= samples.spread_time_us + samples.update_count + 1 >= 1_000_000
    begins = np.maximum.accumulate(np.where(follows, 0, np.arange(len(samples))))
    age = np.arange(len(samples)) - begins
    whole = bool(((samples.bid_lots[:, 0] > 0) & (samples.ask_lots[:, 0] > 0)).all())
    for name, feature in BY_NAME.items():
        if feature.warm_up:
            assert np.isnan(found[name][age < feature.warm_up]).all(), name
            assert not whole or not np.isnan(found[name][age >= feature.warm_up]).any(), name


RIGOR_BOOK = ([(100, 2), (99, 3), (98, 5)], [(101, 1), (102, 4), (103, 5)])
GOLDEN = {
    "mid_price": 100.5,
    "spread": 1,
    "spread_percent": 0.99502488,
    "buy_pressure": 5.0928690,
    "sell_pressure": 4.5903814,
    "net_pressure": 0.5024876,
    "pressure_ratio": 1.1094653,
    "total_pressure": 9.6832504,
    "total_bid_volume": 10,
    "total_ask_volume": 10,
    "volume_imbalance": 0,
    "bid_price_mean": 99,
    "bid_price_std": (2 / 3) ** 0.5,
    "bid_volume_mean": 10 / 3,
    "bid_volume_std": (14 / 9) ** 0.5,
    "ask_price_mean": 102,
    "ask_price_std": (2 / 3) ** 0.5,
    "ask_volume_mean": 10 / 3,
    "ask_volume_std": (26 / 9) ** 0.5,
    "bid_volume_concentration": 1,
    "ask_volume_concentration": 1,
    "bid_depth_25bps": 0,
    "bid_depth_50bps": 2,
    "ask_depth_50bps": 1,
    "bid_price_norm_1": -0.5 / 100.5,
    "bid_price_norm_3": -2.5 / 100.5,
    "bid_price_norm_100": -2.5 / 100.5,
    "ask_price_norm_2": 1.5 / 100.5,
    "ask_price_norm_4": 2.5 / 100.5,
    "bid_volume_2": 3,
    "bid_volume_4": 0,
    "ask_volume_3": 5,
    "ask_volume_100": 0,
}


@pytest.mark.parametrize("name", GOLDEN)
def test_the_book_worked_by_hand(name: str) -> None:
    exactness = 1e-7 if BY_NAME[name].dtype == "single" else 1e-8
    assert computed(books([RIGOR_BOOK]), "1", "1")[name] == [
        pytest.approx(GOLDEN[name], rel=exactness, abs=6e-8)
    ]


def test_cost_worked_by_hand() -> None:
    """At a mid of 100, 10,000 quote are 100 base: 60 at a distance of 1 and 40 at 2 cost 1.4 = 140 bps."""
    found = computed(books([([(99, 60), (98, 5000)], [(101, 60), (102, 1000), (104, 50_000)])]), "1", "1")
    assert found["buy_cost_10k"] == [pytest.approx(140)]
    assert found["sell_cost_10k"] == [pytest.approx(140)]
    assert found["buy_cost_100k"] == [pytest.approx((60 + 940 * 2) / 1000 * 100)]
    assert found["buy_cost_1m"] == [pytest.approx((60 + 2 * 1000 + 4 * 8940) / 10_000 * 100)]
    assert np.isnan(found["sell_cost_1m"]).all()


WIDE = ([(10_000 - 2 * i, 5) for i in range(1, 101)], [(10_000 + 2 * i, 5) for i in range(1, 101)])
"""100 levels a side, 2 to 200 bps from a mid of 10,000."""


def test_depth_is_null_beyond_the_trusted_price() -> None:
    found = computed(books([WIDE], trusted_bid_ticks=[9990], trusted_ask_ticks=[0]), "1", "1")
    known = {bps: not np.isnan(found[f"bid_depth_{bps}bps"][0]) for bps in (1, 2, 5, 10, 25, 50)}
    assert known == {1: True, 2: True, 5: True, 10: True, 25: False, 50: False}
    assert [found[f"bid_depth_{bps}bps"][0] for bps in (1, 2, 5, 10)] == [0, 5, 10, 25]
    assert np.isnan([found[f"ask_depth_{bps}bps"][0] for bps in (1, 50)]).all()
    assert np.isnan(found["buy_cost_10k"]).all()


def test_depth_is_null_beyond_the_last_level_kept() -> None:
    ten = books([(WIDE[0][:10], WIDE[1][:10])])
    cut, whole = columns(engine("1", "1", 10).push(ten)), columns(engine("1", "1").push(ten))
    assert np.isnan(cut["bid_depth_25bps"]).all()
    assert cut["bid_depth_10bps"] == [25]
    assert whole["bid_depth_25bps"] == [50]


def moving(count: int, **more: Any) -> BookColumns:
    """Books whose prices rise by a tick a second and whose bids grow."""
    return books([([(1000 + i, 10 + i)], [(1002 + i, 10)]) for i in range(count)], **more)


def test_changes_worked_by_hand() -> None:
    found = computed(moving(40), "1", "1")
    assert found["price_change_1sec"][1] == pytest.approx(100 / 1001)
    assert found["price_change_5sec"][5] == pytest.approx(500 / 1001)
    assert found["price_change_30sec"][30] == pytest.approx(3000 / 1001)
    assert found["spread_change_1sec"][1] == 0
    assert found["spread_volatility_30sec"][29] == 0
    assert found["volume_imbalance_change_5sec"][5] == pytest.approx(5 / 25)
    shares = [i / (20 + i) for i in range(30)]
    assert found["volume_imbalance_volatility_30sec"][29] == pytest.approx(np.std(shares))
    pressures = found["buy_pressure"]
    assert found["buy_pressure_change_1sec"][1] == pytest.approx(pressures[1] - pressures[0])
    assert found["buy_pressure_volatility_30sec"][39] == pytest.approx(np.std(pressures[10:40]))


@pytest.mark.parametrize(
    "broken",
    [
        {"grid_ns": START + (np.arange(70) + (np.arange(70) >= 35)) * SECOND},
        {"spread_time_us": np.where(np.arange(70) == 35, 999_000, 1_000_000)},
    ],
    ids=["a second is missing", "the book was joined anew within a second"],
)
def test_nothing_reaches_across_a_break(broken: dict[str, Any]) -> None:
    found, anew = computed(moving(70, **broken)), computed(moving(70).take(slice(35, 70)))
    for name in VALUE_NAMES:
        assert found[name][35:].tobytes() == anew[name].tobytes(), name
    assert np.isnan(found["price_change_1sec"][35])
    assert not np.isnan(found["price_change_30sec"][34])


def test_rounding_of_times_below_a_microsecond_is_no_break() -> None:
    whole = moving(3)
    rounded = with_columns(
        whole, {"spread_time_us": np.array([999_990] * 3), "update_count": np.array([10] * 3)}
    )
    assert different(computed(whole), computed(rounded)) == []


def test_equal_values_have_no_deviation() -> None:
    """Of sizes and shares that are no sums of powers of two."""
    same = computed(books([([(1000, 7), (997, 7), (996, 7)], [(1001, 9), (1003, 9)])] * 35), "0.1", "0.3")
    assert (same["bid_volume_std"] == 0).all()
    assert (same["volume_imbalance_volatility_30sec"][29:] == 0).all()
    assert (same["buy_pressure_volatility_30sec"][29:] == 0).all()


def test_numbers_too_large_for_whole_squares_are_still_right() -> None:
    """Levels 10¹⁰ ticks apart that hold up to 10¹² lots."""
    far = [(10**12 - i * 10**10, 10**12 // (i + 1)) for i in range(90)]
    samples = books(
        [(far, [(10**12 + 1 + i * 10**10, 3 + i) for i in range(90)])], trusted_ask_ticks=[10**15]
    )
    found, row = computed(samples, "0.01", "1"), Reference(instrument("0.01", "1")).row(samples, 0)
    for name in VALUE_NAMES:
        expected = np.nan if row[name] is None else float(row[name])
        np.testing.assert_allclose(found[name], expected, rtol=1e-10, err_msg=name)
    assert found["bid_price_std"][0] > 1e9


def test_a_book_without_a_side_has_its_other_side() -> None:
    found = computed(books([([(100, 2)], [])]), "1", "1")
    known = {name for name in VALUE_NAMES if not np.isnan(found[name][0])}
    moments = {"bid_price_mean", "bid_price_std", "bid_volume_mean", "bid_volume_std"}
    totals = {"total_bid_volume", "total_ask_volume", "volume_imbalance", "bid_volume_concentration"}
    assert known == moments | totals
    assert np.isnan(found["bid_price_norm_1"]).all()
    assert found["bid_volume_1"] == [2]


@pytest.mark.parametrize("grid", [[0, 0], [SECOND, 0], [SECOND // 2, SECOND]], ids=str)
def test_samples_out_of_order_or_off_the_second_are_refused(grid: list[int]) -> None:
    with pytest.raises(ValueError, match="L2"):
        engine().push(moving(2, grid_ns=START + np.array(grid)))


def test_a_sample_is_not_taken_twice() -> None:
    twice = engine()
    twice.push(moving(2))
    with pytest.raises(ValueError, match="order"):
        twice.push(moving(2))


def test_rows_say_when_they_were_known() -> None:
    block = engine().push(moving(2))
    assert (block.known_ns - block.grid_ns).tolist() == [LATENESS_NS] * 2
    assert block.row(1)["mid_price"] == 501.0
    assert len(block) == 2


def test_strided_levels_are_the_same_levels() -> None:
    """As the sampler hands them over: one array of four sides."""
    samples = moving(5)
    names = ("bid_ticks", "bid_lots", "ask_ticks", "ask_lots")
    stacked = np.stack([getattr(samples, name) for name in names], axis=1)
    views = {name: stacked[:, at] for at, name in enumerate(names)}
    assert different(computed(samples), computed(with_columns(samples, views))) == []


def test_the_catalogue_has_the_columns_of_the_specification() -> None:
    assert len(set(VALUE_NAMES)) == 37 + 12 + 6
    assert len(set(SEQUENCE_NAMES)) == 400
    assert [feature.name for feature in L2_FEATURES] == [
        *VALUE_NAMES[:37],
        *SEQUENCE_NAMES,
        *VALUE_NAMES[37:],
    ]
    assert len(lineage()) == 64
    assert l2_markdown().count("\n") == 2 + 55 + 4


def test_the_page_has_the_catalogue_as_it_is() -> None:
    page = Path(__file__).parents[2] / "docs" / "l2.md"
    assert page.read_text(encoding="utf-8").endswith(f"do not edit below.\n\n{l2_markdown()}")
