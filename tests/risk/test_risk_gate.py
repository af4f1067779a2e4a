from dataclasses import replace
from decimal import Decimal
from math import inf, nan
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from undertow.market.instruments import Instrument
from undertow.market.orders import OrderRequest, Rejected, Side, TopOfBook
from undertow.risk.checks import CHECKS, Check, RiskLimits, RiskState, only_reduces
from undertow.risk.gate import FAULT, Approved, review

BTC = Instrument("binance", "BTCUSDT", "0.1", "0.001")
MS = 1_000_000
NOW = 1_000_000 * MS


def book(bid: int = 600_000, ask: int = 600_001, age_ms: int = 0, receipt_age_ms: int = 0) -> TopOfBook:
    one = np.array([5], dtype=np.int64)
    return TopOfBook(NOW - age_ms * MS, NOW - receipt_age_ms * MS, np.array([bid]), one, np.array([ask]), one)


LIMITS = RiskLimits(
    max_position_lots=10,
    max_notional_quote=Decimal(1_000_000),
    max_book_age_ns=1000 * MS,
    max_feature_age_ns=2000 * MS,
    max_clock_skew_ns=500 * MS,
)
STATE = RiskState(BTC, 0, 0, 0, 0.8, book(), NOW - 10 * MS, NOW - 5 * MS, NOW)


def order(lots: Any = 1, side: Side = Side.BUY) -> OrderRequest:
    return OrderRequest("paper-1", "BTCUSDT", NOW, side, lots)


def refusal(verdict: Approved | Rejected) -> str | None:
    return verdict.reason if isinstance(verdict, Rejected) else None


def test_an_order_within_every_limit_passes() -> None:
    assert review(order(), STATE, LIMITS) == Approved(order(), reduces=False)


BOUNDARIES: list[tuple[str, OrderRequest, RiskState, RiskLimits, str | None]] = [
    ("position below", order(9), STATE, LIMITS, None),
    ("position equal", order(10), STATE, LIMITS, None),
    ("position above", order(11), STATE, LIMITS, "max_position"),
    ("short above", order(11, Side.SELL), STATE, LIMITS, "max_position"),
    ("held and pending equal", order(2), replace(STATE, position_lots=5, pending_buy_lots=3), LIMITS, None),
    (
        "held and pending above",
        order(3),
        replace(STATE, position_lots=5, pending_buy_lots=3),
        LIMITS,
        "max_position",
    ),
    (
        "pending on the other side does not help",
        order(6),
        replace(STATE, position_lots=5, pending_sell_lots=5),
        LIMITS,
        "max_position",
    ),
    ("flip beyond", order(16, Side.SELL), replace(STATE, position_lots=5), LIMITS, "max_position"),
    # a lot at the ask of 60,000.1 is worth 60.0001
    ("notional equal", order(1), STATE, replace(LIMITS, max_notional_quote=Decimal("60.0001")), None),
    (
        "notional above",
        order(1),
        STATE,
        replace(LIMITS, max_notional_quote=Decimal("60.0000")),
        "max_notional",
    ),
    ("book 999 ms", order(), replace(STATE, book=book(age_ms=999)), LIMITS, None),
    ("book 1000 ms", order(), replace(STATE, book=book(age_ms=1000)), LIMITS, None),
    ("book 1001 ms", order(), replace(STATE, book=book(age_ms=1001)), LIMITS, "stale_book"),
    ("receipt 1000 ms", order(), replace(STATE, book=book(receipt_age_ms=1000)), LIMITS, None),
    ("receipt 1001 ms", order(), replace(STATE, book=book(receipt_age_ms=1001)), LIMITS, "stale_book"),
    ("exchange 500 ms ahead", order(), replace(STATE, book=book(age_ms=-500)), LIMITS, None),
    ("exchange 501 ms ahead", order(), replace(STATE, book=book(age_ms=-501)), LIMITS, "stale_book"),
    ("received later than now", order(), replace(STATE, book=book(receipt_age_ms=-1)), LIMITS, "stale_book"),
    ("bar 2000 ms", order(), replace(STATE, bar_close_ns=NOW - 2000 * MS), LIMITS, None),
    ("bar 2001 ms", order(), replace(STATE, bar_close_ns=NOW - 2001 * MS), LIMITS, "stale_features"),
    ("row 2001 ms", order(), replace(STATE, known_ns=NOW - 2001 * MS), LIMITS, "stale_features"),
    ("row not known yet", order(), replace(STATE, known_ns=NOW + 1), LIMITS, "stale_features"),
    ("bar not closed yet", order(), replace(STATE, bar_close_ns=NOW + 1), LIMITS, "stale_features"),
    ("no book", order(), replace(STATE, book=None), LIMITS, "invalid_book"),
    ("crossed book", order(), replace(STATE, book=book(600_002, 600_001)), LIMITS, "invalid_book"),
    ("locked book", order(), replace(STATE, book=book(600_001, 600_001)), LIMITS, "invalid_book"),
    ("halted", order(), replace(STATE, halted=True), LIMITS, "halted"),
]


@pytest.mark.parametrize(("name", "request_", "state", "limits", "expected"), BOUNDARIES)
def test_each_limit_at_below_and_above(
    name: str, request_: OrderRequest, state: RiskState, limits: RiskLimits, expected: str | None
) -> None:
    assert refusal(review(request_, state, limits)) == expected


def test_a_one_sided_book_is_refused() -> None:
    empty = np.array([], dtype=np.int64)
    verdict = review(order(), replace(STATE, book=replace(book(), ask_ticks=empty, ask_lots=empty)), LIMITS)
    assert isinstance(verdict, Rejected)
    assert (verdict.reason, verdict.detail) == ("invalid_book", "one_sided")


@pytest.mark.parametrize("lots", [0, -1, nan, inf, -inf, 1.0, "1", None, True])
def test_a_quantity_that_is_no_positive_whole_number_is_refused(lots: Any) -> None:
    verdict = review(order(lots), STATE, LIMITS)
    assert isinstance(verdict, Rejected)
    assert verdict.reason in {"invalid_number", FAULT}


@pytest.mark.parametrize("confidence", [nan, inf, -0.1, 1.1])
def test_a_confidence_that_is_no_share_is_refused(confidence: float) -> None:
    assert refusal(review(order(), replace(STATE, confidence=confidence), LIMITS)) == "invalid_number"


@pytest.mark.parametrize("field", ["position_lots", "pending_buy_lots", "now_ns", "known_ns", "bar_close_ns"])
def test_a_state_that_is_no_whole_number_is_refused(field: str) -> None:
    broken: dict[str, Any] = {field: nan}
    assert refusal(review(order(), replace(STATE, **broken), LIMITS)) == "invalid_number"


def test_a_limit_that_is_no_number_is_refused() -> None:
    limits = replace(LIMITS, max_notional_quote=Decimal("NaN"))
    assert refusal(review(order(), STATE, limits)) == "invalid_number"


@pytest.mark.parametrize(
    ("position", "request_", "reduces"),
    [
        (5, order(5, Side.SELL), True),
        (5, order(6, Side.SELL), False),
        (5, order(1, Side.BUY), False),
        (-5, order(5, Side.BUY), True),
        (-5, order(6, Side.BUY), False),
        (0, order(1, Side.SELL), False),
    ],
)
def test_what_only_reduces(position: int, request_: OrderRequest, reduces: bool) -> None:
    assert only_reduces(request_, replace(STATE, position_lots=position)) is reduces


def test_pending_exits_count_when_judging_a_reduction() -> None:
    state = replace(STATE, position_lots=5, pending_sell_lots=3)
    assert only_reduces(order(2, Side.SELL), state)
    assert not only_reduces(order(3, Side.SELL), state)


@pytest.mark.parametrize(
    "trouble",
    [
        {"book": None},
        {"halted": True},
        {"known_ns": 0},
        {"book": book(age_ms=10_000)},
        {"position_lots": 50},
    ],
)
def test_the_way_out_stays_open_when_new_risk_is_refused(trouble: dict[str, Any]) -> None:
    state = replace(replace(STATE, position_lots=5), **trouble)
    assert review(order(5, Side.SELL), state, LIMITS) == Approved(order(5, Side.SELL), reduces=True)
    assert isinstance(review(order(11, Side.BUY), state, LIMITS), Rejected)


def broken_check(order: OrderRequest, state: RiskState, limits: RiskLimits) -> str | None:
    raise ZeroDivisionError("no price")


def test_a_check_that_breaks_refuses_and_halts() -> None:
    verdict = review(order(), STATE, LIMITS, (Check("odd", broken_check, guards_reductions=True),))
    assert isinstance(verdict, Rejected)
    assert (verdict.reason, verdict.halts) == (FAULT, True)
    assert "odd" in verdict.detail
    assert "no price" in verdict.detail


def test_an_ordinary_refusal_does_not_halt() -> None:
    verdict = review(order(11), STATE, LIMITS)
    assert isinstance(verdict, Rejected)
    assert not verdict.halts


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.reason)
def test_every_check_is_needed(check: Check) -> None:
    # the notional needs a book too and would cover for the check of the book
    cases = [
        (request_, state, limits)
        for _, request_, state, limits, reason in BOUNDARIES
        if reason == check.reason
    ]
    cases += [(order(), replace(STATE, confidence=nan), LIMITS)] if check.reason == "invalid_number" else []
    others = tuple(other for other in CHECKS if other.reason not in {check.reason, "max_notional"})
    assert any(
        isinstance(review(*case), Rejected) and isinstance(review(*case, checks=others), Approved)
        for case in cases
    )


limits_strategy = st.builds(
    RiskLimits,
    max_position_lots=st.integers(0, 20),
    max_notional_quote=st.integers(0, 1500).map(Decimal),
    max_book_age_ns=st.integers(0, 20),
    max_feature_age_ns=st.integers(0, 20),
    max_clock_skew_ns=st.integers(0, 20),
)
states = st.builds(
    RiskState,
    instrument=st.just(BTC),
    position_lots=st.integers(-20, 20),
    pending_buy_lots=st.integers(0, 10),
    pending_sell_lots=st.integers(0, 10),
    confidence=st.sampled_from([0.0, 0.8, nan]),
    book=st.none()
    | st.builds(
        lambda event, receive, spread: replace(
            book(600_000, 600_000 + spread), event_ns=NOW - event, receive_ns=NOW - receive
        ),
        st.integers(-20, 20),
        st.integers(-2, 20),
        st.integers(-1, 5),
    ),
    bar_close_ns=st.integers(-2, 20).map(lambda age: NOW - age),
    known_ns=st.integers(-2, 20).map(lambda age: NOW - age),
    now_ns=st.just(NOW),
    halted=st.booleans(),
)
orders = st.builds(order, st.integers(-1, 25), st.sampled_from(Side))


@given(orders, states, limits_strategy, limits_strategy)
def test_tightening_a_limit_never_admits_more(
    request_: OrderRequest, state: RiskState, first: RiskLimits, second: RiskLimits
) -> None:
    tight = RiskLimits(
        max_position_lots=min(first.max_position_lots, second.max_position_lots),
        max_notional_quote=min(first.max_notional_quote, second.max_notional_quote),
        max_book_age_ns=min(first.max_book_age_ns, second.max_book_age_ns),
        max_feature_age_ns=min(first.max_feature_age_ns, second.max_feature_age_ns),
        max_clock_skew_ns=min(first.max_clock_skew_ns, second.max_clock_skew_ns),
    )
    if isinstance(review(request_, state, tight), Approved):
        assert isinstance(review(request_, state, first), Approved)
        assert isinstance(review(request_, state, second), Approved)
