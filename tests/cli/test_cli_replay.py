"""Bad input to `undertow replay`: a clear line, exit code 2, what could be read is written."""

import gzip
import os
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from tests.frames.conftest import make_market


@pytest.fixture(scope="module")
def capture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("capture") / "market.gz"
    path.write_bytes(gzip.compress(make_market(1, 30).bytes()))
    return path


def replay(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "undertow", "replay", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr, done.stderr
    return done


def rows(lake: Path, table: str = "aggtrades") -> int:
    files = list(lake.rglob(f"{table}/**/data.parquet"))
    return sum(pl.read_parquet(file).height for file in files)


def test_good_input_is_silent_and_complete(capture: Path, tmp_path: Path) -> None:
    done = replay(capture, "--lake", tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert rows(tmp_path) == len(make_market(1, 30).trades)


def test_truncated_gzip(capture: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.gz"
    cut.write_bytes(capture.read_bytes()[:-3000])
    done = replay(cut, "--lake", tmp_path / "lake")
    assert done.returncode == 2
    assert "cut.gz" in done.stderr
    assert 0 < rows(tmp_path / "lake") < len(make_market(1, 30).trades)


def test_garbage_and_half_lines_are_named_by_line(tmp_path: Path) -> None:
    market = make_market(1, 30)
    market.lines[10:10] = [b"rubbish\n", b'1700000000000000000 {"e":"aggTrade","a\n']
    path = tmp_path / "bad.gz"
    path.write_bytes(gzip.compress(market.bytes() + b'1700000000000000000 {"e":"agg'))
    done = replay(path, "--lake", tmp_path / "lake")
    assert done.returncode == 2
    assert "bad.gz:11" in done.stderr
    assert "bad.gz:12" in done.stderr
    assert f"bad.gz:{len(market.lines) + 1}" in done.stderr
    assert rows(tmp_path / "lake") == len(market.trades)


def test_missing_snapshot(tmp_path: Path) -> None:
    market = make_market(1, 30)
    path = tmp_path / "nosnapshot.gz"
    path.write_bytes(gzip.compress(b"".join(line for line in market.lines if b"lastUpdateId" not in line)))
    done = replay(path, "--lake", tmp_path / "lake")
    assert done.returncode == 2
    assert "no snapshot" in done.stderr
    assert rows(tmp_path / "lake") == len(market.trades)
    assert rows(tmp_path / "lake", "book_depth") == 0


def test_frames_that_do_not_join_the_snapshot(tmp_path: Path) -> None:
    market = make_market(1, 30)
    snapshot = next(line for line in market.lines if b"lastUpdateId" in line)
    late = [line for line in market.lines[80:] if b"lastUpdateId" not in line]
    path = tmp_path / "old.gz"
    path.write_bytes(gzip.compress(b"".join([*late[:40], snapshot, *late[40:]])))
    done = replay(path, "--lake", tmp_path / "lake")
    assert done.returncode == 2
    assert "do not join the snapshot" in done.stderr


def test_another_venues_file(capture: Path, tmp_path: Path) -> None:
    done = replay(capture, "--lake", tmp_path / "lake", "--venue", "binance-spot")
    assert done.returncode == 2
    assert "--venue binance-usdm" in done.stderr
    assert not (tmp_path / "lake").exists()


def test_unknown_symbol(tmp_path: Path) -> None:
    path = tmp_path / "odd.gz"
    path.write_bytes(gzip.compress(make_market(1, 5).bytes().replace(b"BTCUSDT", b"ODDCOIN")))
    done = replay(path, "--lake", tmp_path / "lake")
    assert done.returncode == 2
    assert "ODDCOIN" in done.stderr
    assert "--tick" in done.stderr
    good = replay(path, "--lake", tmp_path / "lake", "--tick", "0.1", "--lot", "0.001")
    assert good.returncode == 0, good.stderr


@pytest.mark.parametrize("text", [b"", b"no capture at all\n", b"\x00\x01\x02" * 100])
def test_files_that_hold_no_frames(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "nothing.txt"
    path.write_bytes(text)
    done = replay(path, "--lake", tmp_path / "lake")
    assert done.returncode == 2
    assert "nothing.txt" in done.stderr


def test_missing_file(tmp_path: Path) -> None:
    done = replay(tmp_path / "absent.gz", "--lake", tmp_path / "lake")
    assert done.returncode == 2
    assert "absent.gz" in done.stderr


def test_lake_that_is_a_file(capture: Path, tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    lake.write_text("in the way")
    done = replay(capture, "--lake", lake)
    assert done.returncode == 2
    assert "lake" in done.stderr
    assert lake.read_text() == "in the way"


@pytest.mark.skipif(
    not Path("/dev/full").exists() or os.geteuid() != 0, reason="needs root to mount a small disk"
)
def test_full_disk_leaves_what_was_written_valid(data: Path, tmp_path: Path) -> None:
    lake = tmp_path / "small"
    lake.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=600k", "none", lake], check=False, capture_output=True
    )
    if mounted.returncode:
        pytest.skip("cannot mount a small disk here")
    try:
        done = replay(data / "captures/usdm-btcusdt_20240808.gz", "--lake", lake)
        assert done.returncode == 2
        assert "No space left" in done.stderr or "full" in done.stderr
        for path in lake.rglob("data.parquet"):
            pl.read_parquet(path)
    finally:
        subprocess.run(["umount", lake], check=True)


@pytest.mark.parametrize(
    "option", [("--speed", "fast"), ("--timeframes", "7s"), ("--depth-levels", "3"), ("--tick", "0.1")]
)
def test_bad_options(capture: Path, tmp_path: Path, option: tuple[str, str]) -> None:
    done = replay(capture, "--lake", tmp_path / "lake", *option)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
