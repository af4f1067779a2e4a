"""Labels of several symbols under one definition: by horizon or triple barrier, with one fitted threshold."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from undertow.datasets.bars import SymbolBars, float_column, known_ns, open_ns
from undertow.datasets.sources import same_lineage
from undertow.errors import InputError
from undertow.labels.barriers import BarrierLabels, triple_barrier
from undertow.labels.horizon_return import gap_free_stretches, horizon_returns
from undertow.labels.threshold_rule import ThresholdRule, ThresholdUnit, classify_each, thresholds_bps
from undertow.labels.thresholds import UNLABELLED
from undertow.labels.uniqueness import LabelWeights, label_weights
from undertow.labels.volatility import FEWEST_RETURNS, causal_volatility_bps, one_bar_returns

__all__ = [
    "LabelKind",
    "LabelSettings",
    "SymbolLabels",
    "label_symbols",
    "training_cut_ns",
    "weights_of",
]

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]


class LabelKind(StrEnum):
    """What is asked of the future."""

    HORIZON = "horizon"
    TRIPLE_BARRIER = "triple-barrier"


@dataclass(frozen=True, slots=True)
class LabelSettings:
    """The definition of a label, the same for all symbols. Raises InputError where it contradicts itself."""

    kind: LabelKind
    horizon_ns: int
    threshold: ThresholdRule
    """Moves beyond it are up or down; of a barrier label the profit."""
    stop: ThresholdRule | None = None
    """Of a barrier label only; None: as far away as the profit."""
    volatility_bars: int = 300
    """Bars that the causal volatility is taken over."""
    train_share: float = 0.7
    """A quantile is fitted on labels that end in this first share of the time."""

    def __post_init__(self) -> None:
        is_barrier = self.kind is LabelKind.TRIPLE_BARRIER
        if self.stop is not None and not is_barrier:
            raise InputError("a stop belongs to --label triple-barrier; leave it out or choose that label")
        rules = [rule for rule in (self.threshold, self.stop) if rule is not None]
        if is_barrier and any(rule.unit is ThresholdUnit.QUANTILE for rule in rules):
            raise InputError("a barrier cannot be a quantile; give it in bps, spread or vol")
        if is_barrier and any(rule.amount == 0 for rule in rules):
            raise InputError("a barrier must lie some way off; give a threshold above 0")
        if not 0.0 < self.train_share <= 1.0:
            raise InputError(f"training share {self.train_share} must lie in (0, 1]")
        if self.volatility_bars < FEWEST_RETURNS:
            raise InputError(f"a volatility needs a window of {FEWEST_RETURNS} bars or more")

    @property
    def definition(self) -> str:
        """The label in words, for a manifest."""
        horizon = f"{self.horizon_ns / 1e9:g} s"
        if self.kind is LabelKind.HORIZON:
            return (
                f"10000 * ln(mid(close + {horizon}) / mid(close)) in bps, up beyond {self.threshold}, down "
                "likewise, flat else; null across gaps"
            )
        return (
            f"first of profit {self.threshold}, stop {self.stop or self.threshold} and {horizon} that a long "
            "(ask to bid) and a short (bid to ask) entered at the next close would meet; up: the long's "
            "profit first, down: the short's, flat else; null where the path touches a gap"
        )


@dataclass(frozen=True, slots=True)
class SymbolLabels:
    """n labels of one symbol, one a bar."""

    classes: Integers
    """(n,) 0 down, 1 flat, 2 up, −1 none."""
    start_ns: Integers
    """(n,) decision time t0."""
    end_ns: Integers
    """(n,) t1: when the label was known; t0 where there is none."""
    begin_row: Integers
    """(n,) the label depends on returns over the bars after this one, −1 where there is no label."""
    end_row: Integers
    """(n,) the last bar that it depends on."""
    bar_return: Floats
    """(n,) log return of the mid over each bar."""
    return_bps: Floats
    """(n,) log return of the mid over the horizon; NaN for barrier labels."""
    threshold_bps: Floats
    """(n,) distance of the threshold, or of the profit barrier."""
    barriers: BarrierLabels | None = None


@dataclass(frozen=True, slots=True)
class _Quotes:
    """What labels are made of, (n,) each."""

    open_ns: Integers
    known_ns: Integers
    stretch: Integers
    mid: Floats
    bid: Floats
    ask: Floats
    spread_bps: Floats
    volatility_bps: Floats


def label_symbols(bars: Sequence[SymbolBars], settings: LabelSettings) -> list[SymbolLabels]:
    """Labels of every bar of every symbol, in the order of the symbols.

    A quantile is one number for all, fitted on the labels that end before `training_cut_ns`. Raises
    InputError where the bars differ in length or lineage, the horizon is no multiple of that length or no
    label can be made.
    """
    _check(bars, settings)
    quotes = [_quotes(symbol, settings) for symbol in bars]
    length_ns = bars[0].length_ns
    if settings.kind is LabelKind.TRIPLE_BARRIER:
        labels = [_barriers(part, length_ns, settings) for part in quotes]
    else:
        labels = _horizons(quotes, length_ns, settings)
    if not any(np.any(part.classes != UNLABELLED) for part in labels):
        raise InputError(
            f"no bar has a label: nothing is known {settings.horizon_ns / 1e9:g} s after any bar, or "
            f"{settings.threshold} is unknown; collect for longer or choose a shorter horizon"
        )
    return labels


def training_cut_ns(starts_ns: Sequence[Integers], train_share: float) -> int:
    """End of the first share of the time that all decisions [ns] span."""
    first = min(int(start[0]) for start in starts_ns)
    last = max(int(start[-1]) for start in starts_ns)
    return first + int((last - first) * train_share) + 1


def weights_of(labels: SymbolLabels, kept: NDArray[np.bool_]) -> LabelWeights:
    """Uniqueness and return attribution among the labels of the rows (n,) that are kept."""
    begin = np.where(kept & (labels.classes != UNLABELLED), labels.begin_row, -1)
    return label_weights(begin, labels.end_row, labels.bar_return)


def _check(bars: Sequence[SymbolBars], settings: LabelSettings) -> None:
    if not bars:
        raise InputError("no symbol was given; name at least one with --symbols")
    same_lineage({symbol.symbol: symbol.lineage for symbol in bars})
    length_ns = bars[0].length_ns
    if any(symbol.length_ns != length_ns for symbol in bars):
        raise InputError("bars of different lengths cannot be joined; read one timeframe")
    if settings.horizon_ns <= 0 or settings.horizon_ns % length_ns:
        raise InputError(
            f"horizon {settings.horizon_ns / 1e9:g} s is not a whole number of {length_ns / 1e9:g} s bars"
        )


def _quotes(bars: SymbolBars, settings: LabelSettings) -> _Quotes:
    opens = open_ns(bars)
    stretch = gap_free_stretches(opens, float_column(bars, "gap_fraction"), bars.length_ns)
    bid, ask = float_column(bars, "best_bid"), float_column(bars, "best_ask")
    mid = float_column(bars, "mid_price")
    with np.errstate(divide="ignore", invalid="ignore"):
        spread = 1e4 * (ask - bid) / mid
    spread[~np.isfinite(spread)] = np.nan
    volatility = causal_volatility_bps(opens, mid, stretch, bars.length_ns, settings.volatility_bars)
    return _Quotes(opens, known_ns(bars), stretch, mid, bid, ask, spread, volatility)


def _distances(
    rule: ThresholdRule, quotes: _Quotes, length_ns: int, horizon_ns: int, training: Floats | None = None
) -> Floats:
    bars = horizon_ns // length_ns
    return thresholds_bps(rule, quotes.spread_bps, quotes.volatility_bps, bars, training)


def _horizons(quotes: Sequence[_Quotes], length_ns: int, settings: LabelSettings) -> list[SymbolLabels]:
    returns = [
        horizon_returns(q.open_ns, q.known_ns, q.mid, q.stretch, length_ns, settings.horizon_ns)
        for q in quotes
    ]
    cut_ns = training_cut_ns([r.start_ns for r in returns], settings.train_share)
    training = np.concatenate([r.return_bps[r.end_ns < cut_ns] for r in returns])
    made = []
    for q, r in zip(quotes, returns, strict=True):
        threshold = _distances(settings.threshold, q, length_ns, settings.horizon_ns, training)
        classes = classify_each(r.return_bps, threshold)
        begin = np.where(classes != UNLABELLED, np.arange(len(classes)), -1)
        bar_return = one_bar_returns(q.mid, q.stretch)
        made.append(
            SymbolLabels(classes, r.start_ns, r.end_ns, begin, r.end_row, bar_return, r.return_bps, threshold)
        )
    return made


def _barriers(quotes: _Quotes, length_ns: int, settings: LabelSettings) -> SymbolLabels:
    profit = _distances(settings.threshold, quotes, length_ns, settings.horizon_ns)
    stop = _distances(settings.stop or settings.threshold, quotes, length_ns, settings.horizon_ns)
    made = triple_barrier(
        quotes.open_ns,
        quotes.known_ns,
        quotes.bid,
        quotes.ask,
        quotes.stretch,
        length_ns,
        settings.horizon_ns,
        profit,
        stop,
    )
    return SymbolLabels(
        classes=made.classes,
        start_ns=made.start_ns,
        end_ns=made.end_ns,
        begin_row=made.begin_row,
        end_row=made.end_row,
        bar_return=one_bar_returns(quotes.mid, quotes.stretch),
        return_bps=np.full(len(profit), np.nan),
        threshold_bps=profit,
        barriers=made,
    )
