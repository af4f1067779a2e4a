"""Seconds of trades against plain Python, whatever the window of large trades and the cuts."""

from typing import Any

import numpy as np
import pytest

from undertow.frames import trade_fold
from undertow.market.time import MILLISECOND_NS, SECOND_NS

START = 1_700_000_000 * SECOND_NS


def random_trades(seed: int, count: int, seconds: int) -> tuple[Any, Any, Any, Any]:
    """Times, ticks, lots, sides; many share a millisecond, some seconds are empty."""
    rng = np.random.default_rng(seed)
    times = np.sort(rng.choice(rng.integers(0, seconds * 1000, count // 2 + 1), count)) * MILLISECOND_NS
    lots = rng.integers(1, 9, count) ** rng.integers(1, 4, count)
    return times + START, 1000 + rng.integers(-5, 6, count).cumsum(), lots, rng.random(count) < 0.5


def folded(trades: tuple[Any, Any, Any, Any], cuts: list[int], seconds: int, rule: Any) -> Any:
    """Rows of the seconds, folded up to each cut [s] and then to the end."""
    state = trade_fold.new_trade_state()
    trade_fold.start_grid(state, START)
    parts, at = [], 0
    for until in [*cuts, seconds]:
        until_ns = START + until * SECOND_NS
        due = int(np.searchsorted(trades[0], until_ns))
        out, written = np.empty((seconds, len(trade_fold.SECOND_COLUMNS)), np.int64), 0
        while True:
            some = [column[:due] for column in trades]
            at, rows = trade_fold.fold_trades(*some, at, until_ns, *rule, state, out[written:])  # type: ignore[call-arg]
            written += rows
            if at == due:
                break
            state = trade_fold.grow_window(state)
        parts.append(out[:written])
    return np.concatenate(parts)


def expected(trades: tuple[Any, Any, Any, Any], seconds: int, rule: trade_fold.LargeTradeRule) -> list[Any]:
    """Count, buys, sells, notional, large count and lots, open, high, low, close of seconds that traded."""
    times, ticks, lots, sold = trades
    large = []
    for i, event_ns in enumerate(times):
        inside = lots[int(np.searchsorted(times, event_ns - rule.window_ns, side="right")) : i + 1]
        large.append(bool(lots[i] * len(inside) > rule.factor * inside.sum()))
    second = (times - START) // SECOND_NS
    rows: list[Any] = []
    for at in range(seconds):
        here = second == at
        if not here.any():
            rows.append(None)
            continue
        p, q, s, big = ticks[here], lots[here], sold[here], np.array(large)[here]
        sums = (len(q), q[~s].sum(), q[s].sum(), (p * q).sum(), big.sum(), q[big].sum())
        rows.append((*sums, p[0], p.max(), p.min(), p[-1]))
    return rows


NAMES = ("trade_count", "buy_lots", "sell_lots", "notional", "large_count", "large_lots")
PLACES = [trade_fold.SECOND_COLUMNS.index(n) for n in (*NAMES, "open", "high", "low", "close")]


@pytest.mark.parametrize("window_ns", [1, 300 * MILLISECOND_NS, 5 * SECOND_NS, 900 * SECOND_NS])
@pytest.mark.parametrize("factor", [1.0, 2.0, 3.5])
def test_seconds_equal_plain_python(window_ns: int, factor: float) -> None:
    trades, rule = random_trades(int(factor * 10), 900, 30), trade_fold.LargeTradeRule(factor, window_ns)
    rows = folded(trades, [1, 7, 8, 20], 30, rule)
    theirs = expected(trades, 30, rule)
    assert sum(row is not None for row in theirs) > 20
    for ours, row in zip(rows[:, PLACES], theirs, strict=True):
        assert row is None or tuple(ours) == row
    assert len(rows) == 30
    assert rows[:, PLACES[4]].sum() > 0 or window_ns == 1


def test_a_window_that_must_grow_loses_nothing() -> None:
    trades, rule = random_trades(5, 40_000, 50), trade_fold.LargeTradeRule(2.0, 900 * SECOND_NS)
    rows = folded(trades, [], 50, rule)
    lots = trades[2]
    large = lots * np.arange(1, len(lots) + 1) > 2.0 * lots.cumsum()
    assert rows[:, PLACES[4]].sum() == large.sum()
    assert rows[:, PLACES[5]].sum() == lots[large].sum()
    assert rows.tobytes() == folded(trades, list(range(1, 50)), 50, rule).tobytes()


def test_a_full_window_takes_on_what_comes_after_it_has_emptied() -> None:
    """Exactly as many trades as the window has room for, then a pause longer than the window, then more."""
    count = trade_fold.new_trade_state().window.shape[1]
    times = START + np.concatenate([np.arange(count) * 1000, 40 * SECOND_NS + np.arange(count) * 1000])
    ones = np.ones(2 * count, np.int64)
    lots = np.concatenate([np.full(count, 1000), ones[:count]])
    lots[-1] = 3
    rule = trade_fold.LargeTradeRule(2.0, 10 * SECOND_NS)
    rows = folded((times, ones * 50, lots, ones > 0), [], 41, rule)
    assert rows[:, PLACES[4]].tolist() == [0] * 40 + [1]
    assert rows[0, PLACES[0]] == rows[40, PLACES[0]] == count
