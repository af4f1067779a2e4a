"""A recorder killed again and again ends with what an undisturbed replay of the same frames gives."""

import gzip
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.frames.conftest import INSTRUMENT, make_market

from undertow.errors import LakeError
from undertow.frames.sampler import SamplerSettings
from undertow.journal.reader import read_chunks, segments
from undertow.lake.quality import audit
from undertow.lake.reader import Lake
from undertow.runtime.batch import verify_features
from undertow.runtime.recorder import SymbolRecorder
from undertow.runtime.replay import Recording, replay

SETTINGS = SamplerSettings(timeframes_ns=(10**9, 60 * 10**9))
PROGRAM = """
import random, sys
from pathlib import Path
from tests.frames.conftest import INSTRUMENT
from undertow.frames.sampler import SamplerSettings
from undertow.journal.reader import read_chunks, segments
from undertow.runtime.recorder import SymbolRecorder

capture, lake, journal, seed = Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4])
rng = random.Random(seed)
lines = capture.read_bytes().splitlines()
settings = SamplerSettings(timeframes_ns=(10**9, 60 * 10**9))
recorder = SymbolRecorder(INSTRUMENT, settings, lake, journal, checkpoint_every_ns=7 * 10**9)
paths = segments(journal, INSTRUMENT.venue, INSTRUMENT.symbol)
done = sum(chunk.data.count(b"\\n") for chunk in read_chunks(paths, problems=[]))
print("ready", done, flush=True)
while done < len(lines):
    for line in lines[done : done + rng.choice((1, 3, 17, 60))]:
        stamp, _, frame = line.partition(b" ")
        recorder.record(int(stamp), frame)
        done += 1
    recorder.process()
    print("at", done, flush=True)
recorder.close()
print("closed", done, flush=True)
"""


def files(lake: Path) -> dict[str, bytes]:
    return {str(p.relative_to(lake)): p.read_bytes() for p in sorted(lake.rglob("data.parquet"))}


@pytest.fixture(scope="module")
def capture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    market = make_market(11, 150, frozenset({400}))
    path = tmp_path_factory.mktemp("capture") / "market.txt"
    path.write_bytes(market.bytes())
    return path


@pytest.fixture(scope="module")
def undisturbed(capture: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    lake = tmp_path_factory.mktemp("undisturbed")
    recording = Recording((capture,), INSTRUMENT.venue, INSTRUMENT.symbol, "aggtrades")
    replay(recording, INSTRUMENT, SETTINGS, lake)
    return lake


def run_until(arguments: list[str], rng: random.Random, kill: bool) -> str:
    """Run the program; with `kill`, until a random number of progress lines after it was ready."""
    command = [sys.executable, "-c", PROGRAM, *arguments]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        for _ in range(rng.randrange(1, 9) if kill else 10**9):
            following = process.stdout.readline()
            if not following:
                break
            line = following
        if kill:
            os.kill(process.pid, signal.SIGKILL)
        process.wait()
    return line


@pytest.mark.scenario("S1", "killed at any instant: recovers, nothing twice, no half file")
def test_killed_at_ten_random_instants(capture: Path, undisturbed: Path, tmp_path: Path) -> None:
    rng = random.Random(5)
    lake, journal = tmp_path / "lake", tmp_path / "journal"
    arguments = [str(capture), str(lake), str(journal)]
    for seed in range(10):
        run_until([*arguments, str(seed)], rng, kill=True)
    assert run_until([*arguments, "99"], rng, kill=False).startswith("closed")
    journalled = [
        line
        for path in segments(journal, INSTRUMENT.venue, INSTRUMENT.symbol)
        for line in gzip.decompress(path.read_bytes()).splitlines()
    ]
    assert journalled == capture.read_bytes().splitlines()
    assert files(lake) == files(undisturbed)
    assert not list(lake.rglob("*.open"))
    assert audit(lake) == []
    compared, wrong = verify_features(Lake(lake))
    assert compared > 140
    assert wrong == []


@pytest.mark.scenario("S16", "derived again in any blocks: the same bytes")
def test_any_block_size_gives_the_same_files(capture: Path, undisturbed: Path, tmp_path: Path) -> None:
    lines = capture.read_bytes().splitlines()
    for size in (1, 1000):
        recorder = SymbolRecorder(INSTRUMENT, SETTINGS, tmp_path / f"lake{size}", tmp_path / f"journal{size}")
        for at in range(0, len(lines), size):
            for line in lines[at : at + size]:
                stamp, _, frame = line.partition(b" ")
                recorder.record(int(stamp), frame)
            recorder.process()
        recorder.close()
        assert files(tmp_path / f"lake{size}") == files(undisturbed)


def test_other_settings_than_the_checkpoint_are_refused(capture: Path, tmp_path: Path) -> None:
    lines = capture.read_bytes().splitlines()[:200]
    recorder = SymbolRecorder(INSTRUMENT, SETTINGS, tmp_path / "lake", tmp_path / "journal")
    for line in lines:
        stamp, _, frame = line.partition(b" ")
        recorder.record(int(stamp), frame)
    recorder.close()
    with pytest.raises(LakeError, match="other settings"):
        SymbolRecorder(
            INSTRUMENT, SamplerSettings(lateness_ns=10**9), tmp_path / "lake", tmp_path / "journal"
        )
    assert (
        sum(
            c.data.count(b"\n")
            for c in read_chunks(segments(tmp_path / "journal", "binance-usdm", "BTCUSDT"), problems=[])
        )
        == 200
    )


def test_folds_wait_for_more_frames_and_nothing_is_lost_by_it(capture: Path, tmp_path: Path) -> None:
    lines = capture.read_bytes().splitlines()
    now = [0.0]
    recorder = SymbolRecorder(
        INSTRUMENT,
        SETTINGS,
        tmp_path / "lake",
        tmp_path / "journal",
        checkpoint_every_ns=7 * 10**9,
        fold_every_s=0.2,
        clock=lambda: now[0],
    )
    waited = folded = 0
    for number, line in enumerate(lines):
        stamp, _, frame = line.partition(b" ")
        recorder.record(int(stamp), frame)
        before = recorder.pipeline.counts.frames
        was_exact = recorder.is_synced()
        is_behind = recorder.process()
        grew = recorder.pipeline.counts.frames - before
        assert is_behind == (grew == 0)
        assert grew or was_exact, "a book that waits for its snapshot is not kept waiting"
        waited, folded = waited + is_behind, folded + (grew > 1)
        now[0] += 0.05 if number % 2 else 0.03
    assert waited > folded > 100
    recorder.close()
    again = replay(
        Recording((capture,), INSTRUMENT.venue, INSTRUMENT.symbol, SETTINGS.flow),
        INSTRUMENT,
        SETTINGS,
        tmp_path / "again",
    )
    assert again.pipeline.counts.frames == len(lines)
    assert files(tmp_path / "lake") == files(tmp_path / "again")


def test_a_checkpoint_covers_what_waited(capture: Path, tmp_path: Path) -> None:
    lines = capture.read_bytes().splitlines()
    places = INSTRUMENT, SETTINGS, tmp_path / "lake", tmp_path / "journal"
    recorder = SymbolRecorder(*places, fold_every_s=1e9, clock=lambda: 0.0)
    for line in lines[:600]:
        stamp, _, frame = line.partition(b" ")
        recorder.record(int(stamp), frame)
        recorder.process()
    assert recorder.pipeline.counts.frames < 600
    recorder.checkpoint()
    newest_ns, carried = recorder.newest_event_ns(), recorder.pipeline.to_arrays()
    state = {name: array.tobytes() for name, array in carried.items()}
    recorder.abandon()
    opened = SymbolRecorder(*places)
    assert opened.recovered_frames == 0, "nothing is folded twice"
    assert opened.newest_event_ns() == newest_ns > 0
    again = opened.pipeline.to_arrays()
    assert {name: array.tobytes() for name, array in again.items()} == state
    opened.close()
