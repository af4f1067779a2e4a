"""`python -m bench.simulated_days [DAYS…]`: simulated days through every step, with time and memory.

Three symbols are written straight to a lake; features of all families follow in 1s, 1m, 5m and 15m, those of
the deep book, and a data set of all columns. Each step is the command that a user types, in a process of its
own; its memory is the most that it and its children held at once, looked at twenty times a second. The goal
is that the memory of making and of features does not grow with the days. It is no contest and has no rounds:
it takes minutes.
"""

import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import psutil
import pyarrow.parquet as pq
import typer
from rich.console import Console
from rich.markdown import Markdown

__all__ = ["Step", "measure_days", "to_markdown"]

SYMBOLS = "BTCUSDT,ETHUSDT,SOLUSDT"
_LOOK_EVERY_S = 0.05
_MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Step:
    """One command over so many days of three symbols."""

    name: str
    days: float
    rows: int
    """Rows of the tables that it wrote."""
    wall_s: float
    cpu_s: float
    """Of all its processes."""
    peak_mib: float


def measure_days(days: float, folder: Path, symbols: str = SYMBOLS) -> list[Step]:
    """Make so many days in `folder` and run every step over them."""
    lake, out = folder / "lake", folder / "dataset"
    at = ("--lake", str(lake))
    common = ("--symbols", symbols)
    commands = {
        "make": ("sim", "--to-lake", str(lake), "--days", str(days), *common),
        "features": ("features", *at, *common),
        "features --l2": ("features", "--l2", *at, *common),
        "dataset": ("dataset", *at, *common, "--out", str(out)),
    }
    steps, before = [], 0
    for name, command in commands.items():
        wall_s, cpu_s, peak = _run(command)
        rows = _rows(folder)
        steps.append(Step(name, days, rows - before, wall_s, cpu_s, peak / _MIB))
        before = rows
    return steps


def _run(command: tuple[str, ...]) -> tuple[float, float, int]:
    """(wall time [s], processor time [s], most memory [bytes]) of an `undertow` command."""
    began_s = time.perf_counter()
    child = psutil.Popen([sys.executable, "-m", "undertow", *command], stdout=subprocess.DEVNULL)
    peak, cpu_s = 0, 0.0
    while True:
        held, used_s = _held(child)
        peak, cpu_s = max(peak, held), max(cpu_s, used_s)
        try:
            code = child.wait(timeout=_LOOK_EVERY_S)
        except psutil.TimeoutExpired:
            continue
        if code:
            raise typer.Exit(code)
        return time.perf_counter() - began_s, cpu_s, peak


def _held(child: psutil.Process) -> tuple[int, float]:
    """(memory [bytes], processor time [s]) of a process and its children now, ended ones in the time."""
    held, used_s = 0, 0.0
    try:
        for process in (child, *child.children(recursive=True)):
            times = process.cpu_times()
            held += process.memory_info().rss
            used_s += times.user + times.system
            if process is child:
                used_s += times.children_user + times.children_system
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return 0, 0.0  # it ended while it was looked at; the look before counts
    return held, used_s


def _rows(folder: Path) -> int:
    """Rows of all Parquet files."""
    return sum(pq.ParquetFile(path).metadata.num_rows for path in folder.rglob("*.parquet"))


def to_markdown(steps: list[Step]) -> str:
    """The table for `docs/benchmarks.md`."""
    lines = [
        "| step | days | rows | s | rows/s | CPU s | peak MiB |",
        "| --- | --: | --: | --: | --: | --: | --: |",
    ]
    lines += [
        f"| {step.name} | {step.days:g} | {step.rows:,} | {step.wall_s:.1f} | {step.rows / step.wall_s:,.0f} "
        f"| {step.cpu_s:.1f} | {step.peak_mib:,.0f} |"
        for step in steps
    ]
    return "\n".join(lines) + "\n"


def main(
    days: Annotated[list[float] | None, typer.Argument(help="1 and 3 unless said otherwise.")] = None,
    markdown: Annotated[bool, typer.Option(help="Print the table as text.")] = False,  # noqa: FBT002 - a flag
) -> None:
    """Measure."""
    steps: list[Step] = []
    for count in days or [1.0, 3.0]:
        with tempfile.TemporaryDirectory() as folder:
            steps += measure_days(count, Path(folder))
    text = to_markdown(steps)
    if markdown:
        print(text, end="")
    else:
        Console().print(Markdown(text))


if __name__ == "__main__":
    typer.run(main)
