"""Orders and what becomes of them. Prices are whole ticks, quantities whole lots, times int64 ns.

A door's type each: strategy says `TargetPosition`, risk lets an `OrderRequest` pass or answers `Rejected`,
execution answers `Fill`, the ledger keeps the `Position`. `TopOfBook` is the book they all look at.
"""

from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction

import msgspec
import numpy as np
from numpy.typing import NDArray

from undertow.market.instruments import Instrument

__all__ = [
    "Fill",
    "OrderRequest",
    "Position",
    "Rejected",
    "Side",
    "TargetPosition",
    "TopOfBook",
    "tick_lot_value",
]

Integers = NDArray[np.int64]


def tick_lot_value(instrument: Instrument) -> Fraction:
    """Worth of one tick on one lot [quote units], exact: what turns ticks·lots into money."""
    price, quantity = instrument.price, instrument.quantity
    return Fraction(price.units * quantity.units, price.divisor * quantity.divisor)


class Side(StrEnum):
    """Buy opens or adds to a long position, sell a short one."""

    BUY = "buy"
    SELL = "sell"

    @property
    def sign(self) -> int:
        """+1 for a buy, -1 for a sell."""
        return 1 if self is Side.BUY else -1

    @property
    def opposite(self) -> "Side":
        """The other side."""
        return Side.SELL if self is Side.BUY else Side.BUY


@dataclass(frozen=True, slots=True)
class TopOfBook:
    """The displayed book down to some depth, best level first; a level with 0 lots does not exist.

    `receive_ns` is the local clock when the newest update arrived, `event_ns` the exchange's time of it.
    Arrays are int64 of shape (levels,), ticks and lots of one side equally long.
    """

    event_ns: int
    receive_ns: int
    bid_ticks: Integers
    bid_lots: Integers
    ask_ticks: Integers
    ask_lots: Integers

    @property
    def fault(self) -> str | None:
        """Why nothing can be traded against this book, or None: `one_sided`, or `crossed`, also if locked."""
        if not (_has_best(self.bid_lots) and _has_best(self.ask_lots)):
            return "one_sided"
        return "crossed" if self.bid_ticks[0] >= self.ask_ticks[0] else None

    @property
    def best_bid_ticks(self) -> int:
        """Best bid; meaningful only where `fault` is None."""
        return int(self.bid_ticks[0])

    @property
    def best_ask_ticks(self) -> int:
        """Best ask; meaningful only where `fault` is None."""
        return int(self.ask_ticks[0])

    def closing_ticks(self, position_lots: int) -> int:
        """The best price at which a position could be closed: the bid for a long, the ask for a short."""
        return self.best_bid_ticks if position_lots > 0 else self.best_ask_ticks


def _has_best(lots: Integers) -> bool:
    return len(lots) > 0 and bool(lots[0] > 0)


class TargetPosition(msgspec.Struct, frozen=True, tag="target_position"):
    """The position that the strategy wants [signed lots; positive = long]."""

    symbol: str
    decided_ns: int
    lots: int


class OrderRequest(msgspec.Struct, frozen=True, tag="order_request"):
    """A market order for `quantity_lots` > 0. `client_id` is unique and known before the order leaves."""

    client_id: str
    symbol: str
    decided_ns: int
    side: Side
    quantity_lots: int

    @property
    def signed_lots(self) -> int:
        """Change of position if filled whole."""
        return self.side.sign * self.quantity_lots


class Rejected(msgspec.Struct, frozen=True, tag="rejected"):
    """A refusal. `halts` true: the refusal came from a fault in the gate itself, and trading must stop."""

    client_id: str
    reason: str
    detail: str
    halts: bool = False


class Fill(msgspec.Struct, frozen=True, tag="fill"):
    """Part of an order executed at one price. `fee_e8` is the fee paid [10⁻⁸ quote units]."""

    fill_id: str
    client_id: str
    symbol: str
    fill_ns: int
    book_event_ns: int
    side: Side
    price_ticks: int
    quantity_lots: int
    fee_e8: int

    @property
    def signed_lots(self) -> int:
        """Change of position."""
        return self.side.sign * self.quantity_lots

    @property
    def notional(self) -> int:
        """Price · quantity [ticks·lots]."""
        return self.price_ticks * self.quantity_lots


class Position(msgspec.Struct, frozen=True, tag="position"):
    """What is held: signed lots, their cost [ticks·lots, signed as they are], and since when (0 = flat)."""

    symbol: str
    lots: int
    cost: int
    opened_ns: int
