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
    l2: Annotated[
        bool, typer.Option("--l2", help="Of the 100-level book instead: table l2_features, one row a second.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Compute the features of every bar from stored trades and book samples."""
    if list_them or explain:
        _describe(explain, l2=l2)
        return
    if l2:
        _write_l2(lake, venue, split_names(symbols), as_json=as_json)
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


def _write_l2(lake: Path, venue: str | None, symbols: list[str], *, as_json: bool) -> None:
    from undertow.lake.reader import Lake
    from undertow.runtime.l2_features import deep_histories, write_l2_features

    written = {}
    for history in deep_histories(Lake(lake), venue, symbols):
        with progress(f"L2 features of {history.symbol}") as tell:
            rows = write_l2_features(history, lambda hour: tell(str(hour)))
        written[f"{history.venue} {history.symbol}"] = {"l2_features": rows}
    show(written, f"Feature rows written to {lake}", as_json=as_json)


def _describe(name: str | None, *, l2: bool) -> None:
    from undertow.errors import InputError
    from undertow.features.catalogue import FEATURES
    from undertow.features.feature import Feature
    from undertow.features.l2 import L2_FEATURES, L2Feature

    features: tuple[Feature | L2Feature, ...] = L2_FEATURES if l2 else FEATURES
    if name is None:
        for feature in features:
            typer.echo(f"{feature.name:32} {feature.family:16} {feature.unit:16} {feature.formula}")
        return
    found = next((feature for feature in (*features, *L2_FEATURES) if feature.name == name), None)
    if found is None:
        raise InputError(f"no feature {name!r}; `undertow features --list` shows them all")
    for field in ("name", "family", "formula", "unit", "range", "null", "warm_up", "inputs", "source"):
        typer.echo(f"{field.replace('_', ' '):8} {getattr(found, field)}")
    if isinstance(found, Feature):
        typer.echo((found.function.__doc__ or "").strip())
