"""Faults of books and ids: what the exchange itself does to a market."""

from collections.abc import Callable, Mapping

from undertow.venues.simulated.faults import Fault
from undertow.venues.simulated.market import DELISTED
from undertow.venues.simulated.matching import (
    ASK,
    BID,
    CHANGE_COUNT,
    COUNT,
    HANDLE,
    HEAD,
    UPDATE_ID,
    UPDATE_MS,
    cancel,
)
from undertow.venues.simulated.publisher import Publisher

__all__ = ["BOOK_FAULTS"]

_SIDES = {"bid": BID, "ask": ASK}
_STILL_S = 1.0
"""How long a book stays empty unless said."""
_MOST_LEVELS = 1 << 13


def _clear_level(publisher: Publisher, tick: int) -> None:
    """Cancel all orders at a price."""
    book = publisher.market.book
    level = book.levels[tick & (book.levels.shape[0] - 1)]
    while level[COUNT]:
        cancel(book, int(book.orders[level[HEAD], HANDLE]))


def _ghost(publisher: Publisher, fault: Fault) -> None:
    """Remove `count` levels, 1 unless said, from `ticks_away` behind the best price on; tell nobody."""
    market = publisher.market
    side = _SIDES[fault.side]
    levels = market.levels(side, _MOST_LEVELS)[:, 0].tolist()
    behind = [tick for tick in levels if abs(tick - levels[0]) >= max(1, fault.ticks_away)]
    meta = market.book.meta
    told = meta[[CHANGE_COUNT, UPDATE_ID, UPDATE_MS]].copy()
    for tick in behind[: fault.count or 1]:
        _clear_level(publisher, tick)
        publisher.ghosts.append((fault.side, market.listing.price(tick)))
    meta[[CHANGE_COUNT, UPDATE_ID, UPDATE_MS]] = told


def _empty_sides(publisher: Publisher, sides: tuple[int, ...], for_s: float) -> None:
    """Cancel all orders of the sides, and let nobody act for a while."""
    market = publisher.market
    for side in sides:
        for tick in market.levels(side, _MOST_LEVELS)[:, 0].tolist():
            _clear_level(publisher, tick)
    market.still_until_ms = max(market.still_until_ms, market.now_ms + round((for_s or _STILL_S) * 1000))


def _empty_side(publisher: Publisher, fault: Fault) -> None:
    _empty_sides(publisher, (_SIDES[fault.side],), fault.for_s)


def _empty_book(publisher: Publisher, fault: Fault) -> None:
    _empty_sides(publisher, (BID, ASK), fault.for_s)


def _empty_delta(publisher: Publisher, _fault: Fault) -> None:
    publisher.owe_empty_deltas()


def _rebase(publisher: Publisher, _fault: Fault) -> None:
    publisher.rebase()


def _partial_range(publisher: Publisher, fault: Fault) -> None:
    publisher.market.trades_to_omit += fault.count or 1


def _status_change(publisher: Publisher, fault: Fault) -> None:
    """State a status; nobody can trade unless it is TRADING."""
    market = publisher.market
    market.status = fault.status
    market.still_until_ms = 0 if fault.status == "TRADING" else _FOR_EVER_MS


def _delist(publisher: Publisher, _fault: Fault) -> None:
    publisher.market.status = DELISTED
    publisher.market.still_until_ms = _FOR_EVER_MS


def _funding_interval(publisher: Publisher, fault: Fault) -> None:
    publisher.market.funding_hours = fault.hours


def _tick_change(publisher: Publisher, fault: Fault) -> None:
    publisher.change_tick(fault.tick)


_FOR_EVER_MS = 1 << 52

BOOK_FAULTS: Mapping[str, Callable[[Publisher, Fault], None]] = {
    "ghost": _ghost,
    "empty_side": _empty_side,
    "empty_book": _empty_book,
    "empty_delta": _empty_delta,
    "rebase": _rebase,
    "partial_range": _partial_range,
    "status_change": _status_change,
    "delist": _delist,
    "funding_interval": _funding_interval,
    "tick_change": _tick_change,
}
"""Kind → what it does to a market."""
