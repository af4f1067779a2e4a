from fractions import Fraction

import msgspec
import numpy as np
import pytest

from undertow.market.instruments import Instrument
from undertow.market.orders import Fill, OrderRequest, Side, TopOfBook, tick_lot_value


def book(bids: list[tuple[int, int]], asks: list[tuple[int, int]]) -> TopOfBook:
    sides = [np.array(side, dtype=np.int64).reshape(-1, 2) for side in (bids, asks)]
    return TopOfBook(1, 2, sides[0][:, 0], sides[0][:, 1], sides[1][:, 0], sides[1][:, 1])


def test_tick_lot_value_is_exact() -> None:
    assert tick_lot_value(Instrument("binance", "BTCUSDT", "0.1", "0.001")) == Fraction(1, 10_000)
    assert tick_lot_value(Instrument("binance", "X", "0.25", "5")) == Fraction(5, 4)


@pytest.mark.parametrize(
    ("bids", "asks", "fault"),
    [
        ([(100, 1)], [(101, 1)], None),
        ([], [(101, 1)], "one_sided"),
        ([(100, 1)], [], "one_sided"),
        ([], [], "one_sided"),
        ([(0, 0)], [(101, 1)], "one_sided"),
        ([(101, 1)], [(101, 1)], "crossed"),
        ([(102, 1)], [(101, 1)], "crossed"),
    ],
)
def test_fault_of_a_book(bids: list[tuple[int, int]], asks: list[tuple[int, int]], fault: str | None) -> None:
    assert book(bids, asks).fault == fault


def test_a_long_is_closed_at_the_bid_and_a_short_at_the_ask() -> None:
    top = book([(100, 1)], [(103, 1)])
    assert top.closing_ticks(5) == 100
    assert top.closing_ticks(-5) == 103


def test_sides() -> None:
    assert (Side.BUY.sign, Side.SELL.sign) == (1, -1)
    assert (Side.BUY.opposite, Side.SELL.opposite) == (Side.SELL, Side.BUY)


def test_signed_lots_and_notional_follow_the_side() -> None:
    assert OrderRequest("a-1", "BTCUSDT", 0, Side.SELL, 3).signed_lots == -3
    fill = Fill("a-1-0", "a-1", "BTCUSDT", 0, 0, Side.BUY, 100, 3, 0)
    assert (fill.signed_lots, fill.notional) == (3, 300)


def test_orders_survive_the_wire() -> None:
    order = OrderRequest("a-1", "BTCUSDT", 5, Side.SELL, 3)
    assert msgspec.json.decode(msgspec.json.encode(order), type=OrderRequest) == order
