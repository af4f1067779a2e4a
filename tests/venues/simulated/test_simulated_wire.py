"""Payloads byte for byte."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from undertow.errors import InputError
from undertow.market.instruments import Instrument
from undertow.venues.simulated.level_text import levels_text, text_format
from undertow.venues.simulated.listings import LISTINGS, Listing, find_listing, find_listings
from undertow.venues.simulated.wire import (
    Aggregate,
    Candle,
    Mark,
    aggregate_trade,
    book_ticker,
    depth_update,
    force_order,
    kline,
    mark_price,
    trade,
)

BTC = find_listing("BTCUSDT")
AGGREGATE = Aggregate(7, 1_000_123, 600_001, 42, 11, 13, 1, 1)


def test_depth_update() -> None:
    assert depth_update("BTCUSDT", 5, 4, (157, 160, 149), b'[["0.1","2"]]', b"[]") == (
        b'{"e":"depthUpdate","E":5,"T":4,"s":"BTCUSDT","ps":"BTCUSDT","U":157,"u":160,"pu":149,'
        b'"b":[["0.1","2"]],"a":[],"st":1}'
    )


def test_aggregate_trade() -> None:
    assert aggregate_trade(BTC, AGGREGATE) == (
        b'{"e":"aggTrade","E":1000123,"a":7,"s":"BTCUSDT","p":"60000.10","q":"0.042","nq":"0.042","f":11,'
        b'"l":13,"T":1000123,"m":true,"st":1}'
    )


def test_trade() -> None:
    assert trade(BTC, 9, 123, 600_000, 5_000, 0) == (
        b'{"e":"trade","E":123,"T":123,"s":"BTCUSDT","t":9,"p":"60000.00","q":"5.000","X":"MARKET",'
        b'"m":false,"st":1}'
    )


def test_book_ticker() -> None:
    assert book_ticker(BTC, 123, 77, (599_999, 1), (600_001, 2)) == (
        b'{"e":"bookTicker","u":77,"s":"BTCUSDT","ps":"BTCUSDT","b":"59999.90","B":"0.001","a":"60000.10",'
        b'"A":"0.002","T":123,"E":123,"st":1}'
    )


def test_mark_price() -> None:
    mark = Mark(1000, "60000.00000000", "59999.50000000", "0.00010000", 28_800_000)
    assert mark_price("BTCUSDT", mark) == (
        b'{"e":"markPriceUpdate","E":1000,"s":"BTCUSDT","p":"60000.00000000","ap":"60000.00000000",'
        b'"P":"59999.50000000","i":"59999.50000000","r":"0.00010000","T":28800000,"st":1}'
    )


def test_kline() -> None:
    candle = Candle(60_000, 600_000, 600_010, 599_990, 600_005, 1500, 900_000_000, 500, 300_000_000, 3, 8)
    assert kline(BTC, 61_000, candle) == (
        b'{"e":"kline","E":61000,"s":"BTCUSDT","k":{"t":60000,"T":119999,"s":"BTCUSDT","i":"1m","f":3,"L":8,'
        b'"o":"60000.00","c":"60000.50","h":"60001.00","l":"59999.00","v":"1.500","n":6,"x":false,'
        b'"q":"90000.00000","V":"0.500","Q":"30000.00000","B":"0"},"st":1}'
    )
    assert b'"x":true' in kline(BTC, 120_000, candle)


def test_force_order() -> None:
    assert force_order(BTC, 1_001_000, AGGREGATE) == (
        b'{"e":"forceOrder","E":1001000,"o":{"s":"BTCUSDT","S":"SELL","o":"LIMIT","f":"IOC","q":"0.042",'
        b'"p":"60000.10","ap":"60000.10","X":"FILLED","l":"0.042","z":"0.042","T":1000123,"ps":"BTCUSDT",'
        b'"st":1}}'
    )


@given(st.integers(1, 10**12), st.integers(0, 10**12), st.sampled_from(sorted(LISTINGS)))
def test_compiled_text_equals_the_python_text(ticks: int, lots: int, symbol: str) -> None:
    listing = find_listing(symbol)
    expected = f'[["{listing.price(ticks)}","{listing.quantity(lots)}"]]'
    assert levels_text(np.array([[ticks, lots]]), text_format(listing)) == expected.encode()


def test_steps_of_more_than_one_unit() -> None:
    listing = Listing(Instrument(venue="sim", symbol="X", tick="0.05", lot="5"), 100, 1.0, 1, 1)
    assert (listing.price(3), listing.quantity(3)) == ("0.15", "15")
    assert levels_text(np.array([[3, 3]]), text_format(listing)) == b'[["0.15","15"]]'


def test_no_levels() -> None:
    assert levels_text(np.empty((0, 2), np.int64), text_format(BTC)) == b"[]"


def test_unknown_and_missing_symbols_are_refused() -> None:
    with pytest.raises(InputError, match="does not list 'NOPE'; choose among BTCUSDT"):
        find_listings("BTCUSDT,nope")
    with pytest.raises(InputError, match="no symbol"):
        find_listings(" , ")
