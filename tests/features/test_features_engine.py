"""The engine: features that share a computation, and features that do not, in any order."""

import numpy as np
import pytest

from tests.features.frames_factory import SECOND, blank
from undertow.features.catalogue import FEATURES
from undertow.features.engine import FeatureEngine
from undertow.features.feature import ANY, TRADES, Feature, Formula
from undertow.features.memory import Floats, Memory, Shared
from undertow.frames.frames import Frames


def sums(f: Frames, m: Memory) -> Floats:
    """Two rows: the closes, and their sum so far."""
    state = m.floats(1)
    total = state[0] + np.cumsum(f.close)
    state[0] = total[-1]
    return np.stack([f.close.astype(np.float64), total])


def total(f: Frames, m: Memory) -> Floats:
    """Sum of all closes."""
    return m.shared(f, sums, 1)


def before(f: Frames, m: Memory) -> Floats:
    """The close before."""
    return m.lag(f.close.astype(np.float64))


def twice(f: Frames, m: Memory) -> Floats:
    """Twice the sum."""
    return 2.0 * m.shared(f, sums, 1)


def last(f: Frames, m: Memory) -> Floats:
    """The close."""
    return m.shared(f, sums, 0)


def line(function: Formula) -> Feature:
    return Feature(function.__name__, function, "quote", ANY, "never", TRADES, "by hand")


BY_HAND: dict[str, list[float]] = {
    "total": [1, 3, 7, 15],
    "before": [np.nan, 1, 2, 4],
    "twice": [2, 6, 14, 30],
    "last": [1, 2, 4, 8],
}


def test_what_is_shared_and_what_is_not_come_out_in_the_order_of_the_features() -> None:
    features = [line(function) for function in (total, before, twice, last)]
    frames = blank(4, close=[1, 2, 4, 8])
    for sizes in ([4], [1, 1, 1, 1], [1, 3], [2, 2]):
        engine, at, parts = FeatureEngine(features, SECOND), 0, []
        for size in sizes:
            parts.append(engine.push(frames[at : at + size]).values)
            at += size
        np.testing.assert_array_equal(np.concatenate(parts, axis=1), list(BY_HAND.values()))


def test_an_engine_goes_on_from_the_state_of_another_at_any_bar() -> None:
    features = [line(function) for function in (last, total, before, twice)]
    frames = blank(4, close=[1, 2, 4, 8])
    for at in range(5):
        first, second = FeatureEngine(features, SECOND), FeatureEngine(features, SECOND)
        second.push(frames[:at])
        second.restore(second.state())
        first.restore(second.state())
        for engine in (first, second):
            found = engine.push(frames[at:]).values
            np.testing.assert_array_equal(found, [BY_HAND[f.name][at:] for f in features])


def test_the_catalogue_costs_one_computation_a_family_and_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    """Live, a call for each feature would cost far more than its arithmetic."""
    frames, asked = blank(3, close=[1, 2, 4]), []
    engine = FeatureEngine(FEATURES, SECOND)
    engine.push(frames[:1])
    computed = Memory.computed

    def noted(memory: Memory, f: Frames, compute: Shared) -> Floats:
        asked.append(compute.__module__.rpartition(".")[2])
        return computed(memory, f, compute)

    monkeypatch.setattr(Memory, "computed", noted)
    engine.push(frames[1:2])
    assert asked == list(dict.fromkeys(feature.family for feature in FEATURES))
