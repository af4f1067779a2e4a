"""`undertow replay`: recorded frames through the pipeline."""

from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from undertow.cli.options import AsJson, LakeFolder, Timeframes, Venue, parse_lengths, progress, show
from undertow.errors import InputError
from undertow.frames.sampler import SamplerSettings
from undertow.market.batch import EventKind
from undertow.market.instruments import Instrument
from undertow.market.time import MILLISECOND_NS
from undertow.runtime.feature_rows import timeframe_name
from undertow.runtime.replay import Recording, Replayed, find_steps, inspect
from undertow.runtime.replay import replay as run_replay
from undertow.venues.binance.instruments import load_instruments

__all__ = ["replay", "summary"]


def replay(
    files: Annotated[
        list[Path], typer.Argument(help="Recordings in order of time; they go on from one another.")
    ],
    venue: Venue = "binance-usdm",
    lake: LakeFolder = Path("lake"),
    symbol: Annotated[str | None, typer.Option(help="Which symbol, where a file holds several.")] = None,
    timeframes: Timeframes = "1s,1m,5m,15m",
    flow: Annotated[
        str | None, typer.Option(help="Feature trades from aggtrades or trades; told by the file.")
    ] = None,
    lateness_ms: Annotated[int, typer.Option(help="How long a bar waits for late events.")] = 250,
    depth_interval_ms: Annotated[int, typer.Option("--depth-interval", help="Book sampling in ms.")] = 500,
    depth_levels: Annotated[int, typer.Option("--depth-levels", help="Levels a side in book_depth.")] = 20,
    speed: Annotated[
        str | None, typer.Option(help="1x follows the receive times; default: as fast as it goes.")
    ] = None,
    instruments: Annotated[
        Path | None, typer.Option(help="A saved exchangeInfo answer with ticks and lots.")
    ] = None,
    tick: Annotated[str | None, typer.Option(help="Price step, where the symbol is unknown.")] = None,
    lot: Annotated[str | None, typer.Option(help="Quantity step, where the symbol is unknown.")] = None,
    as_json: AsJson = False,
) -> None:
    """Replay FILES into a lake: trades, book samples, gaps and features."""
    recording = inspect(files, venue, symbol.upper() if symbol else None, flow)
    instrument = _instrument(recording, instruments, tick, lot)
    settings = sampler_settings(recording.flow, timeframes, lateness_ms, depth_interval_ms, depth_levels)
    with progress(f"replaying {recording.symbol}") as tell:
        done = run_replay(
            recording,
            instrument,
            settings,
            lake,
            on_progress=lambda frames: tell(f"{frames:,} frames"),
            speed=_parse_speed(speed),
        )
    show(summary(done), f"{recording.symbol} at {venue} into {lake}", as_json=as_json)
    problems = [*map(str, done.damage), *done.unusable]
    for problem in problems:
        typer.echo(f"undertow: {problem}", err=True)
    if problems:
        raise typer.Exit(2)


def sampler_settings(
    flow: str, timeframes: str, lateness_ms: int, depth_interval_ms: int, depth_levels: int
) -> SamplerSettings:
    """Settings from options; raises InputError where they contradict."""
    try:
        return SamplerSettings(
            flow=flow,
            depth_interval_ns=depth_interval_ms * MILLISECOND_NS,
            depth_levels=depth_levels,
            lateness_ns=lateness_ms * MILLISECOND_NS,
            timeframes_ns=parse_lengths(timeframes),
        )
    except ValueError as error:
        raise InputError(str(error)) from error


def _instrument(recording: Recording, saved: Path | None, tick: str | None, lot: str | None) -> Instrument:
    if (tick is None) != (lot is None):
        raise InputError("--tick and --lot go together")
    if tick is not None and lot is not None:
        instrument = Instrument(recording.venue, recording.symbol, tick, lot)
        try:
            _ = instrument.price, instrument.quantity
        except (ValueError, ArithmeticError) as error:
            raise InputError(f"--tick {tick} --lot {lot}: {error}") from error
        return instrument
    return find_steps(recording, load_instruments(saved, recording.venue) if saved else None)


def _parse_speed(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        speed = float(text.removesuffix("x"))
    except ValueError:
        speed = 0.0
    if not 0 < speed < 1e6:
        raise InputError(f"--speed {text!r}: write a factor such as 1x or 10x")
    return speed


def summary(done: Replayed) -> dict[str, Any]:
    """What a replay did, for people and as JSON."""
    counts, sampler = done.pipeline.counts, done.pipeline.sampler
    names = {kind.name.lower(): counts.kinds[kind] for kind in EventKind if counts.kinds[kind]}
    return {
        "frames": counts.frames,
        "by_kind": names,
        "trades": counts.trades,
        "late_trades": counts.late_trades,
        "duplicate_trades": sampler.duplicate_count,
        "implausible_times": sampler.implausible_count,
        "book": sampler.book.status.name.lower(),
        "book_samples": counts.book_samples,
        "gaps": counts.gaps,
        "bars": {timeframe_name(length): count for length, count in counts.bars.items()},
        "unknown_types": dict(counts.unknown_types),
        "unknown_fields": dict(counts.unknown_fields),
        "seconds": round(done.seconds, 3),
        "frames_per_second": round(counts.frames / done.seconds) if done.seconds else 0,
        "settings": msgspec.to_builtins(sampler.settings),
    }
