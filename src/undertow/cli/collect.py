"""`undertow collect`: record live market data."""

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    import asyncio

    from undertow.market.instruments import Instrument
    from undertow.runtime.collection import Collected
    from undertow.runtime.collector import CollectorSettings, Progress
    from undertow.runtime.health import Health
    from undertow.runtime.track import Recorder
    from undertow.venues.binance.endpoints import Endpoints
    from undertow.venues.bybit.endpoints import Endpoints as BybitEndpoints
    from undertow.venues.feeding import FeedSettings

__all__ = ["collect"]

_REGULAR_KINDS = (
    *("trades", "depth", "ticker", "mark", "liquidations", "klines"),
    *("open_interest", "funding"),
)
_SIMULATION_QUIET_S = 2.0
_FOLD_EVERY_S = 0.2
"""Nobody waits for the bars of a collection; frames are in the journal long before."""


def collect(
    *,
    venue: Annotated[
        str, typer.Option(help="binance-usdm, binance-spot, bybit-linear, sim or sim-bybit.")
    ] = "binance-usdm",
    url: Annotated[
        str | None,
        typer.Option(help="Address instead of the exchange's own; required for sim and sim-bybit."),
    ] = None,
    symbols: Annotated[
        str | None, typer.Option(help="Such as BTCUSDT,ETHUSDT. Default: ten large ones against USDT.")
    ] = None,
    top: Annotated[
        int | None, typer.Option(help="Instead of --symbols: so many with the largest turnover.", min=1)
    ] = None,
    streams: Annotated[
        str | None,
        typer.Option(
            help="Of trades, single_trades, depth, depth_fastest, partial_depth, ticker, mark, liquidations, "
            "klines, open_interest, funding."
        ),
    ] = None,
    symbols_file: Annotated[
        Path | None,
        typer.Option(help="Instead of --symbols: a file that names them, read again on SIGHUP.", exists=True),
    ] = None,
    follow_listings: Annotated[
        str | None, typer.Option(help="Also collect symbols of this quote asset that begin to trade.")
    ] = None,
    take_over: Annotated[
        bool,
        typer.Option(
            "--take-over", help="Receive at once, and record as soon as the collection that runs has ended."
        ),
    ] = False,
    lake: Annotated[Path, typer.Option(help="Directory of the tables.")] = Path("lake"),
    journal: Annotated[Path, typer.Option(help="Directory of the raw frames.")] = Path("journal"),
    spill: Annotated[
        Path | None,
        typer.Option(
            help="Directory, best on another disk, for frames that the journal cannot take; "
            "default: in the system's temporary folder."
        ),
    ] = None,
    keep_free: Annotated[
        float, typer.Option(help="GB kept free for the journal: with less, the tables wait.", min=0)
    ] = 1.0,
    sync_every: Annotated[
        float, typer.Option(help="Seconds of data that a power cut may cost; 0: none.", min=0)
    ] = 1.0,
    duration: Annotated[
        float | None, typer.Option(help="Seconds to collect. Default: until interrupted.", min=0)
    ] = None,
    until_closed: Annotated[
        bool,
        typer.Option("--until-closed", help="End when the exchange closes with 1001, as a simulation does."),
    ] = False,
    heartbeat: Annotated[
        float, typer.Option(help="Seconds without data after which a connection is replaced.", min=0.1)
    ] = 10.0,
    rollover: Annotated[
        float, typer.Option(help="Hours after which a connection is replaced by a new one.", min=0.001)
    ] = 23.0 + 50.0 / 60.0,
    connections: Annotated[
        int,
        typer.Option(help="Sockets that carry each stream; with 2 either may fail unnoticed.", min=1, max=4),
    ] = 2,
    quiet: Annotated[
        float | None,
        typer.Option(help="Seconds of silence after which bars close on a timer; 0: never.", min=0),
    ] = None,
    audit_every: Annotated[
        float, typer.Option(help="Seconds between comparisons of each book with REST; 0: never.", min=0)
    ] = 60.0,
    route_probe: Annotated[
        bool | None,
        typer.Option(
            help="At the start, try every stream on every route, and say what comes where; "
            "default: unless --until-closed."
        ),
    ] = None,
    repair: Annotated[bool, typer.Option(help="Ask REST for trades that the streams skipped.")] = True,
    metrics_port: Annotated[
        int | None, typer.Option(help="Serve /metrics, /healthz and /readyz on loopback; 0: any port.")
    ] = None,
    log_level: Annotated[str, typer.Option(help="debug, info, warning or error.")] = "info",
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Record live market data: every frame to the journal, and from it the tables of the lake.

    Reconnects, resynchronises books, replaces ageing connections, asks for what was skipped and audits the
    books by itself; what was missed all the same is a gap in the tables. Ends after --duration, or on Ctrl-C,
    with everything written.
    """
    from undertow.cli.logs import configure_logs
    from undertow.cli.markets import market_of, refuse_options
    from undertow.runtime.collector import CollectorSettings
    from undertow.runtime.lean_memory import use_lean_memory
    from undertow.runtime.repair import RepairSettings
    from undertow.runtime.snapshots import SnapshotSettings
    from undertow.venues.bybit.endpoints import VENUES
    from undertow.venues.feeding import FeedSettings

    configure_logs(log_level)
    use_lean_memory()
    endpoints, default_symbols = market_of(venue, url)
    if venue in VENUES:
        given = {"symbols-file": symbols_file, "follow-listings": follow_listings, "take-over": take_over}
        refuse_options(venue, given)
    feed_settings = FeedSettings(
        copies=connections,
        heartbeat_s=heartbeat,
        rollover_s=rollover * 3600,
        end_on_going_away=until_closed,
    )
    usual_quiet_s = _SIMULATION_QUIET_S if endpoints.venue.startswith("sim") else CollectorSettings().quiet_s
    settings = CollectorSettings(
        quiet_s=usual_quiet_s if quiet is None else quiet or None,
        snapshots=SnapshotSettings(audit_every_s=audit_every or None),
        repair=RepairSettings() if repair else None,
    )
    kinds = _split(streams, upper=False) or tuple(
        kind for kind in _REGULAR_KINDS if kind in {*endpoints.streams, *endpoints.polled}
    )
    began_s = time.monotonic()
    with _metrics(endpoints.venue, metrics_port) as health:
        choice = _Choice(
            _split(symbols) or default_symbols,
            symbols_file,
            top,
            follow_listings.upper() if follow_listings else None,
        )
        job = _Job(
            endpoints,
            choice,
            kinds,
            lake,
            journal,
            duration,
            health,
            takes_over=take_over,
            probes_routes=not until_closed if route_probe is None else route_probe,
            storage=_Storage(spill, round(keep_free * 1e9), sync_every),
        )
        collected = _run(job, settings, feed_settings)
    _report(collected, venue, lake, time.monotonic() - began_s, as_json=as_json)


def _split(text: str | None, *, upper: bool = True) -> tuple[str, ...]:
    """The names in a comma-separated list, each once, in order."""
    names = (name.strip() for name in (text or "").split(","))
    return tuple(dict.fromkeys((name.upper() if upper else name) for name in names if name))


@dataclass(frozen=True, slots=True)
class _Choice:
    """How the symbols are chosen."""

    symbols: tuple[str, ...]
    file: Path | None
    top: int | None
    follow: str | None


@dataclass(frozen=True, slots=True)
class _Storage:
    """How careful to be with the disks."""

    spill: Path | None
    keep_free_bytes: int
    sync_every_s: float


@dataclass(frozen=True, slots=True)
class _Job:
    """What to collect, and where to."""

    endpoints: "Endpoints | BybitEndpoints"
    choice: _Choice
    kinds: tuple[str, ...]
    lake: Path
    journal: Path
    duration_s: float | None
    health: "Health"
    takes_over: bool
    probes_routes: bool
    storage: _Storage


def _run(job: _Job, settings: "CollectorSettings", feed_settings: "FeedSettings") -> "Collected":
    import asyncio
    import sys

    from undertow.venues.binance.endpoints import Endpoints

    with (
        _progress(enabled=sys.stderr.isatty()) as on_progress,
        asyncio.Runner(loop_factory=_loop_factory()) as runner,
    ):
        if isinstance(job.endpoints, Endpoints):
            return runner.run(_collect_binance(job, job.endpoints, settings, feed_settings, on_progress))
        return runner.run(_collect_bybit(job, job.endpoints, settings, feed_settings, on_progress))


async def _collect_binance(
    job: _Job,
    endpoints: "Endpoints",
    settings: "CollectorSettings",
    feed_settings: "FeedSettings",
    on_progress: "Progress | None",
) -> "Collected":
    from undertow.monitor.venue_probes import route_troubles
    from undertow.runtime.collection import collect as collect_live

    return await collect_live(
        endpoints,
        job.choice.symbols,
        job.kinds,
        _recorder_factory(job),
        duration_s=job.duration_s,
        settings=settings,
        feed_settings=feed_settings,
        on_progress=on_progress,
        health=job.health,
        top=job.choice.top,
        symbols_file=job.choice.file,
        follow=job.choice.follow,
        takes_over=job.takes_over,
        probe=route_troubles if job.probes_routes else None,
        memory=job.journal / endpoints.venue / "_governor.json",
        keep_exchange_info=_keeper(job.journal / endpoints.venue / "exchangeInfo.json"),
    )


async def _collect_bybit(
    job: _Job,
    endpoints: "BybitEndpoints",
    settings: "CollectorSettings",
    feed_settings: "FeedSettings",
    on_progress: "Progress | None",
) -> "Collected":
    from undertow.runtime.bybit_collection import collect_bybit

    return await collect_bybit(
        endpoints,
        job.choice.symbols,
        job.kinds,
        _recorder_factory(job),
        duration_s=job.duration_s,
        settings=settings,
        feed_settings=feed_settings,
        on_progress=on_progress,
        health=job.health,
        top=job.choice.top,
    )


@contextlib.contextmanager
def _metrics(venue: str, port: int | None) -> Iterator["Health"]:
    """The health of this collection, served to Prometheus where a port is given."""
    from undertow.runtime.health import Health

    health = Health(venue)
    if port is None:
        yield health
        return
    from undertow.monitor.metrics_server import MetricsServer

    with MetricsServer(lambda: [health.snapshot()], port=port) as server:
        typer.echo(f"metrics: {server.url}/metrics", err=True)
        yield health


def _loop_factory() -> Callable[[], "asyncio.AbstractEventLoop"] | None:
    """The faster event loop where there is one."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


def _recorder_factory(job: _Job) -> Callable[["Instrument"], "Recorder"]:
    """Opens recorders; features read single trades where no aggregates are collected, or there are none."""
    from undertow.frames.sampler import SamplerSettings
    from undertow.runtime.disk_guard import DiskGuard
    from undertow.runtime.recorder import SymbolRecorder
    from undertow.venues.rules import rules_of

    lake, journal, kinds, storage = job.lake, job.journal, job.kinds, job.storage
    single = "single_trades" in kinds and "trades" not in kinds
    flow = "trades" if single else rules_of(job.endpoints.venue).flow
    guard = DiskGuard(lake, storage.keep_free_bytes)

    settings = SamplerSettings(flow=flow)

    def open_recorder(instrument: "Instrument") -> "Recorder":
        return SymbolRecorder(
            instrument,
            settings,
            lake,
            journal,
            guard=guard,
            spill=storage.spill,
            sync_every_s=storage.sync_every_s,
            fold_every_s=_FOLD_EVERY_S,
        )

    return open_recorder


def _keeper(path: Path) -> Callable[[bytes], None]:
    """Saves what it is given at `path`, whole or not at all."""
    from undertow.lake.files import replace_file

    return lambda body: replace_file(path, lambda file: file.write(body))


@contextlib.contextmanager
def _progress(*, enabled: bool) -> Iterator["Progress | None"]:
    """A table on the terminal that shows how the collection is; None where nobody looks."""
    if not enabled:
        yield None
        return
    from rich.console import Console
    from rich.live import Live

    from undertow.monitor.live_view import render

    with Live(console=Console(stderr=True), auto_refresh=False, transient=True) as live:
        yield lambda health, _: live.update(render(health.snapshot()), refresh=True)


def progress_line(counters: Mapping[str, int]) -> str:
    """The counters in one line.

    >>> progress_line({"frames": 12000, "bytes": 3_500_000, "snapshots": 2})
    '12,000 frames, 3.5 MB, 2 snapshots, 0 reconnects, 0 alarms'
    """
    shown = {name: counters.get(name, 0) for name in ("frames", "bytes", "snapshots", "reconnects", "alarms")}
    return (
        f"{shown['frames']:,} frames, {shown['bytes'] / 1e6:.1f} MB, {shown['snapshots']} snapshots, "
        f"{shown['reconnects']} reconnects, {shown['alarms']} alarms"
    )


def _report(collected: "Collected", venue: str, lake: Path, seconds: float, *, as_json: bool) -> None:
    if as_json:
        import msgspec

        summary = {
            "venue": venue,
            "symbols": [instrument.symbol for instrument in collected.instruments],
            "seconds": round(seconds, 3),
            "counters": collected.counters,
            "alarms": collected.alarms,
        }
        typer.echo(msgspec.json.encode(summary).decode())
        return
    typer.echo(f"{venue}: {progress_line(collected.counters)} in {seconds:.0f} s; tables in {lake}")
    for alarm in collected.alarms:
        typer.echo(f"alarm: {alarm}")
