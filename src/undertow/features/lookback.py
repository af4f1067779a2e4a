"""How far back each feature reaches: the bars before its own that a value depends on.

Counted in a stretch in which every bar has trades, book samples and no gap; where inputs are unknown, what
was known before them may reach across. Most values depend on their bar alone. Moving averages and Wilder's
smoothing reach back to the first bar.
"""

from dataclasses import dataclass

from undertow.market.time import DAY_NS, HOUR_NS, MINUTE_NS

__all__ = ["Lookback", "lookback_of"]


@dataclass(frozen=True, slots=True)
class Lookback:
    """Bars, and a stretch of the clock beside them."""

    bars: int = 0
    span_ns: int = 0

    def bars_of(self, length_ns: int) -> int:
        """Both in bars of a length [ns].

        >>> Lookback(2, HOUR_NS).bars_of(15 * MINUTE_NS)
        6
        """
        return self.bars + -(-self.span_ns // length_ns)

    def __str__(self) -> str:
        """In words.

        >>> str(Lookback()), str(Lookback(1)), str(Lookback(2, HOUR_NS))
        ('the bar alone', '1 bar', '60 minutes and 2 bars')
        """
        parts = [f"{self.span_ns // MINUTE_NS} minutes"] if self.span_ns else []
        parts += [f"{self.bars} bar{'s' * (self.bars != 1)}"] if self.bars else []
        return " and ".join(parts) or "the bar alone"


_BAR_ALONE = frozenset(
    {"ohlcv", "trades", "book", "arrival", "book_changes", "market", "calendar", "quality"}
)
"""Families of which everything not named below depends on its bar alone."""

_CURRENT = ("queue_imbalance", "effective_spread_bps", "realised_spread_bps", "price_impact_bps", "vpin")
"""The same in other families."""

_SHORT = ("log_return", "realised_volatility")
_HOUR_OF_BARS = (
    *("upside_volatility", "downside_volatility", "semivariance_balance", "bipower_volatility"),
    *("jump_share", "parkinson", "garman_klass", "rogers_satchell"),
)
_REGRESSIONS = ("kyle_lambda", "kyle_lambda_price", "amihud", "roll_spread", "trade_sign_autocorrelation")
_CHANGES = ("change_zscore", "change_autocorrelation", "change_skew", "change_kurtosis")
_CLOCK = (
    *_CHANGES,
    *("volume_zscore", "delta_zscore", "delta_share", "price_position", "price_range", "volume_mean"),
)
_PROFILE = ("poc_price", "value_area_high", "value_area_low", "poc_volume_share")

_NAMED: dict[str, Lookback] = {
    **{name: Lookback() for name in _CURRENT},
    **{name: Lookback(1) for name in ("returns", "log_returns")},
    "cvd": Lookback(0, DAY_NS),
    **{f"{name}_{bars}": Lookback(bars) for name in _REGRESSIONS for bars in (60, 300)},
    **{f"{name}_{bars}": Lookback(bars) for name in _SHORT for bars in (5, 15, 30, 60, 240)},
    **{f"{name}_60": Lookback(61) for name in _HOUR_OF_BARS},
    "stochastic_k": Lookback(13),
    "stochastic_d": Lookback(15),
    **{f"bollinger_{name}": Lookback(19) for name in ("upper", "lower", "width", "position")},
    **{f"{name}_{hours}h": Lookback(2, hours * HOUR_NS) for name in _CLOCK for hours in (1, 4, 24)},
    "volume_ratio_1h_24h": Lookback(2, 24 * HOUR_NS),
    **{name: Lookback(1, 4 * HOUR_NS) for name in _PROFILE},
}


def lookback_of(name: str, family: str) -> Lookback | None:
    """What a feature's value depends on beside its own bar; None: everything since the first bar."""
    return _NAMED.get(name, Lookback() if family in _BAR_ALONE else None)
