"""`undertow sim`: the simulated exchange, or a recorded capture, as a server of its own."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from undertow.errors import InputError
from undertow.journal.reader import Problem, read_chunks
from undertow.venues.binance.instruments import known_instrument
from undertow.venues.simulated.faults import load_faults
from undertow.venues.simulated.listings import find_listings
from undertow.venues.simulated.playback import PlaybackSettings
from undertow.venues.simulated.playback_lines import Steps, inspect_capture
from undertow.venues.simulated.playback_server import serve_capture_until_stopped
from undertow.venues.simulated.server import serve_until_stopped
from undertow.venues.simulated.settings import Settings

__all__ = ["sim"]

_DEFAULT_START = "2026-01-05T22:40:00Z"


def sim(
    more_captures: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[FILE]...", help="With --capture: the files that follow it."),
    ] = None,
    port: Annotated[int, typer.Option(help="Port on loopback; 0 takes any that is free.")] = 0,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same market.")] = 1,
    symbols: Annotated[
        str, typer.Option(help="Comma-separated, such as BTCUSDT,ETHUSDT.")
    ] = "BTCUSDT,ETHUSDT",
    market: Annotated[str, typer.Option(help="usdm or spot.")] = "usdm",
    signal: Annotated[
        float, typer.Option(help="0: the mid is a martingale; up to 1: order flow foretells it.")
    ] = 0.0,
    activity: Annotated[float, typer.Option(help="Factor on how often participants act.")] = 1.0,
    speed: Annotated[str, typer.Option(help="Times real time at most, or max.")] = "1",
    start: Annotated[str, typer.Option(help="Simulated time of the first event, UTC.")] = _DEFAULT_START,
    duration: Annotated[
        float | None, typer.Option(help="Simulated seconds; then sockets close and REST stays.")
    ] = None,
    faults: Annotated[Path | None, typer.Option(help="A scenario: a TOML file of [[fault]] tables.")] = None,
    capture: Annotated[
        Path | None, typer.Option(help="Serve recorded frames instead, plain, .gz or .zst.")
    ] = None,
) -> None:
    """Serve Binance's protocol on loopback; one JSON line with the address says that it is ready."""
    if capture is not None:
        _serve_capture([capture, *(more_captures or [])], _speed(speed), port)
        return
    if more_captures:
        raise InputError(f"{more_captures[0]}: files are served with --capture")
    settings = Settings(
        listings=find_listings(symbols),
        start_ms=_milliseconds(start),
        seed=seed,
        signal=signal,
        speed=_speed(speed),
        duration_s=duration,
        faults=load_faults(faults) if faults is not None else (),
        market=market,
        activity=activity,
    )
    asyncio.run(serve_until_stopped(settings, port, typer.echo))


def _serve_capture(files: list[Path], speed: float | None, port: int) -> None:
    source, problems = ", ".join(map(str, files)), list[Problem]()

    def open_capture() -> Iterator[bytes]:
        return (chunk.data for chunk in read_chunks(files, problems=problems))

    facts = inspect_capture(open_capture(), source)
    known = (known_instrument(f"binance-{facts.market}", symbol) for symbol in facts.symbols)
    steps = {found.symbol: Steps(found.tick, found.lot) for found in known if found is not None}
    settings = PlaybackSettings(speed=speed)
    asyncio.run(
        serve_capture_until_stopped(
            open_capture, typer.echo, source=source, settings=settings, steps=steps, port=port
        )
    )
    for problem in dict.fromkeys(map(str, problems)):
        typer.echo(problem, err=True)


def _speed(text: str) -> float | None:
    if text == "max":
        return None
    try:
        return float(text.removesuffix("x"))
    except ValueError as error:
        raise InputError(f"--speed {text!r} is no number; write for example 10, or max") from error


def _milliseconds(text: str) -> int:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise InputError(f"--start {text!r} is no time; write it like {_DEFAULT_START}") from error
    return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)
