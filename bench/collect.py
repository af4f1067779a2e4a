"""What collecting ten busy symbols costs, and how fast it can go, beside cryptofeed on the same server.

Each contender is a process of its own. Cost: processor time between the 15th and the 35th second of a market
of 5,000 frames a second, as a share of one core, and its memory then. Speed: frames a second when the server
sends as fast as the client reads. Ours decodes, journals, keeps books, stores tables and computes features;
cryptofeed decodes, keeps books and counts.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from bench.duel import Claim, Outcome
from undertow.venues.simulated.listings import LISTINGS

__all__ = ["measure"]

_SYMBOLS = ",".join(LISTINGS)
_WARM_S, _MEASURED_S = 15.0, 20.0
_RATE = 5000
_FLOOD_S = 600


@dataclass(frozen=True, slots=True)
class _Contender:
    name: str
    clients: int
    """Sockets that it opens."""
    connections: int = 0
    """Sockets a stream of ours; 0: the peer."""


_CONTENDERS = (
    _Contender("undertow, two connections", 4, 2),
    _Contender("undertow, one connection", 2, 1),
    _Contender("cryptofeed (no storage)", 1),
)


@contextmanager
def _market(clients: int, seconds: int, *options: str) -> Iterator[tuple[str, "subprocess.Popen[str]"]]:
    command = [sys.executable, "-m", "bench.busy_market", "--seconds", str(seconds)]
    command += ["--clients", str(clients), *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:  # noqa: S603 - our own
        assert server.stdout is not None
        try:
            yield json.loads(server.stdout.readline())["url"], server
        finally:
            server.terminate()


def _command(contender: _Contender, url: str, folder: Path) -> list[str]:
    if not contender.connections:
        return [sys.executable, "-m", "bench.peers.cryptofeed_collector", url]
    command = [sys.executable, "-m", "undertow", "collect", "--venue", "sim", "--url", url]
    command += [
        "--symbols",
        _SYMBOLS,
        "--streams",
        "trades,depth,ticker,mark",
        "--until-closed",
        "--quiet",
        "0.25",
    ]
    command += ["--connections", str(contender.connections), "--log-level", "error"]
    return [*command, "--lake", str(folder / "lake"), "--journal", str(folder / "journal")]


def _start(contender: _Contender, url: str, folder: Path) -> psutil.Popen:
    here = Path.cwd()
    return psutil.Popen(
        _command(contender, url, folder),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join((str(here / "src"), str(here)))},
    )


def _cost(contender: _Contender) -> tuple[float, float]:
    """(share of one core [%], peak memory [MB])."""
    with (
        tempfile.TemporaryDirectory() as folder,
        _market(contender.clients, int(_WARM_S + _MEASURED_S) + 5, "--rate", str(_RATE)) as (url, _),
    ):
        process = _start(contender, url, Path(folder))
        time.sleep(_WARM_S)
        before = process.cpu_times()
        began_s = time.monotonic()
        time.sleep(_MEASURED_S)
        after, seconds = process.cpu_times(), time.monotonic() - began_s
        peak_mb = process.memory_info().rss / 1e6
        process.kill()
        process.wait()
    used_s = after.user + after.system - before.user - before.system
    return 100.0 * used_s / seconds, peak_mb


def _speed(contender: _Contender) -> float:
    """Frames a second, copies on redundant sockets counted once: ours until the last is stored and sealed."""
    with (
        tempfile.TemporaryDirectory() as folder,
        _market(contender.clients, _FLOOD_S, "--rate", str(_RATE), "--flood") as (url, server),
    ):
        process = _start(contender, url, Path(folder))
        assert server.stdout is not None
        done = json.loads(server.stdout.readline())
        sent_s = time.monotonic()
        if contender.connections:
            process.wait()
            rate = done["sent"] / (done["seconds"] + time.monotonic() - sent_s)
        else:
            handled = json.loads(process.stdout.readline())
            rate = handled["handled"] / handled["seconds"]
            process.kill()
            process.wait()
    return float(rate)


def measure(rounds: int) -> list[Claim]:
    """Cost and speed, contenders in turn; three rounds at most, for each takes minutes."""
    count = min(rounds, 3)
    costs: dict[str, list[tuple[float, float]]] = {c.name: [] for c in _CONTENDERS}
    speeds: dict[str, list[float]] = {c.name: [] for c in _CONTENDERS}
    for _ in range(count):
        for contender in _CONTENDERS:
            costs[contender.name].append(_cost(contender))
            speeds[contender.name].append(_speed(contender))
    shares = {name: [share for share, _ in found] for name, found in costs.items()}
    peaks = {name: [peak for _, peak in found] for name, found in costs.items()}
    return [
        _claim("Ten symbols at 5,000 frames a second", "% of a core", count, shares, lower_is_better=True),
        _claim("The same: memory", "MB", count, peaks, lower_is_better=True),
        _claim("As fast as the client reads", "frames/s", count, speeds, lower_is_better=False),
    ]


def _claim(
    title: str, unit: str, rounds: int, found: dict[str, list[float]], *, lower_is_better: bool
) -> Claim:
    ours = found[_CONTENDERS[0].name]
    return Claim(
        title,
        unit,
        rounds,
        tuple(_outcome(name, ours, theirs, lower_is_better) for name, theirs in found.items()),
    )


def _outcome(name: str, ours: Sequence[float], theirs: Sequence[float], lower_is_better: bool) -> Outcome:  # noqa: FBT001 - from one place
    pairs = zip(ours, theirs, strict=True)
    ratios = [their / our if lower_is_better else our / their for our, their in pairs]
    return Outcome(name, statistics.median(theirs), statistics.median(ratios), min(ratios), max(ratios))
