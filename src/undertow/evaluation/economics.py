"""What decisions would have earned at the quotes that could be had, before and after costs.

Accounting is per decision: every up or down decision opens a position of one unit of notional of its own at
the first quote after it was known, and closes it at the label's end. Positions of successive decisions
overlap; sizes do not add up to an account's. A flat decision earns nothing and is counted.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from undertow.datasets.dataset import Dataset
from undertow.labels.thresholds import DOWN, UP

__all__ = ["Outcomes", "fee_frontier_bps", "outcomes"]

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Outcomes:
    """n decisions, each array (n,); 0 where the decision was flat or a quote was unknown."""

    gross_bps: Floats
    """Mid to mid over the holding time, no costs [bps of the entry price]."""
    after_spread_bps: Floats
    """Bought at the ask and sold at the bid, or the reverse; no fees."""
    fee_turnover: Floats
    """Notional traded, entry and exit, in units of the entry notional: what a fee is charged on."""
    net_bps: Floats
    """After spread and taker fees."""
    tradable: NDArray[np.bool_]
    """(n,) bool; true = both quotes were known."""


def outcomes(dataset: Dataset, predicted: Integers, taker_fee_bps: float) -> Outcomes:
    """Result of acting on each predicted class (n,), with a taker fee [bps of notional] on each side."""
    quotes = np.stack([dataset.entry_bid, dataset.entry_ask, dataset.exit_bid, dataset.exit_ask])
    tradable: NDArray[np.bool_] = np.all(np.isfinite(quotes) & (quotes > 0), axis=0)
    entry_bid, entry_ask, exit_bid, exit_ask = np.where(tradable, quotes, 1.0)
    long, short = predicted == UP, predicted == DOWN
    acts = (long | short) & tradable
    side = np.where(acts, long.astype(np.float64) - short, 0.0)
    entry = np.where(short, entry_bid, entry_ask)
    leave = np.where(short, exit_ask, exit_bid)
    entry_mid, exit_mid = (entry_bid + entry_ask) / 2, (exit_bid + exit_ask) / 2
    after_spread = side * 1e4 * (leave - entry) / entry
    turnover = np.where(acts, 1.0 + leave / entry, 0.0)
    return Outcomes(
        gross_bps=side * 1e4 * (exit_mid - entry_mid) / entry_mid,
        after_spread_bps=after_spread,
        fee_turnover=turnover,
        net_bps=after_spread - taker_fee_bps * turnover,
        tradable=tradable,
    )


def fee_frontier_bps(result: Outcomes) -> float | None:
    """The taker fee a side [bps] at which the profit is zero; below zero where the spread alone loses.

    None where nothing was traded.
    """
    turnover = float(result.fee_turnover.sum())
    return float(result.after_spread_bps.sum()) / turnover if turnover > 0 else None
