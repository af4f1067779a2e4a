"""The fold of single trades against a slow one that keeps every trade, and worked by hand."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from numpy.random import Generator

from undertow.frames.column_set import book_columns, empty_trades
from undertow.frames.frame_fold import FrameFold
from undertow.frames.frames import FLOW_COLUMNS, FlowFrames
from undertow.frames.trade_fold import LargeTradeRule
from undertow.market.columns import BookColumns, TradeColumns
from undertow.market.events import Gap
from undertow.market.instruments import Instrument
from undertow.market.time import DAY_NS, HOUR_NS, MILLISECOND_NS, SECOND_NS

INSTRUMENT = Instrument("binance-usdm", "BTCUSDT", "0.1", "0.001")
MIDNIGHT = 1_700_006_400 * SECOND_NS
NEVER = 2**62
Rows = list[tuple[int, int, int, bool]]
"""(time, ticks, lots, whether the taker sold) of each trade."""


def trades_of(rows: Rows) -> TradeColumns:
    count = len(rows)
    event_ns, ticks, lots, sold = (
        (np.array(c) for c in zip(*rows, strict=True)) if rows else [np.zeros(0)] * 4
    )
    blank = empty_trades()
    columns: dict[str, Any] = {
        name: np.zeros(count, getattr(blank, name).dtype) for name in TradeColumns.__slots__
    }
    columns |= {"event_ns": event_ns.astype(np.int64), "price_ticks": ticks.astype(np.int64)}
    columns |= {"quantity_lots": lots.astype(np.int64), "is_buyer_maker": sold.astype(np.bool_)}
    return TradeColumns(**columns | {"trade_id": np.arange(count)})


def samples_of(rows: Sequence[tuple[int, int, int]]) -> BookColumns:
    """(time, bid, ask); a price of 0 = no level."""
    integers, levels = np.zeros((len(rows), 13), np.int64), np.zeros((len(rows), 4, 20), np.int64)
    for i, (grid_ns, bid, ask) in enumerate(rows):
        integers[i, 0] = grid_ns
        levels[i, 0, 0], levels[i, 1, 0], levels[i, 2, 0], levels[i, 3, 0] = bid, bid > 0, ask, ask > 0
    return book_columns(integers, levels)


def gap_of(from_ns: int, to_ns: int) -> Gap:
    return Gap(
        symbol="BTCUSDT",
        stream="trades",
        from_ns=from_ns,
        to_ns=to_ns,
        first_id=1,
        last_id=2,
        cause="test",
        counted_from_ns=from_ns,
        counted_to_ns=to_ns,
    )


def new_fold(lengths_s: tuple[int, ...] = (1,)) -> FrameFold:
    lengths_ns = tuple(length * SECOND_NS for length in lengths_s)
    return FrameFold(INSTRUMENT, lengths_ns, 250 * MILLISECOND_NS, LargeTradeRule())


def folded(
    trades: Rows, samples: Sequence[tuple[int, int, int]], until_ns: int, gaps: Sequence[Gap] = ()
) -> FlowFrames:
    return new_fold().advance(trades_of(trades), samples_of(samples), gaps, until_ns)[SECOND_NS].flow


MS = MILLISECOND_NS
BY_HAND: Rows = [
    (MIDNIGHT + 100 * MS, 100, 2, False),
    (MIDNIGHT + 100 * MS, 101, 1, False),
    (MIDNIGHT + 600 * MS, 99, 4, True),
    (MIDNIGHT + 1400 * MS, 99, 1, True),
]
BOOKS = [(MIDNIGHT + i * 500 * MS, 99 + i // 10, 101 + i // 10) for i in range(1, 13)]
"""The middle is 100, and 101 from 5 s on."""


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("buy_count", [2, 0, 0, 0, 0, 0]),
        ("active_ms", [2, 1, 0, 0, 0, 0]),
        ("sign_pairs", [2, 1, 0, 0, 0, 0]),
        ("sign_continuations", [1, 1, 0, 0, 0, 0]),
        ("up_moves", [1, 0, 0, 0, 0, 0]),
        ("down_moves", [1, 0, 0, 0, 0, 0]),
        ("absolute_change", [3, 0, 0, 0, 0, 0]),
        ("square_change", [5, 0, 0, 0, 0, 0]),
        ("change_pairs", [1, 1, 0, 0, 0, 0]),
        ("change_products", [-2, 0, 0, 0, 0, 0]),
        ("signed_notional", [2 * 100 + 101 - 4 * 99, -99, 0, 0, 0, 0]),
        # before the first sample no middle is known; the two sells at 99 pay one tick = 2 half ticks a lot
        ("effective", [8, 2, 0, 0, 0, 0]),
        ("effective_value", [800, 200, 0, 0, 0, 0]),
        # both were at the samples of 0.5 and 1 s; the middle 5 s later is 101: one tick against the sellers
        ("realised", [0, 0, 0, 0, 0, 16 + 4]),
        ("impact", [0, 0, 0, 0, 0, -8 - 2]),
        ("realised_value", [0, 0, 0, 0, 0, 1000]),
        ("since_gap_ns", [NEVER] * 6),
        ("vpin_volume", [0] * 6),
    ],
)
def test_worked_by_hand(name: str, expected: list[int]) -> None:
    flow = folded(BY_HAND, BOOKS, MIDNIGHT + 6 * SECOND_NS)
    assert getattr(flow, name).tolist() == expected


def test_decaying_counts_worked_by_hand() -> None:
    flow = folded(BY_HAND, BOOKS, MIDNIGHT + 2 * SECOND_NS)
    for at, half_life_s in enumerate((1, 10, 60)):
        buys = [2 * 0.5 ** (age / half_life_s) for age in (0.9, 1.9)]
        sells = [0.5 ** (0.4 / half_life_s), 0.5 ** (1.4 / half_life_s) + 0.5 ** (0.6 / half_life_s)]
        np.testing.assert_allclose(flow.buy_levels[:, at], buys, rtol=1e-13)
        np.testing.assert_allclose(flow.sell_levels[:, at], sells, rtol=1e-13)


def test_a_gap_cuts_chains_and_is_remembered() -> None:
    rows = [(MIDNIGHT + second * SECOND_NS, 100 + second, 1, False) for second in (0, 1, 4, 5)]
    gap = gap_of(MIDNIGHT + 2 * SECOND_NS, MIDNIGHT + 4 * SECOND_NS)
    flow = folded(rows, [], MIDNIGHT + 6 * SECOND_NS, [gap])
    assert flow.sign_pairs.tolist() == [0, 1, 0, 0, 0, 1]
    assert flow.absolute_change.sum() == 2
    assert flow.since_gap_ns.tolist() == [NEVER, NEVER, 0, 0, SECOND_NS, 2 * SECOND_NS]


def test_a_middle_that_is_too_old_or_one_sided_is_none() -> None:
    rows: Rows = [(MIDNIGHT + at, 105, 1, False) for at in (600 * MS, SECOND_NS, 2500 * MS, 2501 * MS)]
    samples = [(MIDNIGHT + 500 * MS, 0, 104), (MIDNIGHT + 1500 * MS, 100, 104)]
    flow = folded(rows, samples, MIDNIGHT + 3 * SECOND_NS)
    assert flow.effective_value.tolist() == [0, 0, 204]
    assert flow.effective.tolist() == [0, 0, 6]


def test_volume_buckets_worked_by_hand() -> None:
    """An hour with 500 lots, so buckets of 500 · 24 / 50 = 240 lots from then on."""
    start = MIDNIGHT + HOUR_NS
    rows: Rows = [(MIDNIGHT, 100, 500, False), (start, 100, 200, False), (start + 1, 100, 40 + 120, True)]
    rows += [(start + SECOND_NS, 100, 240 * 48 + 120, False)]
    rows += [(start + 2 * SECOND_NS, 100, 240 * 1000 + 12, True)]
    flow = folded(rows, [], start + 3 * SECOND_NS)
    assert set(flow.vpin_volume[:-2]) == {0}
    # |200 − 40|, then 120 sold and 120 bought, then 48 of one side
    assert flow.vpin_volume[-2:].tolist() == [50 * 240] * 2
    assert flow.vpin_imbalance[-2:].tolist() == [160 + 0 + 48 * 240, 50 * 240]


def test_a_bucket_of_the_day_is_a_fiftieth_of_the_day_before() -> None:
    rows: Rows = [(MIDNIGHT + hour * HOUR_NS, 100, 100 + hour, bool(hour % 2)) for hour in range(24)]
    rows += [(MIDNIGHT + DAY_NS, 100, 10**6, False), (MIDNIGHT + DAY_NS + HOUR_NS, 100, 10**6, True)]
    flow = folded(rows, [], MIDNIGHT + DAY_NS + HOUR_NS + SECOND_NS)
    size = sum(100 + hour for hour in range(24)) // 50
    assert flow.vpin_volume[-1] == flow.vpin_imbalance[-1] == 50 * size


def slow_flow(
    trades: Rows, samples: Sequence[tuple[int, int, int]], gaps: Sequence[Gap], start_ns: int, count: int
) -> dict[str, list[int]]:
    """Chains, spreads and realised spreads, trade by trade from the definitions."""
    names = FLOW_COLUMNS[:16]
    out = {name: [0] * count for name in names}
    touched = {
        second
        for second in range(count)
        for gap in gaps
        if gap.from_ns < start_ns + (second + 1) * SECOND_NS and gap.to_ns > start_ns + second * SECOND_NS
    }

    def add(name: str, second: int, value: int) -> None:
        out[name][second] += value

    def linked(first: int, second: int) -> bool:
        """No second from that of trade `first` up to the one before that of `second` is touched by a gap."""
        begin, end = ((trades[at][0] - start_ns) // SECOND_NS for at in (first, second))
        return not any(at in touched for at in range(begin, end))

    active = {(event_ns - start_ns) // MS for event_ns, *_ in trades}
    for millisecond in active:
        add("active_ms", millisecond // 1000, 1)
    for at, (event_ns, ticks, lots, sold) in enumerate(trades):
        second, sign = (event_ns - start_ns) // SECOND_NS, -1 if sold else 1
        add("buy_count", second, not sold)
        add("signed_notional", second, sign * ticks * lots)
        if at and linked(at - 1, at):
            change = ticks - trades[at - 1][1]
            add("sign_pairs", second, 1)
            add("sign_continuations", second, sold == trades[at - 1][3])
            add("up_moves", second, change > 0)
            add("down_moves", second, change < 0)
            add("absolute_change", second, abs(change))
            add("square_change", second, change**2)
            if at > 1 and linked(at - 2, at - 1):
                add("change_pairs", second, 1)
                add("change_products", second, change * (trades[at - 1][1] - trades[at - 2][1]))
        before = [s for s in samples if s[0] <= event_ns][-1:]
        if not before or not before[0][1] or event_ns - before[0][0] > SECOND_NS:
            continue
        middle = before[0][1] + before[0][2]
        add("effective", second, sign * (2 * ticks - middle) * lots)
        add("effective_value", second, middle * lots)
        due = before[0][0] + 5 * SECOND_NS
        later = [s for s in samples if s[0] >= due and s[1] > 0][:1]
        if later and later[0][0] <= due + SECOND_NS:
            known = (later[0][0] - start_ns - 1) // SECOND_NS
            if known < count:
                moved = sign * (later[0][1] + later[0][2] - middle) * lots
                add("impact", known, moved)
                add("realised", known, sign * (2 * ticks - middle) * lots - moved)
                add("realised_value", known, middle * lots)
    return out


def random_market(rng: Generator, seconds: int) -> tuple[Rows, list[tuple[int, int, int]], list[Gap]]:
    """Trades in bursts, samples with holes and one-sided books, gaps of whole and broken seconds."""
    times = np.sort(rng.integers(0, seconds * 1000, 12 * seconds)) * MS + MIDNIGHT
    ticks = 50_000 + rng.integers(-3, 4, len(times)).cumsum()
    trades: Rows = [
        (int(t), int(p), int(q), bool(s))
        for t, p, q, s in zip(
            times, ticks, rng.integers(1, 900, len(times)), rng.random(len(times)) < 0.4, strict=True
        )
    ]
    trades[0] = (MIDNIGHT, *trades[0][1:])
    samples = []
    for i in range(1, 2 * seconds + 1):
        if rng.random() < 0.85 and not 40 <= i < 50:
            bid = 0 if rng.random() < 0.05 else 49_990 + int(rng.integers(0, 20))
            samples.append((MIDNIGHT + i * 500 * MS, bid, bid + 1 + int(rng.integers(0, 9))))
    begin = int(rng.integers(3, seconds - 9)) * 1000
    gaps = [(begin, begin + 2000), (begin + 4300, begin + 4700)]
    found = [gap_of(MIDNIGHT + a * MS, MIDNIGHT + b * MS) for a, b in gaps]
    return trades, samples, found


@pytest.mark.parametrize("seed", range(6))
def test_a_random_market_equals_the_slow_fold(seed: int) -> None:
    trades, samples, gaps = random_market(np.random.default_rng(seed), 40)
    flow = folded(trades, samples, MIDNIGHT + 40 * SECOND_NS, gaps)
    expected = slow_flow(trades, samples, gaps, MIDNIGHT, 40)
    for name, values in expected.items():
        assert getattr(flow, name).tolist() == values, name
        assert any(values), name


@pytest.mark.parametrize("seed", range(4))
def test_any_cut_and_restart_gives_the_same_bits(seed: int) -> None:
    rng = np.random.default_rng(seed)
    trades, samples, gaps = random_market(rng, 60)
    lengths_s = (1, 5, 60)
    whole = new_fold(lengths_s).advance(
        trades_of(trades), samples_of(samples), gaps, MIDNIGHT + 60 * SECOND_NS
    )
    fold, parts = new_fold(lengths_s), []
    cuts = [*np.sort(rng.choice(np.arange(1, 60), 12, replace=False)).tolist(), 60]
    for begin, end in zip([0, *cuts], cuts, strict=False):
        from_ns, until_ns = MIDNIGHT + begin * SECOND_NS, MIDNIGHT + end * SECOND_NS
        some = [row for row in trades if from_ns <= row[0] < until_ns]
        sampled = [row for row in samples if from_ns < row[0] <= until_ns]
        parts.append(fold.advance(trades_of(some), samples_of(sampled), gaps, until_ns))
        state, fold = fold.to_arrays(), new_fold(lengths_s)
        fold.restore(state)
    for length in whole:
        flows = [part[length].flow for part in parts]
        for name in FlowFrames.__slots__:
            joined = np.concatenate([getattr(flow, name) for flow in flows])
            assert joined.tobytes() == getattr(whole[length].flow, name).tobytes(), name


def test_longer_bars_are_sums_and_last_values() -> None:
    trades, samples, gaps = random_market(np.random.default_rng(9), 60)
    bars = new_fold((1, 15)).advance(trades_of(trades), samples_of(samples), gaps, MIDNIGHT + 60 * SECOND_NS)
    seconds, longer = bars[SECOND_NS].flow, bars[15 * SECOND_NS].flow
    for at, name in enumerate(FLOW_COLUMNS):
        values = getattr(seconds, name).reshape(4, 15)
        expected = values.sum(axis=1) if at < 16 else values[:, -1]
        assert getattr(longer, name).tolist() == expected.tolist(), name
    assert longer.sell_levels.tobytes() == seconds.sell_levels[14::15].copy().tobytes()
