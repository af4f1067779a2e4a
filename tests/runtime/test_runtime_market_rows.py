import gzip
import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from undertow.lake.files import merge
from undertow.lake.market_schemas import MARKET_SCHEMAS
from undertow.market.instruments import Instrument
from undertow.runtime.market_rows import market_tables
from undertow.venues.binance.mapper import BinanceMapper

USDM = Instrument("binance-usdm", "BTCUSDT", "0.10", "0.001")
SPOT = Instrument("binance-spot", "BTCUSDT", "0.01", "0.000001")
RECEIVED = 1723161255030314667


CLOSED = 1_500_000_000_000_000_000
"""Up to where bars were closed when the frames came: before any of their times."""


def tables(frames: list[str], instrument: Instrument = USDM, closed_ns: int = CLOSED) -> dict[str, pa.Table]:
    """What frames give that come one nanosecond after the other."""
    lines = "".join(f"{RECEIVED + place} {frame}\n" for place, frame in enumerate(frames))
    mapped = BinanceMapper(instrument).map(lines.encode())
    assert not mapped.rejections
    found = market_tables(instrument, mapped, np.full(len(frames), closed_ns))
    for name, rows in found.items():
        assert rows.schema.equals(MARKET_SCHEMAS[name], check_metadata=False)
        assert rows.schema.metadata[b"symbol"] == b"BTCUSDT"
    return found


def mark(rate: str = "0.00038167", average: str = '"ap":"11794.16",', funding_ms: int = 1562306400000) -> str:
    return (
        '{"stream":"btcusdt@markPrice@1s","data":{"e":"markPriceUpdate","E":1562305380000,"s":"BTCUSDT",'
        f'"p":"11794.15000000","i":"11784.62659091","P":"11784.25641265","r":"{rate}",{average}'
        f'"T":{funding_ms},"st":1}}}}'
    )


def test_mark_price() -> None:
    (table,) = (tables([mark(), mark(rate="", average="", funding_ms=0)]).pop("mark_price"),)
    assert table.to_pylist() == [
        {
            "timestamp": 1562305380000,
            "mark_price": 11794.15,
            "index_price": 11784.62659091,
            "estimated_settle_price": 11784.25641265,
            "funding_rate": 0.00038167,
            "next_funding_ms": 1562306400000,
            "mark_price_average": 11794.16,
            "received_ns": RECEIVED,
            "known_ns": 1562305380000 * 10**6,
        },
        {
            "timestamp": 1562305380000,
            "mark_price": 11794.15,
            "index_price": 11784.62659091,
            "estimated_settle_price": 11784.25641265,
            "funding_rate": None,
            "next_funding_ms": None,
            "mark_price_average": None,
            "received_ns": RECEIVED + 1,
            "known_ns": 1562305380000 * 10**6,
        },
    ]


def funding(*rows: tuple[int, str, str]) -> str:
    data = [
        {"symbol": "BTCUSDT", "fundingRate": rate, "fundingTime": stamp, "markPrice": price}
        for stamp, rate, price in rows
    ]
    return json.dumps({"stream": "btcusdt@fundingRate", "data": data})


def test_funding_rates_of_overlapping_pages_are_one_row_each() -> None:
    first = funding((1570608000000, "-0.03750000", ""), (1570636800001, "-1.8E-7", "34287.5"))
    second = funding((1570636800001, "-1.8E-7", "34287.5"), (1570665600000, "0.0001", "34300.25"))
    rows = merge("funding_rate", [tables([first, second])["funding_rate"]])
    assert rows.drop_columns(["received_ns", "known_ns"]).to_pylist() == [
        {"timestamp": 1570608000000, "funding_rate": -0.0375, "mark_price": None},
        {"timestamp": 1570636800001, "funding_rate": -1.8e-7, "mark_price": 34287.5},
        {"timestamp": 1570665600000, "funding_rate": 0.0001, "mark_price": 34300.25},
    ]


def test_open_interest_is_placed_by_the_exchange_and_known_to_the_bars_that_were_open() -> None:
    answer = '{"openInterest":"10659.509","symbol":"BTCUSDT","time":1589437530011}'
    frame = f'{{"stream":"btcusdt@openInterest","data":{answer}}}'
    row = {"timestamp": 1589437530011, "open_interest": 10659.509, "received_ns": RECEIVED}
    known_ns = 1589437530011 * 10**6
    assert tables([frame])["open_interest"].to_pylist() == [{**row, "known_ns": known_ns}]
    late = tables([frame], closed_ns=known_ns + 5)["open_interest"].to_pylist()
    assert late == [{**row, "known_ns": known_ns + 6}]


def forced(side: str = "SELL", quantity: str = "0.014", sent_ms: int = 1568014460893) -> str:
    return (
        f'{{"stream":"btcusdt@forceOrder","data":{{"e":"forceOrder","E":{sent_ms},"o":{{"s":"BTCUSDT","S":"{side}",'
        f'"o":"LIMIT","f":"IOC","q":"{quantity}","p":"9910","ap":"9911","X":"FILLED","l":"0.014","z":"0.014",'
        '"T":1568014460890},"st":1}}'
    )


def test_liquidation() -> None:
    assert tables([forced()])["liquidations"].to_pylist() == [
        {
            "timestamp": 1568014460890,
            "side": "SELL",
            "price": 9910.0,
            "average_price": 9911.0,
            "quantity": 0.014,
            "filled_quantity": 0.014,
            "order_type": "LIMIT",
            "time_in_force": "IOC",
            "status": "FILLED",
            "event_ms": 1568014460893,
            "received_ns": RECEIVED,
            "known_ns": 1568014460893 * 10**6,
        }
    ]


@pytest.mark.scenario(
    "T12", "two liquidations of one millisecond and symbol are two rows, a second copy is none"
)
def test_liquidations_of_one_millisecond_are_kept_and_copies_are_not() -> None:
    frames = [forced(), forced(quantity="0.020"), forced(side="BUY"), forced(sent_ms=1568014460894), forced()]
    kept = merge("liquidations", [tables([frame])["liquidations"] for frame in frames])
    assert sorted(kept["event_ms"].to_pylist()) == [1568014460893] * 3 + [1568014460894]
    assert sorted(kept["side"].to_pylist()) == ["BUY", "SELL", "SELL", "SELL"]
    again = merge(
        "liquidations", [tables([frame])["liquidations"] for frame in [frames[4], *frames[1:4], frames[0]]]
    )
    own = ["received_ns", "known_ns"]
    assert again.drop_columns(own).equals(kept.drop_columns(own))


def candle(minutes: int = 1, trades: int = 100, is_closed: bool = True) -> str:
    first, last = (100, 199) if trades else (-1, -1)
    begin = 1672515780000
    end = begin + 60_000 * minutes - 1
    return (
        '{"stream":"btcusdt@kline_1m","data":{"e":"kline", "E":1672515840001, "s":"BTCUSDT", '
        f'"k":{{"t":{begin},"T":{end},"s":"BTCUSDT","i":"{minutes}m","f":{first},"L":{last},"o":"1.5",'
        f'"c":"2","h":"3","l":"0.5","v":"1000","n":{trades},"x":{json.dumps(is_closed)},"q":"1700.5","V":"500",'
        '"Q":"850","B":"0"}}}'
    )


def test_only_closed_candles_of_a_minute_are_stored() -> None:
    frames = [candle(is_closed=False), candle(minutes=5), candle()]
    assert tables(frames)["klines"].to_pylist() == [
        {
            "timestamp": 1672515780000,
            "open": 1.5,
            "high": 3.0,
            "low": 0.5,
            "close": 2.0,
            "volume": 1000.0,
            "close_ms": 1672515839999,
            "quote_volume": 1700.5,
            "trade_count": 100,
            "taker_buy_volume": 500.0,
            "taker_buy_quote_volume": 850.0,
            "first_trade_id": 100,
            "last_trade_id": 199,
            "received_ns": RECEIVED + 2,
        }
    ]
    assert "klines" not in tables([candle(is_closed=False)])


def test_a_candle_without_trades_names_none() -> None:
    (row,) = tables([candle(trades=0)])["klines"].to_pylist()
    assert (row["first_trade_id"], row["last_trade_id"], row["trade_count"]) == (None, None, 0)


def test_quotes_with_and_without_a_time_of_the_exchange() -> None:
    dated = (
        '{"e":"bookTicker","u":7,"E":1568014460893,"T":1568014460891,"s":"BTCUSDT","b":"25.30","B":"31.210",'
        '"a":"25.40","A":"40.660","st":1}'
    )
    (row,) = tables([dated])["book_ticker"].to_pylist()
    assert row == {
        "timestamp": 1568014460891,
        "update_id": 7,
        "bid_price": 25.3,
        "bid_quantity": 31.21,
        "ask_price": 25.4,
        "ask_quantity": 40.66,
        "event_ms": 1568014460891,
        "received_ns": RECEIVED,
    }
    bare = '{"u":400900217,"s":"BTCUSDT","b":"25.35","B":"31.21","a":"0.00","A":"0.00"}'
    (row,) = tables([bare], SPOT)["book_ticker"].to_pylist()
    assert (row["timestamp"], row["event_ms"]) == (RECEIVED // 10**6, None)
    assert (row["bid_price"], row["ask_price"], row["ask_quantity"]) == (25.35, None, 0.0)


def test_a_quote_that_came_twice_is_one_row() -> None:
    quote = '{"u":5,"s":"BTCUSDT","b":"25.35","B":"31.21","a":"25.36","A":"1"}'
    parts = [
        tables([quote, quote], SPOT)["book_ticker"],
        tables([quote.replace("5,", "6,", 1)], SPOT)["book_ticker"],
    ]
    assert merge("book_ticker", parts)["update_id"].to_pylist() == [5, 6]


def levels(first: Decimal, step: Decimal, count: int) -> list[list[str]]:
    return [[str(first + step * place), f"0.{place + 1:03}"] for place in range(count)]


def test_partial_books_of_both_markets() -> None:
    bids, asks = (
        levels(Decimal("7403.80"), Decimal("-0.10"), 20),
        levels(Decimal("7403.90"), Decimal("0.10"), 3),
    )
    futures = {
        "e": "depthUpdate",
        "E": 1571889248277,
        "T": 1571889248276,
        "s": "BTCUSDT",
        "st": 1,
        "ps": "BTCUSDT",
        "U": 390497796,
        "u": 390497878,
        "pu": 390497794,
        "b": bids,
        "a": asks,
    }
    empty = {**futures, "u": 390497900, "a": []}
    frames = [json.dumps({"stream": "btcusdt@depth20@100ms", "data": data}) for data in (futures, empty)]
    first, second = tables(frames)["depth20"].to_pylist()
    assert (first["timestamp"], first["last_update_id"], first["received_ns"]) == (
        1571889248276,
        390497878,
        RECEIVED,
    )
    assert first["bids"] == [[float(price), float(quantity)] for price, quantity in bids]
    assert first["asks"] == [[float(price), float(quantity)] for price, quantity in asks]
    assert first["spread"] == 0.1
    assert first["ask_vol_20"] == 0.006
    assert (second["asks"], second["spread"], second["ask_vol_20"]) == ([], None, 0.0)
    spot = {"lastUpdateId": 160, "bids": bids[:5], "asks": asks}
    (row,) = tables([json.dumps({"stream": "btcusdt@depth20@100ms", "data": spot})], SPOT)[
        "depth20"
    ].to_pylist()
    assert (row["timestamp"], row["last_update_id"], len(row["bids"])) == (RECEIVED // 10**6, 160, 5)


def test_marks_of_our_own() -> None:
    clock = '{"e":"clock","T":1770123456789,"offset_us":-120,"error_us":900,"rtt_us":1400}'
    change = '{"e":"instrument","T":1770123456790,"symbol":"BTCUSDT","change":"tick",'
    change += '"before":"0.10","after":"0.01"}'
    found = tables([f'{{"stream":"!undertow","data":{data}}}' for data in (clock, change)])
    assert found["clock"].to_pylist() == [
        {
            "timestamp": 1770123456789,
            "offset_us": -120,
            "error_us": 900,
            "rtt_us": 1400,
            "received_ns": RECEIVED,
        }
    ]
    assert found["instruments"].to_pylist() == [
        {
            "timestamp": 1770123456790,
            "change": "tick",
            "before": "0.10",
            "after": "0.01",
            "received_ns": RECEIVED + 1,
        }
    ]


def test_frames_of_the_fold_give_no_rows() -> None:
    trade = '{"e":"trade","E":3,"T":3,"s":"BTCUSDT","t":9,"p":"1","q":"1","m":true}'
    assert tables([trade, '{"stream":"!undertow","data":{"e":"audit"}}']) == {}


def recorded(path: Path, name: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """(receive time, event) of the recorded frames of one type."""
    for line in gzip.decompress(path.read_bytes()).splitlines():
        stamp, _, frame = line.partition(b" ")
        content = json.loads(frame)
        data = content.get("data", content)
        if data.get("e", "bookTicker" if "B" in data else "") == name:
            yield int(stamp), data


@pytest.mark.parametrize(
    ("name", "instrument"), [("usdm-btcusdt_20240808", USDM), ("spot-btcusdt_20240808", SPOT)]
)
def test_recorded_quotes_are_stored_as_they_came(data: Path, name: str, instrument: Instrument) -> None:
    path = data / f"captures/{name}.gz"
    mapped = BinanceMapper(instrument).map(gzip.decompress(path.read_bytes()))
    rows = market_tables(instrument, mapped, np.zeros(len(mapped.batch), np.int64))["book_ticker"]
    expected = list(recorded(path, "bookTicker"))
    assert rows.num_rows == len(expected) > 1000
    assert rows["received_ns"].to_pylist() == [stamp for stamp, _ in expected]
    assert rows["update_id"].to_pylist() == [quote["u"] for _, quote in expected]
    assert rows["event_ms"].to_pylist() == [quote.get("T") for _, quote in expected]
    names = {"bid_price": "b", "bid_quantity": "B", "ask_price": "a", "ask_quantity": "A"}
    for column, key in names.items():
        assert rows[column].to_pylist() == [float(quote[key]) for _, quote in expected]


def test_recorded_mark_prices_are_stored_as_they_came(data: Path) -> None:
    path = data / "captures/usdm-btcusdt_20230405.gz"
    mapped = BinanceMapper(USDM).map(gzip.decompress(path.read_bytes()))
    rows = market_tables(USDM, mapped, np.zeros(len(mapped.batch), np.int64))["mark_price"]
    assert rows["known_ns"].to_pylist() == [stamp * 10**6 for stamp in rows["timestamp"].to_pylist()]
    expected = [event for _, event in recorded(path, "markPriceUpdate")]
    assert rows.num_rows == len(expected) > 100
    assert rows["timestamp"].to_pylist() == [event["E"] for event in expected]
    assert rows["mark_price"].to_pylist() == [float(event["p"]) for event in expected]
    assert rows["funding_rate"].to_pylist() == [float(event["r"]) for event in expected]
    assert merge("mark_price", [rows]).num_rows == len({event["E"] for event in expected})
