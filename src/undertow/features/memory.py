"""What features remember between bars: operators with state, the same for any cut of the input.

The block law: for every operator, cutting the input anywhere and joining the outputs gives the same bits as
one block. Window operators keep the last values themselves and compute each window afresh, so there is no
running sum to drift. Null is NaN; the null rule of each operator stands in its docstring.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from undertow.compiled import kernel
from undertow.market.time import DAY_NS

__all__ = ["Floats", "Integers", "Memory"]

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

_MEAN, _STD, _MIN, _MAX, _SUM = 0, 1, 2, 3, 4


@kernel
def _over_window(values: Floats, length: int, kind: int, out: Floats) -> None:
    """out[i] over values[i : i + length]."""
    for i in range(len(out)):
        total, low, high = 0.0, values[i], values[i]
        for j in range(i, i + length):
            total += values[j]
            low = min(low, values[j])
            high = max(high, values[j])
        if kind in (_MIN, _MAX):
            out[i] = (low if kind == _MIN else high) + 0.0 * total
            continue
        if kind == _SUM:
            out[i] = total
            continue
        mean = total / length
        out[i] = mean
        if kind == _STD:
            square = 0.0
            for j in range(i, i + length):
                square += (values[j] - mean) ** 2
            out[i] = np.sqrt(square / length)


@kernel
def _smooth(values: Floats, weight: float, skip: int, seed_length: int, state: Floats, out: Floats) -> None:
    """Exponential smoothing seeded by the mean of the values after the first `skip`.

    State: [values seen, sum of the seed, level].
    """
    seeded = skip + seed_length
    for i in range(len(values)):
        if not np.isnan(values[i]):
            state[0] += 1.0
            if state[0] > seeded:
                state[2] += weight * (values[i] - state[2])
            elif state[0] > skip:
                state[1] += values[i]
                state[2] = state[1] / seed_length
        out[i] = state[2] if state[0] >= seeded else np.nan


@kernel
def _decay(values: Floats, keep: float, state: Floats, out: Floats) -> None:
    """Leaky sum y = keep · y₋₁ + x; a null x counts as 0."""
    for i in range(len(values)):
        state[0] = keep * state[0] + (0.0 if np.isnan(values[i]) else values[i])
        out[i] = state[0]


@kernel
def _sum_since_midnight(values: Integers, open_ns: Integers, state: Integers, out: Integers) -> None:
    """Running exact sum that begins anew at 00:00 UTC; state: [day, sum]."""
    for i in range(len(values)):
        day = open_ns[i] // DAY_NS
        if day != state[0]:
            state[0], state[1] = day, 0
        state[1] += values[i]
        out[i] = state[1]


class Memory:
    """State of every operator of every feature, by feature and place of the call in its body."""

    def __init__(self) -> None:
        self._states: dict[str, NDArray[np.generic]] = {}
        self._feature = ""
        self._call = 0

    def begin(self, feature: str) -> None:
        """The calls that follow belong to `feature`."""
        self._feature, self._call = feature, 0

    def state(self) -> dict[str, NDArray[np.generic]]:
        """Copies of all states; `restore` takes them back."""
        return {key: value.copy() for key, value in self._states.items()}

    def restore(self, states: Mapping[str, NDArray[np.generic]]) -> None:
        """Go on from `state()`."""
        self._states = {key: value.copy() for key, value in states.items()}

    def _key(self) -> str:
        self._call += 1
        return f"{self._feature}.{self._call}"

    def _floats(self, key: str, length: int, fill: float) -> Floats:
        if key not in self._states:
            self._states[key] = np.full(length, fill)
        return self._states[key]  # type: ignore[return-value]

    def _with_past(self, values: Floats, length: int) -> Floats:
        """The last `length` values of the past (NaN before the first), then `values`; the past moves on."""
        key = self._key()
        joined = np.concatenate([self._floats(key, length, np.nan), values])
        self._states[key] = joined[len(joined) - length :].copy()
        return joined

    def _window(self, values: Floats, length: int, kind: int) -> Floats:
        joined = self._with_past(values, length - 1)
        out = np.empty(len(values))
        _over_window(joined, length, kind, out)
        return out

    def lag(self, values: Floats, count: int = 1) -> Floats:
        """The value `count` bars before; null for the first ones."""
        return self._with_past(values, count)[: len(values)]

    def sum(self, values: Floats, length: int) -> Floats:
        """Over the last `length` bars; null unless all are known."""
        return self._window(values, length, _SUM)

    def mean(self, values: Floats, length: int) -> Floats:
        """Over the last `length` bars; null unless all are known."""
        return self._window(values, length, _MEAN)

    def std(self, values: Floats, length: int) -> Floats:
        """Population form, over the last `length` bars; null unless all are known."""
        return self._window(values, length, _STD)

    def min(self, values: Floats, length: int) -> Floats:
        """Over the last `length` bars; null unless all are known."""
        return self._window(values, length, _MIN)

    def max(self, values: Floats, length: int) -> Floats:
        """Over the last `length` bars; null unless all are known."""
        return self._window(values, length, _MAX)

    def ema(self, values: Floats, span: int, skip: int = 0) -> Floats:
        """Exponential mean with weight 2/(span+1), seeded by the mean of the first `span` values.

        Null before that; a null input leaves the level where it is. TA-Lib's EMA. The first `skip` values
        take no part: so TA-Lib seeds the faster mean of the MACD.
        """
        return self._smoothed(values, 2.0 / (span + 1), skip, span)

    def wilder(self, values: Floats, length: int) -> Floats:
        """Wilder's mean, weight 1/length; seed and nulls as `ema`. TA-Lib's smoothing of RSI and ATR."""
        return self._smoothed(values, 1.0 / length, 0, length)

    def _smoothed(self, values: Floats, weight: float, skip: int, seed_length: int) -> Floats:
        out = np.empty(len(values))
        _smooth(values, weight, skip, seed_length, self._floats(self._key(), 3, 0.0), out)
        return out

    def decay(self, values: Floats, half_life: float) -> Floats:
        """Σ of all values, each halved every `half_life` bars; a null counts as 0."""
        out = np.empty(len(values))
        _decay(values, 0.5 ** (1.0 / half_life), self._floats(self._key(), 1, 0.0), out)
        return out

    def sum_since_midnight(self, values: Integers, open_ns: Integers) -> Integers:
        """Exact running sum from 00:00 UTC on, bar by bar."""
        key = self._key()
        if key not in self._states:
            self._states[key] = np.array([-1, 0], np.int64)
        out = np.empty(len(values), np.int64)
        _sum_since_midnight(values, open_ns, self._states[key], out)  # type: ignore[arg-type]
        return out
