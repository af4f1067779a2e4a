"""One symbol's rows as they are exported: keys, features, what was joined, coverage, label, weights."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from undertow.datasets.bars import REQUIRED_COLUMNS, float_matrix, open_ns
from undertow.datasets.coverage import BarCoverage, CoverageRule, bar_coverage, coverage_names
from undertow.datasets.joined import JoinedSymbol
from undertow.datasets.labelled import SymbolLabels, weights_of
from undertow.labels.barriers import NO_OUTCOME, SideLabels
from undertow.labels.thresholds import CLASSES, UNLABELLED
from undertow.labels.uniqueness import effective_samples

__all__ = ["LABEL_COLUMNS", "DatasetTable", "make_table"]

Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]

LABEL_COLUMNS = frozenset(
    {
        *("label", "label_end_ns", "return_bps", "threshold_bps", "uniqueness", "return_weight"),
        *(f"{side}_{what}" for side in ("long", "short") for what in ("outcome", "return_bps", "end_ns")),
    }
)
"""Columns that know the future: what is foretold, and what fitting may be weighted by; never an input."""


@dataclass(frozen=True, slots=True)
class DatasetTable:
    """The labelled rows of one symbol, sorted by time."""

    symbol: str
    frame: pl.DataFrame
    features: tuple[str, ...]
    """Names of the columns that a model may take as inputs."""
    bars: int
    """Bars that were read."""
    unlabelled: int
    """Bars left out because they have no label."""
    unusable: int
    """Bars left out for another reason that was given, such as no whole sequence before them."""
    coverage: dict[str, int]
    """Rows by how the ledger knows them, before any was dropped for it; empty where it was ignored."""
    uncovered: int
    """Rows left out because the ledger does not prove them."""

    @property
    def label_shares(self) -> dict[str, float]:
        """Share of each class."""
        counts = np.bincount(self.frame["label"].to_numpy(), minlength=len(CLASSES))
        return {
            name: float(count / max(counts.sum(), 1)) for name, count in zip(CLASSES, counts, strict=True)
        }

    @property
    def effective_samples(self) -> float:
        """Independent labels that the rows are worth."""
        return effective_samples(self.frame["uniqueness"].to_numpy())


def make_table(
    joined: JoinedSymbol,
    features: Sequence[str],
    labels: SymbolLabels,
    ledger: pl.DataFrame | None,
    streams: Sequence[str],
    rule: CoverageRule,
    usable: Flags | None = None,
) -> DatasetTable:
    """The rows that have a label, with `features` and all that was joined.

    `usable` (bars,) leaves out further rows, such as those without a whole sequence. `ledger` holds the table
    `coverage` (None: it is not there, so that all is unknown). Raises InputError where a feature is no stored
    column or no number.
    """
    bars = joined.bars
    has_label = labels.classes != UNLABELLED
    labelled = has_label if usable is None else has_label & usable
    states = _states(joined, ledger, streams, rule)
    kept = labelled.copy()
    if rule is CoverageRule.STRICT:
        kept &= states == BarCoverage.COMPLETE
    inputs = [*features, *joined.joined_columns]
    float_matrix(bars, features)
    frame = bars.frame.select(
        "timestamp",
        pl.lit(bars.symbol).alias("symbol"),
        *dict.fromkeys([*REQUIRED_COLUMNS[1:], *inputs]),
    )
    if rule is not CoverageRule.IGNORE:
        frame = frame.with_columns(coverage_names(states))
    frame = frame.with_columns(_label_columns(labels, kept)).filter(pl.Series(kept))
    counts = {state.name.lower(): int((states[labelled] == state).sum()) for state in BarCoverage}
    return DatasetTable(
        symbol=bars.symbol,
        frame=frame,
        features=tuple(inputs),
        bars=len(labelled),
        unlabelled=int((~has_label).sum()),
        unusable=int((has_label & ~labelled).sum()),
        coverage={} if rule is CoverageRule.IGNORE else counts,
        uncovered=int((labelled & ~kept).sum()),
    )


def _states(
    joined: JoinedSymbol, ledger: pl.DataFrame | None, streams: Sequence[str], rule: CoverageRule
) -> Integers:
    bars = joined.bars
    if rule is CoverageRule.IGNORE:
        return np.full(bars.frame.height, BarCoverage.COMPLETE, dtype=np.int64)
    if ledger is None:
        return np.full(bars.frame.height, BarCoverage.UNKNOWN, dtype=np.int64)
    return bar_coverage(open_ns(bars), bars.length_ns, ledger, streams)


def _label_columns(labels: SymbolLabels, kept: Flags) -> list[pl.Series]:
    weights = weights_of(labels, kept)
    columns = [
        pl.Series("label", labels.classes, dtype=pl.Int8),
        pl.Series("label_end_ns", labels.end_ns),
        _nullable("threshold_bps", labels.threshold_bps),
    ]
    if labels.barriers is None:
        columns.append(_nullable("return_bps", labels.return_bps))
    else:
        for name, side in (("long", labels.barriers.long), ("short", labels.barriers.short)):
            columns += _side_columns(name, side, labels)
    return [
        *columns,
        _nullable("uniqueness", weights.uniqueness),
        _nullable("return_weight", weights.attribution),
    ]


def _side_columns(name: str, side: SideLabels, labels: SymbolLabels) -> list[pl.Series]:
    known_ns = labels.start_ns[side.end_row]
    has_outcome = side.outcome != NO_OUTCOME
    return [
        pl.Series(f"{name}_outcome", side.outcome, dtype=pl.Int8),
        _nullable(f"{name}_return_bps", side.return_bps),
        pl.Series(f"{name}_end_ns", np.where(has_outcome, known_ns, labels.start_ns)),
    ]


def _nullable(name: str, values: NDArray[np.float64]) -> pl.Series:
    return pl.Series(name, values, nan_to_null=True)
