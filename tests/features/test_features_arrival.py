"""How trades arrive, worked by hand."""

from math import log, sqrt
from typing import Any

import numpy as np
import pytest

from tests.features.frames_factory import SECOND, blank
from undertow.features.catalogue import feature_set
from undertow.features.engine import FeatureEngine
from undertow.frames.frames import Frames

LINES = feature_set("arrival")


def computed(frames: Frames) -> dict[str, Any]:
    block = FeatureEngine(LINES, frames.length_ns).push(frames)
    return dict(zip(block.names, block.values, strict=True))


def one_bar() -> Frames:
    """Buys at 100, 102, 101, sells at 101, 101; in a chain with a trade at 100 before; in three ms."""
    return blank(
        1,
        price="0.5",
        open=[100],
        close=[101],
        trade_count=[5],
        buy_count=[3],
        active_ms=[3],
        sign_pairs=[5],
        sign_continuations=[4],
        up_moves=[1],
        down_moves=[1],
        absolute_change=[3],
        square_change=[5],
        buy_levels=[[1.5, 2.5, 3.0]],
        sell_levels=[[0.5, 1.5, 2.0]],
    )


EXPECTED = {
    "buy_trade_share": 0.6,
    "trade_sign_autocorrelation": 0.6,
    "trade_run_length": 3.0,
    "price_move_balance": 0.0,
    "price_move_share": 0.4,
    "tick_volatility": sqrt(5) / 2,
    "price_efficiency": 1 / 3,
    "trades_per_active_ms": 5 / 3,
    "hawkes_buy_1s": 1.5 * log(2),
    "hawkes_sell_1s": 0.5 * log(2),
    "hawkes_imbalance_1s": 0.5,
    "hawkes_buy_10s": 0.25 * log(2),
    "hawkes_sell_10s": 0.15 * log(2),
    "hawkes_imbalance_10s": 0.25,
    "hawkes_buy_60s": 0.05 * log(2),
    "hawkes_sell_60s": log(2) / 30,
    "hawkes_imbalance_60s": 0.2,
}


def test_every_feature_is_worked_by_hand() -> None:
    assert {feature.name for feature in LINES} == EXPECTED.keys()


@pytest.mark.parametrize("name", EXPECTED)
def test_worked_by_hand(name: str) -> None:
    assert computed(one_bar())[name].tolist() == [pytest.approx(EXPECTED[name], rel=1e-12)]


def test_nothing_is_said_of_a_bar_without_trades_but_fading_intensities() -> None:
    found = computed(blank(1, close=[7], open=[7]))
    intensities = {name for name in found if name.startswith(("hawkes_buy", "hawkes_sell"))}
    assert {name for name, values in found.items() if not np.isnan(values).any()} == intensities


def test_an_intensity_is_unknown_for_five_half_lives_after_a_gap() -> None:
    since = np.arange(61) * SECOND
    levels = np.full((61, 3), 2.0)
    found = computed(blank(61, since_gap_ns=since, buy_levels=levels, sell_levels=levels))
    for name in ("hawkes_buy", "hawkes_sell", "hawkes_imbalance"):
        assert np.flatnonzero(~np.isnan(found[f"{name}_1s"]))[0] == 5
        assert np.flatnonzero(~np.isnan(found[f"{name}_10s"]))[0] == 50
        assert np.isnan(found[f"{name}_60s"]).all()
