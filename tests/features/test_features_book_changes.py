"""What changes in the book, worked by hand."""

from typing import Any

import numpy as np
import pytest

from tests.features.frames_factory import SECOND, blank
from undertow.features.catalogue import feature_set
from undertow.features.engine import FeatureEngine
from undertow.frames.frames import Frames

LINES = feature_set("book_changes")


def computed(frames: Frames) -> dict[str, Any]:
    block = FeatureEngine(LINES, frames.length_ns).push(frames)
    return dict(zip(block.names, block.values, strict=True))


def one_bar(**columns: Any) -> Frames:
    """Two seconds; three levels of 40 lots bid, one of 80 asked."""
    bids, asks = np.zeros((1, 20), np.int64), np.zeros((1, 20), np.int64)
    bids[0, :3], asks[0, 0] = 40, 80
    values: dict[str, Any] = {
        "sample_count": [4],
        "detailed_count": [4],
        "buy_lots": [10],
        "sell_lots": [6],
        "bid_added": [20],
        "bid_removed": [16],
        "ask_added": [60],
        "ask_removed": [40],
        "bid_lots": bids,
        "ask_lots": asks,
        "ofi_levels": [[100, 2, -3, 4, 5, 6, 7, -8, 9, -10]],
    }
    return blank(1, length_ns=2 * SECOND, quantity="0.5", **values | columns)


EXPECTED = {
    "bid_add_rate": 5.0,
    "ask_add_rate": 15.0,
    "bid_cancel_rate": 2.5,
    "ask_cancel_rate": 7.5,
    "bid_cancel_to_add": 0.5,
    "ask_cancel_to_add": 0.5,
    "bid_depth_change": 2.0,
    "ask_depth_change": 10.0,
    "book_add_imbalance": -0.5,
    "book_cancel_imbalance": -0.5,
    **dict(
        zip(
            (f"ofi_level_{level}" for level in range(2, 11)),
            (1, -1.5, 2, 2.5, 3, 3.5, -4, 4.5, -5),
            strict=True,
        )
    ),
    "ofi_integrated": 11.2 / 50,
}


def test_every_feature_is_worked_by_hand() -> None:
    assert {feature.name for feature in LINES} == EXPECTED.keys()


@pytest.mark.parametrize("name", EXPECTED)
def test_worked_by_hand(name: str) -> None:
    assert computed(one_bar())[name].tolist() == [pytest.approx(EXPECTED[name], rel=1e-12)]


def test_more_traded_than_was_taken_away_is_no_cancelling() -> None:
    found = computed(one_bar(sell_lots=[17], bid_added=[0]))
    assert found["bid_cancel_rate"].tolist() == [0.0]
    assert np.isnan(found["bid_cancel_to_add"]).all()


def test_a_bar_with_samples_of_an_older_version_tells_nothing() -> None:
    for name, values in computed(one_bar(detailed_count=[3])).items():
        assert np.isnan(values).all(), name
