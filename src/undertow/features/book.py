"""The order book as sampled (SPEC 5.3): depth, slope, spread, order-flow imbalance."""

from math import inf

import numpy as np

from undertow.compiled import borrowed, kernel
from undertow.features import book_kernel
from undertow.features.feature import (
    ANY,
    BOOK,
    FLOW,
    NO_FLOW,
    NO_LEVEL,
    NO_PRICE,
    NO_SAMPLE,
    NO_SIDE,
    NO_SLOPE,
    NO_SPREAD,
    NO_VOLUME,
    POSITIVE,
    SHARE,
    SIGNED,
    Feature,
)
from undertow.features.memory import Floats, Integers, Memory
from undertow.features.nulls import known_tick, quotient
from undertow.frames.frames import Frames

__all__ = [
    "LINES",
    "ask_slope",
    "ask_vol_ratio_5_20",
    "best_ask",
    "best_bid",
    "bid_slope",
    "bid_vol_ratio_5_20",
    "imbalance_5",
    "imbalance_5_avg",
    "imbalance_10",
    "imbalance_10_avg",
    "imbalance_20",
    "imbalance_20_avg",
    "mid_price",
    "ofi_1",
    "ofi_10",
    "spread_avg",
    "spread_std",
    "weighted_mid",
    "weighted_mid_price_diff_bps",
]


_IMBALANCE_5, _IMBALANCE_10, _IMBALANCE_20, _MEAN_5, _MEAN_10, _MEAN_20 = range(6)
_SPREAD, _DEVIATION, _BID_SLOPE, _ASK_SLOPE, _WEIGHTED_MID, _DIFFERENCE = range(6, 12)
_BID_SHARE, _ASK_SHARE, _OFI_1, _OFI_10, _BEST_BID, _BEST_ASK, _MID, _ROWS = range(12, 20)


@kernel
def _levels(
    bid_ticks: Integers,
    bid_lots: Integers,
    ask_ticks: Integers,
    ask_lots: Integers,
    steps: tuple[int, int, int, int],
    close: float,
    row: Floats,
) -> None:
    """What the levels of the last sample say; `close`: last trade price [ticks] or null."""
    units, divisor = steps[0], steps[1]
    tick, lot = units / divisor, steps[2] / steps[3]
    row[_IMBALANCE_5] = book_kernel.imbalance(bid_lots, ask_lots, 5)
    row[_IMBALANCE_10] = book_kernel.imbalance(bid_lots, ask_lots, 10)
    row[_IMBALANCE_20] = book_kernel.imbalance(bid_lots, ask_lots, 20)
    row[_BID_SLOPE] = book_kernel.slope(bid_ticks, bid_lots) * lot / tick
    row[_ASK_SLOPE] = book_kernel.slope(ask_ticks, ask_lots) * lot / tick
    row[_BID_SHARE] = book_kernel.near_share(bid_lots, 5)
    row[_ASK_SHARE] = book_kernel.near_share(ask_lots, 5)
    middle = book_kernel.weighted_mid(bid_ticks[0], bid_lots[0], ask_ticks[0], ask_lots[0])
    row[_WEIGHTED_MID] = middle * units / divisor
    row[_DIFFERENCE] = (middle - close) / close * 1e4
    both = bid_lots[0] > 0 and ask_lots[0] > 0
    row[_BEST_BID] = bid_ticks[0] * units / divisor if both else np.nan
    row[_BEST_ASK] = ask_ticks[0] * units / divisor if both else np.nan
    row[_MID] = (bid_ticks[0] * units + ask_ticks[0] * units) / (2 * divisor) if both else np.nan


@kernel
def _fold(
    books: tuple[Integers, Integers, Integers, Integers],
    columns: tuple[Integers, Integers, Integers, Integers, Integers, Integers, Integers, Integers],
    imbalances: tuple[Floats, Integers],
    length_ns: int,
    steps: tuple[int, int, int, int],
    out: Floats,
) -> None:
    """All rows for each bar.

    `books`: ticks and lots of bids and of asks; `columns`: samples, integrals of the spread and of its
    square, time of both, imbalances of flow, close, trade gap; `imbalances`: sums and counts;
    `steps`: units and divisor of prices and of quantities.
    """
    bid_ticks, bid_lots, ask_ticks, ask_lots = borrowed(books)
    samples, spreads, squares, times_us, ofi_1, ofi_10, close, gap_ns = borrowed(columns)
    sums, counts = borrowed(imbalances)
    out = borrowed((out,))[0]
    for i in range(len(samples)):
        row = out[:, i]
        if samples[i] > 0:
            last = known_tick(close[i], gap_ns[i], length_ns)
            _levels(bid_ticks[i], bid_lots[i], ask_ticks[i], ask_lots[i], steps, last, row)
            row[_OFI_1] = ofi_1[i] * steps[2] / steps[3]
            row[_OFI_10] = ofi_10[i] * steps[2] / steps[3]
        else:
            row[:] = np.nan
        for depth in range(3):
            row[_MEAN_5 + depth] = quotient(sums[i, depth], counts[i, depth])
        row[_SPREAD] = quotient(spreads[i], times_us[i]) * steps[0] / steps[1]
        deviation = book_kernel.spread_deviation(spreads[i], squares[i], times_us[i])
        row[_DEVIATION] = deviation * steps[0] / steps[1]


def _rows(f: Frames, m: Memory) -> Floats:  # noqa: ARG001 - one signature for all
    """(rows, T)."""
    books = (f.bid_ticks, f.bid_lots, f.ask_ticks, f.ask_lots)
    spread = (f.spread_integral, f.spread_square_integral, f.spread_time_us)
    columns = (f.sample_count, *spread, f.ofi_1, f.ofi_10, f.close, f.trade_gap_ns)
    steps = (f.price.units, f.price.divisor, f.quantity.units, f.quantity.divisor)
    out = np.empty((_ROWS, len(f.close)))
    _fold(books, columns, (f.imbalance_sums, f.imbalance_counts), f.length_ns, steps, out)
    return out


def imbalance_5(f: Frames, m: Memory) -> Floats:
    """(B − A) / (B + A) over the quantities of the best 5 levels, last sample; in [−1, 1]."""
    return m.shared(f, _rows, _IMBALANCE_5)


def imbalance_10(f: Frames, m: Memory) -> Floats:
    """(B − A) / (B + A) over the quantities of the best 10 levels, last sample; in [−1, 1]."""
    return m.shared(f, _rows, _IMBALANCE_10)


def imbalance_20(f: Frames, m: Memory) -> Floats:
    """(B − A) / (B + A) over the quantities of the best 20 levels, last sample; in [−1, 1]."""
    return m.shared(f, _rows, _IMBALANCE_20)


def imbalance_5_avg(f: Frames, m: Memory) -> Floats:
    """Mean of the 5-level imbalance over the bar's samples."""
    return m.shared(f, _rows, _MEAN_5)


def imbalance_10_avg(f: Frames, m: Memory) -> Floats:
    """Mean of the 10-level imbalance over the bar's samples."""
    return m.shared(f, _rows, _MEAN_10)


def imbalance_20_avg(f: Frames, m: Memory) -> Floats:
    """Mean of the 20-level imbalance over the bar's samples."""
    return m.shared(f, _rows, _MEAN_20)


def spread_avg(f: Frames, m: Memory) -> Floats:
    """(1/Δ) ∫ s dt: time-weighted over every book update in the bar [quote]."""
    return m.shared(f, _rows, _SPREAD)


def spread_std(f: Frames, m: Memory) -> Floats:
    """√((1/Δ) ∫ s² dt − spread_avg²) [quote].

    The variance is taken about the whole tick nearest the mean: exactly 0 where the spread is constant.
    Integers that overflow on the way wrap around and come back, as the result is small.
    """
    return m.shared(f, _rows, _DEVIATION)


def bid_slope(f: Frames, m: Memory) -> Floats:
    """Least-squares slope of bid quantity on distance from the best bid, top 20, last sample [base/quote]."""
    return m.shared(f, _rows, _BID_SLOPE)


def ask_slope(f: Frames, m: Memory) -> Floats:
    """Least-squares slope of ask quantity on distance from the best ask, top 20, last sample [base/quote]."""
    return m.shared(f, _rows, _ASK_SLOPE)


def weighted_mid(f: Frames, m: Memory) -> Floats:
    """(bid·askQty + ask·bidQty) / (bidQty + askQty), last sample [quote]; the microprice."""
    return m.shared(f, _rows, _WEIGHTED_MID)


def weighted_mid_price_diff_bps(f: Frames, m: Memory) -> Floats:
    """(weighted_mid − last trade price) / last trade price · 10⁴ [bps]."""
    return m.shared(f, _rows, _DIFFERENCE)


def bid_vol_ratio_5_20(f: Frames, m: Memory) -> Floats:
    """Bid quantity of the best 5 levels over that of the best 20, in (0, 1]."""
    return m.shared(f, _rows, _BID_SHARE)


def ask_vol_ratio_5_20(f: Frames, m: Memory) -> Floats:
    """Ask quantity of the best 5 levels over that of the best 20, in (0, 1]."""
    return m.shared(f, _rows, _ASK_SHARE)


def ofi_1(f: Frames, m: Memory) -> Floats:
    """Order-flow imbalance at the best level, summed over the bar [base units] (Cont et al. 2014)."""
    return m.shared(f, _rows, _OFI_1)


def ofi_10(f: Frames, m: Memory) -> Floats:
    """Order-flow imbalance summed over levels 1 to 10 and the bar [base units] (Xu, Gould, Howison 2018)."""
    return m.shared(f, _rows, _OFI_10)


def best_bid(f: Frames, m: Memory) -> Floats:
    """Highest bid of the last sample [quote]."""
    return m.shared(f, _rows, _BEST_BID)


def best_ask(f: Frames, m: Memory) -> Floats:
    """Lowest ask of the last sample [quote]."""
    return m.shared(f, _rows, _BEST_ASK)


def mid_price(f: Frames, m: Memory) -> Floats:
    """(bid + ask) / 2 of the last sample [quote]."""
    return m.shared(f, _rows, _MID)


LINES = (
    Feature("imbalance_5", imbalance_5, "share", SIGNED, NO_VOLUME, BOOK, "SPEC 5.3", mirror="odd"),
    Feature("imbalance_10", imbalance_10, "share", SIGNED, NO_VOLUME, BOOK, "SPEC 5.3", mirror="odd"),
    Feature("imbalance_20", imbalance_20, "share", SIGNED, NO_VOLUME, BOOK, "SPEC 5.3", mirror="odd"),
    Feature("imbalance_5_avg", imbalance_5_avg, "share", SIGNED, NO_VOLUME, BOOK, "SPEC 5.3", mirror="odd"),
    Feature("imbalance_10_avg", imbalance_10_avg, "share", SIGNED, NO_VOLUME, BOOK, "SPEC 5.3", mirror="odd"),
    Feature("imbalance_20_avg", imbalance_20_avg, "share", SIGNED, NO_VOLUME, BOOK, "SPEC 5.3", mirror="odd"),
    Feature("spread_avg", spread_avg, "quote", POSITIVE, NO_SPREAD, BOOK, "SPEC 5.3", mirror="even"),
    Feature("spread_std", spread_std, "quote", POSITIVE, NO_SPREAD, BOOK, "SPEC 5.3", mirror="even"),
    Feature("bid_slope", bid_slope, "base/quote", ANY, NO_SLOPE, BOOK, "SPEC 5.3", mirror="swap:ask_slope"),
    Feature("ask_slope", ask_slope, "base/quote", ANY, NO_SLOPE, BOOK, "SPEC 5.3", mirror="swap:bid_slope"),
    Feature("weighted_mid", weighted_mid, "quote", POSITIVE, NO_SIDE, BOOK, "SPEC 5.3", mirror="price"),
    Feature(
        "weighted_mid_price_diff_bps",
        weighted_mid_price_diff_bps,
        "bps",
        (-1e4, inf),
        f"{NO_SIDE}; {NO_PRICE}; {NO_FLOW}",
        f"{BOOK}, {FLOW}",
        "SPEC 5.3",
        mirror="none",
    ),
    Feature(
        "bid_vol_ratio_5_20",
        bid_vol_ratio_5_20,
        "share",
        SHARE,
        NO_LEVEL,
        BOOK,
        "SPEC 5.3",
        mirror="swap:ask_vol_ratio_5_20",
    ),
    Feature(
        "ask_vol_ratio_5_20",
        ask_vol_ratio_5_20,
        "share",
        SHARE,
        NO_LEVEL,
        BOOK,
        "SPEC 5.3",
        mirror="swap:bid_vol_ratio_5_20",
    ),
    Feature(
        "ofi_1", ofi_1, "base", ANY, NO_SAMPLE, BOOK, "SPEC 5.3; Cont, Kukanov, Stoikov 2014", mirror="odd"
    ),
    Feature(
        "ofi_10", ofi_10, "base", ANY, NO_SAMPLE, BOOK, "SPEC 5.3; Xu, Gould, Howison 2018", mirror="odd"
    ),
    Feature("best_bid", best_bid, "quote", POSITIVE, NO_SIDE, BOOK, "SPEC 5.3", mirror="price:best_ask"),
    Feature("best_ask", best_ask, "quote", POSITIVE, NO_SIDE, BOOK, "SPEC 5.3", mirror="price:best_bid"),
    Feature("mid_price", mid_price, "quote", POSITIVE, NO_SIDE, BOOK, "SPEC 5.3", mirror="price"),
)
"""In the order of the columns of a feature table."""
