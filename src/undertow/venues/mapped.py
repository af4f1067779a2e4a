"""What a block of raw lines turned out to hold: the same shape for every venue's mapper."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum

import msgspec

from undertow.market.batch import EventBatch
from undertow.market.events import MarketEvent

__all__ = ["Mapped", "Reason", "Rejection"]


class Reason(IntEnum):
    """Why a line was rejected, or what is odd about it."""

    FINE = 0
    NO_RECEIVE_TIME = 1
    NOT_JSON = 2
    OFF_STEP = 3
    MISSING_FIELD = 4
    OTHER_SYMBOL = 5
    OTHER_VENUE = 6
    UNKNOWN_FIELD = 7
    """Accepted; carries a field that we do not know."""


class Rejection(msgspec.Struct, frozen=True):
    """A line that is no usable frame. `line` counts from 0 within the block."""

    line: int
    reason: Reason
    message: str
    text: str


@dataclass(frozen=True, slots=True)
class Mapped:
    """What a block of lines turned out to hold."""

    batch: EventBatch
    others: list[MarketEvent] = field(default_factory=list)
    """Mark prices, liquidations, klines and what was polled, in order."""
    other_rows: list[int] = field(default_factory=list)
    """For each of `others` the row of `batch` that it came in."""
    rejections: list[Rejection] = field(default_factory=list)
    unknown_types: Counter[str] = field(default_factory=Counter)
    unknown_fields: Counter[str] = field(default_factory=Counter)
    """`type.field`, or `trade.X=VALUE`, → how often."""
    field_faults: Counter[str] = field(default_factory=Counter)
    """What a rejected frame lacks or has of another type → how often."""
    filtered: Counter[str] = field(default_factory=Counter)
    """Frames and rows that are understood and take no part → how often."""

    def add_others(self, row: int, events: Sequence[MarketEvent]) -> None:
        """Note events that came in a row of the batch."""
        self.others.extend(events)
        self.other_rows.extend([row] * len(events))
