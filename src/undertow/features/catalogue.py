"""Every feature, registered once: what it is, what it needs, where it comes from."""

from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType

from undertow.features import book, microstructure, ohlcv, quality, technical, trades
from undertow.features.memory import Floats, Memory
from undertow.frames.frames import Frames

__all__ = ["FEATURES", "Feature", "catalogue_markdown"]

Formula = Callable[[Frames, Memory], Floats]


@dataclass(frozen=True, slots=True)
class Feature:
    """One line of the catalogue. `warm_up` counts bars; `range` bounds every value that is not null."""

    name: str
    function: Formula
    family: str
    unit: str
    null: str
    source: str
    range: tuple[float, float] = (float("-inf"), float("inf"))
    warm_up: int = 0
    dtype: str = "float"

    @property
    def formula(self) -> str:
        """First sentence of the function's docstring."""
        text = (self.function.__doc__ or "").strip().splitlines()[0]
        return text.rstrip(".")

    @property
    def inputs(self) -> str:
        """Table that the feature is computed from."""
        return "book_depth" if self.family == "book" or self.name == "queue_imbalance" else "trades"


def _lines(
    module: ModuleType, source: str, null: str, *lines: tuple[str, str] | tuple[str, str, dict[str, object]]
) -> tuple[Feature, ...]:
    family = module.__name__.rsplit(".", 1)[1]
    features = []
    for name, unit, *rest in lines:
        options: dict[str, object] = {"null": null, "source": source, **(rest[0] if rest else {})}
        features.append(Feature(name, getattr(module, name), family, unit, **options))  # type: ignore[arg-type]
    return tuple(features)


_SHARE: dict[str, object] = {"range": (0.0, 1.0)}
_SIGNED: dict[str, object] = {"range": (-1.0, 1.0)}
_COUNT: dict[str, object] = {"range": (0.0, float("inf")), "dtype": "int"}
_POSITIVE: dict[str, object] = {"range": (0.0, float("inf"))}
_NO_FLOW = "bar wholly inside a gap of the trade stream"
_NO_BOOK = "no book sample in the bar, or a side of it is empty"

FEATURES: tuple[Feature, ...] = (
    *_lines(
        ohlcv,
        "SPEC 5.1",
        "before the first trade",
        ("open", "quote", _POSITIVE),
        ("high", "quote", _POSITIVE),
        ("low", "quote", _POSITIVE),
        ("close", "quote", _POSITIVE),
        ("volume", "base", {**_POSITIVE, "null": _NO_FLOW}),
        ("returns", "share", {"null": f"first bar; {_NO_FLOW}", "warm_up": 1}),
        ("log_returns", "log share", {"null": f"first bar; {_NO_FLOW}", "warm_up": 1}),
    ),
    *_lines(
        trades,
        "SPEC 5.2",
        _NO_FLOW,
        ("buy_volume", "base", _POSITIVE),
        ("sell_volume", "base", _POSITIVE),
        ("vol_delta", "base"),
        ("cvd", "base"),
        ("vwap", "quote", _POSITIVE),
        ("buy_pressure", "share", {**_SHARE, "null": "no trade in the bar"}),
        ("trade_count", "trades", _COUNT),
        ("trade_intensity_1s", "trades/s", _POSITIVE),
        ("trade_intensity_5s", "trades/s", _POSITIVE),
        ("trade_intensity_10s", "trades/s", _POSITIVE),
        ("large_trade_count", "trades", _COUNT),
        ("large_trade_volume", "base", _POSITIVE),
        ("large_trade_pct", "share", {**_SHARE, "null": "no trade in the bar"}),
    ),
    *_lines(
        book,
        "SPEC 5.3",
        _NO_BOOK,
        ("imbalance_5", "share", _SIGNED),
        ("imbalance_10", "share", _SIGNED),
        ("imbalance_20", "share", _SIGNED),
        ("imbalance_5_avg", "share", _SIGNED),
        ("imbalance_10_avg", "share", _SIGNED),
        ("imbalance_20_avg", "share", _SIGNED),
        ("spread_avg", "quote"),
        ("spread_std", "quote", _POSITIVE),
        ("bid_slope", "base/quote", {"null": "fewer than two levels"}),
        ("ask_slope", "base/quote", {"null": "fewer than two levels"}),
        ("weighted_mid", "quote", _POSITIVE),
        ("weighted_mid_price_diff_bps", "bps"),
        ("bid_vol_ratio_5_20", "share", _SHARE),
        ("ask_vol_ratio_5_20", "share", _SHARE),
        ("ofi_1", "base", {"source": "Cont, Kukanov, Stoikov 2014"}),
        ("ofi_10", "base", {"source": "Xu, Gould, Howison 2018"}),
        ("best_bid", "quote", _POSITIVE),
        ("best_ask", "quote", _POSITIVE),
        ("mid_price", "quote", _POSITIVE),
    ),
    *_lines(
        microstructure,
        "SPEC 5.7",
        _NO_FLOW,
        ("signed_flow_ewma_5s", "base"),
        ("signed_flow_ewma_20s", "base"),
        ("queue_imbalance", "share", {**_SIGNED, "null": _NO_BOOK}),
    ),
    *_lines(
        technical,
        "SPEC 5.6",
        "until the seed is complete",
        ("ema_12", "quote", {**_POSITIVE, "warm_up": 12}),
        ("ema_26", "quote", {**_POSITIVE, "warm_up": 26}),
        ("macd", "quote", {"warm_up": 26}),
        ("macd_signal", "quote", {"warm_up": 34}),
        (
            "rsi_14",
            "points",
            {"range": (0.0, 100.0), "warm_up": 15, "null": "seed incomplete; price never moved"},
        ),
        ("atr_14", "quote", {**_POSITIVE, "warm_up": 15}),
        ("bollinger_position", "share", {"warm_up": 20, "null": "seed incomplete; flat price"}),
        ("keltner_position", "share", {"warm_up": 20, "null": "seed incomplete; flat price"}),
    ),
    *_lines(
        quality,
        "SPEC 5.8",
        "never",
        ("is_empty", "flag", {**_SHARE, "dtype": "int"}),
        ("gap_fraction", "share", _SHARE),
        ("late_count", "trades", _COUNT),
        ("age_ms_book", "ms", {"null": "before the first book update"}),
        ("age_ms_trade", "ms", {"null": "before the first trade"}),
    ),
)


def catalogue_markdown() -> str:
    """The catalogue as a page of the documentation."""
    lines = ["# Features", "", "Generated from the catalogue by `make catalogue`; do not edit.", ""]
    for family in dict.fromkeys(feature.family for feature in FEATURES):
        lines += [f"## {family}", "", "| feature | formula | unit | range | null | warm-up [bars] | source |"]
        lines.append("| --- | --- | --- | --- | --- | --- | --- |")
        for f in FEATURES:
            if f.family == family:
                low, high = (f"{bound:g}".replace("inf", "∞") for bound in f.range)
                formula = f.formula.replace("|", "\\|")
                cells = (f"`{f.name}`", formula, f.unit, f"{low} … {high}", f.null, str(f.warm_up), f.source)
                lines.append("| " + " | ".join(cells) + " |")
        lines.append("")
    return "\n".join(lines)
