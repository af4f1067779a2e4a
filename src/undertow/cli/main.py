"""`undertow`: the commands, and what becomes of their errors."""

import importlib
import os
import sys
from collections.abc import Callable, Sequence
from typing import Annotated, Any

os.environ.setdefault(
    "OMP_WAIT_POLICY", "PASSIVE"
)  # idle OpenMP threads must not spin; set before any starts

import typer

from undertow import __version__
from undertow.errors import UndertowError

__all__ = ["COMMANDS", "build", "run"]

COMMANDS = {
    "demo": "The main job with nothing configured: simulate, collect, learn, judge, trade on paper, report.",
    "collect": "Record an exchange live: journal, lake and features.",
    "replay": "Run recorded frames through the same pipeline.",
    "features": "Compute feature tables from the lake; --list and --explain describe them.",
    "patterns": "Find order-flow patterns in feature tables; --study tells what followed them.",
    "verify": "Audit a lake: checksums, order, duplicates, missing ids, schema, features.",
    "dataset": "Labelled rows or sequences out of the lake, as Parquet, CSV or NumPy files.",
    "train": "Fit one model on feature tables.",
    "walkforward": "Judge a model by walk-forward evaluation beside its baselines and nulls.",
    "sim": "The simulated exchange as a server, or its market straight into a lake.",
    "doctor": "Check versions, disk, clock, REST and every socket route; says what to do.",
    "audit": "Prove that a decision log is whole.",
}
"""Command → what it does. Each is the function of its name in the module of its name."""


def build(arguments: Sequence[str]) -> typer.Typer:
    """The command line for `arguments`; only the command that is called is imported, so `--help` is quick."""
    app = typer.Typer(
        no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc_help__
    )
    app.callback()(_global)
    called = next((word for word in arguments if not word.startswith("-")), "")
    for name, text in COMMANDS.items():
        app.command(name, help=text)(_load(name) if name == called else _described)
    return app


__doc_help__ = "Crypto market microstructure: from the exchange's bytes to a judged decision."


def _load(name: str) -> Callable[..., Any]:
    command: Callable[..., Any] = getattr(importlib.import_module(f"undertow.cli.{name}"), name)
    return command


def _described() -> None:
    """Stands for a command that is only listed."""


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"undertow {__version__}")
        raise typer.Exit


def _global(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print it.")
    ] = False,
) -> None:
    """Options before the command."""


def run() -> None:
    """Entry point: errors that a user can act on become one line and exit code 2."""
    try:
        build(sys.argv[1:])(prog_name="undertow")
    except UndertowError as error:
        typer.echo(f"undertow: {error}", err=True)
        sys.exit(2)
    except KeyboardInterrupt:
        typer.echo("undertow: stopped", err=True)
        sys.exit(130)
