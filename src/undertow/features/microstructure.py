"""Order flow and queue at the best level, from the literature (SPEC 5.7)."""

from undertow.features.feature import ANY, BOOK, FLOW, NO_FLOW, NO_VOLUME, SIGNED, Feature
from undertow.features.memory import Floats, Memory
from undertow.features.nulls import flow_only, known, ratio
from undertow.frames.frames import Frames
from undertow.market.time import SECOND_NS

__all__ = ["LINES", "queue_imbalance", "signed_flow_ewma_5s", "signed_flow_ewma_20s"]


def _signed_flow(f: Frames, m: Memory, half_life_s: float) -> Floats:
    delta = f.quantity.to_floats(f.buy_lots - f.sell_lots)
    return flow_only(m.decay(delta, half_life_s * SECOND_NS / f.length_ns), f)


def signed_flow_ewma_5s(f: Frames, m: Memory) -> Floats:
    """Σ vol_delta of all bars so far, each halved every 5 s [base units]."""
    return _signed_flow(f, m, 5.0)


def signed_flow_ewma_20s(f: Frames, m: Memory) -> Floats:
    """Σ vol_delta of all bars so far, each halved every 20 s [base units]."""
    return _signed_flow(f, m, 20.0)


def queue_imbalance(f: Frames, m: Memory) -> Floats:  # noqa: ARG001 - one signature for all features
    """(bidQty − askQty) / (bidQty + askQty) at the best level, last sample (Gould, Bonart 2016)."""
    bid, ask = f.bid_lots[:, 0], f.ask_lots[:, 0]
    return known(ratio(bid - ask, bid + ask), f.sample_count > 0)


LINES = (
    Feature("signed_flow_ewma_5s", signed_flow_ewma_5s, "base", ANY, NO_FLOW, FLOW, "SPEC 5.7", mirror="odd"),
    Feature(
        "signed_flow_ewma_20s", signed_flow_ewma_20s, "base", ANY, NO_FLOW, FLOW, "SPEC 5.7", mirror="odd"
    ),
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
