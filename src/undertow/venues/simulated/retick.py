"""A finer tick: the market goes on at the same prices, and new orders may lie between the old ones."""

from dataclasses import replace
from decimal import Decimal, InvalidOperation

import msgspec
import numpy as np

from undertow.errors import InputError
from undertow.venues.simulated.market import Market
from undertow.venues.simulated.matching import (
    ANCHOR,
    BEST_ASK,
    BEST_BID,
    COUNT,
    HEAD,
    NO_TICK,
    TAIL,
    TICK,
    Book,
)
from undertow.venues.simulated.orderflow import FAIR
from undertow.venues.simulated.wire import Candle

__all__ = ["refine_tick", "tick_factor"]


def tick_factor(market: Market, tick: str) -> int:
    """How many of a finer tick make one of the present; raises InputError where that is no whole number."""
    present = market.listing.instrument.tick
    try:
        factor = Decimal(present) / Decimal(tick)
    except (InvalidOperation, ZeroDivisionError) as error:
        raise InputError(f"fault 'tick_change': tick {tick!r} is no price step") from error
    if factor < 2 or factor != int(factor):
        raise InputError(
            f"fault 'tick_change': {present} of {market.listing.symbol} is no multiple of {tick}; "
            "only a finer tick can be set"
        )
    return int(factor)


def refine_tick(market: Market, tick: str) -> None:
    """Set a finer tick, which divides the present one; raises InputError for any other."""
    factor = tick_factor(market, tick)
    listing = market.listing
    market.listing = replace(
        listing,
        instrument=msgspec.structs.replace(listing.instrument, tick=tick),
        start_ticks=listing.start_ticks * factor,
        jump_ticks=listing.jump_ticks * factor,
    )
    habits = market.habits
    market.habits = habits._replace(
        jump_ticks=habits.jump_ticks * factor,
        distance=habits.distance * factor,
        most_distant=habits.most_distant * factor,
    )
    market.book = _refined_book(market.book, factor)
    market.flow.integers[FAIR] *= factor
    market.flow.tops[:, [2, 4]] *= factor
    market.index_ticks *= factor
    market.aggregates.scale_prices(factor)
    market.candles[:] = [_refined_candle(candle, factor) for candle in market.candles]


def _refined_book(book: Book, factor: int) -> Book:
    """The same orders; the ring is longer, so that it holds as wide a range of prices."""
    span = book.levels.shape[0] << (factor - 1).bit_length()
    levels = np.zeros((span, book.levels.shape[1]), np.int64)
    levels[:, [HEAD, TAIL]] = -1
    for row in book.levels[book.levels[:, COUNT] > 0]:
        tick = int(book.orders[row[HEAD], TICK]) * factor
        levels[tick & (span - 1)] = row
    book.orders[:, TICK] *= factor
    book.changes[:, 2] *= factor
    for place in (BEST_BID, BEST_ASK):
        if book.meta[place] != NO_TICK:
            book.meta[place] *= factor
    book.meta[ANCHOR] *= factor
    return book._replace(levels=levels)


def _refined_candle(candle: Candle, factor: int) -> Candle:
    return candle._replace(
        open_ticks=candle.open_ticks * factor,
        high_ticks=candle.high_ticks * factor,
        low_ticks=candle.low_ticks * factor,
        close_ticks=candle.close_ticks * factor,
        amount=candle.amount * factor,
        taker_amount=candle.taker_amount * factor,
    )
