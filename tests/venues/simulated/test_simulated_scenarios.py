"""The scenarios that come with the package are understood and begin on time."""

import asyncio
from pathlib import Path

import aiohttp
import pytest
from tests.venues.simulated.scenery import Scenery, play, read_all

import undertow.venues.simulated
from undertow.venues.simulated.faults import load_faults

FOLDER = Path(undertow.venues.simulated.__file__).parent / "scenarios"
FILES = sorted(FOLDER.glob("*.toml"))
STREAMS = {"public": ("depth@100ms", "bookTicker"), "market": ("aggTrade", "markPrice@1s")}


def test_there_are_scenarios() -> None:
    assert [path.stem for path in FILES] == ["books", "connections", "messages", "rest"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_scenario_is_played_to_its_end(path: Path) -> None:
    faults = load_faults(path)
    last_s = max(fault.at_s or 0.0 for fault in faults)

    async def listen(at: Scenery, route: str) -> None:
        names = [f"{symbol}@{suffix}" for symbol in ("btcusdt", "ethusdt") for suffix in STREAMS[route]]
        while not at.server.exchange.has_ended:
            try:
                async with at.socket(f"/{route}/stream?streams={'/'.join(names)}") as socket:
                    while not at.server.exchange.has_ended:
                        message = await socket.receive(timeout=0.3)
                        if message.data is None or isinstance(message.data, Exception):
                            break
            except (TimeoutError, OSError, aiohttp.ClientError):
                continue

    async def scene(at: Scenery) -> None:
        await asyncio.gather(*(listen(at, route) for route in STREAMS))
        counters = await at.counters()
        assert counters["faults"] == {"began": len(faults), "pending": 0}
        assert counters["streams"]["btcusdt@depth@100ms"]["frames"] > last_s

    # Faults of connections wait for one to be open: the market must not be over before a client is back.
    speed = 60.0 if path.stem == "connections" else None
    play(
        scene,
        *faults,
        symbols="BTCUSDT,ETHUSDT",
        duration_s=last_s + 30.0,
        speed=speed,
        enforces_limits=False,
    )


def test_nothing_is_lost_where_nothing_goes_wrong() -> None:
    async def scene(at: Scenery) -> None:
        async with at.socket("/market/stream?streams=btcusdt@aggTrade") as socket:
            await read_all(socket)
        assert (await at.count("btcusdt@aggTrade"))["lost"] == []

    play(scene)
