"""The server of the metrics: it answers for a collection also while that stands still."""

import asyncio
import threading
from types import TracebackType
from typing import Self

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from undertow.errors import InputError
from undertow.monitor.metrics import HealthCollector, ReadHealth

__all__ = ["MetricsServer"]

_START_TIMEOUT_S = 10.0


class MetricsServer:
    """Serves `/metrics`, `/healthz` and `/readyz` from a thread of its own.

    Usage: `with MetricsServer(lambda: [health.snapshot()], port=9464) as server: ...`. The collection's event
    loop takes no part, so that an answer comes, and tells of it, while that loop stands still. There is no
    authentication: an address that is not loopback is for a network that you trust.
    """

    def __init__(self, read: ReadHealth, *, host: str = "127.0.0.1", port: int = 0) -> None:
        self.host = host
        self.port = port
        """Where it listens; 0 takes any that is free, and is that one once it runs."""
        self._read = read
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(HealthCollector(read))
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None
        self._is_up = threading.Event()
        self._failure: OSError | None = None
        self._thread = threading.Thread(target=self._run, name="undertow-metrics", daemon=True)

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://{self.host}:{self.port}"

    def __enter__(self) -> Self:
        """Start; raises InputError where the address cannot be had."""
        self._thread.start()
        if not self._is_up.wait(_START_TIMEOUT_S):
            raise RuntimeError("the metrics server did not start")
        if self._failure is not None:
            self._thread.join()
            raise InputError(
                f"metrics cannot be served on {self.host}:{self.port} ({self._failure.strerror}); choose "
                f"another port, or 0 for any that is free"
            ) from self._failure
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._loop is not None and self._stopping is not None:
            self._loop.call_soon_threadsafe(self._stopping.set)
            self._thread.join()

    def _run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        application = web.Application()
        application.add_routes(
            [
                web.get("/metrics", self._metrics),
                web.get("/healthz", self._alive),
                web.get("/readyz", self._ready),
            ]
        )
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        try:
            site = web.TCPSite(runner, self.host, self.port)
            await site.start()
            self.port = int(runner.addresses[0][1])
            self._loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
            self._is_up.set()
            await self._stopping.wait()
        except OSError as error:
            self._failure = error
            self._is_up.set()
        finally:
            await runner.cleanup()

    async def _metrics(self, _request: web.Request) -> web.Response:
        return web.Response(
            body=generate_latest(self._registry), headers={"Content-Type": CONTENT_TYPE_LATEST}
        )

    async def _alive(self, _request: web.Request) -> web.Response:
        """The process runs: always 200. How long each loop has stood still is said, not judged."""
        stalled = {snapshot.venue: round(snapshot.stalled_s, 3) for snapshot in self._read()}
        return web.json_response({"status": "alive", "loop_silence_seconds": stalled})

    async def _ready(self, _request: web.Request) -> web.Response:
        """200 while everything is collected; 503 and the reasons by venue where it is not."""
        reasons = {snapshot.venue: snapshot.why_not_ready() for snapshot in self._read()}
        is_ready = bool(reasons) and not any(reasons.values())
        return web.json_response({"ready": is_ready, "reasons": reasons}, status=200 if is_ready else 503)
