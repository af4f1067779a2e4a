"""What a feed of sockets needs to know, and whom it tells: the same for every venue."""

import time
from dataclasses import dataclass
from typing import Protocol

__all__ = ["FeedSettings", "FeedSink", "ReceiveClock"]


class FeedSink(Protocol):
    """Who receives what the feed receives. Called on the event loop; must return quickly."""

    def on_frame(self, receive_ns: int, frame: bytes) -> None:
        """A whole message, as it came; once, though several sockets brought it."""

    def on_disconnect(self, receive_ns: int, category: str, reason: str, streams: frozenset[str]) -> None:
        """Frames of these streams may be missing from here on: no socket delivers them any more."""

    def on_alarm(self, message: str) -> None:
        """Something a person should know."""


_GOING_AWAY = 1001


@dataclass(frozen=True, slots=True)
class FeedSettings:
    """Times in seconds."""

    copies: int = 1
    """Sockets that carry each stream; with 2 either may fail unnoticed."""
    heartbeat_s: float = 10.0
    """A subscribed socket without data for this long is replaced (times the patience of its stream kinds)."""
    rollover_s: float = 23 * 3600 + 50 * 60
    """Age at which a socket is replaced; the exchange cuts it at 24 h."""
    stable_s: float = 30.0
    """A socket that delivered for this long resets the backoff."""
    backoff_s: float = 0.5
    backoff_limit_s: float = 30.0
    connect_timeout_s: float = 10.0
    handover_timeout_s: float = 15.0
    """How long a new socket may take to deliver what the old one delivers."""
    handover_retry_s: float = 10.0
    close_timeout_s: float = 5.0
    hole_wait_s: float = 4.0
    """How long a frame waits for an earlier one that another socket may still bring."""
    end_on_going_away: bool = False
    """Take a close frame 1001 as the end of the market (a simulation that is over), not as a loss."""

    def is_end(self, close_code: int | None) -> bool:
        """Whether a socket that was closed so says that the market is over."""
        return self.end_on_going_away and close_code == _GOING_AWAY


class ReceiveClock:
    """Local time in ns since the epoch that never goes backwards."""

    def __init__(self) -> None:
        self._newest_ns = 0

    def __call__(self) -> int:
        """Now."""
        self._newest_ns = max(self._newest_ns, time.time_ns())
        return self._newest_ns
