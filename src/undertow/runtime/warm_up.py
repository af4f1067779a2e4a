"""Having the compiled kernels in memory before the first frame comes."""

import functools

import numpy as np

from undertow.features.catalogue import FEATURES
from undertow.features.engine import FeatureEngine
from undertow.frames.sampler import Sampler, SamplerSettings
from undertow.market.batch import EventBatch, EventKind
from undertow.market.instruments import Instrument
from undertow.market.time import SECOND_NS
from undertow.venues.mappers import mapper_of

__all__ = ["load_kernels"]

_BEGIN_NS = 1_577_836_800 * SECOND_NS
"""Some full hour."""


@functools.cache
def load_kernels(venue: str, settings: SamplerSettings) -> None:
    """Load what a fold of this venue calls, with a book, a trade and a bar in which nothing happens.

    It takes about a second, in which frames would wait and a book be without its snapshot; again, it does
    nothing.
    """
    instrument = Instrument(venue, "BTCUSDT", "0.10", "0.001")
    mapper_of(instrument).map(b"")
    sampled = Sampler(instrument, settings).feed(_moment(max(settings.timeframes_ns, default=SECOND_NS)))
    for length, frames in sampled.frames.items():
        FeatureEngine(FEATURES, length).push(frames)


def _moment(length_ns: int) -> EventBatch:
    """A book, a delta of it, two trades, and the time until a bar of this length is over."""
    kind = np.array(
        [
            EventKind.BASE,
            EventKind.DELTA,
            EventKind.TRADE,
            EventKind.AGGREGATE_TRADE,
            EventKind.WATERMARK,
            EventKind.WATERMARK,
        ],
        np.uint8,
    )
    event_ns = _BEGIN_NS + length_ns * np.array([0, 0, 0, 0, 1, 3])
    ones = np.ones(len(kind), np.int64)
    ids = np.array([1, 2, 1, 1, -1, -1])
    return EventBatch(
        kind=kind,
        event_ns=event_ns,
        receive_ns=event_ns,
        first_id=ids,
        last_id=ids,
        previous_id=np.array([-1, 1, -1, -1, -1, -1]),
        trade_id=ones,
        price_ticks=100 * ones,
        quantity_lots=ones,
        is_buyer_maker=np.zeros(len(kind), np.bool_),
        order_type=np.zeros(len(kind), np.uint8),
        normal_lots=ones,
        bid_start=np.array([0, 2, 0, 0, 0, 0]),
        bid_count=np.array([1, 1, 0, 0, 0, 0]),
        ask_start=np.array([1, 3, 0, 0, 0, 0]),
        ask_count=np.array([1, 1, 0, 0, 0, 0]),
        level_ticks=np.array([100, 101, 100, 101]),
        level_lots=np.array([5, 5, 6, 6]),
    )
