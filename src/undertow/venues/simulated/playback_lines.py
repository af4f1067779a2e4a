"""Recorded lines as the exchange's messages, and what can be told from the beginning of a capture.

A line is `<receive time, ns or µs><space><frame>`. A frame is a combined-stream message, a bare event as
`/ws/` sends it, or a bare REST snapshot of the book.
"""

import functools
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import NamedTuple

import msgspec

from undertow.errors import InputError
from undertow.market.time import to_nanoseconds

__all__ = [
    "POLLED",
    "CaptureFacts",
    "Recorded",
    "Steps",
    "family_of",
    "inspect_capture",
    "read_line",
    "route_of",
]

POLLED = ("@openInterest", "@fundingRate")
"""Ends of names under which a journal keeps what it polled by REST."""

_INSPECTED_BYTES = 16 << 20
_PREFIX = b'{"stream":"'
_DATA = b'","data":'
_SNAPSHOT = re.compile(rb'\{\s*"lastUpdateId"')
_LEVEL = re.compile(rb'\["([0-9.]+)",\s?"([0-9.]+)"\]')
_PAIR = re.compile(rb'"[pba]":\s?"([0-9.]+)",\s?"[qBA]":\s?"([0-9.]+)"')
_PREVIOUS_ID = re.compile(rb'"pu":\s?\d')
_STEPPED = ("depth", "trade", "aggTrade", "bookTicker")
_OURS = "!undertow"
_EVENT_SUFFIXES = {
    "depthUpdate": "depth@100ms",
    "markPriceUpdate": "markPrice@1s",
    "24hrTicker": "ticker",
    "24hrMiniTicker": "miniTicker",
}
"""Event type → suffix of its stream, where it is not the type itself. The cadence is the usual one."""
_PUBLIC = ("depth", "bookTicker", "trade", "rpiDepth")
_FAMILY = re.compile(r"(depth\d*|markPrice)(@\d+m?s)?\Z")


class Recorded(NamedTuple):
    """A line of a capture. `stream` is empty for a REST snapshot of the book."""

    receive_ns: int
    stream: str
    payload: bytes


class Steps(NamedTuple):
    """Price and quantity step of a symbol as decimals; quantities of resting orders lie on `lot`."""

    tick: str
    lot: str


@dataclass(slots=True)
class CaptureFacts:
    """What the beginning of a capture says about it."""

    market: str
    """usdm or spot."""
    start_ms: int
    """Receive time of the first line."""
    streams: tuple[str, ...]
    """Names in order of appearance."""
    steps: dict[str, Steps] = field(default_factory=dict)
    """Symbol → the largest steps on which all its recorded prices and quantities lie."""

    @property
    def symbols(self) -> tuple[str, ...]:
        """Symbols with a stream of their own, upper case."""
        names = (stream.partition("@")[0].upper() for stream in self.streams)
        return tuple(dict.fromkeys(name for name in names if not name.startswith("!")))


class _Wrapper(msgspec.Struct, frozen=True):
    stream: str | None = None
    data: msgspec.Raw = msgspec.Raw(b"")


class _Names(msgspec.Struct, frozen=True):
    """What names the stream of a bare event."""

    e: str = ""
    s: str = ""
    o: msgspec.Raw = msgspec.Raw(b"{}")
    k: msgspec.Raw = msgspec.Raw(b"{}")
    u: int | None = None
    B: msgspec.Raw = msgspec.Raw(b"")
    A: msgspec.Raw = msgspec.Raw(b"")


class _Order(msgspec.Struct, frozen=True):
    s: str = ""


class _Candle(msgspec.Struct, frozen=True):
    i: str = ""


_wrapper_decoder = msgspec.json.Decoder(_Wrapper)
_names_decoder = msgspec.json.Decoder(_Names)


def read_line(line: bytes) -> Recorded | None:
    r"""What a line holds; None for our own marks and for what is no message of a stream and no snapshot.

    >>> read_line(b'1700000000000000000 {"e":"trade","s":"BTCUSDT","t":1}').stream
    'btcusdt@trade'
    """
    stamp, _, frame = line.partition(b" ")
    if not stamp.isdigit() or not frame.endswith(b"}"):
        return None
    receive_ns = to_nanoseconds(int(stamp))
    if _SNAPSHOT.match(frame):
        return Recorded(receive_ns, "", frame)
    found = _fast_unwrap(frame) or _unwrap(frame)
    return None if found is None or found[0] == _OURS else Recorded(receive_ns, *found)


def _fast_unwrap(frame: bytes) -> tuple[str, bytes] | None:
    """Name and payload of a message as the exchange writes it, without parsing JSON."""
    if not frame.startswith(_PREFIX):
        return None
    end = frame.find(b'"', len(_PREFIX))
    if end < 0 or not frame.startswith(_DATA, end):
        return None
    return frame[len(_PREFIX) : end].decode("utf-8", "replace"), frame[end + len(_DATA) : -1]


def _unwrap(frame: bytes) -> tuple[str, bytes] | None:
    try:
        wrapper = _wrapper_decoder.decode(frame)
        if wrapper.stream is not None:
            return wrapper.stream, bytes(wrapper.data)
        return _implied_stream(_names_decoder.decode(frame)), frame
    except (msgspec.DecodeError, UnicodeDecodeError, _NamelessError):
        return None


class _NamelessError(Exception):
    """A bare message from which no stream can be told."""


def _implied_stream(names: _Names) -> str:
    symbol, kind = names.s, names.e
    if kind == "forceOrder":
        symbol = msgspec.json.decode(names.o, type=_Order).s
    if kind == "kline":
        kind = f"kline_{msgspec.json.decode(names.k, type=_Candle).i}"
    if not kind and names.u is not None and bytes(names.B) and bytes(names.A):
        kind = "bookTicker"  # spot sends it without an event type
    if not symbol or not kind:
        raise _NamelessError
    return f"{symbol.lower()}@{_EVENT_SUFFIXES.get(kind, kind)}"


def route_of(stream: str) -> str:
    """The only USD-M route that serves a stream (PROTOCOL A1): public or market.

    >>> route_of("btcusdt@depth@0ms"), route_of("!forceOrder@arr")
    ('public', 'market')
    """
    symbol, _, suffix = stream.partition("@")
    kind = symbol[1:] if symbol.startswith("!") else suffix
    return "public" if kind.startswith(_PUBLIC) else "market"


@functools.lru_cache(maxsize=4096)
def family_of(stream: str) -> str:
    """The stream without its cadence: names of one family differ only in how often they send.

    >>> family_of("btcusdt@depth@0ms"), family_of("btcusdt@depth20@100ms"), family_of("btcusdt@trade")
    ('btcusdt@depth', 'btcusdt@depth20', 'btcusdt@trade')
    """
    symbol, separator, suffix = stream.partition("@")
    found = _FAMILY.match(suffix)
    return f"{symbol}{separator}{found[1]}" if found else stream


def inspect_capture(
    chunks: Iterable[bytes], source: str, inspected_bytes: int = _INSPECTED_BYTES
) -> CaptureFacts:
    """Look at the first 16 MiB. `chunks` are whole lines; `source` names the capture in errors.

    A stream that begins later is served all the same, under its own name only. Raises InputError where there
    is no message of a stream.
    """
    seen = _Seen()
    size = 0
    for chunk in chunks:
        for line in chunk.split(b"\n"):
            seen.take(line)
        size += len(chunk)
        if size >= inspected_bytes:
            break
    if not seen.streams:
        raise InputError(
            f"{source}: holds no message of a stream at its beginning; a capture has lines of a receive time "
            "and a frame"
        )
    return seen.facts()


@dataclass(slots=True)
class _Seen:
    """What was seen of a capture so far."""

    start_ns: int = -1
    has_previous_ids: bool = False
    has_depth: bool = False
    has_order_types: bool = False
    streams: dict[str, None] = field(default_factory=dict)
    prices: dict[str, set[bytes]] = field(default_factory=dict)
    quantities: dict[str, set[bytes]] = field(default_factory=dict)
    snapshots: list[bytes] = field(default_factory=list)

    def take(self, line: bytes) -> None:
        recorded = read_line(line)
        if recorded is None:
            return
        self.start_ns = recorded.receive_ns if self.start_ns < 0 else self.start_ns
        if not recorded.stream:
            self.snapshots.append(recorded.payload)
            return
        if recorded.stream.endswith(POLLED):
            return
        self.streams[recorded.stream] = None
        symbol, _, suffix = recorded.stream.partition("@")
        if suffix.startswith(_STEPPED):
            self._note_steps(symbol.upper(), suffix, recorded.payload)

    def _note_steps(self, symbol: str, suffix: str, payload: bytes) -> None:
        is_depth = suffix.startswith("depth")
        self.has_depth |= is_depth
        self.has_previous_ids |= is_depth and _PREVIOUS_ID.search(payload) is not None
        self.has_order_types |= b'"st":' in payload or b'"X":' in payload
        self._note_values(symbol, (_LEVEL if is_depth else _PAIR).findall(payload))

    def _note_values(self, symbol: str, pairs: list[tuple[bytes, bytes]]) -> None:
        self.prices.setdefault(symbol, set()).update(price for price, _ in pairs)
        self.quantities.setdefault(symbol, set()).update(quantity for _, quantity in pairs)

    def facts(self) -> CaptureFacts:
        is_usdm = self.has_previous_ids if self.has_depth else self.has_order_types or self._has_marks()
        found = CaptureFacts("usdm" if is_usdm else "spot", self.start_ns // 1_000_000, tuple(self.streams))
        if len(found.symbols) == 1:
            for snapshot in self.snapshots:
                self._note_values(found.symbols[0], _LEVEL.findall(snapshot))
        for symbol, prices in self.prices.items():
            tick, lot = _step(prices), _step(self.quantities[symbol])
            if tick and lot:
                found.steps[symbol] = Steps(tick, lot)
        return found

    def _has_marks(self) -> bool:
        return any("@markPrice" in stream or "@forceOrder" in stream for stream in self.streams)


def _step(texts: set[bytes]) -> str:
    """The largest decimal of which all are multiples, with as many decimals as they have; empty if none."""
    decimals = max((len(text.partition(b".")[2]) for text in texts), default=0)
    counts = [int(Decimal(text.decode()).scaleb(decimals)) for text in texts]
    common = math.gcd(*counts)
    return format(Decimal(common).scaleb(-decimals), "f") if common else ""
