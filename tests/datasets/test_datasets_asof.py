import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.datasets.lake_factory import LATE_NS, START_MS, S, feature_rows, l2_rows
from undertow.datasets.asof import as_of_rows, take_rows
from undertow.datasets.bars import SymbolBars, known_ns
from undertow.datasets.joined import MARKET_SOURCES, SEQUENCE_COLUMNS, MarketSource, join_l2, join_market

START_NS = START_MS * 1_000_000


def bars(count: int) -> SymbolBars:
    return SymbolBars("BTCUSDT", S, feature_rows(count))


def source(table: str) -> MarketSource:
    return next(source for source in MARKET_SOURCES if source.table == table)


def test_by_hand() -> None:
    known = np.array([30, 10, 20], dtype=np.int64)
    event = np.array([5, 1, 9], dtype=np.int64)
    decisions = np.array([9, 10, 19, 20, 30, 99], dtype=np.int64)
    # The row about 9 is newer than the row about 5 that became known after it.
    assert as_of_rows(decisions, known, event).tolist() == [-1, 1, 1, 2, 2, 2]
    assert as_of_rows(decisions, known, event, max_age_ns=9).tolist() == [-1, 1, 1, 2, -1, -1]


def test_of_equal_times_the_correction_that_came_last_counts() -> None:
    event = np.array([7, 7], dtype=np.int64)
    known = np.array([10, 12], dtype=np.int64)
    assert as_of_rows(np.array([11, 12], dtype=np.int64), known, event).tolist() == [0, 1]


def test_nothing_known_is_null() -> None:
    rows = as_of_rows(np.array([1, 2]), np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64))
    assert rows.tolist() == [-1, -1]
    frame = pl.DataFrame({"x": [1.0, 2.0], "word": ["a", "b"]})
    assert take_rows(frame, np.array([1, -1, 0])).rows() == [(2.0, "b"), (None, None), (1.0, "a")]


@settings(max_examples=200, deadline=None)
@given(
    rows=st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), max_size=15),
    decisions=st.lists(st.integers(0, 35), max_size=10),
    max_age=st.none() | st.integers(0, 12),
)
def test_agrees_with_a_search_of_all(
    rows: list[tuple[int, int]], decisions: list[int], max_age: int | None
) -> None:
    known = np.array([k for k, _ in rows], dtype=np.int64)
    event = np.array([e for _, e in rows], dtype=np.int64)
    found = as_of_rows(np.array(decisions, dtype=np.int64), known, event, max_age)
    for decision, row in zip(decisions, found.tolist(), strict=True):
        seen = [(e, k) for k, e in rows if k <= decision]
        best = max(seen, default=None)
        if best is None or (max_age is not None and decision - best[1] > max_age):
            assert row == -1
        else:
            assert (event[row], known[row]) == best


def test_a_value_known_five_seconds_later_is_never_visible_before() -> None:
    symbol = bars(30)
    stamps = START_MS + np.arange(0, 30_000, 1000)
    published = pl.DataFrame(
        {
            "timestamp": stamps,
            "open_interest": np.arange(30, dtype=np.float64),
            "received_ns": stamps * 1_000_000,
            "known_ns": (stamps + 5000) * 1_000_000,
        }
    )
    joined = join_market(symbol, published, source("open_interest"))
    seen = joined["market_open_interest"]
    # Bar i is decided at i + 1.25 s, when the newest reading known is that of i + 1.25 - 5 s.
    assert seen.to_list() == [None] * 4 + [float(i - 4) for i in range(4, 30)]
    assert joined["market_open_interest_age_s"].to_list()[4:] == [5.25] * 26


def test_a_change_of_what_becomes_known_later_changes_nothing_before() -> None:
    symbol, random = bars(40), np.random.default_rng(2)
    stamps = START_MS + np.sort(random.integers(0, 40_000, 60))
    table = pl.DataFrame(
        {
            "timestamp": stamps,
            "mark_price": random.normal(size=60),
            "index_price": random.normal(size=60),
            "funding_rate": random.normal(size=60),
            "known_ns": stamps * 1_000_000 + random.integers(0, 8 * S, 60),
        }
    )
    cut_ns = START_NS + 20 * S
    loud = pl.when(pl.col("known_ns") > cut_ns).then(pl.col("mark_price") * 1e6).otherwise("mark_price")
    before = known_ns(symbol) <= cut_ns
    made, changed = (
        join_market(symbol, rows, source("mark_price")).filter(pl.Series(before))
        for rows in (table, table.with_columns(loud.alias("mark_price")))
    )
    assert made.equals(changed)
    assert made["market_mark_price"].null_count() < made.height


def test_a_row_without_known_ns_is_used_when_it_had_come_and_not_before_its_own_time() -> None:
    symbol = bars(8)
    table = pl.DataFrame(
        {
            "timestamp": [START_MS, START_MS + 4000],
            "funding_rate": [1.0, 2.0],
            # The first came 2 s late; the clock that stamped the second was 3 s early.
            "received_ns": [START_NS + 2 * S, START_NS + S],
        }
    )
    seen = join_market(symbol, table, source("funding_rate"))["market_settled_funding_rate"]
    assert seen.to_list() == [None, 1.0, 1.0, 2.0, 2.0, 2.0, 2.0, 2.0]


def test_a_row_that_bars_may_use_is_used_in_no_decision_before_it_had_come() -> None:
    """`known_ns` says from which bar on; a decision is made later than its bar ends, but not than now."""
    symbol = bars(8)
    table = pl.DataFrame(
        {
            "timestamp": [START_MS, START_MS + 4000],
            "funding_rate": [1.0, 2.0],
            "received_ns": [START_NS + 2 * S, START_NS + 4 * S],
            "known_ns": [START_NS, START_NS + 5 * S],
        }
    )
    seen = join_market(symbol, table, source("funding_rate"))["market_settled_funding_rate"]
    assert seen.to_list() == [None, 1.0, 1.0, 1.0, 2.0, 2.0, 2.0, 2.0]


def test_a_stale_value_is_null() -> None:
    symbol = bars(20)
    table = pl.DataFrame({"timestamp": [START_MS], "mark_price": [5.0], "known_ns": [START_NS]})
    joined = join_market(symbol, table, source("mark_price"))
    assert joined["market_mark_price"].to_list() == [5.0] * 9 + [None] * 11
    assert joined["market_mark_price_age_s"][9] is None


def test_l2_rows_are_those_of_the_same_instant_and_never_older() -> None:
    symbol = bars(6)
    rows = l2_rows(6).drop(SEQUENCE_COLUMNS)
    assert join_l2(symbol, rows)["l2_net_pressure"].to_list() == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]
    hole = join_l2(symbol, rows.filter(pl.col("net_pressure") != 3.0))
    assert hole.columns == ["l2_net_pressure"]
    assert hole["l2_net_pressure"].to_list() == [0.0, 1.0, 2.0, None, 4.0, 5.0]


@pytest.mark.parametrize("late_ns", [1, S // 2])
def test_an_l2_row_known_after_the_decision_waits_for_the_next(late_ns: int) -> None:
    rows = l2_rows(4).drop(SEQUENCE_COLUMNS).with_columns(pl.col("known_ns") + late_ns)
    assert join_l2(bars(4), rows)["l2_net_pressure"].to_list() == [None, 0.0, 1.0, 2.0]
    assert LATE_NS < S
