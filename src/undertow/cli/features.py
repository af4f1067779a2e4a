"""`undertow features`: feature tables from the lake, and what each feature is."""

import json
from datetime import UTC, datetime
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
    set_name: Annotated[
        str | None, typer.Option("--set", help="List or print only these: sets, families or features.")
    ] = None,
    schema: Annotated[str | None, typer.Option(help="Print what columns are, as json, and stop.")] = None,
    leader: Annotated[
        str | None, typer.Option(help="Instead: table cross_features, beside this symbol, such as BTCUSDT.")
    ] = None,
    spot: Annotated[
        str | None, typer.Option(help="Table cross_features, beside the same symbol of this spot venue.")
    ] = None,
    from_time: Annotated[
        str | None,
        typer.Option("--from", help="Only from this hour on, such as 2024-08-08 or 2024-08-08T12, UTC."),
    ] = None,
    to_time: Annotated[
        str | None, typer.Option("--to", help="Only before this time; hours are computed whole.")
    ] = None,
    jobs: Annotated[
        int,
        typer.Option(min=0, help="Processes at once; 0: one for each core, fewer where little is stored."),
    ] = 0,
    as_json: AsJson = False,
) -> None:
    """Compute the features of every bar from stored trades and book samples.

    A slice is the same to the last bit as that slice of the whole: computation begins with the state kept at
    the newest midnight before it or, where there is none, with the first bar.
    """
    if list_them or explain or schema:
        _describe(explain, set_name, schema, l2=l2)
        return
    if leader or spot:
        _write_cross(lake, venue, split_names(symbols), timeframes, leader, spot, as_json=as_json)
        return
    bounds = _bounds(from_time, to_time)
    if l2:
        _write_l2(lake, venue, split_names(symbols), bounds, jobs, as_json=as_json)
        return
    _write_bars(lake, venue, split_names(symbols), parse_lengths(timeframes), bounds, jobs, as_json=as_json)


def _bounds(from_time: str | None, to_time: str | None) -> tuple[int | None, int | None]:
    """Nanoseconds; raises InputError where they hold no time."""
    from undertow.cli.dataset import parse_time
    from undertow.errors import InputError

    from_ns, to_ns = parse_time(from_time), parse_time(to_time)
    if from_ns is not None and to_ns is not None and from_ns >= to_ns:
        raise InputError(f"--from {from_time} is not before --to {to_time}; nothing lies between them")
    return from_ns, to_ns


def _write_bars(
    lake: Path,
    venue: str | None,
    symbols: list[str],
    lengths_ns: tuple[int, ...],
    bounds: tuple[int | None, int | None],
    jobs: int,
    *,
    as_json: bool,
) -> None:
    from undertow.lake.reader import Lake
    from undertow.runtime.at_once import jobs_for
    from undertow.runtime.batch import Span, histories
    from undertow.runtime.feature_jobs import hours_asked, write_all

    found, span = histories(Lake(lake), venue, symbols), Span(*bounds)
    jobs = jobs or jobs_for(hours_asked(found, span))
    with progress("features") as tell:
        written = write_all(found, lengths_ns, span, jobs, lambda symbol, at: tell(f"{symbol} {at}"))
    for name, one in written.items():
        if bounds[0] is not None:
            typer.echo(f"{name}: {_begun(one.begin_ns)}", err=True)
    rows = {name: one.rows for name, one in written.items()}
    show(rows, f"Feature rows written to {lake}", as_json=as_json)


def _begun(begin_ns: int | None) -> str:
    """What a slice was computed from."""
    if begin_ns is None:
        return "computed from the first bar, as no state kept before --from is good for what is stored today"
    return f"computed from the state kept at {datetime.fromtimestamp(begin_ns / 1e9, UTC):%Y-%m-%d %H:%M} UTC"


def _write_l2(
    lake: Path,
    venue: str | None,
    symbols: list[str],
    bounds: tuple[int | None, int | None],
    jobs: int,
    *,
    as_json: bool,
) -> None:
    from undertow.lake.reader import Lake
    from undertow.runtime.at_once import jobs_for
    from undertow.runtime.l2_features import deep_histories
    from undertow.runtime.l2_jobs import write_all_l2

    found = deep_histories(Lake(lake), venue, symbols)
    stored_hours = sum(len(one.lake.hours(one.venue, "l2", one.symbol)) for one in found)
    jobs = jobs or jobs_for(stored_hours)
    with progress("L2 features") as tell:
        rows = write_all_l2(found, *bounds, jobs, lambda symbol, at: tell(f"{symbol} {at}"))
    written = {name: {"l2_features": count} for name, count in rows.items()}
    show(written, f"Feature rows written to {lake}", as_json=as_json)


def _write_cross(
    lake: Path,
    venue: str | None,
    symbols: list[str],
    timeframes: str,
    leader: str | None,
    spot: str | None,
    *,
    as_json: bool,
) -> None:
    """Features of two markets from the feature tables of both."""
    from undertow.lake.reader import Lake
    from undertow.runtime.cross_features import cross_requests, write_cross_features

    lengths = [name.strip() for name in timeframes.split(",") if name.strip()]
    found = cross_requests(Lake(lake), venue, symbols, lengths, leader.upper() if leader else None, spot)
    written = {}
    for request in found:
        name = f"{request.follower} {request.timeframe}"
        with progress(f"cross features of {name}") as tell:
            written[name] = write_cross_features(request, lambda hour: tell(str(hour)))
    show(written, f"Feature rows written to {lake}", as_json=as_json)


def _describe(name: str | None, chosen: str | None, schema: str | None, *, l2: bool) -> None:
    from undertow.errors import InputError
    from undertow.features.catalogue import FEATURES, Line, feature_schema
    from undertow.features.cross import CROSS_FEATURES
    from undertow.features.l2 import L2_FEATURES
    from undertow.features.sets import chosen_set, lines_of

    if name is not None:
        from undertow.monitor.feature_explain import explanation

        typer.echo("\n".join(explanation(name)))
        return
    lines: tuple[Line, ...] = L2_FEATURES if l2 else (*FEATURES, *CROSS_FEATURES)
    lines = lines_of(chosen_set(chosen)) if chosen else lines
    if schema not in (None, "json"):
        raise InputError(f"--schema {schema!r}: choose json")
    if schema:
        typer.echo(json.dumps(feature_schema(lines), ensure_ascii=False, indent=1))
        return
    for line in lines:
        typer.echo(f"{line.name:32} {line.family:16} {line.unit:16} {line.formula}")
