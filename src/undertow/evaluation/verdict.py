"""Words that a reader who is no statistician reads rightly."""

from collections.abc import Mapping, Sequence

from undertow.evaluation.baselines import INFORMED
from undertow.evaluation.bootstrap import FEWEST_BLOCKS, Estimate
from undertow.evaluation.report import ReportRow, Verdict

__all__ = ["judge_report"]

TOO_GOOD_MCC = 0.6
"""No honest forecast of a market's direction over seconds or minutes scores this."""


def judge_report(
    row: ReportRow,
    against: Mapping[str, Estimate],
    suspects: Sequence[str],
    *,
    blocks: int,
    confidence: float,
    taker_fee_bps: float,
) -> Verdict:
    """Verdict on the judged model's row, given its paired MCC difference to each baseline and null."""
    level = f"{confidence:.0%} interval"
    unsound = _unsound(row, suspects, blocks)
    if unsound is not None:
        return Verdict(has_edge=False, earns=False, text=unsound)
    unbeaten = [name for name, difference in against.items() if difference.low <= 0]
    has_edge = not unbeaten and row.direction.low > 0
    earns = row.net_bps is not None and row.net_bps.low > 0
    text = f"{_edge(row, against, unbeaten, level)} {_money(row, taker_fee_bps, level)}"
    return Verdict(has_edge=has_edge, earns=has_edge and earns, text=text)


def _unsound(row: ReportRow, suspects: Sequence[str], blocks: int) -> str | None:
    if suspects:
        return (
            f"Do not trust this: {', '.join(suspects)} looks like a copy of the future. Remove it and repeat."
        )
    if row.mcc.value > TOO_GOOD_MCC:
        return (
            f"Do not trust this: {row.name} scores MCC {row.mcc.value:.2f}, more than any honest forecast "
            "does. Look for a feature that knows the future."
        )
    if blocks < FEWEST_BLOCKS:
        return (
            f"Too little data to say: the test holds only {blocks} independent stretches of time, "
            f"{FEWEST_BLOCKS} are needed. Collect for longer or choose a shorter horizon."
        )
    return None


def _edge(row: ReportRow, against: Mapping[str, Estimate], unbeaten: Sequence[str], level: str) -> str:
    difference = _signed(row.mcc_difference, 3)
    if not unbeaten and row.direction.low <= 0:
        return (
            f"No edge in direction: {row.name} foretells how much the price moves, not where to; MCC of up "
            f"against down alone {_signed(row.direction, 3)}, {level}."
        )
    if not unbeaten:
        return (
            f"{row.name} beats every baseline: paired MCC difference to the best of them "
            f"({row.compared_with}) {difference}, {level}."
        )
    worst = min(unbeaten, key=lambda name: against[name].low)
    if not INFORMED.issuperset(unbeaten):
        return (
            f"No edge: {row.name} is not clearly better than {worst}; paired MCC difference "
            f"{_signed(against[worst], 3)}, {level}."
        )
    return (
        f"No edge beyond simple order-book rules: {row.name} beats the naive baselines but not clearly "
        f"{', '.join(unbeaten)}; paired MCC difference {_signed(against[worst], 3)}, {level}."
    )


def _money(row: ReportRow, taker_fee_bps: float, level: str) -> str:
    if row.net_bps is None or row.fee_frontier_bps is None:
        return "It made no trade."
    net = f"{_signed(row.net_bps, 2)} bps a decision, {level}"
    if row.net_bps.low > 0:
        money = f"At a taker fee of {taker_fee_bps:g} bps it would have earned {net}"
    elif row.net_bps.high < 0:
        money = f"At a taker fee of {taker_fee_bps:g} bps it would have lost money: {net}"
    else:
        money = f"At a taker fee of {taker_fee_bps:g} bps gain and loss cannot be told apart: {net}"
    if row.fee_frontier_bps > 0:
        return f"{money}; it would break even at a fee of {row.fee_frontier_bps:.2f} bps."
    return f"{money}; the spread alone costs more than it gains, at any fee."


def _signed(estimate: Estimate, digits: int) -> str:
    return f"{estimate.value:+.{digits}f} [{estimate.low:+.{digits}f}, {estimate.high:+.{digits}f}]"
