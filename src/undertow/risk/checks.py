"""Risk checks: one function each. A check answers None to let an order pass, or why it must not.

A value equal to its limit passes. Positions are judged at their worst: as if every order still under way
on the same side were filled whole. A check marked `guards_reductions=False` is not asked about an order
that can only bring the position nearer to flat: bad data must stop new risk, never the way out.
"""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from math import isfinite

from undertow.market.instruments import Instrument
from undertow.market.orders import OrderRequest, TopOfBook, tick_lot_value

__all__ = [
    "CHECKS",
    "Check",
    "RiskLimits",
    "RiskState",
    "book_age",
    "book_validity",
    "feature_age",
    "finite_numbers",
    "maximum_notional",
    "maximum_position",
    "not_halted",
    "only_reduces",
    "worst_position_lots",
]


@dataclass(frozen=True, slots=True)
class RiskLimits:
    """What may not be exceeded. Every limit is required; none is assumed."""

    max_position_lots: int
    max_notional_quote: Decimal
    """Largest worth of the position [quote units] at the best ask."""
    max_book_age_ns: int
    max_feature_age_ns: int
    """Largest age of the bar's close and of the time at which its row became known."""
    max_clock_skew_ns: int
    """How far the exchange's time of the book may lie ahead of our clock."""


@dataclass(frozen=True, slots=True)
class RiskState:
    """All that the gate looks at beside the order."""

    instrument: Instrument
    position_lots: int
    pending_buy_lots: int
    pending_sell_lots: int
    confidence: float
    book: TopOfBook | None
    bar_close_ns: int
    known_ns: int
    now_ns: int
    halted: bool = False


@dataclass(frozen=True, slots=True)
class Check:
    """A reason code and the function that refuses with it."""

    reason: str
    refuse: Callable[[OrderRequest, RiskState, RiskLimits], str | None]
    guards_reductions: bool


def worst_position_lots(order: OrderRequest, state: RiskState) -> int:
    """Signed position if this order and all pending ones on its side are filled and none on the other."""
    pending = state.pending_buy_lots if order.side.sign > 0 else -state.pending_sell_lots
    return state.position_lots + pending + order.signed_lots


def only_reduces(order: OrderRequest, state: RiskState) -> bool:
    """Whether the order can, at worst, only bring the position nearer to flat and not through it."""
    worst = worst_position_lots(order, state)
    opposes = order.side.sign * state.position_lots < 0
    return opposes and worst * state.position_lots >= 0


def finite_numbers(order: OrderRequest, state: RiskState, limits: RiskLimits) -> str | None:
    """Quantities and times are whole numbers, the quantity positive, the confidence a number in [0, 1]."""
    counts = (
        order.quantity_lots,
        state.position_lots,
        state.pending_buy_lots,
        state.pending_sell_lots,
        state.bar_close_ns,
        state.known_ns,
        state.now_ns,
        limits.max_position_lots,
    )
    if any(type(count) is not int for count in counts):
        return f"not a whole number among {counts}"
    if order.quantity_lots <= 0:
        return f"quantity of {order.quantity_lots} lots is not positive"
    if not (isfinite(state.confidence) and 0.0 <= state.confidence <= 1.0):
        return f"confidence {state.confidence} is no number in [0, 1]"
    if not limits.max_notional_quote.is_finite():
        return f"notional limit {limits.max_notional_quote} is not finite"
    return None


def not_halted(order: OrderRequest, state: RiskState, limits: RiskLimits) -> str | None:
    """Trading has not been halted by a fault."""
    del order, limits
    return "trading is halted; it may only reduce" if state.halted else None


def book_validity(order: OrderRequest, state: RiskState, limits: RiskLimits) -> str | None:
    """There is a book with both sides that do not cross."""
    del order, limits
    return "no book is known" if state.book is None else state.book.fault


def book_age(order: OrderRequest, state: RiskState, limits: RiskLimits) -> str | None:
    """The book is fresh by the exchange's clock and by ours, and not from the future."""
    del order
    if state.book is None:
        return "no book is known"
    return _age(
        "book", state.now_ns - state.book.event_ns, limits.max_book_age_ns, limits.max_clock_skew_ns
    ) or _age("book receipt", state.now_ns - state.book.receive_ns, limits.max_book_age_ns, 0)


def feature_age(order: OrderRequest, state: RiskState, limits: RiskLimits) -> str | None:
    """The feature row is fresh by its bar's close and by when it became known, and already known."""
    del order
    return _age("bar", state.now_ns - state.bar_close_ns, limits.max_feature_age_ns, 0) or _age(
        "feature row", state.now_ns - state.known_ns, limits.max_feature_age_ns, 0
    )


def maximum_position(order: OrderRequest, state: RiskState, limits: RiskLimits) -> str | None:
    """The worst position stays within the limit."""
    worst = worst_position_lots(order, state)
    if abs(worst) <= limits.max_position_lots:
        return None
    return f"position could reach {worst} lots, limit {limits.max_position_lots}"


def maximum_notional(order: OrderRequest, state: RiskState, limits: RiskLimits) -> str | None:
    """The worst position, valued at the best ask, stays within the limit."""
    if state.book is None or state.book.fault is not None:
        return "no valid book to value the position with"
    worst = abs(worst_position_lots(order, state))
    notional = worst * state.book.best_ask_ticks * tick_lot_value(state.instrument)
    if notional <= Fraction(limits.max_notional_quote):
        return None
    return f"position could be worth {float(notional):.8g}, limit {limits.max_notional_quote}"


def _age(what: str, age_ns: int, limit_ns: int, skew_ns: int) -> str | None:
    if age_ns > limit_ns:
        return f"{what} is {age_ns / 1e6:.3f} ms old, limit {limit_ns / 1e6:.3f} ms"
    if age_ns < -skew_ns:
        return f"{what} lies {-age_ns / 1e6:.3f} ms in the future, allowed {skew_ns / 1e6:.3f} ms"
    return None


CHECKS: tuple[Check, ...] = (
    Check("invalid_number", finite_numbers, guards_reductions=True),
    Check("halted", not_halted, guards_reductions=False),
    Check("invalid_book", book_validity, guards_reductions=False),
    Check("stale_book", book_age, guards_reductions=False),
    Check("stale_features", feature_age, guards_reductions=False),
    Check("max_position", maximum_position, guards_reductions=False),
    Check("max_notional", maximum_notional, guards_reductions=False),
)
"""Every check, in the order asked; the first refusal stands."""
