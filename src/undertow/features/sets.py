"""Named feature sets: lists that a study can name and a reader can look up.

A set with a year or a purpose in its name is written out, so that a feature that is added to a family later
does not change what a study of that name was about. `all` is everything that bars and the deep book have;
features of two markets are named by their families, as it depends on the study which markets these are.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from undertow.errors import InputError
from undertow.features.catalogue import FEATURES, Line
from undertow.features.cross import CROSS_FEATURES
from undertow.features.l2 import L2_FEATURES, SEQUENCE_NAMES, VALUE_NAMES

__all__ = ["L2_PREFIX", "SETS", "FeatureSet", "chosen_set", "columns_of_set", "lines_of", "set_of"]

L2_PREFIX = "l2_"
"""What a column of `l2_features` carries in front of its name once it is joined to bars (SPEC 5.5)."""


@dataclass(frozen=True, slots=True)
class FeatureSet:
    """Columns of bars and of the deep book under one name, each once and in order."""

    name: str
    about: str
    bars: tuple[str, ...]
    """Features of the bar tables."""
    l2: tuple[str, ...] = ()
    """Values of `l2_features`, without the prefix."""
    sequence: tuple[str, ...] = ()
    """Sequence inputs of `l2_features`, without the prefix: prices and volumes level by level."""
    cross: tuple[str, ...] = ()
    """Features of two markets, of `cross_features`."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Names as a dataset shows them: bars, the deep book with its prefix, two markets."""
        deep = (f"{L2_PREFIX}{name}" for name in (*self.l2, *self.sequence))
        return (*self.bars, *deep, *self.cross)


_OHLCV = "open high low close volume returns log_returns"
_TRADES = """
    buy_volume sell_volume vol_delta cvd vwap buy_pressure trade_count trade_intensity_1s trade_intensity_5s
    trade_intensity_10s large_trade_count large_trade_volume large_trade_pct
"""
_BOOK = """
    imbalance_5 imbalance_10 imbalance_20 imbalance_5_avg imbalance_10_avg imbalance_20_avg spread_avg
    spread_std bid_slope ask_slope weighted_mid weighted_mid_price_diff_bps bid_vol_ratio_5_20
    ask_vol_ratio_5_20 ofi_1 ofi_10 best_bid best_ask mid_price
"""
_MARKET = """
    mark_price index_price spot_premium_pct basis_bps funding_rate settled_funding_rate funding_rate_delta
    high_funding_pressure minutes_to_funding open_interest oi_change_pct liq_long_vol liq_short_vol liq_ratio
    liq_imbalance
"""
_TECHNICAL = """
    ema_12 ema_26 ema_50 ema_200 macd macd_signal macd_histogram rsi_14 stochastic_k stochastic_d atr_14
    bollinger_upper bollinger_lower bollinger_width bollinger_position keltner_upper keltner_lower
    keltner_position
"""
_VOLATILITY = """
    log_return_5 log_return_15 log_return_30 log_return_60 log_return_240 realised_volatility_5
    realised_volatility_15 realised_volatility_30 realised_volatility_60 realised_volatility_240
    upside_volatility_60 downside_volatility_60 semivariance_balance_60 parkinson_60 garman_klass_60
    rogers_satchell_60
"""
_PROFILE = "poc_price value_area_high value_area_low poc_distance_atr poc_volume_share"
_CALENDAR = "hour_sin hour_cos weekday_sin weekday_cos minutes_to_funding_8h"
_ROLLING = """
    change_zscore_1h change_zscore_4h change_zscore_24h change_autocorrelation_1h change_autocorrelation_4h
    change_autocorrelation_24h change_skew_1h change_skew_24h change_kurtosis_1h change_kurtosis_24h
    volume_zscore_1h volume_zscore_4h volume_zscore_24h delta_zscore_1h delta_zscore_4h delta_zscore_24h
    delta_share_1h delta_share_4h delta_share_24h price_position_1h price_position_4h price_position_24h
    price_range_1h price_range_4h price_range_24h volume_mean_1h volume_mean_24h volume_ratio_1h_24h
"""

SETS: tuple[FeatureSet, ...] = (
    FeatureSet(
        "debate-2024",
        "Bars, trades, book, market, technical indicators, volatility, volume profile, calendar and rolling "
        "statistics as SPEC 5.1 to 5.4 and 5.6 list them; neither the deep book nor later literature.",
        tuple(
            " ".join(
                (_OHLCV, _TRADES, _BOOK, _MARKET, _TECHNICAL, _VOLATILITY, _PROFILE, _CALENDAR, _ROLLING)
            ).split()
        ),
    ),
    FeatureSet(
        "l2-optimized",
        "The deep book of SPEC 5.5: its 37 values a second and the 400 sequence inputs that a matrix or a "
        "window is made of (SPEC 6); of bars only the quotes that labels are made of.",
        ("best_bid", "best_ask", "mid_price"),
        tuple(line.name for line in L2_FEATURES if line.name in VALUE_NAMES and line.source == "SPEC 5.5"),
        SEQUENCE_NAMES,
    ),
    FeatureSet(
        "all",
        "Every feature of bars, every value of the deep book and its sequence inputs.",
        tuple(feature.name for feature in FEATURES),
        VALUE_NAMES,
        SEQUENCE_NAMES,
    ),
)
"""In the order in which the documentation shows them."""


def set_of(name: str) -> FeatureSet:
    """The set of that name. Raises InputError with the known names for another."""
    found = next((known for known in SETS if known.name == name), None)
    if found is None:
        raise InputError(f"no feature set {name!r}; choose {', '.join(known.name for known in SETS)}")
    return found


def columns_of_set(name: str) -> tuple[str, ...]:
    """Columns of a named set as a dataset shows them, each once.

    Raises InputError with the known names for another.

    >>> columns_of_set("debate-2024")[:3]
    ('open', 'high', 'low')
    """
    return set_of(name).columns


def chosen_set(text: str, own: Collection[str] = ()) -> FeatureSet:
    """What `--features` names: sets, families and features, comma-separated, mixed as one likes.

    A column of the deep book is named with its prefix, such as `l2_net_pressure`. `own`: columns of the
    user's bars, which the catalogue need not know. Each column is taken once, where it is named first. Raises
    InputError for a name that is none of them and for a text without names.
    """
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise InputError("no feature was given; name a set, families or features, comma-separated")
    parts = [_part(name, own) for name in names]
    return FeatureSet(
        text,
        "chosen by name",
        _once(name for part in parts for name in part.bars),
        _once(name for part in parts for name in part.l2),
        _once(name for part in parts for name in part.sequence),
        _once(name for part in parts for name in part.cross),
    )


def lines_of(chosen: FeatureSet) -> tuple[Line, ...]:
    """The catalogue's lines of a set's columns, in its order."""
    bars = {line.name: line for line in FEATURES}
    deep = {line.name: line for line in L2_FEATURES}
    cross = {line.name: line for line in CROSS_FEATURES}
    return (
        *(bars[name] for name in chosen.bars),
        *(deep[name] for name in (*chosen.l2, *chosen.sequence)),
        *(cross[name] for name in chosen.cross),
    )


def _part(name: str, own: Collection[str]) -> FeatureSet:
    """One name of a list: a set, a feature, a column of the deep book, a family or a column of one's own."""
    if any(known.name == name for known in SETS):
        return set_of(name)
    column = name.removeprefix(L2_PREFIX)
    if column != name and column in VALUE_NAMES:
        return FeatureSet(name, "", (), l2=(column,))
    if column != name and column in SEQUENCE_NAMES:
        return FeatureSet(name, "", (), sequence=(column,))
    bars = tuple(line.name for line in FEATURES if name in (line.name, line.family))
    cross = tuple(line.name for line in CROSS_FEATURES if name in (line.name, line.family))
    if not bars and not cross and name in own:
        return FeatureSet(name, "", (name,))
    if not bars and not cross:
        families = [line.family for line in FEATURES] + [line.family for line in CROSS_FEATURES]
        raise InputError(
            f"no feature set {name!r}, nor a family or feature of that name; sets are "
            f"{', '.join(known.name for known in SETS)}, families "
            f"{', '.join(_once(families))}; "
            "`undertow features --list` shows every feature"
        )
    return FeatureSet(name, "", bars, cross=cross)


def _once(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))
