"""The streams that are served: their names, routes and cadences (PROTOCOL A1, A2, A3)."""

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["KINDS", "SPOT_KINDS", "StreamKind", "is_served", "parse_stream"]


@dataclass(frozen=True, slots=True)
class StreamKind:
    """A kind of stream."""

    suffix: str
    """What follows the symbol and `@`."""
    route: str
    """The only route that serves it: public or market; all where a market has no routes."""
    cadence_ms: int
    """It is looked at so often; 0: it sends with every event."""
    levels: int = 0
    """Levels a side of a partial book."""

    @property
    def is_legacy(self) -> bool:
        """Whether the retired routes without a category still serve it."""
        return self.route != "market"


_SPEEDS = {"": 250, "@100ms": 100, "@500ms": 500}
KINDS: dict[str, StreamKind] = {
    kind.suffix: kind
    for kind in (
        *(StreamKind(f"depth{speed}", "public", cadence) for speed, cadence in _SPEEDS.items()),
        StreamKind("depth@0ms", "public", 25),
        *(
            StreamKind(f"depth{levels}{speed}", "public", cadence, levels)
            for levels in (5, 10, 20)
            for speed, cadence in _SPEEDS.items()
        ),
        StreamKind("bookTicker", "public", 0),
        StreamKind("trade", "public", 0),
        StreamKind("aggTrade", "market", 0),
        StreamKind("markPrice", "market", 3000),
        StreamKind("markPrice@1s", "market", 1000),
        StreamKind("kline_1m", "market", 250),
        StreamKind("forceOrder", "market", 1000),
    )
}
"""Suffix → kind, of USD-M."""

_SPOT_SPEEDS = {"": 1000, "@100ms": 100}
SPOT_KINDS: dict[str, StreamKind] = {
    kind.suffix: kind
    for kind in (
        *(StreamKind(f"depth{speed}", "all", cadence) for speed, cadence in _SPOT_SPEEDS.items()),
        *(
            StreamKind(f"depth{levels}{speed}", "all", cadence, levels)
            for levels in (5, 10, 20)
            for speed, cadence in _SPOT_SPEEDS.items()
        ),
        StreamKind("bookTicker", "all", 0),
        StreamKind("trade", "all", 0),
        StreamKind("aggTrade", "all", 0),
        StreamKind("kline_1m", "all", 2000),
    )
}
"""Suffix → kind, of spot."""


def parse_stream(name: str, kinds: Mapping[str, StreamKind] = KINDS) -> tuple[str, StreamKind] | None:
    """(symbol in upper case, kind) of a stream name; None for what is no stream.

    >>> parse_stream("btcusdt@depth@100ms")[1].cadence_ms
    100
    """
    symbol, separator, suffix = name.partition("@")
    kind = kinds.get(suffix)
    return None if kind is None or not separator or symbol != symbol.lower() else (symbol.upper(), kind)


def is_served(kind: StreamKind, route: str) -> bool:
    """Whether a socket on `route` (public, market, private, or legacy: none at all) sends such a stream."""
    return kind.is_legacy if route == "legacy" else kind.route == route
