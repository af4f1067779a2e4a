"""`undertow demo`: the whole road in one command."""

import contextlib
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from undertow.cli.options import AsJson, progress
from undertow.errors import InputError, VenueError

if TYPE_CHECKING:
    pass

__all__ = ["demo"]

_SYMBOLS = ("BTCUSDT", "ETHUSDT")
_PAPER_SPEED = "20"


def demo(
    more: Annotated[
        list[Path] | None, typer.Argument(metavar="[FILE]...", help="Further files after --capture FILE.")
    ] = None,
    out: Annotated[
        Path, typer.Option(help="Folder for everything that the demo makes; replaced if it is one.")
    ] = Path("demo"),
    capture: Annotated[
        list[Path] | None,
        typer.Option(help="Recorded frames instead of the simulator: FILE…, in order of time."),
    ] = None,
    venue: Annotated[str, typer.Option(help="Venue of the recorded frames.")] = "binance-usdm",
    minutes: Annotated[float, typer.Option(min=10, help="Simulated minutes to learn from.")] = 90.0,
    paper_minutes: Annotated[float, typer.Option(min=1, help="Simulated minutes to trade on paper.")] = 6.0,
    signal: Annotated[float, typer.Option(min=0, max=1, help="How much order flow foretells price.")] = 0.9,
    seed: Annotated[int, typer.Option(min=0, help="Another seed, another market.")] = 7,
    as_json: AsJson = False,
) -> None:
    """Simulate, collect, learn, judge, trade on paper, report."""
    from undertow.cli.demo_steps import Stage, finish, learn, replay_capture, trade_on_paper
    from undertow.cli.logs import configure_logs

    configure_logs("warning")

    if more and not capture:
        raise InputError(f"{more[0]}: recorded files are given as --capture FILE…")
    _make_room(out)
    stage = Stage(out, began_s=time.monotonic())
    if capture:
        replay_capture(stage, [*capture, *(more or [])], venue)
    else:
        with _simulation(out, seed, signal, "max", minutes) as url:
            stage.collect(url, _SYMBOLS, "collecting from the simulated exchange")
        learn(stage, _SYMBOLS)
        with _simulation(out, seed + 1, signal, _PAPER_SPEED, paper_minutes) as url:
            trade_on_paper(stage, url, _SYMBOLS[0])
    finish(stage, as_json=as_json)


def _make_room(out: Path) -> None:
    """Take the place of an earlier demo; refuses to touch a folder that is none."""
    mark = out / ".undertow-demo"
    try:
        if mark.exists():
            shutil.rmtree(out)
        elif out.exists() and any(out.iterdir()):
            raise InputError(f"{out}: holds something that is no demo; choose another --out")
        out.mkdir(parents=True, exist_ok=True)
        mark.touch()
    except OSError as error:
        raise InputError(f"{out}: cannot be written ({error.strerror}); choose another --out") from error


@contextlib.contextmanager
def _simulation(out: Path, seed: int, signal: float, speed: str, minutes: float) -> Iterator[str]:
    """The simulated exchange as a process of its own; its address."""
    options = {"seed": seed, "signal": signal, "speed": speed, "duration": minutes * 60, "port": 0}
    options["symbols"] = ",".join(_SYMBOLS)
    command = [sys.executable, "-m", "undertow", "sim"]
    command += [text for name, value in options.items() for text in (f"--{name}", str(value))]
    with (
        (out / "simulator.log").open("ab") as log,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log) as process,  # noqa: S603 - our own command
    ):
        try:
            with progress("starting the simulated exchange"):
                line = process.stdout.readline() if process.stdout else b""
            if not line:
                raise VenueError(f"the simulated exchange did not start; {out / 'simulator.log'} says why")
            yield msgspec.json.decode(line, type=dict[str, object])["url"]  # type: ignore[misc]
        finally:
            process.terminate()
