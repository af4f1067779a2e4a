"""No feature reaches further back than it declares."""

from typing import Any

import numpy as np
import pytest
from numpy.random import Generator

from tests.features import frames_factory as factory
from tests.features.frames_factory import MIDNIGHT, SECOND
from undertow.features.catalogue import FEATURES
from undertow.features.engine import FeatureEngine
from undertow.features.feature import Feature
from undertow.features.memory import Floats
from undertow.frames.frames import BOOK_LEVELS, Frames
from undertow.market.time import HOUR_NS

COMPARED = 150


def steady_frames(seed: int, count: int, length_ns: int) -> Frames:
    """Bars with trades, full books, readings and no gap, across midnights."""
    rng = np.random.default_rng(seed)
    columns = _trades(rng, count) | _book(rng, count, length_ns)
    columns |= factory._flow(rng, columns, length_ns) | factory._book_changes(rng, columns)
    columns["detailed_count"] = columns["sample_count"]
    columns["open_ns"] = MIDNIGHT + (np.arange(count) - count + 37 * seed) * length_ns
    closes = columns["open_ns"] + length_ns
    columns |= {"last_trade_ns": closes - 10**6, "last_update_ns": closes - 3 * 10**6}
    columns |= factory.random_market(rng, closes)
    return factory.blank(count, length_ns, "0.1", "0.001", **columns)


def _trades(rng: Generator, count: int) -> dict[str, Any]:
    trades = rng.integers(1, 4, count)
    close = 55_000 + rng.integers(-40, 41, count).cumsum()
    opens = close + rng.integers(-9, 10, count)
    buy, sell = (1 + trades * rng.integers(0, 50, count) for _ in range(2))
    return {
        "open": opens,
        "high": np.maximum(opens, close) + rng.integers(0, 5, count),
        "low": np.minimum(opens, close) - rng.integers(0, 5, count),
        "close": close,
        "trade_count": trades,
        "buy_lots": buy,
        "sell_lots": sell,
        "notional": (buy + sell) * close,
        "large_count": np.ones(count, np.int64),
        "large_lots": np.minimum(buy, sell),
        "trailing_counts": trades[:, None] + np.arange(3),
        "trade_gap_ns": np.zeros(count, np.int64),
        "gap_ns": np.zeros(count, np.int64),
    }


def _book(rng: Generator, count: int, length_ns: int) -> dict[str, Any]:
    columns = factory._book(rng, count, length_ns)
    middle = rng.integers(49_000, 61_000, count)
    for name, sign in (("bid", -1), ("ask", 1)):
        steps = rng.integers(1, 30, (count, BOOK_LEVELS)).cumsum(axis=1)
        columns[f"{name}_ticks"] = middle[:, None] + sign * steps
        columns[f"{name}_lots"] = rng.integers(1, 9_999, (count, BOOK_LEVELS))
    spreads, shares = rng.integers(1, 200, (count, 2)), rng.integers(1, length_ns // 2000, (count, 2))
    return columns | {
        "sample_count": np.full(count, 2),
        "imbalance_counts": np.full((count, 3), 2),
        "imbalance_sums": rng.uniform(-2, 2, (count, 3)),
        "spread_integral": (spreads * shares).sum(axis=1),
        "spread_square_integral": (spreads**2 * shares).sum(axis=1),
        "spread_time_us": shares.sum(axis=1),
        "update_count": rng.integers(1, 9, count),
    }


def values(features: list[Feature], frames: Frames) -> Floats:
    return FeatureEngine(features, frames.length_ns).push(frames).values[:, -COMPARED:]


@pytest.fixture(scope="module", params=[(60, 1), (60, 2), (900, 3)], ids=str)
def frames(request: pytest.FixtureRequest) -> Frames:
    length_s, seed = request.param
    return steady_frames(seed, 1_800, length_s * SECOND)


def by_warm_up(frames: Frames) -> dict[int, list[Feature]]:
    found: dict[int, list[Feature]] = {}
    for feature in FEATURES:
        if feature.lookback is not None:
            found.setdefault(feature.lookback.bars_of(frames.length_ns), []).append(feature)
    return found


def differing(frames: Frames, features: list[Feature], warm_up: int) -> list[str]:
    """Features whose values differ from the whole's when computed with so many bars before them."""
    whole = values(features, frames)
    alone = values(features, frames[len(frames) - COMPARED - warm_up :])
    rows = zip(features, whole, alone, strict=True)
    return [f.name for f, ours, theirs in rows if ours.tobytes() != theirs.tobytes()]


def test_a_slice_with_the_declared_lookback_before_it_equals_the_whole(frames: Frames) -> None:
    for warm_up, features in by_warm_up(frames).items():
        assert warm_up + COMPARED < len(frames)
        assert differing(frames, features, warm_up) == []


def test_what_declares_a_lookback_needs_a_good_part_of_it() -> None:
    needed: set[str] = set()
    for seed in (1, 2, 3):
        frames = steady_frames(seed, 1_800, 60 * SECOND)
        for warm_up, features in by_warm_up(frames).items():
            needed.update(differing(frames, features, warm_up // 4) if warm_up else ())
    declared = {f.name for f in FEATURES if f.lookback is not None and f.lookback.bars_of(60 * SECOND)}
    assert declared - needed == set()


def test_what_declares_none_reaches_further_than_a_window_would() -> None:
    endless = [feature for feature in FEATURES if feature.lookback is None]
    reaching: set[str] = set()
    for length_s in (1, 60):
        reaching.update(differing(steady_frames(4, 1_800, length_s * SECOND), endless, 40))
    assert reaching == {feature.name for feature in endless}


def test_windows_by_the_clock_are_of_the_features_that_are_named_so() -> None:
    by_name = {feature.name: feature for feature in FEATURES}
    hours = {"_1h": 1, "_4h": 4, "_24h": 24}
    named = {name: hours["_" + name.rsplit("_")[-1]] for name in by_name if name.endswith(tuple(hours))}
    assert len(named) > 25
    for name, length in named.items():
        lookback = by_name[name].lookback
        assert lookback is not None
        assert lookback.span_ns == length * HOUR_NS, name
