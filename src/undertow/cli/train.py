"""`undertow train`: fit one model on feature tables of the lake and store it."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from undertow.cli.options import AsJson, LakeFolder, progress, show, split_names
from undertow.cli.walkforward import parse_lags

__all__ = ["train"]


def train(
    symbols: Annotated[str, typer.Option(help="Comma-separated, such as BTCUSDT,ETHUSDT.")],
    lake: LakeFolder = Path("lake"),
    out: Annotated[Path, typer.Option(help="Folder for the model and its record.")] = Path("model"),
    venue: Annotated[str | None, typer.Option(help="Which venue, where the lake holds several.")] = None,
    timeframe: Annotated[str, typer.Option(help="Bar length of the feature table.")] = "1s",
    horizon: Annotated[str, typer.Option(help="How far ahead: 10s, 5m or 20b (bars).")] = "10s",
    features: Annotated[
        str | None, typer.Option(help="Sets, families, features; all suitable if unset.")
    ] = None,
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
    model: Annotated[str, typer.Option(help="Which model to fit.")] = "lightgbm",
    seed: int = 0,
    as_json: AsJson = False,
) -> None:
    """Fit one model on feature tables."""
    from undertow.datasets.build import DatasetSettings, build_dataset
    from undertow.datasets.durations import parse_duration
    from undertow.datasets.feature_tables import file_hashes, read_chosen
    from undertow.datasets.manifest import manifest
    from undertow.models.artefact import save_artefact
    from undertow.models.training import fit_for_use

    found = read_chosen(lake, split_names(symbols), timeframe, venue, features)
    length_ns = found.bars[0].length_ns
    settings = DatasetSettings(parse_duration(horizon, length_ns), parse_lags(lags))
    dataset = build_dataset(found.bars, found.features, settings)
    with progress(f"fitting {model}"):
        fitted = fit_for_use(dataset, model, threshold_bps=threshold_bps, flat_share=quantile, seed=seed)
    sources = file_hashes(found.files)
    record = {
        "threshold_bps": fitted.threshold.bps,
        "class_shares": fitted.shares.tolist(),
        "train_rows": fitted.train_rows,
        "valid_rows": fitted.valid_rows,
        "seed": seed,
        "timeframe": timeframe,
        "settings": asdict(settings),
        "dataset": manifest(dataset, found.bars, settings, sources),
    }
    stored = save_artefact(out, model, fitted.model, record)
    shown = {"model": model, "version": stored.version, "folder": str(out)} | {
        name: record[name] for name in ("threshold_bps", "train_rows", "valid_rows")
    }
    show(shown, f"{model} stored in {out}", as_json=as_json)
