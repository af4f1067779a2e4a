"""Names, steps and addresses of the market."""

import pytest

from undertow.errors import InputError
from undertow.market.instruments import Instrument
from undertow.venues.bybit.endpoints import endpoints_for, topic_names, websocket_url
from undertow.venues.bybit.instruments import (
    DEFAULT_SYMBOLS,
    find_instrument,
    known_instrument,
    parse_instruments,
    top_symbols,
)

PAGE = (
    b'{"retCode":0,"retMsg":"OK","result":{"category":"linear","list":[{"symbol":"BTCUSDT","contractType":'
    b'"LinearPerpetual","status":"Trading","baseCoin":"BTC","quoteCoin":"USDT","launchTime":"1585526400000",'
    b'"deliveryTime":"0","deliveryFeeRate":"","priceScale":"2","leverageFilter":{"minLeverage":"1"},'
    b'"priceFilter":{"minPrice":"0.10","maxPrice":"1999999.80","tickSize":"0.10"},"lotSizeFilter":'
    b'{"maxOrderQty":"1190.000","minOrderQty":"0.001","qtyStep":"0.001"},"unifiedMarginTrade":true,'
    b'"fundingInterval":480,"settleCoin":"USDT"},{"symbol":"NEWUSDT","status":"PreLaunch","priceFilter":'
    b'{"tickSize":"0.1"},"lotSizeFilter":{"qtyStep":"1"}},{"symbol":"ODDUSDT","status":"Trading",'
    b'"priceFilter":{"tickSize":"0"},"lotSizeFilter":{"qtyStep":"1"}}],"nextPageCursor":""},"time":1}'
)


def test_an_instrument_has_the_steps_that_are_stated() -> None:
    listings = parse_instruments(PAGE).list
    assert find_instrument(listings, "bybit-linear", "BTCUSDT") == Instrument(
        "bybit-linear", "BTCUSDT", "0.10", "0.001"
    )
    assert listings[0].funding_interval == 480


@pytest.mark.parametrize(
    ("symbol", "words"),
    [
        ("BTCUSD", "did you mean BTCUSDT"),
        ("NEWUSDT", "status PreLaunch"),
        ("MATICUSDT", "collect POLUSDT instead"),
        ("ODDUSDT", "no price or quantity step"),
        ("??", "written like BTCUSDT"),
    ],
)
def test_what_cannot_be_collected_is_explained(symbol: str, words: str) -> None:
    with pytest.raises(InputError, match=words.replace("?", r"\?")):
        find_instrument(parse_instruments(PAGE).list, "bybit-linear", symbol)


def test_what_is_no_answer_is_refused() -> None:
    with pytest.raises(InputError, match=r"saved\.json: not an instruments-info answer"):
        parse_instruments(b"[]", "saved.json")
    with pytest.raises(InputError, match="not an answer that names symbols"):
        top_symbols(b"{}", 3)


def test_every_default_symbol_has_known_steps() -> None:
    assert len(DEFAULT_SYMBOLS) == 10
    assert all(known_instrument("bybit-linear", symbol) is not None for symbol in DEFAULT_SYMBOLS)
    assert known_instrument("bybit-linear", "NONEUSDT") is None


def test_addresses() -> None:
    assert websocket_url(endpoints_for(), "public", 1) == "wss://stream.bybit.com/v5/public/linear"
    simulated = endpoints_for("sim-bybit", "http://127.0.0.1:9/")
    assert websocket_url(simulated, "public") == "ws://127.0.0.1:9/v5/public/linear"
    assert simulated.rest == "http://127.0.0.1:9"
    for venue, url in (("sim-bybit", None), ("bybit", None), ("bybit-linear", "ftp://x")):
        with pytest.raises(InputError):
            endpoints_for(venue, url)


def test_topics_of_what_is_polled_are_none() -> None:
    names = topic_names(endpoints_for(), ["BTCUSDT"], ["mark", "open_interest", "liquidations"])
    assert names == {"public": ("tickers.BTCUSDT", "allLiquidation.BTCUSDT")}
    with pytest.raises(InputError, match="cannot be collected"):
        topic_names(endpoints_for(), ["BTCUSDT"], ["options"])
