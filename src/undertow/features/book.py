"""The order book as sampled (SPEC 5.3): depth, slope, spread, order-flow imbalance."""

from math import inf

import numpy as np

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
from undertow.features.nulls import known, known_close, ratio
from undertow.frames.frames import Frames
from undertow.market.instruments import Scale

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


def _imbalance(f: Frames, depth: int) -> Floats:
    out = np.empty(len(f))
    book_kernel.imbalances(f.bid_lots, f.ask_lots, f.sample_count, depth, out)
    return out


def imbalance_5(f: Frames, m: Memory) -> Floats:  # noqa: ARG001 - one signature for all features
    """(B − A) / (B + A) over the quantities of the best 5 levels, last sample; in [−1, 1]."""
    return _imbalance(f, 5)


def imbalance_10(f: Frames, m: Memory) -> Floats:  # noqa: ARG001
    """(B − A) / (B + A) over the quantities of the best 10 levels, last sample; in [−1, 1]."""
    return _imbalance(f, 10)


def imbalance_20(f: Frames, m: Memory) -> Floats:  # noqa: ARG001
    """(B − A) / (B + A) over the quantities of the best 20 levels, last sample; in [−1, 1]."""
    return _imbalance(f, 20)


def imbalance_5_avg(f: Frames, m: Memory) -> Floats:  # noqa: ARG001
    """Mean of the 5-level imbalance over the bar's samples."""
    return ratio(f.imbalance_sums[:, 0], f.imbalance_counts[:, 0])


def imbalance_10_avg(f: Frames, m: Memory) -> Floats:  # noqa: ARG001
    """Mean of the 10-level imbalance over the bar's samples."""
    return ratio(f.imbalance_sums[:, 1], f.imbalance_counts[:, 1])


def imbalance_20_avg(f: Frames, m: Memory) -> Floats:  # noqa: ARG001
    """Mean of the 20-level imbalance over the bar's samples."""
    return ratio(f.imbalance_sums[:, 2], f.imbalance_counts[:, 2])


def spread_avg(f: Frames, m: Memory) -> Floats:  # noqa: ARG001
    """(1/Δ) ∫ s dt: time-weighted over every book update in the bar [quote]."""
    return ratio(f.spread_integral, f.spread_time_us) * f.price.units / f.price.divisor


def spread_std(f: Frames, m: Memory) -> Floats:  # noqa: ARG001
    """√((1/Δ) ∫ s² dt − spread_avg²) [quote].

    The variance is taken about the whole tick nearest the mean: exactly 0 where the spread is constant.
    Integers that overflow on the way wrap around and come back, as the result is small.
    """
    centre = np.rint(np.nan_to_num(ratio(f.spread_integral, f.spread_time_us))).astype(np.int64)
    first = f.spread_integral - centre * f.spread_time_us
    second = f.spread_square_integral - 2 * centre * f.spread_integral + centre**2 * f.spread_time_us
    variance = ratio(second, f.spread_time_us) - ratio(first, f.spread_time_us) ** 2
    return np.sqrt(np.maximum(variance, 0.0)) * f.price.units / f.price.divisor


def _slope(ticks: Integers, lots: Integers, price: Scale, quantity: Scale) -> Floats:
    """Least-squares slope of quantity on distance from the best price over the levels that exist."""
    out = np.empty(len(ticks))
    book_kernel.slopes(ticks, lots, out)
    return out * (quantity.units / quantity.divisor) / (price.units / price.divisor)


def bid_slope(f: Frames, m: Memory) -> Floats:  # noqa: ARG001
    """Least-squares slope of bid quantity on distance from the best bid, top 20, last sample [base/quote]."""
    return _slope(f.bid_ticks, f.bid_lots, f.price, f.quantity)


def ask_slope(f: Frames, m: Memory) -> Floats:  # noqa: ARG001
    """Least-squares slope of ask quantity on distance from the best ask, top 20, last sample [base/quote]."""
    return _slope(f.ask_ticks, f.ask_lots, f.price, f.quantity)


def _weighted_mid_ticks(f: Frames) -> Floats:
    out = np.empty(len(f))
    book_kernel.weighted_mids(f.bid_ticks, f.bid_lots, f.ask_ticks, f.ask_lots, f.sample_count, out)
    return out


def weighted_mid(f: Frames, m: Memory) -> Floats:  # noqa: ARG001
    """(bid·askQty + ask·bidQty) / (bidQty + askQty), last sample [quote]; the microprice."""
    return _weighted_mid_ticks(f) * f.price.units / f.price.divisor


def weighted_mid_price_diff_bps(f: Frames, m: Memory) -> Floats:  # noqa: ARG001
    """(weighted_mid − last trade price) / last trade price · 10⁴ [bps]."""
    last = known_close(f)
    return ratio(_weighted_mid_ticks(f) - last, last) * 1e4


def _near_share(lots: Integers) -> Floats:
    out = np.empty(len(lots))
    book_kernel.volume_ratios(lots, 5, out)
    return out


def bid_vol_ratio_5_20(f: Frames, m: Memory) -> Floats:  # noqa: ARG001
    """Bid quantity of the best 5 levels over that of the best 20, in (0, 1]."""
    return _near_share(f.bid_lots)


def ask_vol_ratio_5_20(f: Frames, m: Memory) -> Floats:  # noqa: ARG001
    """Ask quantity of the best 5 levels over that of the best 20, in (0, 1]."""
    return _near_share(f.ask_lots)


def ofi_1(f: Frames, m: Memory) -> Floats:  # noqa: ARG001
    """Order-flow imbalance at the best level, summed over the bar [base units] (Cont et al. 2014)."""
    return known(f.quantity.to_floats(f.ofi_1), f.sample_count > 0)


def ofi_10(f: Frames, m: Memory) -> Floats:  # noqa: ARG001
    """Order-flow imbalance summed over levels 1 to 10 and the bar [base units] (Xu, Gould, Howison 2018)."""
    return known(f.quantity.to_floats(f.ofi_10), f.sample_count > 0)


def _best(f: Frames, bid: int, ask: int, parts: int) -> Floats:
    """(best bid · bid + best ask · ask) / parts [quote]; the weights count price units."""
    out, units = np.empty(len(f)), f.price.units
    weights = (bid * units, ask * units, parts * f.price.divisor)
    book_kernel.best_sums(f.bid_ticks, f.bid_lots, f.ask_ticks, f.ask_lots, f.sample_count, weights, out)
    return out


def best_bid(f: Frames, m: Memory) -> Floats:  # noqa: ARG001
    """Highest bid of the last sample [quote]."""
    return _best(f, 1, 0, 1)


def best_ask(f: Frames, m: Memory) -> Floats:  # noqa: ARG001
    """Lowest ask of the last sample [quote]."""
    return _best(f, 0, 1, 1)


def mid_price(f: Frames, m: Memory) -> Floats:  # noqa: ARG001
    """(bid + ask) / 2 of the last sample [quote]."""
    return _best(f, 1, 1, 2)


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
