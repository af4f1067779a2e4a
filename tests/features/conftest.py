"""Frames made from seeded random markets, through the real fold."""

import pytest

from tests.features.frames_factory import steady_market
from tests.frames.conftest import INSTRUMENT, make_market
from undertow.frames.frames import Frames
from undertow.frames.sampler import Sampler, SamplerSettings
from undertow.venues.binance.mapper import BinanceMapper


def market_frames(seed: int, seconds: int, length_s: int = 1, drop: frozenset[int] = frozenset()) -> Frames:
    """Bars of a small market; a dropped depth update leaves the book unknown from there on."""
    settings = SamplerSettings(timeframes_ns=(length_s * 10**9,))
    batch = BinanceMapper(INSTRUMENT).map(make_market(seed, seconds, drop).bytes()).batch
    return steady_market(Sampler(INSTRUMENT, settings).feed(batch).frames[length_s * 10**9])


@pytest.fixture(scope="session")
def frames() -> Frames:
    return market_frames(1, 200)


@pytest.fixture(scope="session")
def frames_with_gap() -> Frames:
    return market_frames(2, 120, drop=frozenset({300}))
