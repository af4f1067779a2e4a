"""`undertow walkforward`: judge a model on feature tables of the lake."""

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from undertow.cli.options import AsJson, LakeFolder, progress, split_names
from undertow.errors import InputError

if TYPE_CHECKING:
    from undertow.datasets.splits import Windows
    from undertow.evaluation.bootstrap import Estimate
    from undertow.evaluation.report import WalkForwardReport

__all__ = ["print_report", "walkforward"]


def walkforward(
    symbols: Annotated[str, typer.Option(help="Comma-separated, such as BTCUSDT,ETHUSDT.")],
    lake: LakeFolder = Path("lake"),
    venue: Annotated[str | None, typer.Option(help="Which venue, where the lake holds several.")] = None,
    timeframe: Annotated[str, typer.Option(help="Bar length of the feature table.")] = "1s",
    horizon: Annotated[str, typer.Option(help="How far ahead: 10s, 5m or 20b (bars).")] = "10s",
    features: Annotated[str | None, typer.Option(help="Comma-separated; all suitable by default.")] = None,
    lags: Annotated[
        str | None, typer.Option(help="Bars back to repeat each feature at, such as 1,2,5.")
    ] = None,
    threshold_bps: Annotated[
        float | None, typer.Option(min=0.0, help="Moves beyond it are up or down.")
    ] = None,
    quantile: Annotated[
        float,
        typer.Option(min=0.0, max=0.99, help="Share of training moves called flat, without a threshold."),
    ] = 1 / 3,
    train: Annotated[str | None, typer.Option(help="Training window, such as 90d, 6h, 5000b.")] = None,
    valid: Annotated[str | None, typer.Option(help="Validation window; a quarter of training.")] = None,
    test: Annotated[str | None, typer.Option(help="Test window.")] = None,
    step: Annotated[str | None, typer.Option(help="From one test to the next; the test window.")] = None,
    anchored: Annotated[bool, typer.Option(help="Always train from the first bar on.")] = False,
    folds: Annotated[int, typer.Option(min=1, help="Without windows: even tests over the second half.")] = 4,
    model: Annotated[str, typer.Option(help="Which model to judge.")] = "lightgbm",
    fee_bps: Annotated[float, typer.Option(min=0.0, help="Taker fee a side.")] = 5.0,
    seed: int = 0,
    as_json: AsJson = False,
) -> None:
    """Judge a model by walk-forward evaluation beside its baselines and nulls."""
    from undertow.datasets.build import DatasetSettings
    from undertow.datasets.durations import parse_duration
    from undertow.datasets.feature_tables import read_chosen
    from undertow.evaluation.trials import record_trial
    from undertow.evaluation.walkforward import WalkForwardSettings, walk_forward

    names = split_names(symbols)
    found = read_chosen(lake, names, timeframe, venue, features)
    length_ns = found.bars[0].length_ns
    settings = WalkForwardSettings(
        dataset=DatasetSettings(parse_duration(horizon, length_ns), parse_lags(lags)),
        threshold_bps=threshold_bps,
        flat_share=quantile,
        windows=_windows(train, valid, test, step, anchored=anchored, length_ns=length_ns),
        folds=folds,
        model=model,
        rivals=tuple({"logistic"} - {model}),
        taker_fee_bps=fee_bps,
        seed=seed,
    )
    with progress("walk-forward") as tell:
        report = walk_forward(found.bars, found.features, settings, tell)
    asked = {"symbols": names, "timeframe": timeframe, "features": found.features}
    tried = {"settings": report.settings, **asked}
    score = {"mcc": report.row(model).mcc.value, "has_edge": report.verdict.has_edge}
    trials = record_trial(lake / "trials.jsonl", tried, score, time.time_ns())
    if as_json:
        typer.echo(json.dumps({**report.to_dict(), "trials": trials}, allow_nan=False))
    else:
        print_report(report, trials)


def parse_lags(text: str | None) -> tuple[int, ...]:
    """Bars back of `1,2,5`. Raises InputError for what is no list of whole numbers."""
    parts = [part.strip() for part in (text or "").split(",") if part.strip()]
    if not all(part.isdecimal() for part in parts):
        raise InputError(f"--lags {text!r}: write whole bars back, such as 1,2,5")
    return tuple(int(part) for part in parts)


def print_report(report: "WalkForwardReport", trials: int | None = None) -> None:
    """Show the table and the verdict on the terminal."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
    table.add_column("", no_wrap=True)
    for heading in ("F1", "MCC", "less best other", "net"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in report.rows:
        table.add_row(
            row.name,
            f"{row.macro_f1.value:.3f}",
            _text(row.mcc),
            _text(row.mcc_difference),
            f"{row.net_bps.value:.2f}" if row.net_bps else "-",
        )
    console = Console()
    console.print(
        f"Walk-forward of {report.model}, {report.settings['confidence']:.0%} intervals; net: bps a decision"
    )
    console.print(table)
    console.print(
        f"Macro-F1 on the martingale null {report.null_macro_f1:.3f}, excess {report.excess_macro_f1:+.3f}. "
        f"Intervals from {report.blocks} blocks of {report.block_slots} bars."
    )
    if trials is not None:
        console.print(f"Configurations tried so far: {trials}.")
    console.print(report.verdict.text, markup=False)


def _text(estimate: "Estimate") -> str:
    return f"{estimate.value:.2f} ({estimate.low:.2f}, {estimate.high:.2f})"


def _windows(
    train: str | None,
    valid: str | None,
    test: str | None,
    step: str | None,
    *,
    anchored: bool,
    length_ns: int,
) -> "Windows | None":
    """Windows from the options; None where none was given."""
    from undertow.datasets.durations import parse_duration
    from undertow.datasets.splits import Windows

    if train is None and test is None:
        if valid or step or anchored:
            raise InputError("--valid, --step and --anchored need --train and --test beside them")
        return None
    if train is None or test is None:
        raise InputError("give both --train and --test, or neither")
    train_ns, test_ns = parse_duration(train, length_ns), parse_duration(test, length_ns)
    return Windows(
        train_ns=train_ns,
        valid_ns=parse_duration(valid, length_ns) if valid else max(train_ns // 4, 1),
        test_ns=test_ns,
        step_ns=parse_duration(step, length_ns) if step else test_ns,
        anchored=anchored,
    )
