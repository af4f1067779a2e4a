"""What is asked for on sockets: subscriptions, and the pings that a venue wants as messages."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from undertow.venues.sockets.connection import Connection
from undertow.venues.sockets.dialect import Dialect

__all__ = ["Requests"]


class Requests:
    """Sends the requests of one feed, numbered, well below the exchange's limit on messages."""

    def __init__(self, dialect: Dialect, counters: Counter[str]) -> None:
        self._dialect = dialect
        self._counters = counters
        self._count = 0

    async def subscribe(self, connection: Connection, streams: Sequence[str]) -> None:
        """Ask for streams."""
        await self._send(connection, self._dialect.subscribe, streams)

    async def unsubscribe(self, connection: Connection, streams: Sequence[str]) -> None:
        """Ask for streams no longer."""
        await self._send(connection, self._dialect.unsubscribe, streams)

    async def renew(self, connection: Connection, stream: str) -> None:
        """Subscribe to a stream anew."""
        self._counters["resubscriptions"] += 1
        await self.unsubscribe(connection, [stream])
        await self.subscribe(connection, [stream])

    async def _send(
        self, connection: Connection, request: Callable[[Sequence[str], int], bytes], streams: Sequence[str]
    ) -> None:
        most = self._dialect.streams_per_request
        for start in range(0, len(streams), most):
            await connection.messages.acquire()
            self._count += 1
            connection.send(request(streams[start : start + most], self._count))

    async def keep_pinging(self, connections: Callable[[], Iterable[Connection]]) -> None:
        """Ping for ever, where the venue wants pings as messages; returns at once where it does not."""
        while self._dialect.ping is not None:
            await asyncio.sleep(self._dialect.ping_every_s)
            for connection in connections():
                self._count += 1
                connection.ping(self._dialect.ping(self._count))
