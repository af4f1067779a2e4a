"""What the price may tell, and what it must not."""

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import matthews_corrcoef

from undertow.venues.simulated.listings import find_listing
from undertow.venues.simulated.market import Market, new_market
from undertow.venues.simulated.matching import (
    ASK,
    ASK_LEVELS,
    BID,
    BID_LEVELS,
    CHANGE_COUNT,
    OWNER,
    PUBLIC,
    RESTING,
    best,
    level_lots,
)

Reals = NDArray[np.float64]


def market_of(symbol: str = "BTCUSDT", *, seed: int = 3, signal: float = 0.0) -> Market:
    return new_market(find_listing(symbol), seed=seed, signal=signal, start_ms=1_000_000)


def live(market: Market, seconds: int) -> tuple[Reals, Reals]:
    """Mid [ticks] and signed taker volume [lots] of each second."""
    mids, volumes = np.empty(seconds), np.empty(seconds)
    for second in range(seconds):
        events = market.advance(market.now_ms + 1000)
        market.book.meta[CHANGE_COUNT] = 0
        mids[second] = (best(market.book, BID) + best(market.book, ASK)) / 2
        volumes[second] = sum(item.lots * (1 - 2 * item.buyer_is_maker) for item in events.aggregates)
    return mids, volumes


def faded(values: Reals, half_life: float) -> Reals:
    out, level = np.empty_like(values), 0.0
    for index, value in enumerate(values):
        level = level * 0.5 ** (1 / half_life) + value
        out[index] = level
    return out


def skill(mids: Reals, volumes: Reals, horizon: int = 10) -> float:
    """MCC of a logistic regression on faded flow, for the sign of the move, on the second half."""
    columns = [faded(volumes, half_life) for half_life in (1.0, 5.0, 20.0)]
    features = np.column_stack([np.tanh(column / column.std()) for column in columns])[:-horizon]
    moves = np.sign(mids[horizon:] - mids[:-horizon])
    features, moves = features[moves != 0], moves[moves != 0]
    half = len(moves) // 2
    model = LogisticRegression().fit(features[: half - horizon], moves[: half - horizon])
    return float(matthews_corrcoef(moves[half:], model.predict(features[half:])))


def test_with_signal_flow_foretells_the_price() -> None:
    scores = [skill(*live(market_of(seed=seed, signal=1.0), 4000)) for seed in (1, 2)]
    assert 0.25 < np.mean(scores) < 0.6, scores


def test_without_signal_it_does_not() -> None:
    scores = [skill(*live(market_of(seed=seed), 4000)) for seed in (1, 2, 3)]
    assert abs(np.mean(scores)) < 0.06, scores


def test_without_signal_moves_are_uncorrelated_with_all_that_is_seen() -> None:
    """t statistics of the next second's move against flow, the last move and the imbalance of the queues."""
    market = market_of(seed=7)
    seen, mids = [], []
    for _ in range(8000):
        events = market.advance(market.now_ms + 1000)
        market.book.meta[CHANGE_COUNT] = 0
        bid, ask = best(market.book, BID), best(market.book, ASK)
        sizes = level_lots(market.book, BID, bid), level_lots(market.book, ASK, ask)
        flow = sum(item.lots * (1 - 2 * item.buyer_is_maker) for item in events.aggregates)
        prints = events.trades[-1][2] - (bid + ask) / 2 if events.trades else 0.0
        depth = (market.levels(BID, 20)[:, 1].sum(), market.levels(ASK, 20)[:, 1].sum())
        mids.append((bid + ask) / 2)
        seen.append(
            (np.sign(flow), np.tanh(flow / 100), prints, sizes[0] / sum(sizes), depth[0] / sum(depth))
        )
    moves = np.diff(mids)
    columns = np.array(seen)[1:-1]
    columns = np.column_stack([columns, moves[:-1]])
    columns -= columns.mean(axis=0)
    products = columns * moves[1:, None]
    t_statistics = products.mean(axis=0) / (products.std(axis=0) / np.sqrt(len(products)))
    assert (abs(t_statistics) < 3.5).all(), t_statistics
    assert moves.std() > 5
    assert np.corrcoef(abs(moves[1:]), abs(moves[:-1]))[0, 1] > 0.05, "volatility clusters"


def test_the_sign_of_flow_persists() -> None:
    _, volumes = live(market_of(seed=4), 3000)
    signs = np.sign(volumes)
    assert np.corrcoef(signs[1:], signs[:-1])[0, 1] > 0.1


@pytest.mark.parametrize("symbol", ["BTCUSDT", "SOLUSDT"])
def test_at_every_millisecond_the_book_is_whole_and_its_mid_is_the_fair_value(symbol: str) -> None:
    market = market_of(symbol, seed=11, signal=0.5)
    for _ in range(20_000):
        market.advance(market.now_ms + 1)
        market.book.meta[CHANGE_COUNT] = 0
        bid, ask = best(market.book, BID), best(market.book, ASK)
        assert bid + ask == 2 * market.fair_ticks
        assert 2 <= ask - bid <= 6
        assert min(market.book.meta[BID_LEVELS], market.book.meta[ASK_LEVELS]) >= 150


def test_levels_are_the_sums_of_their_orders() -> None:
    market = market_of(seed=5)
    market.advance(market.now_ms + 60_000)
    slots = market.book.resting[: market.book.meta[RESTING]]
    orders = market.book.orders[slots]
    assert (orders[:, OWNER] == PUBLIC).sum() > 300
    for side in (BID, ASK):
        ours = orders[orders[:, 2] == side]
        for tick, lots in market.levels(side, 4000):
            assert ours[ours[:, 0] == tick, 1].sum() == lots
        assert market.levels(side, 4000)[:, 1].sum() == ours[:, 1].sum()


def test_the_outcome_does_not_depend_on_how_time_is_divided() -> None:
    whole, parts = market_of(seed=9), market_of(seed=9)
    expected = whole.advance(whole.now_ms + 20_000)
    steps = [1, 7, 50, 99, 1000, 343]
    trades: list[list[int]] = []
    while parts.now_ms < whole.now_ms:
        step = min(steps[len(trades) % len(steps)], whole.now_ms - parts.now_ms)
        trades.extend(parts.advance(parts.now_ms + step).trades)
    assert trades == expected.trades
    assert len(trades) > 100
    assert parts.levels(BID, 500).tolist() == whole.levels(BID, 500).tolist()


def test_a_market_depends_on_seed_and_symbol_only() -> None:
    def trades(seed: int) -> list[list[int]]:
        market = market_of(seed=seed)
        return market.advance(market.now_ms + 10_000).trades

    assert trades(1) == trades(1)
    assert trades(1) != trades(2)


def test_rates_are_those_of_a_lively_market() -> None:
    market = market_of(seed=6)
    live(market, 600)
    aggregates = list(market.aggregates)
    assert 4 < len(aggregates) / 600 < 12
    sizes = np.array([item.lots for item in aggregates])
    assert sizes.max() > 20 * np.median(sizes), "sizes have a heavy tail"
    firsts, lasts = [item.first_id for item in aggregates], [item.last_id for item in aggregates]
    assert firsts[1:] == [last + 1 for last in lasts[:-1]], "trade ids are consecutive"


def test_an_unread_log_is_an_error_not_a_loss() -> None:
    market = market_of(seed=6)
    with pytest.raises(RuntimeError, match="log of changes"):
        market.advance(market.now_ms + 600_000)


def test_a_signal_outside_its_range_is_refused() -> None:
    with pytest.raises(ValueError, match="signal"):
        market_of(signal=1.5)
