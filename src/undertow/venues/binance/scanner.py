"""From journal lines to columns without a Python object per frame.

Reads the frames that make up nearly all traffic: diff depth, REST depth, trade, aggTrade and bookTicker, with
their fields in any order, bare or in the combined-stream wrapper. Everything else is left to `messages`.
"""

import numpy as np
from numpy.typing import NDArray

from undertow.compiled import borrowed, kernel
from undertow.market.batch import EventKind
from undertow.market.columns import ORDER_TYPES
from undertow.venues.binance.frame_row import (
    ABSENT,
    AGGREGATE,
    ASK_START,
    BID_PRICE,
    BID_QUANTITY,
    BID_START,
    CURSOR,
    DECIMAL_SLOTS,
    INTEGER_SLOTS,
    MAKER,
    NORMAL,
    ORDER_TYPE,
    PARTIAL,
    PREVIOUS,
    PRICE,
    SNAPSHOT_ID,
    SYMBOL,
    TYPE,
    TYPE_AGGREGATE,
    TYPE_DELTA,
    TYPE_OTHER,
    TYPE_QUOTE,
    TYPE_TRADE,
    UNKNOWN,
    WRAPPED,
    classify,
    nanoseconds,
    write_row,
)
from undertow.venues.binance.json_scan import (
    MALFORMED,
    OFF_STEP,
    same,
    scan_decimal,
    scan_integer,
    skip_space,
    skip_string,
    skip_value,
)
from undertow.venues.mapped import Reason

__all__ = ["scan_lines"]

Bytes = NDArray[np.uint8]
Integers = NDArray[np.int64]


_QUOTE, _COLON, _COMMA, _OPEN_BRACE, _CLOSE_BRACE = 0x22, 0x3A, 0x2C, 0x7B, 0x7D
_OPEN_BRACKET, _CLOSE_BRACKET, _NEWLINE, _CARRIAGE = 0x5B, 0x5D, 0x0A, 0x0D
_LETTER_T, _LETTER_F = 0x74, 0x66
_ZERO, _NINE = 0x30, 0x39
_UNKNOWN_ORDER_TYPE = len(ORDER_TYPES) - 1

_DEPTH_UPDATE = np.frombuffer(b"depthUpdate", np.uint8)
_TRADE_NAME = np.frombuffer(b"trade", np.uint8)
_AGG_TRADE = np.frombuffer(b"aggTrade", np.uint8)
_BOOK_TICKER = np.frombuffer(b"bookTicker", np.uint8)
_MARKET = np.frombuffer(b"MARKET", np.uint8)
_INSURANCE_FUND = np.frombuffer(b"INSURANCE_FUND", np.uint8)
_ADL = np.frombuffer(b"ADL", np.uint8)
_NA = np.frombuffer(b"NA", np.uint8)
_AT_DEPTH = np.frombuffer(b"@depth", np.uint8)
_STREAM = np.frombuffer(b"stream", np.uint8)
_DATA = np.frombuffer(b"data", np.uint8)
_LAST_UPDATE_ID = np.frombuffer(b"lastUpdateId", np.uint8)
_BIDS = np.frombuffer(b"bids", np.uint8)
_ASKS = np.frombuffer(b"asks", np.uint8)


@kernel
def _type_code(data: Bytes, at: int, length: int) -> int:
    """Code of the event type named by `length` bytes at `at`."""
    if same(data, at, length, _DEPTH_UPDATE):
        return TYPE_DELTA
    if same(data, at, length, _TRADE_NAME):
        return TYPE_TRADE
    if same(data, at, length, _AGG_TRADE):
        return TYPE_AGGREGATE
    if same(data, at, length, _BOOK_TICKER):
        return TYPE_QUOTE
    return TYPE_OTHER


@kernel
def _order_type_code(data: Bytes, at: int, length: int) -> int:
    """Index into ORDER_TYPES of the name in `length` bytes at `at`."""
    if same(data, at, length, _MARKET):
        return 0
    if same(data, at, length, _INSURANCE_FUND):
        return 1
    if same(data, at, length, _ADL):
        return 2
    if same(data, at, length, _NA):
        return 3
    return _UNKNOWN_ORDER_TYPE


@kernel
def _scan_levels(
    data: Bytes, at: int, end: int, steps: Integers, cursor: int, ticks: Integers, lots: Integers
) -> tuple[int, int]:
    """(levels read, position after) of `[["price","quantity"],…]`, written from `cursor` on."""
    begin = cursor
    at = skip_space(data, at + 1, end)
    while at < end and data[at] != _CLOSE_BRACKET:
        if data[at] == _COMMA:
            at = skip_space(data, at + 1, end)
        if at >= end or data[at] != _OPEN_BRACKET or cursor >= len(ticks):
            return 0, MALFORMED
        tick, at = scan_decimal(data, skip_space(data, at + 1, end), end, steps[0], steps[1])
        if at < 0:
            return 0, at
        at = skip_space(data, at, end)
        if at >= end or data[at] != _COMMA:
            return 0, MALFORMED
        lot, at = scan_decimal(data, skip_space(data, at + 1, end), end, steps[2], steps[3])
        if at < 0:
            return 0, at
        at = skip_value(data, skip_space(data, at, end), end)  # spot once sent a third, empty element
        if at < 0 or at >= end or data[at] != _CLOSE_BRACKET:
            return 0, MALFORMED
        ticks[cursor] = tick
        lots[cursor] = lot
        cursor += 1
        at = skip_space(data, at + 1, end)
    if at >= end:
        return 0, MALFORMED
    return cursor - begin, at + 1


@kernel
def _scan_side(
    data: Bytes,
    at: int,
    end: int,
    steps: Integers,
    start_slot: int,
    slots: Integers,
    ticks: Integers,
    lots: Integers,
) -> int:
    """Read the levels of one side and note in `start_slot` and the next where they lie."""
    count, after = _scan_levels(data, at, end, steps, slots[CURSOR], ticks, lots)
    if after < 0:
        return after
    slots[start_slot] = slots[CURSOR]
    slots[start_slot + 1] = count
    slots[CURSOR] += count
    return after


@kernel
def _scan_text(data: Bytes, key: int, at: int, end: int, symbol: Bytes, slots: Integers) -> int:
    """Read a one-letter field that holds a name or a flag: e, s, X, m; -1 where the key is none of them."""
    if key == 0x6D:  # m
        if at >= end or data[at] not in (_LETTER_T, _LETTER_F):
            return MALFORMED
        slots[MAKER] = 1 if data[at] == _LETTER_T else 0
        return skip_value(data, at, end)
    after = skip_string(data, at, end)
    if after < 0:
        return MALFORMED
    length = after - at - 2
    if key == 0x65:  # e
        slots[TYPE] = _type_code(data, at + 1, length)
    elif key == 0x73:  # s
        slots[SYMBOL] = 1 if same(data, at + 1, length, symbol) else 0
    else:  # X
        slots[ORDER_TYPE] = _order_type_code(data, at + 1, length)
        slots[UNKNOWN] += slots[ORDER_TYPE] == _UNKNOWN_ORDER_TYPE
    return after


@kernel
def _scan_letter(
    data: Bytes,
    key: int,
    at: int,
    end: int,
    symbol: Bytes,
    steps: Integers,
    slots: Integers,
    ticks: Integers,
    lots: Integers,
) -> int:
    """Read the value of a one-letter key into its slot."""
    slot = INTEGER_SLOTS[key]
    if slot >= 0:
        slots[slot], at = scan_integer(data, at, end)
        return at
    if key in (0x65, 0x73, 0x58, 0x6D):
        return _scan_text(data, key, at, end, symbol, slots)
    slot = DECIMAL_SLOTS[key]
    if slot >= 0 and at < end:
        if data[at] == _OPEN_BRACKET:
            side = BID_START if key == 0x62 else ASK_START
            return _scan_side(data, at, end, steps, side, slots, ticks, lots)
        if data[at] != _QUOTE:  # aggTrade's id is `a`; old spot trades carry order ids as `a` and `b`
            value, at = scan_integer(data, at, end)
            if key == 0x61:
                slots[AGGREGATE] = value
            return at
        step = 0 if (slot - PRICE) % 2 == 0 else 2
        slots[slot], at = scan_decimal(data, at, end, steps[step], steps[step + 1])
        return at
    if key != 0x4D:  # M: a spot flag without meaning
        slots[UNKNOWN] += 1
    return skip_value(data, at, end)


@kernel
def _scan_word(
    data: Bytes,
    key_at: int,
    length: int,
    at: int,
    end: int,
    steps: Integers,
    slots: Integers,
    ticks: Integers,
    lots: Integers,
) -> int:
    """Read the value of a longer key."""
    first, second = data[key_at], data[key_at + 1]
    if length == 2:
        if first == 0x70 and second == 0x75:  # pu
            slots[PREVIOUS], at = scan_integer(data, at, end)
            return at
        if first == 0x6E and second == 0x71 and at < end and data[at] == _QUOTE:  # nq
            slots[NORMAL], at = scan_decimal(data, at, end, steps[2], steps[3])
            return at
        is_known = second == 0x74 if first == 0x73 else first == 0x70 and second == 0x73  # st, ps
        if not is_known:
            slots[UNKNOWN] += 1
        return skip_value(data, at, end)
    if same(data, key_at, length, _LAST_UPDATE_ID):
        slots[SNAPSHOT_ID], at = scan_integer(data, at, end)
        return at
    if same(data, key_at, length, _BIDS):
        return _scan_side(data, at, end, steps, BID_START, slots, ticks, lots)
    if same(data, key_at, length, _ASKS):
        return _scan_side(data, at, end, steps, ASK_START, slots, ticks, lots)
    slots[UNKNOWN] += 1
    return skip_value(data, at, end)


@kernel
def _names_partial_book(data: Bytes, begin: int, end: int) -> bool:
    """Whether a stream name has `@depth` and a digit: such frames look like diffs and are none."""
    last = end - len(_AT_DEPTH) - 1
    for at in range(begin, last):
        if data[at] == _AT_DEPTH[0] and same(data, at, len(_AT_DEPTH), _AT_DEPTH):
            return bool(_ZERO <= data[at + len(_AT_DEPTH)] <= _NINE)
    return False


@kernel
def _scan_frame(
    data: Bytes,
    at: int,
    end: int,
    symbol: Bytes,
    steps: Integers,
    slots: Integers,
    ticks: Integers,
    lots: Integers,
) -> int:
    """Read one object, going down into `data` of a wrapper, until its closing brace; position after it."""
    depth = 1
    if at >= end or data[at] != _OPEN_BRACE:
        return MALFORMED
    at = skip_space(data, at + 1, end)
    while at < end and depth > 0:
        if data[at] == _CLOSE_BRACE:
            depth -= 1
            at = skip_space(data, at + 1, end)
            continue
        if data[at] == _COMMA:
            at = skip_space(data, at + 1, end)
        after = skip_string(data, at, end)
        if after < 0:
            return MALFORMED
        key_at, length = at + 1, after - at - 2
        at = skip_space(data, after, end)
        if at >= end or data[at] != _COLON or length == 0:
            return MALFORMED
        at = skip_space(data, at + 1, end)
        if depth == 1 and same(data, key_at, length, _STREAM):
            begin = at
            at = skip_string(data, at, end)
            slots[WRAPPED] = PARTIAL if at > 0 and _names_partial_book(data, begin, at) else 1
        elif depth == 1 and same(data, key_at, length, _DATA) and at < end and data[at] == _OPEN_BRACE:
            depth = 2
            at += 1
        elif length == 1:
            at = _scan_letter(data, data[key_at], at, end, symbol, steps, slots, ticks, lots)
        else:
            at = _scan_word(data, key_at, length, at, end, steps, slots, ticks, lots)
        if at < 0:
            return at
        if slots[TYPE] == TYPE_OTHER:
            return end
        at = skip_space(data, at, end)
    return at if depth == 0 and at == end else MALFORMED


@kernel
def _keep_quote(slots: Integers, ticks: Integers, lots: Integers) -> None:
    """Put a quote among the levels, as a book of one level a side."""
    cursor = slots[CURSOR]
    for side in range(2):
        ticks[cursor + side] = slots[BID_PRICE + 2 * side]
        lots[cursor + side] = max(0, slots[BID_QUANTITY + 2 * side])
        slots[BID_START + 2 * side] = cursor + side
        slots[BID_START + 2 * side + 1] = 1
    slots[CURSOR] = cursor + 2


@kernel
def scan_lines(
    data: Bytes,
    symbol: Bytes,
    steps: Integers,
    has_previous: int,
    integers: Integers,
    codes: Bytes,
    bounds: Integers,
    reasons: Bytes,
    ticks: Integers,
    lots: Integers,
    slots: Integers,
) -> tuple[int, int]:
    """Decode all lines of `data`, each a receive time, a space and a frame.

    `steps` holds tick units, tick digits, lot units, lot digits. Output rows, one a line: `integers` (n, 12),
    `codes` (n, 3), `bounds` (n, 2) where the frame's bytes lie, `reasons` (n,); levels go to `ticks`, `lots`;
    `slots` is scratch.
    Returns (lines, levels).
    """
    data, symbol, steps, slots = borrowed((data, symbol, steps, slots))
    integers, codes, bounds, reasons, ticks, lots = borrowed((integers, codes, bounds, reasons, ticks, lots))
    at, row, cursor, size = 0, 0, 0, len(data)
    while at < size:
        end = at
        while end < size and data[end] != _NEWLINE:
            end += 1
        stop = end - 1 if end > at and data[end - 1] == _CARRIAGE else end
        slots[:] = ABSENT
        slots[UNKNOWN] = 0
        slots[WRAPPED] = 0
        slots[CURSOR] = cursor
        integers[row, :] = -1
        kind, reason = EventKind.REJECTED, Reason.FINE
        receive, begin = scan_integer(data, at, stop)
        if begin < 0 or begin >= stop or data[begin] != 0x20:
            reason = Reason.NO_RECEIVE_TIME
            begin = at
        else:
            begin = skip_space(data, begin, stop)
            after = _scan_frame(data, begin, stop, symbol, steps, slots, ticks, lots)
            if after >= 0:
                kind, reason = classify(slots, has_previous)
                if kind == EventKind.BEST_QUOTE:
                    _keep_quote(slots, ticks, lots)
            elif slots[SYMBOL] == 0:
                reason = Reason.OTHER_SYMBOL
            else:
                reason = Reason.OFF_STEP if after == OFF_STEP else Reason.NOT_JSON
        write_row(row, kind, slots, integers, codes)
        integers[row, 1] = nanoseconds(receive)
        bounds[row, 0] = begin
        bounds[row, 1] = stop
        reasons[row] = reason
        if kind != EventKind.REJECTED:
            cursor = slots[CURSOR]
        row += 1
        at = end + 1
    return row, cursor
