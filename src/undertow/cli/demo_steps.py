"""The steps of the demo, each of which leaves files that the report names."""

import asyncio
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import typer
from rich.console import Console

from undertow.cli.options import progress
from undertow.datasets.build import DatasetSettings, build_dataset
from undertow.datasets.feature_tables import default_features, feature_files, read_symbol_bars
from undertow.evaluation.report import WalkForwardReport
from undertow.evaluation.trials import record_trial
from undertow.evaluation.walkforward import WalkForwardSettings, walk_forward
from undertow.execution.fees import TakerFee
from undertow.frames.sampler import SamplerSettings
from undertow.lake.reader import Lake
from undertow.market.instruments import Instrument
from undertow.market.orders import Fill
from undertow.market.time import MILLISECOND_NS, SECOND_NS
from undertow.models.training import fit_for_use
from undertow.monitor.report import QualityRow, ReportInputs, write_report
from undertow.risk.checks import RiskLimits
from undertow.runtime.audit import AuditLog
from undertow.runtime.collection import Collected, collect
from undertow.runtime.collector import CollectorSettings
from undertow.runtime.paper import PaperSettings, PaperTrader
from undertow.runtime.paper_session import PaperSession
from undertow.runtime.pipeline import Pipeline
from undertow.runtime.recorder import SymbolRecorder
from undertow.runtime.replay import find_steps, inspect, replay
from undertow.strategy.sizing import FixedFraction
from undertow.venues.binance.endpoints import endpoints_for
from undertow.venues.feeding import FeedSettings

__all__ = ["Stage", "finish", "learn", "replay_capture", "trade_on_paper"]

_HORIZON_NS = 10 * SECOND_NS
_TAKER_FEE_BPS = Decimal(5)
_KINDS = ("trades", "depth", "ticker", "mark")


@dataclass
class Stage:
    """What the steps have made so far."""

    out: Path
    began_s: float
    instrument: Instrument | None = None
    bars_from: Path | None = None
    """Lake whose bars the report shows."""
    venue: str = "sim"
    quality: list[QualityRow] = field(default_factory=list)
    report: WalkForwardReport | None = None
    trader: PaperTrader | None = None
    features: list[str] = field(default_factory=list)
    model: Any = None
    files: list[tuple[str, str]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def say(self, text: str) -> None:
        """A line about a step that is done."""
        Console(stderr=True).print(
            f"[{time.monotonic() - self.began_s:5.1f} s] {text}", highlight=False, markup=False
        )

    def collect(self, url: str, symbols: Sequence[str], text: str) -> None:
        """Record a simulated stretch over real sockets."""
        pipelines = _record(
            self.out / "lake", self.out / "journal", url, symbols, text, CollectorSettings(quiet_s=2.0)
        )
        self.instrument, self.bars_from = pipelines[0].instrument, self.out / "lake"
        self.quality += [row for pipeline in pipelines for row in _quality(pipeline, self.out / "lake")]
        frames = sum(pipeline.counts.frames for pipeline in pipelines)
        self.say(f"collected {frames:,} frames of {', '.join(symbols)} over WebSocket and REST")
        self.files += [
            ("journal/", "every raw frame with its receive time"),
            ("lake/", "trades, books, features"),
        ]


def _record(
    lake: Path,
    journal: Path,
    url: str,
    symbols: Sequence[str],
    text: str,
    settings: CollectorSettings,
    on_bars: Callable[..., None] | None = None,
) -> list[Pipeline]:
    """Collect until the simulated market ends; the pipelines, symbol by symbol."""
    recorders: list[SymbolRecorder] = []

    def open_recorder(instrument: Instrument) -> SymbolRecorder:
        sampling = SamplerSettings(flow="aggtrades")
        recorders.append(SymbolRecorder(instrument, sampling, lake, journal, on_bars))
        return recorders[-1]

    with progress(text) as tell:
        done: Collected = asyncio.run(
            collect(
                endpoints_for("sim", url),
                symbols,
                _KINDS,
                open_recorder,
                settings=settings,
                feed_settings=FeedSettings(end_on_going_away=True),
                on_progress=lambda _, counters: tell(f"{counters.get('frames', 0):,} frames"),
            )
        )
    if done.alarms:
        raise RuntimeError(f"the simulated exchange raised alarms: {done.alarms}")
    return [recorder.pipeline for recorder in recorders]


def _quality(pipeline: Pipeline, lake: Path) -> list[QualityRow]:
    """Rows of the data-quality table: what lies in the lake, stream by stream."""
    instrument, sampler = pipeline.instrument, pipeline.sampler
    rows = []
    for table in ("aggtrades", "trades", "book_depth", "l2"):
        manifests = Lake(lake).manifests(instrument.venue, table, instrument.symbol)
        if not manifests:
            continue
        flow = table == pipeline.settings.flow
        rows.append(
            QualityRow(
                stream=f"{instrument.symbol} {table}",
                rows=sum(manifest.rows for manifest in manifests),
                from_ns=manifests[0].first_timestamp * MILLISECOND_NS,
                to_ns=manifests[-1].last_timestamp * MILLISECOND_NS,
                gaps=pipeline.counts.gaps if table == "book_depth" else 0,
                late=pipeline.counts.late_trades if flow else 0,
                duplicates=sampler.duplicate_count if flow else 0,
            )
        )
    return rows


def replay_capture(stage: Stage, captures: Sequence[Path], venue: str) -> None:
    """The data half, on recorded frames."""
    recording = inspect(captures, venue, None, None)
    instrument = find_steps(recording, None)
    lake = stage.out / "lake"
    with progress(f"replaying {recording.symbol}") as tell:
        done = replay(
            recording,
            instrument,
            SamplerSettings(flow=recording.flow),
            lake,
            on_progress=lambda frames: tell(f"{frames:,} frames"),
        )
    stage.instrument, stage.bars_from, stage.venue = instrument, lake, venue
    stage.quality = _quality(done.pipeline, lake)
    stage.problems = [*map(str, done.damage), *done.unusable]
    stage.files.append(("lake/", "trades, books, features"))
    stage.say(
        f"replayed {done.pipeline.counts.frames:,} frames of {recording.symbol} in {done.seconds:.1f} s"
    )


def learn(stage: Stage, symbols: Sequence[str]) -> None:
    """Judge a model by walk-forward, then fit it on everything for the paper session."""
    lake = stage.out / "lake"
    bars = [read_symbol_bars(feature_files(lake, symbol, "1s"), symbol, "1s") for symbol in symbols]
    stage.features = default_features(bars)
    dataset_settings = DatasetSettings(_HORIZON_NS, ())
    settings = WalkForwardSettings(dataset=dataset_settings, taker_fee_bps=float(_TAKER_FEE_BPS))
    with progress("walk-forward with baselines and nulls") as tell:
        stage.report = walk_forward(bars, stage.features, settings, tell)
    tried = {"settings": stage.report.settings, "symbols": list(symbols), "features": stage.features}
    score = {"mcc": stage.report.row(settings.model).mcc.value}
    record_trial(lake / "trials.jsonl", tried, score, time.time_ns())
    (stage.out / "walkforward.json").write_text(json.dumps(stage.report.to_dict(), indent=1))
    with progress("fitting the model that trades"):
        dataset = build_dataset(bars, stage.features, dataset_settings)
        stage.model = fit_for_use(dataset, settings.model).model
    stage.files.append(("walkforward.json", "the evaluation in full"))
    stage.say(stage.report.verdict.text)


def _paper_settings() -> PaperSettings:
    limits = RiskLimits(
        max_position_lots=10_000,
        max_notional_quote=Decimal(20_000),
        max_book_age_ns=2 * SECOND_NS,
        max_feature_age_ns=3 * SECOND_NS,
        max_clock_skew_ns=SECOND_NS,
    )
    return PaperSettings(
        instance="demo",
        limits=limits,
        sizing=FixedFraction(Decimal("0.1")),
        taker_fee=TakerFee(_TAKER_FEE_BPS),
        starting_equity_quote=Decimal(100_000),
        holding_ns=_HORIZON_NS,
        latency_ns=100 * MILLISECOND_NS,
        model_version="demo",
    )


def trade_on_paper(stage: Stage, url: str, symbol: str) -> None:
    """Trade a fresh stretch of the market live, on paper, with every decision in the audit log."""
    path = stage.out / "audit.jsonl"
    with AuditLog(path) as audit:
        sessions: list[PaperSession] = []

        def on_bars(pipeline: Pipeline, blocks: dict[int, Any]) -> None:
            if not sessions:
                trader = PaperTrader(
                    pipeline.instrument, stage.model, stage.features, _paper_settings(), audit
                )
                sessions.append(PaperSession(trader, SECOND_NS))
            sessions[0].on_bars(pipeline, blocks)

        lake = stage.out / "paper" / "lake"
        settings = CollectorSettings(process_every_s=0.01, process_frames=32, quiet_s=2.0)
        journal = stage.out / "paper" / "journal"
        pipelines = _record(lake, journal, url, [symbol], "trading on paper", settings, on_bars)
        stage.instrument, stage.bars_from = pipelines[0].instrument, lake
        stage.quality += _quality(pipelines[0], lake)
        stage.trader = sessions[0].trader
    summary = stage.trader.paper_summary()
    stage.files += [
        ("paper/", "journal and lake of the paper session"),
        ("audit.jsonl", "every decision, hash-chained; `undertow audit verify` proves it whole"),
    ]
    stage.say(
        f"paper: {summary['decisions']} decisions, {summary['orders']} orders, {summary['fills']} fills, "
        f"gross {summary['gross_quote']:+.2f}, fees {summary['fees_quote']:.2f}, "
        f"net {summary['net_quote']:+.2f}"
    )


def finish(stage: Stage, *, as_json: bool) -> None:
    """Write the report and say what lies where."""
    if stage.instrument is None or stage.bars_from is None:
        raise RuntimeError("no step has run")
    fills: Sequence[Fill] = stage.trader.fills if stage.trader else ()
    inputs = ReportInputs(
        title="Undertow demo",
        instrument=stage.instrument,
        bars=_bars(stage.bars_from, stage.instrument.symbol),
        fills=fills,
        walk_forward=_walk_forward_view(stage.report) if stage.report else None,
        no_walk_forward="Recorded frames were replayed: the data half of the demo, without learning.",
        paper=stage.trader.paper_summary() if stage.trader else None,
        no_paper="Recorded frames were replayed: nothing was traded.",
        quality=stage.quality,
        files=[*stage.files, ("report.html", "this page")],
    )
    page = write_report(stage.out / "report.html", inputs)
    places = {name: str(stage.out / name) for name, _ in inputs.files}
    if as_json:
        result: dict[str, Any] = {"report": str(page), "places": places, "problems": stage.problems}
        result["verdict"] = stage.report.verdict.text if stage.report else None
        result["paper"] = stage.trader.paper_summary() if stage.trader else None
        typer.echo(json.dumps(result, default=str))
    else:
        stage.say(f"report: {page}")
        for name, text in inputs.files:
            typer.echo(f"  {stage.out / name}  {text}")
    for problem in stage.problems:
        typer.echo(f"undertow: {problem}", err=True)
    if stage.problems:
        raise typer.Exit(2)


def _bars(lake: Path, symbol: str) -> pl.DataFrame:
    return pl.concat(pl.read_parquet(path) for path in feature_files(lake, symbol, "1s"))


def _walk_forward_view(report: WalkForwardReport) -> dict[str, Any]:
    """The report's rows with each estimate as value, low and high."""
    rows = []
    for row in report.rows:
        view: dict[str, Any] = {"name": row.name}
        for name in ("macro_f1", "mcc", "mcc_difference", "net_bps"):
            estimate = getattr(row, name)
            view[name] = estimate.value if estimate else None
            view[f"{name}_low"] = estimate.low if estimate else None
            view[f"{name}_high"] = estimate.high if estimate else None
        rows.append({**view, "rows": row.rows, "effective_rows": row.effective_rows})
    return {"rows": rows, "verdict": report.verdict.text}
