"""The simulated exchange as a server on loopback.

`async with serve(settings) as server:` in a program; `undertow sim` by hand. Run as a module it serves
two markets in real time, with nothing to set.
"""

import asyncio
import contextlib
import json
import signal
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from aiohttp import web

from undertow.errors import VenueError
from undertow.venues.simulated.exchange import DEFAULT_START_MS, Exchange, Settings
from undertow.venues.simulated.listings import find_listings
from undertow.venues.simulated.rest import rest_routes
from undertow.venues.simulated.sockets import serve_exchange_socket

__all__ = ["Server", "serve", "serve_until_stopped"]

_HOST = "127.0.0.1"
_SOCKET_PATHS = ("/stream", "/ws", "/ws/{streams:.+}")


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
        return await serve_exchange_socket(exchange, request)

    application = web.Application()
    application.add_routes(rest_routes(exchange))
    paths = [f"{route}{path}" for route in exchange.settings.rules.routes for path in _SOCKET_PATHS]
    application.add_routes([web.get(path, socket) for path in paths])
    return application


@contextlib.asynccontextmanager
async def serve(settings: Settings, port: int = 0) -> AsyncIterator[Server]:
    """Run the exchange while the context is open; port 0 takes any that is free.

    Raises VenueError where the port cannot be had.
    """
    exchange = Exchange(settings)
    # An answer that is never given must not outlive the client that gave up waiting.
    runner = web.AppRunner(
        _application(exchange), access_log=None, shutdown_timeout=1.0, handler_cancellation=True
    )
    await runner.setup()
    site = web.TCPSite(runner, _HOST, port)
    try:
        await site.start()
    except OSError as error:
        await runner.cleanup()
        raise VenueError(f"port {port} cannot be opened ({error.strerror}); choose another, or 0") from error
    market = asyncio.create_task(exchange.run())
    market.add_done_callback(lambda _: exchange.disconnect_all())
    try:
        yield Server(exchange, int(runner.addresses[0][1]))
    finally:
        market.cancel()
        try:
            with contextlib.suppress(asyncio.CancelledError):
                await market
        finally:
            await runner.cleanup()


async def serve_until_stopped(settings: Settings, port: int, announce: Callable[[str], object]) -> None:
    """Serve until SIGINT or SIGTERM; `announce` gets one line of JSON with the address when it is ready."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    async with serve(settings, port) as server:
        symbols = [listing.symbol for listing in settings.listings]
        announce(json.dumps({"url": server.url, "symbols": symbols, "start_ms": settings.start_ms}))
        await stopped.wait()


if __name__ == "__main__":
    asyncio.run(
        serve_until_stopped(
            Settings(find_listings("BTCUSDT,ETHUSDT"), DEFAULT_START_MS),
            port=0,
            announce=lambda line: sys.stdout.write(line + "\n") and sys.stdout.flush(),
        )
    )
