import asyncio
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
import typer
from tests.venues.binance.fake_exchange import FakeExchange, Reply
from typer.testing import CliRunner

from undertow.cli.doctor import doctor
from undertow.monitor import probes
from undertow.monitor.probes import Finding, Status
from undertow.monitor.venue_probes import judge_clock, probe_venue
from undertow.runtime.clock_offset import Offset
from undertow.venues.binance.endpoints import StreamKind, endpoints_for
from undertow.venues.simulated.exchange import DEFAULT_START_MS, Settings
from undertow.venues.simulated.listings import find_listings
from undertow.venues.simulated.server import serve


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """A simulated exchange in a thread of its own."""
    found: list[str] = []
    is_up = threading.Event()
    stopping: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    async def run() -> None:
        settings = Settings(find_listings("BTCUSDT,ETHUSDT"), DEFAULT_START_MS, speed=5.0)
        async with serve(settings) as server:
            found.append(server.url)
            stopping.append((asyncio.get_running_loop(), asyncio.Event()))
            is_up.set()
            await stopping[0][1].wait()

    thread = threading.Thread(target=lambda: asyncio.run(run()))
    thread.start()
    assert is_up.wait(30)
    yield found[0]
    stopping[0][0].call_soon_threadsafe(stopping[0][1].set)
    thread.join(10)


def invoke(folder: Path, *arguments: str) -> Any:
    application = typer.Typer()
    application.command()(doctor)
    folders = ["--lake", str(folder / "lake"), "--journal", str(folder / "journal")]
    return CliRunner().invoke(application, [*arguments, *folders], catch_exceptions=False)


def by_name(findings: list[Finding]) -> dict[str, Finding]:
    return {finding.name: finding for finding in findings}


def test_a_simulated_exchange_is_fit_to_be_collected(address: str, tmp_path: Path) -> None:
    result = invoke(tmp_path, "--venue", "sim", "--url", address, "--patience", "20", "--json")
    report = msgspec.json.decode(result.stdout)
    found = {finding["name"]: finding for finding in report["findings"]}
    assert result.exit_code == 0, report
    assert report["fit"] is True
    assert {"REST", "clock", "route public", "route market", "lake", "journal"} <= found.keys()
    assert "depth after" in found["route public"]["found"]
    assert "trades after" in found["route market"]["found"]
    assert list(tmp_path.iterdir()) == [], "nothing stays behind"


def test_each_finding_is_a_line(address: str, tmp_path: Path) -> None:
    result = invoke(tmp_path, "--venue", "sim", "--url", address, "--patience", "20")
    starts = [line.split()[0] for line in result.stdout.splitlines() if not line.startswith(" ")]
    assert len(starts) == 11
    assert set(starts) <= {"ok", "warn", "fail"}


@pytest.mark.scenario("C10", "doctor probes each route before the start")
def test_a_stream_on_another_route_is_found_and_named(address: str) -> None:
    endpoints = endpoints_for("sim", address)
    streams = {**endpoints.streams, "trades": StreamKind("{symbol}@aggTrade", "public", 6.0)}
    findings = by_name(asyncio.run(probe_venue(replace(endpoints, streams=streams), 3.0)))
    public = findings["route public"]
    assert public.status is Status.FAIL
    assert "trades (btcusdt@aggTrade) comes on" in public.found
    assert "/market/stream" in public.found
    assert "table of routes" in public.advice
    assert findings["route market"].status is Status.OK


def test_a_stream_that_comes_nowhere(address: str) -> None:
    endpoints = endpoints_for("sim", address)
    streams = {**endpoints.streams, "depth": StreamKind("{symbol}@depth@1ms", "public", 1.0)}
    findings = by_name(asyncio.run(probe_venue(replace(endpoints, streams=streams), 2.0)))
    assert findings["route public"].status is Status.WARN
    assert "nothing within 2 s on any route: depth (btcusdt@depth@1ms)" in findings["route public"].found


def test_a_symbol_that_trades_is_probed() -> None:
    async def scene() -> list[Finding]:
        settings = Settings(find_listings("ETHUSDT"), DEFAULT_START_MS, speed=5.0)
        async with serve(settings) as server:
            return await probe_venue(endpoints_for("sim", server.url), 20.0)

    assert all(finding.status is Status.OK for finding in asyncio.run(scene()))


def test_nobody_there(tmp_path: Path) -> None:
    result = invoke(tmp_path, "--venue", "sim", "--url", "http://127.0.0.1:9", "--json")
    report = msgspec.json.decode(result.stdout)
    failed = {finding["name"] for finding in report["findings"] if finding["status"] == "fail"}
    assert result.exit_code == 1
    assert report["fit"] is False
    assert failed == {"REST", "route public", "route market"}
    assert all("curl" in finding["advice"] for finding in report["findings"] if finding["name"] in failed)


def test_a_clock_that_is_wrong_and_sockets_that_stay_silent() -> None:
    async def scene() -> list[Finding]:
        async with FakeExchange() as exchange:
            body = msgspec.json.encode({"serverTime": int(time.time() * 1000) + 60_000})
            exchange.script("time", *[Reply(body=body)] * 8)
            return await probe_venue(exchange.endpoints, 0.3)

    findings = by_name(asyncio.run(scene()))
    assert findings["clock"].status is Status.FAIL
    assert findings["route public"].status is Status.FAIL
    assert "nothing came" in findings["route public"].found


@pytest.mark.parametrize(
    ("offset_ms", "error_ms", "status"),
    [
        (100.0, 1.0, Status.OK),
        (-400.0, 5.0, Status.WARN),
        (400.0, 200.0, Status.OK),
        (-6000.0, 5.0, Status.FAIL),
    ],
)
def test_skew(offset_ms: float, error_ms: float, status: Status) -> None:
    offset = Offset(round(offset_ms * 1e6), round(error_ms * 1e6), 0)
    finding = judge_clock(offset, is_simulated=False)
    assert finding.status is status
    assert bool(finding.advice) is (status is not Status.OK)
    assert judge_clock(offset, is_simulated=True).status is Status.OK


def test_python() -> None:
    assert probes.probe_python().status is Status.OK
    assert probes.probe_python((3, 10, 9)).status is Status.FAIL
    assert probes.probe_python((4, 0, 0)).status is Status.OK


def test_libraries() -> None:
    assert (
        probes.probe_requirements(["msgspec>=0.1,<99", "nowhere-to-be-had; extra == 'x'"]).status is Status.OK
    )
    assert probes.probe_requirements(["nowhere-to-be-had; sys_platform == 'none'"]).status is Status.OK
    finding = probes.probe_requirements(["msgspec<0.1,>=0.0", "nowhere-to-be-had>=1", "rich[x]>=1"])
    assert finding.status is Status.FAIL
    assert finding.found.startswith("msgspec is ")
    assert finding.found.endswith("nowhere-to-be-had is missing")


@pytest.mark.parametrize(("limit", "status"), [(100, Status.FAIL), (1024, Status.WARN), (65_536, Status.OK)])
def test_open_files(limit: int, status: Status) -> None:
    finding = probes.judge_handles(limit)
    assert finding.status is status
    assert ("ulimit" in finding.advice) is (status is not Status.OK)


def test_credentials_are_never_shown() -> None:
    both = {"BINANCE_API_KEY": "k3y", "BINANCE_API_SECRET": "s3cret"}
    for environment, status in (
        (both, Status.OK),
        ({"BINANCE_API_KEY": "k3y"}, Status.WARN),
        ({}, Status.OK),
    ):
        finding = probes.probe_credentials(environment)
        assert finding.status is status
        assert "k3y" not in str(finding)
        assert "s3cret" not in str(finding)
    assert "BINANCE_API_SECRET is missing" in probes.probe_credentials({"BINANCE_API_KEY": "k3y"}).found


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    assert probes.probe_folder("lake", tmp_path / "file").status is Status.FAIL
    assert probes.probe_folder("lake", tmp_path / "file" / "deeper").status is Status.FAIL
    if os.geteuid():
        tmp_path.chmod(0o500)
        finding = probes.probe_folder("lake", tmp_path)
        tmp_path.chmod(0o700)
        assert finding.status is Status.FAIL
        assert "writable" in finding.advice


@pytest.mark.parametrize(
    ("free_bytes", "bytes_per_s", "sync_s", "status"),
    [
        (10**8, 1e9, 0.001, Status.FAIL),
        (10**10, 1e9, 0.001, Status.WARN),
        (10**12, 1e7, 0.001, Status.WARN),
        (10**12, 1e9, 0.2, Status.WARN),
        (10**12, 1e9, 0.001, Status.OK),
    ],
)
def test_disk(free_bytes: int, bytes_per_s: float, sync_s: float, status: Status) -> None:
    assert probes.judge_disk("lake", Path("lake"), free_bytes, bytes_per_s, [sync_s]).status is status
