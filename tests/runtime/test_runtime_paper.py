import json
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from math import nan
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from undertow.errors import LakeError
from undertow.execution.fees import TakerFee
from undertow.market.instruments import Instrument
from undertow.market.orders import OrderRequest, Side, TargetPosition, TopOfBook
from undertow.risk import gate
from undertow.risk.checks import Check, RiskLimits, RiskState
from undertow.runtime import paper as paper_module
from undertow.runtime.audit import AuditLog, read_records, verify
from undertow.runtime.decisions import Action, Decision
from undertow.runtime.paper import PaperSettings, PaperTrader
from undertow.strategy.hybrid import Reason
from undertow.strategy.sizing import FixedFraction, FixedLots

BTC = Instrument("binance", "BTCUSDT", "0.1", "0.001")
S = 1_000_000_000
START = 1_700_000_000 * S
UP, DOWN, UNSURE = (0.1, 0.2, 0.7), (0.7, 0.2, 0.1), (0.3, 0.4, 0.3)
LONG = {"feature": 1.0, "ema_12": 110.0, "ema_26": 100.0, "atr_14": 2.0}
SHORT = LONG | {"ema_12": 90.0}
SETTINGS = PaperSettings(
    instance="paper",
    limits=RiskLimits(
        max_position_lots=10,
        max_notional_quote=Decimal(100_000),
        max_book_age_ns=S,
        max_feature_age_ns=2 * S,
        max_clock_skew_ns=0,
    ),
    sizing=FixedLots(3),
    taker_fee=TakerFee(Decimal(5)),
    starting_equity_quote=Decimal(1000),
    holding_ns=10 * S,
    model_version="fixed-1",
)


class Says:
    """A model that answers what it is told to."""

    def __init__(self, *answer: float) -> None:
        self.answer: tuple[float, ...] = answer
        self.asked: list[NDArray[np.float64]] = []

    def predict_proba(self, features: NDArray[np.float64], /) -> NDArray[np.float64]:
        self.asked.append(features)
        return np.array([self.answer])


def book(at_s: float = 0, bid: int = 600_000, ask: int = 600_001, lots: int = 50) -> TopOfBook:
    at_ns, one = START + int(at_s * S), np.array([lots], dtype=np.int64)
    return TopOfBook(at_ns, at_ns, np.array([bid]), one, np.array([ask]), one)


class Session:
    """A trader, its model, and time in seconds since the start."""

    def __init__(self, path: Path, settings: PaperSettings = SETTINGS) -> None:
        self.model = Says(*UP)
        self.audit = AuditLog(path, durable=False)
        self.trader = PaperTrader(BTC, self.model, ["feature"], settings, self.audit)

    def bar(
        self, at_s: float, row: dict[str, float], says: tuple[float, ...] = UP, **market: Any
    ) -> Decision:
        self.model.answer = says
        now_ns = START + int(at_s * S)
        top = market["book"] if "book" in market else book(at_s, **market)
        return self.trader.on_bar(row, now_ns, now_ns, top, now_ns)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "decisions.jsonl"


@pytest.fixture
def session(path: Path) -> Iterator[Session]:
    one = Session(path)
    yield one
    one.audit.close()


def test_a_long_signal_buys_at_the_ask_and_is_closed_at_the_horizon(session: Session) -> None:
    entry = session.bar(0, LONG)
    assert (entry.action, entry.reason) == (Action.ENTER, Reason.ACT)
    assert entry.order == OrderRequest("paper-1", "BTCUSDT", START, Side.BUY, 3)
    assert entry.target == TargetPosition("BTCUSDT", START, 3)
    assert entry.signal.confidence == pytest.approx(0.6 + 0.4 * 0.7)
    assert session.trader.ledger.position.lots == 3
    held = session.bar(9, LONG, UNSURE)
    assert (held.action, held.order) == (Action.HOLD, None)
    left = session.bar(10, LONG, UNSURE, bid=600_500, ask=600_501)
    assert (left.action, left.reason) == (Action.EXIT, "holding_horizon")
    prices = [(fill.side, fill.price_ticks, fill.quantity_lots) for fill in session.trader.fills]
    assert prices == [(Side.BUY, 600_001, 3), (Side.SELL, 600_500, 3)]
    # 0.003 bought at 60,000.1 and sold at 60,050.0, at 5 bps each time
    summary = session.trader.paper_summary()
    assert summary["gross_quote"] == pytest.approx(0.1497)
    assert summary["fees_quote"] == pytest.approx(0.09000015 + 0.090075)
    assert summary["net_quote"] == pytest.approx(0.1497 - 0.18007515)
    assert (summary["orders"], summary["fills"], summary["position_lots"]) == (2, 2, 0)


def test_a_short_signal_sells_at_the_bid_and_the_opposite_one_only_closes(
    session: Session,
) -> None:
    assert session.bar(0, SHORT, DOWN).order == OrderRequest("paper-1", "BTCUSDT", START, Side.SELL, 3)
    assert session.trader.ledger.position.lots == -3
    left = session.bar(1, LONG, UP)
    assert (left.action, left.reason) == (Action.EXIT, "opposite_signal")
    assert session.trader.ledger.position.lots == 0
    assert [fill.price_ticks for fill in session.trader.fills] == [600_000, 600_001]
    assert session.bar(2, LONG, UP).action is Action.ENTER


def test_an_open_position_is_marked_at_the_price_that_closes_it(session: Session) -> None:
    session.bar(0, LONG)
    session.trader.on_book(book(1, bid=600_101, ask=600_201), START + S)
    summary = session.trader.paper_summary()
    assert summary["mark_price"] == 60_010.1
    assert summary["unrealised_quote"] == pytest.approx(0.03)
    assert summary["realised_quote"] == 0
    assert summary["position_quantity"] == 0.003


@pytest.mark.parametrize(
    ("row", "says", "reason"),
    [
        (LONG, UNSURE, Reason.ACT),  # a full technical score needs P(up) above 0.25
        (LONG, (0.6, 0.2, 0.2), Reason.BELOW),
        ({"feature": 1.0}, UP, Reason.BELOW),
        (LONG, (nan, nan, nan), Reason.MODEL_INVALID),
        (LONG, (0.0, 0.0, 1.5), Reason.MODEL_INVALID),
        ({"ema_12": 1.0}, UP, "feature_missing:feature"),
        (LONG | {"feature": nan}, UP, "features_all_null"),
        (LONG | {"feature": float("inf")}, UP, "feature_infinite"),
        (LONG | {"gap_fraction": 0.1}, UP, "gap_in_bar"),
        (LONG | {"gap_fraction": nan}, UP, "gap_in_bar"),
        (LONG | {"gap_fraction": 0.0}, UP, Reason.ACT),
    ],
)
def test_when_it_acts_and_when_it_abstains(
    session: Session, row: dict[str, float], says: tuple[float, ...], reason: str
) -> None:
    decision = session.bar(0, row, says)
    assert decision.reason == reason
    assert (decision.order is not None) is (reason == Reason.ACT)
    assert decision.action is (Action.ENTER if reason == Reason.ACT else Action.ABSTAIN)
    abstentions = session.trader.paper_summary()["abstentions"]
    assert abstentions == ({} if reason == Reason.ACT else {reason: 1})


def test_the_model_sees_the_named_features_in_order(path: Path) -> None:
    model = Says(*UNSURE)
    with AuditLog(path) as audit:
        trader = PaperTrader(BTC, model, ["b", "a"], SETTINGS, audit)
        trader.on_bar({"a": 1.0, "b": nan, "c": 3.0}, START, START, book(), START)
    np.testing.assert_array_equal(model.asked[0], [[nan, 1.0]])


@pytest.mark.parametrize("answer", [(0.5, 0.5), (0.25, 0.25, 0.25, 0.25)])
def test_a_model_of_other_classes_is_a_bug(session: Session, answer: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match=r"\(1, 3\)"):
        session.bar(0, LONG, answer)


@pytest.mark.parametrize(
    ("trouble", "reason"),
    [
        ({"book": None}, "invalid_book"),
        ({"bid": 600_001}, "invalid_book"),
        ({"book": book(-2)}, "stale_book"),
        ({"book": book(1)}, "stale_book"),
    ],
)
def test_bad_data_refuses_new_risk(session: Session, trouble: dict[str, Any], reason: str) -> None:
    decision = session.bar(0, LONG, **trouble)
    assert decision.rejected is not None
    assert (decision.rejected.reason, decision.rejected.client_id) == (reason, "paper-1")
    assert session.trader.fills == ()
    assert session.trader.paper_summary()["refusals"] == {reason: 1}
    assert session.trader.paper_summary()["orders"] == 0


def test_a_stale_row_refuses_new_risk(session: Session) -> None:
    decision = session.trader.on_bar(LONG, START - 3 * S, START - 3 * S, book(), START)
    assert decision.rejected is not None
    assert decision.rejected.reason == "stale_features"


def test_the_position_limit_holds(path: Path) -> None:
    session = Session(path, replace(SETTINGS, sizing=FixedLots(11)))
    decision = session.bar(0, LONG)
    session.audit.close()
    assert decision.rejected is not None
    assert decision.rejected.reason == "max_position"


def test_an_exit_is_sent_when_data_is_stale_and_fills_on_the_next_good_book(session: Session) -> None:
    session.bar(0, LONG)
    decision = session.bar(20, LONG, UNSURE, book=None)
    assert (decision.action, decision.rejected) == (Action.EXIT, None)
    assert session.trader.ledger.position.lots == 3
    assert session.bar(21, LONG, UNSURE, book=None).reason == "order_pending"
    session.trader.on_book(book(22), START + 22 * S)
    assert session.trader.ledger.position.lots == 0


def test_with_latency_the_order_waits_and_is_not_lost(path: Path) -> None:
    session = Session(path, replace(SETTINGS, latency_ns=S // 2))
    session.bar(0, LONG)
    assert session.trader.paper_summary()["fills"] == 0
    assert session.trader.paper_summary()["pending_orders"] == 1
    session.trader.on_book(book(0.6, ask=600_100), START + int(0.6 * S))
    session.audit.close()
    assert [fill.price_ticks for fill in session.trader.fills] == [600_100]


def test_a_thin_book_fills_in_part_and_the_rest_is_cancelled(session: Session) -> None:
    session.bar(0, LONG, lots=2)
    assert session.trader.ledger.position.lots == 2
    assert session.trader.paper_summary()["cancelled_lots"] == 1


def test_size_by_a_share_of_equity(path: Path) -> None:
    session = Session(path, replace(SETTINGS, sizing=FixedFraction(Decimal("0.2"))))
    order = session.bar(0, LONG).order
    session.audit.close()
    assert order is not None
    assert order.quantity_lots == 3  # 200 of 1,000; a lot at 60,000.1 is worth 60.0001


def test_too_little_equity_for_a_lot_abstains(path: Path) -> None:
    session = Session(path, replace(SETTINGS, sizing=FixedFraction(Decimal("0.01"))))
    assert session.bar(0, LONG).reason == "size_below_one_lot"
    session.audit.close()


def test_a_fault_in_the_gate_halts(session: Session, monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
    def broken(order: OrderRequest, state: RiskState, limits: RiskLimits) -> str | None:
        raise ZeroDivisionError("oh")

    def review(order: OrderRequest, state: RiskState, limits: RiskLimits) -> Any:
        return gate.review(order, state, limits, (Check("odd", broken, guards_reductions=False),))

    session.bar(0, LONG)
    with monkeypatch.context() as patch:
        patch.setattr(paper_module, "review", review)
        session.bar(10, LONG, UNSURE)
        assert session.trader.ledger.position.lots == 0
        decision = session.bar(11, LONG)
    assert decision.rejected is not None
    assert decision.rejected.reason == gate.FAULT
    assert session.trader.halted
    later = session.bar(12, LONG)
    assert later.rejected is not None
    assert later.rejected.reason == "halted"
    assert [record.kind for record in read_records(path)].count("halted") == 1
    assert session.trader.paper_summary()["halted"] is True


def test_every_decision_is_recorded_with_its_inputs_before_it_acts(session: Session, path: Path) -> None:
    decision = session.bar(0, LONG)
    session.bar(1, LONG, UNSURE)
    session.bar(2, {"feature": nan}, UNSURE)
    assert verify(path) is None
    records = read_records(path)
    assert [record.kind for record in records] == ["session", "decision", "execution", "decision", "decision"]
    entry = records[1].payload
    assert records[1].sequence == decision.sequence == 1
    assert entry["features"] == LONG
    assert entry["probabilities"] == list(UP)
    assert entry["technical"]["long"] == 1.0
    assert entry["signal"]["confidence"] == decision.signal.confidence
    assert entry["model_version"] == "fixed-1"
    assert entry["book"]["asks"] == [[600_001, 50]]
    assert entry["order"]["client_id"] == "paper-1"
    assert records[0].payload["settings"]["limits"]["max_position_lots"] == 10
    fill: dict[str, Any] = records[2].payload["execution"]["fills"][0]
    assert (fill["client_id"], fill["fill_id"]) == ("paper-1", "paper-1-0")
    assert session.trader.paper_summary()["audit_head"] == records[-1].hash


def test_an_order_that_cannot_be_recorded_is_not_sent(session: Session) -> None:
    session.audit.close()
    with pytest.raises(LakeError):
        session.bar(0, LONG)
    assert session.trader.fills == ()
    assert session.trader.ledger.position.lots == 0


def play(path: Path) -> tuple[str, tuple[Any, ...]]:
    session = Session(path, replace(SETTINGS, latency_ns=S // 4))
    generator = np.random.default_rng(7)
    mid = 600_000
    for second in range(200):
        mid += int(generator.integers(-20, 21))
        row = LONG if generator.random() < 0.5 else SHORT
        up = float(generator.random() * 0.5)
        session.bar(second, row, (0.5 - up, 0.5, up), bid=mid, ask=mid + 1, lots=2)
    head = session.audit.head
    session.audit.close()
    return head, session.trader.fills


def test_the_same_events_give_the_same_decisions_and_fills(tmp_path: Path) -> None:
    first, second = play(tmp_path / "a.jsonl"), play(tmp_path / "b.jsonl")
    assert first == second
    assert len(first[1]) > 10
    assert (tmp_path / "a.jsonl").read_bytes() == (tmp_path / "b.jsonl").read_bytes()


def test_after_a_restart_no_client_id_comes_again(path: Path) -> None:
    for second in (0, 1):
        session = Session(path)
        session.bar(second, LONG)
        session.audit.close()
    orders = [record.payload["order"] for record in read_records(path) if record.kind == "decision"]
    assert [order["client_id"] for order in orders] == ["paper-1", "paper-4"]


def test_the_summary_is_plain_json(session: Session) -> None:
    session.bar(0, LONG)
    summary = session.trader.paper_summary()
    assert json.loads(json.dumps(summary)) == json.loads(msgspec.json.encode(summary))


@pytest.mark.parametrize(
    "broken", [{"instance": "a-b"}, {"instance": ""}, {"instance": "x" * 21}, {"holding_ns": 0}]
)
def test_settings_that_make_no_sense_are_refused(broken: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"instance|holding"):
        replace(SETTINGS, **broken)
