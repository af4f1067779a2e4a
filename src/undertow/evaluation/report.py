"""The report of a walk-forward: frozen, and writable as JSON."""

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from undertow.evaluation.bootstrap import Estimate

__all__ = ["FoldRecord", "Kind", "ReportRow", "Verdict", "WalkForwardReport"]


class Kind(StrEnum):
    """What a row of the table is."""

    MODEL = "model"
    BASELINE = "baseline"
    NULL = "null"


@dataclass(frozen=True, slots=True)
class ReportRow:
    """One line of the table. Profits are per decision [bps of notional], flat decisions counted as 0."""

    name: str
    kind: Kind
    rows: int
    """Test rows predicted."""
    effective_rows: float
    """How many independent decisions the intervals are worth."""
    macro_f1: Estimate
    mcc: Estimate
    balanced_accuracy: float
    direction: Estimate
    """MCC of up against down alone: what is left when foretelling the size of moves counts for nothing."""
    compared_with: str
    """The best other baseline or null, by MCC."""
    mcc_difference: Estimate
    """Paired on the same blocks of time: this row's MCC minus that of `compared_with`."""
    gross_bps: Estimate | None
    """Mid to mid, before any cost; None for the martingale null, whose path has no quotes."""
    net_bps: Estimate | None
    """At bid and ask, after taker fees."""
    fee_frontier_bps: float | None
    """Taker fee a side at which the profit is zero; None where nothing was traded."""
    turnover: float | None
    """Notional traded a decision, entry and exit, in units of the position."""


@dataclass(frozen=True, slots=True)
class FoldRecord:
    """One fold: what it was fitted on and what it found."""

    test_start_ns: int
    test_end_ns: int
    train_rows: int
    valid_rows: int
    test_rows: int
    purged_rows: int
    threshold_bps: float | None
    class_shares: tuple[float, ...] | None
    skipped: str | None
    """Why the fold was left out, or None."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the table means, in words."""

    has_edge: bool
    """The judged model beats every baseline and null, each paired interval above zero, and so does its
    direction; and nothing is suspect."""
    earns: bool
    """Its profit after spread and fees has an interval above zero."""
    text: str


@dataclass(frozen=True, slots=True)
class WalkForwardReport:
    """Everything a reader needs to believe or doubt the result."""

    settings: dict[str, Any]
    model: str
    rows: tuple[ReportRow, ...]
    """Models first, then baselines, then nulls."""
    folds: tuple[FoldRecord, ...]
    against: dict[str, Estimate]
    """The judged model's paired MCC difference to each baseline and null."""
    null_macro_f1: float
    """Macro-F1 of the same model on the martingale null."""
    excess_macro_f1: float
    """(F1 − F1₀) / (1 − F1₀)."""
    block_slots: int
    """Bars a bootstrap block."""
    blocks: int
    """Disjoint blocks in the tested time."""
    suspects: tuple[str, ...]
    """Features that look like copies of the future."""
    manifest: dict[str, Any]
    verdict: Verdict

    def row(self, name: str) -> ReportRow:
        """The line called `name`. Raises KeyError where there is none."""
        for row in self.rows:
            if row.name == name:
                return row
        raise KeyError(name)

    def to_dict(self) -> dict[str, Any]:
        """The report as plain values, ready for JSON."""
        return asdict(self)
