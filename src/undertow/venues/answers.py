"""What a client of a venue's REST interface gives, and how it says that it will get nothing."""

from dataclasses import dataclass

from undertow.errors import VenueError

__all__ = ["Answer", "RefusedError", "TimeProbe"]


@dataclass(frozen=True, slots=True)
class Answer:
    """A body as it came, to be journalled verbatim. `receive_ns` is when its last byte was there."""

    receive_ns: int
    body: bytes


@dataclass(frozen=True, slots=True)
class TimeProbe:
    """The exchange's clock between two looks at ours. Times in ns."""

    send_ns: int
    server_ms: int
    receive_ns: int


class RefusedError(VenueError):
    """The exchange will not serve us, however often we ask."""
