"""`undertow verify`: is what lies in the lake sound, and is it what the journal gives?"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from undertow.cli.options import AsJson, LakeFolder, progress, show
from undertow.errors import InputError

if TYPE_CHECKING:
    from undertow.runtime.rebuild import Rebuilt

__all__ = ["verify"]


def verify(
    lake: LakeFolder = Path("lake"),
    features: Annotated[
        bool,
        typer.Option("--features", help="Also compute every stored feature again and compare bit for bit."),
    ] = False,
    journal: Annotated[
        Path | None,
        typer.Option(help="Also fold this journal anew and compare every hour of every table with it."),
    ] = None,
    repair: Annotated[
        bool, typer.Option("--repair", help="Replace the hours that are not what the journal gives.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Audit a lake; exit code 1 with a list where something is wrong, or still is after a repair.

    Trades that came too late for their bars are named as well; they are marked in the tables and no fault.
    """
    from undertow.lake.candle_check import check_candles
    from undertow.lake.quality import audit, late_rows
    from undertow.lake.reader import Lake
    from undertow.runtime.batch import verify_features
    from undertow.runtime.l2_features import verify_l2_features

    rebuilt = _rebuild(lake, journal, repair=repair)
    findings = [str(finding) for finding in (*audit(lake), *check_candles(lake))]
    result: dict[str, object] = {"lake": str(lake)}
    lines: list[str] = []
    if rebuilt is not None:
        findings += rebuilt.remaining()
        lines += [str(change) for change in rebuilt.changes if change.is_repaired] + rebuilt.notes
        result |= _summary(rebuilt, as_json=as_json)
    if features:
        compared = [compare(Lake(lake)) for compare in (verify_features, verify_l2_features)]
        result["feature_rows_compared"] = sum(rows for rows, _ in compared)
        findings += [line for _, wrong in compared for line in wrong]
    late = [str(row) for row in late_rows(lake)]
    result |= {"late_trades": len(late), "findings": len(findings)}
    if as_json:
        result |= {"late": late, "list": findings}
    show(result, f"Audit of {lake}", as_json=as_json)
    if not as_json:
        for line in [*late, *lines, *findings]:
            typer.echo(line)
    if findings:
        raise typer.Exit(1)


def _rebuild(lake: Path, journal: Path | None, *, repair: bool) -> "Rebuilt | None":
    if journal is None:
        if repair:
            raise InputError("--repair needs --journal DIR: tables are rebuilt from it")
        return None
    if not journal.is_dir():
        raise InputError(f"{journal}: is no folder; give the one that `undertow collect --journal` wrote")
    from undertow.runtime.rebuild import rebuild

    with progress("comparing with the journal") as tell:
        return rebuild(lake, journal, repair=repair, on_hour=tell)


def _summary(rebuilt: "Rebuilt", *, as_json: bool) -> dict[str, object]:
    repaired = sum(change.is_repaired for change in rebuilt.changes)
    counts: dict[str, object] = {
        "journal_segments": rebuilt.segments,
        "journal_lines": rebuilt.lines,
        "hours_compared": rebuilt.hours,
        "hours_that_differ": len(rebuilt.changes) - repaired,
        "hours_replaced": repaired,
    }
    if as_json:
        counts |= {"changes": msgspec.to_builtins(rebuilt.changes), "notes": rebuilt.notes}
    return counts
