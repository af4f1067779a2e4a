"""Any slice of a history, computed alone, is that slice of the whole, to the last bit."""

import numpy as np
import pytest
from tests.runtime.lake_days import (
    END_NS,
    FIRST_MIDNIGHT_NS,
    INSTRUMENT,
    LENGTHS_NS,
    SECOND_MIDNIGHT_NS,
    write_days,
)

from undertow.features.engine import FeatureBlock
from undertow.lake.reader import Lake
from undertow.market.time import HOUR_NS, MINUTE_NS, SECOND_NS
from undertow.runtime.batch import Span, StoredHistory, compute_features, open_history, settings_for
from undertow.runtime.feature_states import FeatureStates

Blocks = dict[int, FeatureBlock]


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> StoredHistory:
    root = tmp_path_factory.mktemp("days") / "lake"
    write_days(root)
    return open_history(Lake(root), INSTRUMENT.venue, INSTRUMENT.symbol)


def compute(history: StoredHistory, span: Span | None = None, states: FeatureStates | None = None) -> Blocks:
    found: dict[int, list[FeatureBlock]] = {length: [] for length in LENGTHS_NS}
    for blocks in compute_features(history, settings_for(history, LENGTHS_NS), span, states):
        for length, block in blocks.items():
            found[length].append(block)
    return {length: joined(parts) for length, parts in found.items()}


def joined(parts: list[FeatureBlock]) -> FeatureBlock:
    open_ns, known_ns = (np.concatenate([getattr(p, k) for p in parts]) for k in ("open_ns", "known_ns"))
    values = np.concatenate([p.values for p in parts], axis=1)
    return FeatureBlock(parts[0].names, parts[0].length_ns, open_ns, known_ns, values)


def check_same(computed: Blocks, whole: Blocks, span: Span) -> None:
    for length, block in computed.items():
        wanted = span.take(whole[length])
        assert block.open_ns.tolist() == wanted.open_ns.tolist(), length
        assert block.known_ns.tobytes() == wanted.known_ns.tobytes()
        for name, ours, theirs in zip(block.names, block.values, wanted.values, strict=True):
            assert ours.tobytes() == np.ascontiguousarray(theirs).tobytes(), (name, length)


@pytest.fixture(scope="module")
def whole(history: StoredHistory) -> Blocks:
    return compute(history)


@pytest.fixture(scope="module")
def states(history: StoredHistory, whole: Blocks) -> FeatureStates:
    kept = FeatureStates(history, settings_for(history, LENGTHS_NS))
    check_same(compute(history, None, kept), whole, Span())
    return kept


def test_the_whole_reaches_from_the_first_trade_to_the_last_closed_bar(whole: Blocks) -> None:
    opens = whole[LENGTHS_NS[0]].open_ns
    assert (np.diff(opens) == LENGTHS_NS[0]).all()
    assert opens[-1] == END_NS // LENGTHS_NS[0] * LENGTHS_NS[0] - LENGTHS_NS[0]
    known = ~np.isnan(whole[LENGTHS_NS[0]].values)
    assert known.any(axis=1).mean() > 0.9


def test_a_state_is_kept_at_each_midnight(states: FeatureStates) -> None:
    assert states.midnights() == [FIRST_MIDNIGHT_NS, SECOND_MIDNIGHT_NS]


SLICES = (
    Span(FIRST_MIDNIGHT_NS, SECOND_MIDNIGHT_NS),
    Span(SECOND_MIDNIGHT_NS, None),
    Span(None, FIRST_MIDNIGHT_NS),
    Span(FIRST_MIDNIGHT_NS + HOUR_NS, FIRST_MIDNIGHT_NS + 2 * HOUR_NS),
    Span(FIRST_MIDNIGHT_NS - HOUR_NS, FIRST_MIDNIGHT_NS + HOUR_NS),
    Span(SECOND_MIDNIGHT_NS - HOUR_NS, SECOND_MIDNIGHT_NS + 17 * MINUTE_NS + 5 * SECOND_NS),
    Span(SECOND_MIDNIGHT_NS + HOUR_NS, SECOND_MIDNIGHT_NS + 10 * HOUR_NS),
    Span(SECOND_MIDNIGHT_NS + 10 * HOUR_NS, None),
)


@pytest.mark.parametrize("span", SLICES)
def test_a_slice_begun_at_a_state_is_that_of_the_whole(
    history: StoredHistory, whole: Blocks, states: FeatureStates, span: Span
) -> None:
    check_same(compute(history, span, states), whole, span)


def test_a_slice_without_states_is_that_of_the_whole(history: StoredHistory, whole: Blocks) -> None:
    check_same(compute(history, SLICES[3]), whole, SLICES[3])


def test_a_slice_begins_at_the_newest_state_before_it(states: FeatureStates) -> None:
    begins = [states.newest(span.from_ns) for span in SLICES[:5]]
    assert begins == [FIRST_MIDNIGHT_NS, SECOND_MIDNIGHT_NS, None, FIRST_MIDNIGHT_NS, None]
