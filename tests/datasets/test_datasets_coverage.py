import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from undertow.datasets.coverage import BarCoverage, bar_coverage, coverage_names, streams_of
from undertow.frames.coverage import CoverageStatus

COMPLETE, UNKNOWN, UNPROVABLE, GAP = BarCoverage


def ledger(*rows: tuple[str, CoverageStatus, int, int]) -> pl.DataFrame:
    schema = {"stream": pl.String, "status": pl.String, "from_ns": pl.Int64, "to_ns": pl.Int64}
    return pl.DataFrame([(s, status.value, a, b) for s, status, a, b in rows], schema, orient="row")


def states(table: pl.DataFrame, *streams: str, bars: int = 6) -> list[int]:
    return list(bar_coverage(np.arange(bars, dtype=np.int64) * 10, 10, table, streams))


def test_by_hand() -> None:
    table = ledger(
        ("depth", CoverageStatus.BY_IDS, 0, 25),
        ("depth", CoverageStatus.GAP, 25, 40),
        ("depth", CoverageStatus.BY_IDS, 40, 55),
    )
    assert states(table, "depth") == [COMPLETE, COMPLETE, GAP, GAP, COMPLETE, UNKNOWN]


def test_stretches_that_meet_at_an_hour_cover_a_bar_across_it() -> None:
    table = ledger(("depth", CoverageStatus.BY_IDS, 0, 15), ("depth", CoverageStatus.BY_HEARTBEAT, 15, 60))
    assert states(table, "depth") == [COMPLETE] * 6
    torn = ledger(("depth", CoverageStatus.BY_IDS, 0, 15), ("depth", CoverageStatus.BY_IDS, 16, 60))
    assert states(torn, "depth") == [COMPLETE, UNKNOWN, COMPLETE, COMPLETE, COMPLETE, COMPLETE]


def test_the_worst_stream_counts_and_others_do_not() -> None:
    table = ledger(
        ("depth", CoverageStatus.BY_IDS, 0, 60),
        ("aggtrades", CoverageStatus.BY_IDS, 0, 60),
        ("aggtrades", CoverageStatus.GAP, 33, 34),
        ("liquidations", CoverageStatus.UNPROVABLE, 0, 60),
    )
    assert states(table, "depth") == [COMPLETE] * 6
    assert states(table, "depth", "aggtrades") == [COMPLETE] * 3 + [GAP] + [COMPLETE] * 2
    assert states(table, "aggtrades", "liquidations") == [UNPROVABLE] * 3 + [GAP] + [UNPROVABLE] * 2
    assert states(table, "klines") == [UNKNOWN] * 6


def test_a_gap_without_length_counts_where_it_lies() -> None:
    table = ledger(("depth", CoverageStatus.BY_IDS, 0, 60), ("depth", CoverageStatus.GAP, 20, 20))
    assert states(table, "depth") == [COMPLETE, COMPLETE, GAP, COMPLETE, COMPLETE, COMPLETE]


@pytest.mark.parametrize(
    ("inputs", "known", "streams"),
    [
        (["trades, gaps", "book_depth"], ["aggtrades", "depth"], ["aggtrades", "depth"]),
        (["trades"], ["trades", "depth"], ["trades"]),
        (["trades"], [], ["aggtrades"]),
        (["mark_price", "l2_features"], ["depth", "mark_price"], ["depth", "mark_price"]),
        (["mark_price", "l2_features"], ["depth"], ["depth"]),
        (["gaps", ""], ["depth"], []),
    ],
)
def test_streams_behind_features(inputs: list[str], known: list[str], streams: list[str]) -> None:
    assert streams_of(inputs, known) == streams


def test_words() -> None:
    assert coverage_names(np.array([0, 3, 1, 2])).to_list() == ["complete", "gap", "unknown", "unprovable"]


stretch = st.tuples(st.sampled_from(list(CoverageStatus)), st.integers(0, 60), st.integers(0, 20))


@settings(max_examples=150, deadline=None)
@given(stretches=st.lists(stretch, max_size=8))
def test_agrees_with_a_look_at_every_nanosecond(stretches: list[tuple[CoverageStatus, int, int]]) -> None:
    rows = [("depth", status, a, a + length) for status, a, length in stretches if length]
    made = states(ledger(*rows), "depth", bars=7)
    for bar, state in enumerate(made):
        inside = range(bar * 10, bar * 10 + 10)
        by_status = {
            status: {t for _, s, a, b in rows if s == status for t in inside if a <= t < b}
            for status in CoverageStatus
        }
        whole = by_status[CoverageStatus.BY_IDS] | by_status[CoverageStatus.BY_HEARTBEAT]
        if by_status[CoverageStatus.GAP]:
            assert state == GAP
        elif by_status[CoverageStatus.UNPROVABLE]:
            assert state == UNPROVABLE
        else:
            assert state == (COMPLETE if whole == set(inside) else UNKNOWN)
