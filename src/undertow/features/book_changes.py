"""What changes in the book: quantity added, taken away and cancelled, and order flow by level (SPEC 5.7).

Of the ten best levels of each side, between the samples of the bar; see `BookColumns`. A venue nets what
happens at one price within one update, so adding and taking away are lower bounds, and so is cancelling: what
was taken away less what traded. Samples of older files tell none of it.
"""

import numpy as np

from undertow.compiled import borrowed, kernel
from undertow.features.feature import (
    ANY,
    BOOK,
    FLOW,
    NO_FLOW,
    NO_SAMPLE,
    POSITIVE,
    SIGNED,
    Feature,
    Formula,
    Range,
)
from undertow.features.memory import Floats, Integers, Memory
from undertow.features.nulls import quotient
from undertow.frames.frames import OFI_LEVELS, Frames
from undertow.market.time import SECOND_NS

__all__ = [
    "LINES",
    "ask_add_rate",
    "ask_cancel_rate",
    "ask_cancel_to_add",
    "ask_depth_change",
    "bid_add_rate",
    "bid_cancel_rate",
    "bid_cancel_to_add",
    "bid_depth_change",
    "book_add_imbalance",
    "book_cancel_imbalance",
    "ofi_integrated",
    "ofi_level_2",
    "ofi_level_3",
    "ofi_level_4",
    "ofi_level_5",
    "ofi_level_6",
    "ofi_level_7",
    "ofi_level_8",
    "ofi_level_9",
    "ofi_level_10",
]


_BID_ADD, _ASK_ADD, _BID_CANCEL, _ASK_CANCEL, _BID_RATIO, _ASK_RATIO = range(6)
_BID_CHANGE, _ASK_CHANGE, _ADD_IMBALANCE, _CANCEL_IMBALANCE, _LEVEL_2 = range(6, 11)
_INTEGRATED = _LEVEL_2 + OFI_LEVELS - 1
_ROWS = _INTEGRATED + 1


@kernel
def _changes(
    bids: tuple[int, int, int], asks: tuple[int, int, int], lot: tuple[int, int], length_s: float, row: Floats
) -> None:
    """What was added and taken away; of each side: added, removed and, of that, traded (−1: unknown)."""
    row[_BID_ADD] = bids[0] * lot[0] / lot[1] / length_s
    row[_ASK_ADD] = asks[0] * lot[0] / lot[1] / length_s
    row[_BID_CHANGE] = (bids[0] - bids[1]) * lot[0] / lot[1]
    row[_ASK_CHANGE] = (asks[0] - asks[1]) * lot[0] / lot[1]
    row[_ADD_IMBALANCE] = quotient(bids[0] - asks[0], bids[0] + asks[0])
    if bids[2] < 0:
        row[_BID_CANCEL] = row[_ASK_CANCEL] = row[_BID_RATIO] = row[_ASK_RATIO] = np.nan
        row[_CANCEL_IMBALANCE] = np.nan
        return
    cancelled_bids, cancelled_asks = max(bids[1] - bids[2], 0), max(asks[1] - asks[2], 0)
    row[_BID_CANCEL] = cancelled_bids * lot[0] / lot[1] / length_s
    row[_ASK_CANCEL] = cancelled_asks * lot[0] / lot[1] / length_s
    row[_BID_RATIO] = quotient(cancelled_bids, bids[0])
    row[_ASK_RATIO] = quotient(cancelled_asks, asks[0])
    row[_CANCEL_IMBALANCE] = quotient(cancelled_bids - cancelled_asks, cancelled_bids + cancelled_asks)


@kernel
def _flow_of_levels(
    flow: Integers, bid_lots: Integers, ask_lots: Integers, lot: tuple[int, int], row: Floats
) -> None:
    """Order-flow imbalance of each level but the best, and of all in one number."""
    total, lots, levels = 0, 0, 0
    for level in range(OFI_LEVELS):
        total += flow[level]
        lots += bid_lots[level] + ask_lots[level]
        levels += (bid_lots[level] > 0) + (ask_lots[level] > 0)
        if level > 0:
            row[_LEVEL_2 + level - 1] = flow[level] * lot[0] / lot[1]
    row[_INTEGRATED] = quotient(total * levels, OFI_LEVELS * lots)


@kernel
def _fold(
    columns: tuple[Integers, Integers, Integers, Integers, Integers, Integers, Integers, Integers, Integers],
    books: tuple[Integers, Integers, Integers],
    length_ns: int,
    lot: tuple[int, int],
    out: Floats,
) -> None:
    """All rows for each bar; null unless every sample of the bar tells what changed, and there is one.

    `columns`: samples, those that tell, bids added and removed, asks added and removed, taker buys and sells,
    trade gap; `books`: imbalances of flow by level, lots of bids and of asks; `lot`: units and divisor.
    """
    columns, (flow, bid_lots, ask_lots) = borrowed(columns), borrowed(books)
    samples, detailed, bid_added, bid_removed, ask_added, ask_removed, buys, sells, gap_ns = columns
    out, length_s = borrowed((out,))[0], length_ns / SECOND_NS
    for i in range(len(samples)):
        row = out[:, i]
        if samples[i] == 0 or detailed[i] != samples[i]:
            row[:] = np.nan
            continue
        whole = gap_ns[i] < length_ns
        bids = (bid_added[i], bid_removed[i], sells[i] if whole else -1)
        asks = (ask_added[i], ask_removed[i], buys[i] if whole else -1)
        _changes(bids, asks, lot, length_s, row)
        _flow_of_levels(flow[i], bid_lots[i], ask_lots[i], lot, row)


def _rows(f: Frames, m: Memory) -> Floats:  # noqa: ARG001 - one signature for all
    """(rows, T)."""
    changes = (f.bid_added, f.bid_removed, f.ask_added, f.ask_removed)
    columns = (f.sample_count, f.detailed_count, *changes, f.buy_lots, f.sell_lots, f.trade_gap_ns)
    out = np.empty((_ROWS, len(f.sample_count)))
    lot = (f.quantity.units, f.quantity.divisor)
    _fold(columns, (f.ofi_levels, f.bid_lots, f.ask_lots), f.length_ns, lot, out)
    return out


def bid_add_rate(f: Frames, m: Memory) -> Floats:
    """Quantity added to bids per second [base/s]."""
    return m.shared(f, _rows, _BID_ADD)


def ask_add_rate(f: Frames, m: Memory) -> Floats:
    """Quantity added to asks per second [base/s]."""
    return m.shared(f, _rows, _ASK_ADD)


def bid_cancel_rate(f: Frames, m: Memory) -> Floats:
    """max(0, quantity taken from bids − taker sells) per second [base/s]."""
    return m.shared(f, _rows, _BID_CANCEL)


def ask_cancel_rate(f: Frames, m: Memory) -> Floats:
    """max(0, quantity taken from asks − taker buys) per second [base/s]."""
    return m.shared(f, _rows, _ASK_CANCEL)


def bid_cancel_to_add(f: Frames, m: Memory) -> Floats:
    """Quantity of bids cancelled / added."""
    return m.shared(f, _rows, _BID_RATIO)


def ask_cancel_to_add(f: Frames, m: Memory) -> Floats:
    """Quantity of asks cancelled / added."""
    return m.shared(f, _rows, _ASK_RATIO)


def bid_depth_change(f: Frames, m: Memory) -> Floats:
    """Quantity of bids added − taken away [base units]."""
    return m.shared(f, _rows, _BID_CHANGE)


def ask_depth_change(f: Frames, m: Memory) -> Floats:
    """Quantity of asks added − taken away [base units]."""
    return m.shared(f, _rows, _ASK_CHANGE)


def book_add_imbalance(f: Frames, m: Memory) -> Floats:
    """(bids added − asks added) / (bids added + asks added)."""
    return m.shared(f, _rows, _ADD_IMBALANCE)


def book_cancel_imbalance(f: Frames, m: Memory) -> Floats:
    """(bids cancelled − asks cancelled) / (bids cancelled + asks cancelled)."""
    return m.shared(f, _rows, _CANCEL_IMBALANCE)


def ofi_level_2(f: Frames, m: Memory) -> Floats:
    """Order-flow imbalance at the second level alone, summed over every book update [base units]."""
    return m.shared(f, _rows, _LEVEL_2)


def ofi_level_3(f: Frames, m: Memory) -> Floats:
    """Order-flow imbalance at the third level alone, summed over every book update [base units]."""
    return m.shared(f, _rows, _LEVEL_2 + 1)


def ofi_level_4(f: Frames, m: Memory) -> Floats:
    """Order-flow imbalance at the fourth level alone, summed over every book update [base units]."""
    return m.shared(f, _rows, _LEVEL_2 + 2)


def ofi_level_5(f: Frames, m: Memory) -> Floats:
    """Order-flow imbalance at the fifth level alone, summed over every book update [base units]."""
    return m.shared(f, _rows, _LEVEL_2 + 3)


def ofi_level_6(f: Frames, m: Memory) -> Floats:
    """Order-flow imbalance at the sixth level alone, summed over every book update [base units]."""
    return m.shared(f, _rows, _LEVEL_2 + 4)


def ofi_level_7(f: Frames, m: Memory) -> Floats:
    """Order-flow imbalance at the seventh level alone, summed over every book update [base units]."""
    return m.shared(f, _rows, _LEVEL_2 + 5)


def ofi_level_8(f: Frames, m: Memory) -> Floats:
    """Order-flow imbalance at the eighth level alone, summed over every book update [base units]."""
    return m.shared(f, _rows, _LEVEL_2 + 6)


def ofi_level_9(f: Frames, m: Memory) -> Floats:
    """Order-flow imbalance at the ninth level alone, summed over every book update [base units]."""
    return m.shared(f, _rows, _LEVEL_2 + 7)


def ofi_level_10(f: Frames, m: Memory) -> Floats:
    """Order-flow imbalance at the tenth level alone, summed over every book update [base units]."""
    return m.shared(f, _rows, _LEVEL_2 + 8)


def ofi_integrated(f: Frames, m: Memory) -> Floats:
    """Σ wᵢ·OFIᵢ / mean quantity of a level, levels 1 to 10 of both sides, with equal weights wᵢ = 1/10."""
    return m.shared(f, _rows, _INTEGRATED)


_TOLD = f"{NO_SAMPLE}; recorded by an older version"
_BOTH = f"{FLOW}, {BOOK}"
_ADD, _CANCEL = "SPEC 5.7; Cont, Stoikov, Talreja 2010", f"{_TOLD}; {NO_FLOW}"


def _book(function: Formula, unit: str, bounds: Range, mirror: str, null: str = _TOLD) -> Feature:
    return Feature(function.__name__, function, unit, bounds, null, BOOK, _ADD, mirror=mirror)


def _cancel(function: Formula, unit: str, bounds: Range, mirror: str, null: str = _CANCEL) -> Feature:
    return Feature(function.__name__, function, unit, bounds, null, _BOTH, _ADD, mirror=mirror)


def _flow(function: Formula, unit: str = "base") -> Feature:
    source = "SPEC 5.7; Cont, Cucuringu, Zhang 2023"
    null = _TOLD if unit == "base" else f"{_TOLD}; a book without levels"
    return Feature(function.__name__, function, unit, ANY, null, BOOK, source, mirror="odd")


_NOTHING = f"{_CANCEL}; nothing added"

LINES = (
    _book(bid_add_rate, "base/s", POSITIVE, "swap:ask_add_rate"),
    _book(ask_add_rate, "base/s", POSITIVE, "swap:bid_add_rate"),
    _cancel(bid_cancel_rate, "base/s", POSITIVE, "swap:ask_cancel_rate"),
    _cancel(ask_cancel_rate, "base/s", POSITIVE, "swap:bid_cancel_rate"),
    _cancel(bid_cancel_to_add, "ratio", POSITIVE, "swap:ask_cancel_to_add", _NOTHING),
    _cancel(ask_cancel_to_add, "ratio", POSITIVE, "swap:bid_cancel_to_add", _NOTHING),
    _book(bid_depth_change, "base", ANY, "swap:ask_depth_change"),
    _book(ask_depth_change, "base", ANY, "swap:bid_depth_change"),
    _book(book_add_imbalance, "share", SIGNED, "odd", f"{_TOLD}; nothing added"),
    _cancel(book_cancel_imbalance, "share", SIGNED, "odd", f"{_CANCEL}; nothing cancelled"),
    _flow(ofi_level_2),
    _flow(ofi_level_3),
    _flow(ofi_level_4),
    _flow(ofi_level_5),
    _flow(ofi_level_6),
    _flow(ofi_level_7),
    _flow(ofi_level_8),
    _flow(ofi_level_9),
    _flow(ofi_level_10),
    _flow(ofi_integrated, "ratio"),
)
"""In the order of the columns of a feature table."""
