"""What features remember between bars: operators with state, the same for any cut of the input.

The block law: for every operator, cutting the input anywhere and joining the outputs gives the same bits as
one block. Short windows keep the last values themselves and are computed afresh for each bar. Long ones are
cut at fixed places of the time grid, see `slide_sums`: what is added to what depends on the bar's number
alone, so there is no running sum to drift, and a bar costs the same however long its window is. Null is NaN;
the null rule of each operator stands in its docstring.

A family with many features over the same inputs computes them in one kernel and asks for it with
`Memory.shared`; the `*_step` and `slide_*` kernels are what such a kernel is made of.
"""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from undertow.compiled import kernel
from undertow.frames.frames import Frames

__all__ = [
    "Floats",
    "Integers",
    "Memory",
    "Shared",
    "join_moments",
    "join_products",
    "join_variances",
    "slide_sums",
    "smooth_step",
]

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
def smooth_step(value: float, weight: float, skip: int, seed_length: int, state: Floats, at: int) -> float:
    """One value of an exponential mean seeded by the mean of the values after the first `skip`.

    `state[at : at + 3]`, 0 at first: values seen, sum of the seed, level. Null until the seed is complete; a
    null value leaves the level where it is.
    """
    if not np.isnan(value):
        state[at] += 1.0
        if state[at] > skip + seed_length:
            state[at + 2] += weight * (value - state[at + 2])
        elif state[at] > skip:
            state[at + 1] += value
            state[at + 2] = state[at + 1] / seed_length
    return state[at + 2] if state[at] >= skip + seed_length else np.nan


@kernel
def _smooth(values: Floats, weight: float, skip: int, seed_length: int, state: Floats, out: Floats) -> None:
    """`smooth_step` for each value."""
    for i in range(len(values)):
        out[i] = smooth_step(values[i], weight, skip, seed_length, state, 0)


@kernel
def slide_sums(values: Floats, number: int, length: int, window: Floats, out: Floats) -> None:
    """Sums over the last `length` bars, this one included, of each of C values; null unless all are known.

    `values` and `out` are (C,), `number` is the bar's number on the time grid. `window` is (length + 1, C),
    NaN at first. The grid is cut into blocks of `length` bars. A window is the end of one block and the
    beginning of the next: its sum is that of the end, added from the back when the block was complete, plus
    that of the beginning, added from the front (van Herk 1992, Gil and Werman 1993, for sums). Row p > 0 of
    `window` holds the end from bar p of the last block on, until bar p of this one takes its place; the last
    row holds the beginning.
    """
    at = number % length
    for c in range(len(values)):
        window[length, c] = values[c] if at == 0 else window[length, c] + values[c]
        out[c] = window[length, c] if at == length - 1 else window[at + 1, c] + window[length, c]
        window[at, c] = values[c]
    if at == length - 1:
        for p in range(length - 2, 0, -1):
            for c in range(len(values)):
                window[p, c] += window[p + 1, c]


@kernel
def _decay(values: Floats, keep: float, state: Floats, out: Floats) -> None:
    """Leaky sum y = keep · y₋₁ + x; a null x counts as 0."""
    for i in range(len(values)):
        state[0] = keep * state[0] + (0.0 if np.isnan(values[i]) else values[i])
        out[i] = state[0]


@kernel
def join_variances(a: Floats, b: Floats, at: int) -> None:
    """Count, mean and second central moment at `at`: those of `b` joined to those of `a`.

    Chan, Golub, LeVeque 1979. Values that are all alike have a moment of exactly 0.
    """
    na, nb = a[at], b[at]
    if nb == 0.0:
        return
    apart = b[at + 1] - a[at + 1]
    a[at + 2] += b[at + 2] + apart * apart * (na * nb / (na + nb))
    a[at + 1] += apart * (nb / (na + nb))
    a[at] = na + nb


@kernel
def join_moments(a: Floats, b: Floats, at: int) -> None:
    """Count, mean and second to fourth central moment at `at`: those of `b` joined to `a`'s (Pébay 2008)."""
    na, nb = a[at], b[at]
    if nb == 0.0:
        return
    share = (b[at + 1] - a[at + 1]) / (na + nb)
    both = na * nb * share * share
    a[at + 4] += b[at + 4] + both * share * share * (na * na * na + nb * nb * nb)
    a[at + 4] += 6.0 * share * share * (na * na * b[at + 2] + nb * nb * a[at + 2])
    a[at + 4] += 4.0 * share * (na * b[at + 3] - nb * a[at + 3])
    a[at + 3] += b[at + 3] + both * share * (na * na - nb * nb)
    a[at + 3] += 3.0 * share * (na * b[at + 2] - nb * a[at + 2])
    join_variances(a, b, at)


@kernel
def join_products(a: Floats, b: Floats, at: int) -> None:
    """Of pairs x, y at `at`: count, means, central Σxx, Σyy and Σxy; those of `b` joined to those of `a`."""
    na, nb = a[at], b[at]
    if nb == 0.0:
        return
    first, second, weight = b[at + 1] - a[at + 1], b[at + 2] - a[at + 2], na * nb / (na + nb)
    a[at + 3] += b[at + 3] + first * first * weight
    a[at + 4] += b[at + 4] + second * second * weight
    a[at + 5] += b[at + 5] + first * second * weight
    a[at + 1] += first * (nb / (na + nb))
    a[at + 2] += second * (nb / (na + nb))
    a[at] = na + nb


Shared = Callable[[Frames, "Memory"], Floats]
"""What several features are read off: rows of values, (rows, T)."""


class Memory:
    """State of every operator of every feature, by feature and place of the call in its body."""

    def __init__(self) -> None:
        self._states: dict[str, NDArray[np.generic]] = {}
        self._feature = ""
        self._call = 0
        self._block: Frames | None = None
        self._shared: dict[Shared, Floats] = {}
        self._names: dict[Shared, str] = {}
        self.shown: tuple[Shared, int, Floats] | None = None
        """What `shared` returned last, and what it is a row of."""

    def begin(self, feature: str) -> None:
        """The calls that follow belong to `feature`."""
        self._feature, self._call = feature, 0

    def state(self) -> dict[str, NDArray[np.generic]]:
        """Copies of all states; `restore` takes them back."""
        return {key: value.copy() for key, value in self._states.items()}

    def restore(self, states: Mapping[str, NDArray[np.generic]]) -> None:
        """Go on from `state()`."""
        self._states = {key: value.copy() for key, value in states.items()}
        self._block = None

    def shared(self, f: Frames, compute: "Shared", row: int) -> Floats:
        """One row of `compute(f, self)`, which is called once for all features that ask in the block `f`.

        Its state is its own, so features that share it may be computed alone or together. The row is a view.
        """
        values: Floats = self.rows(f, compute)[row]
        self.shown = compute, row, values
        return values

    def rows(self, f: Frames, compute: "Shared") -> Floats:
        """`compute(f, self)`, all rows; called once for all that ask before the block `f` is released."""
        if f is not self._block:
            self._block = f
            self._shared.clear()
        found = self._shared.get(compute)
        if found is None:
            found = self._shared[compute] = self.computed(f, compute)
        return found

    def computed(self, f: Frames, compute: "Shared") -> Floats:
        """`compute(f, self)`, whose state is its own."""
        name = self._names.get(compute)
        if name is None:
            name = self._names[compute] = f"{compute.__module__.rpartition('.')[2]}.{compute.__name__}"
        asking = self._feature, self._call
        self._feature, self._call = name, 0
        found = compute(f, self)
        self._feature, self._call = asking
        return found

    def release(self) -> None:
        """Forget what was shared: the block is done."""
        self._block = None
        self._shared.clear()

    def floats(self, *shape: int, fill: float = 0.0) -> Floats:
        """State for the caller's own kernel, which changes it in place; every element is `fill` at first."""
        key = self._key()
        found = self._states.get(key)
        if found is None:
            found = self._states[key] = np.full(shape, fill)
        return found  # type: ignore[return-value]

    def integers(self, *shape: int, fill: int = 0) -> Integers:
        """As `floats`, int64."""
        key = self._key()
        found = self._states.get(key)
        if found is None:
            found = self._states[key] = np.full(shape, fill, np.int64)
        return found  # type: ignore[return-value]

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
