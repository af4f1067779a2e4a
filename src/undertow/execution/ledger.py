"""The ledger: position, cash and profit from fills alone, in whole ticks·lots; nothing is ever rounded.

Lots are closed first in, first out, which keeps realised profit whole where an average price would not.
At any mark price: cash + position · mark = realised + unrealised, and equity = that - fees.
"""

from dataclasses import dataclass
from fractions import Fraction

from undertow.execution.fees import FEE_UNIT
from undertow.market.instruments import Instrument
from undertow.market.orders import Fill, Position, tick_lot_value

__all__ = ["Ledger", "OpenLots"]


@dataclass(frozen=True, slots=True)
class OpenLots:
    """Lots still open from one fill: entry price [ticks], signed lots, time of the fill."""

    price_ticks: int
    lots: int
    opened_ns: int


@dataclass(frozen=True, slots=True)
class Ledger:
    """State after some fills; `after` gives the next. Money in ticks·lots, fees in 10⁻⁸ quote units."""

    instrument: Instrument
    open_lots: tuple[OpenLots, ...] = ()
    cash: int = 0
    """Money in from sells less money out for buys."""
    realised: int = 0
    fees_e8: int = 0
    turnover: int = 0
    """Sum of notionals."""
    fill_count: int = 0

    @property
    def position(self) -> Position:
        """What is held; opened when the oldest open lots were filled."""
        lots = sum(entry.lots for entry in self.open_lots)
        cost = sum(entry.lots * entry.price_ticks for entry in self.open_lots)
        opened_ns = self.open_lots[0].opened_ns if self.open_lots else 0
        return Position(self.instrument.symbol, lots, cost, opened_ns)

    def unrealised(self, mark_ticks: int) -> int:
        """Profit of the open position at a mark price [ticks·lots]."""
        held = self.position
        return held.lots * mark_ticks - held.cost

    def gross_quote(self, mark_ticks: int) -> Fraction:
        """Profit before fees at a mark price [quote units], exact."""
        return (self.realised + self.unrealised(mark_ticks)) * tick_lot_value(self.instrument)

    @property
    def fees_quote(self) -> Fraction:
        """Fees paid [quote units], exact."""
        return Fraction(self.fees_e8, FEE_UNIT)

    def net_quote(self, mark_ticks: int) -> Fraction:
        """Profit after fees at a mark price [quote units], exact."""
        return self.gross_quote(mark_ticks) - self.fees_quote

    def after(self, fill: Fill) -> "Ledger":
        """The ledger with one more fill. Raises ValueError for another symbol's fill."""
        if fill.symbol != self.instrument.symbol:
            raise ValueError(f"fill of {fill.symbol} in the ledger of {self.instrument.symbol}")
        open_lots, realised = _match(self.open_lots, fill)
        return Ledger(
            instrument=self.instrument,
            open_lots=open_lots,
            cash=self.cash - fill.side.sign * fill.notional,
            realised=self.realised + realised,
            fees_e8=self.fees_e8 + fill.fee_e8,
            turnover=self.turnover + fill.notional,
            fill_count=self.fill_count + 1,
        )


def _match(open_lots: tuple[OpenLots, ...], fill: Fill) -> tuple[tuple[OpenLots, ...], int]:
    """Close the oldest lots of the other sign; what is left of the fill opens new ones."""
    sign, left, realised = fill.side.sign, fill.quantity_lots, 0
    rest = list(open_lots)
    while left and rest and rest[0].lots * sign < 0:
        oldest = rest[0]
        closed = min(left, abs(oldest.lots))
        realised += -sign * closed * (fill.price_ticks - oldest.price_ticks)
        left -= closed
        remaining = oldest.lots + sign * closed
        rest[:1] = [OpenLots(oldest.price_ticks, remaining, oldest.opened_ns)] if remaining else []
    if left:
        rest.append(OpenLots(fill.price_ticks, sign * left, fill.fill_ns))
    return tuple(rest), realised
