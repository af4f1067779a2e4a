"""Where a venue is, by the name that the user gives."""

from collections.abc import Mapping

from undertow.errors import InputError
from undertow.venues.binance import endpoints as binance
from undertow.venues.binance.instruments import DEFAULT_SYMBOLS
from undertow.venues.bybit import endpoints as bybit
from undertow.venues.bybit.instruments import DEFAULT_SYMBOLS as BYBIT_SYMBOLS

__all__ = ["market_of", "refuse_options"]


def market_of(venue: str, url: str | None) -> tuple[binance.Endpoints | bybit.Endpoints, tuple[str, ...]]:
    """Where a venue is, and the symbols that are collected where the user names none.

    Raises InputError for an unknown venue or a URL that cannot be used.
    """
    if venue in bybit.VENUES:
        return bybit.endpoints_for(venue, url), BYBIT_SYMBOLS
    if venue not in binance.VENUES:
        known = ", ".join((*binance.VENUES, *bybit.VENUES))
        raise InputError(f"venue {venue!r} is unknown; choose one of {known}")
    return binance.endpoints_for(venue, url), DEFAULT_SYMBOLS


def refuse_options(venue: str, given: Mapping[str, object]) -> None:
    """Raises InputError where an option was given that only a market of Binance has so far."""
    for name, value in given.items():
        if value:
            raise InputError(f"--{name} is not available for {venue}; leave it out")
