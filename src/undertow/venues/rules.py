"""How the streams of a venue prove that they are whole, by the venue's name. Values only."""

from dataclasses import dataclass

from undertow.venues.binance import sync

__all__ = ["VenueRules", "rules_of"]


@dataclass(frozen=True, slots=True)
class VenueRules:
    """What the fold must know of a venue."""

    book_rule: int = sync.USDM
    """How updates of the book follow one another: a rule of `venues.binance.sync`."""
    has_trade_chain: bool = True
    """Each trade's id is one more than that of the trade before; else only the connection proves a stream."""
    flow: str = "aggtrades"
    """Table that flow features read where the user does not say."""


_USUAL = VenueRules()
_LINEAR = VenueRules(book_rule=sync.SPOT, has_trade_chain=False, flow="trades")
_RULES = {
    "binance-spot": VenueRules(book_rule=sync.SPOT),
    "bybit-linear": _LINEAR,
    "sim-bybit": _LINEAR,
}


def rules_of(venue: str) -> VenueRules:
    """The rules of a venue; those of Binance USD-M for a name that is not listed.

    >>> rules_of("bybit-linear").flow
    'trades'
    """
    return _RULES.get(venue, _USUAL)
