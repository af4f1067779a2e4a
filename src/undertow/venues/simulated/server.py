"""The simulated exchange as a server on loopback.

`async with serve(settings) as server:` in a program; `python -m undertow.venues.simulated.server` by hand.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

from aiohttp import web

from undertow.errors import VenueError
from undertow.venues.simulated.exchange import Exchange, Settings
from undertow.venues.simulated.rest import rest_routes
from undertow.venues.simulated.sockets import serve_socket

__all__ = ["Server", "serve"]

_HOST = "127.0.0.1"
_SOCKET_PATHS = [
    f"{route}{path}"
    for route in ("/public", "/market", "/private", "")
    for path in ("/stream", "/ws", "/ws/{streams:.+}")
]


@dataclass(frozen=True, slots=True)
class Server:
    """A running server."""

    exchange: Exchange
    port: int

    @property
    def url(self) -> str:
        """Base address of REST and, with `ws` for `http`, of the sockets."""
        return f"http://{_HOST}:{self.port}"


def _application(exchange: Exchange) -> web.Application:
    async def socket(request: web.Request) -> web.StreamResponse:
        return await serve_socket(exchange, request)

    application = web.Application()
    application.add_routes(rest_routes(exchange))
    application.add_routes([web.get(path, socket) for path in _SOCKET_PATHS])
    return application


@contextlib.asynccontextmanager
async def serve(settings: Settings, port: int = 0) -> AsyncIterator[Server]:
    """Run the exchange while the context is open; port 0 takes any that is free.

    Raises VenueError where the port cannot be had.
    """
    exchange = Exchange(settings)
    runner = web.AppRunner(_application(exchange), access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    site = web.TCPSite(runner, _HOST, port)
    try:
        await site.start()
    except OSError as error:
        await runner.cleanup()
        raise VenueError(f"port {port} cannot be opened ({error.strerror}); choose another, or 0") from error
    market = asyncio.create_task(exchange.run())
    try:
        yield Server(exchange, int(runner.addresses[0][1]))
    finally:
        market.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await market
        exchange.disconnect_all()
        await runner.cleanup()
