"""Mark price, funding, open interest and liquidations worked by hand."""

from typing import Any

import numpy as np
import pytest

from tests.features.frames_factory import MIDNIGHT, SECOND
from tests.features.frames_factory import blank as bars
from undertow.features.catalogue import feature_set
from undertow.features.engine import FeatureEngine
from undertow.frames.frames import Frames

MINUTE = 60 * SECOND
BY_NAME = {feature.name: feature for feature in feature_set("market")}
MIDNIGHT_MS = MIDNIGHT // 10**6


def values(name: str, frames: Frames) -> Any:
    return FeatureEngine([BY_NAME[name]], frames.length_ns).push(frames).values[0]


MARKET_BAR: dict[str, Any] = {
    "price": "0.5",
    "quantity": "0.25",
    "close": [401],
    "mark_price": [201.0],
    "index_price": [200.0],
    "funding_rate": [0.0007],
    "next_funding_ms": [MIDNIGHT_MS + 90_000.0],
    "mark_ns": [MIDNIGHT - 10 * SECOND],
    "settled_rate": [0.0002],
    "settled_ns": [MIDNIGHT - 3600 * SECOND],
    "open_interest": [1030.0],
    "interest_before": [1000.0],
    "interest_ns": [MIDNIGHT - 10 * MINUTE],
    "liquidated_sell_lots": [12],
    "liquidated_buy_lots": [4],
    "last_liquidation_ns": [MIDNIGHT],
}
"""Closes at midnight with a last trade at 200.5; every reading is as old as it may be."""

BY_HAND = {
    "mark_price": 201.0,
    "index_price": 200.0,
    "spot_premium_pct": 0.5,
    "basis_bps": 25.0,
    "funding_rate": 0.0007,
    "settled_funding_rate": 0.0002,
    "funding_rate_delta": 0.0005,
    "high_funding_pressure": 1,
    "minutes_to_funding": 1.5,
    "open_interest": 1030.0,
    "oi_change_pct": 3.0,
    "liq_long_vol": 3.0,
    "liq_short_vol": 1.0,
    "liq_ratio": 3.0,
    "liq_imbalance": 0.5,
}


def changed(**columns: Any) -> Frames:
    return bars(1, **{**MARKET_BAR, **columns})


@pytest.mark.parametrize("name", BY_HAND)
def test_a_bar_worked_by_hand(name: str) -> None:
    assert values(name, changed())[0] == pytest.approx(BY_HAND[name], rel=1e-12)


def test_every_feature_has_an_example_worked_by_hand() -> None:
    assert BY_HAND.keys() == BY_NAME.keys()


OF_MARK = [feature.name for feature in BY_NAME.values() if "mark_price" in feature.inputs]
OF_INTEREST = ("open_interest", "oi_change_pct")
OF_LIQUIDATIONS = ("liq_long_vol", "liq_short_vol", "liq_ratio", "liq_imbalance")


@pytest.mark.parametrize("age_ns", [10 * SECOND + 1, MIDNIGHT], ids=["too old", "never told"])
@pytest.mark.parametrize("name", OF_MARK)
def test_a_mark_price_may_be_ten_seconds_old(name: str, age_ns: int) -> None:
    assert np.isnan(values(name, changed(mark_ns=[MIDNIGHT - age_ns])))


@pytest.mark.parametrize("age_ns", [10 * MINUTE + 1, MIDNIGHT], ids=["too old", "never told"])
@pytest.mark.parametrize("name", OF_INTEREST)
def test_an_open_interest_may_be_ten_minutes_old(name: str, age_ns: int) -> None:
    assert np.isnan(values(name, changed(interest_ns=[MIDNIGHT - age_ns])))


@pytest.mark.parametrize(("rate", "pressure"), [(0.0005, 0), (0.00051, 1), (-0.0005, 0), (-0.0006, 1)])
def test_pressure_is_high_above_five_hundredths_of_a_percent(rate: float, pressure: int) -> None:
    assert values("high_funding_pressure", changed(funding_rate=[rate])).tolist() == [pressure]


def test_a_contract_without_funding_has_neither_rate_nor_pressure_nor_time() -> None:
    frames = changed(funding_rate=[np.nan], next_funding_ms=[np.nan])
    for name in ("funding_rate", "funding_rate_delta", "high_funding_pressure", "minutes_to_funding"):
        assert np.isnan(values(name, frames)), name
    assert values("mark_price", frames) == [201.0]


def test_an_announced_settlement_that_is_over_is_no_longer_awaited() -> None:
    assert values("minutes_to_funding", changed(next_funding_ms=[MIDNIGHT_MS * 1.0])).tolist() == [0.0]
    assert np.isnan(values("minutes_to_funding", changed(next_funding_ms=[MIDNIGHT_MS - 1.0])))


def test_an_index_of_zero_is_no_price_to_compare_with() -> None:
    assert np.isnan(values("spot_premium_pct", changed(index_price=[0.0])))
    assert np.isnan(values("basis_bps", changed(index_price=[0.0])))


def test_without_a_settlement_or_a_reading_before_there_is_nothing_to_compare_with() -> None:
    unsettled = changed(settled_rate=[np.nan], settled_ns=[0])
    assert np.isnan(values("settled_funding_rate", unsettled))
    assert np.isnan(values("funding_rate_delta", unsettled))
    for before in (np.nan, 0.0):
        assert np.isnan(values("oi_change_pct", changed(interest_before=[before])))
        assert values("open_interest", changed(interest_before=[before])) == [1030.0]


def test_liquidations_are_zero_once_any_is_known_and_unknown_before() -> None:
    none = {"liquidated_sell_lots": [0], "liquidated_buy_lots": [0]}
    quiet, never = changed(**none), changed(**none, last_liquidation_ns=[0])
    assert [values(name, quiet)[0] for name in OF_LIQUIDATIONS[:2]] == [0.0, 0.0]
    assert np.isnan([values(name, quiet)[0] for name in OF_LIQUIDATIONS[2:]]).all()
    assert np.isnan([values(name, never)[0] for name in OF_LIQUIDATIONS]).all()


def test_without_a_short_there_is_no_ratio_and_the_balance_is_all_long() -> None:
    frames = changed(liquidated_buy_lots=[0])
    assert np.isnan(values("liq_ratio", frames))
    assert values("liq_imbalance", frames).tolist() == [1.0]


def test_in_a_gap_of_the_trade_stream_nobody_knows_who_was_liquidated() -> None:
    frames = changed(trade_gap_ns=[SECOND])
    assert np.isnan([values(name, frames)[0] for name in (*OF_LIQUIDATIONS, "basis_bps")]).all()
    assert values("mark_price", frames) == [201.0]
