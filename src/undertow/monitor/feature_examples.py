"""An example of each feature, computed: what the small markets of `monitor.feature_markets` make of it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from undertow.features.catalogue import FEATURES, Line
from undertow.features.cross import CROSS_NAMES, CrossEngine, CrossFeature, PairBars
from undertow.features.engine import FeatureEngine
from undertow.features.feature import Feature
from undertow.features.l2 import L2Feature
from undertow.features.l2_engine import L2Engine
from undertow.features.memory import Floats
from undertow.market.time import MINUTE_NS, SECOND_NS
from undertow.monitor.feature_markets import EXAMPLE, Bar, Market, long_bars, made_market, short_bars

__all__ = ["Example", "ExampleMarkets", "example_markets", "input_rows", "pair_values"]

SHOWN = 10
"""Bars of an example."""
LATENESS_NS = 250_000_000


@dataclass(frozen=True, slots=True)
class Example:
    """What a feature is in consecutive bars of an example market."""

    market: str
    """Which bars of which market."""
    rows: tuple[str, ...]
    """What the feature is computed from in each bar, as text."""
    values: tuple[str, ...]
    """The value in each bar, to six digits; `null` where it is."""

    def lines(self) -> list[str]:
        """For a terminal: the market, then a bar a line, its value before what it comes from."""
        width = max(len(value) for value in self.values)
        bars = (row.partition(": ") for row in self.rows)
        told = zip(bars, self.values, strict=True)
        return [self.market, *(f"  {bar}  {value:>{width}}  ←  {row}" for (bar, _, row), value in told)]


@dataclass(frozen=True, slots=True)
class ExampleMarkets:
    """The markets that examples are taken from; see `example_markets`."""

    short: Market
    """Ten bars of a second."""
    long: Market
    """300 bars of 15 minutes."""
    seconds: Market
    """60 bars of a second, for the deep book."""
    pair: PairBars
    """400 bars of a second of a market, and of one that repeats it a bar later: leader and follower."""

    def example(self, feature: Line) -> Example:
        """The feature in the short market, or in the last bars of a longer one where that is all null."""
        if isinstance(feature, CrossFeature):
            return self._example_of_pair(feature)
        market, values = self.short, _values(feature, self.short)[-SHOWN:]
        if np.isnan(values).all():
            market = self.seconds if isinstance(feature, L2Feature) else self.long
            values = _values(feature, market)[-SHOWN:]
        rows = input_rows(market, feature.inputs)[-SHOWN:]
        return Example(self._title(market), rows, tuple(_text(value) for value in values))

    def _example_of_pair(self, feature: CrossFeature) -> Example:
        values = pair_values(self.pair)[feature.name]
        bars = (
            np.arange(SHOWN) if feature.warm_up <= SHOWN // 2 else np.arange(len(values) - SHOWN, len(values))
        )
        which = "the first 10" if bars[0] == 0 else "the last 10"
        rows = tuple(f"bar {at + 1:3}: {_sides(self.pair, at)}" for at in bars.tolist())
        title = f"{which} of {len(values)} bars of a second; the follower repeats the leader a bar later"
        return Example(title, rows, tuple(_text(value) for value in values[bars]))

    def _title(self, market: Market) -> str:
        if market is self.short:
            return "ten bars of a second"
        if market is self.long:
            return "the last 10 of 300 bars of 15 minutes"
        return "the last 10 of 60 bars of a second"


def example_markets() -> ExampleMarkets:
    """All the markets, through the pipeline; a second or two of work."""
    leader = long_bars(400)
    return ExampleMarkets(
        made_market(short_bars(), SECOND_NS),
        made_market(long_bars(300), 15 * MINUTE_NS),
        made_market(long_bars(60), SECOND_NS),
        _pair(made_market((leader[0], *leader[:-1]), SECOND_NS), made_market(leader, SECOND_NS)),
    )


def pair_values(pair: PairBars) -> dict[str, Floats]:
    """Every feature of two markets (T,) by name."""
    return dict(zip(CROSS_NAMES, CrossEngine(pair.length_ns).push(pair).values, strict=True))


def _pair(follower: Market, leader: Market) -> PairBars:
    needed = [feature for feature in FEATURES if feature.name in ("mid_price", "buy_volume", "sell_volume")]
    blocks = [FeatureEngine(needed, m.length_ns).push(m.frames) for m in (follower, leader)]
    follows, leads = (dict(zip(block.names, block.values, strict=True)) for block in blocks)
    return PairBars(
        leader.length_ns,
        leader.frames.open_ns,
        follows["mid_price"],
        leads["mid_price"],
        leads["buy_volume"],
        leads["sell_volume"],
        blocks[0].known_ns,
        blocks[1].known_ns,
    )


def _sides(pair: PairBars, at: int) -> str:
    flow = f"bought {pair.leader_buys[at]:g}, sold {pair.leader_sells[at]:g}"
    return f"leader's mid {pair.leader_mid[at]:g}, {flow}; follower's mid {pair.follower_mid[at]:g}"


def input_rows(market: Market, inputs: str) -> tuple[str, ...]:
    """For each bar its number and what the named tables say of it; a taker's sale has a minus."""
    tables = inputs.split(", ")
    return tuple(f"bar {at + 1:3}: " + "; ".join(_told(market, at, tables)) for at in range(len(market.bars)))


def _told(market: Market, at: int, tables: Sequence[str]) -> list[str]:
    bar, said = market.bars[at], market.frames.market
    told = []
    if "trades" in tables or not {"book_depth", "l2"}.isdisjoint(tables):
        told.append(_trades(bar) if "trades" in tables else _book(bar))
    if "trades" in tables and "book_depth" in tables:
        told.append(_book(bar))
    if "mark_price" in tables:
        rate = f"{said.funding_rate[at]:g}"
        told.append(f"mark {said.mark_price[at]:g}, index {said.index_price[at]:g}, rate {rate}")
    if "funding_rate" in tables:
        told.append(f"settled {said.settled_rate[at]:g}")
    if "open_interest" in tables:
        told.append(f"open interest {said.open_interest[at]:g}")
    if "liquidations" in tables:
        longs, shorts = said.liquidated_sell_lots[at], said.liquidated_buy_lots[at]
        told.append(f"longs liquidated {longs}, shorts {shorts}")
    if not told:
        told.append(str(np.datetime64(int(market.frames.open_ns[at]), "ns").astype("datetime64[s]")))
    return told


def _trades(bar: Bar) -> str:
    told = (f"{'−' if trade.is_sale else '+'}{trade.quantity} at {trade.price}" for trade in bar.trades)
    return ", ".join(told) or "no trade"


def _book(bar: Bar) -> str:
    bids = " ".join(f"{lots}×{price}" for price, lots in bar.bids.items())
    asks = " ".join(f"{lots}×{price}" for price, lots in bar.asks.items())
    return f"bids {bids} | asks {asks}"


def _values(feature: Feature | L2Feature, market: Market) -> Floats:
    """(bars,) the feature in every bar of the market."""
    if isinstance(feature, Feature):
        block = FeatureEngine([feature], market.length_ns).push(market.frames)
        return np.asarray(block.values[0], np.float64)
    column = L2Engine(EXAMPLE, LATENESS_NS).push(market.deep).column(feature.name)
    return np.asarray(column, np.float64)


def _text(value: float) -> str:
    return "null" if np.isnan(value) else f"{value:.6g}".replace("-", "−")
