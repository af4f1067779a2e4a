"""Options that several commands share, and how results are shown."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from undertow.errors import InputError
from undertow.market.time import parse_timeframe

__all__ = [
    "AsJson",
    "LakeFolder",
    "Symbols",
    "Timeframes",
    "Venue",
    "parse_lengths",
    "progress",
    "show",
    "split_names",
]

LakeFolder = Annotated[Path, typer.Option("--lake", help="Folder of the lake.")]
Venue = Annotated[
    str, typer.Option("--venue", help="binance-usdm, binance-spot, bybit-linear, sim or sim-bybit.")
]
Symbols = Annotated[str | None, typer.Option("--symbols", help="Comma-separated, such as BTCUSDT,ETHUSDT.")]
Timeframes = Annotated[
    str, typer.Option("--timeframes", help="Comma-separated bar lengths that divide a day.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")]

_console = Console(stderr=True)


def split_names(text: str | None) -> list[str]:
    """The names of a comma-separated list, upper case.

    >>> split_names("btcusdt, ETHUSDT")
    ['BTCUSDT', 'ETHUSDT']
    """
    return [name.strip().upper() for name in (text or "").split(",") if name.strip()]


def parse_lengths(text: str) -> tuple[int, ...]:
    """Bar lengths [ns] of `1s,1m`; raises InputError for what is none."""
    try:
        return tuple(dict.fromkeys(parse_timeframe(part.strip()) for part in text.split(",")))
    except ValueError as error:
        raise InputError(f"--timeframes: {error}") from error


@contextmanager
def progress(text: str) -> Iterator[Callable[[str], None]]:
    """A spinner on stderr while long work runs; call what it yields with a word about how far it is."""
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=_console, transient=True, disable=not _console.is_terminal) as bar:
        task = bar.add_task(text)
        yield lambda detail: bar.update(task, description=f"{text} {detail}")


def show(result: Mapping[str, Any], title: str, *, as_json: bool) -> None:
    """Print a result: a table of two columns, or one JSON object."""
    if as_json:
        typer.echo(json.dumps(result, default=str))
        return
    table = Table(title=title, show_header=False, title_justify="left")
    for name, value in result.items():
        text = (
            ", ".join(f"{k} {v:,}" if isinstance(v, int) else f"{k} {v}" for k, v in value.items())
            if isinstance(value, Mapping)
            else (f"{value:,}" if isinstance(value, int) else str(value))
        )
        table.add_row(name.replace("_", " "), text or "none")
    Console().print(table)
