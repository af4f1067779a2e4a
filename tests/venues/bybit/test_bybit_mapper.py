"""Payloads from Bybit's v5 documents, worked by hand."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from undertow.market.batch import EventKind
from undertow.market.events import (
    ClockOffset,
    FundingRate,
    Gap,
    Kline,
    Liquidation,
    ListingChange,
    MarkPrice,
    OpenInterest,
)
from undertow.market.instruments import Instrument
from undertow.venues.bybit.mapper import BybitMapper
from undertow.venues.bybit.messages import answer_frame
from undertow.venues.mapped import Mapped, Reason

LINEAR = Instrument("bybit-linear", "BTCUSDT", "0.10", "0.001")
RECEIVED = 1687940967466123456

SNAPSHOT = (
    '{"topic":"orderbook.50.BTCUSDT","type":"snapshot","ts":1672304484978,"data":{"s":"BTCUSDT",'
    '"b":[["16493.50","0.006"],["16493.00","0.100"]],"a":[["16611.00","0.029"],["16612.00","0.213"]],'
    '"u":18521288,"seq":7961638724},"cts":1672304484976}'
)
DELTA = (
    '{"topic":"orderbook.50.BTCUSDT","type":"delta","ts":1687940967466,"data":{"s":"BTCUSDT","b":[["30247.20",'
    '"30.028"],["30245.40","0.224"],["30244.10","0"]],"a":[["30248.70","0"],["30249.30","0.892"]],'
    '"u":177400507,"seq":66544703342},"cts":1687940967464}'
)
TRADE = (
    '{"T":1672304486865,"s":"BTCUSDT","S":"Buy","v":"0.001","p":"16578.50","L":"PlusTick",'
    '"i":"20f43950-d8dd-5b31-9112-a178eb6023af","BT":false,"seq":1783284617}'
)
TICKER = (
    '{"topic":"tickers.BTCUSDT","type":"snapshot","data":{"symbol":"BTCUSDT","tickDirection":"PlusTick",'
    '"price24hPcnt":"0.017103","lastPrice":"17216.00","prevPrice24h":"16926.50","highPrice24h":"17281.50",'
    '"lowPrice24h":"16915.00","prevPrice1h":"17238.00","markPrice":"17217.33","indexPrice":"17227.36",'
    '"openInterest":"68744.761","openInterestValue":"1183601235.91","turnover24h":"1570383121.943499",'
    '"volume24h":"91705.276","nextFundingTime":"1673280000000","fundingRate":"-0.000212",'
    '"bid1Price":"17215.50","bid1Size":"84.489","ask1Price":"17216.00","ask1Size":"83.020"},'
    '"cs":24987956059,"ts":1673272861686}'
)


def lines(*frames: str, received: int = RECEIVED) -> bytes:
    return "".join(f"{received + at} {frame}\n" for at, frame in enumerate(frames)).encode()


def mapped_of(*frames: str, depth: int = 50) -> Mapped:
    return BybitMapper(LINEAR, depth).map(lines(*frames))


def trades_frame(*trades: str) -> str:
    return (
        f'{{"topic":"publicTrade.BTCUSDT","type":"snapshot","ts":1672304486868,"data":[{",".join(trades)}]}}'
    )


def trade(uuid_start: str, ms: int = 1672304486865, side: str = "Buy", price: str = "16578.50") -> str:
    changed = TRADE.replace("20f43950", uuid_start).replace("1672304486865", str(ms))
    return changed.replace('"Buy"', f'"{side}"').replace("16578.50", price)


def test_a_snapshot_in_the_stream_is_a_base_and_a_delta_follows_by_its_update_id() -> None:
    mapped = mapped_of(SNAPSHOT, DELTA)
    batch = mapped.batch
    assert batch.kind.tolist() == [EventKind.BASE, EventKind.DELTA]
    assert batch.event_ns.tolist() == [1672304484976000000, 1687940967464000000]
    assert batch.receive_ns.tolist() == [RECEIVED, RECEIVED + 1]
    assert batch.first_id.tolist() == [-1, 177400507]
    assert batch.last_id.tolist() == [18521288, 177400507]
    assert batch.previous_id.tolist() == [-1, -1]
    assert batch.bid_start.tolist() == [0, 4]
    assert batch.bid_count.tolist() == [2, 3]
    assert batch.ask_start.tolist() == [2, 7]
    assert batch.ask_count.tolist() == [2, 2]
    assert batch.level_ticks.tolist() == [
        *(164935, 164930, 166110, 166120),
        *(302472, 302454, 302441, 302487, 302493),
    ]
    assert batch.level_lots.tolist() == [6, 100, 29, 213, 30028, 224, 0, 0, 892]
    assert not mapped.rejections
    assert not mapped.unknown_fields
    assert not mapped.filtered


def test_a_book_without_the_engines_time_is_placed_by_the_publishers() -> None:
    mapped = mapped_of(DELTA.replace(',"cts":1687940967464', ""))
    assert mapped.batch.event_ns.tolist() == [1687940967466000000]


def test_only_the_chosen_depth_is_folded_and_level_one_is_a_quote() -> None:
    quote = (
        '{"topic":"orderbook.1.BTCUSDT","type":"snapshot","ts":1672304484978,"data":{"s":"BTCUSDT",'
        '"b":[["16493.50","0.006"]],"a":[["16611.00","0.029"]],"u":18521288,"seq":7961638724},'
        '"cts":1672304484976}'
    )
    mapped = mapped_of(SNAPSHOT, quote, quote.replace('["16493.50","0.006"]', ""), depth=200)
    batch = mapped.batch
    assert batch.kind.tolist() == [EventKind.OTHER, EventKind.BEST_QUOTE, EventKind.OTHER]
    assert mapped.filtered == {"orderbook.50": 1, "orderbook.1 without both sides": 1}
    assert (batch.bid_start[1], batch.bid_count[1], batch.ask_start[1], batch.ask_count[1]) == (0, 1, 1, 1)
    assert batch.level_ticks.tolist() == [164935, 166110]
    assert batch.last_id[1] == 18521288
    assert batch.event_ns.tolist() == [0, 1672304484976000000, 0]


def test_several_trades_of_a_frame_are_a_row_each_in_the_order_they_were_made() -> None:
    mapped = mapped_of(
        trades_frame(trade("20f43950"), trade("10f43950", side="Sell", price="16578.40")),
        trades_frame(trade("00000001"), trade("00000002", ms=1672304486866)),
    )
    batch = mapped.batch
    assert batch.kind.tolist() == [EventKind.TRADE] * 4
    assert batch.receive_ns.tolist() == [RECEIVED, RECEIVED, RECEIVED + 1, RECEIVED + 1]
    assert batch.price_ticks.tolist() == [165785, 165784, 165785, 165785]
    assert batch.quantity_lots.tolist() == [1, 1, 1, 1]
    assert batch.is_buyer_maker.tolist() == [False, True, False, False]
    assert batch.order_type.tolist() == [0, 0, 0, 0]
    first = 1672304486865 * 2**20
    assert batch.trade_id.tolist() == [first, first + 1, first + 2, first + 2**20]
    assert batch.first_id.tolist() == batch.trade_id.tolist() == batch.last_id.tolist()
    assert batch.event_ns.tolist()[2:] == [1672304486865000000, 1672304486866000000]


def test_a_trade_that_came_before_is_dropped_also_after_a_restart() -> None:
    first = BybitMapper(LINEAR)
    first.map(lines(trades_frame(trade("00000001"), trade("00000002"))))
    second = BybitMapper(LINEAR)
    second.restore(first.to_bytes())
    mapped = second.map(lines(trades_frame(trade("00000002"), trade("00000003"))))
    assert mapped.batch.kind.tolist() == [EventKind.TRADE]
    assert mapped.batch.trade_id.tolist() == [1672304486865 * 2**20 + 2]
    assert mapped.filtered == {"publicTrade.duplicate": 1}


def test_what_filled_orders_of_retail_price_improvement_is_no_normal_quantity() -> None:
    told = [TRADE.replace('"BT"', f'"RPI":{flag},"BT"') for flag in ("true", "false")]
    frames = [TRADE.replace("20f4", "00f4"), *(f.replace("20f4", f"{n}1f4") for n, f in enumerate(told))]
    assert mapped_of(trades_frame(*frames)).batch.normal_lots.tolist() == [-1, 0, 1]
    assert mapped_of(SNAPSHOT, trades_frame(told[1])).batch.normal_lots.tolist() == [-1, 1]


def test_a_block_trade_is_no_market_order() -> None:
    mapped = mapped_of(trades_frame(TRADE.replace('"BT":false', '"BT":true')))
    assert mapped.batch.order_type.tolist() == [3]


def test_a_ticker_is_put_together_from_its_snapshot_and_partial_deltas() -> None:
    mapper = BybitMapper(LINEAR)
    first = mapper.map(lines(TICKER))
    assert first.others == [
        MarkPrice(
            "BTCUSDT", 1673272861686000000, RECEIVED, 17217.33, 17227.36, -0.000212, 1673280000000000000
        ),
        OpenInterest("BTCUSDT", 1673272861686000000, RECEIVED, 68744.761),
    ]
    assert first.batch.kind.tolist() == [EventKind.OTHER]
    assert first.batch.event_ns.tolist() == [0]
    restarted = BybitMapper(LINEAR)
    restarted.restore(mapper.to_bytes())
    head, tail = '{"topic":"tickers.BTCUSDT","type":"delta","data":{"symbol":"BTCUSDT",', '},"cs":9,"ts":%d}'
    second = restarted.map(
        lines(
            head + '"markPrice":"17217.40"' + tail % 1673272861786,
            head + '"openInterest":"68744.8"' + tail % 1673272861886,
            head + '"bid1Price":"17215.60"' + tail % 1673272861986,
            head + '"fundingRate":"0.0001","nextFundingTime":"1673308800000"' + tail % 1673272862086,
        )
    )
    assert second.others == [
        MarkPrice(
            "BTCUSDT", 1673272861786000000, RECEIVED, 17217.40, 17227.36, -0.000212, 1673280000000000000
        ),
        OpenInterest("BTCUSDT", 1673272861886000000, RECEIVED + 1, 68744.8),
        MarkPrice(
            "BTCUSDT", 1673272862086000000, RECEIVED + 3, 17217.40, 17227.36, 0.0001, 1673308800000000000
        ),
    ]
    assert not second.rejections
    assert not second.unknown_fields


def test_a_ticker_delta_means_nothing_without_its_snapshot() -> None:
    delta = '{"topic":"tickers.BTCUSDT","type":"delta","data":{"symbol":"BTCUSDT","markPrice":"1"},"ts":5}'
    lost = '{"stream":"!undertow","data":{"e":"disconnect","category":"public","reason":"reset"}}'
    mapped = mapped_of(delta, TICKER, lost, delta)
    assert len(mapped.others) == 2
    assert mapped.filtered == {"tickers.delta without a snapshot": 2}


def test_a_liquidated_long_is_a_forced_sale() -> None:
    frame = (
        '{"topic":"allLiquidation.BTCUSDT","type":"snapshot","ts":1739502303204,"data":[{"T":1739502302929,'
        '"s":"BTCUSDT","S":"Sell","v":"20000","p":"0.04499"},{"T":1739502302930,"s":"BTCUSDT","S":"Buy",'
        '"v":"1.5","p":"2"}]}'
    )
    short, long = mapped_of(frame).others
    assert isinstance(short, Liquidation)
    assert isinstance(long, Liquidation)
    assert (short.is_sell, long.is_sell) == (False, True)
    assert (short.event_ns, short.published_ns) == (1739502302929000000, 1739502303204000000)
    assert (short.quantity, short.price) == (20000.0, 0.04499)


def test_a_candle_does_not_tell_trades_or_takers() -> None:
    frame = (
        '{"topic":"kline.1.BTCUSDT","data":[{"start":1672324800000,"end":1672324859999,"interval":"1","open":'
        '"16649.5","close":"16677","high":"16677","low":"16608","volume":"2.081","turnover":"34666.4005",'
        '"confirm":false,"timestamp":1672324988882}],"ts":1672324988882,"type":"snapshot"}'
    )
    (candle,) = mapped_of(frame).others
    assert isinstance(candle, Kline)
    assert (candle.open_ns, candle.close_ns) == (1672324800000000000, 1672324860000000000)
    assert (candle.open, candle.high, candle.low, candle.close) == (16649.5, 16677.0, 16608.0, 16677.0)
    assert (candle.volume, candle.quote_volume, candle.interval) == (2.081, 34666.4005, "1m")
    assert candle.trade_count == -1
    assert math.isnan(candle.taker_buy_volume)
    assert not candle.is_closed


def test_answers_of_rest_are_read_like_topics() -> None:
    interest = (
        b'{"retCode":0,"retMsg":"OK","result":{"symbol":"BTCUSDT","category":"linear","list":[{"openInterest":'
        b'"2.5","timestamp":"1669571700000"},{"openInterest":"461134384.0","timestamp":"1669571400000"}],'
        b'"nextPageCursor":""},"retExtInfo":{},"time":1672053548579}'
    )
    funding = (
        b'{"retCode":0,"retMsg":"OK","result":{"category":"linear","list":[{"symbol":"BTCUSDT",'
        b'"fundingRate":"0.0001","fundingRateTimestamp":"1672041600000"}]},"retExtInfo":{},"time":1}'
    )
    mapped = mapped_of(
        answer_frame("open-interest", "BTCUSDT", interest).decode(),
        answer_frame("funding", "BTCUSDT", funding).decode(),
    )
    assert mapped.others == [
        OpenInterest("BTCUSDT", 1669571400000000000, RECEIVED, 461134384.0),
        OpenInterest("BTCUSDT", 1669571700000000000, RECEIVED, 2.5),
        FundingRate("BTCUSDT", 1672041600000000000, RECEIVED + 1, 0.0001, None),
    ]
    refused = mapped_of(
        answer_frame("funding", "BTCUSDT", b'{"retCode":10006,"retMsg":"Too many visits!"}').decode()
    )
    assert [r.reason for r in refused.rejections] == [Reason.MISSING_FIELD]
    assert "10006: Too many visits!" in refused.rejections[0].message


def test_a_rest_book_is_a_snapshot_where_its_ids_are_those_of_the_topic() -> None:
    body = (
        b'{"retCode":0,"retMsg":"OK","result":{"s":"BTCUSDT","a":[["65557.7","16.606"]],"b":[["65485.4",'
        b'"47.081"]],"ts":1716863719031,"u":230704,"seq":1432604333,"cts":1716863718905},"retExtInfo":{},'
        b'"time":1716863719382}'
    )
    frame = answer_frame("orderbook.1000", "BTCUSDT", body).decode()
    same = mapped_of(frame, depth=1000)
    assert same.batch.kind.tolist() == [EventKind.SNAPSHOT]
    assert same.batch.last_id.tolist() == [230704]
    assert same.batch.event_ns.tolist() == [1716863718905000000]
    assert same.batch.level_ticks.tolist() == [654854, 655577]
    other = mapped_of(frame, depth=200)
    assert other.batch.kind.tolist() == [EventKind.OTHER]
    assert other.filtered == {"rest.orderbook.1000": 1}


def test_our_own_marks() -> None:
    mapped = mapped_of(
        '{"stream":"!undertow","data":{"e":"disconnect","category":"public","reason":"reset"}}',
        '{"stream":"!undertow","data":{"e":"watermark","T":1770123456789}}',
        '{"stream":"!undertow","data":{"e":"audit"}}',
        '{"stream":"!undertow","data":{"e":"clock","T":1770123456789,"offset_us":-1,"error_us":2,"rtt_us":3}}',
        '{"stream":"!undertow","data":{"e":"instrument","T":1770123456789,"symbol":"BTCUSDT","change":"tick",'
        '"before":"0.10","after":"0.01"}}',
    )
    kinds = [EventKind.DISCONNECT, EventKind.WATERMARK, EventKind.AUDIT, EventKind.OTHER, EventKind.OTHER]
    assert mapped.batch.kind.tolist() == kinds
    assert mapped.batch.first_id[0] == 3
    assert mapped.batch.event_ns[1] == 1770123456789000000
    at = 1770123456789000000
    assert mapped.others == [
        ClockOffset("", at, RECEIVED + 3, -1, 2, 3),
        ListingChange("BTCUSDT", at, RECEIVED + 4, "tick", "0.10", "0.01"),
    ]


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (SNAPSHOT[:-20], Reason.NOT_JSON),
        ("", Reason.NOT_JSON),
        ("[1,2]", Reason.MISSING_FIELD),
        (SNAPSHOT.replace("16493.50", "16493.55"), Reason.OFF_STEP),
        (SNAPSHOT.replace("0.213", "0.2130001"), Reason.OFF_STEP),
        (SNAPSHOT.replace("0.213", "inf"), Reason.OFF_STEP),
        (SNAPSHOT.replace("0.213", "9e15"), Reason.OFF_STEP),
        (SNAPSHOT.replace('"0.213"', '"-1"'), Reason.MISSING_FIELD),
        (SNAPSHOT.replace('"0.213"', '""'), Reason.MISSING_FIELD),
        (SNAPSHOT.replace('"u":18521288,', ""), Reason.MISSING_FIELD),
        (SNAPSHOT.replace('"snapshot"', '"restated"'), Reason.MISSING_FIELD),
        (SNAPSHOT.replace('"s":"BTCUSDT"', '"s":"ETHUSDT"'), Reason.OTHER_SYMBOL),
        (SNAPSHOT.replace("50.BTCUSDT", "50.ETHUSDT"), Reason.OTHER_SYMBOL),
        (trades_frame(TRADE.replace('"Buy"', '"buy"')), Reason.MISSING_FIELD),
        (trades_frame(TRADE.replace("20f43950-", "")), Reason.MISSING_FIELD),
        (trades_frame(TRADE.replace("20f43950", "zzf43950")), Reason.MISSING_FIELD),
        (trades_frame(TRADE.replace("16578.50", "16578.55")), Reason.OFF_STEP),
        (TICKER.replace('"17217.33"', '"x"'), Reason.MISSING_FIELD),
        (TICKER.replace('"-0.000212"', '"x"'), Reason.MISSING_FIELD),
        (TICKER.replace("1673280000000", "9" * 4400), Reason.MISSING_FIELD),
        (TICKER.replace("1673280000000", "9" * 14), Reason.MISSING_FIELD),
        (TICKER.replace('"symbol":"BTCUSDT",', ""), Reason.OTHER_SYMBOL),
    ],
)
def test_a_frame_that_cannot_be_used_is_told_and_leaves_its_neighbours_alone(
    frame: str, reason: Reason
) -> None:
    mapped = mapped_of(DELTA, frame, DELTA)
    assert mapped.batch.kind.tolist() == [EventKind.DELTA, EventKind.REJECTED, EventKind.DELTA]
    assert [(r.line, r.reason) for r in mapped.rejections] == [(1, reason)]
    assert mapped.rejections[0].text == frame[:80]
    assert bool(mapped.field_faults) == (reason == Reason.MISSING_FIELD)
    assert not mapped.others


def test_a_line_without_a_receive_time() -> None:
    mapped = BybitMapper(LINEAR).map(b"now {}\n\n" + lines(DELTA).rstrip())
    assert [(r.line, r.reason) for r in mapped.rejections] == [
        (0, Reason.NO_RECEIVE_TIME),
        (1, Reason.NO_RECEIVE_TIME),
    ]


def test_what_is_unknown_is_counted_and_the_rest_is_used() -> None:
    mapped = mapped_of(
        SNAPSHOT.replace('"u":', '"new":[{"a":1}],"u":').replace('"ts":', '"nonce":1,"ts":'),
        trades_frame(TRADE.replace('"BT"', '"XX":1,"BT"')),
        TICKER.replace('"markPrice"', '"moon":"full","markPrice"'),
        '{"topic":"insurance.USDT","type":"delta","ts":1,"data":{}}',
        '{"hello":1}',
    )
    assert mapped.batch.kind.tolist()[:2] == [EventKind.BASE, EventKind.TRADE]
    unknown = {"orderbook.new": 1, "frame.nonce": 1, "publicTrade.XX": 1, "tickers.moon": 1, "frame.hello": 1}
    assert mapped.unknown_fields == unknown
    assert mapped.unknown_types == {"insurance": 1, "(none)": 1}
    assert len(mapped.others) == 2
    assert not mapped.rejections


def test_each_event_names_the_row_that_it_came_in() -> None:
    """The frame of trades has two rows of the batch, the ticker gives two events in one."""
    frames = [trades_frame(trade("00000001"), trade("00000002")), TICKER, DELTA, TICKER]
    mapped = mapped_of(*frames)
    assert mapped.other_rows == [2, 2, 4, 4]
    came = mapped.batch.receive_ns[mapped.other_rows].tolist()
    assert (
        came
        == [event.receive_ns for event in mapped.others if not isinstance(event, Gap)]
        == [RECEIVED + at for at in (1, 1, 3, 3)]
    )


def test_replies_take_no_part() -> None:
    pong = '{"success":true,"ret_msg":"pong","conn_id":"0970e817-426e-429a-a679-ff7f55e0b16a","op":"ping"}'
    assert mapped_of(pong).filtered == {"reply.ping": 1}


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 6), max_size=12), st.integers(0, 12))
def test_lines_give_the_same_however_they_are_cut(choice: list[int], cut: int) -> None:
    frames = [SNAPSHOT, DELTA, trades_frame(trade("00000001"), trade("00000002")), TICKER]
    frames += [TICKER.replace("snapshot", "delta"), trades_frame(trade("00000002", side="Sell")), "{"]
    text = [f"{RECEIVED + at} {frames[kind]}\n".encode() for at, kind in enumerate(choice)]
    whole = BybitMapper(LINEAR, 50).map(b"".join(text))
    first = BybitMapper(LINEAR, 50)
    one = first.map(b"".join(text[:cut]))
    second = BybitMapper(LINEAR, 50)
    second.restore(first.to_bytes())
    two = second.map(b"".join(text[cut:]))
    assert whole.others == one.others + two.others
    assert whole.other_rows == one.other_rows + [row + len(one.batch) for row in two.other_rows]
    for name in ("kind", "trade_id", "receive_ns", "level_ticks", "price_ticks", "last_id", "bid_count"):
        parts = np.concatenate([getattr(one.batch, name), getattr(two.batch, name)])
        assert parts.tolist() == getattr(whole.batch, name).tolist()
    assert whole.filtered == one.filtered + two.filtered


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 10**12), st.sampled_from(["0.10", "0.5", "0.00001", "5", "0.000001", "2.5"]))
def test_every_whole_step_is_read_exactly(count: int, step: str) -> None:
    instrument = Instrument("bybit-linear", "BTCUSDT", step, step)
    price = instrument.price
    text = f"{count * price.units // price.divisor}.{count * price.units % price.divisor:0{price.digits}d}"
    frame = DELTA.replace("30247.20", text).replace("30.028", text)
    frame = frame[: frame.index(',["30245')] + '],"a":[' + frame[frame.index('],"u"') :]
    batch = BybitMapper(instrument, 50).map(lines(frame)).batch
    assert batch.level_ticks.tolist() == [count]
    assert batch.level_lots.tolist() == [count]
