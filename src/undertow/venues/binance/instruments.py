"""Which instruments Binance trades and in which steps: from `exchangeInfo`, or from a small table."""

import difflib
from decimal import Decimal
from pathlib import Path

import msgspec

from undertow.errors import InputError
from undertow.market.instruments import Instrument

__all__ = [
    "DEFAULT_SYMBOLS",
    "ExchangeInfo",
    "find_instrument",
    "known_instrument",
    "load_instruments",
    "parse_exchange_info",
    "top_symbols",
    "weight_limit",
]

_DEFAULT_BASES = ("BTC", "ETH", "BNB", "ADA", "SOL", "XRP", "DOT", "DOGE", "AVAX", "POL")
DEFAULT_SYMBOLS = tuple(f"{base}USDT" for base in _DEFAULT_BASES)

_RENAMED = {"MATICUSDT": ("POLUSDT", "2024-09-13")}
"""Symbol → (its successor, the day the successor opened)."""


class Filter(msgspec.Struct, frozen=True, rename="camel"):
    """A trading rule; each type has its own fields, of which we need two."""

    filter_type: str
    tick_size: str | None = None
    step_size: str | None = None


class Listing(msgspec.Struct, frozen=True, rename="camel"):
    """One entry of `symbols`. `contract_type` is empty on spot."""

    symbol: str
    status: str
    filters: tuple[Filter, ...]
    contract_type: str = ""


class RateLimit(msgspec.Struct, frozen=True, rename="camel"):
    """One entry of `rateLimits`."""

    rate_limit_type: str
    interval: str
    interval_num: int
    limit: int


class ExchangeInfo(msgspec.Struct, frozen=True, rename="camel"):
    """What we read of an `exchangeInfo` answer."""

    symbols: tuple[Listing, ...]
    rate_limits: tuple[RateLimit, ...] = ()


_decoder = msgspec.json.Decoder(ExchangeInfo)


def parse_exchange_info(body: bytes, source: str = "exchangeInfo") -> ExchangeInfo:
    """Decode an `exchangeInfo` answer; raises InputError, naming `source`, where it is none."""
    try:
        return _decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{source}: not an exchangeInfo answer ({error})") from error


def find_instrument(info: ExchangeInfo, venue: str, symbol: str) -> Instrument:
    """The instrument of a symbol that can be traded now.

    Raises InputError where the symbol is unknown, renamed, or not trading.
    """
    listing = next((entry for entry in info.symbols if entry.symbol == symbol), None)
    if symbol in _RENAMED and (listing is None or listing.status != "TRADING"):
        successor, since = _RENAMED[symbol]
        raise InputError(f"{venue}: {symbol} is now {successor} (since {since}); collect {successor} instead")
    if listing is None:
        raise InputError(f"{venue}: no symbol {symbol}{_suggestion(info, symbol)}")
    if listing.status != "TRADING":
        raise InputError(f"{venue}: {symbol} does not trade now (status {listing.status}); leave it out")
    return _instrument(listing, venue)


def _suggestion(info: ExchangeInfo, symbol: str) -> str:
    trading = [entry.symbol for entry in info.symbols if entry.status == "TRADING"]
    near = difflib.get_close_matches(symbol.upper(), trading, n=3)
    return f"; did you mean {', '.join(near)}?" if near else "; symbols are written like BTCUSDT"


def _instrument(listing: Listing, venue: str) -> Instrument:
    tick = next((rule.tick_size for rule in listing.filters if rule.filter_type == "PRICE_FILTER"), None)
    lot = next((rule.step_size for rule in listing.filters if rule.filter_type == "LOT_SIZE"), None)
    if tick is None or lot is None or Decimal(tick) <= 0 or Decimal(lot) <= 0:
        raise InputError(f"{venue}: exchangeInfo states no price or quantity step for {listing.symbol}")
    return Instrument(venue=venue, symbol=listing.symbol, tick=tick, lot=_resting_lot(venue, lot))


def _resting_lot(venue: str, lot: str) -> str:
    """The step on which resting quantities lie.

    Spot steps grew tenfold over the years while old orders stayed in the book: with a stated step of 0.00001,
    recorded BTCUSDT books of 2024 hold quantities such as 25.426189.
    """
    return format(Decimal(lot).scaleb(-1), "f") if venue == "binance-spot" else lot


class Ticker(msgspec.Struct, frozen=True, rename="camel"):
    """What we read of a symbol's statistics of 24 hours."""

    symbol: str
    quote_volume: float


_tickers_decoder = msgspec.json.Decoder(list[Ticker], strict=False)


def top_symbols(body: bytes, count: int, quote: str = "USDT") -> tuple[str, ...]:
    """The symbols of a quote asset with the largest turnover, from the answer of `ticker/24hr`.

    Raises InputError where the body is no such answer.

    >>> top_symbols(b'[{"symbol":"AUSDT","quoteVolume":"1"},{"symbol":"BUSDT","quoteVolume":"2"}]', 1)
    ('BUSDT',)
    """
    try:
        tickers = _tickers_decoder.decode(body)
    except msgspec.DecodeError as error:
        raise InputError(f"ticker/24hr: not an answer that names symbols and turnover ({error})") from error
    largest = sorted((t for t in tickers if t.symbol.endswith(quote)), key=lambda t: -t.quote_volume)
    return tuple(ticker.symbol for ticker in largest[:count])


def weight_limit(info: ExchangeInfo) -> int | None:
    """Request weight per minute that the exchange states, or None."""
    for limit in info.rate_limits:
        if limit.rate_limit_type == "REQUEST_WEIGHT" and limit.interval == "MINUTE":
            return limit.limit // limit.interval_num
    return None


def load_instruments(path: Path, venue: str | None = None) -> dict[str, Instrument]:
    """Symbol → instrument of every entry of a saved `exchangeInfo` answer, trading or not.

    Without `venue` it is told by the contract type, which only USD-M has. Entries without steps are left out.
    Raises InputError where the file cannot be read or is no such answer.
    """
    try:
        info = parse_exchange_info(path.read_bytes(), str(path))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    usdm = any(entry.contract_type for entry in info.symbols)
    name = venue or ("binance-usdm" if usdm else "binance-spot")
    found = {}
    for listing in info.symbols:
        try:
            found[listing.symbol] = _instrument(listing, name)
        except InputError:
            continue
    return found


_KNOWN_USDM = {
    "BTCUSDT": ("0.10", "0.001"),
    "ETHUSDT": ("0.01", "0.001"),
    "BNBUSDT": ("0.010", "0.01"),
    "ADAUSDT": ("0.00010", "1"),
    "SOLUSDT": ("0.0100", "0.01"),
    "XRPUSDT": ("0.0001", "0.1"),
    "DOTUSDT": ("0.001", "0.1"),
    "DOGEUSDT": ("0.000010", "1"),
    "AVAXUSDT": ("0.0010", "1"),
    "POLUSDT": ("0.0000100", "1"),
}
_KNOWN_SPOT = {
    "BTCUSDT": ("0.01", "0.000001"),
    "ETHUSDT": ("0.01", "0.00001"),
    "BNBUSDT": ("0.01", "0.0001"),
    "ADAUSDT": ("0.0001", "0.01"),
    "SOLUSDT": ("0.01", "0.0001"),
    "XRPUSDT": ("0.0001", "0.01"),
    "DOTUSDT": ("0.001", "0.001"),
    "DOGEUSDT": ("0.00001", "0.1"),
    "AVAXUSDT": ("0.01", "0.001"),
    "POLUSDT": ("0.0001", "0.01"),
    "ETHBTC": ("0.000001", "0.0001"),
}
"""With resting lots, a tenth of the stated step."""
_KNOWN = {"binance-usdm": _KNOWN_USDM, "binance-spot": _KNOWN_SPOT, "sim": _KNOWN_USDM}


def known_instrument(venue: str, symbol: str) -> Instrument | None:
    """An instrument from the table, for recorded files that came without `exchangeInfo`; else None.

    Steps change over the years: where an `exchangeInfo` of the time exists, it is right and this is not.

    >>> known_instrument("binance-usdm", "BTCUSDT").tick
    '0.10'
    """
    steps = _KNOWN.get(venue, {}).get(symbol)
    return None if steps is None else Instrument(venue=venue, symbol=symbol, tick=steps[0], lot=steps[1])
