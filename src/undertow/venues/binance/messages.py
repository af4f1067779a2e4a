"""Wire structs of the rarer frames, each below its raw payload (source: Binance's derivatives documents).

They are strict: a field that is missing, or of another JSON type than documented, is an error and no guess.
"""

from typing import Annotated, Literal

import msgspec

from undertow.venues.marks import Audit, Clock, Disconnect, InstrumentChange, Watermark

__all__ = [
    "FREQUENT",
    "KNOWN_FIELDS",
    "ForceOrder",
    "FundingRateAnswer",
    "KlineMessage",
    "MarkPriceUpdate",
    "Message",
    "OpenInterestAnswer",
    "ServerShutdown",
    "unwrap",
]

KNOWN_FIELDS: dict[str, frozenset[str]] = {
    "depthUpdate": frozenset({"e", "E", "T", "s", "U", "u", "pu", "b", "a", "ps", "st"}),
    "trade": frozenset({"e", "E", "T", "s", "t", "p", "q", "X", "m", "M", "a", "b", "st", "ps", "nq"}),
    "aggTrade": frozenset({"e", "E", "T", "s", "a", "p", "q", "nq", "f", "l", "m", "M", "st", "ps"}),
    "bookTicker": frozenset({"e", "u", "E", "T", "s", "ps", "b", "B", "a", "A", "st"}),
    "markPriceUpdate": frozenset({"e", "E", "s", "p", "i", "P", "r", "ap", "T", "st", "ps"}),
    "forceOrder": frozenset({"e", "E", "o", "ps", "st"}),
    "kline": frozenset({"e", "E", "s", "k", "ps", "st"}),
    "serverShutdown": frozenset({"e", "E"}),
    "disconnect": frozenset({"e", "category", "reason"}),
    "watermark": frozenset({"e", "T"}),
    "audit": frozenset({"e"}),
    "clock": frozenset({"e", "T", "offset_us", "error_us", "rtt_us"}),
    "instrument": frozenset({"e", "T", "symbol", "change", "before", "after"}),
    "forceOrder.o": frozenset(["s", "S", "o", "f", "q", "p", "ap", "X", "l", "z", "T", "ps", "st"]),
    "kline.k": frozenset(
        ["t", "T", "s", "i", "f", "L", "o", "c", "h", "l", "v", "n", "x", "q", "V", "Q", "B"]
    ),
    "depth": frozenset({"lastUpdateId", "E", "T", "bids", "asks"}),
    "openInterest": frozenset({"openInterest", "symbol", "time"}),
    "fundingRate": frozenset({"symbol", "fundingRate", "fundingTime", "markPrice", "rateType"}),
}
"""Fields we know of each event type, and of the objects inside some; any other is counted and reported."""

_DECIMAL = r"[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]+)?"
Amount = Annotated[str, msgspec.Meta(pattern=f"^{_DECIMAL}$")]
"""A price or quantity: a decimal as text, never negative."""
Rate = Annotated[str, msgspec.Meta(pattern=f"^-?{_DECIMAL}$")]
OptionalAmount = Annotated[str, msgspec.Meta(pattern=f"^({_DECIMAL})?$")]
"""Empty where there is none."""
OptionalRate = Annotated[str, msgspec.Meta(pattern=f"^(-?{_DECIMAL})?$")]
Stamp = Annotated[int, msgspec.Meta(ge=0, lt=10**17)]
"""A time in ms or µs."""
Identity = Annotated[int, msgspec.Meta(ge=-1, lt=2**62)]
"""An id or a count; -1 of the first and last trade of a candle without trades."""


# {"e":"markPriceUpdate","E":1562305380000,"s":"BTCUSDT","p":"11794.15000000","i":"11784.62659091",
#  "P":"11784.25641265","r":"0.00038167","ap":"11794.15000000","T":1562306400000,"st":1}
class MarkPriceUpdate(msgspec.Struct, frozen=True, tag_field="e", tag="markPriceUpdate"):
    """`P` is an estimated settlement price, not a rate; `T` is the next funding time; `r` may be empty."""

    E: Stamp
    s: str
    p: Amount
    i: Amount
    r: OptionalRate
    T: Stamp
    P: OptionalAmount = ""
    ap: OptionalAmount = ""


class ForcedOrder(msgspec.Struct, frozen=True):
    """The order inside a `forceOrder` event."""

    s: str
    S: Literal["BUY", "SELL"]
    q: Amount
    p: Amount
    ap: Amount
    z: Amount
    T: Stamp
    o: str = ""
    f: str = ""
    X: str = ""


# {"e":"forceOrder","E":1568014460893,"o":{"s":"BTCUSDT","S":"SELL","o":"LIMIT","f":"IOC","q":"0.014",
#  "p":"9910","ap":"9910","X":"FILLED","l":"0.014","z":"0.014","T":1568014460893},"st":1}
class ForceOrder(msgspec.Struct, frozen=True, tag_field="e", tag="forceOrder"):
    """A liquidation; the exchange pushes at most one a second and symbol."""

    E: Stamp
    o: ForcedOrder


class Candle(msgspec.Struct, frozen=True):
    """The candle inside a `kline` event; `T` is inclusive."""

    t: Stamp
    T: Stamp
    s: str
    i: str
    o: Amount
    h: Amount
    l: Amount  # noqa: E741 - the wire's name
    c: Amount
    v: Amount
    n: Identity
    x: bool
    V: Amount
    q: Amount
    Q: Amount
    f: Identity
    L: Identity


# {"e":"kline","E":1672515782136,"s":"BTCUSDT","k":{"t":1672515780000,"T":1672515839999,"s":"BTCUSDT",
#  "i":"1m","f":100,"L":200,"o":"1","c":"2","h":"3","l":"1","v":"1000","n":100,"x":false,"q":"1","V":"500",
#  "Q":"5","B":"1"}}
class KlineMessage(msgspec.Struct, frozen=True, tag_field="e", tag="kline"):
    """The exchange's own candle."""

    E: Stamp
    s: str
    k: Candle


# {"e":"serverShutdown","E":1770123456789}
class ServerShutdown(msgspec.Struct, frozen=True, tag_field="e", tag="serverShutdown"):
    """The server asks to reconnect."""

    E: Stamp


# {"stream":"btcusdt@openInterest","data":{"openInterest":"10659.509","symbol":"BTCUSDT",
#  "time":1589437530011}}
class OpenInterestAnswer(msgspec.Struct, frozen=True):
    """The body of `openInterest`."""

    openInterest: Amount
    symbol: str
    time: Stamp


# {"stream":"btcusdt@fundingRate","data":[{"symbol":"BTCUSDT","fundingRate":"-0.03750000",
#  "fundingTime":1570608000000,"markPrice":"34287.54619963"}]}
class FundingRateAnswer(msgspec.Struct, frozen=True):
    """A row of the body of `fundingRate`; the oldest have no mark price."""

    symbol: str
    fundingTime: Stamp
    fundingRate: Rate
    markPrice: OptionalAmount = ""


class _DepthUpdate(msgspec.Struct, frozen=True):
    E: int
    U: int
    u: int
    b: list[list[str]]
    a: list[list[str]]


class _Trade(msgspec.Struct, frozen=True):
    T: int
    t: int
    p: Amount
    q: Amount
    m: bool


class _AggregateTrade(msgspec.Struct, frozen=True):
    T: int
    a: int
    f: int
    l: int  # noqa: E741 - the wire's name
    p: Amount
    q: Amount
    m: bool


class _BookTicker(msgspec.Struct, frozen=True):
    u: int
    b: Amount
    B: Amount
    a: Amount
    A: Amount


FREQUENT: dict[str, type[msgspec.Struct]] = {
    "depthUpdate": _DepthUpdate,
    "trade": _Trade,
    "aggTrade": _AggregateTrade,
    "bookTicker": _BookTicker,
}
"""What the scanner needs of the frames that it reads; here only to say what is wrong with one it refused."""


Message = (
    MarkPriceUpdate
    | ForceOrder
    | KlineMessage
    | ServerShutdown
    | Disconnect
    | Watermark
    | Audit
    | Clock
    | InstrumentChange
)


class _Wrapper(msgspec.Struct, frozen=True):
    stream: str | None = None
    data: msgspec.Raw = msgspec.Raw(b"")


_wrapper_decoder = msgspec.json.Decoder(_Wrapper)


def unwrap(frame: bytes) -> tuple[str | None, bytes]:
    """(stream name or None, payload) of a frame, bare or in the combined-stream wrapper.

    Raises msgspec.DecodeError where the frame is no JSON object.
    """
    wrapper = _wrapper_decoder.decode(frame)
    return wrapper.stream, bytes(wrapper.data) or frame
