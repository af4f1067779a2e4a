from dataclasses import replace

import pytest

from undertow.evaluation.bootstrap import Estimate
from undertow.evaluation.report import Kind, ReportRow, Verdict
from undertow.evaluation.verdict import judge_report

GOOD, NOTHING = Estimate(0.08, 0.05, 0.11), Estimate(0.01, -0.02, 0.04)
ROW = ReportRow(
    name="lightgbm",
    kind=Kind.MODEL,
    rows=1000,
    effective_rows=100.0,
    macro_f1=GOOD,
    mcc=GOOD,
    balanced_accuracy=0.4,
    direction=GOOD,
    compared_with="persistence",
    mcc_difference=GOOD,
    gross_bps=Estimate(0.5, 0.3, 0.7),
    net_bps=Estimate(-7.0, -7.5, -6.5),
    fee_frontier_bps=0.2,
    turnover=1.3,
)


def judge(
    row: ReportRow = ROW,
    against: dict[str, Estimate] | None = None,
    suspects: tuple[str, ...] = (),
    blocks: int = 60,
) -> Verdict:
    found = {"persistence": GOOD, "order_flow_ridge": GOOD, "martingale_null": GOOD} | (against or {})
    return judge_report(row, found, suspects, blocks=blocks, confidence=0.95, taker_fee_bps=5.0)


def test_an_edge_that_does_not_pay() -> None:
    verdict = judge()
    assert verdict.has_edge
    assert not verdict.earns
    assert verdict.text == (
        "lightgbm beats every baseline: paired MCC difference to the best of them (persistence) "
        "+0.080 [+0.050, +0.110], 95% interval. At a taker fee of 5 bps it would have lost money: "
        "-7.00 [-7.50, -6.50] bps a decision, 95% interval; it would break even at a fee of 0.20 bps."
    )


def test_an_edge_that_pays() -> None:
    verdict = judge(replace(ROW, net_bps=GOOD, fee_frontier_bps=9.0))
    assert verdict.has_edge
    assert verdict.earns
    assert "would have earned" in verdict.text


@pytest.mark.parametrize("name", ["persistence", "martingale_null"])
def test_one_unbeaten_naive_row_is_no_edge(name: str) -> None:
    verdict = judge(against={name: NOTHING})
    assert not verdict.has_edge
    assert verdict.text.startswith(f"No edge: lightgbm is not clearly better than {name}")


def test_a_simple_rule_that_is_as_good_is_named() -> None:
    verdict = judge(against={"order_flow_ridge": NOTHING})
    assert not verdict.has_edge
    assert verdict.text.startswith("No edge beyond simple order-book rules")
    assert "order_flow_ridge" in verdict.text


def test_foretelling_volatility_is_no_edge() -> None:
    verdict = judge(replace(ROW, direction=NOTHING))
    assert not verdict.has_edge
    assert "how much the price moves, not where to" in verdict.text


def test_money_earned_without_an_edge_is_luck() -> None:
    verdict = judge(replace(ROW, net_bps=GOOD), {"persistence": NOTHING})
    assert not verdict.earns


@pytest.mark.parametrize(
    ("row", "suspects", "blocks", "words"),
    [
        (ROW, ("spy",), 60, "spy looks like a copy of the future"),
        (replace(ROW, mcc=Estimate(0.9, 0.85, 0.95)), (), 60, "knows the future"),
        (ROW, (), 9, "Too little data"),
    ],
)
def test_what_cannot_be_believed_is_refused(
    row: ReportRow, suspects: tuple[str, ...], blocks: int, words: str
) -> None:
    verdict = judge(row, suspects=suspects, blocks=blocks)
    assert not verdict.has_edge
    assert not verdict.earns
    assert words in verdict.text


def test_other_words_about_money() -> None:
    assert "cannot be told apart" in judge(replace(ROW, net_bps=NOTHING)).text
    assert "at any fee" in judge(replace(ROW, fee_frontier_bps=-0.1)).text
    assert "made no trade" in judge(replace(ROW, net_bps=None, fee_frontier_bps=None)).text
