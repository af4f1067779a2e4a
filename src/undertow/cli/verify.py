"""`undertow verify`: is what lies in the lake sound?"""

from pathlib import Path
from typing import Annotated

import typer

from undertow.cli.options import AsJson, LakeFolder, show

__all__ = ["verify"]


def verify(
    lake: LakeFolder = Path("lake"),
    features: Annotated[
        bool,
        typer.Option("--features", help="Also compute every stored feature again and compare bit for bit."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Audit a lake; exit code 1 with a list where something is wrong.

    Trades that came too late for their bars are named as well; they are marked in the tables and no fault.
    """
    from undertow.lake.candle_check import check_candles
    from undertow.lake.quality import audit, late_rows
    from undertow.lake.reader import Lake
    from undertow.runtime.batch import verify_features

    findings = [str(finding) for finding in (*audit(lake), *check_candles(lake))]
    result: dict[str, object] = {"lake": str(lake)}
    if features:
        rows, wrong = verify_features(Lake(lake))
        result["feature_rows_compared"] = rows
        findings += wrong
    late = [str(row) for row in late_rows(lake)]
    result |= {"late_trades": len(late), "findings": len(findings)}
    if as_json:
        result |= {"late": late, "list": findings}
    show(result, f"Audit of {lake}", as_json=as_json)
    if not as_json:
        for line in [*late, *findings]:
            typer.echo(line)
    if findings:
        raise typer.Exit(1)
