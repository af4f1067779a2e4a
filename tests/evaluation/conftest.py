from collections.abc import Callable

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

from undertow.datasets.bars import SymbolBars

S = 1_000_000_000
START = 1_723_161_600

Market = Callable[..., list[SymbolBars]]


def autoregressive(random: np.random.Generator, n: int, phi: float) -> NDArray[np.float64]:
    values = random.normal(size=n)
    for i in range(1, n):
        values[i] = phi * values[i - 1] + np.sqrt(1 - phi * phi) * values[i]
    return values


def one_symbol(symbol: str, n: int, seed: list[int], signal: float, *, clustered: bool) -> SymbolBars:
    random = np.random.default_rng(seed)
    columns = {f"x{i}": autoregressive(random, n, phi) for i, phi in enumerate((0.0, 0.5, 0.9, 0.97))}
    columns["flow"] = autoregressive(random, n, 0.8)
    returns = random.normal(size=n)
    if clustered:
        returns *= np.exp(0.7 * columns["x2"])
    returns[1:] += signal * columns["flow"][:-1]
    mid = 100 * np.exp(np.cumsum(returns) * 1e-4)
    frame = pl.DataFrame(
        {
            "timestamp": (START + np.arange(n)) * 1000,
            "known_ns": (START + np.arange(n) + 1) * S + S // 4,
            "best_bid": mid - 0.005,
            "best_ask": mid + 0.005,
            "mid_price": mid,
            "gap_fraction": np.zeros(n),
            "queue_imbalance": np.tanh(autoregressive(random, n, 0.5)),
            "ofi_1": random.normal(size=n),
            "ofi_10": random.normal(size=n),
            **columns,
        }
    )
    return SymbolBars(symbol, S, frame)


@pytest.fixture(scope="session")
def market() -> Market:
    """A maker of two symbols' bars: a mid with a planted signal in `flow`, or a martingale at signal 0."""

    def make(n: int, seed: int, signal: float = 0.0, *, clustered: bool = False) -> list[SymbolBars]:
        return [
            one_symbol(symbol, n, [seed, number], signal, clustered=clustered)
            for number, symbol in enumerate(("AUSDT", "BUSDT"))
        ]

    return make
