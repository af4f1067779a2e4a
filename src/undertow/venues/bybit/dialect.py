"""How Bybit's public sockets are spoken to: requests, replies, pings, and what a frame belongs to."""

from collections.abc import Sequence
from functools import partial

import msgspec

from undertow.venues.bybit.endpoints import Endpoints, websocket_url
from undertow.venues.bybit.frame_ids import TopicNumbering
from undertow.venues.sockets.dialect import Dialect, Reply, SocketMarket

__all__ = [
    "new_dialect",
    "ping_request",
    "reply_of",
    "socket_market",
    "symbol_of",
    "topic_of",
    "topic_request",
]

_PREFIX = b'{"topic":"'


class _Head(msgspec.Struct, frozen=True):
    """What can be told of any frame."""

    topic: str = ""
    op: str = ""
    success: bool = True
    ret_msg: str = ""


_head_decoder = msgspec.json.Decoder(_Head)


def _head(frame: bytes) -> _Head | None:
    try:
        return _head_decoder.decode(frame)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def topic_of(frame: bytes) -> bytes | None:
    """Topic of a frame; None for what has none, such as the reply to a request.

    The exchange writes it first, so no JSON is parsed unless the frame looks different.

    >>> topic_of(b'{"topic":"publicTrade.BTCUSDT","type":"snapshot"}')
    b'publicTrade.BTCUSDT'
    """
    if frame.startswith(_PREFIX):
        end = frame.find(b'"', len(_PREFIX))
        return frame[len(_PREFIX) : end] if end > 0 else None
    head = _head(frame)
    return head.topic.encode() if head is not None and head.topic else None


def symbol_of(topic: bytes) -> bytes:
    """Symbol that a topic is about.

    >>> symbol_of(b"orderbook.200.BTCUSDT")
    b'BTCUSDT'
    """
    return topic.rpartition(b".")[2]


def topic_request(operation: str, topics: Sequence[str], number: int) -> bytes:
    """A request about topics.

    >>> topic_request("subscribe", ["tickers.BTCUSDT"], 1)
    b'{"op":"subscribe","args":["tickers.BTCUSDT"],"req_id":"1"}'
    """
    return msgspec.json.encode({"op": operation, "args": list(topics), "req_id": str(number)})


def ping_request(number: int) -> bytes:
    """A ping; the exchange cuts a socket that sends none.

    >>> ping_request(7)
    b'{"op":"ping","req_id":"7"}'
    """
    return msgspec.json.encode({"op": "ping", "req_id": str(number)})


def reply_of(frame: bytes) -> Reply | None:
    """What a frame without a topic says; None where it is no reply. Errors are told, unlike on Binance.

    >>> reply_of(b'{"success":false,"ret_msg":"error:no topic","conn_id":"c","op":"subscribe"}').error
    'error:no topic'
    """
    head = _head(frame)
    if head is None or not head.op:
        return None
    if head.op in {"ping", "pong"}:
        return Reply(is_pong=True)
    return Reply(error=None if head.success else head.ret_msg or "refused without a reason")


def new_dialect(endpoints: Endpoints) -> Dialect:
    """A dialect for one feed: it carries how far the ids of that feed's topics have come."""
    numbering = TopicNumbering()
    return Dialect(
        subscribe=partial(topic_request, "subscribe"),
        unsubscribe=partial(topic_request, "unsubscribe"),
        streams_per_request=endpoints.args_per_request,
        stream_of=topic_of,
        reply_of=reply_of,
        numbering_of=numbering.of,
        expect_snapshot=numbering.expect_snapshot,
        ping=ping_request,
        ping_every_s=endpoints.ping_every_s,
        requests_per_s=endpoints.messages_per_s,
    )


def socket_market(endpoints: Endpoints) -> SocketMarket:
    """The market for a `Feed` of its own."""
    patience = {
        kind.template.format(depth=endpoints.book_depth, symbol=""): kind.patience
        for kind in endpoints.streams.values()
    }

    def patience_of(topic: str) -> float | None:
        return patience.get(topic[: topic.rfind(".") + 1])

    return SocketMarket(
        venue=endpoints.venue,
        dialect=new_dialect(endpoints),
        url_of=partial(websocket_url, endpoints),
        patience_of=patience_of,
        streams_per_connection=endpoints.streams_per_connection,
        categories=tuple(endpoints.routes),
    )
