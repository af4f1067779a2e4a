from dataclasses import replace

import numpy as np
import pytest
from tests.evaluation.conftest import Market

from undertow.datasets.build import DatasetSettings, build_dataset
from undertow.datasets.dataset import Dataset
from undertow.evaluation.economics import fee_frontier_bps, outcomes

S = 1_000_000_000


@pytest.fixture
def dataset(market: Market) -> Dataset:
    made = build_dataset(market(40, 0), ["flow"], DatasetSettings(5 * S)).select(slice(0, 4))
    return replace(
        made,
        entry_bid=np.array([99.0, 99.0, 99.0, np.nan]),
        entry_ask=np.array([101.0, 101.0, 101.0, 101.0]),
        exit_bid=np.array([103.0, 103.0, 103.0, 103.0]),
        exit_ask=np.array([105.0, 105.0, 105.0, 105.0]),
    )


def test_by_hand(dataset: Dataset) -> None:
    made = outcomes(dataset, np.array([2, 0, 1, 2]), taker_fee_bps=5.0)
    # long: bought at 101, sold at 103; short: sold at 99, bought back at 105; flat; quote unknown
    assert made.after_spread_bps.tolist() == pytest.approx([1e4 * 2 / 101, -1e4 * 6 / 99, 0, 0])
    assert made.gross_bps.tolist() == pytest.approx([400.0, -400.0, 0, 0])
    assert made.fee_turnover.tolist() == pytest.approx([1 + 103 / 101, 1 + 105 / 99, 0, 0])
    assert made.net_bps[0] == pytest.approx(1e4 * 2 / 101 - 5 * (1 + 103 / 101))
    assert made.net_bps[1] == pytest.approx(-1e4 * 6 / 99 - 5 * (1 + 105 / 99))
    assert made.tradable.tolist() == [True, True, True, False]


def test_profit_is_zero_at_the_fee_frontier(dataset: Dataset) -> None:
    said = np.array([2, 2, 0, 1])
    frontier = fee_frontier_bps(outcomes(dataset, said, 0.0))
    assert frontier is not None
    at_frontier = outcomes(dataset, said, frontier)
    assert at_frontier.net_bps.sum() == pytest.approx(0.0, abs=1e-9)


def test_no_trade_no_frontier(dataset: Dataset) -> None:
    assert fee_frontier_bps(outcomes(dataset, np.ones(4, dtype=np.int64), 5.0)) is None


def test_random_decisions_lose_the_cost_times_the_turnover(market: Market) -> None:
    made = build_dataset(market(4000, 3), ["flow"], DatasetSettings(5 * S))
    said = np.random.default_rng(0).integers(0, 3, len(made))
    result = outcomes(made, said, 5.0)
    spread_cost = float(np.mean(result.after_spread_bps - result.gross_bps))
    expected = spread_cost - 5.0 * float(result.fee_turnover.mean())
    assert float(result.net_bps.mean()) == pytest.approx(expected, abs=0.15)
    assert expected == pytest.approx(-7.3, abs=0.2)
