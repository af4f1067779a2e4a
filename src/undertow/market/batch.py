"""A block of decoded frames of one symbol, in arrival order: what a mapper hands to the Sampler."""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

__all__ = ["EventBatch", "EventKind"]

Integers = NDArray[np.int64]


class EventKind(IntEnum):
    """What a frame turned out to be."""

    REJECTED = 0
    """Not a frame: the mapper reports why; nothing else of the row is meaningful."""
    OTHER = 1
    """A frame whose content takes no part in the fold."""
    DELTA = 2
    SNAPSHOT = 3
    TRADE = 4
    AGGREGATE_TRADE = 5
    BEST_QUOTE = 6
    DISCONNECT = 7
    """Our own mark: the connection that carries the book (`first_id` 1) or the trades (2) was lost."""
    WATERMARK = 8
    """Our own mark in a quiet market: event time has reached `event_ns`."""
    PARTIAL_BOOK = 9
    """The best few levels, stored and never folded."""
    AUDIT = 10
    """Our own mark: the snapshot asked for next is for comparing the book with."""
    BASE = 11
    """A snapshot inside the stream, which is the book from then on."""


@dataclass(frozen=True, slots=True)
class EventBatch:
    """n frames. Arrays are int64 of shape (n,) unless said otherwise; -1 where a kind has no such field."""

    kind: NDArray[np.uint8]
    event_ns: Integers
    """Exchange transaction time; 0 where the frame carries none."""
    receive_ns: Integers
    first_id: Integers
    """Delta: first update id. Trade: first trade id."""
    last_id: Integers
    """Delta and snapshot: last update id. Trade: last trade id. Quote: update id."""
    previous_id: Integers
    """Delta: last update id of the delta before, -1 where the venue has none."""
    trade_id: Integers
    price_ticks: Integers
    quantity_lots: Integers
    is_buyer_maker: NDArray[np.bool_]
    order_type: NDArray[np.uint8]
    """Index into ORDER_TYPES."""
    normal_lots: Integers
    """Trade: quantity without what filled orders of retail price improvement (`nq`)."""
    bid_start: Integers
    """Where the row's bid levels begin in `level_ticks` and `level_lots`."""
    bid_count: Integers
    ask_start: Integers
    ask_count: Integers
    level_ticks: Integers
    """(levels,) of all rows."""
    level_lots: Integers

    def __len__(self) -> int:
        """Number of frames."""
        return len(self.kind)
