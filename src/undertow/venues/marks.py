"""Our own marks in a journal, between the frames of any venue: `{"stream":"!undertow","data":{...}}`."""

from typing import Annotated

import msgspec

__all__ = [
    "MARK_STREAM",
    "Audit",
    "Clock",
    "Disconnect",
    "InstrumentChange",
    "Mark",
    "Watermark",
]

MARK_STREAM = "!undertow"
"""Name in the wrapper of a mark."""

Stamp = Annotated[int, msgspec.Meta(ge=0, lt=10**17)]
"""A time in ms or µs."""


# {"stream":"!undertow","data":{"e":"disconnect","category":"public","reason":"connection reset"}}
class Disconnect(msgspec.Struct, frozen=True, tag_field="e", tag="disconnect"):
    """The connection of a category was lost."""

    category: str
    reason: str


# {"stream":"!undertow","data":{"e":"watermark","T":1770123456789}}
class Watermark(msgspec.Struct, frozen=True, tag_field="e", tag="watermark"):
    """No frame came and event time has reached `T`."""

    T: Stamp


# {"stream":"!undertow","data":{"e":"audit"}}
class Audit(msgspec.Struct, frozen=True, tag_field="e", tag="audit"):
    """The snapshot that comes next is for comparing the book with."""


# {"stream":"!undertow","data":{"e":"clock","T":1770123456789,"offset_us":-120,"error_us":900,
#  "rtt_us":1400}}
class Clock(msgspec.Struct, frozen=True, tag_field="e", tag="clock"):
    """The exchange's clock against ours."""

    T: Stamp
    offset_us: int
    error_us: int
    rtt_us: int


# {"stream":"!undertow","data":{"e":"instrument","T":1770123456789,"symbol":"BTCUSDT","change":"tick",
#  "before":"0.10","after":"0.01"}}
class InstrumentChange(msgspec.Struct, frozen=True, tag_field="e", tag="instrument"):
    """What the exchange states of a symbol has changed."""

    T: Stamp
    symbol: str
    change: str
    before: str
    after: str


Mark = Disconnect | Watermark | Audit | Clock | InstrumentChange
