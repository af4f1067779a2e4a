from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest

from undertow.execution.broker import Broker
from undertow.execution.fees import TakerFee
from undertow.execution.paper import PaperBroker
from undertow.market.instruments import Instrument
from undertow.market.orders import OrderRequest, Side, TopOfBook

BTC = Instrument("binance", "BTCUSDT", "0.1", "0.001")


def book(at_ns: int = 1000, ask: int = 101, lots: int = 5) -> TopOfBook:
    one = np.array([lots], dtype=np.int64)
    return TopOfBook(at_ns, at_ns, np.array([100], dtype=np.int64), one, np.array([ask], dtype=np.int64), one)


def order(number: int = 1, side: Side = Side.BUY, lots: int = 3) -> OrderRequest:
    return OrderRequest(f"a-{number}", "BTCUSDT", 1000, side, lots)


def broker(latency_ns: int = 0, max_book_age_ns: int = 100) -> PaperBroker:
    return PaperBroker(BTC, TakerFee(Decimal(5)), latency_ns, max_book_age_ns)


def test_without_latency_the_book_of_decision_time_fills() -> None:
    paper = broker()
    paper.submit(order(), 1000)
    (execution,) = paper.on_book(book(990), 1000)
    (fill,) = execution.fills
    assert (fill.fill_id, fill.price_ticks, fill.quantity_lots, fill.fill_ns) == ("a-1-0", 101, 3, 1000)
    assert fill.book_event_ns == 990
    assert fill.fee_e8 == TakerFee(Decimal(5)).fee_e8(BTC, 303)
    assert execution.cancelled_lots == 0
    assert paper.pending == ()


def test_with_latency_the_first_book_at_or_after_arrival_fills() -> None:
    paper: Broker = broker(latency_ns=50)
    paper.submit(order(), 1000)
    assert paper.on_book(book(1000, ask=101), 1000) == ()
    assert paper.on_book(book(1049, ask=102), 1049) == ()
    assert paper.pending == (order(),)
    (execution,) = paper.on_book(book(1050, ask=103), 1050)
    assert execution.fills[0].price_ticks == 103
    assert paper.on_book(book(1060), 1060) == ()


def test_what_the_book_does_not_hold_is_cancelled() -> None:
    paper = broker()
    paper.submit(order(lots=8), 1000)
    (execution,) = paper.on_book(book(lots=5), 1000)
    assert sum(fill.quantity_lots for fill in execution.fills) == 5
    assert execution.cancelled_lots == 3


def test_two_orders_cannot_take_the_same_lots() -> None:
    paper = broker()
    paper.submit(order(1, lots=3), 1000)
    paper.submit(order(2, lots=3), 1000)
    first, second = paper.on_book(book(lots=5), 1000)
    assert (first.cancelled_lots, second.cancelled_lots) == (0, 1)
    paper.submit(order(3, lots=3), 1001)
    assert paper.on_book(book(lots=5), 1001)[0].fills == ()
    paper.submit(order(4, lots=3), 1002)
    assert paper.on_book(book(at_ns=1002, lots=5), 1002)[0].cancelled_lots == 0


@pytest.mark.parametrize(
    "unusable",
    [
        None,
        book(ask=100),
        replace(book(), ask_lots=np.array([0], dtype=np.int64)),
        book(at_ns=899),
    ],
    ids=["none", "crossed", "one sided", "stale"],
)
def test_an_order_waits_for_a_usable_book(unusable: TopOfBook | None) -> None:
    paper = broker()
    paper.submit(order(), 1000)
    assert paper.on_book(unusable, 1000) == ()
    assert paper.pending == (order(),)
    assert paper.on_book(book(at_ns=1000), 1001)[0].cancelled_lots == 0


def test_a_client_id_is_used_once() -> None:
    paper = broker()
    paper.submit(order(), 1000)
    with pytest.raises(ValueError, match="a-1"):
        paper.submit(order(), 1001)


def test_negative_latency_is_refused() -> None:
    with pytest.raises(ValueError, match="latency"):
        broker(latency_ns=-1)
