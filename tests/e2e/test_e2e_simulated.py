"""The commands as a user runs them, over real sockets; the simulated exchange is a process of its own."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

COMMAND = [sys.executable, "-m", "undertow"]
SYMBOLS = ("BTCUSDT", "ETHUSDT")


@contextlib.contextmanager
def simulation(**options: object) -> Iterator[str]:
    """A simulated exchange; its address."""
    arguments = [text for name, value in options.items() for text in (f"--{name}", str(value))]
    command = [*COMMAND, "sim", "--port", "0", "--symbols", ",".join(SYMBOLS), *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            yield json.loads(process.stdout.readline())["url"]
        finally:
            process.terminate()


def collect_command(url: str, folder: Path) -> list[str]:
    places = ["--lake", str(folder / "lake"), "--journal", str(folder / "journal")]
    return [*COMMAND, "collect", "--venue", "sim", "--url", url, "--symbols", ",".join(SYMBOLS), *places]


def run(*arguments: str | Path, code: int = 0) -> Any:
    done = subprocess.run([*COMMAND, *map(str, arguments)], capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    return json.loads(done.stdout) if "--json" in arguments else done.stderr


def sent(url: str) -> dict[str, dict[str, int]]:
    with urllib.request.urlopen(f"{url}/sim/counters") as answer:  # noqa: S310 - our own server on loopback
        return json.load(answer)["streams"]  # type: ignore[no-any-return]


def total(streams: dict[str, dict[str, int]]) -> int:
    return sum(stream["frames"] for stream in streams.values())


def stored(lake: Path, table: str, symbol: str) -> pl.DataFrame:
    return pl.read_parquet(f"{lake}/sim/{table}/{symbol}/*/*/*/*/data.parquet", hive_partitioning=False)


def files(lake: Path) -> dict[str, bytes]:
    return {str(p.relative_to(lake)): p.read_bytes() for p in sorted(lake.rglob("data.parquet"))}


def assert_rebuilt_from_the_journal(folder: Path) -> None:
    """A replay of the journal gives the same files, and features computed again the same bits."""
    for symbol in SYMBOLS:
        segments = sorted((folder / "journal" / "sim" / symbol).glob("*.gz"))
        run("replay", *segments, "--venue", "sim", "--flow", "aggtrades", "--lake", folder / "again")
    assert files(folder / "again") == files(folder / "lake")
    checked = run("verify", "--lake", folder / "lake", "--features", "--json")
    assert checked["findings"] == 0
    assert checked["feature_rows_compared"] > 100


def test_a_clean_run_stores_what_was_sent(tmp_path: Path) -> None:
    with simulation(seed=21, speed="max", duration=150) as url:
        subprocess.run([*collect_command(url, tmp_path), "--until-closed"], check=True, capture_output=True)
        counters = sent(url)
    for symbol in SYMBOLS:
        trades = stored(tmp_path / "lake", "aggtrades", symbol)
        stream = counters[f"{symbol.lower()}@aggTrade"]
        assert trades["trade_id"].max() == stream["last_id"]
        assert trades["trade_id"].is_unique().all()
        assert stream["frames"] - trades.height <= 1  # sent before this socket had subscribed
        assert not trades["is_late"].any()
        book = stored(tmp_path / "lake", "book_depth", symbol)
        assert (book["timestamp"].diff().drop_nulls() == 500).all()
        assert (book["spread"] > 0).all()
    assert not list((tmp_path / "lake").rglob("gaps/**/data.parquet"))
    assert_rebuilt_from_the_journal(tmp_path)


@pytest.mark.scenario("S2", "killed and restarted within the hour: goes on, trades repaired")
def test_killed_and_restarted_it_goes_on_and_says_what_it_missed(tmp_path: Path) -> None:
    with simulation(seed=22, speed=25, duration=600) as url:
        for frames in (900, 2500):
            collector = subprocess.Popen(collect_command(url, tmp_path), stderr=subprocess.DEVNULL)
            before = sent(url)
            while sum(s["frames"] for s in sent(url).values()) < frames + sum(
                s["frames"] for s in before.values()
            ):
                assert collector.poll() is None
            os.kill(collector.pid, signal.SIGKILL)
            collector.wait()
        subprocess.run([*collect_command(url, tmp_path), "--until-closed"], check=True, capture_output=True)
        counters = sent(url)
    for symbol in SYMBOLS:
        trades = stored(tmp_path / "lake", "aggtrades", symbol)
        gaps = stored(tmp_path / "lake", "gaps", symbol)
        assert trades["trade_id"].is_unique().all()
        assert trades["trade_id"].max() == counters[f"{symbol.lower()}@aggTrade"]["last_id"]
        ids = set(trades["trade_id"].to_list())
        assert ids == set(range(min(ids), max(ids) + 1)), "what was missed came from REST"
        recorded = gaps.filter(pl.col("stream") == "aggtrades").select("first_id", "last_id").rows()
        repaired = set(trades.filter(pl.col("source") == "rest")["trade_id"].to_list())
        assert repaired == {i for first, last in recorded if first >= 0 for i in range(first, last + 1)}
        assert len(repaired) > 100
        ledger = stored(tmp_path / "lake", "coverage", symbol).filter(pl.col("stream") == "aggtrades")
        assert set(ledger["status"]) == {"complete by id chain"}
        assert ledger.filter(pl.col("cause") == "repaired from rest").height == len(recorded)
        sampled = stored(tmp_path / "lake", "book_depth", symbol)["timestamp"] * 10**6
        for start, end in (
            gaps.filter(pl.col("stream") == "depth").select("counted_from_ns", "counted_to_ns").rows()
        ):
            assert not ((sampled > start + 10**9) & (sampled <= end)).any()
    assert_rebuilt_from_the_journal(tmp_path)


def test_a_dropped_delta_is_one_gap_of_one_symbol(tmp_path: Path) -> None:
    with simulation(seed=23, speed=25, duration=120) as url:
        collector = subprocess.Popen(
            [*collect_command(url, tmp_path), "--until-closed"], stderr=subprocess.DEVNULL
        )
        while sent(url).get("btcusdt@depth@100ms", {}).get("frames", 0) < 200:
            assert collector.poll() is None
        request = urllib.request.Request(f"{url}/sim/drop?stream=btcusdt@depth@100ms&count=1", method="POST")  # noqa: S310
        urllib.request.urlopen(request).close()  # noqa: S310
        assert collector.wait(timeout=60) == 0
    (gap,) = stored(tmp_path / "lake", "gaps", "BTCUSDT").filter(pl.col("stream") == "depth").rows(named=True)
    assert gap["cause"] == "update ids missing"
    assert 0 < gap["first_id"] <= gap["last_id"]
    assert not list((tmp_path / "lake").rglob("gaps/ETHUSDT/**/data.parquet"))
    assert_rebuilt_from_the_journal(tmp_path)


@pytest.mark.scenario("X1", "SIGTERM: drains, seals, exits 0")
def test_sigterm_drains_and_seals(tmp_path: Path) -> None:
    with simulation(seed=24, speed=10) as url:
        collector = subprocess.Popen(collect_command(url, tmp_path), stderr=subprocess.DEVNULL)
        while total(sent(url)) < 1500:
            assert collector.poll() is None
        collector.terminate()
        assert collector.wait(timeout=30) == 0
    assert not list((tmp_path / "lake").rglob("*.open"))
    assert run("verify", "--lake", tmp_path / "lake", "--json")["findings"] == 0


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    out = tmp_path_factory.mktemp("demo") / "out"
    return out, run("demo", "--out", out, "--minutes", "12", "--paper-minutes", "1", "--json")


def test_the_demo_walks_the_whole_road(demo: tuple[Path, Any]) -> None:
    out, result = demo
    page = (out / "report.html").read_text()
    assert page.rstrip().endswith("</html>")
    assert result["paper"]["decisions"] > 30
    assert result["verdict"]
    assert run("verify", "--lake", out / "lake", "--features", "--json")["findings"] == 0
    assert run("audit", "verify", out / "audit.jsonl", "--json")["first_bad_record"] is None


def test_the_demo_does_not_touch_a_folder_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("dear")
    message = run("demo", "--out", tmp_path, code=2)
    assert "choose another --out" in message
    assert (tmp_path / "mine").read_text() == "dear"


def test_nobody_listens(tmp_path: Path) -> None:
    done = subprocess.run(
        [*collect_command("http://127.0.0.1:9", tmp_path), "--log-level", "error"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "127.0.0.1:9" in done.stderr
