"""What every broker offers: paper, backtest and live differ behind it, nothing in front of it does."""

from dataclasses import dataclass
from typing import Protocol

from undertow.market.orders import Fill, OrderRequest, TopOfBook

__all__ = ["Broker", "Execution"]


@dataclass(frozen=True, slots=True)
class Execution:
    """The end of a market order: its fills, and the lots that found no liquidity and were cancelled."""

    order: OrderRequest
    fills: tuple[Fill, ...]
    cancelled_lots: int


class Broker(Protocol):
    """Takes orders that the gate has approved and reports how they ended."""

    @property
    def pending(self) -> tuple[OrderRequest, ...]:
        """Orders sent and not yet ended, oldest first."""
        ...

    def submit(self, order: OrderRequest, now_ns: int) -> None:
        """Send an order. Raises ValueError for a client id that was used before."""
        ...

    def on_book(self, book: TopOfBook | None, now_ns: int) -> tuple[Execution, ...]:
        """Tell the book in force at `now_ns`; returns the orders that ended by it."""
        ...
