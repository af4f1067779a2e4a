"""`undertow sim`: the simulated exchange, or a recorded capture, as a server; or its market as a lake."""

import asyncio
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from undertow.cli.options import AsJson, parse_lengths, progress, show
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

if TYPE_CHECKING:
    from undertow.runtime.simulate import SimulatedDays

__all__ = ["sim"]

_DEFAULT_START = "2026-01-05T22:40:00Z"
_DAY_S = 86_400.0

ToLake = Annotated[Path | None, typer.Option(help="Serve nothing; write the market's tables into this lake.")]
Days = Annotated[
    float | None, typer.Option(help="With --to-lake: simulated days; 1 where --duration says nothing.")
]
FeatureBars = Annotated[
    str | None, typer.Option(help="With --to-lake: bars whose features are written too, such as 1s,1m.")
]
Processes = Annotated[
    int | None, typer.Option(min=1, help="With --to-lake: symbols at once; all cores by default.")
]


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
    to_lake: ToLake = None,
    days: Days = None,
    timeframes: FeatureBars = None,
    processes: Processes = None,
    as_json: AsJson = False,
    faults: Annotated[Path | None, typer.Option(help="A scenario: a TOML file of [[fault]] tables.")] = None,
    capture: Annotated[
        Path | None, typer.Option(help="Serve recorded frames instead, plain, .gz or .zst.")
    ] = None,
) -> None:
    """Serve Binance's protocol on loopback; one JSON line with the address says that it is ready."""
    if to_lake is not None:
        from undertow.runtime.simulate import SimulatedDays

        _refuse_with_lake(faults=faults, capture=capture, spot=market != "usdm")
        made = SimulatedDays(
            start_ms=_milliseconds(start),
            seconds=_seconds(days, duration),
            seed=seed,
            signal=signal,
            activity=activity,
            timeframes_ns=parse_lengths(timeframes) if timeframes else (),
        )
        _write_lake(symbols, to_lake, made, processes or os.cpu_count() or 1, as_json=as_json)
        return
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


def _seconds(days: float | None, duration_s: float | None) -> float:
    """How long the market of a lake lives."""
    if days is not None and duration_s is not None:
        raise InputError("--days and --duration both say how long; give one of them")
    seconds = duration_s if duration_s is not None else _DAY_S * (1.0 if days is None else days)
    if seconds <= 0:
        raise InputError(f"{seconds:g} s of a market hold nothing; give --days or --duration above 0")
    return seconds


def _refuse_with_lake(*, faults: Path | None, capture: Path | None, spot: bool) -> None:
    """Name what only a server can do."""
    for option, is_given in (("--faults", faults), ("--capture", capture), ("--market spot", spot)):
        if is_given:
            raise InputError(
                f"{option} needs frames, and --to-lake makes none; leave it out, or run "
                "`undertow sim` as a server and `undertow collect` from it"
            )


def _write_lake(symbols: str, lake: Path, days: "SimulatedDays", processes: int, *, as_json: bool) -> None:
    """Write every symbol's tables and say how long it took."""
    from undertow.runtime.simulate import simulate_all

    if days.activity <= 0:
        raise InputError(f"--activity {days.activity:g} is not above 0")
    names = [listing.symbol for listing in find_listings(symbols)]
    written: dict[str, dict[str, object]] = {}
    with progress(f"market of {', '.join(names)}") as tell:
        for done in simulate_all(names, lake, days, processes=processes):
            tell(f"{done.symbol} written")
            written[done.symbol] = {
                "frames": done.frames,
                "trades": done.trades,
                "book_samples": done.book_samples,
                "wall_s": round(done.wall_s, 2),
                "peak_mib": round(done.peak_mib),
                "times_real_time": round(done.times_real_time),
            }
    show(written, f"Simulated market written to {lake}", as_json=as_json)


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
