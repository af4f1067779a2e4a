"""Samples of a book as a peer would hold them: floats, best level first, and what passed between samples."""

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from undertow.market.columns import BookColumns
from undertow.market.instruments import Instrument

__all__ = ["SampledBooks", "as_floats"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class SampledBooks:
    """n samples, two a bar; prices in the quote currency, quantities in the base currency."""

    bid_prices: Floats
    """(n, 20), and so on."""
    bid_volumes: Floats
    ask_prices: Floats
    ask_volumes: Floats
    spread_integral: Floats
    """(n,) ∫ s dt since the sample before [quote · µs], then ∫ s² dt, and the time that they cover [µs]."""
    spread_square_integral: Floats
    spread_time: Floats
    ofi_1: Floats
    """(n,) order-flow imbalance since the sample before, at the best level and summed over ten."""
    ofi_10: Floats

    def first(self, count: int) -> "SampledBooks":
        """The first samples."""
        return SampledBooks(*(getattr(self, field.name)[:count] for field in fields(self)))


def as_floats(samples: BookColumns, instrument: Instrument) -> SampledBooks:
    """Ticks and lots as floats."""
    price, quantity = instrument.price, instrument.quantity
    tick = price.to_float(1)
    return SampledBooks(
        price.to_floats(samples.bid_ticks),
        quantity.to_floats(samples.bid_lots),
        price.to_floats(samples.ask_ticks),
        quantity.to_floats(samples.ask_lots),
        (samples.spread_integral * tick).astype(np.float64),
        (samples.spread_square_integral * tick**2).astype(np.float64),
        samples.spread_time_us.astype(np.float64),
        quantity.to_floats(samples.ofi_1),
        quantity.to_floats(samples.ofi_10),
    )
