"""Frames without a market behind them: blank ones to fill by hand, and random valid ones."""

from dataclasses import fields, replace
from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.random import Generator
from numpy.typing import NDArray

from undertow.frames.frames import BOOK_LEVELS, FLOW_COLUMNS, OFI_LEVELS, FlowFrames, Frames
from undertow.frames.market_frames import MARKET_COUNTS, MarketFrames, unknown_market
from undertow.market.instruments import Scale

SECOND = 10**9
MIDNIGHT = 1_723_161_600 * SECOND
LEVELS = ("bid_ticks", "bid_lots", "ask_ticks", "ask_lots")
DEPTHS = (5, 10, 20)
THREE_WIDE = ("trailing_counts", "imbalance_counts", "imbalance_sums")
SETTINGS = ("length_ns", "price", "quantity", "lateness_ns")
FLOW = tuple(f.name for f in fields(FlowFrames))
MARKET = tuple(f.name for f in fields(MarketFrames))
NEVER = 2**62

Integers = NDArray[np.int64]
Columns = dict[str, Any]


def blank(
    count: int, length_ns: int = SECOND, price: str = "1", quantity: str = "1", **columns: Any
) -> Frames:
    """Bars that end at midnight UTC with some columns filled; the rest is 0."""
    values: Columns = {"flow": blank_flow(count), "market": unknown_market(count)}
    for f in fields(Frames):
        width = 3 if f.name in THREE_WIDE else BOOK_LEVELS if f.name in LEVELS else 0
        width = OFI_LEVELS if f.name == "ofi_levels" else width
        if f.name not in values:
            kind = np.float64 if f.name == "imbalance_sums" else np.int64
            values[f.name] = np.zeros((count, width) if width else count, kind)
    values |= {"length_ns": length_ns, "lateness_ns": 250_000_000}
    values |= {"price": Scale.of(price), "quantity": Scale.of(quantity)}
    values["open_ns"] = MIDNIGHT + np.arange(-count, 0) * length_ns
    return with_columns(Frames(**values), {name: np.asarray(value) for name, value in columns.items()})


def blank_flow(count: int) -> FlowFrames:
    """No trades, and no gap ever."""
    values: Columns = {name: np.zeros(count, np.int64) for name in FLOW_COLUMNS}
    values |= {"buy_levels": np.zeros((count, 3)), "sell_levels": np.zeros((count, 3))}
    return FlowFrames(**values | {"since_gap_ns": np.full(count, NEVER)})


def with_columns(frames: Frames, columns: Columns) -> Frames:
    """The frames with some columns or settings replaced, those of flow and market among them."""
    flow = replace(frames.flow, **{name: columns[name] for name in FLOW if name in columns})
    market = replace(frames.market, **{name: columns[name] for name in MARKET if name in columns})
    own = {name: columns[name] for name in columns if name not in (*FLOW, *MARKET)}
    return replace(frames, flow=flow, market=market, **own)


def array_columns(frames: Frames) -> Columns:
    """Every array of the frames by name, those of flow and market among them."""
    values = {name: getattr(frames.flow, name) for name in FLOW}
    values |= {name: getattr(frames.market, name) for name in MARKET}
    names = (f.name for f in fields(Frames) if f.name not in (*SETTINGS, "flow", "market"))
    return values | {name: getattr(frames, name) for name in names}


@st.composite
def random_frames(draw: st.DrawFn, most: int = 90) -> Frames:
    """Up to `most` bars across a midnight, with empty bars, gaps, unknown and one-sided books."""
    seed = draw(st.integers(0, 2**32 - 1))
    count = draw(st.integers(1, most))
    length_ns = draw(st.sampled_from((1, 60, 900))) * SECOND
    price, quantity = draw(st.sampled_from((("0.1", "0.001"), ("5", "1"), ("0.00000001", "0.01"))))
    silent = draw(st.sampled_from((0, 0, 5, 500)))
    return random_bars(seed, count, length_ns, price, quantity, silent)


def random_bars(
    seed: int, count: int, length_ns: int, price: str = "0.1", quantity: str = "0.001", silent: int = 0
) -> Frames:
    """Bars across a midnight, the first `silent` without a trade."""
    rng = np.random.default_rng(seed)
    columns = _trades(rng, count, length_ns, silent) | _book(rng, count, length_ns)
    columns |= _flow(rng, columns, length_ns) | _book_changes(rng, columns)
    after_midnight = int(rng.integers(0, count + 1))
    columns["open_ns"] = MIDNIGHT + (np.arange(count) - count + after_midnight) * length_ns
    closes = columns["open_ns"] + length_ns
    traded = np.maximum.accumulate(np.where(columns["trade_count"] > 0, closes - 1_000_000, 0))
    updated = np.maximum.accumulate(np.where(columns["sample_count"] > 0, closes - 3_000_000, 0))
    columns |= {"last_trade_ns": traded, "last_update_ns": updated}
    columns |= random_market(rng, closes)
    return blank(count, length_ns, price, quantity, **columns)


def random_market(rng: Generator, closes: Integers) -> Columns:
    """Columns of `MarketFrames`: readings of any age, none at first, prices in quarters."""
    count = len(closes)
    columns: Columns = {}
    for name, times in (("mark", "mark_ns"), ("settled", "settled_ns"), ("interest", "interest_ns")):
        is_new = rng.integers(0, 3, count) > 0
        age_ns = rng.choice((0, 3, 10, 11, 700), count) * SECOND
        newest = np.maximum.accumulate(np.where(is_new, closes - age_ns, 0))
        columns[times] = newest
        columns[name] = np.where(newest > 0, 1.0, np.nan)
    mark, settled, interest = (columns.pop(name) for name in ("mark", "settled", "interest"))
    next_ms = (closes // 10**6 + rng.integers(-600_000, 28_800_000, count)) * 1.0
    sells, buys = (rng.integers(0, 900, count) * rng.integers(0, 2, count) for _ in range(2))
    told = np.maximum.accumulate(np.where(sells + buys > 0, closes, 0))
    return columns | {
        "mark_price": rng.integers(190_000, 210_000, count) / 4 * mark,
        "index_price": rng.integers(190_000, 210_000, count) / 4 * mark,
        "funding_rate": rng.uniform(-0.001, 0.001, count)
        * mark
        * rng.choice((1.0, np.nan), count, p=(0.9, 0.1)),
        "next_funding_ms": next_ms * mark,
        "settled_rate": rng.uniform(-0.001, 0.001, count) * settled,
        "open_interest": rng.integers(1, 9_999, count) / 4 * interest,
        "interest_before": rng.integers(0, 9_999, count) / 4 * interest,
        "liquidated_sell_lots": sells,
        "liquidated_buy_lots": buys,
        "last_liquidation_ns": told,
    }


def steady_market(frames: Frames) -> Frames:
    """The frames with a market of which every table says something in every bar."""
    closes = frames.open_ns + frames.length_ns
    columns: Columns = {name: np.full(len(frames), 5) for name in MARKET_COUNTS}
    columns |= {name: np.full(len(frames), 1000.25) for name in MARKET if name not in MARKET_COUNTS}
    columns |= {name: closes for name in MARKET_COUNTS if name.endswith("_ns")}
    return with_columns(frames, columns | {"next_funding_ms": (closes + SECOND) / 10**6})


def _trades(rng: Generator, count: int, length_ns: int, silent: int) -> Columns:
    """Trade columns; no trade in the first `silent` bars."""
    trade_gap_ns = rng.choice((0, length_ns // 3, length_ns), count, p=(0.85, 0.05, 0.1))
    trades = rng.integers(0, 4, count) * (np.arange(count) >= silent) * (trade_gap_ns < length_ns)
    walk = rng.integers(50_000, 60_000) + rng.integers(-40, 41, count).cumsum() * rng.integers(0, 2)
    newest = np.maximum.accumulate(np.where(trades > 0, np.arange(count), -1))
    close = np.where(newest >= 0, walk[newest], 0)
    before = np.concatenate([[0], close[:-1]])
    opens = np.where(trades > 0, close + rng.integers(-9, 10, count), before)
    buy, sell = (trades * rng.integers(0, 50, count) + (trades > 0) for _ in range(2))
    large = np.minimum(trades, rng.integers(0, 2, count))
    return {
        "open": opens,
        "high": np.maximum(opens, close) + np.where(trades > 1, rng.integers(0, 5, count), 0),
        "low": np.minimum(opens, close) - np.where(trades > 1, rng.integers(0, 5, count), 0),
        "close": close,
        "trade_count": trades,
        "buy_lots": buy,
        "sell_lots": sell,
        "notional": (buy + sell) * close,
        "large_count": large,
        "large_lots": large * np.minimum(buy, sell),
        "trailing_counts": trades[:, None] + np.arange(3) * rng.integers(0, 3, (count, 1)),
        "late_count": rng.integers(0, 2, count),
        "trade_gap_ns": trade_gap_ns,
        "gap_ns": np.maximum(trade_gap_ns, rng.choice((0, length_ns // 2), count)),
    }


def _book(rng: Generator, count: int, length_ns: int) -> Columns:
    """Book columns: sides of 0 to 20 levels, all zero where nothing was sampled."""
    sampled = rng.integers(0, 4, count) > 0
    middle = rng.integers(49_000, 61_000, count)
    columns: Columns = {"sample_count": np.where(sampled, 2, 0)}
    for name, sign in (("bid", -1), ("ask", 1)):
        depth = rng.choice((0, 1, 2, 7, BOOK_LEVELS), count, p=(0.1, 0.1, 0.1, 0.2, 0.5)) * sampled
        exists = np.arange(BOOK_LEVELS) < depth[:, None]
        steps = rng.integers(1, 30, (count, BOOK_LEVELS)).cumsum(axis=1)
        columns[f"{name}_ticks"] = np.where(exists, middle[:, None] + sign * steps, 0)
        columns[f"{name}_lots"] = np.where(exists, rng.integers(1, 9_999, (count, BOOK_LEVELS)), 0)
    spreads, shares = rng.integers(1, 200, (count, 2)), rng.integers(0, length_ns // 2000, (count, 2))
    shares *= sampled[:, None]
    counts = rng.integers(0, 3, (count, 3)) * sampled[:, None]
    return columns | {
        "imbalance_sums": rng.uniform(-1, 1, (count, 3)) * counts,
        "imbalance_counts": counts,
        "spread_integral": (spreads * shares).sum(axis=1),
        "spread_square_integral": (spreads**2 * shares).sum(axis=1),
        "spread_time_us": shares.sum(axis=1),
        "ofi_1": rng.integers(-500, 500, count) * sampled,
        "ofi_10": rng.integers(-5000, 5000, count) * sampled,
        "update_count": rng.integers(1, 9, count) * sampled,
    }


def _flow(rng: Generator, columns: Columns, length_ns: int) -> Columns:
    """What single trades say, within the bounds that the bars' sums set."""
    trades, gap_ns = columns["trade_count"], columns["trade_gap_ns"]
    count = len(trades)
    traded = trades > 0
    pairs = np.maximum(trades - rng.integers(0, 2, count), 0)
    moves = rng.integers(0, pairs + 1)
    ups = rng.integers(0, moves + 1)
    sizes = rng.integers(1, 9, count)
    change_pairs = np.maximum(pairs - rng.integers(0, 2, count), 0)
    lots = columns["buy_lots"] + columns["sell_lots"]
    net = columns["buy_lots"] - columns["sell_lots"]
    value = 2 * columns["close"] * lots * rng.integers(0, 2, count)
    later = rng.integers(0, 2, count) * rng.integers(90_000, 120_000, count)
    buckets = 50 * rng.integers(1, 99) * (np.arange(count) >= rng.integers(0, count + 1))
    place, whole = np.arange(count), gap_ns == length_ns
    newest = np.maximum.accumulate(np.where(whole, place, -1))
    decayed = (
        rng.uniform(0, 40, (2, count, 3)) * (traded.cumsum() > 0)[:, None] * rng.integers(0, 2, (2, 1, 1))
    )
    return {
        "buy_count": np.where(columns["sell_lots"] > 0, rng.integers(0, trades + 1), trades) * traded,
        "active_ms": np.minimum(trades, rng.integers(1, 4, count)),
        "sign_pairs": pairs,
        "sign_continuations": rng.integers(0, pairs + 1),
        "up_moves": ups,
        "down_moves": moves - ups,
        "absolute_change": np.where(traded, np.abs(columns["close"] - columns["open"]), 0) + moves * sizes,
        "square_change": moves * sizes**2,
        "change_pairs": change_pairs,
        "change_products": rng.integers(-9, 9, count) * (change_pairs > 0),
        "signed_notional": net * columns["close"],
        "effective": rng.integers(-20, 40, count) * (value > 0),
        "effective_value": value,
        "realised": rng.integers(-200, 400, count) * (later > 0),
        "impact": rng.integers(-200, 400, count) * (later > 0),
        "realised_value": later,
        "vpin_imbalance": rng.integers(0, buckets + 1),
        "vpin_volume": buckets,
        "since_gap_ns": np.where(newest < 0, NEVER, (place - newest) * length_ns),
        "buy_levels": decayed[0],
        "sell_levels": decayed[1],
    }


def _book_changes(rng: Generator, columns: Columns) -> Columns:
    """What updates added and removed, and order-flow imbalance by level; some samples do not tell."""
    sampled = columns["sample_count"] > 0
    count = len(sampled)
    detailed = sampled & (rng.integers(0, 9, count) > 0)
    names = ("bid_added", "bid_removed", "ask_added", "ask_removed")
    changes: Columns = {name: rng.integers(0, 999, count) * detailed for name in names}
    changes["ofi_levels"] = rng.integers(-500, 500, (count, OFI_LEVELS)) * detailed[:, None]
    return changes | {"detailed_count": columns["sample_count"] * detailed}
