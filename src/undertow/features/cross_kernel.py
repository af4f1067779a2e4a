"""Kernels of the features of two markets: each bar afresh from the bars before it, so any cut gives the same.

Row numbers of the output are those of `cross.CROSS_FEATURES`.
"""

import numpy as np

from undertow.compiled import kernel
from undertow.features.memory import Floats, Integers

__all__ = ["LAGS", "PAST_BARS", "WINDOWS", "fold_pair"]

WINDOWS = (60, 300)
"""Bars that slopes are taken over; correlations take the longest."""
LAGS = (1, 2, 3, 4, 5)
PAST_BARS = WINDOWS[-1] + LAGS[-1]
"""Bars before a bar that its values depend on."""

_RETURNS, _SLOPES, _CORRELATIONS, _FLOWS, _BASIS = 0, 3, 9, 15, 17
_SHORT, _LONG = WINDOWS
_MOST_LAG = LAGS[-1]
_LEAST_VARIANCE = 1e-12
"""[bps²] Below it a return varies by the rounding of logarithms alone."""


@kernel
def _pair_sums(x: Floats, y: Floats, last: int, length: int, lag: int, sums: Floats) -> None:
    """Of known pairs x[s − lag], y[s], last − length < s ≤ last: count, means, central Σxx, Σyy, Σxy."""
    count, mean_x, mean_y = 0, 0.0, 0.0
    for s in range(last - length + 1, last + 1):
        if not np.isnan(x[s - lag] + y[s]):
            count += 1
            mean_x += x[s - lag]
            mean_y += y[s]
    mean_x /= max(count, 1)
    mean_y /= max(count, 1)
    xx, yy, xy = 0.0, 0.0, 0.0
    for s in range(last - length + 1, last + 1):
        if not np.isnan(x[s - lag] + y[s]):
            xx += (x[s - lag] - mean_x) ** 2
            yy += (y[s] - mean_y) ** 2
            xy += (x[s - lag] - mean_x) * (y[s] - mean_y)
    sums[0], sums[1], sums[2] = count, mean_x, mean_y
    sums[3], sums[4], sums[5] = xx, yy, xy


@kernel
def _slope(x: Floats, y: Floats, last: int, length: int, lag: int, sums: Floats) -> float:
    """Σxy / Σxx; null where fewer than half of the pairs are known or x does not vary. Fills `sums`."""
    _pair_sums(x, y, last, length, lag, sums)
    if 2 * sums[0] < length or sums[3] <= _LEAST_VARIANCE * sums[0]:
        return np.nan
    return float(sums[5] / sums[3])


@kernel
def _correlation(x: Floats, y: Floats, last: int, length: int, lag: int, sums: Floats) -> float:
    """Σxy / √(Σxx · Σyy); null as `_slope`, and where y does not vary."""
    _pair_sums(x, y, last, length, lag, sums)
    least = _LEAST_VARIANCE * sums[0]
    if 2 * sums[0] < length or sums[3] <= least or sums[4] <= least:
        return np.nan
    return float(min(1.0, max(-1.0, sums[5] / np.sqrt(sums[3] * sums[4]))))


@kernel
def _write_slopes(leader: Floats, follower: Floats, at: int, sums: Floats, out: Floats) -> None:
    """Slope of the same bar, slope on the bar before and residual, for each window."""
    row = _SLOPES
    for length in (_SHORT, _LONG):
        out[row + 1] = _slope(leader, follower, at, length, 1, sums)
        beta = _slope(leader, follower, at, length, 0, sums)
        out[row] = beta
        out[row + 2] = sums[0] * (sums[2] - beta * sums[1])
        if np.isnan(leader[at]) or np.isnan(follower[at]):
            out[row : row + 3] = np.nan
        row += 3


@kernel
def _write_correlations(leader: Floats, follower: Floats, at: int, sums: Floats, out: Floats) -> None:
    """Correlations with the leader's past, and how they weigh against those with the follower's."""
    ahead, behind = 0.0, 0.0
    for lag in range(1, _MOST_LAG + 1):
        forward = _correlation(leader, follower, at, _LONG, lag, sums)
        backward = _correlation(follower, leader, at, _LONG, lag, sums)
        ahead += forward * forward
        behind += backward * backward
        out[_CORRELATIONS + lag - 1] = forward
    total = ahead + behind
    out[_CORRELATIONS + _MOST_LAG] = (ahead - behind) / total if total > 0.0 else np.nan
    if np.isnan(leader[at]) or np.isnan(follower[at]):
        out[_CORRELATIONS : _CORRELATIONS + _MOST_LAG + 1] = np.nan


@kernel
def _write_flows(buys: Floats, sells: Floats, at: int, bars: int, out: Floats) -> None:
    """Signed share of the leader's volume in this bar and over `bars` of them."""
    net, total = 0.0, 0.0
    for s in range(at - bars + 1, at + 1):
        net += buys[s] - sells[s]
        total += buys[s] + sells[s]
    now = buys[at] + sells[at]
    out[_FLOWS] = (buys[at] - sells[at]) / now if now > 0.0 else np.nan
    out[_FLOWS + 1] = min(1.0, max(-1.0, net / total)) if total > 0.0 else np.nan


@kernel
def _returns_of(logs: Floats) -> Floats:
    """(n,) change of a logarithm over each bar [bps]; null in the first."""
    out = np.full(len(logs), np.nan)
    for i in range(1, len(logs)):
        out[i] = 1e4 * (logs[i] - logs[i - 1])
    return out


@kernel
def fold_pair(columns: Floats, steps: Integers, flow_bars: int, out: Floats) -> None:
    """Write the features of T bars to `out` (features, T).

    `columns` (4, PAST_BARS + T): logarithms of the follower's and the leader's mid, the leader's buys and
    sells; NaN where unknown. `steps` (3,): bars that returns are taken over, 0 = null. `flow_bars`: bars that
    the flow is taken over.
    """
    follower_logs, leader_logs, buys, sells = columns[0], columns[1], columns[2], columns[3]
    leader, follower = _returns_of(leader_logs), _returns_of(follower_logs)
    sums, row = np.zeros(6), np.empty(len(out))
    for i in range(out.shape[1]):
        at = PAST_BARS + i
        row[:] = np.nan
        row[_BASIS] = 1e4 * (follower_logs[at] - leader_logs[at])
        for place in range(len(steps)):
            before = at - steps[place]
            if steps[place] > 0:
                lead = 1e4 * (leader_logs[at] - leader_logs[before])
                row[_RETURNS + place] = lead
                row[_BASIS + 1 + place] = 1e4 * (follower_logs[at] - follower_logs[before]) - lead
        _write_slopes(leader, follower, at, sums, row)
        _write_correlations(leader, follower, at, sums, row)
        _write_flows(buys, sells, at, flow_bars, row)
        out[:, i] = row
