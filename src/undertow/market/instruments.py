"""What is traded: a symbol at a venue, with its tick and lot as exact decimals."""

from decimal import Decimal
from math import gcd

import msgspec
import numpy as np
from numpy.typing import NDArray

__all__ = ["Instrument", "Scale", "common_step"]


class Scale(msgspec.Struct, frozen=True):
    """A decimal step `units / 10**digits`, such as 0.5 = 5 / 10**1.

    Values on the step are held as whole counts of it; going back is one correctly rounded division,
    so `to_float(n)` is the double nearest to the exact decimal.
    """

    units: int
    digits: int

    @classmethod
    def of(cls, step: str) -> "Scale":
        """The scale of a positive decimal string.

        >>> Scale.of("0.10")
        Scale(units=1, digits=1)
        """
        value = Decimal(step).normalize()
        if not value.is_finite() or value <= 0:
            raise ValueError(f"step {step!r} is not a positive decimal")
        digits = max(0, -int(value.as_tuple().exponent))
        return cls(units=int(value.scaleb(digits)), digits=digits)

    @property
    def divisor(self) -> int:
        """10**digits."""
        return int(10**self.digits)

    def to_float(self, count: int) -> float:
        """The value of `count` steps."""
        return count * self.units / self.divisor

    def to_floats(self, counts: NDArray[np.int64]) -> NDArray[np.float64]:
        """The values of many counts."""
        values: NDArray[np.float64] = counts * self.units / self.divisor
        return values

    def to_counts(self, values: NDArray[np.float64]) -> NDArray[np.int64]:
        """Whole counts of values that lie on the step; inverse of `to_floats`."""
        return np.rint(values * (self.divisor / self.units)).astype(np.int64)


def common_step(first: str, second: str) -> str:
    """The largest decimal step that both steps are multiples of.

    >>> common_step("0.10", "0.01"), common_step("0.5", "0.2"), common_step("0.10", "0.10")
    ('0.01', '0.1', '0.10')
    """
    if Decimal(first) == Decimal(second):
        return first
    a, b = Scale.of(first), Scale.of(second)
    digits = max(a.digits, b.digits)
    units = gcd(a.units * 10 ** (digits - a.digits), b.units * 10 ** (digits - b.digits))
    return format(Decimal(units).scaleb(-digits), "f")


class Instrument(msgspec.Struct, frozen=True):
    """A tradable symbol. `tick` and `lot` are decimal strings as the exchange states them."""

    venue: str
    symbol: str
    tick: str
    lot: str

    @property
    def price(self) -> Scale:
        """Price step: ticks to price and back."""
        return Scale.of(self.tick)

    def finer(self, other: "Instrument") -> "Instrument":
        """The same symbol with steps on which the prices and quantities of both lie."""
        return Instrument(
            self.venue, self.symbol, common_step(self.tick, other.tick), common_step(self.lot, other.lot)
        )

    @property
    def quantity(self) -> Scale:
        """Quantity step: lots to quantity [base units] and back."""
        return Scale.of(self.lot)
