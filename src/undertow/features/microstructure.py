"""Order flow and queue at the best level, from the literature (SPEC 5.7).

After a gap of the trade stream a decaying sum is null for five half-lives: until then what is missing would
weigh more than 1/32.
"""

import numpy as np

from undertow.compiled import borrowed, kernel
from undertow.features.feature import ANY, BOOK, FLOW, NO_FLOW, NO_VOLUME, SIGNED, Feature, Formula
from undertow.features.memory import Floats, Integers, Memory
from undertow.features.nulls import quotient
from undertow.frames.frames import Frames
from undertow.market.time import SECOND_NS

__all__ = [
    "LINES",
    "queue_imbalance",
    "signed_flow_ewma_1s",
    "signed_flow_ewma_5s",
    "signed_flow_ewma_20s",
    "signed_flow_ewma_60s",
    "signed_flow_ewma_300s",
]


_HALF_LIVES_S = (1, 5, 20, 60, 300)
_QUEUE = len(_HALF_LIVES_S)
_ROWS = _QUEUE + 1


@kernel
def _fold(
    columns: tuple[Integers, Integers, Integers, Integers, Integers],
    books: tuple[Integers, Integers],
    length_ns: int,
    lot_step: tuple[int, int],
    keeps: tuple[float, float, float, float, float],
    levels: Floats,
    out: Floats,
) -> None:
    """All rows for each bar.

    `columns`: taker buys and sells, trade gap, time since such a gap, samples; `books`: lots of bids and of
    asks; `lot_step`: units and divisor of quantities; `keeps`: what each sum keeps from bar to bar.
    """
    buys, sells, gap_ns, since_gap_ns, samples = borrowed(columns)
    bid_lots, ask_lots = borrowed(books)
    levels, out = borrowed((levels, out))
    for i in range(len(buys)):
        delta = (buys[i] - sells[i]) * lot_step[0] / lot_step[1]
        for h in range(_QUEUE):
            levels[h] = keeps[h] * levels[h] + delta
            known = gap_ns[i] < length_ns and since_gap_ns[i] >= 5 * _HALF_LIVES_S[h] * SECOND_NS
            out[h, i] = levels[h] if known else np.nan
        bid, ask = bid_lots[i, 0], ask_lots[i, 0]
        out[_QUEUE, i] = quotient(bid - ask, bid + ask) if samples[i] > 0 else np.nan


def _rows(f: Frames, m: Memory) -> Floats:
    """(rows, T)."""
    columns = (f.buy_lots, f.sell_lots, f.trade_gap_ns, f.flow.since_gap_ns, f.sample_count)
    keeps = tuple([0.5 ** (1.0 / (seconds * SECOND_NS / f.length_ns)) for seconds in _HALF_LIVES_S])
    lot_step = (f.quantity.units, f.quantity.divisor)
    out = np.empty((_ROWS, len(f.buy_lots)))
    _fold(columns, (f.bid_lots, f.ask_lots), f.length_ns, lot_step, keeps, m.floats(_QUEUE), out)
    return out


def signed_flow_ewma_1s(f: Frames, m: Memory) -> Floats:
    """Σ vol_delta of all bars so far, each halved every 1 s [base units]."""
    return m.shared(f, _rows, 0)


def signed_flow_ewma_5s(f: Frames, m: Memory) -> Floats:
    """Σ vol_delta of all bars so far, each halved every 5 s [base units]."""
    return m.shared(f, _rows, 1)


def signed_flow_ewma_20s(f: Frames, m: Memory) -> Floats:
    """Σ vol_delta of all bars so far, each halved every 20 s [base units]."""
    return m.shared(f, _rows, 2)


def signed_flow_ewma_60s(f: Frames, m: Memory) -> Floats:
    """Σ vol_delta of all bars so far, each halved every 60 s [base units]."""
    return m.shared(f, _rows, 3)


def signed_flow_ewma_300s(f: Frames, m: Memory) -> Floats:
    """Σ vol_delta of all bars so far, each halved every 300 s [base units]."""
    return m.shared(f, _rows, 4)


def queue_imbalance(f: Frames, m: Memory) -> Floats:
    """(bidQty − askQty) / (bidQty + askQty) at the best level, last sample (Gould, Bonart 2016)."""
    return m.shared(f, _rows, _QUEUE)


_FADING = f"{NO_FLOW}, and five half-lives after it"


def _signed(function: Formula) -> Feature:
    return Feature(function.__name__, function, "base", ANY, _FADING, FLOW, "SPEC 5.7", mirror="odd")


LINES = (
    _signed(signed_flow_ewma_1s),
    _signed(signed_flow_ewma_5s),
    _signed(signed_flow_ewma_20s),
    _signed(signed_flow_ewma_60s),
    _signed(signed_flow_ewma_300s),
    Feature(
        "queue_imbalance",
        queue_imbalance,
        "share",
        SIGNED,
        NO_VOLUME,
        BOOK,
        "SPEC 5.7; Gould, Bonart 2016",
        mirror="odd",
    ),
)
"""In the order of the columns of a feature table."""
