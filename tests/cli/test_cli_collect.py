import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
import typer
from tests.venues.binance.fake_exchange import FakeExchange, combined
from typer.testing import CliRunner

from undertow.cli import collect as command
from undertow.errors import InputError
from undertow.market.instruments import Instrument
from undertow.runtime.track import RecorderStatus


class MemoryRecorder:
    def __init__(self, instrument: Instrument) -> None:
        self.instrument = instrument
        self.frames: list[bytes] = []

    def record(self, receive_ns: int, frame: bytes) -> None:
        self.frames.append(frame)

    def process(self) -> bool:
        return False

    def needs_snapshot(self) -> bool:
        return False

    def is_synced(self) -> bool:
        return False

    def trusts_enough(self) -> bool:
        return True

    def trouble(self) -> str:
        return ""

    def is_off_step(self) -> bool:
        return False

    def abandon(self) -> None: ...

    def missing_trades(self) -> list[tuple[int, int]]:
        return []

    def missing_singles(self) -> list[tuple[int, int]]:
        return []

    def status(self) -> RecorderStatus:
        return RecorderStatus("none", None, 0, 0, 0, 0, 0, 0, 0, 0, 0, {})

    def newest_event_ns(self) -> int:
        return 0

    def close(self) -> None: ...


@pytest.fixture
def address() -> Iterator[str]:
    """An exchange in its own thread that sends one trade and goes away."""
    found: list[str] = []
    is_up = threading.Event()

    async def serve() -> None:
        async with FakeExchange() as exchange:
            found.append(exchange.endpoints.rest)
            is_up.set()
            (line,) = await exchange.subscribed(1)
            await exchange.publish(combined("btcusdt@aggTrade", a=1))
            await line.socket.close(code=1001)
            await exchange.waiter.until(lambda: not line.is_open)

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    assert is_up.wait(5)
    yield found[0]
    thread.join(5)


def invoke(*arguments: str) -> object:
    application = typer.Typer()
    application.command()(command.collect)
    return CliRunner().invoke(application, list(arguments), catch_exceptions=False)


def test_collects_and_sums_up(address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recorders: list[MemoryRecorder] = []

    def open_recorder(instrument: Instrument) -> MemoryRecorder:
        recorders.append(MemoryRecorder(instrument))
        return recorders[-1]

    monkeypatch.setattr(command, "_recorder_factory", lambda *_: open_recorder)
    arguments = ["--venue", "sim", "--url", address, "--symbols", "btcusdt, BTCUSDT", "--streams", "trades"]
    arguments += ["--connections", "1"]
    folders = ["--lake", str(tmp_path / "lake"), "--journal", str(tmp_path / "journal")]
    result = invoke(*arguments, *folders, "--until-closed", "--log-level", "error", "--json")
    summary = msgspec.json.decode(result.stdout)  # type: ignore[attr-defined]
    assert summary["symbols"] == ["BTCUSDT"]
    assert summary["counters"]["frames"] == 1
    assert summary["alarms"] == []
    assert recorders[0].frames == [combined("btcusdt@aggTrade", a=1)]
    assert b"PRICE_FILTER" in (tmp_path / "journal" / "sim" / "exchangeInfo.json").read_bytes()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--venue", "kraken"], "venue 'kraken' is unknown"),
        (["--venue", "sim"], "--url"),
        (["--log-level", "loud"], "--log-level"),
        (["--streams", "candles"], "'candles' cannot be collected"),
    ],
)
def test_bad_options_are_explained(arguments: list[str], words: str) -> None:
    with pytest.raises(InputError, match=words):
        invoke(*arguments)
