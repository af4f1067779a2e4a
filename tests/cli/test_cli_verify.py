"""`undertow verify` as a user meets it: exit codes, what is named, and what a repair says of itself."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.frames.conftest import INSTRUMENT, make_market

from undertow.frames.sampler import SamplerSettings
from undertow.journal.reader import segments
from undertow.lake.layout import DATA
from undertow.runtime.recorder import SymbolRecorder

SETTINGS = SamplerSettings(timeframes_ns=(10**9, 60 * 10**9))


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recorded")
    recorder = SymbolRecorder(INSTRUMENT, SETTINGS, folder / "lake", folder / "journal")
    for line in make_market(5, 60).lines:
        stamp, _, frame = line.rstrip(b"\n").partition(b" ")
        recorder.record(int(stamp), frame)
    recorder.close()
    return folder


@pytest.fixture
def place(recorded: Path, tmp_path: Path) -> Path:
    shutil.copytree(recorded, tmp_path / "copy")
    return tmp_path / "copy"


def verify(place: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "undertow", "verify", "--lake", str(place / "lake"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr, done.stderr
    return done


def flip(place: Path, table: str) -> Path:
    path: Path = next((place / "lake" / INSTRUMENT.venue / table).rglob(DATA))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    return path


def test_a_sound_lake_is_zero_with_and_without_its_journal(place: Path) -> None:
    assert verify(place).returncode == 0
    done = verify(place, "--journal", str(place / "journal"), "--json")
    assert done.returncode == 0, done.stdout
    result = json.loads(done.stdout)
    assert result["hours_that_differ"] == result["findings"] == 0
    assert result["journal_lines"] == len(make_market(5, 60).lines)


def test_damage_is_one_until_it_is_repaired(place: Path) -> None:
    path = flip(place, "aggtrades")
    damaged = path.read_bytes()
    told = verify(place, "--journal", str(place / "journal"))
    assert told.returncode == 1
    assert "aggtrades 2023-11-14T22" in told.stdout
    assert "does not match its sha256" in told.stdout
    assert path.read_bytes() == damaged
    repaired = verify(place, "--repair", "--journal", str(place / "journal"))
    assert repaired.returncode == 0, repaired.stdout
    assert "replaced" in repaired.stdout
    assert verify(place, "--journal", str(place / "journal")).returncode == 0


def test_the_changes_are_told_as_json(place: Path) -> None:
    flip(place, "features")
    done = verify(place, "--repair", "--journal", str(place / "journal"), "--json")
    (change,) = json.loads(done.stdout)["changes"]
    assert change["table"] == "features"
    assert change["is_repaired"] is True
    assert change["rows_after"] > 0
    assert (change["venue"], change["symbol"]) == (INSTRUMENT.venue, INSTRUMENT.symbol)


def test_a_damaged_segment_is_a_finding(place: Path) -> None:
    (segment,) = segments(place / "journal", INSTRUMENT.venue, INSTRUMENT.symbol)
    data = bytearray(segment.read_bytes())
    data[len(data) // 2] ^= 0xFF
    segment.write_bytes(data)
    done = verify(place, "--journal", str(place / "journal"))
    assert done.returncode == 1
    assert segment.name in done.stdout.replace("\n", "")


def test_a_repair_without_a_journal_is_refused_in_one_line(place: Path) -> None:
    for arguments in (("--repair",), ("--repair", "--journal", str(place / "nowhere"))):
        done = verify(place, *arguments)
        assert done.returncode == 2
        assert "journal" in done.stderr
        assert len(done.stderr.strip().splitlines()) == 1


def test_a_lake_that_is_gone_altogether_is_rebuilt(place: Path) -> None:
    shutil.rmtree(place / "lake")
    done = verify(place, "--repair", "--journal", str(place / "journal"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert list((place / "lake" / INSTRUMENT.venue / "aggtrades").rglob(DATA))
