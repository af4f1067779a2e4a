"""Faults of the disk (PROTOCOL, list S) under a collector over real sockets."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.harness import Beside, Scenario, play
from tests.journal.disk import Disk
from undertow.venues.simulated.faults import Fault
from undertow.venues.simulated.server import Server


def scenario(identity: str, text: str) -> pytest.MarkDecorator:
    return pytest.mark.scenario(identity, text)


@scenario(
    "S13", "each write to the journal takes 100 ms: nothing is lost, the sockets stay open and are read"
)
def test_a_slow_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = Disk(monkeypatch)
    disk.pause_s = 0.1
    lags: list[float] = []

    async def watch(_server: Server, group: asyncio.TaskGroup) -> None:
        async def measure() -> None:
            loop = asyncio.get_running_loop()
            for _ in range(100):
                due_s = loop.time() + 0.01
                await asyncio.sleep(0.01)
                lags.append(loop.time() - due_s)

        group.create_task(measure())

    outcome = play(Scenario(seconds=120.0), tmp_path, watch)
    outcome.check()
    assert outcome.counters.get("reconnects", 0) == 0
    assert outcome.gaps("depth") == []
    assert outcome.coverage("aggtrades", "gap") == []
    assert sorted(lags)[len(lags) // 2] < disk.pause_s / 2, "the event loop waits for the disk"


@scenario("S4", "the disk is full for a third of the time: collected on, all of it stored when there is room")
def test_a_disk_that_is_full_for_a_while(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = Disk(monkeypatch)
    outcome = play(
        Scenario(seconds=90.0), tmp_path, between(1.0, 2.2, lambda: fill(disk), lambda: clear(disk))
    )
    outcome.check()
    assert "No space left on device" in outcome.alarms
    assert outcome.gaps("depth") == []
    assert outcome.coverage("aggtrades", "gap") == []


@scenario("S5", "syncs of the journal fail while connections do too: what was received is stored once")
def test_failing_syncs_and_connections(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = Disk(monkeypatch)

    def fail() -> None:
        disk.refuses_sync = True

    def work() -> None:
        disk.refuses_sync = False

    faults = [Fault(at_s=35.0, kind="reset", route="public"), Fault(at_s=40.0, kind="reset", route="market")]
    outcome = play(Scenario(faults, seconds=90.0), tmp_path, between(0.7, 2.2, fail, work))
    outcome.check()
    assert "Input/output error" in outcome.alarms


def fill(disk: Disk) -> None:
    disk.room = 0


def clear(disk: Disk) -> None:
    disk.room = None


def between(begin_s: float, end_s: float, start: Callable[[], None], stop: Callable[[], None]) -> Beside:
    """Calls `start` and `stop` so long after the collection has begun."""

    async def beside(_server: Server, group: asyncio.TaskGroup) -> None:
        async def act() -> None:
            await asyncio.sleep(begin_s)
            start()
            await asyncio.sleep(end_s - begin_s)
            stop()

        group.create_task(act())

    return beside
