"""Returns and realised measures of volatility over windows of bars (SPEC 5.6).

Windows are counted in bars, as the lags (30 to 60) and horizons (3 to 15 bars) of the models are: 5 and 15
are a horizon, 30 and 60 what a sequence model sees, 240 a background to compare them with. A measure is that
of the whole window, per window and not per year, so all measures over 60 bars have one scale.

A bar's return is null in bars wholly inside a gap of the trade stream and in the bar after; a measure is null
unless all its bars are known. A return over several bars needs its two ends only.
"""

from math import log, pi

import numpy as np

from undertow.compiled import borrowed, kernel
from undertow.features.feature import ANY, FLOW, POSITIVE, SHARE, SIGNED, Feature
from undertow.features.memory import Floats, Integers, Memory, slide_sums
from undertow.frames.frames import Frames

__all__ = [
    "LINES",
    "bipower_volatility_60",
    "downside_volatility_60",
    "garman_klass_60",
    "jump_share_60",
    "log_return_5",
    "log_return_15",
    "log_return_30",
    "log_return_60",
    "log_return_240",
    "parkinson_60",
    "realised_volatility_5",
    "realised_volatility_15",
    "realised_volatility_30",
    "realised_volatility_60",
    "realised_volatility_240",
    "rogers_satchell_60",
    "semivariance_balance_60",
    "upside_volatility_60",
]

# Terms of a bar, of which a window holds the sums.
_SQUARE, _UP, _DOWN, _BIPOWER, _PARKINSON, _GARMAN_KLASS, _ROGERS_SATCHELL, _TERMS = range(8)

# Rows of the kernel's output, in the order of the features; roots of each term, and of the windows but 60.
_RETURNS, _OF_60, _ROWS = 0, 8, 18
_R_UP, _R_DOWN, _BALANCE, _R_BIPOWER, _JUMPS, _R_PARKINSON, _R_GARMAN_KLASS, _R_ROGERS_SATCHELL = range(
    10, 18
)
_ROOTS = (_OF_60, _R_UP, _R_DOWN, _R_BIPOWER, _R_PARKINSON, _R_GARMAN_KLASS, _R_ROGERS_SATCHELL)
_OF_SHORT = (5, 6, 7, 9)

_WINDOWS = (5, 15, 30, 60, 240)
_SHORT = (5, 15, 30, 240)
"""Windows of which only the sum of squares is needed."""
_SIXTY, _LONGEST = 60, 240

# Places in the kernel's state: the close and the return before, the last 240 closes, the windows.
_CLOSE, _RETURN, _RING = 0, 1, 2
_WIDE = _RING + _LONGEST
_NARROW = _WIDE + (_SIXTY + 1) * _TERMS
_STATE = _NARROW + sum(_SHORT) + len(_SHORT)
_TWO_LOG_2 = 2.0 * log(2.0)


@kernel
def _range_terms(first: float, high: float, low: float, last: float, terms: Floats) -> None:
    """A bar's share of the measures made of its high and low."""
    high_low, open_close = np.log(high / low), np.log(last / first)
    terms[_PARKINSON] = high_low**2 / (2.0 * _TWO_LOG_2)
    terms[_GARMAN_KLASS] = max(0.5 * high_low**2 - (_TWO_LOG_2 - 1.0) * open_close**2, 0.0)
    above = np.log(high / last) * np.log(high / first)
    below = np.log(low / last) * np.log(low / first)
    terms[_ROGERS_SATCHELL] = max(above + below, 0.0)


@kernel
def _return_terms(change: float, before: float, terms: Floats) -> None:
    """A bar's share of the measures made of its return and the one before."""
    terms[_SQUARE] = change * change
    terms[_UP] = change * change if change > 0 else 0.0 * change
    terms[_DOWN] = change * change if change < 0 else 0.0 * change
    terms[_BIPOWER] = abs(change) * abs(before) * (pi / 2.0)


@kernel
def _measures(sums: Floats, row: Floats) -> None:
    """What the sums over 60 bars say."""
    for term in range(_TERMS):
        row[_ROOTS[term]] = np.sqrt(sums[term])
    row[_BALANCE], row[_JUMPS] = np.nan, np.nan
    if sums[_SQUARE] > 0:
        row[_BALANCE] = (sums[_UP] - sums[_DOWN]) / sums[_SQUARE]
        if not np.isnan(sums[_BIPOWER]):
            row[_JUMPS] = max(1.0 - sums[_BIPOWER] / sums[_SQUARE], 0.0)


@kernel
def _short_windows(number: int, terms: Floats, state: Floats, sums: Floats, row: Floats) -> None:
    """Realised volatility over the windows other than 60; `sums` is overwritten."""
    at = _NARROW
    for i in range(len(_SHORT)):
        length = _SHORT[i]
        slide_sums(terms[:1], number, length, state[at : at + length + 1].reshape(length + 1, 1), sums)
        row[_OF_SHORT[i]] = np.sqrt(sums[0])
        at += length + 1


@kernel
def _log_returns(number: int, last: float, state: Floats, row: Floats) -> None:
    """Returns over several bars; the close takes its place in the ring."""
    for i in range(len(_WINDOWS)):
        row[_RETURNS + i] = np.log(last / state[_RING + (number - _WINDOWS[i]) % _LONGEST])
    state[_RING + number % _LONGEST] = last


@kernel
def _fold(
    prices: tuple[Integers, Integers, Integers, Integers],
    gap_ns: Integers,
    length_ns: int,
    first: int,
    state: Floats,
    rows: Floats,
    out: Floats,
) -> None:
    """All rows for each bar.

    `prices` are open, high, low and close, `first` is the first bar's number, `rows` (3, _ROWS) scratch.
    """
    opens, high, low, close = borrowed(prices)
    gap_ns, state, rows, out = borrowed((gap_ns, state, rows, out))
    terms, sums, row = rows[0, :_TERMS], rows[1, :_TERMS], rows[2]
    window = state[_WIDE:_NARROW].reshape(_SIXTY + 1, _TERMS)
    for i in range(len(close)):
        known = close[i] > 0 and gap_ns[i] < length_ns
        last = float(close[i]) if known else np.nan
        change = np.log(last / state[_CLOSE])
        terms[:] = np.nan
        if known:
            _return_terms(change, state[_RETURN], terms)
            _range_terms(float(opens[i]), float(high[i]), float(low[i]), last, terms)
        slide_sums(terms, first + i, _SIXTY, window, sums)
        _measures(sums, row)
        _short_windows(first + i, terms, state, sums, row)
        _log_returns(first + i, last, state, row)
        state[_CLOSE], state[_RETURN] = last, change
        for j in range(_ROWS):
            out[j, i] = row[j]


def _rows(f: Frames, m: Memory) -> Floats:
    """(rows, T): every measure."""
    state = m.floats(_STATE, fill=np.nan)
    out = np.empty((_ROWS, len(f.open_ns)))
    first = int(f.open_ns[0]) // f.length_ns
    prices = (f.open, f.high, f.low, f.close)
    _fold(prices, f.trade_gap_ns, f.length_ns, first, state, np.empty((3, _ROWS)), out)
    return out


def log_return_5(f: Frames, m: Memory) -> Floats:
    """Log return over 5 bars ln(close / close₋₅)."""
    return m.shared(f, _rows, _RETURNS + 0)


def log_return_15(f: Frames, m: Memory) -> Floats:
    """Log return over 15 bars ln(close / close₋₁₅)."""
    return m.shared(f, _rows, _RETURNS + 1)


def log_return_30(f: Frames, m: Memory) -> Floats:
    """Log return over 30 bars ln(close / close₋₃₀)."""
    return m.shared(f, _rows, _RETURNS + 2)


def log_return_60(f: Frames, m: Memory) -> Floats:
    """Log return over 60 bars ln(close / close₋₆₀)."""
    return m.shared(f, _rows, _RETURNS + 3)


def log_return_240(f: Frames, m: Memory) -> Floats:
    """Log return over 240 bars ln(close / close₋₂₄₀)."""
    return m.shared(f, _rows, _RETURNS + 4)


def realised_volatility_5(f: Frames, m: Memory) -> Floats:
    """√Σ r² over 5 bars, r the log return of a bar (Andersen, Bollerslev, Diebold, Labys 2003)."""
    return m.shared(f, _rows, _OF_SHORT[0])


def realised_volatility_15(f: Frames, m: Memory) -> Floats:
    """√Σ r² over 15 bars, r the log return of a bar (Andersen, Bollerslev, Diebold, Labys 2003)."""
    return m.shared(f, _rows, _OF_SHORT[1])


def realised_volatility_30(f: Frames, m: Memory) -> Floats:
    """√Σ r² over 30 bars, r the log return of a bar (Andersen, Bollerslev, Diebold, Labys 2003)."""
    return m.shared(f, _rows, _OF_SHORT[2])


def realised_volatility_60(f: Frames, m: Memory) -> Floats:
    """√Σ r² over 60 bars, r the log return of a bar (Andersen, Bollerslev, Diebold, Labys 2003)."""
    return m.shared(f, _rows, _OF_60)


def realised_volatility_240(f: Frames, m: Memory) -> Floats:
    """√Σ r² over 240 bars, r the log return of a bar (Andersen, Bollerslev, Diebold, Labys 2003)."""
    return m.shared(f, _rows, _OF_SHORT[3])


def upside_volatility_60(f: Frames, m: Memory) -> Floats:
    """√Σ r² over the rises among 60 bars (Barndorff-Nielsen, Kinnebrock, Shephard 2010)."""
    return m.shared(f, _rows, _R_UP)


def downside_volatility_60(f: Frames, m: Memory) -> Floats:
    """√Σ r² over the falls among 60 bars (Barndorff-Nielsen, Kinnebrock, Shephard 2010)."""
    return m.shared(f, _rows, _R_DOWN)


def semivariance_balance_60(f: Frames, m: Memory) -> Floats:
    """(Σ₊ r² − Σ₋ r²) / Σ r² over the rises and falls of 60 bars, in [−1, 1] (Patton, Sheppard 2015)."""
    return m.shared(f, _rows, _BALANCE)


def bipower_volatility_60(f: Frames, m: Memory) -> Floats:
    """√(π/2 · Σ |r|·|r₋₁|) over 60 bars (Barndorff-Nielsen, Shephard 2004).

    The volatility without jumps: a jump is but one of two factors, the other of which is small.
    """
    return m.shared(f, _rows, _R_BIPOWER)


def jump_share_60(f: Frames, m: Memory) -> Floats:
    """max(0, 1 − bipower variation / Σ r²) over 60 bars (Huang, Tauchen 2005).

    The share of the variance that came in jumps; null where the price has not moved.
    """
    return m.shared(f, _rows, _JUMPS)


def parkinson_60(f: Frames, m: Memory) -> Floats:
    """√(Σ ln²(high / low) / (4 ln 2)) over 60 bars (Parkinson 1980)."""
    return m.shared(f, _rows, _R_PARKINSON)


def garman_klass_60(f: Frames, m: Memory) -> Floats:
    """√Σ (½ ln²(high / low) − (2 ln 2 − 1) ln²(close / open)) over 60 bars (Garman, Klass 1980)."""
    return m.shared(f, _rows, _R_GARMAN_KLASS)


def rogers_satchell_60(f: Frames, m: Memory) -> Floats:
    """√Σ (ln(h/c)·ln(h/o) + ln(l/c)·ln(l/o)) over 60 bars (Rogers, Satchell 1991).

    Right under a trend as well; o, h, l, c are the bar's open, high, low and close.
    """
    return m.shared(f, _rows, _R_ROGERS_SATCHELL)


_SPEC = "SPEC 5.6"
_ENDS = "unless the bar and the one so many bars before are known"
_ALL = "unless all returns of the window are known"
_BARS = "unless all bars of the window are known"
_MOVED = f"{_ALL}; the price has not moved"
_LOG = "log share"

LINES = (
    Feature("log_return_5", log_return_5, _LOG, ANY, _ENDS, FLOW, _SPEC, warm_up=5),
    Feature("log_return_15", log_return_15, _LOG, ANY, _ENDS, FLOW, _SPEC, warm_up=15),
    Feature("log_return_30", log_return_30, _LOG, ANY, _ENDS, FLOW, _SPEC, warm_up=30),
    Feature("log_return_60", log_return_60, _LOG, ANY, _ENDS, FLOW, _SPEC, warm_up=60),
    Feature("log_return_240", log_return_240, _LOG, ANY, _ENDS, FLOW, _SPEC, warm_up=240),
    Feature("realised_volatility_5", realised_volatility_5, _LOG, POSITIVE, _ALL, FLOW, _SPEC, warm_up=5),
    Feature("realised_volatility_15", realised_volatility_15, _LOG, POSITIVE, _ALL, FLOW, _SPEC, warm_up=15),
    Feature("realised_volatility_30", realised_volatility_30, _LOG, POSITIVE, _ALL, FLOW, _SPEC, warm_up=30),
    Feature("realised_volatility_60", realised_volatility_60, _LOG, POSITIVE, _ALL, FLOW, _SPEC, warm_up=60),
    Feature(
        "realised_volatility_240", realised_volatility_240, _LOG, POSITIVE, _ALL, FLOW, _SPEC, warm_up=240
    ),
    Feature("upside_volatility_60", upside_volatility_60, _LOG, POSITIVE, _ALL, FLOW, _SPEC, warm_up=60),
    Feature("downside_volatility_60", downside_volatility_60, _LOG, POSITIVE, _ALL, FLOW, _SPEC, warm_up=60),
    Feature(
        "semivariance_balance_60", semivariance_balance_60, "share", SIGNED, _MOVED, FLOW, _SPEC, warm_up=60
    ),
    Feature(
        "bipower_volatility_60", bipower_volatility_60, _LOG, POSITIVE, _ALL, FLOW, "SPEC 5.7", warm_up=61
    ),
    Feature("jump_share_60", jump_share_60, "share", SHARE, _MOVED, FLOW, "SPEC 5.7", warm_up=61),
    Feature("parkinson_60", parkinson_60, _LOG, POSITIVE, _BARS, FLOW, _SPEC, warm_up=59),
    Feature("garman_klass_60", garman_klass_60, _LOG, POSITIVE, _BARS, FLOW, _SPEC, warm_up=59),
    Feature("rogers_satchell_60", rogers_satchell_60, _LOG, POSITIVE, _BARS, FLOW, _SPEC, warm_up=59),
)
"""In the order of the columns of a feature table."""
