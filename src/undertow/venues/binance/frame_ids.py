"""The ids of a raw frame, read without decoding it: what tells one copy of a frame from another."""

import re
from collections.abc import Callable

from undertow.venues.arbiter import FrameIds, Numbering

__all__ = ["numbering_of"]

_TRADE = re.compile(rb'"t" ?: ?(\d+)')
_AGGREGATE = re.compile(rb'"a" ?: ?(\d+)')
_FIRST = re.compile(rb'"U" ?: ?(\d+)')
_LAST = re.compile(rb'"u" ?: ?(\d+)')
_PREVIOUS = re.compile(rb'"pu" ?: ?(\d+)')
_EVENT_MS = re.compile(rb'"E" ?: ?(\d+)')
_SNAPSHOT = re.compile(rb'"lastUpdateId" ?: ?(\d+)')

_HEAD = 400
"""Ids stand before the levels of a depth update; a trade is shorter than this."""


def _single(pattern: re.Pattern[bytes]) -> Callable[[bytes], FrameIds | None]:
    def read(frame: bytes) -> FrameIds | None:
        found = pattern.search(frame, 0, _HEAD)
        return None if found is None else (int(found[1]) - 1, int(found[1]))

    return read


def _depth(frame: bytes) -> FrameIds | None:
    last = _LAST.search(frame, 0, _HEAD)
    before = _PREVIOUS.search(frame, 0, _HEAD)
    if last is None:
        return None
    if before is not None:
        return int(before[1]), int(last[1])
    first = _FIRST.search(frame, 0, _HEAD)
    return None if first is None else (int(first[1]) - 1, int(last[1]))


def _partial_depth(frame: bytes) -> FrameIds | None:
    found = _LAST.search(frame, 0, _HEAD) or _SNAPSHOT.search(frame, 0, _HEAD)
    return None if found is None else (-1, int(found[1]))


_BY_SUFFIX: dict[bytes, tuple[Numbering, Callable[[bytes], FrameIds | None]]] = {
    b"trade": (Numbering.CHAIN, _single(_TRADE)),
    b"aggTrade": (Numbering.CHAIN, _single(_AGGREGATE)),
    b"bookTicker": (Numbering.NEWEST, _single(_LAST)),
    b"markPrice": (Numbering.NEWEST, _single(_EVENT_MS)),
    b"kline_1m": (Numbering.NEWEST, _single(_EVENT_MS)),
}
_PARTIAL = re.compile(rb"depth\d")


def _none(_frame: bytes) -> FrameIds | None:
    return None


def numbering_of(stream: bytes) -> tuple[Numbering, Callable[[bytes], FrameIds | None]]:
    """How a stream is numbered, and what reads the ids of its frames (None: the frame has none).

    >>> numbering_of(b"btcusdt@depth@100ms")[1](b'{"e":"depthUpdate","U":12,"u":15,"pu":10,"b":[]}')
    (10, 15)
    """
    suffix = stream.partition(b"@")[2]
    kind = suffix.partition(b"@")[0]
    if _PARTIAL.match(kind):
        return Numbering.NEWEST, _partial_depth
    if kind == b"depth":
        return Numbering.CHAIN, _depth
    return _BY_SUFFIX.get(kind, (Numbering.CONTENT, _none))
