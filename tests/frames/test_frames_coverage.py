from itertools import pairwise

import msgspec
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from undertow.frames.coverage import Coverage, CoverageFold, CoverageStatus
from undertow.market.events import Gap
from undertow.market.time import HOUR_NS, SECOND_NS

START = 1_700_000_400_000_000_000 // HOUR_NS * HOUR_NS
BY_IDS, BEAT, GAP = CoverageStatus.BY_IDS, CoverageStatus.BY_HEARTBEAT, CoverageStatus.GAP


def gap(from_s: int, to_s: int, first: int, last: int, cause: str = "trade ids missing") -> Gap:
    times = START + from_s * SECOND_NS, START + to_s * SECOND_NS
    return Gap("BTCUSDT", "aggtrades", *times, first, last, cause, *times)


def seconds(*values: int) -> np.ndarray:
    return START + np.array(values, np.int64) * SECOND_NS


def ids(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def shown(rows: list[Coverage]) -> list[tuple[str, int, int, int, int]]:
    return [
        (r.status, (r.from_ns - START) // SECOND_NS, (r.to_ns - START) // SECOND_NS, r.first_id, r.last_id)
        for r in rows
    ]


def test_an_unbroken_chain_is_complete_and_is_cut_at_the_hour() -> None:
    fold = CoverageFold()
    fold.chain("aggtrades", seconds(10, 3500, 3700, 3800), ids(5, 6, 7, 8), [])
    assert shown(fold.take()) == [(BY_IDS, 10, 3600, 5, 6)]
    fold.finish()
    assert shown(fold.take()) == [(BY_IDS, 3600, 3800, 7, 8)]


def test_a_gap_by_ids_stands_between_two_complete_stretches() -> None:
    fold = CoverageFold()
    fold.chain("aggtrades", seconds(10, 20, 50, 60), ids(5, 6, 9, 10), [gap(20, 50, 7, 8)])
    fold.finish()
    rows = fold.take()
    assert shown(rows) == [(BY_IDS, 10, 20, 5, 6), (GAP, 20, 50, 7, 8), (BY_IDS, 50, 60, 9, 10)]
    assert rows[1].cause == "trade ids missing"


def test_between_holes_of_single_trades_nothing_is_claimed() -> None:
    fold = CoverageFold()
    holes = [
        msgspec.structs.replace(gap(at, at + 1, at, at + 2), stream="aggtrades singles") for at in (20, 50)
    ]
    for hole in holes:
        fold.hole(hole)
    fold.finish()
    assert shown(fold.take()) == [(GAP, 20, 21, 20, 22), (GAP, 50, 51, 50, 52)]
    fold.repaired("aggtrades singles", [(50, 52)], "rest", 78)
    assert shown(fold.take()) == [(BY_IDS, 20, 21, 20, 22)]


def test_a_repaired_gap_becomes_complete_and_says_when() -> None:
    fold = CoverageFold()
    fold.chain("aggtrades", seconds(10, 20, 50), ids(5, 6, 9), [gap(20, 50, 7, 8)])
    fold.take()
    fold.repaired("aggtrades", [(8, 8)], "rest", 77)
    assert fold.take() == [], "8 still lacks"
    fold.repaired("aggtrades", [], "rest", 78)
    (row,) = fold.take()
    assert (row.status, row.cause, row.repaired_ns) == (BY_IDS, "repaired from rest", 78)
    assert (row.from_ns, row.first_id) == (START + 20 * SECOND_NS, 7), "it replaces the row of the gap"


def test_a_lost_connection_without_missing_ids_breaks_no_chain() -> None:
    fold = CoverageFold()
    found = [gap(20, 50, -1, -1, "disconnected, no id missing")]
    fold.chain("aggtrades", seconds(10, 20, 50), ids(5, 6, 7), found)
    fold.finish()
    assert shown(fold.take()) == [(BY_IDS, 10, 50, 5, 7)]


def test_a_heartbeat_proves_a_stream_until_it_stops() -> None:
    fold = CoverageFold()
    times = seconds(0, 1, 2, 3, 9, 10)
    fold.heartbeat("mark_price", times, times + 7, ids())
    fold.finish()
    assert shown(fold.take()) == [(BEAT, 0, 3, -1, -1), (GAP, 3, 9, -1, -1), (BEAT, 9, 10, -1, -1)]


def test_a_lost_connection_is_a_gap_of_a_stream_without_ids_however_short() -> None:
    fold = CoverageFold()
    times = seconds(0, 1, 2, 3)
    fold.heartbeat("mark_price", times, times + 7, seconds(1) + 8)
    fold.finish()
    rows = fold.take()
    assert shown(rows) == [(BEAT, 0, 1, -1, -1), (GAP, 1, 2, -1, -1), (BEAT, 2, 3, -1, -1)]
    assert rows[1].cause == "disconnected"


def test_a_stream_without_ids_or_rhythm_proves_nothing() -> None:
    fold = CoverageFold()
    times = seconds(0, 3000)
    fold.heartbeat("liquidations", times, times + 7, ids())
    fold.finish()
    assert shown(fold.take()) == [(CoverageStatus.UNPROVABLE, 0, 3000, -1, -1)]


@settings(max_examples=100, deadline=None)
@given(
    steps=st.lists(st.tuples(st.integers(1, 1500), st.booleans(), st.booleans()), min_size=1, max_size=40),
    cuts=st.lists(st.integers(0, 40), max_size=5),
)
def test_any_cut_gives_the_same_rows(steps: list[tuple[int, bool, bool]], cuts: list[int]) -> None:
    """Both kinds of streams, over hours, with gaps and lost connections."""
    times = START + np.cumsum([step for step, _, _ in steps]) * SECOND_NS
    chain = np.cumsum([1 + 2 * skips for _, skips, _ in steps])
    gaps = {
        i: gap(0, 0, int(chain[i - 1]) + 1, int(chain[i]) - 1)
        for i in range(1, len(steps))
        if chain[i] > chain[i - 1] + 1
    }
    for i, found in gaps.items():
        gaps[i] = msgspec.structs.replace(found, from_ns=int(times[i - 1]), to_ns=int(times[i]))
    lost = np.array([int(times[i]) + 1 for i, (_, _, is_lost) in enumerate(steps) if is_lost], np.int64)

    def fold(bounds: list[int]) -> list[Coverage]:
        state = CoverageFold()
        for begin, end in pairwise(bounds):
            part = slice(begin, end)
            inside = [gaps[i] for i in range(begin, end) if i in gaps]
            state.chain("aggtrades", times[part], chain[part], inside)
            since = times[begin] if begin < end else 0
            until = times[end] if end < len(times) else 2**62
            cut = lost[(lost >= since) & (lost < until)] if begin < end else lost[:0]
            state.heartbeat("open_interest", times[part], times[part], cut)
            state = msgspec.msgpack.decode(msgspec.msgpack.encode(state), type=CoverageFold)
        state.finish()
        return sorted(state.take(), key=lambda row: (row.stream, row.from_ns, row.first_id, row.to_ns))

    whole = [0, len(steps)]
    parts = sorted({0, len(steps), *(cut for cut in cuts if cut <= len(steps))})
    assert fold(parts) == fold(whole)
