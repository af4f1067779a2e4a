"""`make soak`: half a day of ten markets in twenty minutes, faults and kills from a seed, then a count.

The simulated exchange keeps its own record of every trade, minute by minute. The collector is killed with -9
at random moments and started again; meanwhile connections are reset, frames dropped, REST fails. At the end
each minute of the record is held against the lake: none lost, none twice, none wrong; memory must not have
grown.
"""

import contextlib
import json
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np
import polars as pl
import psutil
import typer

from undertow.lake.quality import audit
from undertow.venues.simulated.faults import Fault
from undertow.venues.simulated.listings import LISTINGS
from undertow.venues.simulated.record import CHECKSUM_MODULUS

_SETTLED_S = 12.0
"""After a start, memory counts from here on."""
_UNDISTURBED_S = 30.0
"""At the end, in which a collector that was killed comes back and asks for what it missed."""
_MEMORY_GROWTH = 0.05
_BEGIN_S = 30.0
"""Of wall time: later than this after the market's beginning no symbol may be stored for the first time."""
_WEIGHT_PER_MINUTE = 2400
"""Of requests, on USD-M."""


@dataclass(slots=True)
class _Run:
    """A soak under way."""

    folder: Path
    url: str
    symbols: Sequence[str]
    speed: float
    judges_memory: bool = True
    kills: int = 0
    memory: list[tuple[float, float]] = field(default_factory=list)
    """(seconds since the start, resident MB), collectors that have settled only."""

    def start(self) -> psutil.Popen:
        command = [sys.executable, "-m", "undertow", "collect", "--venue", "sim", "--url", self.url]
        command += ["--symbols", ",".join(self.symbols), "--streams", "trades,depth,mark", "--until-closed"]
        command += ["--lake", str(self.folder / "lake"), "--journal", str(self.folder / "journal")]
        command += ["--log-level", "error", "--audit-every", "10", "--heartbeat", "3", "--json"]
        with (self.folder / "collect.log").open("ab") as log:
            return psutil.Popen(command, stdout=log, stderr=log)


def faults(seed: int, seconds: float, symbols: Sequence[str]) -> list[Fault]:
    """Faults that a collector must survive without a loss, about one in two minutes of market."""
    rng = random.Random(seed)
    found = []
    at_s = 120.0
    while at_s < seconds - min(600.0, seconds / 4):
        symbol = rng.choice(list(symbols))
        found.append(rng.choice(_KINDS)(at_s, symbol, rng))
        at_s += rng.expovariate(1 / 120.0)
    return found


def _dropped(at_s: float, symbol: str, rng: random.Random) -> Fault:
    suffix = rng.choice(["aggTrade", "depth@100ms"])
    return Fault(at_s=at_s, kind="drop", symbol=symbol, suffix=suffix, count=rng.randint(1, 20))


def _reset(at_s: float, _symbol: str, rng: random.Random) -> Fault:
    return Fault(at_s=at_s, kind="reset", connection=rng.randint(0, 3))


def _closed(at_s: float, _symbol: str, rng: random.Random) -> Fault:
    return Fault(at_s=at_s, kind="close", connection=rng.randint(0, 3), code=rng.choice([1000, 1006, 1008]))


def _duplicated(at_s: float, symbol: str, rng: random.Random) -> Fault:
    return Fault(at_s=at_s, kind="duplicate", symbol=symbol, suffix="*", count=rng.randint(1, 50))


def _swapped(at_s: float, symbol: str, _rng: random.Random) -> Fault:
    return Fault(at_s=at_s, kind="swap", symbol=symbol, suffix="aggTrade", count=3)


def _failing(at_s: float, _symbol: str, rng: random.Random) -> Fault:
    endpoint = rng.choice(["depth", "aggTrades"])
    return Fault(at_s=at_s, kind="status", endpoint=endpoint, code=rng.choice([500, 503]), count=2)


def _stale(at_s: float, symbol: str, _rng: random.Random) -> Fault:
    return Fault(
        at_s=at_s, kind="stale_snapshot", endpoint="depth", symbol=symbol, milliseconds=4000, count=1
    )


def _garbage(at_s: float, symbol: str, _rng: random.Random) -> Fault:
    return Fault(at_s=at_s, kind="garbage", symbol=symbol, suffix="aggTrade", text="{", count=2)


_KINDS = (_dropped, _dropped, _reset, _closed, _duplicated, _swapped, _failing, _stale, _garbage)


def _scenario(path: Path, found: Sequence[Fault]) -> Path:
    """The faults as a scenario file."""
    lines = []
    for fault in found:
        lines.append("[[fault]]")
        for name, value in msgspec.structs.asdict(fault).items():
            if value != getattr(Fault(kind="reset"), name) or name == "kind":
                lines.append(f"{name} = {json.dumps(value)}")
    path.write_text("\n".join(lines) + "\n")
    return path


def _ask(url: str, path: str) -> Any:
    with urllib.request.urlopen(f"{url}{path}", timeout=30) as answer:  # noqa: S310 - our own server
        return json.load(answer)


def _warm(folder: Path, symbols: Sequence[str]) -> None:
    """Collect some minutes of another market, so that no kernel is compiled while memory is watched."""
    with _market(["--symbols", ",".join(symbols), "--speed", "36", "--duration", "900"]) as market:
        if _Run(folder, market.url, symbols, 36.0).start().wait(timeout=600):
            raise SystemExit(f"the collector cannot collect; see {folder / 'collect.log'}")


@dataclass(frozen=True, slots=True)
class _Market:
    """A simulated exchange that runs."""

    process: psutil.Popen
    url: str


@contextlib.contextmanager
def _market(options: Sequence[str]) -> Iterator[_Market]:
    command = [sys.executable, "-m", "undertow", "sim", *options]
    process = psutil.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        yield _Market(process, json.loads(process.stdout.readline())["url"])
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()


def _collect(run: _Run, market: psutil.Popen, kill_at_s: Sequence[float]) -> None:
    """Keep a collector running, kill it at the given seconds, until the market has ended."""
    began_s = time.monotonic()
    due = sorted(kill_at_s)
    collector, started_s = run.start(), began_s
    while not _ask(run.url, "/sim/counters")["hasEnded"]:
        time.sleep(0.5)
        now_s = time.monotonic()
        if collector.poll() is not None:
            raise SystemExit(f"the collector ended by itself; see {run.folder / 'collect.log'}")
        if market.poll() is not None:
            raise SystemExit("the simulated exchange ended by itself")
        if now_s - started_s > _SETTLED_S:
            run.memory.append((now_s - began_s, collector.memory_info().rss / 1e6))
        if due and now_s - began_s >= due[0]:
            due.pop(0)
            collector.send_signal(signal.SIGKILL)
            collector.wait()
            run.kills += 1
            collector, started_s = run.start(), time.monotonic()
    collector.wait(timeout=600)


def _compare(run: _Run, symbol: str) -> dict[str, int]:
    """The lake against the record of one symbol."""
    record = _ask(run.url, f"/sim/record?symbol={symbol}")["minutes"]
    rows = pl.concat(
        [
            pl.read_parquet(path, columns=["timestamp", "trade_id", "price", "quantity"])
            for path in sorted((run.folder / "lake" / "sim" / "aggtrades" / symbol).rglob("data.parquet"))
        ]
    )
    instrument = LISTINGS[symbol].instrument
    ids = rows["trade_id"].to_numpy()
    ticks = instrument.price.to_counts(rows["price"].to_numpy())
    lots = instrument.quantity.to_counts(rows["quantity"].to_numpy())
    first = int(ids.min())
    minutes = rows["timestamp"].to_numpy() // 60_000
    wrong = 0
    for minute in record:
        if minute["first_id"] < first:
            continue  # before the first connection
        inside = minutes == minute["minute_ms"] // 60_000
        checksum = sum(
            int(i) * 1_000_003 + int(t) * 1009 + int(q)
            for i, t, q in zip(ids[inside], ticks[inside], lots[inside], strict=True)
        )
        wrong += inside.sum() != minute["count"] or checksum % CHECKSUM_MODULUS != minute["checksum"]
    last = max(minute["last_id"] for minute in record)
    return {
        "sent": last - first + 1,
        "stored": len(ids),
        "lost": last - first + 1 - len(np.unique(ids)),
        "twice": len(ids) - len(np.unique(ids)),
        "wrong_minutes": int(wrong),
        "began_late_s": (int(rows["timestamp"].to_numpy().min()) - record[0]["minute_ms"]) // 1000,
    }


def _growth(memory: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Median memory [MB] of the second and of the last quarter."""
    end_s = memory[-1][0]
    second = [mb for at_s, mb in memory if 0.25 * end_s <= at_s < 0.5 * end_s]
    last = [mb for at_s, mb in memory if at_s >= 0.75 * end_s]
    if not (second and last):
        raise SystemExit("too short to say anything of memory; soak for longer, or kill less often")
    return statistics.median(second), statistics.median(last)


def main(
    hours: Annotated[float, typer.Option(help="Of market.")] = 12.0,
    speed: Annotated[float, typer.Option(help="Times real time.")] = 36.0,
    seed: Annotated[int, typer.Option()] = 1,
    kills: Annotated[int, typer.Option(help="Random kill -9 of the collector.")] = 20,
    symbols: Annotated[str, typer.Option()] = ",".join(LISTINGS),
    folder: Annotated[Path | None, typer.Option()] = None,
) -> None:
    """Soak, and say by how much the lake and the exchange's record differ; exit 1 unless by nothing."""
    place = folder or Path(tempfile.mkdtemp(prefix="soak-"))
    place.mkdir(parents=True, exist_ok=True)
    seconds, names = hours * 3600.0, symbols.split(",")
    rng = random.Random(seed)
    # The market runs faster than the clock that budgets of requests run on: so must they.
    budget = Fault(at_s=0.0, kind="limit_change", limit=round(_WEIGHT_PER_MINUTE * speed))
    planned = [budget, *faults(seed, seconds, names)]
    scenario = _scenario(place / "scenario.toml", planned)
    if hours >= 1.0:
        (place / "warm").mkdir()
        _warm(place / "warm", names)
    options = ["--seed", str(seed), "--symbols", symbols, "--speed", str(speed), "--duration", str(seconds)]
    began_s = time.monotonic()
    with _market([*options, "--faults", str(scenario)]) as market:
        run = _Run(place, market.url, names, speed, judges_memory=hours >= 1.0)
        wall_s = seconds / speed
        last_s = max(wall_s - _UNDISTURBED_S, 0.02 * wall_s)
        _collect(run, market.process, [rng.uniform(0.02 * wall_s, last_s) for _ in range(kills)])
        found = {symbol: _compare(run, symbol) for symbol in names}
        counters = _ask(market.url, "/sim/counters")
    _report(run, found, counters, len(planned), time.monotonic() - began_s)


def _report(
    run: _Run, found: dict[str, dict[str, int]], counters: dict[str, Any], faults_played: int, wall_s: float
) -> None:
    second, last = _growth(run.memory) if run.judges_memory else (1.0, 1.0)
    findings = [str(finding) for finding in audit(run.folder / "lake")]
    summary = {
        "wall_s": round(wall_s),
        "faults": faults_played,
        "kills": run.kills,
        "symbols": found,
        "memory_mb": {"second_quarter": round(second, 1), "last_quarter": round(last, 1)}
        if run.judges_memory
        else "not judged: an hour of market at least says something of it",
        "audit": findings[:10],
        "violations": counters.get("violations", {}),
    }
    typer.echo(json.dumps(summary, indent=1))
    (run.folder / "report.json").write_text(json.dumps(summary, indent=1))
    bad = [
        symbol
        for symbol, row in found.items()
        if row["lost"] or row["twice"] or row["wrong_minutes"] or row["began_late_s"] > _BEGIN_S * run.speed
    ]
    if bad or findings or abs(last / second - 1) > _MEMORY_GROWTH:
        raise SystemExit(f"the soak has failed: {bad or findings[:3] or 'memory is not flat'}")


if __name__ == "__main__":
    typer.run(main)
