"""Every feature, registered once: what it is, what it needs, where it comes from."""

from collections.abc import Callable
from dataclasses import dataclass
from math import inf

from undertow.errors import InputError
from undertow.features import book, microstructure, ohlcv, quality, technical, trades
from undertow.features.memory import Floats, Memory
from undertow.frames.frames import Frames

__all__ = ["FEATURES", "Feature", "catalogue_markdown", "feature_set", "registered"]

Formula = Callable[[Frames, Memory], Floats]
Range = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Feature:
    """One line of the catalogue."""

    name: str
    function: Formula
    unit: str
    range: Range
    """Bounds of every value that is not null."""
    null: str
    """When the value is null."""
    inputs: str
    """Tables of the lake that it is computed from."""
    source: str
    warm_up: int = 0
    """Bars with known inputs, from the first on, whose value is null."""
    dtype: str = "float"
    """`float` or `int`: how it is stored."""

    @property
    def family(self) -> str:
        """The file that holds the formula."""
        return self.function.__module__.rsplit(".", 1)[1]

    @property
    def formula(self) -> str:
        """First line of the function's docstring."""
        return (self.function.__doc__ or "").strip().partition("\n")[0].rstrip(".")


def registered(*features: Feature) -> tuple[Feature, ...]:
    """The features in their order. Raises ValueError where a name is there twice."""
    names = [feature.name for feature in features]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"features registered more than once: {', '.join(twice)}")
    return features


ANY: Range = (-inf, inf)
POSITIVE: Range = (0.0, inf)
SHARE: Range = (0.0, 1.0)
SIGNED: Range = (-1.0, 1.0)

TRADES = "trades"
FLOW = "trades, gaps"
BOOK = "book_depth"

NO_PRICE = "before the first trade"
NO_FLOW = "bar wholly inside a gap of the trade stream"
NO_TRADE = f"no trade in the bar; {NO_FLOW}"
NO_CHANGE = f"first trade's bar; {NO_FLOW}, and the bar after it"
NO_SAMPLE = "no book sample in the bar"
NO_VOLUME = f"{NO_SAMPLE}; no level on either side"
NO_LEVEL = f"{NO_SAMPLE}; no level on that side"
NO_SLOPE = f"{NO_SAMPLE}; fewer than two levels on that side"
NO_SIDE = f"{NO_SAMPLE}; a side without levels"
NO_SPREAD = "spread known at no time in the bar"
NO_SEED = f"until the seed is complete; {NO_FLOW}"

OHLCV_SPEC, TRADES_SPEC, BOOK_SPEC = "SPEC 5.1", "SPEC 5.2", "SPEC 5.3"
TECHNICAL_SPEC, QUALITY_SPEC = "SPEC 5.6, TA-Lib", "SPEC 5.8"
DECAYED_FLOW, QUEUE = "SPEC 5.7", "SPEC 5.7; Gould, Bonart 2016"
BEST_FLOW, DEEP_FLOW = "SPEC 5.3; Cont, Kukanov, Stoikov 2014", "SPEC 5.3; Xu, Gould, Howison 2018"

FEATURES: tuple[Feature, ...] = registered(
    Feature("open", ohlcv.open, "quote", POSITIVE, NO_PRICE, TRADES, OHLCV_SPEC),
    Feature("high", ohlcv.high, "quote", POSITIVE, NO_PRICE, TRADES, OHLCV_SPEC),
    Feature("low", ohlcv.low, "quote", POSITIVE, NO_PRICE, TRADES, OHLCV_SPEC),
    Feature("close", ohlcv.close, "quote", POSITIVE, NO_PRICE, TRADES, OHLCV_SPEC),
    Feature("volume", ohlcv.volume, "base", POSITIVE, NO_FLOW, FLOW, OHLCV_SPEC),
    Feature("returns", ohlcv.returns, "share", (-1.0, inf), NO_CHANGE, FLOW, OHLCV_SPEC, warm_up=1),
    Feature("log_returns", ohlcv.log_returns, "log share", ANY, NO_CHANGE, FLOW, OHLCV_SPEC, warm_up=1),
    Feature("buy_volume", trades.buy_volume, "base", POSITIVE, NO_FLOW, FLOW, TRADES_SPEC),
    Feature("sell_volume", trades.sell_volume, "base", POSITIVE, NO_FLOW, FLOW, TRADES_SPEC),
    Feature("vol_delta", trades.vol_delta, "base", ANY, NO_FLOW, FLOW, TRADES_SPEC),
    Feature("cvd", trades.cvd, "base", ANY, NO_FLOW, FLOW, TRADES_SPEC),
    Feature("vwap", trades.vwap, "quote", POSITIVE, f"{NO_PRICE}; {NO_FLOW}", FLOW, TRADES_SPEC),
    Feature("buy_pressure", trades.buy_pressure, "share", SHARE, NO_TRADE, FLOW, TRADES_SPEC),
    Feature("trade_count", trades.trade_count, "trades", POSITIVE, NO_FLOW, FLOW, TRADES_SPEC, dtype="int"),
    Feature(
        "trade_intensity_1s", trades.trade_intensity_1s, "trades/s", POSITIVE, NO_FLOW, FLOW, TRADES_SPEC
    ),
    Feature(
        "trade_intensity_5s", trades.trade_intensity_5s, "trades/s", POSITIVE, NO_FLOW, FLOW, TRADES_SPEC
    ),
    Feature(
        "trade_intensity_10s", trades.trade_intensity_10s, "trades/s", POSITIVE, NO_FLOW, FLOW, TRADES_SPEC
    ),
    Feature(
        "large_trade_count",
        trades.large_trade_count,
        "trades",
        POSITIVE,
        NO_FLOW,
        FLOW,
        TRADES_SPEC,
        dtype="int",
    ),
    Feature("large_trade_volume", trades.large_trade_volume, "base", POSITIVE, NO_FLOW, FLOW, TRADES_SPEC),
    Feature("large_trade_pct", trades.large_trade_pct, "share", SHARE, NO_TRADE, FLOW, TRADES_SPEC),
    Feature("imbalance_5", book.imbalance_5, "share", SIGNED, NO_VOLUME, BOOK, BOOK_SPEC),
    Feature("imbalance_10", book.imbalance_10, "share", SIGNED, NO_VOLUME, BOOK, BOOK_SPEC),
    Feature("imbalance_20", book.imbalance_20, "share", SIGNED, NO_VOLUME, BOOK, BOOK_SPEC),
    Feature("imbalance_5_avg", book.imbalance_5_avg, "share", SIGNED, NO_VOLUME, BOOK, BOOK_SPEC),
    Feature("imbalance_10_avg", book.imbalance_10_avg, "share", SIGNED, NO_VOLUME, BOOK, BOOK_SPEC),
    Feature("imbalance_20_avg", book.imbalance_20_avg, "share", SIGNED, NO_VOLUME, BOOK, BOOK_SPEC),
    Feature("spread_avg", book.spread_avg, "quote", POSITIVE, NO_SPREAD, BOOK, BOOK_SPEC),
    Feature("spread_std", book.spread_std, "quote", POSITIVE, NO_SPREAD, BOOK, BOOK_SPEC),
    Feature("bid_slope", book.bid_slope, "base/quote", ANY, NO_SLOPE, BOOK, BOOK_SPEC),
    Feature("ask_slope", book.ask_slope, "base/quote", ANY, NO_SLOPE, BOOK, BOOK_SPEC),
    Feature("weighted_mid", book.weighted_mid, "quote", POSITIVE, NO_SIDE, BOOK, BOOK_SPEC),
    Feature(
        "weighted_mid_price_diff_bps",
        book.weighted_mid_price_diff_bps,
        "bps",
        (-1e4, inf),
        f"{NO_SIDE}; {NO_PRICE}; {NO_FLOW}",
        f"{BOOK}, {FLOW}",
        BOOK_SPEC,
    ),
    Feature("bid_vol_ratio_5_20", book.bid_vol_ratio_5_20, "share", SHARE, NO_LEVEL, BOOK, BOOK_SPEC),
    Feature("ask_vol_ratio_5_20", book.ask_vol_ratio_5_20, "share", SHARE, NO_LEVEL, BOOK, BOOK_SPEC),
    Feature("ofi_1", book.ofi_1, "base", ANY, NO_SAMPLE, BOOK, BEST_FLOW),
    Feature("ofi_10", book.ofi_10, "base", ANY, NO_SAMPLE, BOOK, DEEP_FLOW),
    Feature("best_bid", book.best_bid, "quote", POSITIVE, NO_SIDE, BOOK, BOOK_SPEC),
    Feature("best_ask", book.best_ask, "quote", POSITIVE, NO_SIDE, BOOK, BOOK_SPEC),
    Feature("mid_price", book.mid_price, "quote", POSITIVE, NO_SIDE, BOOK, BOOK_SPEC),
    Feature(
        "signed_flow_ewma_5s", microstructure.signed_flow_ewma_5s, "base", ANY, NO_FLOW, FLOW, DECAYED_FLOW
    ),
    Feature(
        "signed_flow_ewma_20s", microstructure.signed_flow_ewma_20s, "base", ANY, NO_FLOW, FLOW, DECAYED_FLOW
    ),
    Feature("queue_imbalance", microstructure.queue_imbalance, "share", SIGNED, NO_VOLUME, BOOK, QUEUE),
    Feature("ema_12", technical.ema_12, "quote", POSITIVE, NO_SEED, FLOW, TECHNICAL_SPEC, warm_up=11),
    Feature("ema_26", technical.ema_26, "quote", POSITIVE, NO_SEED, FLOW, TECHNICAL_SPEC, warm_up=25),
    Feature("macd", technical.macd, "quote", ANY, NO_SEED, FLOW, TECHNICAL_SPEC, warm_up=25),
    Feature("macd_signal", technical.macd_signal, "quote", ANY, NO_SEED, FLOW, TECHNICAL_SPEC, warm_up=33),
    Feature(
        "rsi_14",
        technical.rsi_14,
        "points",
        (0.0, 100.0),
        f"{NO_SEED}; the price has not moved",
        FLOW,
        TECHNICAL_SPEC,
        warm_up=14,
    ),
    Feature("atr_14", technical.atr_14, "quote", POSITIVE, NO_SEED, FLOW, TECHNICAL_SPEC, warm_up=14),
    Feature(
        "bollinger_position",
        technical.bollinger_position,
        "share",
        ANY,
        "unless the last 20 bars are known; flat price",
        FLOW,
        TECHNICAL_SPEC,
        warm_up=19,
    ),
    Feature(
        "keltner_position",
        technical.keltner_position,
        "share",
        ANY,
        f"{NO_SEED}; flat price",
        FLOW,
        "SPEC 5.6",
        warm_up=19,
    ),
    Feature("is_empty", quality.is_empty, "flag", SHARE, NO_FLOW, FLOW, QUALITY_SPEC, dtype="int"),
    Feature("gap_fraction", quality.gap_fraction, "share", SHARE, "never", "gaps", QUALITY_SPEC),
    Feature("late_count", quality.late_count, "trades", POSITIVE, "never", TRADES, QUALITY_SPEC, dtype="int"),
    Feature(
        "age_ms_book", quality.age_ms_book, "ms", POSITIVE, "before the first book update", BOOK, QUALITY_SPEC
    ),
    Feature("age_ms_trade", quality.age_ms_trade, "ms", POSITIVE, NO_PRICE, TRADES, QUALITY_SPEC),
)
"""In the order of the columns of a feature table."""


def feature_set(name: str) -> tuple[Feature, ...]:
    """`all`, or one family by its name. Raises InputError for another name."""
    families = tuple(dict.fromkeys(feature.family for feature in FEATURES))
    if name == "all":
        return FEATURES
    if name not in families:
        raise InputError(f"no feature set {name!r}; choose all, {', '.join(families)}")
    return tuple(feature for feature in FEATURES if feature.family == name)


def catalogue_markdown() -> str:
    """The catalogue as a page of the documentation."""
    lines = ["# Features", "", "Generated by `undertow.features.catalogue.catalogue_markdown`; do not edit."]
    for family in dict.fromkeys(feature.family for feature in FEATURES):
        lines += ["", f"## {family}", ""]
        lines.append("| feature | formula | unit | range | null | warm-up [bars] | inputs | source |")
        lines.append("| --- | --- | --- | --- | --- | --- | --- | --- |")
        lines += [_table_row(feature) for feature in feature_set(family)]
    return "\n".join(lines) + "\n"


def _table_row(f: Feature) -> str:
    low, high = (f"{bound:g}".replace("inf", "∞") for bound in f.range)
    formula = f.formula.replace("|", "\\|")
    cells = (f"`{f.name}`", formula, f.unit, f"{low} … {high}", f.null, str(f.warm_up), f.inputs, f.source)
    return "| " + " | ".join(cells) + " |"
