"""What the tests of the simulated exchange share: a running server and a client of it."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from undertow.venues.simulated.exchange import DEFAULT_START_MS, Settings
from undertow.venues.simulated.faults import Fault
from undertow.venues.simulated.listings import find_listings
from undertow.venues.simulated.server import Server, serve

DEPTH = "btcusdt@depth@100ms"
TRADES = "btcusdt@aggTrade"


class Scenery:
    """A running server and a client session."""

    def __init__(self, server: Server, session: aiohttp.ClientSession) -> None:
        self.server = server
        self.session = session

    async def get(self, path: str, *, status: int = 200) -> Any:
        """The JSON of an answer."""
        async with self.session.get(self.server.url + path) as answer:
            assert answer.status == status, await answer.text()
            return await answer.json()

    async def post(self, path: str) -> Any:
        """The JSON of the answer to a POST."""
        async with self.session.post(self.server.url + path) as answer:
            assert answer.status == 200, await answer.text()
            return await answer.json()

    async def fault(self, expected: int = 200, /, **fields: Any) -> Any:
        """Post a fault; the answer."""
        async with self.session.post(self.server.url + "/sim/fault", json=fields) as answer:
            assert answer.status == expected, await answer.text()
            return await answer.json()

    async def count(self, stream: str) -> dict[str, Any]:
        """What was sent on a stream."""
        found: dict[str, Any] = (await self.get("/sim/counters"))["streams"][stream]
        return found

    async def counters(self) -> dict[str, Any]:
        """All counters."""
        found: dict[str, Any] = await self.get("/sim/counters")
        return found

    @asynccontextmanager
    async def socket(
        self, path: str, *, autoping: bool = True
    ) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
        """An open socket."""
        url = self.server.url + path
        async with self.session.ws_connect(url, autoping=autoping, max_msg_size=0) as socket:
            yield socket


Scene = Callable[[Scenery], Awaitable[None]]


def play(scene: Scene, *faults: Fault, **changes: Any) -> None:
    """Run a scene against a fresh server; whatever hangs ends with an error."""
    values = {"speed": None, "duration_s": 5.0, "start_ms": DEFAULT_START_MS, "seed": 3, **changes}
    settings = Settings(find_listings(values.pop("symbols", "BTCUSDT")), faults=faults, **values)

    async def main() -> None:
        async with asyncio.timeout(30), serve(settings) as server, aiohttp.ClientSession() as session:
            await scene(Scenery(server, session))

    asyncio.run(main())


async def read_all(socket: aiohttp.ClientWebSocketResponse) -> list[dict[str, Any]]:
    """Messages until the server closes."""
    return [json.loads(message.data) async for message in socket]


async def read_texts(socket: aiohttp.ClientWebSocketResponse) -> list[str | bytes]:
    """Messages as they are until the server closes."""
    return [message.data async for message in socket]
