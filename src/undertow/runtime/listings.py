"""What the exchange states of the instruments under collection, and what of it has changed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from undertow.venues.binance.instruments import ExchangeInfo, Listing, weight_limit

__all__ = ["ListingChange", "changes", "new_listings"]


@dataclass(frozen=True, slots=True)
class ListingChange:
    """A statement that is another than before."""

    symbol: str
    change: str
    """tick, lot, status, funding interval, or listing where the symbol is gone or has come."""
    before: str
    after: str

    def __str__(self) -> str:
        """For people."""
        return f"{self.symbol}: the exchange states another {self.change}: {self.after}, before {self.before}"


def changes(before: ExchangeInfo, after: ExchangeInfo, symbols: Sequence[str]) -> Iterator[ListingChange]:
    """What has changed of the symbols, and of the request limit (under the first symbol)."""
    known = {listing.symbol: listing for listing in before.symbols}
    now = {listing.symbol: listing for listing in after.symbols}
    for symbol in symbols:
        yield from _of_symbol(symbol, known.get(symbol), now.get(symbol))
    limits = weight_limit(before), weight_limit(after)
    if limits[0] != limits[1]:
        yield ListingChange(symbols[0], "weight limit", str(limits[0]), str(limits[1]))


def new_listings(before: ExchangeInfo, after: ExchangeInfo) -> Iterator[str]:
    """Symbols that trade now and did not before."""
    known = {listing.symbol for listing in before.symbols if listing.status == "TRADING"}
    for listing in after.symbols:
        if listing.status == "TRADING" and listing.symbol not in known:
            yield listing.symbol


def _of_symbol(symbol: str, before: Listing | None, after: Listing | None) -> Iterator[ListingChange]:
    if before is None or after is None:
        if before is not after:
            stated = ("absent" if listing is None else listing.status for listing in (before, after))
            yield ListingChange(symbol, "listing", *stated)
        return
    pairs = {
        "tick": (_step(before, "PRICE_FILTER"), _step(after, "PRICE_FILTER")),
        "lot": (_step(before, "LOT_SIZE"), _step(after, "LOT_SIZE")),
        "status": (before.status, after.status),
    }
    for change, (old, new) in pairs.items():
        if old != new:
            yield ListingChange(symbol, change, old, new)


def _step(listing: Listing, kind: str) -> str:
    found = next((rule for rule in listing.filters if rule.filter_type == kind), None)
    if found is None:
        return ""
    return (found.tick_size if kind == "PRICE_FILTER" else found.step_size) or ""
