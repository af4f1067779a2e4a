import pytest

from undertow.errors import VenueError
from undertow.market.instruments import Instrument
from undertow.venues.binance.rest_trades import parse_aggregate_trades, parse_single_trades

INSTRUMENT = Instrument("binance-usdm", "BTCUSDT", "0.10", "0.001")
ROW = '{"a":26129,"p":"61800.30","q":"0.006","nq":"0.006","f":27781,"l":27783,"T":1498793709153,"m":true}'


def test_rows_are_exact_and_say_where_they_came_from() -> None:
    trades = parse_aggregate_trades(f"[{ROW}]".encode(), INSTRUMENT, 77)
    assert (trades.trade_id[0], trades.first_trade_id[0], trades.last_trade_id[0]) == (26129, 27781, 27783)
    assert (trades.price_ticks[0], trades.quantity_lots[0]) == (618003, 6)
    assert (trades.event_ns[0], trades.receive_ns[0]) == (1498793709153000000, 77)
    assert (trades.source[0], trades.is_late[0], trades.is_buyer_maker[0]) == (1, True, True)


def test_the_normal_quantity_where_it_is_told() -> None:
    rows = [ROW, ROW.replace('"nq":"0.006"', '"nq":"0.004"'), ROW.replace('"nq":"0.006",', "")]
    trades = parse_aggregate_trades(f"[{','.join(rows)}]".encode(), INSTRUMENT, 77)
    assert trades.normal_lots.tolist() == [6, 4, -1]


@pytest.mark.parametrize("body", [b"{}", b"[1]", b"<html>", b'[{"a":1}]'])
def test_what_is_no_answer_is_refused(body: bytes) -> None:
    with pytest.raises(VenueError, match="not an answer"):
        parse_aggregate_trades(body, INSTRUMENT, 1)


@pytest.mark.parametrize(
    ("price", "words"), [("61800.35", "multiple"), ("abc", "no number"), ("-1", "multiple")]
)
def test_values_off_the_step_are_refused(price: str, words: str) -> None:
    with pytest.raises(VenueError, match=words):
        parse_aggregate_trades(f"[{ROW.replace('61800.30', price)}]".encode(), INSTRUMENT, 1)


def test_single_trades() -> None:
    body = (
        b'[{"id":28457,"price":"61800.30","qty":"0.006","quoteQty":"370.80","time":1499865549590,'
        b'"isBuyerMaker":true}]'
    )
    trades = parse_single_trades(body, INSTRUMENT, 77)
    assert (trades.trade_id[0], trades.first_trade_id[0], trades.last_trade_id[0]) == (28457, 28457, 28457)
    assert (trades.price_ticks[0], trades.quantity_lots[0], trades.normal_lots[0]) == (618003, 6, -1)
    assert (trades.event_ns[0], trades.receive_ns[0]) == (1499865549590000000, 77)
    assert (trades.source[0], trades.is_late[0], trades.is_buyer_maker[0]) == (1, True, True)
    with pytest.raises(VenueError, match="not an answer of trades"):
        parse_single_trades(b'{"code":-1}', INSTRUMENT, 1)
