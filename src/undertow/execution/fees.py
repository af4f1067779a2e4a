"""Fees of taker orders, exact and rounded against us."""

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from math import ceil

from undertow.market.instruments import Instrument
from undertow.market.orders import tick_lot_value

__all__ = ["FEE_UNIT", "TakerFee"]

FEE_UNIT = 10**8
"""Fees are whole counts of 10⁻⁸ quote units, the finest amount that the exchange books."""


@dataclass(frozen=True, slots=True)
class TakerFee:
    """A fee in basis points of notional; not negative."""

    bps: Decimal

    def __post_init__(self) -> None:
        if not (self.bps.is_finite() and self.bps >= 0):
            raise ValueError(f"taker fee {self.bps} bps must be a number that is not negative")

    def fee_e8(self, instrument: Instrument, notional: int) -> int:
        """Fee [10⁻⁸ quote units] on a notional [ticks·lots] ≥ 0, rounded up to the next whole unit.

        >>> TakerFee(Decimal(5)).fee_e8(Instrument("binance", "BTCUSDT", "0.1", "0.001"), 600_000 * 2)
        6000000
        """
        return ceil(notional * tick_lot_value(instrument) * Fraction(self.bps) / 10_000 * FEE_UNIT)
