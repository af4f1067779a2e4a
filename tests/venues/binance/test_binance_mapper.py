import gzip
import json
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from undertow.market.batch import EventKind
from undertow.market.columns import ORDER_TYPES
from undertow.market.events import FundingRate, Gap, Kline, Liquidation, MarkPrice, OpenInterest
from undertow.market.instruments import Instrument
from undertow.venues.binance.mapper import BinanceMapper
from undertow.venues.mapped import Mapped, Reason

USDM = Instrument("binance-usdm", "BTCUSDT", "0.10", "0.001")
RECEIVED = 1723161255030314667
SPOT = Instrument("binance-spot", "BTCUSDT", "0.01", "0.000001")


def one(frame: str, instrument: Instrument = USDM, receive: str = str(RECEIVED)) -> Mapped:
    return BinanceMapper(instrument).map(f"{receive} {frame}\n".encode())


def test_depth_update() -> None:
    mapped = one(
        '{"stream":"btcusdt@depth@0ms","data":{"e":"depthUpdate","E":1723161256299,"T":1723161256298,'
        '"s":"BTCUSDT","U":5123107832006,"u":5123107837557,"pu":5123107831937,'
        '"b":[["58710.20","0.014"],["61496.50","0.000"]],"a":[["61800.3","2"]]}}'
    )
    batch = mapped.batch
    assert batch.kind.tolist() == [EventKind.DELTA]
    assert batch.event_ns.tolist() == [1723161256298000000]
    assert batch.receive_ns.tolist() == [RECEIVED]
    ids = (batch.first_id[0], batch.last_id[0], batch.previous_id[0])
    assert ids == (5123107832006, 5123107837557, 5123107831937)
    assert (batch.bid_start[0], batch.bid_count[0], batch.ask_start[0], batch.ask_count[0]) == (0, 2, 2, 1)
    assert batch.level_ticks.tolist() == [587102, 614965, 618003]
    assert batch.level_lots.tolist() == [14, 0, 2000]
    assert not mapped.rejections
    assert not mapped.unknown_fields


def test_rest_snapshot_with_spaces_is_a_snapshot_and_a_wrapped_one_is_not() -> None:
    text = '{"lastUpdateId": 27, "E": 1680652700590, "T": 1680652700580, '
    text += '"bids": [["28145.10", "3.818"]], "asks": []}'
    mapped = one(text)
    assert mapped.batch.kind.tolist() == [EventKind.SNAPSHOT]
    assert mapped.batch.last_id.tolist() == [27]
    assert mapped.batch.level_ticks.tolist() == [281451]
    partial = one('{"stream":"btcusdt@depth20","data":{"lastUpdateId":27,"bids":[["1.0","1"]],"asks":[]}}')
    assert partial.batch.kind.tolist() == [EventKind.PARTIAL_BOOK]
    assert (partial.batch.last_id[0], partial.batch.bid_count[0]) == (27, 1)


def test_a_partial_book_looks_like_a_diff_and_is_none() -> None:
    text = (
        '{"stream":"btcusdt@depth20@100ms","data":{"e":"depthUpdate","E":1571889248277,"T":1571889248276,'
        '"s":"BTCUSDT","U":390497796,"u":390497878,"pu":390497794,"b":[["7403.80","0.002"]],"a":[]}}'
    )
    batch = one(text).batch
    assert (batch.kind[0], batch.last_id[0]) == (EventKind.PARTIAL_BOOK, 390497878)
    assert one(text.replace("depth20@", "depth@")).batch.kind[0] == EventKind.DELTA


@pytest.mark.scenario("R13", "funding rows twice and in exponent form")
def test_what_was_polled_is_typed() -> None:
    interest = one(
        '{"stream":"btcusdt@openInterest","data":{"openInterest":"10659.509","symbol":"BTCUSDT",'
        '"time":1589437530011}}'
    ).others
    assert interest == [OpenInterest("BTCUSDT", 1589437530011000000, 1723161255030314667, 10659.509)]
    row = '{"symbol":"BTCUSDT","fundingRate":"-1.8E-7","fundingTime":1570608000001}'
    rates = one(
        f'{{"stream":"btcusdt@fundingRate","data":[{row},{row[:-1]},"markPrice":"34287.5"}}]}}'
    ).others
    assert rates == [
        FundingRate("BTCUSDT", 1570608000001000000, 1723161255030314667, -1.8e-7, price)
        for price in (None, 34287.5)
    ]
    broken = one('{"stream":"btcusdt@openInterest","data":{"code":-1121,"msg":"Invalid symbol."}}')
    assert [r.reason for r in broken.rejections] == [Reason.MISSING_FIELD]


@pytest.mark.scenario("T7", "prints that are no market orders are flagged")
def test_trade_aggregate_and_quote() -> None:
    trade = one(
        '{"e":"trade","E":1723161256322,"T":1723161256321,"s":"BTCUSDT","t":77,"p":"61800.30",'
        '"q":"0.006","X":"INSURANCE_FUND","m":true}'
    ).batch
    assert (trade.kind[0], trade.trade_id[0], trade.first_id[0], trade.last_id[0]) == (
        EventKind.TRADE,
        77,
        77,
        77,
    )
    assert (trade.price_ticks[0], trade.quantity_lots[0], trade.order_type[0]) == (618003, 6, 1)
    assert bool(trade.is_buyer_maker[0])
    aggregate = one(
        '{"e":"aggTrade","E":2,"s":"BTCUSDT","a":5,"p":"0.1","q":"100","nq":"99","f":100,"l":105,"T":1723161256321,'
        '"m":false,"st":1}'
    ).batch
    assert aggregate.kind.tolist() == [EventKind.AGGREGATE_TRADE]
    assert (aggregate.trade_id[0], aggregate.first_id[0], aggregate.last_id[0]) == (5, 100, 105)
    quote = one('{"u":400,"s":"BTCUSDT","b":"25.35","B":"31.21","a":"25.36","A":"40.66"}', SPOT).batch
    assert (quote.kind[0], quote.last_id[0], quote.event_ns[0]) == (EventKind.BEST_QUOTE, 400, 0)


@pytest.mark.scenario("T8", "a quantity partly filled by retail price improvement: both quantities are read")
def test_the_normal_quantity() -> None:
    line = (
        '{"e":"aggTrade","E":2,"s":"BTCUSDT","a":5,"p":"0.1","q":"100",%s"f":100,"l":105,"T":1723161256321,'
        '"m":false,"st":1}'
    )
    partly, none, untold = (one(line % told).batch for told in ('"nq":"99.5",', '"nq":"0",', ""))
    assert [batch.quantity_lots.tolist() for batch in (partly, none, untold)] == [[100_000]] * 3
    assert [batch.normal_lots.tolist() for batch in (partly, none, untold)] == [[99_500], [0], [-1]]
    changed = one(line % '"nq":99.5,').batch
    assert (changed.quantity_lots.tolist(), changed.normal_lots.tolist()) == ([100_000], [-1])


def test_receive_time_in_microseconds() -> None:
    mapped = one('{"result":null,"id":1}', receive="1680652700423575")
    assert mapped.batch.receive_ns.tolist() == [1680652700423575000]
    assert mapped.unknown_types == Counter({"(none)": 1})


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"garbage", Reason.NO_RECEIVE_TIME),
        (b"1723161255030314667", Reason.NO_RECEIVE_TIME),
        (b"1723161255030314667 {", Reason.NOT_JSON),
        (b'1723161255030314667 {"e":"trade","E":17231612', Reason.NOT_JSON),
        (b"1723161255030314667 \xff\xfe", Reason.NOT_JSON),
        (b'1723161255030314667 {"e":"trade","T":1,"t":1,"p":"1.05","q":"1","m":true}', Reason.OFF_STEP),
        (b'1723161255030314667 {"e":"trade","T":1,"t":1,"p":"NaN","q":"1","m":true}', Reason.MISSING_FIELD),
        (b'1723161255030314667 {"e":"trade","T":1,"t":1,"p":"-1.0","q":"1","m":true}', Reason.MISSING_FIELD),
        (b'1723161255030314667 {"e":"trade","T":1,"t":1,"q":"1","m":true}', Reason.MISSING_FIELD),
        (
            b'1723161255030314667 {"e":"trade","s":"X","T":1,"t":1,"p":"1","q":"1","m":true}',
            Reason.OTHER_SYMBOL,
        ),
        (
            b'1723161255030314667 {"e":"depthUpdate","E":1,"s":"BTCUSDT","U":1,"u":2,"b":[],"a":[]}',
            Reason.OTHER_VENUE,
        ),
        (b'1723161255030314667 {"e":"markPriceUpdate","E":1,"s":"BTCUSDT"}', Reason.MISSING_FIELD),
    ],
)
def test_bad_lines_are_named_and_the_next_line_is_read(line: bytes, reason: Reason) -> None:
    good = b'1723161255030314668 {"e":"trade","E":3,"T":3,"s":"BTCUSDT","t":9,"p":"1","q":"1","m":true}'
    mapped = BinanceMapper(USDM).map(line + b"\n" + good + b"\n")
    assert [r.reason for r in mapped.rejections] == [reason]
    assert mapped.rejections[0].line == 0
    assert mapped.batch.kind.tolist() == [EventKind.REJECTED, EventKind.TRADE]


def test_unknown_fields_and_types_are_counted() -> None:
    mapped = one(
        '{"e":"trade","E":3,"T":3,"s":"BTCUSDT","t":9,"p":"1","q":"1","m":true,"zz":{"a":[1,"}"]},"Y":1}'
    )
    assert mapped.batch.kind.tolist() == [EventKind.TRADE]
    assert mapped.unknown_fields == Counter({"trade.zz": 1, "trade.Y": 1})
    assert one('{"e":"brandNew","E":3}').unknown_types == Counter({"brandNew": 1})


def test_an_order_type_we_do_not_know_is_other_and_counted() -> None:
    text = '{"e":"trade","E":3,"T":3,"s":"BTCUSDT","t":9,"p":"1","q":"1","X":"AUCTION","m":true}'
    mapped = one(text)
    assert (mapped.batch.kind[0], mapped.batch.order_type[0]) == (EventKind.TRADE, ORDER_TYPES.index("OTHER"))
    assert mapped.unknown_fields == Counter({"trade.X=AUCTION": 1})
    for known in ("MARKET", "INSURANCE_FUND", "ADL", "NA"):
        assert not one(text.replace("AUCTION", known)).unknown_fields


MARK = (
    '{"e":"markPriceUpdate","E":1562305380000,"s":"BTCUSDT","p":"11794.15","i":"11784.6","P":"1","r":"0.1",'
    '"T":1562306400000,"st":1}'
)
ORDER = (
    '{"e":"forceOrder","E":9,"o":{"s":"BTCUSDT","S":"SELL","o":"LIMIT","f":"IOC","q":"0.014","p":"9910",'
    '"ap":"9911","X":"FILLED","l":"0.014","z":"0.014","T":1568014460893},"st":1}'
)


@pytest.mark.scenario("C19", "rows of the coin-margined market in a stream of all symbols: left out, counted")
def test_streams_of_all_symbols() -> None:
    coin_margined = MARK.replace("BTCUSDT", "BTCUSD_PERP").replace('"st":1', '"st":2')
    rows = ",".join([coin_margined, MARK, MARK.replace("BTCUSDT", "ETHUSDT"), coin_margined])
    mapped = one(f'{{"stream":"!markPrice@arr@1s","data":[{rows}]}}')
    assert [type(event) for event in mapped.others] == [MarkPrice]
    assert mapped.filtered == Counter({"markPriceUpdate.st=2": 2})
    assert not mapped.rejections
    for order, stored in ((ORDER, 1), (ORDER.replace("BTCUSDT", "ETHUSDT"), 0)):
        mapped = one(f'{{"stream":"!forceOrder@arr","data":{order}}}')
        assert len(mapped.others) == stored
        assert not mapped.rejections
    assert [r.reason for r in one(MARK.replace("BTCUSDT", "ETHUSDT")).rejections] == [Reason.OTHER_SYMBOL]
    assert [r.reason for r in one(ORDER.replace("BTCUSDT", "ETHUSDT")).rejections] == [Reason.OTHER_SYMBOL]


TRADE = '{"e":"trade","E":3,"T":3,"s":"BTCUSDT","t":9,"p":"1.5","q":"1","m":true}'
QUOTE = '{"e":"bookTicker","u":7,"E":3,"T":3,"s":"BTCUSDT","b":"25.3","B":"31.21","a":"25.4","A":"40.66"}'
INTEREST = '{"stream":"btcusdt@openInterest","data":{"openInterest":"1.5","symbol":"BTCUSDT","time":3}}'


@pytest.mark.parametrize(
    ("frame", "before", "after", "fault"),
    [
        (TRADE, '"p":"1.5",', "", "trade: Object missing required field `p`"),
        (TRADE, '"1.5"', "1.5", "trade: Expected `str`, got `float` - at `$.p`"),
        (TRADE, '"1.5"', "2", "trade: Expected `str`, got `int` - at `$.p`"),
        (QUOTE, '"B":"31.21",', "", "bookTicker: Object missing required field `B`"),
        (MARK, '"11784.6"', "11784.6", "markPriceUpdate: Expected `str`, got `float` - at `$.i`"),
        (MARK, '"T":1562306400000,', "", "markPriceUpdate: Object missing required field `T`"),
        (MARK, "1562306400000", '"1562306400000"', "markPriceUpdate: Expected `int`, got `str` - at `$.T`"),
        (ORDER, "SELL", "HOLD", "forceOrder: Invalid enum value 'HOLD' - at `$.o.S`"),
        (ORDER, '"9911"', '"1e999"', "forceOrder: a number is beyond what a double holds"),
        (INTEREST, '"1.5"', "1.5", "openInterest: Expected `str`, got `float` - at `$.openInterest`"),
        (INTEREST, ":3}", ":99999999999999999}", "openInterest: a time lies beyond the year 2262"),
    ],
)
def test_a_changed_frame_is_refused_and_what_changed_is_named(
    frame: str, before: str, after: str, fault: str
) -> None:
    assert before in frame
    assert not one(frame).rejections
    mapped = one(frame.replace(before, after))
    assert [r.reason for r in mapped.rejections] == [Reason.MISSING_FIELD]
    assert fault in mapped.rejections[0].message
    assert mapped.field_faults == Counter({fault: 1})
    assert mapped.batch.kind.tolist() == [EventKind.REJECTED]
    assert not mapped.others


@pytest.mark.parametrize("text", ["NaN", "inf", "-1", "", "1_0", " 1", "0x1"])
def test_no_number_is_made_up(text: str) -> None:
    mapped = one(MARK.replace("11794.15", text))
    assert [r.reason for r in mapped.rejections] == [Reason.MISSING_FIELD]
    assert not mapped.others


def test_new_fields_are_counted_wherever_they_are() -> None:
    assert one(ORDER.replace('"S":', '"zz":{"a":1},"S":')).unknown_fields == Counter({"forceOrder.o.zz": 1})
    assert one(MARK.replace('"s":', '"zz":1,"s":')).unknown_fields == Counter({"markPriceUpdate.zz": 1})
    assert one(INTEREST.replace('"time"', '"zz":1,"time"')).unknown_fields == Counter({"openInterest.zz": 1})
    snapshot = one('{"lastUpdateId":27,"bids":[["28145.10","3.818"]],"asks":[],"symbol":"BTCUSDT"}')
    assert snapshot.unknown_fields == Counter({"depth.symbol": 1})


def test_the_type_may_come_last() -> None:
    last = MARK.replace('"e":"markPriceUpdate",', "").replace("11794.15", "11794.15678")[:-1]
    assert [type(event) for event in one(f'{last},"e":"markPriceUpdate"}}').others] == [MarkPrice]
    assert one('{"p":"1.23456","e":"brandNew"}').unknown_types == Counter({"brandNew": 1})


@pytest.mark.parametrize("head", ['{"e":"x","a":', '{"e":"trade","a":', '{"a":'])
def test_a_frame_that_is_nested_too_deeply_is_refused(head: str) -> None:
    mapped = one(head + "[" * 100_000 + "]" * 100_000 + "}")
    assert [r.reason for r in mapped.rejections] == [Reason.NOT_JSON]


def test_types_that_are_no_words_are_counted_together() -> None:
    assert one('{"e":[1]}').unknown_types == Counter({"(none)": 1})
    mapped = one('{"stream":"!markPrice@arr","data":[1,[],null,{"e":"trade"}]}')
    assert mapped.unknown_types == Counter({"(none)": 3, "trade": 1})


def test_rare_events_are_typed() -> None:
    mark = one(
        '{"e":"markPriceUpdate","E":1562305380000,"s":"BTCUSDT","p":"11794.15","i":"11784.6","P":"1","r":"",'
        '"ap":"1","T":1562306400000,"st":1}'
    ).others
    assert mark == [
        MarkPrice(
            "BTCUSDT",
            1562305380000000000,
            RECEIVED,
            11794.15,
            11784.6,
            None,
            1562306400000000000,
            1.0,
            1.0,
        )
    ]
    order = one(
        '{"e":"forceOrder","E":9,"o":{"s":"BTCUSDT","S":"SELL","o":"LIMIT","f":"IOC","q":"0.014","p":"9910",'
        '"ap":"9911","X":"FILLED","l":"0.014","z":"0.014","T":1568014460893}}'
    ).others[0]
    assert isinstance(order, Liquidation)
    assert order.is_sell
    assert order.average_price == 9911.0
    kline = one(
        '{"e":"kline", "E":1, "s":"BTCUSDT", "k":{"t":1672515780000, "T":1672515839999, "s":"BTCUSDT",'
        '"i":"1m","f":1,"L":2,"o":"1","c":"2","h":"3","l":"0.5","v":"10","n":2,"x":true,"q":"1","V":"5",'
        '"Q":"1","B":"0"}}'
    ).others[0]
    assert isinstance(kline, Kline)
    assert kline.close_ns - kline.open_ns == 60_000_000_000


def test_control_marks() -> None:
    audit = one('{"stream":"!undertow","data":{"e":"audit"}}').batch
    assert audit.kind.tolist() == [EventKind.AUDIT]
    watermark = one('{"stream":"!undertow","data":{"e":"watermark","T":1723161256321}}').batch
    assert watermark.kind.tolist() == [EventKind.WATERMARK]
    assert watermark.event_ns.tolist() == [1723161256321000000]
    cut = one('{"stream":"!undertow","data":{"e":"disconnect","category":"market","reason":"reset"}}').batch
    assert (cut.kind[0], cut.first_id[0]) == (EventKind.DISCONNECT, 2)


prices = st.integers(0, 10**9).map(lambda ticks: (ticks, f"{Decimal(ticks) / 10:.{ticks % 7 + 1}f}"))
lots = st.integers(0, 10**9).map(lambda count: (count, f"{Decimal(count) / 1000:.3f}00000"))
levels = st.lists(st.tuples(prices, lots), max_size=30)


@settings(max_examples=60, deadline=None)
@given(
    bids=levels,
    asks=levels,
    ids=st.tuples(*[st.integers(0, 2**53)] * 3),
    order=st.randoms(use_true_random=False),
    spaced=st.booleans(),
    wrapped=st.booleans(),
)
def test_any_field_order_spacing_and_wrapper(
    bids: Any, asks: Any, ids: tuple[int, int, int], order: Any, spaced: bool, wrapped: bool
) -> None:
    def text(side: Any) -> list[list[str]]:
        return [[price[1], lot[1]] for price, lot in side]

    fields = [
        *{
            "e": "depthUpdate",
            "E": 1723161256299,
            "T": 1723161256298,
            "s": "BTCUSDT",
            "st": 1,
            "ps": "BTCUSDT",
        }.items(),
        *{"U": ids[0], "u": ids[1], "pu": ids[2], "b": text(bids), "a": text(asks)}.items(),
    ]
    order.shuffle(fields)
    frame: dict[str, Any] = dict(fields)
    if wrapped:
        frame = {"stream": "btcusdt@depth", "data": frame}
    mapped = one(json.dumps(frame, separators=None if spaced else (",", ":")))
    batch = mapped.batch
    assert not mapped.rejections
    assert (batch.first_id[0], batch.last_id[0], batch.previous_id[0]) == ids
    for side, start, count in (
        (bids, batch.bid_start[0], batch.bid_count[0]),
        (asks, batch.ask_start[0], batch.ask_count[0]),
    ):
        found = slice(start, start + count)
        assert batch.level_ticks[found].tolist() == [price[0] for price, _ in side]
        assert batch.level_lots[found].tolist() == [lot[0] for _, lot in side]


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_no_bytes_break_the_scanner(noise: bytes) -> None:
    line = b'1723161255030314667 {"e":"depthUpdate","b":[["' + noise.replace(b"\n", b"") + b"\n"
    assert len(BinanceMapper(USDM).map(line).batch) == 1


def test_wire_format_of_2026_decodes_without_loss(data: Path) -> None:
    text = gzip.decompress((data / "wire/usdm-streams-2026-09-27.gz").read_bytes())
    symbols = {"BTCUSDT": USDM, "ETHUSDT": Instrument("binance-usdm", "ETHUSDT", "0.01", "0.001")}
    kinds: Counter[int] = Counter()
    rare: Counter[str] = Counter()
    for symbol, instrument in symbols.items():
        mapped = BinanceMapper(instrument).map(text)
        assert {r.reason for r in mapped.rejections} <= {Reason.OTHER_SYMBOL}
        assert not mapped.unknown_types
        assert not mapped.unknown_fields
        kinds.update(mapped.batch.kind.tolist())
        rare.update(type(e).__name__ for e in mapped.others if e.symbol == symbol)
        came = mapped.batch.receive_ns[mapped.other_rows].tolist()
        assert came == [event.receive_ns for event in mapped.others if not isinstance(event, Gap)]
    assert kinds[EventKind.AGGREGATE_TRADE] == 16
    assert kinds[EventKind.BEST_QUOTE] == 16
    assert kinds[EventKind.DELTA] == 4
    assert rare["Kline"] == 4
    assert rare["MarkPrice"] == 3


def wire_lines(path: Path) -> list[bytes]:
    """Lines `<seconds>: <json>` of a cryptofeed recording as capture lines."""
    lines = []
    for line in gzip.decompress(path.read_bytes()).splitlines():
        stamp, _, frame = line.partition(b": ")
        if stamp.replace(b".", b"").isdigit():
            lines.append(b"%d %s" % (int(float(stamp) * 1e6), frame))
    return lines


@pytest.mark.parametrize("name", ["spot-2021-10-12", "usdm-2021-07-22"])
def test_wire_format_of_2021_decodes_without_loss(data: Path, name: str) -> None:
    lines = wire_lines(data / f"wire/cryptofeed-binance-{name}.ws.gz")
    by_symbol: dict[str, list[bytes]] = {}
    for line in lines:
        stream = json.loads(line.split(b" ", 1)[1])["stream"]
        by_symbol.setdefault(stream.split("@")[0].upper(), []).append(line)
    assert len(by_symbol) == 4
    venue = "binance-spot" if name.startswith("spot") else "binance-usdm"
    for symbol, part in by_symbol.items():
        mapped = BinanceMapper(Instrument(venue, symbol, "0.00000001", "0.0001")).map(
            b"\n".join(part) + b"\n"
        )
        assert not mapped.rejections
        assert not mapped.unknown_types
        assert not mapped.unknown_fields
        counted = Counter(json.loads(line.split(b" ", 1)[1])["stream"].split("@")[1] for line in part)
        assert (mapped.batch.kind == EventKind.AGGREGATE_TRADE).sum() == counted["aggTrade"]
        assert (mapped.batch.kind == EventKind.DELTA).sum() == counted["depth"]
        assert (mapped.batch.kind == EventKind.BEST_QUOTE).sum() == counted["bookTicker"]
        assert len(mapped.others) == counted["kline_1m"]
