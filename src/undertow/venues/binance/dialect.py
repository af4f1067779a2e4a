"""How Binance's sockets are spoken to: requests, replies, and what a frame belongs to."""

from collections.abc import Sequence
from functools import partial

import msgspec

from undertow.venues.binance.endpoints import Endpoints, websocket_url
from undertow.venues.binance.frame_ids import numbering_of
from undertow.venues.sockets.dialect import Dialect, Reply, SocketMarket

__all__ = ["DIALECT", "reply_of", "socket_market", "stream_of"]

_PREFIX = b'{"stream":"'
_SHUTDOWN_STREAM = "!serverShutdown"
_STREAMS_PER_REQUEST = 100


class _Envelope(msgspec.Struct, frozen=True):
    """What can be told of any frame: the wrapper, a bare event, or the reply to a request."""

    stream: str | None = None
    e: str | None = None
    id: int | str | None = None
    error: msgspec.Raw = msgspec.Raw(b"")
    code: int | None = None


_envelope_decoder = msgspec.json.Decoder(_Envelope)


def _envelope(frame: bytes) -> _Envelope | None:
    try:
        return _envelope_decoder.decode(frame)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def stream_of(frame: bytes) -> bytes | None:
    """Stream name in the wrapper of a combined frame; None where there is none.

    The exchange writes the name first, so no JSON is parsed unless the frame looks different.

    >>> stream_of(b'{"stream":"btcusdt@depth@100ms","data":{}}')
    b'btcusdt@depth@100ms'
    """
    if frame.startswith(_PREFIX):
        end = frame.find(b'"', len(_PREFIX))
        name = frame[len(_PREFIX) : end] if end > 0 else None
    else:
        envelope = _envelope(frame)
        name = envelope.stream.encode() if envelope is not None and envelope.stream else None
    return None if name == _SHUTDOWN_STREAM.encode() else name


def reply_of(frame: bytes) -> Reply | None:
    """What a frame without a stream says; None where it is no reply."""
    envelope = _envelope(frame)
    if envelope is None:
        return None
    if envelope.stream == _SHUTDOWN_STREAM or envelope.e == "serverShutdown":
        return Reply(is_shutdown=True)
    if envelope.e is not None or (envelope.id is None and envelope.code is None):
        return None
    is_refused = bool(bytes(envelope.error)) or envelope.code is not None
    return Reply(error=frame[:200].decode("utf-8", "replace") if is_refused else None)


def _request(method: str, streams: Sequence[str], number: int) -> bytes:
    return msgspec.json.encode({"method": method, "params": list(streams), "id": number})


DIALECT = Dialect(
    subscribe=partial(_request, "SUBSCRIBE"),
    unsubscribe=partial(_request, "UNSUBSCRIBE"),
    streams_per_request=_STREAMS_PER_REQUEST,
    stream_of=stream_of,
    reply_of=reply_of,
    numbering_of=numbering_of,
)
"""Spot closes a socket after five requests a second, pongs included; this sends two."""


def socket_market(endpoints: Endpoints) -> SocketMarket:
    """The market for a `Feed`."""
    by_suffix = {kind.template.partition("@")[2]: kind.patience for kind in endpoints.streams.values()}

    def patience_of(stream: str) -> float | None:
        return by_suffix.get(stream.partition("@")[2])

    return SocketMarket(
        venue=endpoints.venue,
        dialect=DIALECT,
        url_of=partial(websocket_url, endpoints),
        patience_of=patience_of,
        streams_per_connection=endpoints.streams_per_connection,
        categories=tuple(endpoints.routes),
    )
