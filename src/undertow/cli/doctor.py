"""`undertow doctor`: is this machine fit to collect from this exchange, and if not, what to do."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from undertow.cli.options import AsJson, LakeFolder, Venue, progress

if TYPE_CHECKING:
    from undertow.monitor.probes import Finding

__all__ = ["doctor"]

_COLOURS = {"ok": typer.colors.GREEN, "warn": typer.colors.YELLOW, "fail": typer.colors.RED}


def doctor(
    venue: Venue = "binance-usdm",
    url: Annotated[
        str | None, typer.Option(help="Address instead of the exchange's own; required for sim.")
    ] = None,
    lake: LakeFolder = Path("lake"),
    journal: Annotated[Path, typer.Option(help="Directory of the raw frames.")] = Path("journal"),
    patience: Annotated[
        float, typer.Option(help="Seconds that a stream may take to send anything.", min=0.1)
    ] = 8.0,
    as_json: AsJson = False,
) -> None:
    """Check versions, disk, clock, REST and every socket route; exit code 1 where something must be mended.

    Writes nothing that stays, orders nothing, and never prints a key.
    """
    import asyncio

    from undertow.cli.logs import configure_logs
    from undertow.cli.markets import market_of
    from undertow.monitor import probes
    from undertow.monitor.bybit_probes import probe_bybit
    from undertow.monitor.venue_probes import probe_venue
    from undertow.venues.binance.endpoints import Endpoints

    configure_logs("error")
    endpoints, _ = market_of(venue, url)
    findings = [
        probes.probe_python(),
        probes.probe_requirements(),
        probes.probe_time_zone(),
        probes.probe_credentials(),
        probes.probe_handles(),
        probes.probe_folder("lake", lake),
        probes.probe_folder("journal", journal),
    ]
    with progress(f"asking {venue}"):
        if isinstance(endpoints, Endpoints):
            findings += asyncio.run(probe_venue(endpoints, patience))
        else:
            findings += asyncio.run(probe_bybit(endpoints, patience))
    _report(venue, findings, as_json=as_json)
    if any(finding.status is probes.Status.FAIL for finding in findings):
        raise typer.Exit(1)


def _report(venue: str, findings: Sequence["Finding"], *, as_json: bool) -> None:
    if as_json:
        import msgspec

        is_fit = all(finding.status != "fail" for finding in findings)
        typer.echo(msgspec.json.encode({"venue": venue, "fit": is_fit, "findings": findings}).decode())
        return
    for finding in findings:
        status = typer.style(f"{finding.status:<5}", fg=_COLOURS[finding.status])
        typer.echo(f"{status} {finding.name:<14} {finding.found}")
        if finding.advice:
            typer.echo(f"{'':<20} → {finding.advice}")
