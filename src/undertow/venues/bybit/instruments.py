"""Which linear contracts Bybit trades and in which steps: from `instruments-info`, or from a small table."""

import difflib
from collections.abc import Iterable
from decimal import Decimal

import msgspec

from undertow.errors import InputError
from undertow.market.instruments import Instrument

__all__ = [
    "DEFAULT_SYMBOLS",
    "InstrumentsPage",
    "Listing",
    "find_instrument",
    "known_instrument",
    "parse_instruments",
    "top_symbols",
]

_DEFAULT_BASES = ("BTC", "ETH", "BNB", "ADA", "SOL", "XRP", "DOT", "DOGE", "AVAX", "POL")
DEFAULT_SYMBOLS = tuple(f"{base}USDT" for base in _DEFAULT_BASES)

_RENAMED = {"MATICUSDT": "POLUSDT"}


class PriceFilter(msgspec.Struct, frozen=True, rename="camel"):
    """Rules of a price."""

    tick_size: str


class LotSizeFilter(msgspec.Struct, frozen=True, rename="camel"):
    """Rules of a quantity."""

    qty_step: str


class Listing(msgspec.Struct, frozen=True, rename="camel"):
    """One contract. `status` is PreLaunch, Trading, Delivering or Closed; funding intervals are minutes."""

    symbol: str
    status: str
    price_filter: PriceFilter
    lot_size_filter: LotSizeFilter
    contract_type: str = ""
    funding_interval: int = 480


# {"retCode":0,"retMsg":"OK","result":{"category":"linear","list":[{"symbol":"BTCUSDT","contractType":
#  "LinearPerpetual","status":"Trading","baseCoin":"BTC","quoteCoin":"USDT","launchTime":"1585526400000",
#  "deliveryTime":"0","deliveryFeeRate":"","priceScale":"2","leverageFilter":{"minLeverage":"1","maxLeverage":
#  "100.00","leverageStep":"0.01"},"priceFilter":{"minPrice":"0.10","maxPrice":"1999999.80","tickSize":
#  "0.10"},"lotSizeFilter":{"maxOrderQty":"1190.000","minOrderQty":"0.001","qtyStep":"0.001"},
#  "unifiedMarginTrade":true,"fundingInterval":480,"settleCoin":"USDT"}],"nextPageCursor":""},"retExtInfo":{},
#  "time":1707186451514}
class InstrumentsPage(msgspec.Struct, frozen=True, rename="camel"):
    """One page of the answer; `next_page_cursor` is empty or absent on the last."""

    list: tuple[Listing, ...]
    next_page_cursor: str | None = None


class _Answer(msgspec.Struct, frozen=True, rename="camel"):
    ret_code: int
    result: InstrumentsPage


_decoder = msgspec.json.Decoder(_Answer)


def parse_instruments(body: bytes, source: str = "instruments-info") -> InstrumentsPage:
    """Decode an `instruments-info` answer; raises InputError, naming `source`, where it is none."""
    try:
        return _decoder.decode(body).result
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{source}: not an instruments-info answer ({error})") from error


def find_instrument(listings: Iterable[Listing], venue: str, symbol: str) -> Instrument:
    """The instrument of a symbol that can be traded now.

    Raises InputError where the symbol is unknown, renamed, or not trading.
    """
    known = {listing.symbol: listing for listing in listings}
    listing = known.get(symbol)
    if symbol in _RENAMED and (listing is None or listing.status != "Trading"):
        raise InputError(f"{venue}: {symbol} is now {_RENAMED[symbol]}; collect {_RENAMED[symbol]} instead")
    if listing is None:
        near = difflib.get_close_matches(symbol.upper(), known, n=3)
        hint = f"did you mean {', '.join(near)}?" if near else "symbols are written like BTCUSDT"
        raise InputError(f"{venue}: no symbol {symbol}; {hint}")
    if listing.status != "Trading":
        raise InputError(f"{venue}: {symbol} does not trade now (status {listing.status}); leave it out")
    tick, lot = listing.price_filter.tick_size, listing.lot_size_filter.qty_step
    if Decimal(tick) <= 0 or Decimal(lot) <= 0:
        raise InputError(f"{venue}: instruments-info states no price or quantity step for {symbol}")
    return Instrument(venue=venue, symbol=symbol, tick=tick, lot=lot)


class _Ticker(msgspec.Struct, frozen=True):
    symbol: str
    turnover: float = msgspec.field(name="turnover24h", default=0.0)


class _Tickers(msgspec.Struct, frozen=True):
    list: tuple[_Ticker, ...]


class _TickersAnswer(msgspec.Struct, frozen=True):
    result: _Tickers


_tickers_decoder = msgspec.json.Decoder(_TickersAnswer, strict=False)


def top_symbols(body: bytes, count: int, quote: str = "USDT") -> tuple[str, ...]:
    """The symbols of a quote asset with the largest turnover, from the answer of `tickers`.

    Raises InputError where the body is no such answer.

    >>> top_symbols(b'{"result":{"list":[{"symbol":"AUSDT","turnover24h":"1"},'
    ...             b'{"symbol":"BUSDT","turnover24h":"2.5"}]}}', 1)
    ('BUSDT',)
    """
    try:
        tickers = _tickers_decoder.decode(body).result.list
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InputError(f"tickers: not an answer that names symbols and turnover ({error})") from error
    largest = sorted((t for t in tickers if t.symbol.endswith(quote)), key=lambda t: -t.turnover)
    return tuple(ticker.symbol for ticker in largest[:count])


_KNOWN = {
    "BTCUSDT": ("0.10", "0.001"),
    "ETHUSDT": ("0.01", "0.01"),
    "BNBUSDT": ("0.10", "0.01"),
    "ADAUSDT": ("0.0001", "1"),
    "SOLUSDT": ("0.010", "0.1"),
    "XRPUSDT": ("0.0001", "0.1"),
    "DOTUSDT": ("0.0001", "0.1"),
    "DOGEUSDT": ("0.00001", "1"),
    "AVAXUSDT": ("0.001", "0.1"),
    "POLUSDT": ("0.0001", "1"),
}


def known_instrument(venue: str, symbol: str) -> Instrument | None:
    """An instrument from the table, for recordings that came without `instruments-info`; else None.

    Steps change over the years: where an answer of the time exists, it is right and this is not.

    >>> known_instrument("bybit-linear", "BTCUSDT").tick
    '0.10'
    """
    steps = _KNOWN.get(symbol)
    return None if steps is None else Instrument(venue, symbol, *steps)
