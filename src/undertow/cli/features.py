"""`undertow features`: feature tables from the lake, and what each feature is."""

from pathlib import Path
from typing import Annotated

import typer

from undertow.cli.options import (
    AsJson,
    LakeFolder,
    Symbols,
    Timeframes,
    parse_lengths,
    progress,
    show,
    split_names,
)

__all__ = ["features"]


def features(
    lake: LakeFolder = Path("lake"),
    venue: Annotated[str | None, typer.Option(help="Which venue; all of the lake by default.")] = None,
    symbols: Symbols = None,
    timeframes: Timeframes = "1s,1m,5m,15m",
    list_them: Annotated[bool, typer.Option("--list", help="List all features and stop.")] = False,
    explain: Annotated[str | None, typer.Option(help="Explain one feature and stop.")] = None,
    as_json: AsJson = False,
) -> None:
    """Compute the features of every bar from stored trades and book samples."""
    if list_them or explain:
        _describe(explain)
        return
    from undertow.lake.reader import Lake
    from undertow.runtime.batch import histories, write_features

    lengths = parse_lengths(timeframes)
    written = {}
    for history in histories(Lake(lake), venue, split_names(symbols)):
        symbol = history.instrument.symbol
        with progress(f"features of {symbol}") as tell:
            rows = write_features(history, lengths, lambda hour: tell(str(hour)))
        written[f"{history.instrument.venue} {symbol}"] = rows
    show(written, f"Feature rows written to {lake}", as_json=as_json)


def _describe(name: str | None) -> None:
    from undertow.errors import InputError
    from undertow.features.catalogue import FEATURES

    if name is None:
        for feature in FEATURES:
            typer.echo(f"{feature.name:32} {feature.family:16} {feature.unit:16} {feature.formula}")
        return
    found = next((feature for feature in FEATURES if feature.name == name), None)
    if found is None:
        raise InputError(f"no feature {name!r}; `undertow features --list` shows them all")
    for field in ("name", "family", "formula", "unit", "range", "null", "warm_up", "inputs", "source"):
        typer.echo(f"{field.replace('_', ' '):8} {getattr(found, field)}")
    typer.echo((found.function.__doc__ or "").strip())
