"""Features computed a second time, straight from the formulas, with pandas and plain Python.

Nothing here imports the package: JSON is parsed by the standard library, the book is a dictionary, bars come
from pandas. Slow, and meant to be read beside SPEC §5.1 to §5.3.
"""

import gzip
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

LATENESS_MS = 250


@dataclass
class Recorded:
    """A capture as frames: trades, and the book after each update."""

    trades: list[dict[str, Any]] = field(default_factory=list)
    updates: list[tuple[int, list[tuple[float, float]], list[tuple[float, float]]]] = field(
        default_factory=list
    )
    """(event ms, best 20 bids, best 20 asks)"""
    newest_ms: int = 0
    closed_at_ms: list[int] = field(default_factory=list)


def read(paths: Sequence[Path], *, spot: bool) -> Recorded:
    """Parse captures; the book is snapshot + diffs by the exchange's rules, kept in two dictionaries."""
    recorded = Recorded()
    bids: dict[str, str] = {}
    asks: dict[str, str] = {}
    snapshot_id: int | None = None
    waiting: list[dict[str, Any]] = []
    for path in paths:
        for line in gzip.decompress(path.read_bytes()).decode().splitlines():
            frame = json.loads(line.split(" ", 1)[1])
            event = frame.get("data", frame)
            kind = event.get("e", "snapshot" if "lastUpdateId" in event else "bookTicker")
            if kind in ("depthUpdate", "trade", "aggTrade") or (
                kind in ("bookTicker", "snapshot") and "T" in event
            ):
                recorded.newest_ms = max(recorded.newest_ms, event.get("T", event.get("E")))
            if kind in ("trade", "aggTrade") and event.get("X", "MARKET") == "MARKET":
                recorded.trades.append(event)
            elif kind == "snapshot" and snapshot_id is None:
                snapshot_id = event["lastUpdateId"]
                bids, asks = dict(event["bids"]), dict(event["asks"])
                for held in waiting:
                    _apply(recorded, held, bids, asks, snapshot_id, spot=spot)
            elif kind == "depthUpdate":
                if snapshot_id is None:
                    waiting.append(event)
                else:
                    _apply(recorded, event, bids, asks, snapshot_id, spot=spot)
    return recorded


def _apply(
    recorded: Recorded,
    event: dict[str, Any],
    bids: dict[str, str],
    asks: dict[str, str],
    snapshot_id: int,
    *,
    spot: bool,
) -> None:
    if event["u"] <= snapshot_id if spot else event["u"] < snapshot_id:
        return
    for side, changes in ((bids, event["b"]), (asks, event["a"])):
        for price, quantity in changes:
            if float(quantity) == 0:
                side.pop(price, None)
            else:
                side[price] = quantity
    top_bids = sorted(((float(p), float(q)) for p, q in bids.items()), reverse=True)[:20]
    top_asks = sorted((float(p), float(q)) for p, q in asks.items())[:20]
    recorded.updates.append((event["T"] if not spot else event["E"], top_bids, top_asks))


def trade_bars(recorded: Recorded, length_ms: int) -> pd.DataFrame:
    """SPEC §5.1 and §5.2 by pandas; index: bar open in ms."""
    trades = pd.DataFrame(recorded.trades)
    trades["id"] = trades["t"] if "t" in trades else trades["a"]
    trades["p"], trades["q"] = trades["p"].astype(float), trades["q"].astype(float)
    trades = trades.sort_values(["T", "id"], kind="stable").reset_index(drop=True)
    trades["large"] = _large(trades)
    trades["buy"] = trades["q"].where(~trades["m"], 0.0)
    trades["sell"] = trades["q"].where(trades["m"], 0.0)
    trades["pq"] = trades["p"] * trades["q"]
    trades["large_q"] = trades["q"].where(trades["large"], 0.0)
    grouped = trades.groupby(trades["T"] // length_ms * length_ms)
    bars = grouped.agg(
        open=("p", "first"),
        high=("p", "max"),
        low=("p", "min"),
        close=("p", "last"),
        volume=("q", "sum"),
        buy_volume=("buy", "sum"),
        sell_volume=("sell", "sum"),
        trade_count=("q", "size"),
        notional=("pq", "sum"),
        large_trade_count=("large", "sum"),
        large_trade_volume=("large_q", "sum"),
    )
    bars = bars.reindex(range(int(bars.index[0]), int(bars.index[-1]) + 1, length_ms))
    traded = bars["trade_count"].notna()
    bars["close"] = bars["close"].ffill()
    for name in ("open", "high", "low"):
        bars[name] = bars[name].fillna(bars["close"])
    counts = ["volume", "buy_volume", "sell_volume", "trade_count", "notional"]
    counts += ["large_trade_count", "large_trade_volume"]
    bars[counts] = bars[counts].fillna(0)
    bars["vwap"] = (bars["notional"] / bars["volume"]).where(traded, bars["close"])
    bars["vol_delta"] = bars["buy_volume"] - bars["sell_volume"]
    day = bars.index // 86_400_000
    bars["cvd"] = bars["vol_delta"].groupby(day).cumsum()
    bars["buy_pressure"] = (bars["buy_volume"] / bars["volume"]).where(traded)
    bars["large_trade_pct"] = (bars["large_trade_volume"] / bars["volume"]).where(traded)
    bars["returns"] = bars["close"] / bars["close"].shift(1) - 1
    bars["log_returns"] = np.log(bars["close"] / bars["close"].shift(1))
    times = trades["T"].to_numpy()
    for seconds in (1, 5, 10):
        ends = bars.index.to_numpy() + length_ms
        inside = np.searchsorted(times, ends) - np.searchsorted(times, ends - seconds * 1000)
        bars[f"trade_intensity_{seconds}s"] = inside / seconds
    return bars.drop(columns="notional")


def _large(trades: pd.DataFrame) -> list[bool]:
    times, quantities = trades["T"].to_numpy(), [round(q * 1e8) for q in trades["q"]]
    large, head, total = [], 0, 0
    for i, quantity in enumerate(quantities):
        total += quantity
        while times[head] <= times[i] - 15 * 60_000:
            total -= quantities[head]
            head += 1
        large.append(quantity * (i - head + 1) > 2 * total)
    return large


def book_bars(recorded: Recorded, length_ms: int, closes: pd.Series) -> pd.DataFrame:
    """SPEC §5.3 from the book after each update; index: bar open in ms, for bars with a full book."""
    times = np.array([update[0] for update in recorded.updates])
    grid = np.arange(times[0] // 500 * 500 + 500, times[-1] + 1, 500)
    at = np.searchsorted(times, grid) - 1
    sampled = {int(g): recorded.updates[i] for g, i in zip(grid, at, strict=True) if i >= 0}
    flows = _flows(recorded)
    rows = {}
    for open_ms in range(int(times[0] // length_ms * length_ms), int(times[-1]), length_ms):
        inside = [sampled[g] for g in range(open_ms + 500, open_ms + length_ms + 1, 500) if g in sampled]
        if len(inside) < length_ms // 500 or open_ms not in closes.index:
            continue
        first, last = np.searchsorted(times, [open_ms, open_ms + length_ms])
        row = _last_sample(inside[-1], float(closes[open_ms]))
        for depth in (5, 10, 20):
            row[f"imbalance_{depth}_avg"] = float(np.mean([_imbalance(s, depth) for s in inside]))
        row |= _spread(recorded, times, open_ms, length_ms)
        row["ofi_1"] = math.fsum(flow[0] for flow in flows[first:last])
        row["ofi_10"] = math.fsum(flow[1] for flow in flows[first:last])
        rows[open_ms] = row
    return pd.DataFrame.from_dict(rows, orient="index")


def _imbalance(sample: Any, depth: int) -> float:
    _, bids, asks = sample
    b, a = math.fsum(q for _, q in bids[:depth]), math.fsum(q for _, q in asks[:depth])
    return (b - a) / (b + a)


def _last_sample(sample: Any, last_price: float) -> dict[str, float]:
    _, bids, asks = sample
    row = {f"imbalance_{depth}": _imbalance(sample, depth) for depth in (5, 10, 20)}
    for name, side in (("bid", bids), ("ask", asks)):
        distance = np.array([abs(p - side[0][0]) for p, _ in side])
        row[f"{name}_slope"] = float(np.polyfit(distance, [q for _, q in side], 1)[0])
        volumes = [math.fsum(q for _, q in side[:depth]) for depth in (5, 20)]
        row[f"{name}_vol_ratio_5_20"] = volumes[0] / volumes[1]
    (bid, bid_quantity), (ask, ask_quantity) = bids[0], asks[0]
    row["weighted_mid"] = (bid * ask_quantity + ask * bid_quantity) / (bid_quantity + ask_quantity)
    row["weighted_mid_price_diff_bps"] = (row["weighted_mid"] - last_price) / last_price * 1e4
    return row


def _spread(recorded: Recorded, times: Any, open_ms: int, length_ms: int) -> dict[str, float]:
    at = int(np.searchsorted(times, open_ms)) - 1
    begin, total, square = open_ms, 0.0, 0.0
    end = open_ms + length_ms
    while begin < end:
        _, bids, asks = recorded.updates[at]
        following = min(int(times[at + 1]) if at + 1 < len(times) else end, end)
        spread = asks[0][0] - bids[0][0]
        total += spread * (following - begin)
        square += spread**2 * (following - begin)
        begin, at = max(begin, following), at + 1
    mean = total / length_ms
    return {"spread_avg": mean, "spread_std": math.sqrt(max(0.0, square / length_ms - mean**2))}


def _flows(recorded: Recorded) -> list[tuple[float, float]]:
    flows = [(0.0, 0.0)]
    for (_, bids0, asks0), (_, bids1, asks1) in zip(recorded.updates, recorded.updates[1:], strict=False):
        terms = []
        for level in range(10):
            (p1, q1), (p0, q0) = bids1[level], bids0[level]
            term = q1 * (p1 >= p0) - q0 * (p1 <= p0)
            (p1, q1), (p0, q0) = asks1[level], asks0[level]
            terms.append(term - q1 * (p1 <= p0) + q0 * (p1 >= p0))
        flows.append((terms[0], math.fsum(terms)))
    return flows
