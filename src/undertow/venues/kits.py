"""What a live collection must know of a venue: its sockets, its streams, and what a frame belongs to."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

from undertow.venues.binance import dialect as binance_dialect
from undertow.venues.binance import endpoints as binance
from undertow.venues.bybit import dialect as bybit_dialect
from undertow.venues.bybit import endpoints as bybit
from undertow.venues.sockets.dialect import SocketMarket

__all__ = ["Kind", "VenueKit", "binance_kit", "bybit_kit"]

Kind = tuple[str, float | None]
"""(kind of a stream, its patience in heartbeats or None)."""
_HEAD = 200


@dataclass(frozen=True, slots=True)
class VenueKit:
    """One market of a venue, for one collection: its dialect carries the state of that collection's feed."""

    sockets: SocketMarket
    stream_names: Callable[[Iterable[str], Iterable[str]], dict[str, tuple[str, ...]]]
    """Symbols and kinds → category → streams; InputError for a kind that there is not."""
    symbol_of: Callable[[bytes], bytes]
    """Stream → its symbol in lower case."""
    kind_of: Callable[[str], Kind]
    """Stream → what it is."""
    is_book: Callable[[bytes], bool]
    """Whether the book is folded from a stream."""
    event_ms_of: Callable[[bytes], int]
    """Time that a frame states near its beginning [Unix ms]; 0 where it states none."""
    has_rest_books: bool
    """Whether a snapshot had by REST joins the stream; else subscribing anew brings one in the stream."""


def stated_ms(key: bytes, frame: bytes) -> int:
    """The time behind a key near the beginning of a frame [Unix ms]; 0 where there is none.

    >>> stated_ms(b'"ts":', b'{"topic":"tickers.A","ts":1672515782136,"data":{}}')
    1672515782136
    """
    at = frame.find(key, 0, _HEAD)
    if at < 0:
        return 0
    digits = frame[at + len(key) : at + len(key) + 14].lstrip()[:13]
    return int(digits) if digits.isdigit() else 0


def binance_kit(endpoints: binance.Endpoints) -> VenueKit:
    """A market of Binance."""
    kinds: dict[str, Kind] = {
        kind.template.partition("@")[2]: (name, kind.patience) for name, kind in endpoints.streams.items()
    }
    return VenueKit(
        sockets=binance_dialect.socket_market(endpoints),
        stream_names=partial(binance.stream_names, endpoints),
        symbol_of=lambda stream: stream.partition(b"@")[0],
        kind_of=lambda stream: kinds.get(stream.partition("@")[2], ("other", None)),
        is_book=lambda stream: b"@depth" in stream,
        event_ms_of=partial(stated_ms, b'"E":'),
        has_rest_books=True,
    )


def bybit_kit(endpoints: bybit.Endpoints) -> VenueKit:
    """Bybit's linear market."""
    kinds: dict[str, Kind] = {
        kind.template.format(depth=endpoints.book_depth, symbol=""): (name, kind.patience)
        for name, kind in endpoints.streams.items()
    }
    book = f"orderbook.{endpoints.book_depth}.".encode()
    return VenueKit(
        sockets=bybit_dialect.socket_market(endpoints),
        stream_names=partial(bybit.topic_names, endpoints),
        symbol_of=lambda topic: bybit_dialect.symbol_of(topic).lower(),
        kind_of=lambda topic: kinds.get(topic[: topic.rfind(".") + 1], ("other", None)),
        is_book=lambda topic: topic.startswith(book),
        event_ms_of=partial(stated_ms, b'"ts":'),
        has_rest_books=endpoints.book_depth == endpoints.rest_book_depth,
    )
