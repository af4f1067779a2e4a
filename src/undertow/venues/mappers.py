"""The mapper of an instrument, whatever its venue."""

from typing import Protocol

from undertow.market.instruments import Instrument
from undertow.venues.binance.mapper import BinanceMapper
from undertow.venues.bybit import endpoints as bybit
from undertow.venues.bybit.mapper import BybitMapper
from undertow.venues.mapped import Mapped

__all__ = ["Mapper", "mapper_of", "mapper_state", "restore_mapper"]


class Mapper(Protocol):
    """Raw frames of one instrument into the vocabulary."""

    @property
    def instrument(self) -> Instrument:
        """What is mapped."""

    def map(self, data: bytes) -> Mapped:
        """Decode a block of complete journal lines."""


def mapper_of(instrument: Instrument) -> Mapper:
    """A new mapper; Binance's where the venue's name is not known.

    >>> type(mapper_of(Instrument("bybit-linear", "BTCUSDT", "0.10", "0.001"))).__name__
    'BybitMapper'
    """
    if instrument.venue in bybit.VENUES:
        return BybitMapper(instrument)
    return BinanceMapper(instrument)


def mapper_state(mapper: Mapper) -> bytes:
    """What a mapper carries from one block to the next, for a checkpoint; empty where that is nothing."""
    return mapper.to_bytes() if isinstance(mapper, BybitMapper) else b""


def restore_mapper(mapper: Mapper, state: bytes) -> None:
    """Go on from `mapper_state`; an empty one, as of an older checkpoint, is a beginning."""
    if isinstance(mapper, BybitMapper) and state:
        mapper.restore(state)
