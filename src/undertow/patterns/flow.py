"""Patterns of takers against the price: absorption, exhaustion, delta divergence, whale prints."""

import numpy as np

from undertow.compiled import kernel
from undertow.patterns.pattern import (
    BARS,
    BASELINE,
    Floats,
    Found,
    Integers,
    Number,
    Pattern,
    Settings,
    View,
)
from undertow.patterns.thresholds import USUAL, setting, thresholds
from undertow.patterns.trailing import highest, move, multiple, trailing_quantile, window_sum

__all__ = ["LINES", "absorption", "delta_divergence", "exhaustion", "whale_print"]


def absorption(v: View, s: Settings) -> Found:
    """Takers sell and the price does not fall: bids take it all.

    Over the last `window` bars, net taker sells are at least `factor` × their usual greatest, the `share`
    quantile of |net taker volume| over as many bars, among the `baseline` before the window; they are at
    least `one_sided` of the volume; and the middle price has fallen by at most `give` × the median of its
    moves over as many bars.
    """
    window = int(s["window"])
    net_sold = window_sum(-v.odd("vol_delta"), v.age, window)
    volume = window_sum(v.even("volume"), v.age, window)
    fall = -move(v.odd("mid_price"), v.age, window)
    usual = s["factor"] * _usual(net_sold, v.age, s, window, s["share"])
    still = s["give"] * _usual(fall, v.age, s, window, 0.5)
    strength = multiple(net_sold, usual, net_sold >= s["one_sided"] * volume, fall <= still)
    return Found(strength, (net_sold, volume, fall, usual))


def exhaustion(v: View, s: Settings) -> Found:
    """A fall runs out of sellers: many sold into it, the price is near its lowest, and few sell any more.

    Over the last `leg` bars the middle price has fallen by at least `factor` × its usual greatest move, the
    `share` quantile of |moves| over as many bars among the `baseline` before the leg; it has come back from
    its lowest by at most `back` of that fall; the most taker sells of any `window` bars of the leg are at
    least the same quantile of such sums in the baseline; and those of the last `window` bars are at most
    `fade` × that most.
    """
    leg, window = int(s["leg"]), int(s["window"])
    price = v.odd("mid_price")
    fall = -move(price, v.age, leg)
    usual = s["factor"] * _usual(fall, v.age, s, leg, s["share"])
    from_lowest = price + highest(-price, v.age, leg)
    sold = window_sum(v.other("buy_volume", "sell_volume"), v.age, window)
    most_sold = highest(sold, np.maximum(v.age - window + 1, 0), leg)
    climax = most_sold >= _usual(sold, v.age, s, leg, s["share"])
    faded = sold <= s["fade"] * most_sold
    strength = multiple(fall, usual, from_lowest <= s["back"] * fall, climax, faded)
    return Found(np.where(np.isnan(most_sold), np.nan, strength), (fall, usual, sold, most_sold))


def delta_divergence(v: View, s: Settings) -> Found:
    """The price makes a new low, takers do not: since the low before they have bought on balance.

    The middle price is below the lowest of the bars from `leg` to `window` before, by at least `margin` × the
    median of its moves over `window` bars; and since that low (the latest, if it was touched twice) takers'
    net buys are at least `factor` × their usual greatest, the `share` quantile of |net taker volume| over
    `window` bars among the `baseline` before the leg.
    """
    leg, window = int(s["leg"]), int(s["window"])
    price, delta = v.odd("mid_price"), v.odd("vol_delta")
    below, bought, since = _since_lowest(price, delta, v.age, leg, window)
    net = window_sum(delta, v.age, window)
    usual = s["factor"] * _usual(net, v.age, s, leg, s["share"])
    margin = s["margin"] * _usual(move(price, v.age, window), v.age, s, leg, 0.5)
    strength = multiple(bought, usual, below > 0, below >= margin)
    return Found(strength, (below, bought, since, usual))


def whale_print(v: View, s: Settings) -> Found:
    """One taker buys far more than is usual in one trade.

    The mean quantity of the bar's large trades, which its largest trade is at least, is `factor` × the
    `share` quantile of the same number among the `baseline` bars before (0 in a bar without large trades);
    and takers' net buys are at least `one_sided` of the bar's volume.
    """
    quantity, count = v.even("large_trade_volume"), v.even("large_trade_count")
    size = np.divide(quantity, count, out=np.zeros(len(count)), where=count > 0)
    size[v.age == 0] = np.nan
    usual = s["factor"] * trailing_quantile(size, v.age, int(s[BASELINE]), 1, s["share"])
    bought, volume = v.odd("vol_delta"), v.even("volume")
    strength = multiple(size, usual, bought >= s["one_sided"] * volume)
    return Found(strength, (size, count, bought, usual))


def _usual(values: Floats, age: Integers, s: Settings, lag: int, share: float) -> Floats:
    return trailing_quantile(np.abs(values), age, int(s[BASELINE]), lag, share)


@kernel
def _since_lowest(
    price: Floats, delta: Floats, age: Integers, leg: int, apart: int
) -> tuple[Floats, Floats, Floats]:
    """How far below the lowest of the bars `leg` to `apart` before, Σ delta since, bars since; each (n,)."""
    below, total = np.full(len(price), np.nan), np.full(len(price), np.nan)
    since = np.full(len(price), np.nan)
    for i in range(len(price)):
        if age[i] <= leg:
            continue
        at = i - leg
        for k in range(i - leg + 1, i - apart + 1):
            if price[k] <= price[at]:
                at = k
        running = 0.0
        for k in range(at + 1, i + 1):
            running += delta[k]
        below[i], total[i], since[i] = price[at] - price[i], running, i - at
    return below, total, since


LINES = (
    Pattern(
        absorption,
        inputs=("vol_delta", "volume", "mid_price"),
        settings=(
            setting("window", 5, "bars of selling", BARS),
            *thresholds(900, 30, 0.99, 1.5),
            setting("one_sided", 0.6, "net taker sells over volume, at least"),
            setting("give", 0.5, "fall over the median move, at most", "ratio"),
        ),
        numbers=(
            Number("net_taken", "base", "taker sells less taker buys over the window"),
            Number("volume", "base", "volume over the window"),
            Number("moved", "quote", "fall of the middle price over the window"),
            Number("usual_taken", "base", USUAL),
        ),
        strength="net taker sells over the threshold",
        reads="bids absorbed taker sells",
        source="SPEC 9; price impact of order flow as in Cont, Kukanov, Stoikov 2014: here it fails to come",
        example=(
            "900 bars with |net over 5 bars| at most 10 in 99 of 100; threshold 1.5 × 10 = 15. Then five "
            "bars of −6, −6, −6, −6, −6 at an unmoved price: Σ over 5 bars passes 15 in the third of "
            "them, whose −18 (where the bars before added nothing) is an event of side +1 and strength 18 "
            "/ 15 = 1.2."
        ),
        false_alarms=2.0,
    ),
    Pattern(
        exhaustion,
        inputs=("buy_volume", "sell_volume", "mid_price"),
        settings=(
            setting("leg", 60, "bars of the fall", BARS),
            setting("window", 10, "bars over which takers' volume is compared", BARS),
            *thresholds(1800, 120, 0.95, 2.0),
            setting("back", 0.2, "way back from the lowest, of the fall, at most"),
            setting("fade", 0.25, "taker sells now, of the most in the leg, at most"),
        ),
        numbers=(
            Number("moved", "quote", "fall of the middle price over the leg"),
            Number("usual_move", "quote", USUAL),
            Number("taken", "base", "taker sells over the window"),
            Number("most_taken", "base", "the most taker sells over any such window of the leg"),
        ),
        strength="fall over the threshold",
        reads="sellers are exhausted after a fall",
        source="SPEC 9; volume climax and its fading as described by Wyckoff 1931",
        example=(
            "|moves| over 60 bars at most 8 in 95 of 100, no more than 15 sold in ten bars; threshold 2 × "
            "8 = 16. The price falls by 19.2 in 40 bars while takers sell 2 a bar (20 in ten bars) and "
            "then stays; takers stop. Eight bars later the last ten bars hold two of those: 4 ≤ 0.25 × "
            "20, an event of side +1 and strength 19.2 / 16 = 1.2."
        ),
        false_alarms=1.0,
    ),
    Pattern(
        delta_divergence,
        inputs=("vol_delta", "mid_price"),
        settings=(
            setting("leg", 120, "bars back to which the low before is looked for", BARS),
            setting("window", 30, "bars that both lows are apart, at least", BARS),
            *thresholds(1800, 120, 0.95, 1.5),
            setting("margin", 0.5, "new low below the old, over the median move, at least", "ratio"),
        ),
        numbers=(
            Number("beyond", "quote", "new low below the old"),
            Number("net_taken", "base", "taker buys less taker sells since the old low"),
            Number("bars_since", BARS, "bars since the old low"),
            Number("usual_taken", "base", USUAL),
        ),
        strength="net taker buys since the old low over the threshold",
        reads="a new low that taker flow does not confirm",
        source="SPEC 9; order-flow imbalance and price move together (Cont, Kukanov, Stoikov 2014): here not",
        example=(
            "|net over 30 bars| at most 20 in 95 of 100; threshold 1.5 × 20 = 30. Low of 100 at bar 0; by "
            "bar 40 takers have bought 33 on balance and the price is 98, for the first time below 100 by "
            "more than half its usual move: an event of side +1 and strength 33 / 30 = 1.1."
        ),
        false_alarms=1.5,
    ),
    Pattern(
        whale_print,
        inputs=("large_trade_volume", "large_trade_count", "vol_delta", "volume"),
        settings=(
            *thresholds(900, 5, 0.99, 4.0),
            setting("one_sided", 0.5, "net taker buys over volume, at least"),
        ),
        numbers=(
            Number(
                "print_size", "base", "mean quantity of the bar's large trades; the largest is at least this"
            ),
            Number("large_trades", "trades", "number of large trades in the bar"),
            Number("net_taken", "base", "taker buys less taker sells of the bar"),
            Number("usual_size", "base", USUAL),
        ),
        strength="mean quantity of the bar's large trades over the threshold",
        reads="one taker bought much at once",
        source="SPEC 9; SPEC 5.2 for what a large trade is",
        example=(
            "In 99 of 100 bars the large trades' mean is at most 3; threshold 4 × 3 = 12. One trade of 18 "
            "taken by a buyer in a bar of volume 20, net +16: 16 ≥ 0.5 × 20, an event of side +1 and "
            "strength 18 / 12 = 1.5."
        ),
        false_alarms=5.0,
    ),
)
"""In the order of the catalogue."""
