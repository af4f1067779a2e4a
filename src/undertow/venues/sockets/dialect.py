"""What a feed must know of a venue to keep its sockets alive; everything else about them is the same."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from undertow.venues.arbiter import Numbering, ReadIds

__all__ = ["Dialect", "Reply", "SocketMarket"]


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer to a request of ours."""

    error: str | None = None
    """What the exchange says of a request that it refuses; None: it is granted."""
    is_pong: bool = False
    """It answers a ping, which nobody waits for."""
    is_shutdown: bool = False
    """No answer: the exchange announces that it will close this socket."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a venue is spoken to on a socket."""

    subscribe: Callable[[Sequence[str], int], bytes]
    """The request for streams, with its number."""
    unsubscribe: Callable[[Sequence[str], int], bytes]
    streams_per_request: int
    stream_of: Callable[[bytes], bytes | None]
    """Name of the stream of a frame; None for replies, notices and what is not understood."""
    reply_of: Callable[[bytes], Reply | None]
    """What a frame without a stream says of the connection; None where it says nothing."""
    numbering_of: Callable[[bytes], tuple[Numbering, ReadIds]]
    """How the frames of a stream follow one another."""
    expect_snapshot: Callable[[bytes], None] = lambda _: None
    """Tells `numbering_of`'s readers that the next snapshot of a stream was asked for, and is no copy."""
    ping: Callable[[int], bytes] | None = None
    """A ping as a message, with its number; None: pings of the protocol are enough."""
    ping_every_s: float = 20.0
    requests_per_s: float = 2.0
    """Requests a second on one socket."""


@dataclass(frozen=True, slots=True)
class SocketMarket:
    """Where the sockets of one market are, and what to expect of their streams."""

    venue: str
    dialect: Dialect
    url_of: Callable[[str, int], str]
    """URL of a category for the n-th redundant connection."""
    patience_of: Callable[[str], float | None]
    """Silence of a stream that is suspicious, in heartbeats; None: it may be silent for ever."""
    streams_per_connection: int
    categories: tuple[str, ...] = field(default=())
    """Categories that a stream which is silent on its own may be asked for on."""
