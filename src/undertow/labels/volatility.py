"""How much the mid moves: known at decision time, the unit that thresholds and barriers may be given in."""

import numpy as np
from numpy.typing import NDArray

from undertow.compiled import kernel

__all__ = ["FEWEST_RETURNS", "causal_volatility_bps", "one_bar_returns"]

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]

FEWEST_RETURNS = 20
"""Below this many one-bar returns in the window a volatility is too poorly known and null."""


def one_bar_returns(mid: Floats, stretch: Integers) -> Floats:
    """Log return of the mid over each bar [1], (n,); NaN at the start of a gap-free stretch.

    `mid` (n,) at bar close; `stretch` (n,) from `gap_free_stretches`.

    >>> one_bar_returns(np.array([1.0, np.e, 1.0]), np.array([0, 0, 1])).tolist()
    [nan, 1.0, nan]
    """
    returns = np.full(len(mid), np.nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        log_mid = np.where(mid > 0, np.log(mid), np.nan)
    same = stretch[1:] == stretch[:-1]
    returns[1:] = np.where(same, log_mid[1:] - log_mid[:-1], np.nan)
    return returns


def causal_volatility_bps(
    open_ns: Integers, mid: Floats, stretch: Integers, length_ns: int, window_bars: int
) -> Floats:
    """Root mean square of the one-bar returns of the last `window_bars` bars [bps a bar], (n,).

    The window is counted in time, closes with the row's own bar and so was known when the row was; a return
    across a gap is no return. NaN below `FEWEST_RETURNS` known returns. Each row is summed anew, so that a
    slice gives the same bits as the whole once its window is full.
    Raises ValueError where the window cannot hold `FEWEST_RETURNS`.
    """
    if window_bars < FEWEST_RETURNS:
        raise ValueError(f"a volatility window of {window_bars} bars is shorter than {FEWEST_RETURNS} bars")
    volatility = np.empty(len(open_ns))
    squares = (1e4 * one_bar_returns(mid, stretch)) ** 2
    _root_mean_square(open_ns, squares, window_bars * length_ns, FEWEST_RETURNS, volatility)
    return volatility


@kernel
def _root_mean_square(open_ns: Integers, squares: Floats, window_ns: int, fewest: int, out: Floats) -> None:
    """out[i] over the rows with open_ns in (open_ns[i] − window_ns, open_ns[i]], newest first."""
    for i in range(len(open_ns)):
        total, count, j = 0.0, 0, i
        while j >= 0 and open_ns[j] > open_ns[i] - window_ns:
            if not np.isnan(squares[j]):
                total += squares[j]
                count += 1
            j -= 1
        out[i] = np.sqrt(total / count) if count >= fewest else np.nan
