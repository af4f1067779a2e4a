"""`undertow patterns`: order-flow patterns in stored feature bars, and what followed them."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from undertow.cli.options import AsJson, LakeFolder, Symbols, progress, split_names

if TYPE_CHECKING:
    import polars as pl

    from undertow.datasets.bars import SymbolBars
    from undertow.evaluation.pattern_study import StudyRow
    from undertow.patterns.pattern import Events

__all__ = ["patterns"]

SHOWN = 20


def patterns(
    lake: LakeFolder = Path("lake"),
    venue: Annotated[str | None, typer.Option(help="Needed where the lake has several.")] = None,
    symbols: Symbols = None,
    timeframe: Annotated[str, typer.Option(help="Length of the bars, such as 1s.")] = "1s",
    list_them: Annotated[bool, typer.Option("--list", help="List all patterns and stop.")] = False,
    explain: Annotated[str | None, typer.Option(help="Explain one pattern and stop.")] = None,
    with_study: Annotated[
        bool, typer.Option("--study", help="Also what followed: returns at 1, 5, 10, 30 and 60 bars.")
    ] = False,
    out: Annotated[Path | None, typer.Option(help="Write all events to this Parquet file.")] = None,
    as_json: AsJson = False,
) -> None:
    """Find absorption, exhaustion, pulled liquidity and the others; --list and --explain define them."""
    if list_them or explain:
        _describe(explain)
        return
    from undertow.runtime.pattern_rows import event_rows

    bars, found = _found(lake, venue, split_names(symbols), timeframe)
    events = _joined([event_rows(s.symbol, of_symbol) for s, of_symbol in zip(bars, found, strict=True)])
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        events.write_parquet(out)
    rows = _study(bars, found) if with_study else []
    if as_json:
        _print_json(events, rows, with_study=with_study)
        return
    _print_counts(bars, found)
    _print_events(events, out)
    if with_study:
        _print_study(rows)


def _found(
    lake: Path, venue: str | None, symbols: list[str], timeframe: str
) -> tuple[list["SymbolBars"], list[list["Events"]]]:
    """The bars of each symbol with what a study needs, and their events by pattern."""
    from undertow.datasets.bars import REQUIRED_COLUMNS, SymbolBars
    from undertow.datasets.feature_tables import feature_files, read_symbol_bars
    from undertow.runtime.pattern_rows import find_patterns

    bars, found = [], []
    for symbol in symbols or _symbols(lake, venue, timeframe):
        with progress(f"patterns of {symbol}"):
            table = read_symbol_bars(feature_files(lake, symbol, timeframe, venue), symbol, timeframe)
            found.append(find_patterns(table))
            frame = table.frame.select(REQUIRED_COLUMNS)
            bars.append(SymbolBars(symbol, table.length_ns, frame, table.lineage))
    return bars, found


def _symbols(lake: Path, venue: str | None, timeframe: str) -> list[str]:
    """The symbols of the lake that have bars of that length, sorted."""
    from undertow.errors import LakeError

    folders = {path.parent.name for path in lake.glob(f"{venue or '*'}/features/*/{timeframe}")}
    if not folders:
        raise LakeError(
            f"no feature table of {timeframe} bars under {lake}; run `undertow features --lake {lake}` first"
        )
    return sorted(folders)


def _joined(frames: Sequence["pl.DataFrame"]) -> "pl.DataFrame":
    import polars as pl

    return pl.concat(frames).sort("time_ns", maintain_order=True)


def _study(bars: Sequence["SymbolBars"], found: Sequence[Sequence["Events"]]) -> list["StudyRow"]:
    from undertow.evaluation.pattern_study import StudySettings, study

    horizons = tuple(count * bars[0].length_ns for count in (1, 5, 10, 30, 60))
    with progress("what followed"):
        return study(bars, found, StudySettings(horizons_ns=horizons))


def _print_json(events: "pl.DataFrame", rows: Sequence["StudyRow"], *, with_study: bool) -> None:
    from dataclasses import asdict

    result: dict[str, Any] = {
        "events": [
            row | {"numbers": {number["name"]: number["value"] for number in row["numbers"]}}
            for row in events.iter_rows(named=True)
        ]
    }
    if with_study:
        result["study"] = [asdict(row) for row in rows]
    typer.echo(json.dumps(result))


def _print_counts(bars: Sequence["SymbolBars"], found: Sequence[Sequence["Events"]]) -> None:
    hours = sum(symbol.frame.height * symbol.length_ns for symbol in bars) / 3.6e12
    lines = []
    for position, first in enumerate(found[0]):
        events = [of_symbol[position] for of_symbol in found]
        buyers, sellers = (sum(int((e.side == side).sum()) for e in events) for side in (1, -1))
        lines.append((first.pattern, str(buyers), str(sellers), f"{(buyers + sellers) / hours:.2f}"))
    names = ", ".join(symbol.symbol for symbol in bars)
    _print_table(
        f"Events in {hours:.2f} hours of bars of {names}", ("pattern", "side +1", "side −1", "an hour"), lines
    )


def _print_events(events: "pl.DataFrame", out: Path | None) -> None:
    from datetime import UTC, datetime

    lines = []
    for row in events.tail(SHOWN).iter_rows(named=True):
        time = datetime.fromtimestamp(row["time_ns"] // 10**9, UTC)
        numbers = ", ".join(f"{number['name']} {number['value']:.5g}" for number in row["numbers"])
        side, strength = f"{row['side']:+d}", f"{row['strength']:.2f}"
        lines.append((f"{time:%Y-%m-%d %H:%M:%S}", row["symbol"], row["pattern"], side, strength, numbers))
    if lines:
        heads = ("bar's close, UTC", "symbol", "pattern", "side", "strength", "numbers")
        _print_table("The newest events", heads, lines)
    if events.height > SHOWN:
        where = f"all are in {out}" if out else "--out FILE keeps all"
        typer.echo(f"the newest {SHOWN} of {events.height:,} events; {where}")


def _print_study(rows: Sequence["StudyRow"]) -> None:
    lines = []
    for row in rows:
        excess = row.excess_bps
        lines.append(
            (
                row.pattern,
                f"{row.horizon_s:g} s",
                f"{row.events} ({row.disjoint})",
                _digits(row.mean_bps, "+.3f"),
                _digits(row.any_bar_bps, "+.3f"),
                f"{excess.value:+.3f} [{excess.low:+.3f}, {excess.high:+.3f}]" if excess else "too few",
                _digits(row.hit_rate, ".0%"),
                _digits(row.after_spread_bps, "+.3f"),
                _digits(row.p, ".4f"),
                _digits(row.p_holm, ".4f"),
            )
        )
    heads = ("pattern", "after", "events", "mean", "any bar", "excess [95 %]", "hits", "spread paid", "p")
    told = [line for line, row in zip(lines, rows, strict=True) if row.events]
    _print_table("What followed, in bps, signed by the side", (*heads, "p Holm"), told)
    typer.echo("events (of which do not overlap); excess: mean less any bar; p Holm: all rows are one family")


def _print_table(title: str, heads: Sequence[str], lines: Sequence[Sequence[str]]) -> None:
    """Columns as wide as they need: a table of numbers that wraps cannot be read."""
    widths = [max(len(text) for text in column) for column in zip(heads, *lines, strict=True)]
    typer.echo(f"\n{title}")
    for line in (heads, *lines):
        typer.echo("  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip())


def _digits(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


def _describe(name: str | None) -> None:
    from undertow.patterns.catalogue import PATTERNS, pattern_named

    if name is None:
        for pattern in PATTERNS:
            typer.echo(f"{pattern.name:18} +1: {pattern.reads}")
        return
    found = pattern_named(name)
    typer.echo(f"{found.name}\n\n{found.definition}\n")
    for field in ("reads", "strength", "null", "mirror", "source", "example"):
        typer.echo(f"{field:9} {getattr(found, field)}")
    typer.echo(f"inputs    {', '.join((*found.inputs, 'gap_fraction'))}")
    typer.echo(f"lookback  {found.lookback_bars()} bars")
    typer.echo(f"on noise  at most {found.false_alarms:g} events an hour on a simulated martingale\nsettings")
    for setting in found.settings:
        typer.echo(f"  {setting.name:13} {setting.default:<7g} {setting.unit:6} {setting.meaning}")
    typer.echo("numbers")
    for number in found.numbers:
        typer.echo(f"  {number.name:15} {number.unit:7} {number.meaning}")
