"""A socket as the exchange sees it."""

from collections.abc import Callable, Iterator
from enum import Enum
from typing import Protocol

__all__ = ["Connections", "Form", "Socket", "Subscriber"]


class Form(Enum):
    """How a message is put on the wire."""

    TEXT = "text"
    BINARY = "binary"
    FRAGMENTS = "fragments"
    """Text in three WebSocket fragments."""


class Subscriber(Protocol):
    """One socket, seen from the exchange."""

    @property
    def route(self) -> str:
        """public, market, private or legacy."""

    async def send(self, wrapped: bytes, payload: bytes) -> None:
        """Send a frame, and wait while the client has too much unread."""

    async def settle(self) -> None:
        """Wait until the client has read what was sent, or a second is over."""

    async def close(self, code: int, reason: str) -> None:
        """Close with a close frame."""

    def abort(self) -> None:
        """Cut the connection."""


class Socket(Subscriber, Protocol):
    """A socket on which faults can act."""

    streams: dict[str, None]
    """Names as subscribed to, in order, served or not."""
    has_pings: bool
    """Whether it is pinged."""
    busiest_second: int
    """Most messages that it has sent within a second."""

    async def send_as(self, form: Form, wrapped: bytes, payload: bytes) -> None:
        """`send` in an unusual form."""

    def reset(self) -> None:
        """Cut the connection with a TCP reset."""

    def fall_silent(self) -> None:
        """Send and answer nothing any more, and leave the connection open."""


class Connections:
    """The open sockets in the order of their opening."""

    def __init__(self, clock_ms: Callable[[], int]) -> None:
        self.opened_count = 0
        """How many there have been."""
        self._clock_ms = clock_ms
        self._opened_ms: dict[Socket, int] = {}
        self._busiest_second = 0

    def add(self, client: Socket) -> None:
        """A socket has been opened."""
        self.opened_count += 1
        self._opened_ms[client] = self._clock_ms()

    def discard(self, client: Socket) -> None:
        """A socket is gone."""
        self._busiest_second = max(self._busiest_second, client.busiest_second)
        self._opened_ms.pop(client, None)

    def at(self, place: int) -> Socket | None:
        """The n-th, from 0."""
        return next((client for index, client in enumerate(self._opened_ms) if index == place), None)

    def opened_by(self, time_ms: int) -> list[Socket]:
        """Those that were opened no later."""
        return [client for client, opened_ms in self._opened_ms.items() if opened_ms <= time_ms]

    @property
    def busiest_second(self) -> int:
        """Most messages that one socket has ever sent within a second."""
        return max([self._busiest_second, *(client.busiest_second for client in self._opened_ms)])

    def __iter__(self) -> Iterator[Socket]:
        return iter(tuple(self._opened_ms))

    def __len__(self) -> int:
        return len(self._opened_ms)

    def __contains__(self, client: object) -> bool:
        return client in self._opened_ms
