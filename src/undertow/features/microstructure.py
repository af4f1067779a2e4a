"""Order flow and queue at the best level, from the literature (SPEC 5.7).

After a gap of the trade stream a decaying sum is null for five half-lives: until then what is missing would
weigh more than 1/32.
"""

from undertow.features.feature import ANY, BOOK, FLOW, NO_FLOW, NO_VOLUME, SIGNED, Feature, Formula
from undertow.features.memory import Floats, Memory
from undertow.features.nulls import flow_only, known, known_since_gap, ratio
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


def _signed_flow(f: Frames, m: Memory, half_life_s: int) -> Floats:
    delta = f.quantity.to_floats(f.buy_lots - f.sell_lots)
    decayed = m.decay(delta, half_life_s * SECOND_NS / f.length_ns)
    return flow_only(known_since_gap(decayed, f, 5 * half_life_s * SECOND_NS), f)


def signed_flow_ewma_1s(f: Frames, m: Memory) -> Floats:
    """Σ vol_delta of all bars so far, each halved every 1 s [base units]."""
    return _signed_flow(f, m, 1)


def signed_flow_ewma_5s(f: Frames, m: Memory) -> Floats:
    """Σ vol_delta of all bars so far, each halved every 5 s [base units]."""
    return _signed_flow(f, m, 5)


def signed_flow_ewma_20s(f: Frames, m: Memory) -> Floats:
    """Σ vol_delta of all bars so far, each halved every 20 s [base units]."""
    return _signed_flow(f, m, 20)


def signed_flow_ewma_60s(f: Frames, m: Memory) -> Floats:
    """Σ vol_delta of all bars so far, each halved every 60 s [base units]."""
    return _signed_flow(f, m, 60)


def signed_flow_ewma_300s(f: Frames, m: Memory) -> Floats:
    """Σ vol_delta of all bars so far, each halved every 300 s [base units]."""
    return _signed_flow(f, m, 300)


def queue_imbalance(f: Frames, m: Memory) -> Floats:  # noqa: ARG001 - one signature for all features
    """(bidQty − askQty) / (bidQty + askQty) at the best level, last sample (Gould, Bonart 2016)."""
    bid, ask = f.bid_lots[:, 0], f.ask_lots[:, 0]
    return known(ratio(bid - ask, bid + ask), f.sample_count > 0)


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
