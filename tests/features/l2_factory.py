"""Deep books without a market behind them: by hand, random ones, and a reference in exact fractions."""

from collections.abc import Sequence
from dataclasses import fields, replace
from fractions import Fraction
from math import sqrt
from typing import Any

import numpy as np
from hypothesis import strategies as st

from undertow.features.l2_kernel import DEPTH_BPS, LEVELS, NOTIONALS
from undertow.market.columns import BookColumns
from undertow.market.instruments import Instrument

SECOND = 10**9
START = 1_723_161_600 * SECOND
Levels = Sequence[tuple[int, int]]
Row = dict[str, Any]


def instrument(tick: str = "1", lot: str = "1") -> Instrument:
    return Instrument("venue", "BTCUSDT", tick, lot)


def books(rows: Sequence[tuple[Levels, Levels]], width: int = LEVELS, **columns: Any) -> BookColumns:
    """Samples of consecutive seconds with [(ticks, lots), …] of bids and asks; known to ticks 1 to 10⁶."""
    levels = np.zeros((4, len(rows), width), np.int64)
    for row, sides in enumerate(rows):
        for side, pairs in enumerate(sides):
            for at, (ticks, lots) in enumerate(pairs):
                levels[2 * side, row, at], levels[2 * side + 1, row, at] = ticks, lots
    values: dict[str, Any] = {f.name: np.zeros(len(rows), np.int64) for f in fields(BookColumns)}
    values |= dict(zip(("bid_ticks", "bid_lots", "ask_ticks", "ask_lots"), levels, strict=True))
    values["grid_ns"] = START + np.arange(len(rows)) * SECOND
    values["spread_time_us"] += 1_000_000
    values["trusted_bid_ticks"] += 1
    values["trusted_ask_ticks"] += 10**6
    return BookColumns(**(values | {name: np.asarray(value) for name, value in columns.items()}))


@st.composite
def random_books(draw: st.DrawFn, most: int = 90) -> BookColumns:
    """Up to `most` books: shallow, one-sided and empty ones, missing seconds, books joined anew."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    count = draw(st.integers(1, most))
    faults = draw(st.sampled_from((0.0, 0.0, 0.03, 0.3)))
    width = draw(st.sampled_from((20, LEVELS, LEVELS + 7)))
    step = draw(st.sampled_from((2, 40)))
    middle = 50_000 + rng.integers(-40, 41, count).cumsum() * rng.integers(0, 2)
    columns: dict[str, Any] = {}
    for name, sign in (("bid", -1), ("ask", 1)):
        shallow = rng.choice((0, 1, 2, 9), count)
        depth = np.where(rng.random(count) < faults, shallow, rng.choice((width, width - 3), count))
        exists = np.arange(width) < depth[:, None]
        ticks = middle[:, None] + sign * rng.integers(1, step, (count, width)).cumsum(axis=1)
        columns[f"{name}_ticks"] = np.where(exists, ticks, 0)
        columns[f"{name}_lots"] = np.where(exists, rng.integers(1, 9_999, (count, width)), 0)
    far = step * width * rng.choice((1, 9), count, p=(0.3, 0.7)) // 2
    columns |= {"trusted_bid_ticks": middle - far, "trusted_ask_ticks": middle + far}
    skips = rng.random(count) < faults / 2
    columns["grid_ns"] = START + (np.arange(count) + np.cumsum(skips * rng.integers(1, 40, count))) * SECOND
    updates = rng.integers(0, 50, count)
    rejoined = rng.random(count) < faults / 2
    covered = np.where(
        rejoined, rng.integers(1, 900_000, count), 1_000_000 - updates * rng.integers(0, 2, count)
    )
    columns |= {"update_count": updates, "spread_time_us": covered}
    return books([((), ())] * count, width, **columns)


def with_columns(samples: BookColumns, columns: dict[str, Any]) -> BookColumns:
    """The samples with some columns replaced."""
    return replace(samples, **columns)


def mirrored(samples: BookColumns) -> tuple[BookColumns, Any]:
    """Each book mirrored at its own mid, where it has one, else at a fixed price; and twice that price."""
    known = (samples.bid_lots[:, 0] > 0) & (samples.ask_lots[:, 0] > 0)
    twice = np.where(known, samples.bid_ticks[:, 0] + samples.ask_ticks[:, 0], 100_000)

    def flip(ticks: Any, exists: Any) -> Any:
        return np.where(exists > 0, (twice[:, None] if ticks.ndim == 2 else twice) - ticks, 0)

    columns = {"bid_ticks": flip(samples.ask_ticks, samples.ask_lots), "bid_lots": samples.ask_lots}
    columns |= {"ask_ticks": flip(samples.bid_ticks, samples.bid_lots), "ask_lots": samples.bid_lots}
    columns |= {"trusted_bid_ticks": flip(samples.trusted_ask_ticks, samples.trusted_ask_ticks)}
    columns |= {"trusted_ask_ticks": flip(samples.trusted_bid_ticks, samples.trusted_bid_ticks)}
    return with_columns(samples, columns), twice


def _moments(values: Sequence[Fraction]) -> tuple[Fraction, float]:
    mean = sum(values, Fraction(0)) / len(values)
    return mean, sqrt(sum((v - mean) ** 2 for v in values) / len(values))


class Reference:
    """The features of one book after another in exact fractions, written down from the specification."""

    def __init__(self, of: Instrument, kept_levels: int = LEVELS) -> None:
        self.tick, self.lot = Fraction(of.tick), Fraction(of.lot)
        self.kept = min(kept_levels, LEVELS)
        self.past: dict[int, dict[str, Fraction | None]] = {}

    def row(self, samples: BookColumns, at: int) -> Row:
        sides = {}
        for side in ("bid", "ask"):
            ticks, lots = getattr(samples, f"{side}_ticks")[at], getattr(samples, f"{side}_lots")[at]
            pairs = list(zip(ticks.tolist(), lots.tolist(), strict=True))[: self.kept]
            sides[side] = [(p * self.tick, q * self.lot) for p, q in pairs if q]
        trusted = {s: int(getattr(samples, f"trusted_{s}_ticks")[at]) * self.tick for s in ("bid", "ask")}
        now, out = self._values(sides)
        for side, levels in sides.items():
            out |= self._side(side, levels) | self._series(side, levels, now["mid"])
            out |= self._liquidity(side, levels, now["mid"], trusted[side])
        second = int(samples.grid_ns[at]) // SECOND
        covered = int(samples.spread_time_us[at] + samples.update_count[at]) + 1 >= 1_000_000
        if second - 1 not in self.past or not covered:
            self.past.clear()
        self.past[second] = now
        return out | self._changes(second)

    def _values(self, sides: dict[str, list[Any]]) -> tuple[dict[str, Any], Row]:
        bids, asks = sides["bid"], sides["ask"]
        volume = {side: sum((q for _, q in levels), Fraction(0)) for side, levels in sides.items()}
        both = volume["bid"] + volume["ask"]
        imbalance = (volume["bid"] - volume["ask"]) / both if both else None
        now: dict[str, Any] = dict.fromkeys(("mid", "spread", "buy", "sell", "net", "change"))
        now["imbalance"] = imbalance
        if bids and asks:
            mid = (bids[0][0] + asks[0][0]) / 2
            buy, sell = (
                sum(
                    (
                        q * max(Fraction(0), 1 - abs(p - mid) / mid) / (i + 1)
                        for i, (p, q) in enumerate(levels)
                    )
                )
                for levels in (bids, asks)
            )
            now |= {
                "mid": mid,
                "spread": asks[0][0] - bids[0][0],
                "buy": buy,
                "sell": sell,
                "net": buy - sell,
            }
        out: Row = {"mid_price": now["mid"], "spread": now["spread"], "volume_imbalance": imbalance}
        out |= {"total_bid_volume": volume["bid"], "total_ask_volume": volume["ask"]}
        known = now["mid"] is not None
        out["spread_percent"] = now["spread"] / now["mid"] * 100 if known else None
        out |= {f"{name}_pressure": now[name] for name in ("buy", "sell", "net")}
        out["pressure_ratio"] = now["buy"] / now["sell"] if known else None
        out["total_pressure"] = now["buy"] + now["sell"] if known else None
        return now, out

    def _side(self, side: str, levels: list[Any]) -> Row:
        names = ("price_mean", "price_std", "volume_mean", "volume_std", "volume_concentration")
        if not levels:
            return {f"{side}_{name}": None for name in names}
        near, volume = sum(q for _, q in levels[:10]), sum(q for _, q in levels)
        values = (*_moments([p for p, _ in levels]), *_moments([q for _, q in levels]), near / volume)
        return {f"{side}_{name}": value for name, value in zip(names, values, strict=True)}

    def _series(self, side: str, levels: list[Any], mid: Fraction | None) -> Row:
        out: Row = {}
        for i in range(LEVELS):
            price = levels[min(i, len(levels) - 1)][0] if levels else None
            out[f"{side}_price_norm_{i + 1}"] = (price - mid) / mid if mid and price else None
            out[f"{side}_volume_{i + 1}"] = levels[i][1] if i < len(levels) else 0
        return out

    def _liquidity(self, side: str, levels: list[Any], mid: Fraction | None, trusted: Fraction) -> Row:
        order = "sell" if side == "bid" else "buy"
        sizes = dict(zip(("10k", "100k", "1m"), NOTIONALS, strict=True))
        if mid is None:
            return {f"{side}_depth_{bps}bps": None for bps in DEPTH_BPS} | {
                f"{order}_cost_{name}": None for name in sizes
            }
        sign = -1 if side == "bid" else 1
        reach = sign * (trusted - mid) if trusted > 0 else Fraction(-1)
        edge = reach if len(levels) < self.kept else min(reach, sign * (levels[-1][0] - mid))
        out: Row = {}
        for bps in DEPTH_BPS:
            limit = mid * bps / 10_000
            inside = sum(q for p, q in levels if sign * (p - mid) <= limit)
            out[f"{side}_depth_{bps}bps"] = inside if limit <= edge else None
        for name, notional in sizes.items():
            wanted = left = notional / mid
            paid, farthest = Fraction(0), Fraction(0)
            for price, quantity in levels:
                taken = min(left, quantity)
                if taken:
                    farthest = sign * (price - mid)
                paid, left = paid + taken * sign * (price - mid), left - taken
            held = left == 0 and farthest <= reach
            out[f"{order}_cost_{name}"] = paid / wanted / mid * 10_000 if held else None
        return out

    def _back(self, second: int, name: str, seconds: int) -> Any:
        """Value now less the one some seconds before; None where either is unknown."""
        now, before = self.past[second][name], self.past.get(second - seconds, {}).get(name)
        return None if now is None or before is None else now - before

    def _deviation(self, second: int, name: str) -> float | None:
        values = [self.past.get(second - back, {}).get(name) for back in range(30)]
        known = [value for value in values if value is not None]
        return _moments(known)[1] if len(known) == 30 else None

    def _changes(self, second: int) -> Row:
        out: Row = {}
        for seconds in (1, 5, 30):
            change = self._back(second, "mid", seconds)
            before = self.past.get(second - seconds, {}).get("mid")
            out[f"price_change_{seconds}sec"] = None if change is None else change / before * 100
        self.past[second]["change"] = out["price_change_1sec"]
        for name, column in (("spread", "spread"), ("volume_imbalance", "imbalance")):
            for seconds in (1, 5):
                out[f"{name}_change_{seconds}sec"] = self._back(second, column, seconds)
            out[f"{name}_volatility_30sec"] = self._deviation(second, column)
        out["price_volatility_30sec"] = self._deviation(second, "change")
        for name in ("buy", "sell", "net"):
            out[f"{name}_pressure_change_1sec"] = self._back(second, name, 1)
            out[f"{name}_pressure_volatility_30sec"] = self._deviation(second, name)
        return out
