"""What every line of the catalogue has to obey."""

import inspect
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.features.conftest import market_frames
from tests.features.frames_factory import array_columns, with_columns
from tests.features.walks import trading_walk
from undertow.errors import InputError
from undertow.features import book_kernel
from undertow.features.catalogue import (
    FEATURES,
    catalogue_markdown,
    described,
    feature_schema,
    feature_set,
    registered,
)
from undertow.features.engine import FeatureEngine, lineage
from undertow.features.feature import Feature
from undertow.frames.frames import Frames

every_feature = pytest.mark.parametrize("feature", FEATURES, ids=lambda f: f.name)


OF_EVENTS = ("vpin", "book_cancel_imbalance")
"""What is known only once something has happened that need not happen: a day's volume, a cancelled order."""


def compute(feature: Feature, frames: Frames) -> Any:
    return FeatureEngine([feature], frames.length_ns).push(frames).values[0]


@every_feature
@pytest.mark.parametrize("seed", range(3))
def test_block_law(feature: Feature, frames: Frames, frames_with_gap: Frames, seed: int) -> None:
    """Any cut, with the state carried through arrays in between, gives the same bits."""
    rng = random.Random(seed)
    for whole in (frames, frames_with_gap):
        expected = compute(feature, whole)
        at, parts = 0, []
        engine = FeatureEngine([feature], whole.length_ns)
        while at < len(whole):
            size = rng.choice((1, 1, 2, 13, 60))
            parts.append(engine.push(whole[at : at + size]).values[0])
            state = engine.state()
            engine = FeatureEngine([feature], whole.length_ns)
            engine.restore(state)
            at += size
        assert np.concatenate(parts).tobytes() == expected.tobytes()


@every_feature
def test_the_future_changes_nothing_before_it(feature: Feature, frames: Frames) -> None:
    cut = 120
    changed: dict[str, Any] = {}
    for name, value in array_columns(frames).items():
        if name != "open_ns":
            later = value.copy()
            later[cut:] = later[cut:] * 1000
            changed[name] = later
    before, after = compute(feature, frames), compute(feature, with_columns(frames, changed))
    assert before[:cut].tobytes() == after[:cut].tobytes()


@every_feature
def test_values_are_finite_or_null_and_in_range(
    feature: Feature, frames: Frames, frames_with_gap: Frames
) -> None:
    for some in (frames, frames_with_gap):
        values = compute(feature, some)
        known = values[~np.isnan(values)]
        assert np.isfinite(known).all()
        assert (known >= feature.range[0]).all()
        assert (known <= feature.range[1]).all()
        if feature.dtype == "int":
            assert (known == np.rint(known)).all()


@pytest.mark.parametrize(
    "feature", [f for f in FEATURES if f.name not in OF_EVENTS], ids=lambda feature: feature.name
)
def test_it_is_known_from_the_end_of_its_warm_up_on(feature: Feature, frames: Frames) -> None:
    first = int(np.argmax((frames.trade_count > 0) & (frames.sample_count > 0)))
    enough = frames[first:] if feature.warm_up < 150 else trading_walk(feature.warm_up + 1, gaps=False)
    values = compute(feature, enough)
    assert np.isnan(values[: feature.warm_up]).all()
    assert not np.isnan(values[feature.warm_up])


@every_feature
def test_it_is_described(feature: Feature) -> None:
    assert len(feature.formula) > 10
    assert feature.unit
    assert feature.null
    assert feature.source
    assert feature.dtype in ("float", "int")
    assert feature.function.__name__ == feature.name


def test_a_name_is_registered_once() -> None:
    with pytest.raises(ValueError, match="more than once: close"):
        registered(*FEATURES, next(f for f in FEATURES if f.name == "close"))


def test_feature_sets() -> None:
    assert feature_set("all") == FEATURES
    assert {f.family for f in feature_set("book")} == {"book"}
    with pytest.raises(InputError, match="choose all, ohlcv"):
        feature_set("everything")


def test_the_schema_tells_every_column_its_type_unit_and_nulls() -> None:
    rows = feature_schema()
    assert [row["name"] for row in rows] == [feature.name for feature in FEATURES]
    assert {row["type"] for row in rows} == {"float64", "int64"}
    by_name = {row["name"]: row for row in rows}
    assert by_name["trade_count"]["type"] == "int64"
    assert by_name["spread_avg"]["unit"] == "quote"
    assert "no trade in the bar" in by_name["buy_pressure"]["null"]
    whole = feature_schema(described())
    assert {row["type"] for row in whole} == {"float64", "float32", "int64"}
    keys = [(row["family"], row["name"]) for row in whole]
    assert len(set(keys)) == len(keys)


def test_an_engine_refuses_bars_of_another_length(frames: Frames) -> None:
    with pytest.raises(ValueError, match="for an engine of 60000000000 ns"):
        FeatureEngine(FEATURES, 60 * 10**9).push(frames)


def test_a_bar_wholly_in_a_trade_gap_keeps_prices_and_knows_no_flow(frames: Frames) -> None:
    gap = frames.trade_gap_ns.copy()
    gap[50] = frames.length_ns
    frames = replace(frames, trade_gap_ns=gap)
    by_name = {f.name: compute(f, frames) for f in FEATURES}
    for name in ("volume", "vwap", "cvd", "trade_count", "buy_pressure", "returns", "signed_flow_ewma_5s"):
        assert np.isnan(by_name[name][50]), name
    for name in ("open", "close", "mid_price"):
        assert not np.isnan(by_name[name][50]), name
    undisturbed = compute(next(f for f in FEATURES if f.name == "cvd"), replace(frames, trade_gap_ns=gap * 0))
    assert by_name["cvd"][51] == undisturbed[51]


def test_a_book_that_is_not_known_is_null(frames_with_gap: Frames) -> None:
    unknown = frames_with_gap.sample_count == 0
    assert unknown.any()
    for feature in FEATURES:
        if feature.family == "book":
            assert np.isnan(compute(feature, frames_with_gap)[unknown]).all(), feature.name


def test_known_time_is_close_plus_lateness(frames: Frames) -> None:
    block = FeatureEngine(FEATURES, frames.length_ns).push(frames)
    assert (block.known_ns == frames.open_ns + frames.length_ns + 250_000_000).all()
    assert block.row(3)["close"] == block.values[block.names.index("close"), 3]


def test_lineage_follows_the_features() -> None:
    assert lineage(FEATURES) == lineage(FEATURES)
    assert lineage(FEATURES) != lineage(FEATURES[1:])


@pytest.mark.parametrize(
    ("module", "counts"),
    [("memory", True), ("nulls", True), ("ohlcv", True), ("trades", False), ("book_kernel", False)],
)
def test_lineage_follows_the_sources_that_count(
    module: str, counts: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another operator, null rule or formula is another lineage; a family that is not used is none."""
    features, source = feature_set("ohlcv"), inspect.getsource
    before = lineage(features)

    def edited(of: Any) -> str:
        return source(of) + ("# edited" if of.__name__ == f"undertow.features.{module}" else "")

    monkeypatch.setattr(inspect, "getsource", edited)
    assert (lineage(features) != before) is counts


def test_lineage_follows_a_kernel_in_a_file_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    features, source = feature_set("book"), inspect.getsource
    before = lineage(features)
    monkeypatch.setattr(inspect, "getsource", lambda of: source(of) + "#" * (of is book_kernel))
    assert lineage(features) != before


def test_longer_bars_obey_as_well() -> None:
    frames = market_frames(3, 130, length_s=5)
    whole = FeatureEngine(FEATURES, frames.length_ns).push(frames).values
    engine = FeatureEngine(FEATURES, frames.length_ns)
    parts = [engine.push(frames[at : at + 1]).values for at in range(len(frames))]
    assert np.concatenate(parts, axis=1).tobytes() == whole.tobytes()


def test_the_documentation_is_the_catalogue() -> None:
    page = Path(__file__).resolve().parents[2] / "docs" / "features.md"
    assert page.read_text(encoding="utf-8") == catalogue_markdown()
