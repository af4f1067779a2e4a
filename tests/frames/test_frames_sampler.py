import random
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.frames.conftest import INSTRUMENT, START_MS, SmallMarket, make_market
from undertow.frames.column_set import empty_trades
from undertow.frames.frame_fold import FrameFold
from undertow.frames.frames import FlowFrames, Frames
from undertow.frames.sampler import Sampled, Sampler, SamplerSettings
from undertow.market.batch import EventBatch
from undertow.market.events import Gap
from undertow.venues.binance.mapper import BinanceMapper

SETTINGS = SamplerSettings(timeframes_ns=(10**9, 5 * 10**9, 60 * 10**9), lateness_ns=250_000_000)
SECOND = 10**9


def run(blocks: list[bytes], sampler: Sampler | None = None) -> tuple[Sampler, list[Sampled]]:
    mapper = BinanceMapper(INSTRUMENT)
    sampler = sampler or Sampler(INSTRUMENT, SETTINGS)
    return sampler, [sampler.feed(mapper.map(block).batch) for block in blocks]


def column(parts: list[Any], name: str) -> NDArray[Any]:
    return np.concatenate([getattr(part, name) for part in parts])


def same_frames(first: list[Sampled], second: list[Sampled]) -> None:
    for length in SETTINGS.timeframes_ns:
        a = [s.frames[length] for s in first if length in s.frames]
        b = [s.frames[length] for s in second if length in s.frames]
        for f in fields(Frames):
            if isinstance(getattr(a[0], f.name), np.ndarray):
                assert column(a, f.name).tobytes() == column(b, f.name).tobytes(), f.name
        ours, theirs = [frames.flow for frames in a], [frames.flow for frames in b]
        for f in fields(FlowFrames):
            assert column(ours, f.name).tobytes() == column(theirs, f.name).tobytes(), f.name


def same(first: list[Sampled], second: list[Sampled]) -> None:
    same_frames(first, second)
    for table in ("trades", "aggtrades"):
        for f in fields(first[0].trades[table]):
            a = column([s.trades[table] for s in first], f.name)
            assert a.tobytes() == column([s.trades[table] for s in second], f.name).tobytes()
    for grid in ("depth", "l2"):
        for f in fields(first[0].depth):
            a = column([getattr(s, grid) for s in first], f.name)
            assert a.tobytes() == column([getattr(s, grid) for s in second], f.name).tobytes(), f.name
    gaps = [gap for s in first for gap in s.gaps]
    assert sorted(map(repr, gaps)) == sorted(repr(gap) for s in second for gap in s.gaps)


def cut(lines: list[bytes], rng: random.Random) -> list[bytes]:
    blocks, at = [], 0
    while at < len(lines):
        size = rng.choice((1, 1, 2, 7, 50))
        blocks.append(b"".join(lines[at : at + size]))
        at += size
    return blocks


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("drop", [frozenset[int](), frozenset({30, 31, 90})])
def test_any_cut_gives_the_same_bits(seed: int, drop: frozenset[int]) -> None:
    market = make_market(seed, 40, drop)
    market.lines[200:200] = [snapshot_line(market, 200)]
    _, whole = run([market.bytes()])
    _, parts = run(cut(market.lines, random.Random(seed)))
    same(whole, parts)
    _, single = run(market.lines)
    same(whole, single)


def snapshot_line(market: SmallMarket, at: int) -> bytes:
    """A REST snapshot as it would be at line `at`: the truth at the newest update before it."""
    import json

    from tests.frames.conftest import frame_line, sides

    updates = 0
    frame: dict[str, Any] = {}
    for line in market.lines[:at]:
        seen = json.loads(line.split(b" ", 1)[1])
        if seen.get("e") == "depthUpdate":
            updates, frame = updates + 1, seen
    truth = next(b for b in market.books if b[0] == frame["T"])
    receive = int(market.lines[at].split(b" ")[0]) // 10**6
    return frame_line(
        receive,
        {"lastUpdateId": frame["u"], "T": frame["T"], "bids": sides(truth[1]), "asks": sides(truth[2])},
    )


@pytest.mark.parametrize("seed", range(3))
def test_a_state_restored_goes_on_with_the_same_bits(seed: int) -> None:
    market = make_market(seed, 40, frozenset({30}))
    _, whole = run([market.bytes()])
    at = random.Random(seed).randrange(10, len(market.lines) - 10)
    first, before = run([b"".join(market.lines[:at])])
    arrays = first.to_arrays()
    again = Sampler(INSTRUMENT, SETTINGS)
    again.restore({name: array.copy() for name, array in arrays.items()})
    _, after = run([b"".join(market.lines[at:])], again)
    same(whole, [*before, *after])


def test_samples_are_the_book_before_the_grid_time() -> None:
    market = make_market(7, 30)
    _, parts = run([market.bytes()])
    depth = parts[0].depth
    assert len(depth) > 40
    for row in range(len(depth)):
        grid_ms = depth.grid_ns[row] / 1e6
        truth = [b for b in market.books if b[0] < grid_ms]
        if not truth:
            continue
        _, bids, asks = truth[-1]
        expected_bids = sorted(bids.items(), reverse=True)[:20]
        expected_asks = sorted(asks.items())[:20]
        assert list(zip(depth.bid_ticks[row], depth.bid_lots[row], strict=True)) == expected_bids
        assert list(zip(depth.ask_ticks[row], depth.ask_lots[row], strict=True)) == expected_asks
    assert (np.diff(depth.grid_ns) == 500_000_000).all()
    assert (np.diff(parts[0].l2.grid_ns) == SECOND).all()


def test_spread_integrals_and_flow_equal_a_plain_walk_over_the_updates() -> None:
    market = make_market(8, 30)
    _, parts = run([market.bytes()])
    depth = parts[0].depth
    events = [(ms * 1000, min(asks) - max(bids)) for ms, bids, asks in market.books]
    for row in range(1, len(depth)):
        begin, end = depth.grid_ns[row - 1] // 1000, depth.grid_ns[row] // 1000
        spread = [s for us, s in events if us < begin][-1]
        at, integral, square = begin, 0, 0
        for us, after in events:
            if begin <= us < end:
                integral, square = integral + spread * (us - at), square + spread**2 * (us - at)
                at, spread = us, after
        assert depth.spread_integral[row] == integral + spread * (end - at)
        assert depth.spread_square_integral[row] == square + spread**2 * (end - at)
        assert depth.spread_time_us[row] == end - begin


def order_flow(before: SmallMarket, row: int, levels: int) -> int:
    def top(side: dict[int, int], sign: int) -> list[tuple[int, int]]:
        ranked = sorted(side.items(), reverse=sign > 0)[:levels]
        return ranked + [(0 if sign > 0 else 10**9, 0)] * (levels - len(ranked))

    _, bids0, asks0 = before.books[row - 1]
    _, bids1, asks1 = before.books[row]
    flow = 0
    for (p1, q1), (p0, q0) in zip(top(bids1, 1), top(bids0, 1), strict=True):
        flow += q1 * (p1 >= p0) - q0 * (p1 <= p0)
    for (p1, q1), (p0, q0) in zip(top(asks1, -1), top(asks0, -1), strict=True):
        flow += -q1 * (p1 <= p0) + q0 * (p1 >= p0)
    return flow


def test_order_flow_imbalance_sums_every_update_of_the_bar() -> None:
    market = make_market(9, 20)
    _, parts = run([market.bytes()])
    bars = parts[0].frames[SECOND]
    for row in range(2, len(bars)):
        begin, end = bars.open_ns[row] // 10**6, bars.open_ns[row] // 10**6 + 1000
        inside = [i for i, b in enumerate(market.books) if begin <= b[0] < end]
        assert bars.ofi_1[row] == sum(order_flow(market, i, 1) for i in inside)
        assert bars.ofi_10[row] == sum(order_flow(market, i, 10) for i in inside)
        assert bars.update_count[row] == len(inside)


def book_changes(before: dict[int, int], after: dict[int, int], sign: int) -> tuple[int, int]:
    """(added, removed) at or better than the tenth best price of before; sign +1 bid, -1 ask."""
    tenth = sorted(sign * ticks for ticks in before)[-10]
    near = [ticks for ticks in before.keys() | after.keys() if sign * ticks >= tenth]
    changes = [after.get(ticks, 0) - before.get(ticks, 0) for ticks in near]
    return sum(c for c in changes if c > 0), -sum(c for c in changes if c < 0)


def test_what_is_added_and_removed_near_the_best_price_sums_every_update() -> None:
    market = make_market(10, 30)
    _, parts = run([market.bytes()])
    bars, depth = parts[0].frames[SECOND], parts[0].depth
    totals = np.zeros(4, np.int64)
    for row in range(2, len(bars)):
        begin, end = bars.open_ns[row] // 10**6, bars.open_ns[row] // 10**6 + 1000
        inside = [i for i, b in enumerate(market.books) if begin <= b[0] < end]
        bids = [book_changes(market.books[i - 1][1], market.books[i][1], 1) for i in inside]
        asks = [book_changes(market.books[i - 1][2], market.books[i][2], -1) for i in inside]
        expected = [sum(side[k] for side in sides) for sides in (bids, asks) for k in (0, 1)]
        found = (bars.bid_added, bars.bid_removed, bars.ask_added, bars.ask_removed)
        assert [column[row] for column in found] == expected
        totals += expected
    assert (totals > 0).all()
    assert (bars.detailed_count == bars.sample_count).all()
    sums = sum(getattr(depth, f"ofi_level_{level}") for level in range(2, 11))
    assert (depth.ofi_1 + sums == depth.ofi_10).all()


def test_order_flow_imbalance_of_each_level() -> None:
    market = make_market(9, 20)
    _, parts = run([market.bytes()])
    bars = parts[0].frames[SECOND]
    for row in range(2, len(bars)):
        begin, end = bars.open_ns[row] // 10**6, bars.open_ns[row] // 10**6 + 1000
        inside = [i for i, b in enumerate(market.books) if begin <= b[0] < end]
        for level in range(2, 11):
            to_here = sum(order_flow(market, i, level) - order_flow(market, i, level - 1) for i in inside)
            assert bars.ofi_levels[row, level - 1] == to_here
        assert bars.ofi_levels[row, 0] == bars.ofi_1[row]


def test_samples_of_older_files_leave_the_changes_of_their_bar_untold() -> None:
    _, parts = run([make_market(10, 30).bytes()])
    depth, bars = parts[0].depth, parts[0].frames[SECOND]
    switch_ns = int(bars.open_ns[7]) + SECOND // 2
    unknown = np.where(depth.grid_ns <= switch_ns, -1, depth.added_bids)
    fold = FrameFold(INSTRUMENT, (SECOND,), 250_000_000, SETTINGS.large())
    until_ns = int(bars.open_ns[-1]) + SECOND
    again = fold.advance(empty_trades(), replace(depth, added_bids=unknown), (), until_ns)[SECOND]
    bars = bars[len(bars) - len(again) :]
    assert again.open_ns.tolist() == bars.open_ns.tolist()
    at = int(np.searchsorted(again.open_ns, switch_ns)) - 1
    assert again.detailed_count[:at].tolist() == [0] * at
    assert (again.sample_count[at], again.detailed_count[at]) == (2, 1)
    for name in ("detailed_count", "bid_added", "ask_removed", "ofi_levels"):
        assert getattr(again, name)[at + 1 :].tolist() == getattr(bars, name)[at + 1 :].tolist(), name


def test_a_lost_delta_is_a_gap_and_no_book_is_sampled_until_the_resync() -> None:
    market = make_market(3, 40, frozenset({60}))
    market.lines.append(b"")
    resync = snapshot_line(market, len(market.lines) - 2)
    lines = [*market.lines[:-2], resync, market.lines[-2]]
    _, whole = run([b"".join(lines)])
    gaps = [gap for s in whole for gap in s.gaps]
    lost_ms = market.books[60][0]
    depth = whole[0].depth
    sampled = depth.grid_ns // 10**6
    assert not ((sampled > lost_ms + 1000) & (sampled <= START_MS + 39_000)).any()
    sampler, _ = run([b"".join(market.lines)])
    assert sampler.book.needs_snapshot
    bars = whole[0].frames[SECOND]
    inside = (bars.open_ns // 10**6 > lost_ms + 1000) & (bars.open_ns // 10**6 < START_MS + 38_000)
    assert (bars.gap_ns[inside] == SECOND).all()
    assert (bars.trade_gap_ns == 0).all()
    assert all(gap.stream == "depth" and gap.cause == "update ids missing" for gap in gaps)


def quote(ms: int) -> bytes:
    return b'%d {"e":"bookTicker","u":1,"s":"BTCUSDT","T":%d,"E":%d,"b":"1","B":"1","a":"2","A":"1"}\n' % (
        ms * 10**6,
        ms,
        ms,
    )


def trade(ms: int, trade_id: int, lots: int = 1) -> bytes:
    return (
        b'%d {"e":"aggTrade","E":%d,"s":"BTCUSDT","a":%d,"p":"100.0",'
        b'"q":"0.%03d","f":1,"l":1,"T":%d,"m":false}\n' % (ms * 10**6, ms, trade_id, lots, ms)
    )


def test_a_trade_that_comes_after_its_bar_was_closed_is_stored_marked_and_left_out() -> None:
    t = START_MS
    blocks = [trade(t + 100, 1), trade(t + 900, 2), quote(t + 1249), trade(t + 950, 3), quote(t + 1250)]
    blocks += [trade(t + 960, 4), trade(t + 1300, 5), quote(t + 2300)]
    _, parts = run([b"".join(blocks)])
    stored = parts[0].trades["aggtrades"]
    assert stored.trade_id.tolist() == [1, 2, 3, 4, 5]
    assert stored.is_late.tolist() == [False, False, False, True, False]
    assert parts[0].frames[SECOND].trade_count.tolist() == [3, 1]


def test_trades_are_folded_by_event_time_and_id_not_by_arrival() -> None:
    t = START_MS
    lines = [trade(t + 200, 7, 5), trade(t + 100, 8, 3), trade(t + 100, 9, 1), quote(t + 1300)]
    _, parts = run([b"".join(lines)])
    bar = parts[0].frames[SECOND]
    assert (bar.trade_count[0], bar.buy_lots[0]) == (3, 9)
    assert bar.last_trade_ns[0] == (t + 200) * 10**6


def test_duplicates_are_stored_once_and_missing_ids_are_a_gap() -> None:
    t = START_MS
    lines = [
        trade(t + 1, 1),
        trade(t + 2, 2),
        trade(t + 2, 2),
        trade(t + 400, 6),
        trade(t + 401, 4),
        quote(t + 1300),
    ]
    sampler, parts = run([b"".join(lines)])
    assert parts[0].trades["aggtrades"].trade_id.tolist() == [1, 2, 6, 4]
    assert sampler.duplicate_count == 1
    (gap,) = parts[0].gaps
    assert gap == Gap(
        symbol="BTCUSDT",
        stream="aggtrades",
        from_ns=(t + 2) * 10**6,
        to_ns=(t + 400) * 10**6,
        first_id=3,
        last_id=5,
        cause="trade ids missing",
        counted_from_ns=(t + 2) * 10**6,
        counted_to_ns=(t + 400) * 10**6,
    )
    assert parts[0].frames[SECOND].trade_gap_ns.tolist() == [398 * 10**6]


def mark(kind: str, ms: int = 0, category: str = "all") -> bytes:
    body = {"watermark": f'"T":{ms}', "disconnect": f'"category":"{category}","reason":"test"'}[kind]
    return b'1 {"stream":"!undertow","data":{"e":"%s",%s}}\n' % (kind.encode(), body.encode())


def test_while_disconnected_bars_close_on_the_timer_and_say_that_they_know_nothing() -> None:
    t = START_MS
    lines = [
        trade(t + 500, 1),
        mark("disconnect"),
        mark("watermark", t + 3400),
        trade(t + 3500, 2),
        quote(t + 5000),
    ]
    _, parts = run(lines)
    _, whole = run([b"".join(lines)])
    same_frames(parts, whole)
    bars = column([s.frames[SECOND] for s in parts if SECOND in s.frames], "trade_gap_ns")
    assert bars.tolist() == [500_000_000, SECOND, SECOND, 0]
    (gap,) = [gap for s in parts for gap in s.gaps]
    assert gap.cause == "disconnected, no id missing"


def test_a_quiet_market_closes_bars_on_the_timer() -> None:
    t = START_MS
    _, parts = run([trade(t + 500, 1), mark("watermark", t + 1300), mark("watermark", t + 2300)])
    counts = column([s.frames[SECOND] for s in parts if SECOND in s.frames], "trade_count")
    assert counts.tolist() == [1, 0]


def test_large_trades_against_a_plain_definition() -> None:
    settings = SamplerSettings(timeframes_ns=(SECOND,), large_window_ns=5 * SECOND)
    market = make_market(5, 60)
    sampler = Sampler(INSTRUMENT, settings)
    bars = sampler.feed(BinanceMapper(INSTRUMENT).map(market.bytes()).batch).frames[SECOND]
    ordered = sorted(market.trades)
    large: dict[int, int] = {}
    for i, (ms, _, _, lots, _) in enumerate(ordered):
        window = [q for m, _, _, q, _ in ordered[: i + 1] if ms - 5000 < m <= ms]
        if lots > 2.0 * sum(window) / len(window):
            large[ms // 1000] = large.get(ms // 1000, 0) + lots
    expected = [large.get(int(second), 0) for second in bars.open_ns // SECOND]
    assert bars.large_lots.tolist() == expected
    assert sum(expected) > 0


def test_longer_bars_are_the_fold_over_the_same_events() -> None:
    market = make_market(6, 70)
    _, parts = run([market.bytes()])
    seconds, fives = parts[0].frames[SECOND], parts[0].frames[5 * SECOND]
    for row in range(1, len(fives)):
        inside = (seconds.open_ns >= fives.open_ns[row]) & (seconds.open_ns < fives.open_ns[row] + 5 * SECOND)
        for name in (
            "trade_count",
            "buy_lots",
            "sell_lots",
            "notional",
            "ofi_1",
            "spread_integral",
            "large_lots",
        ):
            assert getattr(fives, name)[row] == getattr(seconds, name)[inside].sum()
        assert fives.high[row] == seconds.high[inside].max()
        assert fives.low[row] == seconds.low[inside].min()
        assert fives.close[row] == seconds.close[inside][-1]


@pytest.mark.parametrize("bad", [{"flow": "x"}, {"depth_levels": 5}, {"depth_interval_ns": 7 * 10**8}])
def test_settings_that_contradict_are_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"flow|levels|interval"):
        SamplerSettings(**bad)


def test_an_empty_block_is_nothing() -> None:
    sampler, parts = run([b""])
    assert parts[0].frames == {}
    assert isinstance(parts[0].depth.grid_ns, np.ndarray)
    assert sampler.newest_ns == 0
    assert len(EventBatch.__slots__) > 0


@pytest.mark.scenario("S9", "a time far in the future closes no bar and makes no file")
def test_a_time_that_cannot_be_true_closes_no_bar() -> None:
    t = START_MS
    late_century = trade(4_102_444_800_000, 3).replace(b"4102444800000000000", b"%d" % ((t + 600) * 10**6))
    lines = [trade(t + 500, 1), trade(t + 550, 2), late_century, trade(t + 700, 4), quote(t + 1300)]
    for blocks in (lines, [b"".join(lines)]):
        sampler, parts = run(blocks)
        assert sampler.implausible_count == 1
        assert sampler.closed_ns == (t + 1000) * 10**6
        ids = column([s.trades["aggtrades"] for s in parts], "trade_id")
        assert ids.tolist() == [1, 2, 4]
        (gap,) = [gap for s in parts for gap in s.gaps]
        assert (gap.first_id, gap.last_id) == (3, 3)
