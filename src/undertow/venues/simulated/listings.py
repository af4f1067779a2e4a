"""What the simulated exchange lists, and the size of things in each market."""

from dataclasses import dataclass

from undertow.errors import InputError
from undertow.market.instruments import Instrument

__all__ = ["LISTINGS", "Listing", "find_listing", "find_listings"]


@dataclass(frozen=True, slots=True)
class Listing:
    """A market. Prices as whole ticks, quantities as whole lots."""

    instrument: Instrument
    start_ticks: int
    """Fair value at the start."""
    jump_ticks: float
    """Mean size of a move of the fair value, at least 1."""
    order_lots: int
    """Smallest usual size of a resting order; sizes follow a power law from there."""
    trade_lots: int
    """Smallest usual size of a market order."""

    @property
    def symbol(self) -> str:
        """Upper case, such as BTCUSDT."""
        return self.instrument.symbol

    @property
    def price_decimals(self) -> int:
        """Decimals of a price on the wire: those of the tick as the exchange writes it."""
        return len(self.instrument.tick.partition(".")[2])

    @property
    def quantity_decimals(self) -> int:
        """Decimals of a quantity on the wire."""
        return len(self.instrument.lot.partition(".")[2])

    @property
    def price_factor(self) -> int:
        """Units of the last decimal of a price in one tick."""
        return int(self.instrument.tick.replace(".", ""))

    @property
    def quantity_factor(self) -> int:
        """Units of the last decimal of a quantity in one lot."""
        return int(self.instrument.lot.replace(".", ""))

    def price(self, ticks: int) -> str:
        """A price as the exchange writes it.

        >>> find_listing("BTCUSDT").price(600001)
        '60000.10'
        """
        return _decimal(ticks * self.price_factor, self.price_decimals)

    def quantity(self, lots: int) -> str:
        """A quantity as the exchange writes it.

        >>> find_listing("BTCUSDT").quantity(42)
        '0.042'
        """
        return _decimal(lots * self.quantity_factor, self.quantity_decimals)

    def amount(self, ticks_times_lots: int) -> str:
        """A quote amount: the sum of price × quantity, in ticks × lots."""
        return _decimal(
            ticks_times_lots * self.price_factor * self.quantity_factor,
            self.price_decimals + self.quantity_decimals,
        )


def _decimal(units: int, decimals: int) -> str:
    if not decimals:
        return str(units)
    whole, part = divmod(units, 10**decimals)
    return f"{whole}.{part:0{decimals}d}"


def _listing(
    symbol: str, tick: str, lot: str, start_ticks: int, jump_ticks: float, order_lots: int, trade_lots: int
) -> Listing:
    instrument = Instrument(venue="sim", symbol=symbol, tick=tick, lot=lot)
    return Listing(instrument, start_ticks, jump_ticks, order_lots, trade_lots)


LISTINGS: dict[str, Listing] = {
    listing.symbol: listing
    for listing in (
        _listing("BTCUSDT", "0.10", "0.001", 600_000, 10.0, 4, 2),
        _listing("ETHUSDT", "0.01", "0.001", 300_000, 6.0, 60, 20),
        _listing("BNBUSDT", "0.010", "0.01", 70_000, 2.0, 10, 3),
        _listing("ADAUSDT", "0.00010", "1", 8_000, 1.0, 120, 40),
        _listing("SOLUSDT", "0.0100", "0.01", 15_000, 1.0, 40, 10),
        _listing("XRPUSDT", "0.0001", "0.1", 25_000, 1.5, 500, 100),
        _listing("DOTUSDT", "0.001", "0.1", 5_000, 1.0, 100, 30),
        _listing("DOGEUSDT", "0.000010", "1", 20_000, 1.5, 700, 200),
        _listing("AVAXUSDT", "0.0010", "1", 30_000, 2.0, 5, 2),
        _listing("POLUSDT", "0.0000100", "1", 50_000, 3.0, 300, 100),
    )
}
"""Symbol → market. Ticks and lots are those of the real exchange."""


def find_listing(symbol: str) -> Listing:
    """The market of a symbol; raises InputError where it is not listed."""
    if symbol not in LISTINGS:
        raise InputError(
            f"the simulated exchange does not list {symbol!r}; choose among {', '.join(LISTINGS)}"
        )
    return LISTINGS[symbol]


def find_listings(symbols: str) -> tuple[Listing, ...]:
    """The markets of a comma-separated list, each once.

    >>> [listing.symbol for listing in find_listings("btcusdt, ETHUSDT")]
    ['BTCUSDT', 'ETHUSDT']
    """
    names = dict.fromkeys(part.strip().upper() for part in symbols.split(",") if part.strip())
    if not names:
        raise InputError("no symbol to simulate; write for example --symbols BTCUSDT,ETHUSDT")
    return tuple(find_listing(name) for name in names)
