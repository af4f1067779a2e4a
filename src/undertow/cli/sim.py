"""`undertow sim`: the simulated exchange as a server of its own."""

import asyncio
from datetime import UTC, datetime
from typing import Annotated

import typer

from undertow.errors import InputError
from undertow.venues.simulated.exchange import Settings
from undertow.venues.simulated.listings import find_listings
from undertow.venues.simulated.server import serve_until_stopped

__all__ = ["sim"]

_DEFAULT_START = "2026-01-05T22:40:00Z"


def sim(
    port: Annotated[int, typer.Option(help="Port on loopback; 0 takes any that is free.")] = 0,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same market.")] = 1,
    symbols: Annotated[
        str, typer.Option(help="Comma-separated, such as BTCUSDT,ETHUSDT.")
    ] = "BTCUSDT,ETHUSDT",
    signal: Annotated[
        float, typer.Option(help="0: the mid is a martingale; up to 1: order flow foretells it.")
    ] = 0.0,
    speed: Annotated[str, typer.Option(help="Times real time at most, or max.")] = "1",
    start: Annotated[str, typer.Option(help="Simulated time of the first event, UTC.")] = _DEFAULT_START,
    duration: Annotated[
        float | None, typer.Option(help="Simulated seconds; then sockets close and REST stays.")
    ] = None,
) -> None:
    """Serve Binance's USD-M protocol on loopback; one JSON line with the address says that it is ready."""
    settings = Settings(
        listings=find_listings(symbols),
        start_ms=_milliseconds(start),
        seed=seed,
        signal=signal,
        speed=_speed(speed),
        duration_s=duration,
    )
    asyncio.run(serve_until_stopped(settings, port, typer.echo))


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
