"""What the tests of Bybit share: a simulated server, and a plain client that journals what it gets."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import msgspec
from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

from undertow.frames import book_fold
from undertow.frames.sampler import Sampled, Sampler, SamplerSettings
from undertow.market.instruments import Instrument
from undertow.venues.binance import sync
from undertow.venues.simulated.listings import find_listings
from undertow.venues.simulated_bybit.server import BybitServer, serve_bybit
from undertow.venues.simulated_bybit.settings import BybitSettings, Fault

Scene = Callable[[BybitServer], Awaitable[None]]


def play(scene: Scene, *faults: Fault, **changes: Any) -> None:
    """Run a scene against a fresh server; whatever hangs ends with an error."""
    values = {"speed": None, "duration_s": 5.0, "seed": 3, "symbols": "BTCUSDT", **changes}
    settings = BybitSettings(find_listings(values.pop("symbols")), faults=faults, **values)

    async def main() -> None:
        async with asyncio.timeout(60), serve_bybit(settings) as server:
            await scene(server)

    asyncio.run(main())


class PlainClient(WSListener):
    """Keeps whole messages, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.frames: list[bytes] = []
        self.came = asyncio.Event()
        self.ended = asyncio.Event()
        self.transport: WSTransport | None = None

    def on_ws_connected(self, transport: WSTransport) -> None:
        self.transport = transport

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.TEXT:
            assert frame.fin
            self.frames.append(frame.get_payload_as_bytes())
            self.came.set()
        elif frame.msg_type == WSMsgType.CLOSE:
            transport.send_close()
            transport.disconnect()

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        self.ended.set()
        self.came.set()

    def send(self, request: bytes) -> None:
        assert self.transport is not None
        self.transport.send(WSMsgType.TEXT, request)

    def subscribe(self, *topics: str, op: str = "subscribe") -> None:
        self.send(msgspec.json.encode({"op": op, "args": topics, "req_id": "1"}))

    async def reply(self) -> dict[str, Any]:
        """The newest message, once one has come."""
        await self.came.wait()
        found: dict[str, Any] = msgspec.json.decode(self.frames[-1])
        return found


async def connect(server: BybitServer) -> PlainClient:
    """An open socket to the public linear route."""
    url = server.url.replace("http", "ws") + "/v5/public/linear"
    _, client = await ws_connect(PlainClient, url)
    assert isinstance(client, PlainClient)
    return client


def of_topic(frames: Iterable[bytes], start: str) -> list[dict[str, Any]]:
    """The messages of topics that begin so."""
    content = [msgspec.json.decode(frame) for frame in frames]
    return [fields for fields in content if fields.get("topic", "").startswith(start)]


def journal(frames: Iterable[bytes], first_ns: int = 1_767_652_800_000_000_000) -> bytes:
    """Journal lines."""
    return b"".join(b"%d %s\n" % (first_ns + place, frame) for place, frame in enumerate(frames))


def linear(symbol: str = "BTCUSDT") -> Instrument:
    """The instrument as the simulated exchange lists it."""
    listed = find_listings(symbol)[0].instrument
    return Instrument("bybit-linear", symbol, listed.tick, listed.lot)


def new_sampler(symbol: str = "BTCUSDT") -> Sampler:
    """A sampler that follows update ids without a predecessor's id."""
    sampler = Sampler(linear(symbol), SamplerSettings(flow="trades", l2_levels=200))
    sampler.book.state.meta[book_fold.RULE] = sync.SPOT
    return sampler


def sampled_levels(sampled: Sampled) -> list[tuple[int, dict[int, int], dict[int, int]]]:
    """(update id, bids, asks) of every deep sample."""
    found = []
    book = sampled.l2
    for row in range(len(book)):
        sides = []
        for ticks, lots in ((book.bid_ticks, book.bid_lots), (book.ask_ticks, book.ask_lots)):
            kept = lots[row] > 0
            sides.append(dict(zip(ticks[row][kept].tolist(), lots[row][kept].tolist(), strict=True)))
        found.append((int(book.last_update_id[row]), sides[0], sides[1]))
    return found
