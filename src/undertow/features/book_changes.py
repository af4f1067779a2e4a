"""What changes in the book: quantity added, taken away and cancelled, and order flow by level (SPEC 5.7).

Of the ten best levels of each side, between the samples of the bar; see `BookColumns`. A venue nets what
happens at one price within one update, so adding and taking away are lower bounds, and so is cancelling: what
was taken away less what traded. Samples of older files tell none of it.
"""

import numpy as np

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
from undertow.features.nulls import flow_only, known, ratio
from undertow.frames.frames import Frames
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


def _told(values: Floats | Integers, f: Frames) -> Floats:
    """Null unless every sample of the bar tells what changed, and there is one."""
    return known(values, (f.sample_count > 0) & (f.detailed_count == f.sample_count))


def _rate(lots: Integers, f: Frames) -> Floats:
    return _told(f.quantity.to_floats(lots) / (f.length_ns / SECOND_NS), f)


def _cancelled_bids(f: Frames) -> Integers:
    cancelled: Integers = np.maximum(f.bid_removed - f.sell_lots, 0)
    return cancelled


def _cancelled_asks(f: Frames) -> Integers:
    cancelled: Integers = np.maximum(f.ask_removed - f.buy_lots, 0)
    return cancelled


def bid_add_rate(f: Frames, m: Memory) -> Floats:  # noqa: ARG001 - one signature for all features
    """Quantity added to bids per second [base/s]."""
    return _rate(f.bid_added, f)


def ask_add_rate(f: Frames, m: Memory) -> Floats:  # noqa: ARG001
    """Quantity added to asks per second [base/s]."""
    return _rate(f.ask_added, f)


def bid_cancel_rate(f: Frames, m: Memory) -> Floats:  # noqa: ARG001
    """max(0, quantity taken from bids − taker sells) per second [base/s]."""
    return flow_only(_rate(_cancelled_bids(f), f), f)


def ask_cancel_rate(f: Frames, m: Memory) -> Floats:  # noqa: ARG001
    """max(0, quantity taken from asks − taker buys) per second [base/s]."""
    return flow_only(_rate(_cancelled_asks(f), f), f)


def bid_cancel_to_add(f: Frames, m: Memory) -> Floats:  # noqa: ARG001
    """Quantity of bids cancelled / added."""
    return flow_only(_told(ratio(_cancelled_bids(f), f.bid_added), f), f)


def ask_cancel_to_add(f: Frames, m: Memory) -> Floats:  # noqa: ARG001
    """Quantity of asks cancelled / added."""
    return flow_only(_told(ratio(_cancelled_asks(f), f.ask_added), f), f)


def bid_depth_change(f: Frames, m: Memory) -> Floats:  # noqa: ARG001
    """Quantity of bids added − taken away [base units]."""
    return _told(f.quantity.to_floats(f.bid_added - f.bid_removed), f)


def ask_depth_change(f: Frames, m: Memory) -> Floats:  # noqa: ARG001
    """Quantity of asks added − taken away [base units]."""
    return _told(f.quantity.to_floats(f.ask_added - f.ask_removed), f)


def book_add_imbalance(f: Frames, m: Memory) -> Floats:  # noqa: ARG001
    """(bids added − asks added) / (bids added + asks added)."""
    return _told(ratio(f.bid_added - f.ask_added, f.bid_added + f.ask_added), f)


def book_cancel_imbalance(f: Frames, m: Memory) -> Floats:  # noqa: ARG001
    """(bids cancelled − asks cancelled) / (bids cancelled + asks cancelled)."""
    bids, asks = _cancelled_bids(f), _cancelled_asks(f)
    return flow_only(_told(ratio(bids - asks, bids + asks), f), f)


def _level(f: Frames, level: int) -> Floats:
    return _told(f.quantity.to_floats(f.ofi_levels[:, level - 1]), f)


def ofi_level_2(f: Frames, m: Memory) -> Floats:  # noqa: ARG001
    """Order-flow imbalance at the second level alone, summed over every book update [base units]."""
    return _level(f, 2)


def ofi_level_3(f: Frames, m: Memory) -> Floats:  # noqa: ARG001
    """Order-flow imbalance at the third level alone, summed over every book update [base units]."""
    return _level(f, 3)


def ofi_level_4(f: Frames, m: Memory) -> Floats:  # noqa: ARG001
    """Order-flow imbalance at the fourth level alone, summed over every book update [base units]."""
    return _level(f, 4)


def ofi_level_5(f: Frames, m: Memory) -> Floats:  # noqa: ARG001
    """Order-flow imbalance at the fifth level alone, summed over every book update [base units]."""
    return _level(f, 5)


def ofi_level_6(f: Frames, m: Memory) -> Floats:  # noqa: ARG001
    """Order-flow imbalance at the sixth level alone, summed over every book update [base units]."""
    return _level(f, 6)


def ofi_level_7(f: Frames, m: Memory) -> Floats:  # noqa: ARG001
    """Order-flow imbalance at the seventh level alone, summed over every book update [base units]."""
    return _level(f, 7)


def ofi_level_8(f: Frames, m: Memory) -> Floats:  # noqa: ARG001
    """Order-flow imbalance at the eighth level alone, summed over every book update [base units]."""
    return _level(f, 8)


def ofi_level_9(f: Frames, m: Memory) -> Floats:  # noqa: ARG001
    """Order-flow imbalance at the ninth level alone, summed over every book update [base units]."""
    return _level(f, 9)


def ofi_level_10(f: Frames, m: Memory) -> Floats:  # noqa: ARG001
    """Order-flow imbalance at the tenth level alone, summed over every book update [base units]."""
    return _level(f, 10)


def ofi_integrated(f: Frames, m: Memory) -> Floats:  # noqa: ARG001
    """Σ wᵢ·OFIᵢ / mean quantity of a level, levels 1 to 10 of both sides, with equal weights wᵢ = 1/10."""
    bids, asks = f.bid_lots[:, :10], f.ask_lots[:, :10]
    lots, levels = (bids + asks).sum(axis=1), (bids > 0).sum(axis=1) + (asks > 0).sum(axis=1)
    return _told(ratio(f.ofi_levels.sum(axis=1) * levels, 10 * lots), f)


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
