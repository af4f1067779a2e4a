"""Bars made by hand for tests of patterns, and what may be done to them that a law speaks of."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from undertow.market.time import SECOND_NS
from undertow.patterns.pattern import PatternBars

__all__ = ["COLUMNS", "START_NS", "flat", "mirrored", "random_market", "rows", "scaled", "with_columns"]

Floats = NDArray[np.float64]

START_NS = 1_700_000_000 * SECOND_NS
QUANTITIES = (
    *("vol_delta", "volume", "buy_volume", "sell_volume", "large_trade_volume"),
    *("bid_depth_change", "ask_depth_change"),
)
COLUMNS = (*QUANTITIES, "mid_price", "large_trade_count", "imbalance_10_avg", "gap_fraction")
SWAPPED = (
    ("buy_volume", "sell_volume"),
    ("bid_depth_change", "ask_depth_change"),
)


def flat(count: int) -> PatternBars:
    """One-second bars in which nothing happens at a price of 1000."""
    columns = {name: np.zeros(count) for name in COLUMNS}
    columns["mid_price"] += 1000.0
    return PatternBars(_opens(count), _opens(count) + SECOND_NS + 250_000_000, SECOND_NS, columns)


def random_market(count: int, seed: int) -> PatternBars:
    """Heavy-tailed noise on a grid of eighths, so that sums and mirror images are exact."""
    random = np.random.default_rng(seed)
    bought, sold = _tails(random, count), _tails(random, count)
    added = {side: _tails(random, count) - _tails(random, count) for side in ("bid", "ask")}
    steps = np.round(random.standard_t(3, count)) / 2
    imbalance = np.convolve(random.normal(0, 1, count + 9), np.ones(10) / 5, "valid")
    large = random.poisson(1.0, count).astype(np.float64)
    columns = {
        "buy_volume": bought,
        "sell_volume": sold,
        "vol_delta": bought - sold,
        "volume": bought + sold,
        "large_trade_count": large,
        "large_trade_volume": np.where(large > 0, _tails(random, count), 0.0),
        "bid_depth_change": added["bid"] - sold,
        "ask_depth_change": added["ask"] - bought,
        "mid_price": 1000.0 + np.cumsum(steps),
        "imbalance_10_avg": np.round(np.tanh(imbalance) * 1024) / 1024,
        "gap_fraction": np.zeros(count),
    }
    return PatternBars(_opens(count), _opens(count) + SECOND_NS, SECOND_NS, columns)


def with_columns(bars: PatternBars, **changed: Floats) -> PatternBars:
    return replace(bars, columns={**bars.columns, **changed})


def rows(bars: PatternBars, chosen: slice | NDArray[np.int64]) -> PatternBars:
    columns = {name: values[chosen] for name, values in bars.columns.items()}
    return PatternBars(bars.open_ns[chosen], bars.known_ns[chosen], bars.length_ns, columns)


def mirrored(bars: PatternBars) -> PatternBars:
    """Buyers and sellers, bids and asks exchanged, prices mirrored at 1000."""
    columns: dict[str, Floats] = dict(bars.columns)
    for bid, ask in SWAPPED:
        columns[bid], columns[ask] = columns[ask], columns[bid]
    columns["vol_delta"] = -columns["vol_delta"]
    columns["imbalance_10_avg"] = -columns["imbalance_10_avg"]
    columns["mid_price"] = 2000.0 - columns["mid_price"]
    return replace(bars, columns=columns)


def scaled(bars: PatternBars, price: float, quantity: float) -> PatternBars:
    """The same market in other units; exact where the factors are powers of two."""
    factors: Mapping[str, float] = dict.fromkeys(QUANTITIES, quantity) | {"mid_price": price}
    return replace(
        bars, columns={name: values * factors.get(name, 1.0) for name, values in bars.columns.items()}
    )


def _opens(count: int) -> NDArray[np.int64]:
    return START_NS + SECOND_NS * np.arange(count, dtype=np.int64)


def _tails(random: np.random.Generator, count: int) -> Floats:
    return np.round(random.pareto(2.0, count) * 16) / 8
