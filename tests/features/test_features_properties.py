"""Properties of every feature over random bars: the block law, no inf, no future, symmetry, units."""

from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.features.frames_factory import (
    FLOW,
    MARKET,
    NEVER,
    SECOND,
    array_columns,
    random_bars,
    random_frames,
    with_columns,
)
from undertow.features.catalogue import FEATURES, feature_set
from undertow.features.engine import FeatureEngine
from undertow.features.feature import Feature
from undertow.frames.frames import Frames
from undertow.market.instruments import Scale

few = settings(max_examples=60, deadline=None, derandomize=True)
BY_NAME = {feature.name: feature for feature in FEATURES}

# Which table of the lake each column of a frame comes from.
TABLES = {f.name: "trades" for f in fields(Frames)}
TABLES |= dict.fromkeys(("trade_gap_ns", "gap_ns"), "gaps")
BOOK_PREFIXES = (
    *("sample_", "detailed_", "bid_", "ask_", "imbalance_", "spread_", "ofi_", "update_", "last_update_"),
)
TABLES |= {name: "book_depth" for name in TABLES if name.startswith(BOOK_PREFIXES)}
TABLES |= {f"flow.{name}": "trades" for name in FLOW} | {"flow.since_gap_ns": "gaps"}
TABLES |= {f"flow.{name}": "trades, book_depth" for name in ("effective", "effective_value")}
TABLES |= {f"flow.{name}": "trades, book_depth" for name in ("realised", "impact", "realised_value")}
TABLES |= {f"market.{name}": "mark_price" for name in MARKET}
TABLES |= {f"market.{name}": "funding_rate" for name in ("settled_rate", "settled_ns")}
TABLES |= {f"market.{name}": "open_interest" for name in MARKET if "interest" in name}
TABLES |= {f"market.{name}": "liquidations" for name in MARKET if "liquidat" in name}


def computed(frames: Frames) -> dict[str, Any]:
    block = FeatureEngine(FEATURES, frames.length_ns).push(frames)
    return dict(zip(block.names, block.values, strict=True))


def in_blocks(frames: Frames, sizes: list[int]) -> dict[str, Any]:
    """The features with a fresh engine for each block, restored from the state of the one before."""
    engine, at, parts = FeatureEngine(FEATURES, frames.length_ns), 0, []
    for size in [*sizes, len(frames)]:
        parts.append(engine.push(frames[at : at + size]).values)
        state, engine = engine.state(), FeatureEngine(FEATURES, frames.length_ns)
        engine.restore(state)
        at += size
    return dict(zip(BY_NAME, np.concatenate(parts, axis=1), strict=True))


@few
@given(random_frames(), st.lists(st.integers(0, 30), max_size=12))
def test_any_cut_gives_the_same_bits(frames: Frames, sizes: list[int]) -> None:
    whole, cut = computed(frames), in_blocks(frames, sizes)
    assert [name for name in BY_NAME if whole[name].tobytes() != cut[name].tobytes()] == []


@few
@given(random_frames())
def test_values_are_null_or_finite_and_in_range(frames: Frames) -> None:
    for name, values in computed(frames).items():
        low, high = BY_NAME[name].range
        known = values[~np.isnan(values)]
        assert np.isfinite(known).all(), name
        assert ((known >= low) & (known <= high)).all(), name
        assert BY_NAME[name].dtype == "float" or (known == np.rint(known)).all(), name


@few
@given(random_frames(), st.integers(1, 89))
def test_the_future_changes_nothing_before_it(frames: Frames, cut: int) -> None:
    changed = {}
    for name, values in array_columns(frames).items():
        changed[name] = values.copy()
        if name != "open_ns":
            changed[name][cut:] *= 1_000_000
    before, after = computed(frames), computed(with_columns(frames, changed))
    assert [n for n in BY_NAME if before[n][:cut].tobytes() != after[n][:cut].tobytes()] == []


MIRROR_TOP = 200_000


def mirrored(frames: Frames) -> Frames:
    """Both sides exchanged, prices mirrored."""

    def flip(ticks: Any, exists: Any) -> Any:
        return np.where(exists > 0, MIRROR_TOP - ticks, 0)

    columns = {"buy_lots": frames.sell_lots, "sell_lots": frames.buy_lots}
    columns |= {"bid_lots": frames.ask_lots, "ask_lots": frames.bid_lots}
    columns |= {"bid_ticks": flip(frames.ask_ticks, frames.ask_lots)}
    columns |= {"ask_ticks": flip(frames.bid_ticks, frames.bid_lots)}
    columns |= {"notional": MIRROR_TOP * (frames.buy_lots + frames.sell_lots) - frames.notional}
    columns |= {name: -getattr(frames, name) for name in ("imbalance_sums", "ofi_1", "ofi_10", "ofi_levels")}
    columns |= {"bid_added": frames.ask_added, "ask_added": frames.bid_added}
    columns |= {"bid_removed": frames.ask_removed, "ask_removed": frames.bid_removed}
    columns |= mirrored_flow(frames) | mirrored_market(frames)
    columns |= {"open": flip(frames.open, frames.open), "close": flip(frames.close, frames.close)}
    columns |= {"high": flip(frames.low, frames.low), "low": flip(frames.high, frames.high)}
    return with_columns(frames, columns)


def mirrored_flow(frames: Frames) -> dict[str, Any]:
    """What single trades say of it, but for values at the middle, which need each trade's quantity."""
    flow = frames.flow
    columns: dict[str, Any] = {"buy_count": frames.trade_count - flow.buy_count}
    columns |= {"up_moves": flow.down_moves, "down_moves": flow.up_moves}
    columns |= {"buy_levels": flow.sell_levels, "sell_levels": flow.buy_levels}
    turned = MIRROR_TOP * (frames.buy_lots - frames.sell_lots)
    return columns | {"signed_notional": flow.signed_notional - turned}


def mirrored_market(frames: Frames) -> dict[str, Any]:
    """Who pays funding changes, and who is liquidated."""
    market = frames.market
    columns: dict[str, Any] = {"mark_price": MIRROR_TOP - market.mark_price}
    columns |= {"index_price": MIRROR_TOP - market.index_price}
    columns |= {"funding_rate": -market.funding_rate, "settled_rate": -market.settled_rate}
    columns |= {"liquidated_sell_lots": market.liquidated_buy_lots}
    return columns | {"liquidated_buy_lots": market.liquidated_sell_lots}


def mirror_expectation(feature: Feature, there: dict[str, Any]) -> Any:
    """What a feature's line says that a mirrored market (tick 1) shows."""
    law, _, other = feature.mirror.partition(":")
    values = there[other or feature.name]
    low, high = feature.range
    total = low + high if np.isfinite(low + high) else 1.0
    laws = {"odd": -values, "even": values, "swap": values, "complement": total - values}
    return laws[law] if law in laws else MIRROR_TOP - values


@few
@given(random_frames())
def test_a_mirrored_market_mirrors_the_features(frames: Frames) -> None:
    frames = replace(frames, price=Scale.of("1"))
    there, back = computed(frames), computed(mirrored(frames))
    for name, feature in BY_NAME.items():
        if feature.mirror != "none":
            expected = mirror_expectation(feature, there)
            np.testing.assert_allclose(back[name], expected, rtol=1e-6, atol=1e-6, err_msg=name)


def test_few_features_have_no_mirror_law() -> None:
    assert sum(feature.mirror == "none" for feature in FEATURES) <= len(FEATURES) // 4


DIMENSIONLESS = [
    f.name
    for f in FEATURES
    if f.unit in ("share", "log share", "bps", "points", "flag", "std", "ATR", "ratio")
]
PER_PRICE = {"quote": 1, "base/quote": -1, "quote/base": 1, "bps/Mquote": -1}
PER_QUANTITY = {"base": 1, "base/quote": 1, "quote/base": -1, "bps/Mquote": -1, "base/s": 1}


@few
@given(random_frames())
def test_values_follow_the_scales_and_ratios_do_not(frames: Frames) -> None:
    """Ten times the tick and a hundred times the lot."""
    small = replace(frames, price=Scale.of("0.5"), quantity=Scale.of("0.001"))
    market = frames.market
    readings: dict[str, Any] = {name: getattr(market, name) * 10 for name in ("mark_price", "index_price")}
    readings |= {name: getattr(market, name) * 100 for name in ("open_interest", "interest_before")}
    settings = {"price": Scale.of("5"), "quantity": Scale.of("0.1")}
    large = with_columns(frames, settings | readings)
    one, other = computed(small), computed(large)
    for name, feature in BY_NAME.items():
        factor = 10.0 ** PER_PRICE.get(feature.unit, 0) * 100.0 ** PER_QUANTITY.get(feature.unit, 0)
        np.testing.assert_allclose(other[name], one[name] * factor, rtol=1e-12, err_msg=name)
    assert [n for n in DIMENSIONLESS if one[n].tobytes() != other[n].tobytes()] == []


CARRIED = {"open", "high", "low", "close"}
STILL_KNOWN = {"gap_fraction", "late_count", "age_ms_book", "age_ms_trade"}


@few
@given(random_frames())
def test_a_bar_in_a_trade_gap_knows_carried_prices_only(frames: Frames) -> None:
    inside = frames.trade_gap_ns == frames.length_ns
    for name, values in computed(frames).items():
        if "trades" in BY_NAME[name].inputs and name not in CARRIED | STILL_KNOWN:
            assert np.isnan(values[inside]).all(), name


@few
@given(random_frames())
def test_a_bar_without_a_book_sample_has_no_book_feature(frames: Frames) -> None:
    unknown = frames.sample_count == 0
    for name, values in computed(frames).items():
        if "book_depth" in BY_NAME[name].inputs and BY_NAME[name].family != "quality":
            assert np.isnan(values[unknown]).all(), name


def with_table(frames: Frames, other: Frames, table: str) -> Frames:
    """The frames with everything that one table of the lake says taken from others."""
    columns = array_columns(other)
    names = [name for name in columns if name != "open_ns"]
    return with_columns(frames, {name: columns[name] for name in names if table in tables_of(name)})


def tables_of(column: str) -> list[str]:
    part = "flow." if column in FLOW else "market." if column in MARKET else ""
    return TABLES[part + column].split(", ")


def with_one_gap(frames: Frames, place: int) -> Frames:
    """The frames with one bar in a gap of the trade stream, so that long windows fill."""
    bars = np.arange(len(frames))
    gap_ns = np.where(bars == place, frames.length_ns, 0)
    since_ns = np.where(bars >= place, (bars - place) * frames.length_ns, NEVER)
    return with_columns(frames, {"trade_gap_ns": gap_ns, "gap_ns": gap_ns, "since_gap_ns": since_ns})


SOURCES = sorted({table for feature in FEATURES for table in feature.inputs.split(", ")} - {"clock"})


@pytest.mark.parametrize("table", SOURCES)
def test_inputs_are_the_tables_that_a_feature_follows(table: str) -> None:
    """Another history of a table changes every feature that names it, and no other."""
    followed: set[str] = set()
    for seed in range(6):
        length_ns = (1, 60, 900)[seed % 3] * SECOND
        histories = (random_bars(2 * seed + second, 400, length_ns) for second in (0, 1))
        frames, other = (with_one_gap(bars, 350 + 10 * at) for at, bars in enumerate(histories))
        before, after = computed(frames), computed(with_table(frames, other, table))
        followed |= {name for name in BY_NAME if before[name].tobytes() != after[name].tobytes()}
    assert followed == {name for name, feature in BY_NAME.items() if table in feature.inputs.split(", ")}


def test_families_are_whole_and_in_the_order_of_the_columns() -> None:
    families = ["ohlcv", "trades", "book", "microstructure", "impact", "arrival", "book_changes"]
    families += ["technical", "volatility", "profile", "rolling", "market", "calendar", "quality"]
    assert feature_set("all") == tuple(f for family in families for f in feature_set(family))
