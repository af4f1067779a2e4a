"""The gate before every order: a pure function that passes an order or refuses it, and fails closed."""

from collections.abc import Sequence

import msgspec

from undertow.market.orders import OrderRequest, Rejected
from undertow.risk.checks import CHECKS, Check, RiskLimits, RiskState, only_reduces

__all__ = ["FAULT", "Approved", "review"]

FAULT = "check_failed"
"""Reason code of a refusal because a check itself broke; it halts trading."""


class Approved(msgspec.Struct, frozen=True, tag="approved"):
    """The order may go. `reduces` true: it can only bring the position nearer to flat."""

    order: OrderRequest
    reduces: bool


def review(
    order: OrderRequest, state: RiskState, limits: RiskLimits, checks: Sequence[Check] = CHECKS
) -> Approved | Rejected:
    """Ask every check in turn; the first that refuses gives the reason.

    Raises nothing: an exception in a check is a refusal with reason `FAULT` and `halts` set, because
    an order that could not be judged must not go.
    """
    reason = FAULT
    try:
        reduces = only_reduces(order, state)
        for check in checks:
            if reduces and not check.guards_reductions:
                continue
            reason = check.reason
            detail = check.refuse(order, state, limits)
            if detail is not None:
                return Rejected(order.client_id, check.reason, detail)
    except Exception as error:  # noqa: BLE001 - the gate fails closed whatever breaks inside it
        return Rejected(order.client_id, FAULT, f"{reason}: {error!r}", halts=True)
    return Approved(order, reduces)
