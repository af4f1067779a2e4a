"""From a table of feature bars to the rows of its events."""

import numpy as np
import polars as pl
import pytest
from tests.patterns.markets import random_market

from undertow.datasets.bars import SymbolBars
from undertow.errors import InputError
from undertow.market.time import SECOND_NS
from undertow.patterns.catalogue import PATTERNS, pattern_named
from undertow.patterns.detect import detect
from undertow.patterns.pattern import PatternBars
from undertow.runtime.pattern_rows import EVENT_SCHEMA, event_rows, find_patterns, pattern_bars


@pytest.fixture(scope="module")
def market() -> PatternBars:
    return random_market(4000, seed=9)


@pytest.fixture(scope="module")
def table(market: PatternBars) -> SymbolBars:
    mid = market.columns["mid_price"]
    frame = pl.DataFrame(
        {
            "timestamp": market.open_ns // 1_000_000,
            "known_ns": market.known_ns,
            "best_bid": mid - 0.25,
            "best_ask": mid + 0.25,
            **market.columns,
        }
    )
    return SymbolBars("AUSDT", SECOND_NS, frame)


def test_the_table_has_the_events_of_its_columns(market: PatternBars, table: SymbolBars) -> None:
    found = find_patterns(table)
    assert [events.pattern for events in found] == [pattern.name for pattern in PATTERNS]
    assert sum(len(events) for events in found) > 5
    for pattern, events in zip(PATTERNS, found, strict=True):
        expected = detect(pattern, market)
        assert np.array_equal(events.time_ns, expected.time_ns)
        assert np.array_equal(events.numbers, expected.numbers)


def test_a_null_is_unknown_and_not_zero(table: SymbolBars) -> None:
    first = int(find_patterns(table, [pattern_named("imbalance_extreme")])[0].bar[0])
    hidden = pl.when(pl.int_range(pl.len()) == first - 1).then(None).otherwise("imbalance_10_avg")
    frame = table.frame.with_columns(imbalance_10_avg=hidden)
    columns = pattern_bars(SymbolBars("AUSDT", SECOND_NS, frame))
    assert np.isnan(columns.columns["imbalance_10_avg"][first - 1])
    (events,) = find_patterns(SymbolBars("AUSDT", SECOND_NS, frame), [pattern_named("imbalance_extreme")])
    assert first not in events.bar


def test_rows_are_the_events_by_time(table: SymbolBars) -> None:
    found = find_patterns(table)
    rows = event_rows("AUSDT", found)
    assert rows.schema == EVENT_SCHEMA
    assert rows.height == sum(len(events) for events in found)
    assert rows["time_ns"].is_sorted()
    for events in found:
        mine = rows.filter(pl.col("pattern") == events.pattern)
        assert mine["side"].to_list() == events.side.tolist()
        assert mine["strength"].to_list() == events.strength.tolist()
        assert (mine["known_ns"] >= mine["time_ns"]).all()
        told = [[number["value"] for number in row] for row in mine["numbers"]]
        assert told == events.numbers.tolist()
        assert all([number["name"] for number in row] == list(events.names) for row in mine["numbers"])
    assert event_rows("AUSDT", []).schema == EVENT_SCHEMA


def test_a_table_without_the_columns_is_refused(table: SymbolBars) -> None:
    frame = table.frame.drop("ask_depth_change")
    with pytest.raises(InputError, match="no column 'ask_depth_change'; compute the features again"):
        find_patterns(SymbolBars("AUSDT", SECOND_NS, frame))
