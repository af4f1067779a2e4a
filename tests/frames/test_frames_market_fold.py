"""What bars know of the market tables, against a plain loop over all rows."""

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.features.frames_factory import MIDNIGHT, SECOND, blank
from undertow.frames.frames import Frames
from undertow.frames.market_fold import LIQUIDATION_LATEST_NS, MARKET_TABLES, MarketFold, MarketRows, Readings
from undertow.frames.market_frames import MARKET_COUNTS, MarketFrames

LENGTHS = (SECOND, 5 * SECOND)
BARS = 40
few = settings(max_examples=80, deadline=None, derandomize=True)


@dataclass(frozen=True)
class Told:
    """A row of a table, and when it came."""

    table: str
    came_ns: int
    integers: tuple[int, ...]
    floats: tuple[float, ...]

    @property
    def known_ns(self) -> int:
        return self.integers[0]

    @property
    def event_ns(self) -> int:
        return self.integers[1]


def random_rows(seed: int, count: int = 60) -> list[Told]:
    """Rows in the order in which they came: late ones, old ones and copies among them."""
    rng = np.random.default_rng(seed)
    rows = []
    for number in range(count):
        table = list(MARKET_TABLES)[int(rng.integers(0, 4))]
        event_ns = MIDNIGHT + int(rng.integers(-2, BARS)) * SECOND + int(rng.choice((0, 1, SECOND // 3)))
        came_ns = event_ns + int(rng.choice((0, 0, SECOND // 5, 2 * SECOND, 9 * SECOND)))
        known_ns = came_ns + int(rng.choice((0, 0, 1)))
        extra = (number, int(rng.integers(-9, 10))) if table == "liquidations" else ()
        floats = tuple(rng.integers(1, 999, MARKET_TABLES[table][1]).astype(float).tolist())
        rows.append(Told(table, came_ns, (known_ns, event_ns, *extra), floats))
        if rng.integers(0, 4) == 0:
            again_ns = came_ns + int(rng.choice((0, 1, 3 * SECOND)))
            later = (max(known_ns, again_ns), event_ns, *extra)
            rows.append(Told(table, again_ns, later, floats))
    return sorted(rows, key=lambda row: row.came_ns)


def readings(rows: list[Told]) -> MarketRows:
    found = {}
    for table, (integers, floats) in MARKET_TABLES.items():
        mine = [row for row in rows if row.table == table]
        if mine:
            found[table] = Readings(
                np.array([row.integers for row in mine], np.int64).reshape(len(mine), integers),
                np.array([row.floats for row in mine], np.float64).reshape(len(mine), floats),
            )
    return found


def closed(length: int, after_ns: int, until_ns: int) -> Frames:
    """Bars that end behind one time and by another; none of them begins before midnight."""
    first, last = (max(MIDNIGHT, at) // length * length for at in (after_ns, until_ns))
    count = max(0, last - first) // length
    return blank(count, length, open_ns=first + np.arange(count) * length)


def folded(rows: list[Told], steps: list[int], *, restarts: bool = False) -> dict[int, list[MarketFrames]]:
    """The fold with rows given as they come, and bars closed up to each of `steps` [ns]."""
    fold = MarketFold(LENGTHS)
    found: dict[int, list[MarketFrames]] = {length: [] for length in LENGTHS}
    before_ns = 0
    for until_ns in steps:
        due = readings([row for row in rows if before_ns < row.came_ns <= until_ns])
        bars = {length: closed(length, before_ns, until_ns) for length in LENGTHS}
        for length, frames in fold.advance(due, bars, until_ns).items():
            found[length].append(frames.market)
        if restarts:
            arrays, fold = fold.to_arrays(), MarketFold(LENGTHS)
            fold.restore(arrays)
        before_ns = until_ns
    return found


def columns(parts: list[MarketFrames]) -> dict[str, Any]:
    return {f.name: np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(MarketFrames)}


END = MIDNIGHT + BARS * SECOND


@few
@given(st.integers(0, 2**32 - 1), st.lists(st.integers(-3, BARS), max_size=15))
def test_any_cut_and_restart_gives_the_same_bits(seed: int, seconds: list[int]) -> None:
    rows = random_rows(seed)
    whole = folded(rows, [END])
    steps = [*(MIDNIGHT + second * SECOND for second in sorted({*seconds})), END]
    cut = folded(rows, steps, restarts=True)
    for length in LENGTHS:
        first, second = columns(whole[length]), columns(cut[length])
        assert [name for name in first if first[name].tobytes() != second[name].tobytes()] == []


def newest(rows: list[Told], table: str, end_ns: int) -> list[Told]:
    """Rows of a table that a bar may use, each newer than those that were known before it."""
    usable = [row for row in rows if row.table == table and row.known_ns <= end_ns]
    taken: list[Told] = []
    for row in sorted(usable, key=lambda row: (row.known_ns, row.event_ns)):
        if not taken or row.event_ns > taken[-1].event_ns:
            taken.append(row)
    return taken


def expected(rows: list[Told], length: int, end_ns: int) -> dict[str, float]:
    """One bar by a plain loop."""
    values = dict.fromkeys((f.name for f in fields(MarketFrames)), np.nan) | dict.fromkeys(MARKET_COUNTS, 0)
    if mark := newest(rows, "mark_price", end_ns):
        names = ("mark_price", "index_price", "funding_rate", "next_funding_ms")
        values |= dict(zip(names, mark[-1].floats, strict=True)) | {"mark_ns": mark[-1].event_ns}
    if settled := newest(rows, "funding_rate", end_ns):
        values |= {"settled_rate": settled[-1].floats[0], "settled_ns": settled[-1].event_ns}
    if interest := newest(rows, "open_interest", end_ns):
        values |= {"open_interest": interest[-1].floats[0], "interest_ns": interest[-1].event_ns}
        values |= {"interest_before": interest[-2].floats[0]} if len(interest) > 1 else {}
    seen: set[int] = set()
    for row in (row for row in rows if row.table == "liquidations"):
        key, lots = row.integers[2:]
        if key not in seen and row.known_ns <= end_ns:
            values["last_liquidation_ns"] = max(values["last_liquidation_ns"], row.known_ns)
            if row.known_ns > end_ns - length:
                values["liquidated_sell_lots"] += max(lots, 0)
                values["liquidated_buy_lots"] += max(-lots, 0)
        seen.add(key)
    return values


@few
@given(st.integers(0, 2**32 - 1))
def test_a_bar_knows_the_newest_of_what_was_known_by_its_end(seed: int) -> None:
    rows = random_rows(seed)
    for length, parts in folded(rows, [END]).items():
        found = columns(parts)
        for bar in range(BARS * SECOND // length):
            wanted = expected(rows, length, MIDNIGHT + (bar + 1) * length)
            np.testing.assert_equal({name: found[name][bar] for name in wanted}, wanted)


@few
@given(st.integers(0, 2**32 - 1), st.integers(1, BARS - 1))
def test_what_becomes_known_later_is_never_visible_before(seed: int, second: int) -> None:
    """Other values, times and rows from then on: the bars that end by then are the same."""
    rows, cut_ns = random_rows(seed), MIDNIGHT + second * SECOND
    other = [row for row in random_rows(seed + 1) if row.known_ns > cut_ns]
    changed = sorted([*(row for row in rows if row.known_ns <= cut_ns), *other], key=lambda row: row.came_ns)
    first, second_fold = folded(rows, [END]), folded(changed, [END])
    for length in LENGTHS:
        count = second * SECOND // length
        mine, theirs = columns(first[length]), columns(second_fold[length])
        assert [n for n in mine if mine[n][:count].tobytes() != theirs[n][:count].tobytes()] == []


def forced(known_ns: int, event_ns: int, key: int = 1, lots: int = 7) -> Told:
    return Told("liquidations", known_ns, (known_ns, event_ns, key, lots), ())


def test_a_forced_order_counts_in_the_first_bar_that_was_open_when_it_became_known() -> None:
    rows = [forced(MIDNIGHT + SECOND, MIDNIGHT - 9), forced(MIDNIGHT + SECOND + 1, MIDNIGHT, key=2, lots=-3)]
    found = columns(folded(rows, [END])[SECOND])
    assert found["liquidated_sell_lots"][:3].tolist() == [7, 0, 0]
    assert found["liquidated_buy_lots"][:3].tolist() == [0, 3, 0]


def test_a_forced_order_that_comes_an_hour_late_counts_nowhere_and_neither_does_a_copy() -> None:
    on_time, too_late = MIDNIGHT + SECOND, MIDNIGHT + 2 * SECOND
    rows = [
        forced(on_time, on_time - LIQUIDATION_LATEST_NS),
        forced(too_late, on_time - LIQUIDATION_LATEST_NS),
        forced(too_late, too_late - LIQUIDATION_LATEST_NS - 1, key=2),
    ]
    for steps in ([END], [on_time, too_late, END], [too_late + SECOND * 9, END]):
        found = columns(folded(rows, steps, restarts=True)[SECOND])
        assert found["liquidated_sell_lots"].tolist() == [7, *[0] * (BARS - 1)]


def test_what_waits_for_no_bar_is_let_go() -> None:
    """A symbol without bars: a day of mark prices leaves one row behind."""
    fold = MarketFold(LENGTHS)
    for second in range(1, 200):
        at_ns = MIDNIGHT + second * SECOND
        fold.advance(readings([Told("mark_price", at_ns, (at_ns, at_ns), (1.0,) * 4)]), {}, at_ns)
    held = fold.to_arrays()
    assert len(held[f"{SECOND}.mark_price.newest.integers"]) == 1
    assert len(held[f"{SECOND}.mark_price.waiting.integers"]) == 0
