"""What is chosen by a venue's name."""

import pytest

from undertow.errors import InputError
from undertow.market.batch import EventKind
from undertow.market.instruments import Instrument
from undertow.venues.binance import sync
from undertow.venues.binance.mapper import BinanceMapper
from undertow.venues.bybit.endpoints import endpoints_for
from undertow.venues.bybit.mapper import BybitMapper
from undertow.venues.kits import bybit_kit, stated_ms
from undertow.venues.mappers import mapper_of, mapper_state, restore_mapper
from undertow.venues.rules import rules_of
from undertow.venues.steps import known_instrument

TICKER = (
    b'1 {"topic":"tickers.BTCUSDT","type":"%s","data":{"symbol":"BTCUSDT","markPrice":"1.5",'
    b'"indexPrice":"2"},"ts":5}\n'
)


def linear(venue: str) -> Instrument:
    return Instrument(venue, "BTCUSDT", "0.10", "0.001")


@pytest.mark.parametrize("venue", ["bybit-linear", "sim-bybit"])
def test_bybits_rules_and_mapper(venue: str) -> None:
    rules = rules_of(venue)
    assert (rules.book_rule, rules.has_trade_chain, rules.flow) == (sync.SPOT, False, "trades")
    mapper = mapper_of(linear(venue))
    assert isinstance(mapper, BybitMapper)
    mapper.map(TICKER % b"snapshot")
    other = mapper_of(linear(venue))
    restore_mapper(other, mapper_state(mapper))
    assert len(other.map(TICKER % b"delta").others) == 1
    fresh = mapper_of(linear(venue))
    restore_mapper(fresh, b"")
    assert fresh.map(TICKER % b"delta").others == []


@pytest.mark.parametrize(
    ("venue", "rule"), [("binance-usdm", sync.USDM), ("binance-spot", sync.SPOT), ("sim", sync.USDM)]
)
def test_binances_rules_and_mapper(venue: str, rule: int) -> None:
    rules = rules_of(venue)
    assert (rules.book_rule, rules.has_trade_chain, rules.flow) == (rule, True, "aggtrades")
    mapper = mapper_of(linear(venue))
    assert isinstance(mapper, BinanceMapper)
    assert mapper_state(mapper) == b""
    restore_mapper(mapper, b"")
    assert mapper.map(b'1 {"stream":"!undertow","data":{"e":"audit"}}\n').batch.kind.tolist() == [
        EventKind.AUDIT
    ]


def test_steps_are_those_of_the_venue() -> None:
    found = [known_instrument(venue, "ETHUSDT") for venue in ("binance-usdm", "bybit-linear")]
    assert [instrument.lot for instrument in found if instrument is not None] == ["0.001", "0.01"]
    assert known_instrument("bybit-linear", "ETHBTC") is None


def test_what_a_collection_knows_of_bybit() -> None:
    kit = bybit_kit(endpoints_for())
    names = kit.stream_names(["BTCUSDT"], ["depth", "ticker", "trades"])
    assert names == {"public": ("orderbook.200.BTCUSDT", "orderbook.1.BTCUSDT", "publicTrade.BTCUSDT")}
    assert [kit.is_book(name.encode()) for name in names["public"]] == [True, False, False]
    assert [kit.kind_of(name)[0] for name in names["public"]] == ["depth", "ticker", "trades"]
    assert kit.kind_of("insurance.USDT") == ("other", None)
    assert kit.symbol_of(b"kline.1.BTCUSDT") == b"btcusdt"
    assert kit.event_ms_of(b'{"topic":"a.B","type":"delta","ts": 1672304484978,"data":{}}') == 1672304484978
    assert not kit.has_rest_books
    with pytest.raises(InputError, match="cannot be collected"):
        kit.stream_names(["BTCUSDT"], ["depth_fastest"])


def test_a_time_that_is_not_stated() -> None:
    assert stated_ms(b'"ts":', b'{"topic":"a.B"}') == 0
    assert stated_ms(b'"ts":', b'{"ts":"soon"}') == 0
