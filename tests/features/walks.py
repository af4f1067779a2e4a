"""Long random markets, made at once: prices that walk, volumes, silent bars and gaps."""

import numpy as np

from tests.features.frames_factory import SECOND, blank
from undertow.frames.frames import Frames

__all__ = ["trading_walk"]


def trading_walk(
    count: int, seed: int = 1, length_ns: int = SECOND, start: int = 600_000, gaps: bool = True
) -> Frames:
    """Bars of ticks of 0.1 and lots of 0.001 that end at midnight; with `gaps`, 2 % of them unknown."""
    rng = np.random.default_rng(seed)
    gap_ns = rng.choice((0, length_ns // 2, length_ns), count, p=(0.96, 0.02, 0.02)) * gaps
    traded = (rng.random(count) < 0.9) & (gap_ns < length_ns)
    traded[0] = True
    newest = np.maximum.accumulate(np.where(traded, np.arange(count), 0))
    close = np.maximum(start + rng.integers(-40, 41, count).cumsum(), 100)[newest]
    before = np.concatenate([close[:1], close[:-1]])
    opens = np.where(traded, close + rng.integers(-9, 10, count), before)
    reach = rng.integers(0, 9, (2, count)) * traded
    buys, sells = rng.integers(1, 5_000, (2, count)) * traded
    high, low = np.maximum(opens, close) + reach[0], np.minimum(opens, close) - reach[1]
    return blank(
        count,
        length_ns,
        price="0.1",
        quantity="0.001",
        open=opens,
        high=high,
        low=low,
        close=close,
        trade_count=traded * 2,
        buy_lots=buys,
        sell_lots=sells,
        notional=(buys + sells) * close,
        signed_notional=(buys - sells) * close,
        trade_gap_ns=gap_ns,
        gap_ns=gap_ns,
    )
