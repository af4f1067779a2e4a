import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from undertow.execution.fills import take, walk
from undertow.market.orders import Side, TopOfBook

levels = st.lists(
    st.tuples(st.integers(1, 500), st.integers(0, 50)), max_size=12, unique_by=lambda level: level[0]
)
sides = st.sampled_from(Side)


def columns(pairs: list[tuple[int, int]]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    table = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    return table[:, 0], table[:, 1]


def book(bids: list[tuple[int, int]], asks: list[tuple[int, int]]) -> TopOfBook:
    return TopOfBook(1, 2, *columns(bids), *columns(asks))


BOOK = book([(100, 2), (99, 3), (98, 5)], [(101, 1), (102, 4), (103, 5)])


def test_a_buy_walks_the_asks() -> None:
    result, left = take(BOOK, Side.BUY, 3)
    assert result.taken == ((101, 1), (102, 2))
    assert result.residual_lots == 0
    assert left.ask_lots.tolist() == [0, 2, 5]
    assert left.bid_lots.tolist() == [2, 3, 5]


def test_a_sell_walks_the_bids() -> None:
    result, left = take(BOOK, Side.SELL, 2)
    assert result.taken == ((100, 2),)
    assert left.bid_lots.tolist() == [0, 3, 5]


def test_more_than_is_displayed_stays_unfilled() -> None:
    result, _ = take(BOOK, Side.BUY, 25)
    assert result.taken == ((101, 1), (102, 4), (103, 5))
    assert result.residual_lots == 15


def test_levels_that_do_not_exist_fill_nothing() -> None:
    result = walk(*columns([(101, 1), (0, 0), (0, 0)]), 2)
    assert result.taken == ((101, 1),)
    assert result.residual_lots == 1


def test_an_empty_book_fills_nothing() -> None:
    assert walk(*columns([]), 4).residual_lots == 4


def test_the_book_walked_is_not_changed() -> None:
    take(BOOK, Side.BUY, 10)
    assert BOOK.ask_lots.tolist() == [1, 4, 5]


@given(levels, levels, sides, st.integers(1, 400))
def test_lots_are_conserved(
    bids: list[tuple[int, int]], asks: list[tuple[int, int]], side: Side, quantity: int
) -> None:
    asks, bids = sorted(asks), sorted(bids, reverse=True)
    before = book(bids, asks)
    result, after = take(before, side, quantity)
    filled = sum(lots for _, lots in result.taken)
    shown = int((before.ask_lots if side is Side.BUY else before.bid_lots).sum())
    gone = int(before.ask_lots.sum() - after.ask_lots.sum() + before.bid_lots.sum() - after.bid_lots.sum())
    assert filled + result.residual_lots == quantity
    assert filled == min(quantity, shown) == gone
    assert all(lots > 0 for _, lots in result.taken)
    prices = [price for price, _ in result.taken]
    assert prices == sorted(prices, reverse=side is Side.SELL)


@given(levels, st.integers(1, 200), st.integers(1, 200))
def test_two_orders_get_what_one_of_their_sum_gets(
    asks: list[tuple[int, int]], first: int, second: int
) -> None:
    before = book([], sorted(asks))
    one, rest = take(before, Side.BUY, first)
    two, _ = take(rest, Side.BUY, second)
    both, _ = take(before, Side.BUY, first + second)
    cost = sum(price * lots for price, lots in (*one.taken, *two.taken))
    assert cost == sum(price * lots for price, lots in both.taken)


@given(levels, st.integers(1, 200), st.integers(0, 50))
def test_a_larger_order_never_pays_a_better_average(
    asks: list[tuple[int, int]], quantity: int, more: int
) -> None:
    before = book([], sorted(asks))
    small, large = take(before, Side.BUY, quantity)[0], take(before, Side.BUY, quantity + more)[0]
    lots_small, lots_large = (sum(lots for _, lots in walk.taken) for walk in (small, large))
    cost_small, cost_large = (sum(price * lots for price, lots in walk.taken) for walk in (small, large))
    assert cost_small * lots_large <= cost_large * lots_small
