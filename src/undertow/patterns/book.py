"""Patterns of the book: liquidity that is cancelled away, walls that are pulled, one-sided depth."""

import numpy as np

from undertow.compiled import kernel
from undertow.patterns.pattern import (
    BARS,
    BASELINE,
    Floats,
    Found,
    Number,
    Pattern,
    Settings,
    View,
)
from undertow.patterns.thresholds import USUAL, setting, thresholds
from undertow.patterns.trailing import highest, multiple, trailing_quantile, window_sum

__all__ = ["LINES", "imbalance_extreme", "liquidity_vacuum", "spoof_wall"]


def liquidity_vacuum(v: View, s: Settings) -> Found:
    """Asks vanish because they are cancelled, not because they are bought, and are not put back.

    Over the last `window` bars, the asks' depth has shrunk by more than takers bought; the rest is at least
    `factor` × its usual size, the `share` quantile of its absolute value over as many bars among the
    `baseline` before the window, and at least `by_cancel` of the loss. What takers bought in the bar before
    the window counts as well: its trace in the book may come a bar later.
    """
    window = int(s["window"])
    taken = v.own("buy_volume", "sell_volume")
    bought = window_sum(taken, v.age, window + 1)
    lost = -window_sum(v.other("bid_depth_change", "ask_depth_change"), v.age, window)
    vanished = lost - bought
    usual = s["factor"] * trailing_quantile(np.abs(vanished), v.age, int(s[BASELINE]), window, s["share"])
    return Found(
        multiple(vanished, usual, vanished >= s["by_cancel"] * lost), (vanished, bought, lost, usual)
    )


def spoof_wall(v: View, s: Settings) -> Found:
    """A wall of asks is put up, stands, and is pulled without having been bought.

    A bar's net change of asks is what makers added less what they cancelled: the change of depth, and what
    takers bought. In one bar, from `least` to `most` bars before, it was up, and in this bar it is down, each
    by at least `factor` × its usual size, the `share` quantile of its absolute value among the `baseline`
    bars before; the smaller is at least `kept` of the larger. In between the depth of the asks never fell by
    more than 1 − `kept` of the wall; and from the one bar to the other takers bought at most `traded` of it.
    """
    change = v.other("bid_depth_change", "ask_depth_change")
    bought = v.own("buy_volume", "sell_volume")
    net = np.where(v.age > 0, change + bought, np.nan)
    least, most = int(s["least"]), int(s["most"])
    usual = s["factor"] * trailing_quantile(np.abs(net), v.age, int(s[BASELINE]), most + 1, s["share"])
    walls = _pulled_walls(net, change, bought, usual, least, most, s["kept"], s["traded"])
    strength = multiple(np.minimum(walls[0], -net), usual, walls[1] > 0)
    return Found(strength, (walls[0], -net, walls[1], walls[2]))


def imbalance_extreme(v: View, s: Settings) -> Found:
    """Bids outweigh asks by far, for some time.

    The mean imbalance of ten levels was, in each of the last `window` bars, at least `floor` and at least
    `factor` × the `share` quantile of its absolute value among the `baseline` bars before them.
    """
    window = int(s["window"])
    imbalance = np.where(v.age > 0, v.odd("imbalance_10_avg"), np.nan)
    least = -highest(-imbalance, v.age, window)
    usual = s["factor"] * trailing_quantile(np.abs(imbalance), v.age, int(s[BASELINE]), window, s["share"])
    threshold = np.maximum(usual, s["floor"])
    return Found(multiple(least, threshold), (least, threshold))


@kernel
def _pulled_walls(
    net: Floats,
    change: Floats,
    bought: Floats,
    usual: Floats,
    least: int,
    most: int,
    kept: float,
    traded: float,
) -> Floats:
    """Quantity put up, bars it stood and taker volume against it, of the wall pulled in each bar: (3, n).

    Zeros where none was. `usual` is NaN where the bars back to `most` before are not all known.
    """
    walls = np.zeros((3, len(net)))
    for i in range(len(net)):
        if not -net[i] >= usual[i]:
            continue
        for k in range(i - least, i - most - 1, -1):
            alike = min(net[k], -net[i]) >= kept * max(net[k], -net[i])
            if net[k] >= usual[i] and alike and _stood(change, k, i, (1 - kept) * net[k]):
                volume = 0.0
                for bar in range(k, i + 1):
                    volume += bought[bar]
                if volume <= traded * net[k]:
                    walls[0, i], walls[1, i], walls[2, i] = net[k], i - k, volume
                    break
    return walls


@kernel
def _stood(change: Floats, placed: int, pulled: int, tolerance: float) -> bool:
    """Whether the depth between the two bars never went below what it was by more than the tolerance."""
    depth = 0.0
    for bar in range(placed + 1, pulled):
        depth += change[bar]
        if depth < -tolerance:
            return False
    return True


_MAKERS_AND_TAKERS = ("bid_depth_change", "ask_depth_change", "buy_volume", "sell_volume")


LINES = (
    Pattern(
        liquidity_vacuum,
        inputs=_MAKERS_AND_TAKERS,
        settings=(
            setting("window", 3, "bars of cancelling", BARS),
            *thresholds(900, 30, 0.99, 2.0),
            setting("by_cancel", 0.8, "loss of depth not bought, of all of it, at least"),
        ),
        numbers=(
            Number("vanished", "base", "loss of the asks' depth less what takers bought: cancelled, net"),
            Number("taken", "base", "taker buys over the window and the bar before"),
            Number("depth_lost", "base", "asks taken away less asks added over the window"),
            Number("usual_vanished", "base", USUAL),
        ),
        strength="quantity vanished over the threshold",
        reads="asks were pulled: little is in the way of buyers",
        source="SPEC 9; SPEC 5.7 (Cont, Stoikov, Talreja 2010) for changes of depth, of the ten best levels",
        example=(
            "What vanishes in 3 bars is at most 15 in 99 of 100; threshold 2 × 15 = 30. In one bar 44 "
            "asks are taken away, 6 added and 2 bought: the depth loses 38, of which 36 vanished: 36 ≥ "
            "0.8 × 38, an event of side +1 and strength 36 / 30 = 1.2."
        ),
        false_alarms=2.0,
    ),
    Pattern(
        spoof_wall,
        inputs=_MAKERS_AND_TAKERS,
        settings=(
            setting("least", 3, "bars that a wall stands, at least", BARS),
            setting("most", 60, "bars that a wall stands, at most", BARS),
            *thresholds(900, 5, 0.99, 1.5),
            setting("kept", 0.7, "smaller over larger of what was put up and pulled, at least"),
            setting("traded", 0.2, "taker volume while it stood, of the wall, at most"),
        ),
        numbers=(
            Number("put_up", "base", "asks added, net, in the bar of the wall"),
            Number("pulled", "base", "asks cancelled, net, in this bar"),
            Number("bars_stood", BARS, "bars between the two"),
            Number("taken", "base", "taker buys from the one bar to the other"),
        ),
        strength="the smaller of what was put up and pulled over the threshold",
        reads="a wall of asks was pulled unbought",
        source="SPEC 9; 7 U.S.C. § 6c(a)(5)(C) for spoofing: of the intent to cancel only the outcome shows",
        example=(
            "The net change is at most 10 in 99 of 100 bars; threshold 1.5 × 10 = 15. A bar adds 30 to "
            "the asks, for eight bars their depth stays, but for 4 that takers buy, then 28 are cancelled "
            "in one bar: 28 / 30 ≥ 0.7 and 4 ≤ 0.2 × 30, an event of side +1 and strength 28 / 15 = 1.87."
        ),
        false_alarms=0.5,
    ),
    Pattern(
        imbalance_extreme,
        inputs=("imbalance_10_avg",),
        settings=(
            setting("window", 3, "bars that it lasts, at least", BARS),
            *thresholds(900, 30, 0.99, 1.0),
            setting("floor", 0.5, "imbalance below which nothing is extreme"),
        ),
        numbers=(
            Number("least_imbalance", "share", "least imbalance of the window"),
            Number(
                "usual_imbalance", "share", "the threshold: the greater of `floor` and `factor` × the usual"
            ),
        ),
        strength="least imbalance of the window over the threshold",
        reads="bids outweigh asks",
        source="SPEC 9; Gould, Bonart 2016; SPEC 5.3 for the imbalance",
        example=(
            "|imbalance| is at most 0.6 in 99 of 100 bars; threshold max(0.5, 0.6) = 0.6. Bars of 0.72, "
            "0.66 and 0.75: the third is an event of side +1 and strength 0.66 / 0.6 = 1.1."
        ),
        false_alarms=1.0,
    ),
)
"""In the order of the catalogue."""
