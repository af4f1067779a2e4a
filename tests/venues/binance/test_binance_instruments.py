import gzip
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest
from tests.venues.binance.fake_exchange import EXCHANGE_INFO

from undertow.errors import InputError
from undertow.market.instruments import Instrument
from undertow.venues.binance.instruments import (
    DEFAULT_SYMBOLS,
    find_instrument,
    known_instrument,
    load_instruments,
    parse_exchange_info,
    weight_limit,
)

INFO = parse_exchange_info(msgspec.json.encode(EXCHANGE_INFO))


def test_steps_come_from_the_filters() -> None:
    assert find_instrument(INFO, "sim", "ETHUSDT") == Instrument("sim", "ETHUSDT", tick="0.10", lot="0.001")
    assert weight_limit(INFO) == 1200


def test_spot_quantities_may_rest_on_a_step_ten_times_finer() -> None:
    assert find_instrument(INFO, "binance-spot", "ETHUSDT").lot == "0.0001"


@pytest.mark.scenario("R11", "MATICUSDT: a clear error that names POLUSDT")
@pytest.mark.parametrize(
    ("symbol", "words"),
    [
        ("BTCUSD", "no symbol BTCUSD; did you mean BTCUSDT"),
        ("btcusdt", "did you mean BTCUSDT"),
        ("XXXXXXX", "written like BTCUSDT"),
        ("MATICUSDT", "MATICUSDT is now POLUSDT"),
        ("DOTUSDT", "does not trade now .status SETTLING"),
    ],
)
def test_symbols_that_cannot_be_collected_are_explained(symbol: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        find_instrument(INFO, "binance-usdm", symbol)


@pytest.mark.parametrize("body", [b"<html>", b"[]", b"{}", b"\xff", b'{"symbols":[{"symbol":1}]}'])
def test_what_is_no_exchange_info(body: bytes) -> None:
    with pytest.raises(InputError, match=r"saved\.json: not an exchangeInfo answer"):
        parse_exchange_info(body, "saved.json")


def test_an_instrument_without_steps() -> None:
    info = parse_exchange_info(b'{"symbols":[{"symbol":"A","status":"TRADING","filters":[]}]}')
    with pytest.raises(InputError, match="no price or quantity step for A"):
        find_instrument(info, "binance-spot", "A")


def test_a_saved_answer_serves_replays(tmp_path: Path) -> None:
    saved = tmp_path / "exchangeInfo.json"
    saved.write_bytes(msgspec.json.encode(EXCHANGE_INFO))
    found = load_instruments(saved)
    assert found["DOTUSDT"] == Instrument("binance-usdm", "DOTUSDT", tick="0.10", lot="0.001")
    assert load_instruments(saved, "sim")["BTCUSDT"].venue == "sim"
    with pytest.raises(InputError, match=r"none\.json: cannot be read"):
        load_instruments(tmp_path / "none.json")


@pytest.mark.parametrize("venue", ["binance-usdm", "binance-spot", "sim"])
def test_the_default_symbols_are_in_the_table(venue: str) -> None:
    for symbol in DEFAULT_SYMBOLS:
        instrument = known_instrument(venue, symbol)
        assert instrument is not None
        assert instrument.venue == venue
        assert instrument.price.units == instrument.quantity.units == 1
    assert known_instrument(venue, "NOSUCH") is None
    assert known_instrument("kraken", "BTCUSDT") is None


@pytest.mark.data
@pytest.mark.parametrize(
    ("venue", "symbol", "name"),
    [
        ("binance-usdm", "BTCUSDT", "usdm-btcusdt_20240808.gz"),
        ("binance-usdm", "BTCUSDT", "usdm-btcusdt_20230404.gz"),
        ("binance-spot", "BTCUSDT", "spot-btcusdt_20240808.gz"),
        ("binance-spot", "BTCUSDT", "spot-btcusdt_20240809.gz"),
        ("binance-spot", "ETHBTC", "spot-ethbtc_20201101-09.gz"),
    ],
)
def test_recorded_prices_lie_on_the_steps_of_the_table(
    data: Path, venue: str, symbol: str, name: str
) -> None:
    instrument = known_instrument(venue, symbol)
    assert instrument is not None
    tick, lot = Decimal(instrument.tick), Decimal(instrument.lot)
    levels = {tuple(level) for level in _levels(data / "captures" / name)}
    assert len(levels) > 1000
    assert [level for level in levels if Decimal(level[0]) % tick or Decimal(level[1]) % lot] == []


def _levels(path: Path) -> list[list[str]]:
    found: list[list[str]] = []
    with gzip.open(path) as lines:
        for _, line in zip(range(60_000), lines, strict=False):
            frame = msgspec.json.decode(line.split(b" ", 1)[1])
            data = frame.get("data", frame)
            if "p" in data and "q" in data:
                found.append([data["p"], data["q"]])
            elif isinstance(data.get("b", data.get("bids")), list):
                found += data.get("b", data.get("bids")) + data.get("a", data.get("asks"))
    return found
