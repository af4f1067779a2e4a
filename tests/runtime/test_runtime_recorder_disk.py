"""A recorder on disks that are full, slow or broken ends with what an undisturbed replay gives."""

import errno
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from tests.frames.conftest import INSTRUMENT, make_market
from tests.journal.disk import Disk

from undertow.errors import LakeError
from undertow.frames.sampler import SamplerSettings
from undertow.journal.reader import read_chunks, segments
from undertow.lake.quality import audit
from undertow.runtime.disk_guard import DiskGuard
from undertow.runtime.recorder import SymbolRecorder
from undertow.runtime.replay import Recording, replay

SETTINGS = SamplerSettings(timeframes_ns=(10**9, 60 * 10**9))


def files(lake: Path) -> dict[str, bytes]:
    return {str(p.relative_to(lake)): p.read_bytes() for p in sorted(lake.rglob("data.parquet"))}


@pytest.fixture(scope="module")
def lines() -> list[bytes]:
    return make_market(12, 150, frozenset({400})).bytes().splitlines()


@pytest.fixture(scope="module")
def undisturbed(lines: list[bytes], tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("undisturbed")
    (folder / "market.txt").write_bytes(b"\n".join(lines) + b"\n")
    recording = Recording((folder / "market.txt",), INSTRUMENT.venue, INSTRUMENT.symbol, "aggtrades")
    replay(recording, INSTRUMENT, SETTINGS, folder / "lake")
    return files(folder / "lake")


def journalled(folder: Path) -> list[bytes]:
    paths = segments(folder / "journal", INSTRUMENT.venue, INSTRUMENT.symbol)
    return [line for c in read_chunks(paths, problems=[]) for line in c.data.splitlines()]


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        self.now_s += 0.02
        return self.now_s


def open_recorder(folder: Path, **options: Any) -> SymbolRecorder:
    return SymbolRecorder(
        INSTRUMENT,
        SETTINGS,
        folder / "lake",
        folder / "journal",
        checkpoint_every_ns=7 * 10**9,
        spill=folder / "elsewhere",
        retry_s=0.1,
        clock=Clock(),
        **options,
    )


def play(recorder: SymbolRecorder, lines: list[bytes], before: Callable[[int], None]) -> list[str]:
    """Record all lines; the states of trouble on the way."""
    troubles: list[str] = []
    for number, line in enumerate(lines):
        before(number)
        stamp, _, frame = line.partition(b" ")
        recorder.record(int(stamp), frame)
        if number % 5 == 0:
            recorder.process()
            if not troubles or recorder.trouble() != troubles[-1]:
                troubles.append(recorder.trouble())
    return troubles


@pytest.mark.scenario("S4", "the journal's disk is full for a while: frames wait in memory and elsewhere")
@pytest.mark.parametrize("limit_bytes", [1 << 25, 20_000])
def test_a_full_journal_loses_nothing(
    lines: list[bytes],
    undisturbed: dict[str, bytes],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    limit_bytes: int,
) -> None:
    disk = Disk(monkeypatch)
    recorder = open_recorder(tmp_path, spill_beyond_bytes=limit_bytes)
    has_spilled = []

    def fill(number: int) -> None:
        disk.room = 1000 if number == 200 else disk.room
        disk.room = None if number == 700 else disk.room
        has_spilled.append((tmp_path / "elsewhere").exists())

    troubles = play(recorder, lines, fill)
    recorder.close()
    assert [trouble.partition(" cannot")[0] for trouble in troubles] == [
        "",
        f"journal {tmp_path}/journal/binance-usdm/BTCUSDT",
        "",
    ]
    assert any(has_spilled) == (limit_bytes < 1 << 25)
    assert journalled(tmp_path) == lines
    assert files(tmp_path / "lake") == undisturbed
    assert not list((tmp_path / "elsewhere").rglob("*.lines"))


@pytest.mark.scenario("S4", "the journal's disk is full at the end: what waits is kept for the next time")
def test_what_the_journal_cannot_take_at_the_end_is_taken_up_later(
    lines: list[bytes], undisturbed: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        disk = Disk(patch)
        recorder = open_recorder(tmp_path)

        def fill(number: int) -> None:
            disk.room = 1000 if number == 400 else disk.room

        play(recorder, lines[:600], fill)
        with pytest.raises(LakeError, match="No space left on device"):
            recorder.close()
    recorder = open_recorder(tmp_path)
    play(recorder, lines[600:], lambda _: None)
    recorder.close()
    assert journalled(tmp_path) == lines
    assert files(tmp_path / "lake") == undisturbed


@pytest.mark.scenario(
    "S4", "little room: the lake rests first, the journal goes on; then the lake catches up"
)
def test_a_low_disk_makes_the_lake_rest(
    lines: list[bytes], undisturbed: dict[str, bytes], tmp_path: Path
) -> None:
    free = [1000]
    guard = DiskGuard(tmp_path, 500, every_s=0.0, free_bytes=lambda _: free[0])
    recorder = open_recorder(tmp_path, guard=guard)
    written: dict[int, int] = {}

    def squeeze(number: int) -> None:
        free[0] = 100 if 300 <= number < 600 else 1000
        written[number] = sum(1 for _ in (tmp_path / "lake").rglob("*.parquet"))

    troubles = play(recorder, lines, squeeze)
    assert len(troubles) == 3
    assert "the lake rests" in troubles[1]
    assert written[310] == written[599]
    recorder.close()
    assert journalled(tmp_path) == lines
    assert files(tmp_path / "lake") == undisturbed
    assert audit(tmp_path / "lake") == []


@pytest.mark.scenario("S4", "writing a table fails: the journal goes on, the lake catches up")
def test_a_lake_that_cannot_be_written_catches_up(
    lines: list[bytes], undisturbed: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder = open_recorder(tmp_path)
    real, rng = pq.write_table, random.Random(4)
    failures: list[int] = []

    def write(*arguments: Any, **options: Any) -> Any:
        if 0 < len(failures) < 12 and rng.random() < 0.7:
            failures.append(1)
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(*arguments, **options)

    monkeypatch.setattr(pq, "write_table", write)

    def fail(number: int) -> None:
        if number == 300:
            failures.append(1)

    troubles = play(recorder, lines, fail)
    recorder.close()
    assert len(failures) == 12
    assert any("the lake catches up" in trouble for trouble in troubles)
    assert journalled(tmp_path) == lines
    assert files(tmp_path / "lake") == undisturbed


@pytest.mark.scenario(
    "S5", "syncs of the journal fail: nothing is lost, no checkpoint beyond what is certain"
)
def test_syncs_that_fail(
    lines: list[bytes], undisturbed: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk, rng = Disk(monkeypatch), random.Random(6)
    recorder = open_recorder(tmp_path)

    def fail(number: int) -> None:
        disk.refuses_sync = number < 800 and rng.random() < 0.3

    play(recorder, lines, fail)
    disk.refuses_sync = False
    recorder.close()
    assert journalled(tmp_path) == lines
    assert files(tmp_path / "lake") == undisturbed


def test_a_spill_that_was_partly_journalled_when_the_process_died(
    lines: list[bytes], undisturbed: dict[str, bytes], tmp_path: Path
) -> None:
    recorder = open_recorder(tmp_path)
    play(recorder, lines[:400], lambda _: None)
    recorder.abandon()
    leave_behind(tmp_path, lines[350:700])
    recorder = open_recorder(tmp_path)
    play(recorder, lines[700:], lambda _: None)
    recorder.close()
    assert journalled(tmp_path) == lines
    assert files(tmp_path / "lake") == undisturbed


def leave_behind(folder: Path, lines: list[bytes]) -> None:
    """As a process that was killed leaves frames which waited for the journal."""
    identity = (folder / "journal" / INSTRUMENT.venue / INSTRUMENT.symbol / ".id").read_text()
    (folder / "elsewhere" / INSTRUMENT.venue).mkdir(parents=True, exist_ok=True)
    spill = folder / "elsewhere" / INSTRUMENT.venue / f"{INSTRUMENT.symbol}-{identity}.lines"
    spill.write_bytes(b"\n".join(lines) + b"\n")


def test_what_waited_for_a_journal_that_is_gone_is_not_taken_for_another(
    lines: list[bytes], undisturbed: dict[str, bytes], tmp_path: Path
) -> None:
    recorder = open_recorder(tmp_path)
    play(recorder, lines[:100], lambda _: None)
    recorder.abandon()
    leave_behind(tmp_path, lines[900:])
    for gone in ("journal", "lake"):
        shutil.rmtree(tmp_path / gone)
    recorder = open_recorder(tmp_path)
    play(recorder, lines, lambda _: None)
    recorder.close()
    assert journalled(tmp_path) == lines
    assert files(tmp_path / "lake") == undisturbed
