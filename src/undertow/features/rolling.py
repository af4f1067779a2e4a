"""Rolling statistics over the last hour, four hours and day (SPEC 5.6).

Of price changes bar to bar in ticks, not of log returns: over a day they differ by the price's own drift, and
ticks treat rises and falls alike and know exactly when nothing has moved.

A window is cut into cells of 1/240 of its length, or of a bar where that is longer, at fixed places of the
clock. It holds the cell that the bar opens in, so far, and the whole cells before it, as many as fit:
between 239/240 and the whole of its length. Statistics of cells are joined by exact rules (Pébay 2008), and
windows of cells as `memory.slide_sums` joins sums: nothing drifts, and a bar costs the same in any window.

Bars before the first trade and bars wholly inside a gap of the trade stream are null and take no part. Every
value is null while fewer than half of the window's bars are known, and for bars longer than the window.
"""

import numpy as np

from undertow.compiled import borrowed, kernel
from undertow.features.feature import ANY, FLOW, NO_FLOW, POSITIVE, SHARE, SIGNED, Feature, Formula, Range
from undertow.features.memory import Floats, Integers, Memory, join_moments, join_products, join_variances
from undertow.frames.frames import Frames
from undertow.market.time import HOUR_NS

__all__ = [
    "change_autocorrelation_1h",
    "change_autocorrelation_4h",
    "change_autocorrelation_24h",
    "change_kurtosis_1h",
    "change_kurtosis_24h",
    "change_skew_1h",
    "change_skew_24h",
    "change_zscore_1h",
    "change_zscore_4h",
    "change_zscore_24h",
    "delta_share_1h",
    "delta_share_4h",
    "delta_share_24h",
    "delta_zscore_1h",
    "delta_zscore_4h",
    "delta_zscore_24h",
    "price_position_1h",
    "price_position_4h",
    "price_position_24h",
    "price_range_1h",
    "price_range_4h",
    "price_range_24h",
    "volume_mean_1h",
    "volume_mean_24h",
    "volume_ratio_1h_24h",
    "volume_zscore_1h",
    "volume_zscore_4h",
    "volume_zscore_24h",
]

Steps = tuple[int, int, int, int]
_WINDOWS_NS, _CELLS = (HOUR_NS, 4 * HOUR_NS, 24 * HOUR_NS), 240

# What is kept of the bars of a cell: moments of price changes, variances of volume and taker delta [lots],
# products of neighbouring changes (see `memory.join_moments` and the others), exact sums, extremes.
_CHANGES, _VOLUME, _DELTA, _PAIRS = 0, 5, 8, 11
_VOLUME_SUM, _DELTA_SUM, _HIGH, _LOW, _WIDTH = 17, 18, 19, 20, 21

# Rows of a window's cells after those that are complete: the cells of this block so far, the open cell, all
# of the window but the open cell.
_PREFIX, _OPEN, _REST, _EXTRA = 0, 1, 2, 3

# Rows of the kernel's output: one a window, in order; skew, kurtosis and level of the first and the last.
_CHANGE_Z, _CORRELATION, _SKEW, _KURTOSIS, _VOLUME_Z, _DELTA_Z = 0, 3, 6, 8, 10, 13
_DELTA_SHARE, _POSITION, _RANGE, _LEVEL, _RATIO, _ROWS = 16, 19, 22, 25, 27, 28


@kernel
def _clear(row: Floats) -> None:
    """The statistics of no bars."""
    row[:] = 0.0
    row[_HIGH], row[_LOW] = -np.inf, np.inf


@kernel
def _join(a: Floats, b: Floats) -> None:
    """The bars of `b` come after those of `a`, in place."""
    join_moments(a, b, _CHANGES)
    join_variances(a, b, _VOLUME)
    join_variances(a, b, _DELTA)
    join_products(a, b, _PAIRS)
    a[_VOLUME_SUM] += b[_VOLUME_SUM]
    a[_DELTA_SUM] += b[_DELTA_SUM]
    a[_HIGH], a[_LOW] = max(a[_HIGH], b[_HIGH]), min(a[_LOW], b[_LOW])


@kernel
def _close_cell(number: int, cells: Floats, count: int) -> None:
    """The open cell is complete: it was the one with this number on the clock."""
    at = number % count
    cells[at] = cells[count + _OPEN]
    _join(cells[count + _PREFIX], cells[count + _OPEN])
    _clear(cells[count + _OPEN])
    if at == count - 1:
        for p in range(count - 2, 0, -1):
            _join(cells[p], cells[p + 1])
        _clear(cells[count + _PREFIX])
    after = (number + 1) % count + 1
    _clear(cells[count + _REST])
    if after < count:
        cells[count + _REST] = cells[after]
    _join(cells[count + _REST], cells[count + _PREFIX])


@kernel
def _of_bar(close: int, high: int, low: int, buys: int, sells: int, past: Floats, bar: Floats) -> None:
    """The statistics of one known bar; `past`: close and change before."""
    _clear(bar)
    change = close - past[0]
    bar[_HIGH], bar[_LOW] = high, low
    bar[_VOLUME], bar[_DELTA] = 1.0, 1.0
    bar[_VOLUME + 1] = bar[_VOLUME_SUM] = buys + sells
    bar[_DELTA + 1] = bar[_DELTA_SUM] = buys - sells
    if not np.isnan(change):
        bar[_CHANGES], bar[_CHANGES + 1] = 1.0, change
        if not np.isnan(past[1]):
            bar[_PAIRS], bar[_PAIRS + 1], bar[_PAIRS + 2] = 1.0, past[1], change
    past[0], past[1] = close, change


@kernel
def _score(bar: Floats, total: Floats, at: int) -> float:
    """Distance of the bar's value from the window's mean in standard deviations."""
    if bar[at] == 0 or total[at + 2] <= 0:
        return float(np.nan)
    return float((bar[at + 1] - total[at + 1]) / np.sqrt(total[at + 2] / total[at]))


@kernel
def _read(total: Floats, bar: Floats, close: float, steps: Steps, window: int, row: Floats) -> None:
    """What a window says of its last bar; `steps`: units and divisor of prices and of quantities."""
    row[_CHANGE_Z + window] = _score(bar, total, _CHANGES)
    row[_VOLUME_Z + window], row[_DELTA_Z + window] = _score(bar, total, _VOLUME), _score(bar, total, _DELTA)
    if total[_VOLUME_SUM] > 0:
        row[_DELTA_SHARE + window] = total[_DELTA_SUM] / total[_VOLUME_SUM]
    reach = total[_HIGH] - total[_LOW]
    row[_RANGE + window] = reach * steps[0] / steps[1]
    if reach > 0:
        row[_POSITION + window] = (close - total[_LOW]) / reach
    products = np.sqrt(total[_PAIRS + 3]) * np.sqrt(total[_PAIRS + 4])
    if products > 0:
        row[_CORRELATION + window] = min(max(total[_PAIRS + 5] / products, -1.0), 1.0)
    if window == 1:
        return
    n, square, at = total[_CHANGES], total[_CHANGES + 2], window // 2
    if square > 0:
        row[_SKEW + at] = np.sqrt(n) * total[_CHANGES + 3] / (square * np.sqrt(square))
        row[_KURTOSIS + at] = n * total[_CHANGES + 4] / (square * square)
    row[_LEVEL + at] = total[_VOLUME_SUM] / total[_VOLUME]  # in lots: a ratio of two knows no lot size


@kernel
def _advance(number: int, count: int, bar: Floats, cells: Floats, places: Floats, window: int) -> None:
    """Put a bar into the cell with this number; `places[window]` is the number of the open one."""
    if np.isnan(places[window]):
        for p in range(count + _EXTRA):
            _clear(cells[p])
        places[window] = number
    while places[window] < number:
        _close_cell(int(places[window]), cells, count)
        places[window] += 1.0
    _join(cells[count + _OPEN], bar)


@kernel
def _fold(
    columns: tuple[Integers, Integers, Integers, Integers, Integers, Integers],
    length_ns: int,
    first_ns: int,
    steps: Steps,
    past: Floats,
    places: Floats,
    rows: Floats,
    cells: Floats,
    out: Floats,
) -> None:
    """All rows for each bar; `columns`: close, high, low, buys, sells, trade gap; `rows`: scratch."""
    close, high, low, buys, sells, gap_ns = borrowed(columns)
    past, places, rows, cells, out = borrowed((past, places, rows, cells, out))
    bar, total, lot = rows[0], rows[1], steps[2] / steps[3]
    out[:, :] = np.nan
    for i in range(len(close)):
        known = close[i] > 0 and gap_ns[i] < length_ns
        if known:
            _of_bar(close[i], high[i], low[i], buys[i], sells[i], past, bar)
        else:
            _clear(bar)
            past[:] = np.nan
        for w in range(len(_WINDOWS_NS)):
            cell_ns = max(_WINDOWS_NS[w] // _CELLS, length_ns)
            count = _WINDOWS_NS[w] // cell_ns
            if count == 0:
                continue
            here = cells[w]
            _advance((first_ns + i * length_ns) // cell_ns, count, bar, here, places, w)
            total[:] = here[count + _REST]
            _join(total, here[count + _OPEN])
            if known and 2.0 * total[_VOLUME] * length_ns >= _WINDOWS_NS[w]:
                _read(total, bar, close[i], steps, w, out[:, i])
        out[_RATIO, i] = out[_LEVEL, i] / out[_LEVEL + 1, i]
        out[_LEVEL, i], out[_LEVEL + 1, i] = out[_LEVEL, i] * lot, out[_LEVEL + 1, i] * lot


def _rows(f: Frames, m: Memory) -> Floats:
    """(rows, T): every statistic."""
    past, places = m.floats(2, fill=np.nan), m.floats(3, fill=np.nan)
    cells = m.floats(3, _CELLS + _EXTRA, _WIDTH)
    columns = (f.close, f.high, f.low, f.buy_lots, f.sell_lots, f.trade_gap_ns)
    steps = (f.price.units, f.price.divisor, f.quantity.units, f.quantity.divisor)
    rows, out = np.empty((2, _WIDTH)), np.empty((_ROWS, len(f.open_ns)))
    _fold(columns, f.length_ns, int(f.open_ns[0]), steps, past, places, rows, cells, out)
    return out


def change_zscore_1h(f: Frames, m: Memory) -> Floats:
    """(Δ − mean) / std of price changes from bar to bar over the last hour [std]."""
    return m.shared(f, _rows, _CHANGE_Z)


def change_zscore_4h(f: Frames, m: Memory) -> Floats:
    """(Δ − mean) / std of price changes from bar to bar over the last four hours [std]."""
    return m.shared(f, _rows, _CHANGE_Z + 1)


def change_zscore_24h(f: Frames, m: Memory) -> Floats:
    """(Δ − mean) / std of price changes from bar to bar over the last day [std]."""
    return m.shared(f, _rows, _CHANGE_Z + 2)


def change_autocorrelation_1h(f: Frames, m: Memory) -> Floats:
    """Correlation of neighbouring price changes over the last hour, in [−1, 1]."""
    return m.shared(f, _rows, _CORRELATION)


def change_autocorrelation_4h(f: Frames, m: Memory) -> Floats:
    """Correlation of neighbouring price changes over the last four hours, in [−1, 1]."""
    return m.shared(f, _rows, _CORRELATION + 1)


def change_autocorrelation_24h(f: Frames, m: Memory) -> Floats:
    """Correlation of neighbouring price changes over the last day, in [−1, 1]."""
    return m.shared(f, _rows, _CORRELATION + 2)


def change_skew_1h(f: Frames, m: Memory) -> Floats:
    """Third central moment / std³ of price changes over the last hour."""
    return m.shared(f, _rows, _SKEW)


def change_skew_24h(f: Frames, m: Memory) -> Floats:
    """Third central moment / std³ of price changes over the last day."""
    return m.shared(f, _rows, _SKEW + 1)


def change_kurtosis_1h(f: Frames, m: Memory) -> Floats:
    """Fourth central moment / std⁴ of price changes over the last hour; 3 for a normal law."""
    return m.shared(f, _rows, _KURTOSIS)


def change_kurtosis_24h(f: Frames, m: Memory) -> Floats:
    """Fourth central moment / std⁴ of price changes over the last day; 3 for a normal law."""
    return m.shared(f, _rows, _KURTOSIS + 1)


def volume_zscore_1h(f: Frames, m: Memory) -> Floats:
    """(volume − mean) / std of the volume of bars over the last hour [std]."""
    return m.shared(f, _rows, _VOLUME_Z)


def volume_zscore_4h(f: Frames, m: Memory) -> Floats:
    """(volume − mean) / std of the volume of bars over the last four hours [std]."""
    return m.shared(f, _rows, _VOLUME_Z + 1)


def volume_zscore_24h(f: Frames, m: Memory) -> Floats:
    """(volume − mean) / std of the volume of bars over the last day [std]."""
    return m.shared(f, _rows, _VOLUME_Z + 2)


def delta_zscore_1h(f: Frames, m: Memory) -> Floats:
    """(vol_delta − mean) / std of the taker delta of bars over the last hour [std]."""
    return m.shared(f, _rows, _DELTA_Z)


def delta_zscore_4h(f: Frames, m: Memory) -> Floats:
    """(vol_delta − mean) / std of the taker delta of bars over the last four hours [std]."""
    return m.shared(f, _rows, _DELTA_Z + 1)


def delta_zscore_24h(f: Frames, m: Memory) -> Floats:
    """(vol_delta − mean) / std of the taker delta of bars over the last day [std]."""
    return m.shared(f, _rows, _DELTA_Z + 2)


def delta_share_1h(f: Frames, m: Memory) -> Floats:
    """(taker buys − taker sells) / volume over the last hour, in [−1, 1]."""
    return m.shared(f, _rows, _DELTA_SHARE)


def delta_share_4h(f: Frames, m: Memory) -> Floats:
    """(taker buys − taker sells) / volume over the last four hours, in [−1, 1]."""
    return m.shared(f, _rows, _DELTA_SHARE + 1)


def delta_share_24h(f: Frames, m: Memory) -> Floats:
    """(taker buys − taker sells) / volume over the last day, in [−1, 1]."""
    return m.shared(f, _rows, _DELTA_SHARE + 2)


def price_position_1h(f: Frames, m: Memory) -> Floats:
    """(close − lowest low) / (highest high − lowest low) of the last hour, in [0, 1]."""
    return m.shared(f, _rows, _POSITION)


def price_position_4h(f: Frames, m: Memory) -> Floats:
    """(close − lowest low) / (highest high − lowest low) of the last four hours, in [0, 1]."""
    return m.shared(f, _rows, _POSITION + 1)


def price_position_24h(f: Frames, m: Memory) -> Floats:
    """(close − lowest low) / (highest high − lowest low) of the last day, in [0, 1]."""
    return m.shared(f, _rows, _POSITION + 2)


def price_range_1h(f: Frames, m: Memory) -> Floats:
    """Highest high − lowest low of the last hour [quote]."""
    return m.shared(f, _rows, _RANGE)


def price_range_4h(f: Frames, m: Memory) -> Floats:
    """Highest high − lowest low of the last four hours [quote]."""
    return m.shared(f, _rows, _RANGE + 1)


def price_range_24h(f: Frames, m: Memory) -> Floats:
    """Highest high − lowest low of the last day [quote]."""
    return m.shared(f, _rows, _RANGE + 2)


def volume_mean_1h(f: Frames, m: Memory) -> Floats:
    """Mean volume of a bar over the last hour [base units]."""
    return m.shared(f, _rows, _LEVEL)


def volume_mean_24h(f: Frames, m: Memory) -> Floats:
    """Mean volume of a bar over the last day [base units]."""
    return m.shared(f, _rows, _LEVEL + 1)


def volume_ratio_1h_24h(f: Frames, m: Memory) -> Floats:
    """Mean volume of a bar over the last hour / over the last day."""
    return m.shared(f, _rows, _RATIO)


_HALF = f"unless half of the window's bars are known; {NO_FLOW}"
_FLAT = f"{_HALF}; the price has not moved"
_AFTER = f"{_FLAT}; the bar after such a gap"
_EVEN = f"{_HALF}; all bars alike"
_NO_VOLUME = f"{_HALF}; nothing traded"


def _line(function: Formula, unit: str, bounds: Range, null: str, warm_up: int, mirror: str) -> Feature:
    """A line of this family; the warm-up, half of the window, is in bars of a second."""
    return Feature(function.__name__, function, unit, bounds, null, FLOW, "SPEC 5.6", warm_up, mirror=mirror)


LINES = (
    _line(change_zscore_1h, "std", ANY, _AFTER, 1799, "odd"),
    _line(change_zscore_4h, "std", ANY, _AFTER, 7199, "odd"),
    _line(change_zscore_24h, "std", ANY, _AFTER, 43199, "odd"),
    _line(change_autocorrelation_1h, "share", SIGNED, _FLAT, 1799, "even"),
    _line(change_autocorrelation_4h, "share", SIGNED, _FLAT, 7199, "even"),
    _line(change_autocorrelation_24h, "share", SIGNED, _FLAT, 43199, "even"),
    _line(change_skew_1h, "points", ANY, _FLAT, 1799, "odd"),
    _line(change_skew_24h, "points", ANY, _FLAT, 43199, "odd"),
    _line(change_kurtosis_1h, "points", POSITIVE, _FLAT, 1799, "even"),
    _line(change_kurtosis_24h, "points", POSITIVE, _FLAT, 43199, "even"),
    _line(volume_zscore_1h, "std", ANY, _EVEN, 1799, "even"),
    _line(volume_zscore_4h, "std", ANY, _EVEN, 7199, "even"),
    _line(volume_zscore_24h, "std", ANY, _EVEN, 43199, "even"),
    _line(delta_zscore_1h, "std", ANY, _EVEN, 1799, "odd"),
    _line(delta_zscore_4h, "std", ANY, _EVEN, 7199, "odd"),
    _line(delta_zscore_24h, "std", ANY, _EVEN, 43199, "odd"),
    _line(delta_share_1h, "share", SIGNED, _NO_VOLUME, 1799, "odd"),
    _line(delta_share_4h, "share", SIGNED, _NO_VOLUME, 7199, "odd"),
    _line(delta_share_24h, "share", SIGNED, _NO_VOLUME, 43199, "odd"),
    _line(price_position_1h, "share", SHARE, _FLAT, 1799, "complement"),
    _line(price_position_4h, "share", SHARE, _FLAT, 7199, "complement"),
    _line(price_position_24h, "share", SHARE, _FLAT, 43199, "complement"),
    _line(price_range_1h, "quote", POSITIVE, _HALF, 1799, "even"),
    _line(price_range_4h, "quote", POSITIVE, _HALF, 7199, "even"),
    _line(price_range_24h, "quote", POSITIVE, _HALF, 43199, "even"),
    _line(volume_mean_1h, "base", POSITIVE, _HALF, 1799, "even"),
    _line(volume_mean_24h, "base", POSITIVE, _HALF, 43199, "even"),
    _line(volume_ratio_1h_24h, "share", POSITIVE, _NO_VOLUME, 43199, "even"),
)
"""In the order of the columns of a feature table."""
