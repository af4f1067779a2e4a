"""`undertow dataset`: labelled rows, or sequences, from the lake into files."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from undertow.cli.options import AsJson, LakeFolder, progress, show, split_names

if TYPE_CHECKING:
    from undertow.datasets.joined import Selection
    from undertow.datasets.labelled import LabelSettings
    from undertow.datasets.optimized import DatasetReport, DatasetRequest
    from undertow.features.feature import Feature

__all__ = ["dataset", "parse_horizon", "parse_time"]


def dataset(
    symbols: Annotated[str, typer.Option(help="Comma-separated, such as BTCUSDT,ETHUSDT.")],
    lake: LakeFolder = Path("lake"),
    out: Annotated[Path, typer.Option(help="Folder for the files.")] = Path("dataset"),
    venue: Annotated[str | None, typer.Option(help="Which venue, where the lake holds several.")] = None,
    timeframe: Annotated[str, typer.Option(help="Bar length of the feature table.")] = "1s",
    from_: Annotated[str | None, typer.Option("--from", help="First time, UTC: 2024-08-08[T12:30].")] = None,
    to: Annotated[str | None, typer.Option("--to", help="Time to stop before, UTC.")] = None,
    features: Annotated[str, typer.Option(help="Sets, families or features, comma-separated.")] = "all",
    label: Annotated[str, typer.Option(help="horizon or triple-barrier.")] = "horizon",
    horizon: Annotated[str, typer.Option(help="How far ahead: 60s, 5m or 3bars.")] = "60s",
    threshold: Annotated[
        str, typer.Option(help="Moves beyond are up or down: 5bps, 1spread, 1vol, q0.33; or the profit.")
    ] = "q0.33",
    stop: Annotated[
        str | None, typer.Option(help="Of a triple barrier, as the threshold; as far as the profit if unset.")
    ] = None,
    volatility_bars: Annotated[int, typer.Option(help="Bars that `vol` is taken over.")] = 300,
    train_share: Annotated[float, typer.Option(help="First share of the time that q is fitted on.")] = 0.7,
    format_: Annotated[
        str, typer.Option("--format", help="parquet, csv, npy (a matrix) or windows (lazy sequences).")
    ] = "parquet",
    sequence: Annotated[int, typer.Option(help="Rows of a sequence, for npy and windows.")] = 30,
    coverage: Annotated[
        str, typer.Option(help="Bars not proved whole: strict drops them, flag names them, ignore.")
    ] = "flag",
    l2: Annotated[bool | None, typer.Option(help="Join l2_features; by default as the set says.")] = None,
    market: Annotated[bool, typer.Option(help="Join mark price, funding and open interest.")] = True,
    as_json: AsJson = False,
) -> None:
    """Join bars, L2 and market features, label them and write them to files."""
    from undertow.datasets.joined import Selection
    from undertow.datasets.optimized import write_dataset

    span = parse_time(from_), parse_time(to)
    chosen, with_l2 = _chosen(features, l2)
    request = _request(
        Selection(lake, timeframe, venue, *span, with_l2=with_l2, with_market=market),
        split_names(symbols),
        chosen,
        _labels(label, parse_horizon(horizon, timeframe), threshold, stop, volatility_bars, train_share),
        out,
        (format_, coverage, sequence),
    )
    with progress("dataset") as tell:
        report = write_dataset(request, tell)
    show(_shown(request, report), f"Dataset written to {out}", as_json=as_json)


def _labels(
    label: str, horizon_ns: int, threshold: str, stop: str | None, volatility_bars: int, train_share: float
) -> "LabelSettings":
    from undertow.datasets.labelled import LabelKind, LabelSettings
    from undertow.labels.threshold_rule import parse_threshold

    stop_rule = parse_threshold(stop) if stop else None
    kind = _choice(LabelKind, label, "--label")
    return LabelSettings(
        kind, horizon_ns, parse_threshold(threshold), stop_rule, volatility_bars, train_share
    )


def _request(
    selection: "Selection",
    symbols: list[str],
    features: "tuple[Feature, ...]",
    labels: "LabelSettings",
    out: Path,
    how: tuple[str, str, int],
) -> "DatasetRequest":
    """`how`: the options --format, --coverage and --sequence."""
    from undertow.datasets.coverage import CoverageRule
    from undertow.datasets.exports import ExportFormat
    from undertow.datasets.optimized import DatasetRequest

    return DatasetRequest(
        selection,
        tuple(symbols),
        features,
        labels,
        out,
        _choice(ExportFormat, how[0], "--format"),
        _choice(CoverageRule, how[1], "--coverage"),
        how[2],
    )


def parse_time(text: str | None) -> int | None:
    """Nanoseconds since the epoch of `2024-08-08` or `2024-08-08T12:30`, UTC where no zone is given.

    Raises InputError for what is no such time.

    >>> parse_time("1970-01-01T00:01")
    60000000000
    """
    from undertow.errors import InputError

    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise InputError(f"time {text!r}: write 2024-08-08 or 2024-08-08T12:30:00, UTC") from error
    return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()) * 1_000_000_000


def parse_horizon(text: str, timeframe: str) -> int:
    """Nanoseconds of `60s`, `5m`, or of `3bars` of a timeframe; raises InputError for others.

    >>> parse_horizon("3bars", "1m") // 1_000_000_000
    180
    """
    from undertow.datasets.durations import parse_duration
    from undertow.errors import InputError
    from undertow.market.time import parse_timeframe

    try:
        length_ns = parse_timeframe(timeframe)
    except ValueError as error:
        raise InputError(f"--timeframe: {error}") from error
    count = text.removesuffix("bars").removesuffix("bar")
    return parse_duration(text if count == text else f"{count.strip()}b", length_ns)


def _choice(kind: Any, text: str, option: str) -> Any:
    """The member of an enumeration that `text` names."""
    from undertow.errors import InputError

    try:
        return kind(text)
    except ValueError as error:
        raise InputError(f"{option} {text!r}: choose {', '.join(kind)}") from error


def _chosen(text: str, l2: bool | None) -> "tuple[tuple[Feature, ...], bool]":
    """Features of bars that `--features` names, and whether the deep book is joined to them.

    A named set says that itself; other choices join it. Raises InputError for an unknown name, for a set of
    the deep book together with --no-l2, and for single columns of the deep book, which is joined as a whole.
    """
    from undertow.errors import InputError
    from undertow.features.catalogue import FEATURES
    from undertow.features.sets import L2_PREFIX, SETS, chosen_set

    chosen = chosen_set(text)
    names = [name.strip() for name in text.split(",") if name.strip()]
    single = [name for name in names if name.startswith(L2_PREFIX)]
    if single:
        raise InputError(
            f"--features {single[0]}: the deep book is joined as a whole; name l2-optimized or give --l2"
        )
    if chosen.cross:
        raise InputError(
            f"--features {chosen.cross[0]}: features of two markets are joined where the lake has them; "
            "leave the name out"
        )
    needs_l2 = bool(chosen.l2)
    if needs_l2 and l2 is False and text.strip() != "all":
        raise InputError(f"--features {text} is of the deep book; leave out --no-l2 or choose another set")
    only_sets = set(names) <= {known.name for known in SETS}
    by_name = {feature.name: feature for feature in FEATURES}
    with_l2 = l2 if l2 is not None else needs_l2 or not only_sets
    return tuple(by_name[name] for name in chosen.bars), with_l2


def _shown(request: "DatasetRequest", report: "DatasetReport") -> dict[str, Any]:
    """Rows, classes, independent labels and files, by symbol."""
    shown: dict[str, Any] = {"label": request.labels.definition}
    for part in report.symbols:
        shown[f"{part.symbol} rows"] = part.rows
        shown[f"{part.symbol} classes"] = {name: f"{share:.1%}" for name, share in part.label_shares.items()}
        shown[f"{part.symbol} effective samples"] = f"{part.effective_samples:.1f}"
        shown[f"{part.symbol} coverage"] = {k: v for k, v in part.coverage.items() if v}
    shown["files"] = {str(path): path.stat().st_size for path in report.files}
    return shown
