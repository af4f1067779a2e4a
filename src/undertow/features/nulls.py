"""Where a value is unknown or undefined: null rules, once; for whole columns, and for kernels bar by bar."""

import numpy as np
from numpy.typing import NDArray

from undertow.compiled import kernel
from undertow.features.memory import Floats, Integers
from undertow.frames.frames import Frames

__all__ = [
    "flow_only",
    "known",
    "known_close",
    "known_since_gap",
    "known_tick",
    "quotient",
    "ratio",
    "with_book",
]


@kernel
def quotient(above: float, below: float) -> float:
    """`ratio` of two numbers, for kernels."""
    return above / below if below != 0 else np.nan


@kernel
def known_tick(close: int, gap_ns: int, length_ns: int) -> float:
    """`known_close` of one bar, for kernels; `gap_ns` is the trade gap."""
    return float(close) if close > 0 and gap_ns < length_ns else np.nan


def known(values: Floats | Integers, where: NDArray[np.bool_]) -> Floats:
    """The values as float64, null where `where` is false."""
    return np.where(where, values, np.nan)


def ratio(above: Floats | Integers, below: Floats | Integers) -> Floats:
    """Quotient above / below; null where below is 0 or either is null.

    Never infinite as long as `below` is 0 or not tiny, as whole numbers are; a caller bounds any other.
    """
    defined = below != 0
    return np.where(defined, above / np.where(defined, below, 1), np.nan)


def flow_only(values: Floats | Integers, f: Frames) -> Floats:
    """Null in bars that lie wholly inside a gap of the trade stream: there nothing is known of the flow."""
    return known(values, f.trade_gap_ns < f.length_ns)


def known_since_gap(values: Floats | Integers, f: Frames, past_ns: int) -> Floats:
    """Null where a second of the `past_ns` before the close lies wholly inside a gap of the trade stream.

    For what looks back by time: seconds without trades count there, and those in a gap would count as such.
    """
    return known(values, f.flow.since_gap_ns >= past_ns)


def known_close(f: Frames) -> Floats:
    """Last trade price [ticks], for changes and indicators.

    Null before the first trade and where it is only carried, in bars wholly inside a gap of the trade stream:
    a change from before the gap to after it belongs to no bar.
    """
    return known(f.close, (f.close > 0) & (f.trade_gap_ns < f.length_ns))


def with_book(values: Floats | Integers, f: Frames) -> Floats:
    """Null in bars without a book sample or whose last sample lacks a side."""
    return known(values, (f.sample_count > 0) & (f.bid_lots[:, 0] > 0) & (f.ask_lots[:, 0] > 0))
