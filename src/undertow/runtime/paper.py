"""Paper trading: a decision a bar, through the same doors as live, each recorded before it acts."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from typing import Any

from undertow.execution.broker import Broker, Execution
from undertow.execution.fees import TakerFee
from undertow.execution.ledger import Ledger
from undertow.execution.paper import PaperBroker
from undertow.market.instruments import Instrument
from undertow.market.orders import (
    Fill,
    OrderRequest,
    Rejected,
    Side,
    TargetPosition,
    TopOfBook,
    tick_lot_value,
)
from undertow.risk.checks import RiskLimits, RiskState
from undertow.risk.gate import review
from undertow.runtime.audit import AuditLog
from undertow.runtime.decisions import Action, Classifier, Decision, Judgement, judge, view_of_book
from undertow.strategy.hybrid import HybridSettings, Signal
from undertow.strategy.sizing import Sizing, size_lots

__all__ = ["PaperSettings", "PaperTrader"]

_INSTANCE = re.compile(r"[A-Za-z0-9_]{1,20}")


@dataclass(frozen=True, slots=True)
class PaperSettings:
    """How one instance trades. `instance` opens every client order id: 1 to 20 letters, digits or `_`."""

    instance: str
    limits: RiskLimits
    sizing: Sizing
    taker_fee: TakerFee
    starting_equity_quote: Decimal
    holding_ns: int
    """A position is closed at the first decision this long after its first fill."""
    latency_ns: int = 0
    """From a decision to the book that it meets."""
    hybrid: HybridSettings = field(default_factory=HybridSettings)
    model_version: str = "unnamed"

    def __post_init__(self) -> None:
        if not _INSTANCE.fullmatch(self.instance):
            raise ValueError(f"instance {self.instance!r}: 1 to 20 letters, digits or underscores")
        if self.holding_ns <= 0:
            raise ValueError("holding horizon must be positive")


@dataclass(frozen=True, slots=True)
class _Wish:
    """What to do and why; the target is None where the position stays as it is."""

    action: Action
    reason: str
    target_lots: int | None = None


class PaperTrader:
    """Decides at each bar and fills on paper.

    Flat, it enters on the side that the signal acts on; holding, it closes when the signal acts on the
    other side or the holding horizon is reached, and never turns round in one order. One order is under
    way at a time. Orders are named `<instance>-<sequence of the decision in the audit log>`.
    A fault in the risk gate halts it: from then on it may only reduce.
    """

    def __init__(
        self,
        instrument: Instrument,
        model: Classifier,
        feature_names: Sequence[str],
        settings: PaperSettings,
        audit: AuditLog,
    ) -> None:
        self._instrument = instrument
        self._model = model
        self._feature_names = tuple(feature_names)
        self._settings = settings
        self._audit = audit
        self._broker: Broker = PaperBroker(
            instrument, settings.taker_fee, settings.latency_ns, settings.limits.max_book_age_ns
        )
        self._ledger = Ledger(instrument)
        self._last_book: TopOfBook | None = None
        self._halted = False
        self._fills: list[Fill] = []
        self._orders = 0
        self._cancelled_lots = 0
        self._actions: Counter[str] = Counter()
        self._abstentions: Counter[str] = Counter()
        self._refusals: Counter[str] = Counter()
        audit.append(
            "session",
            {"instrument": instrument, "features": self._feature_names, "settings": settings},
        )

    @property
    def fills(self) -> tuple[Fill, ...]:
        """Every fill so far, in order."""
        return tuple(self._fills)

    @property
    def ledger(self) -> Ledger:
        """Position, profit and fees so far."""
        return self._ledger

    @property
    def halted(self) -> bool:
        """Whether a fault in the gate has stopped new risk."""
        return self._halted

    def on_book(self, book: TopOfBook | None, now_ns: int) -> tuple[Execution, ...]:
        """Tell the book in force at `now_ns`: fills what is due. Call it as often as books come."""
        if book is not None and book.fault is None:
            self._last_book = book
        executions = self._broker.on_book(book, now_ns)
        for execution in executions:
            self._audit.append("execution", {"execution": execution})
            for fill in execution.fills:
                self._ledger = self._ledger.after(fill)
            self._fills.extend(execution.fills)
            self._cancelled_lots += execution.cancelled_lots
        return executions

    def on_bar(
        self,
        row: Mapping[str, float],
        bar_close_ns: int,
        known_ns: int,
        book: TopOfBook | None,
        now_ns: int,
    ) -> Decision:
        """Decide on the feature row of a bar, known since `known_ns`, with the book in force at `now_ns`.

        The decision is in the audit log before its order is sent. Raises LakeError when it cannot be
        written: then nothing was sent.
        """
        self.on_book(book, now_ns)
        judgement = judge(row, self._model, self._feature_names, self._settings.hybrid)
        wish = self._wish(judgement, now_ns)
        sequence = self._audit.next_sequence
        order = self._order(wish, sequence, now_ns)
        state = self._state(judgement.signal, bar_close_ns, known_ns, book, now_ns)
        verdict = None if order is None else review(order, state, self._settings.limits)
        decision = Decision(
            sequence=sequence,
            symbol=self._instrument.symbol,
            model_version=self._settings.model_version,
            bar_close_ns=bar_close_ns,
            known_ns=known_ns,
            now_ns=now_ns,
            features=judgement.features,
            book=view_of_book(book),
            probabilities=judgement.probabilities,
            technical=judgement.technical,
            signal=judgement.signal,
            position_lots=state.position_lots,
            action=wish.action,
            reason=wish.reason,
            target=self._target(wish, now_ns),
            order=order,
            rejected=verdict if isinstance(verdict, Rejected) else None,
        )
        self._audit.append("decision", decision)
        self._count(decision)
        self._act(decision, book, now_ns)
        return decision

    def paper_summary(self) -> dict[str, Any]:
        """Counts and money so far; the open position is marked at the price that would close its first lot.

        `gross_quote` = realised + unrealised, `net_quote` = gross - fees. An order that has not met a book
        yet is counted in `pending_orders`, not lost.
        """
        ledger, mark = self._ledger, self._mark_ticks()
        unit = tick_lot_value(self._instrument)
        held = ledger.position
        return {
            "symbol": self._instrument.symbol,
            "decisions": self._actions.total(),
            "actions": dict(sorted(self._actions.items())),
            "abstentions": dict(sorted(self._abstentions.items())),
            "orders": self._orders,
            "pending_orders": len(self._broker.pending),
            "fills": ledger.fill_count,
            "cancelled_lots": self._cancelled_lots,
            "refusals": dict(sorted(self._refusals.items())),
            "turnover_quote": float(ledger.turnover * unit),
            "realised_quote": float(ledger.realised * unit),
            "unrealised_quote": float(ledger.unrealised(mark) * unit),
            "gross_quote": float(ledger.gross_quote(mark)),
            "fees_quote": float(ledger.fees_quote),
            "net_quote": float(ledger.net_quote(mark)),
            "starting_equity_quote": float(self._settings.starting_equity_quote),
            "taker_fee_bps": float(self._settings.taker_fee.bps),
            "latency_ms": self._settings.latency_ns / 1e6,
            "position_lots": held.lots,
            "position_quantity": self._instrument.quantity.to_float(held.lots),
            "mark_price": self._instrument.price.to_float(mark) if self._last_book else None,
            "halted": self._halted,
            "audit_records": self._audit.next_sequence,
            "audit_head": self._audit.head,
        }

    def _wish(self, judgement: Judgement, now_ns: int) -> _Wish:
        if self._broker.pending:
            return _Wish(Action.WAIT, "order_pending")
        held, signal = self._ledger.position, judgement.signal
        if held.lots == 0:
            return self._wish_to_enter(judgement)
        if now_ns - held.opened_ns >= self._settings.holding_ns:
            return _Wish(Action.EXIT, "holding_horizon", 0)
        if signal.side is not None and signal.side.sign * held.lots < 0:
            return _Wish(Action.EXIT, "opposite_signal", 0)
        return _Wish(Action.HOLD, judgement.fault or signal.reason)

    def _wish_to_enter(self, judgement: Judgement) -> _Wish:
        signal = judgement.signal
        if signal.side is None:
            return _Wish(Action.ABSTAIN, judgement.fault or signal.reason)
        lots = size_lots(self._settings.sizing, self._instrument, self._equity_quote(), self._mark_ticks())
        if lots == 0:
            return _Wish(Action.ABSTAIN, "size_below_one_lot")
        return _Wish(Action.ENTER, signal.reason, signal.side.sign * lots)

    def _target(self, wish: _Wish, now_ns: int) -> TargetPosition | None:
        if wish.target_lots is None:
            return None
        return TargetPosition(self._instrument.symbol, now_ns, wish.target_lots)

    def _order(self, wish: _Wish, sequence: int, now_ns: int) -> OrderRequest | None:
        if wish.target_lots is None:
            return None
        change = wish.target_lots - self._ledger.position.lots
        return OrderRequest(
            client_id=f"{self._settings.instance}-{sequence}",
            symbol=self._instrument.symbol,
            decided_ns=now_ns,
            side=Side.BUY if change > 0 else Side.SELL,
            quantity_lots=abs(change),
        )

    def _state(
        self, signal: Signal, bar_close_ns: int, known_ns: int, book: TopOfBook | None, now_ns: int
    ) -> RiskState:
        pending = self._broker.pending
        return RiskState(
            instrument=self._instrument,
            position_lots=self._ledger.position.lots,
            pending_buy_lots=sum(order.quantity_lots for order in pending if order.side is Side.BUY),
            pending_sell_lots=sum(order.quantity_lots for order in pending if order.side is Side.SELL),
            confidence=signal.confidence,
            book=book,
            bar_close_ns=bar_close_ns,
            known_ns=known_ns,
            now_ns=now_ns,
            halted=self._halted,
        )

    def _count(self, decision: Decision) -> None:
        self._actions[decision.action] += 1
        if decision.action is Action.ABSTAIN:
            self._abstentions[decision.reason] += 1
        if decision.rejected is not None:
            self._refusals[decision.rejected.reason] += 1

    def _act(self, decision: Decision, book: TopOfBook | None, now_ns: int) -> None:
        rejected, order = decision.rejected, decision.order
        if rejected is not None and rejected.halts and not self._halted:
            self._halted = True
            self._audit.append("halted", rejected)
        if rejected is None and order is not None:
            self._orders += 1
            self._broker.submit(order, now_ns)
            self.on_book(book, now_ns)

    def _mark_ticks(self) -> int:
        """The price that closes the open position; the ask where there is none, 0 before the first book."""
        return 0 if self._last_book is None else self._last_book.closing_ticks(self._ledger.position.lots)

    def _equity_quote(self) -> Fraction:
        return Fraction(self._settings.starting_equity_quote) + self._ledger.net_quote(self._mark_ticks())
