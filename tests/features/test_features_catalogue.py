"""What every line of the catalogue has to obey."""

import random
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.features.conftest import market_frames
from undertow.features.catalogue import FEATURES, Feature, catalogue_markdown
from undertow.features.engine import FeatureEngine, lineage
from undertow.frames.frames import Frames
from undertow.market.instruments import Scale

every_feature = pytest.mark.parametrize("feature", FEATURES, ids=lambda f: f.name)


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
    for f in fields(Frames):
        value = getattr(frames, f.name)
        if isinstance(value, np.ndarray) and f.name != "open_ns":
            later = value.copy()
            later[cut:] = later[cut:] * 1000
            changed[f.name] = later
    before, after = compute(feature, frames), compute(feature, replace(frames, **changed))
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


@every_feature
def test_it_is_known_somewhere_and_after_its_warm_up(feature: Feature, frames: Frames) -> None:
    values = compute(feature, frames)
    assert (~np.isnan(values)).any()
    assert np.isnan(values[: max(0, feature.warm_up - 1)]).all()


@every_feature
def test_it_is_described(feature: Feature) -> None:
    assert len(feature.formula) > 10
    assert feature.unit
    assert feature.null
    assert feature.source
    assert feature.family == feature.function.__module__.rsplit(".", 1)[1]


def test_names_are_unique() -> None:
    names = [feature.name for feature in FEATURES]
    assert len(names) == len(set(names))


def mirrored(frames: Frames) -> Frames:
    """The same bars with both sides of book and flow exchanged, prices mirrored at 20,000 ticks."""
    top = 20_000

    def flip(ticks: Any, lots: Any) -> Any:
        return np.where(lots > 0, top - ticks, 0)

    return replace(
        frames,
        open=top - frames.open,
        close=top - frames.close,
        high=top - frames.low,
        low=top - frames.high,
        buy_lots=frames.sell_lots,
        sell_lots=frames.buy_lots,
        bid_ticks=flip(frames.ask_ticks, frames.ask_lots),
        bid_lots=frames.ask_lots,
        ask_ticks=flip(frames.bid_ticks, frames.bid_lots),
        ask_lots=frames.bid_lots,
        imbalance_sums=-frames.imbalance_sums,
        ofi_1=-frames.ofi_1,
        ofi_10=-frames.ofi_10,
    )


ANTISYMMETRIC = ["vol_delta", "cvd", "imbalance_5", "imbalance_20", "imbalance_10_avg", "ofi_1", "ofi_10"]
ANTISYMMETRIC += ["queue_imbalance", "signed_flow_ewma_5s", "macd"]


@pytest.mark.parametrize("name", ANTISYMMETRIC)
def test_a_mirrored_market_flips_the_sign(name: str, frames: Frames) -> None:
    feature = next(f for f in FEATURES if f.name == name)
    np.testing.assert_allclose(compute(feature, mirrored(frames)), -compute(feature, frames), atol=1e-9)


RATIOS = [f.name for f in FEATURES if f.unit == "share" and f.family != "technical" and f.name != "returns"]


@pytest.mark.parametrize("name", RATIOS)
def test_ratios_do_not_depend_on_the_scales(name: str, frames: Frames) -> None:
    feature = next(f for f in FEATURES if f.name == name)
    scaled = replace(frames, price=Scale.of("25"), quantity=Scale.of("0.00001"))
    np.testing.assert_allclose(compute(feature, scaled), compute(feature, frames), rtol=1e-12)


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


def test_longer_bars_obey_as_well() -> None:
    frames = market_frames(3, 130, length_s=5)
    whole = FeatureEngine(FEATURES, frames.length_ns).push(frames).values
    engine = FeatureEngine(FEATURES, frames.length_ns)
    parts = [engine.push(frames[at : at + 1]).values for at in range(len(frames))]
    assert np.concatenate(parts, axis=1).tobytes() == whole.tobytes()


def test_the_documentation_is_the_catalogue() -> None:
    page = Path(__file__).resolve().parents[2] / "docs" / "features.md"
    assert page.read_text(encoding="utf-8") == catalogue_markdown()
