"""What a scanned frame is: the scratch row it is read into, its kind, and its place in the columns.

A frame's fields come in any order, so the scanner first puts each into a slot of a scratch row; when the
frame is complete, `classify` tells what it is and `write_row` copies it into the columns of EventBatch.
"""

import numpy as np
from numpy.typing import NDArray

from undertow.compiled import kernel
from undertow.market.batch import EventKind
from undertow.venues.mapped import Reason

__all__ = [
    "DECIMAL_SLOTS",
    "INTEGER_SLOTS",
    "PARTIAL",
    "SCRATCH",
    "classify",
    "nanoseconds",
    "write_row",
]

Bytes = NDArray[np.uint8]
Integers = NDArray[np.int64]


# Slots of the scratch row that one frame is read into.
TYPE, EVENT_MS, TRANSACTION_MS, FIRST, LAST, PREVIOUS = 0, 1, 2, 3, 4, 5
TRADE, AGGREGATE, FIRST_TRADE, LAST_TRADE, PRICE, QUANTITY = 6, 7, 8, 9, 10, 11
MAKER, ORDER_TYPE, BID_PRICE, BID_QUANTITY, ASK_PRICE, ASK_QUANTITY = 12, 13, 14, 15, 16, 17
BID_START, BID_COUNT, ASK_START, ASK_COUNT = 18, 19, 20, 21
SNAPSHOT_ID, UNKNOWN, WRAPPED, SYMBOL, CURSOR = 22, 23, 24, 25, 26
NORMAL = 27
SCRATCH = 28
"""Length of the scratch row."""
ABSENT = -(2**62)
PARTIAL = 2
"""Value of WRAPPED for a stream of partial books; 1 for any other wrapper."""

NO_TYPE, TYPE_DELTA, TYPE_TRADE, TYPE_AGGREGATE, TYPE_QUOTE, TYPE_OTHER = ABSENT, 1, 2, 3, 4, 5


def _slots_by_letter(slots: dict[str, int]) -> Integers:
    """(256,) slot of a one-letter key, -1 where there is none."""
    table = np.full(256, -1, np.int64)
    for letter, slot in slots.items():
        table[ord(letter)] = slot
    return table


INTEGER_SLOTS = _slots_by_letter(
    {"E": EVENT_MS, "T": TRANSACTION_MS, "U": FIRST, "u": LAST, "t": TRADE, "f": FIRST_TRADE, "l": LAST_TRADE}
)
"""Keys whose value is always an integer."""
DECIMAL_SLOTS = _slots_by_letter(
    {"p": PRICE, "q": QUANTITY, "b": BID_PRICE, "B": BID_QUANTITY, "a": ASK_PRICE, "A": ASK_QUANTITY}
)
"""Keys whose value is a decimal, unless it is something else; prices lie at an even distance from PRICE."""


@kernel
def classify(slots: Integers, has_previous: int) -> tuple[EventKind, Reason]:
    """(kind, reason) of a frame that was read; `has_previous` 1 where the venue's deltas carry `pu`."""
    kind, reason = EventKind.OTHER, Reason.FINE
    if slots[WRAPPED] == PARTIAL and slots[TYPE] in (TYPE_DELTA, NO_TYPE):
        complete = slots[BID_START] >= 0 and slots[ASK_START] >= 0
        complete = complete and (slots[LAST] >= 0 or slots[SNAPSHOT_ID] >= 0)
        kind = EventKind.PARTIAL_BOOK if complete else EventKind.REJECTED
    elif slots[TYPE] == TYPE_DELTA:
        complete = (
            slots[FIRST] >= 0
            and slots[LAST] >= 0
            and slots[EVENT_MS] >= 0
            and slots[BID_START] >= 0
            and slots[ASK_START] >= 0
        )
        kind = EventKind.DELTA if complete else EventKind.REJECTED
        if complete and (slots[PREVIOUS] != ABSENT) != (has_previous == 1):
            return EventKind.REJECTED, Reason.OTHER_VENUE
    elif slots[TYPE] == TYPE_TRADE:
        complete = slots[TRADE] >= 0 and slots[PRICE] >= 0 and slots[QUANTITY] >= 0
        complete = complete and slots[TRANSACTION_MS] >= 0 and slots[MAKER] >= 0
        kind = EventKind.TRADE if complete else EventKind.REJECTED
    elif slots[TYPE] == TYPE_AGGREGATE:
        complete = slots[AGGREGATE] >= 0 and slots[PRICE] >= 0 and slots[QUANTITY] >= 0
        complete = complete and slots[FIRST_TRADE] >= 0 and slots[LAST_TRADE] >= 0
        complete = complete and slots[TRANSACTION_MS] >= 0 and slots[MAKER] >= 0
        kind = EventKind.AGGREGATE_TRADE if complete else EventKind.REJECTED
    elif slots[TYPE] == TYPE_QUOTE or (slots[TYPE] == NO_TYPE and slots[BID_QUANTITY] >= 0):
        complete = slots[BID_PRICE] >= 0 and slots[ASK_PRICE] >= 0 and slots[LAST] >= 0
        complete = complete and slots[BID_QUANTITY] >= 0 and slots[ASK_QUANTITY] >= 0
        kind = EventKind.BEST_QUOTE if complete else EventKind.REJECTED
    elif slots[SNAPSHOT_ID] >= 0 and slots[WRAPPED] == 0:
        complete = slots[BID_START] >= 0 and slots[ASK_START] >= 0
        kind = EventKind.SNAPSHOT if complete else EventKind.REJECTED
    if kind == EventKind.REJECTED:
        reason = Reason.MISSING_FIELD
    elif slots[SYMBOL] == 0:
        return EventKind.REJECTED, Reason.OTHER_SYMBOL
    elif kind != EventKind.OTHER and slots[UNKNOWN] > 0:
        reason = Reason.UNKNOWN_FIELD
    return kind, reason


@kernel
def nanoseconds(stamp: int) -> int:
    """A stamp in s, ms, µs or ns as ns; see `market.time.to_nanoseconds`."""
    if stamp < 0:
        return 0
    if stamp < 10**11:
        return stamp * 10**9
    if stamp < 10**14:
        return stamp * 10**6
    if stamp < 10**17:
        return stamp * 1000
    return stamp


@kernel
def write_row(row: int, kind: int, slots: Integers, integers: Integers, codes: Bytes) -> None:
    """Copy a frame's slots into the columns of EventBatch; column order as in `mapper`."""
    codes[row, 0] = kind
    codes[row, 1] = 1 if slots[MAKER] == 1 else 0
    codes[row, 2] = slots[ORDER_TYPE] if slots[ORDER_TYPE] >= 0 else 0
    stamp = slots[TRANSACTION_MS] if slots[TRANSACTION_MS] >= 0 else slots[EVENT_MS]
    integers[row, 0] = nanoseconds(stamp) if kind > EventKind.OTHER else 0
    if kind == EventKind.TRADE:
        integers[row, 2] = slots[TRADE]
        integers[row, 3] = slots[TRADE]
        integers[row, 5] = slots[TRADE]
    elif kind == EventKind.AGGREGATE_TRADE:
        integers[row, 2] = slots[FIRST_TRADE]
        integers[row, 3] = slots[LAST_TRADE]
        integers[row, 5] = slots[AGGREGATE]
    elif slots[SNAPSHOT_ID] >= 0:
        integers[row, 3] = slots[SNAPSHOT_ID]
    else:
        integers[row, 2] = slots[FIRST] if slots[FIRST] >= 0 else -1
        integers[row, 3] = slots[LAST] if slots[LAST] >= 0 else -1
    integers[row, 4] = slots[PREVIOUS] if slots[PREVIOUS] != ABSENT else -1
    integers[row, 6] = slots[PRICE] if slots[PRICE] >= 0 else -1
    integers[row, 7] = slots[QUANTITY] if slots[QUANTITY] >= 0 else -1
    integers[row, 12] = slots[NORMAL] if slots[NORMAL] >= 0 else -1
    for i in range(4):
        value = slots[BID_START + i]
        integers[row, 8 + i] = value if value >= 0 else 0
