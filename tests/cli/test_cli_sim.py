"""`undertow sim` with scenarios, markets and captures, as a process."""

import contextlib
import gzip
import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from undertow.cli.sim import sim
from undertow.errors import InputError
from undertow.lake.reader import Lake
from undertow.venues.simulated.capture import frames


@contextlib.contextmanager
def running(*options: str) -> Iterator[dict[str, Any]]:
    """The line that a running server announces itself with."""
    command = [sys.executable, "-m", "undertow", "sim", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield json.loads(process.stdout.readline())
        finally:
            process.terminate()


def get(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310 - our own server on loopback
        return json.load(answer)


def test_a_scenario_is_played(tmp_path: Path) -> None:
    scenario = tmp_path / "scenario.toml"
    scenario.write_text('[[fault]]\nat_s = 0\nkind = "server_time_offset"\nmilliseconds = 500\n')
    with running("--faults", str(scenario), "--start", "2026-01-05T00:00:00Z") as ready:
        assert get(ready["url"] + "/fapi/v1/time") == {"serverTime": ready["start_ms"] + 500}


def test_the_spot_market_is_served() -> None:
    with running("--market", "spot", "--symbols", "BTCUSDT", "--activity", "3") as ready:
        assert list(get(ready["url"] + "/api/v3/depth?symbol=BTCUSDT")) == ["lastUpdateId", "bids", "asks"]


def test_captures_that_follow_one_another_are_served(tmp_path: Path) -> None:
    lines = [b"%d %s\n" % line for line in frames(["BTCUSDT"], seconds=3.0)]
    half = len(lines) // 2
    paths = [tmp_path / "first.gz", tmp_path / "second"]
    paths[0].write_bytes(gzip.compress(b"".join(lines[:half])))
    paths[1].write_bytes(b"".join(lines[half:]))
    with running("--capture", *map(str, paths), "--speed", "max") as ready:
        assert ready["symbols"] == ["BTCUSDT"]
        (symbol,) = get(ready["url"] + "/fapi/v1/exchangeInfo")["symbols"]
        assert symbol["filters"][0]["tickSize"] == "0.10", "as our table has it, not as told from prices"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"faults": Path("nowhere.toml")}, "nowhere.toml cannot be read"),
        ({"market": "options"}, "market 'options' is unknown"),
        ({"activity": 0.0}, "activity 0 is not above 0"),
        ({"more_captures": [Path("second.gz")]}, "second.gz: files are served with --capture"),
        ({"capture": Path("nowhere.gz")}, "nowhere.gz"),
    ],
)
def test_what_cannot_be_served_is_named(options: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError) as caught:
        sim(**options)
    assert words in str(caught.value)


def made(folder: Path, *options: str) -> dict[str, Any]:
    """What `undertow sim --to-lake` says it wrote."""
    command = [sys.executable, "-m", "undertow", "sim", "--to-lake", str(folder), "--json", *options]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_a_market_is_written_into_a_lake_without_a_server(tmp_path: Path) -> None:
    options = ("--symbols", "BTCUSDT,ETHUSDT", "--duration", "90", "--timeframes", "1s")
    found = made(tmp_path / "lake", *options)
    assert list(found) == ["BTCUSDT", "ETHUSDT"]
    assert all(each["trades"] > 0 and each["book_samples"] > 100 for each in found.values())
    assert all(each["times_real_time"] > 0 for each in found.values())
    lake = Lake(tmp_path / "lake")
    assert lake.symbols("sim", "book_depth") == ["BTCUSDT", "ETHUSDT"]
    assert lake.timeframes("sim", "ETHUSDT") == ["1s"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"faults": Path("scenario.toml")}, "--faults needs frames"),
        ({"capture": Path("capture.gz")}, "--capture needs frames"),
        ({"market": "spot"}, "--market spot needs frames"),
        ({"days": 1.0, "duration": 5.0}, "--days and --duration both"),
        ({"days": 0.0}, "0 s of a market hold nothing"),
        ({"activity": 0.0}, "--activity 0 is not above 0"),
        ({"symbols": "NOPE"}, "does not list 'NOPE'"),
        ({"timeframes": "7s"}, "--timeframes"),
    ],
)
def test_what_a_lake_cannot_be_made_of_is_named(tmp_path: Path, options: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError) as caught:
        sim(to_lake=tmp_path / "lake", **options)
    assert words in str(caught.value)
    assert not (tmp_path / "lake").exists()
