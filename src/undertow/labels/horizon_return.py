"""The point label: what the mid did between the bar's close and a fixed time later."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["HorizonReturns", "gap_free_stretches", "horizon_returns", "rows_at"]

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]

NO_ROW = -1


@dataclass(frozen=True, slots=True)
class HorizonReturns:
    """n labels, one a bar; unknown ones have return NaN and `end_row` −1."""

    return_bps: Floats
    """(n,) 10⁴·ln(mid(close + horizon) / mid(close))."""
    start_ns: Integers
    """(n,) decision time t0: when the bar, and so the mid that the label starts from, was known."""
    end_ns: Integers
    """(n,) t1 ≥ t0: when the mid that the label ends at was known; t0 where there is no label."""
    end_row: Integers
    """(n,) the bar whose close the label ends at."""


def gap_free_stretches(open_ns: Integers, gap_fraction: Floats, length_ns: int) -> Integers:
    """Number of the gap-free stretch that each bar lies in, (n,) int64, never decreasing.

    A stretch ends where the next bar is not the next on the grid. A bar that touches a recorded gap, or of
    which that is unknown (NaN), is a stretch of its own: its mid may be a carried one.

    >>> gap_free_stretches(np.array([0, 1, 2, 4]), np.zeros(4), 1).tolist()
    [0, 0, 0, 1]
    """
    _check_grid(open_ns, length_ns)
    touches_gap = ~(gap_fraction == 0.0)
    breaks = np.zeros(len(open_ns), dtype=np.bool_)
    breaks[1:] = (np.diff(open_ns) != length_ns) | touches_gap[1:] | touches_gap[:-1]
    return np.cumsum(breaks, dtype=np.int64)


def rows_at(open_ns: Integers, stretch: Integers, offset_ns: int) -> Integers:
    """Row of the bar `offset_ns` later (earlier if negative), by time; −1 where missing or past a gap."""
    if len(open_ns) == 0:
        return np.empty(0, dtype=np.int64)
    wanted = open_ns + offset_ns
    row = np.minimum(np.searchsorted(open_ns, wanted), len(open_ns) - 1)
    found = (open_ns[row] == wanted) & (stretch[row] == stretch)
    return np.where(found, row, NO_ROW).astype(np.int64)


def horizon_returns(
    open_ns: Integers,
    known_ns: Integers,
    mid: Floats,
    stretch: Integers,
    length_ns: int,
    horizon_ns: int,
) -> HorizonReturns:
    """Label every bar with the log return [bps] of the mid over the horizon from its close.

    Arrays are (n,), sorted by `open_ns`; `mid` is at bar close, NaN where unknown; `stretch` comes from
    `gap_free_stretches`. Looked up by time, so a missing bar or a gap makes a label null, never a longer one.
    A bar that touches a gap has no label: its mid may be a carried one.
    Raises ValueError unless the horizon is a positive multiple of the bar length.
    """
    if horizon_ns <= 0 or horizon_ns % length_ns:
        raise ValueError(
            f"horizon {horizon_ns} ns must be a positive multiple of the bar length {length_ns} ns"
        )
    end_row = rows_at(open_ns, stretch, horizon_ns)
    with np.errstate(divide="ignore", invalid="ignore"):
        log_mid = np.where(mid > 0, np.log(mid), np.nan)
    return_bps = np.where(end_row >= 0, 1e4 * (log_mid[end_row] - log_mid), np.nan)
    labelled = np.isfinite(return_bps)
    end_ns = np.where(labelled, np.maximum(known_ns, known_ns[end_row]), known_ns)
    return HorizonReturns(return_bps, known_ns, end_ns, np.where(labelled, end_row, NO_ROW))


def _check_grid(open_ns: Integers, length_ns: int) -> None:
    steps = np.diff(open_ns)
    if np.any(steps <= 0):
        raise ValueError("bars must be sorted by time, each once")
    if np.any(steps % length_ns):
        raise ValueError(f"bars do not lie on one grid of {length_ns} ns")
