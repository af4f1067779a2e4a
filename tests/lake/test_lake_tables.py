"""Columns of older files that lack what later versions write."""

from dataclasses import fields

import numpy as np

from undertow.lake import tables
from undertow.lake.schemas import BOOK, BOOK_CHANGES
from undertow.market.columns import BookColumns
from undertow.market.instruments import Instrument

INSTRUMENT = Instrument("binance-usdm", "BTCUSDT", "0.10", "0.001")


def book(count: int) -> BookColumns:
    values = np.arange(1, count + 1)
    columns = {f.name: values * 10**6 for f in fields(BookColumns)}
    sides = ("bid_ticks", "bid_lots", "ask_ticks", "ask_lots")
    return BookColumns(**columns | {name: np.ones((count, 20), np.int64) for name in sides})


def test_what_changed_in_the_book_is_stored_as_whole_lots() -> None:
    table = tables.book_to_arrow(INSTRUMENT, book(3))
    for name in BOOK_CHANGES:
        assert table[name].to_pylist() == [10**6, 2 * 10**6, 3 * 10**6]


def test_it_is_null_where_it_is_not_known_and_comes_back_as_such() -> None:
    some = book(3)
    some.added_bids[1] = -1
    table = tables.book_to_arrow(INSTRUMENT, some)
    assert all(table[name].is_null().to_pylist() == [False, True, False] for name in BOOK_CHANGES)
    back = tables.arrow_to_book(INSTRUMENT, table)
    assert back.added_bids.tolist() == back.removed_asks.tolist() == [10**6, -1, 3 * 10**6]
    assert back.ofi_level_7.tolist() == [10**6, 0, 3 * 10**6]


def test_files_of_older_versions_are_read() -> None:
    """They end before these columns; version 1 has no trusted prices either."""
    table = tables.book_to_arrow(INSTRUMENT, book(3))
    assert tuple(BOOK.names[-len(BOOK_CHANGES) :]) == BOOK_CHANGES
    old = table.drop_columns([*BOOK_CHANGES, "trusted_bid", "trusted_ask"])
    back = tables.arrow_to_book(INSTRUMENT, old)
    for name in BOOK_CHANGES:
        absent = 0 if name.startswith("ofi") else -1
        assert getattr(back, name).tolist() == [absent] * 3, name
    assert back.ofi_10.tolist() == [10**6, 2 * 10**6, 3 * 10**6]
    assert back.trusted_ask_ticks.tolist() == [0, 0, 0]
