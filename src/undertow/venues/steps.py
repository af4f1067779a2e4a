"""Ticks and lots of well-known symbols, for recordings that came without the exchange's own statement."""

from undertow.market.instruments import Instrument
from undertow.venues.binance import instruments as binance
from undertow.venues.bybit import endpoints as bybit_endpoints
from undertow.venues.bybit import instruments as bybit

__all__ = ["known_instrument"]


def known_instrument(venue: str, symbol: str) -> Instrument | None:
    """An instrument of any venue from our tables, or None.

    Steps change over the years: where the exchange's own answer of the time exists, it is right.

    >>> known_instrument("bybit-linear", "SOLUSDT").lot
    '0.1'
    """
    if venue in bybit_endpoints.VENUES:
        return bybit.known_instrument(venue, symbol)
    return binance.known_instrument(venue, symbol)
