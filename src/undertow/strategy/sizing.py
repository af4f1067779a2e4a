"""How large a position to want. Whole lots, always rounded down."""

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from math import floor

from undertow.market.instruments import Instrument
from undertow.market.orders import tick_lot_value

__all__ = ["FixedFraction", "FixedLots", "Sizing", "size_lots"]


@dataclass(frozen=True, slots=True)
class FixedLots:
    """The same number of lots every time."""

    lots: int

    def __post_init__(self) -> None:
        if self.lots < 0:
            raise ValueError("fixed size must not be negative")


@dataclass(frozen=True, slots=True)
class FixedFraction:
    """A fixed share of equity, in (0, 1], put into the position."""

    share: Decimal

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise ValueError("share of equity must lie in (0, 1]: 0.05 is 5 %")


Sizing = FixedLots | FixedFraction


def size_lots(sizing: Sizing, instrument: Instrument, equity_quote: Fraction, price_ticks: int) -> int:
    """Lots of a new position at a price; 0 where equity is used up or buys less than a lot."""
    if isinstance(sizing, FixedLots):
        return sizing.lots
    lot_value = price_ticks * tick_lot_value(instrument)
    if equity_quote <= 0 or lot_value <= 0:
        return 0
    return floor(Fraction(sizing.share) * equity_quote / lot_value)
