"""Walk-forward: a model, its baselines and its nulls over the same folds and the same blocks of time."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from undertow.datasets.bars import SymbolBars
from undertow.datasets.build import DatasetSettings, build_dataset
from undertow.datasets.dataset import Dataset, with_classes
from undertow.datasets.manifest import manifest
from undertow.datasets.splits import Fold, Windows, even_windows, walk_forward_folds
from undertow.errors import InputError
from undertow.evaluation.baselines import BASELINES, RANDOMISED, FoldRows
from undertow.evaluation.canary import copied_future
from undertow.evaluation.economics import outcomes
from undertow.evaluation.nulls import excess, martingale_bars, shifted_decisions, shuffled_classes
from undertow.evaluation.report import FoldRecord, Kind, WalkForwardReport
from undertow.evaluation.tracks import Table, Track, disjoint_labels, make_table
from undertow.evaluation.verdict import judge_report
from undertow.labels.thresholds import Threshold, fit_threshold
from undertow.models.base import class_shares, decide
from undertow.models.catalogue import find_model
from undertow.models.training import FEWEST_TRAINING_ROWS

__all__ = ["MARTINGALE", "WalkForwardSettings", "fold_rows", "walk_forward"]

Integers = NDArray[np.int64]

MARTINGALE, SHUFFLED, RANDOM = "martingale_null", "shuffled_classes", "random_same_turnover"
DRAWS = 10
"""Draws of each row that is pure chance, so that the row shows what chance gives, not one lucky draw."""


@dataclass(frozen=True, slots=True)
class WalkForwardSettings:
    """What is judged and how."""

    dataset: DatasetSettings
    threshold_bps: float | None = None
    """Moves beyond this are up or down; None: fitted in each fold's training window by `flat_share`."""
    flat_share: float = 1 / 3
    windows: Windows | None = None
    """None: `folds` even tests over the second half of the data."""
    folds: int = 4
    model: str = "lightgbm"
    """The judged model: nulls refit it and the verdict is about it."""
    rivals: tuple[str, ...] = ("logistic",)
    """Further models in the table."""
    taker_fee_bps: float = 5.0
    null_refits: int = 3
    """Martingale paths, and shuffles, on which the judged model is fitted again."""
    resamples: int = 1000
    confidence: float = 0.95
    seed: int = 0

    def __post_init__(self) -> None:
        if self.null_refits < 1:
            raise InputError(
                "the martingale null needs at least one refit; without it no score can be believed"
            )
        if self.resamples < 100 or not 0.5 < self.confidence < 1:
            raise InputError("ask for 100 resamples or more and a confidence between 0.5 and 1")
        for name in (self.model, *self.rivals):
            find_model(name)


@dataclass(frozen=True, slots=True)
class _Run:
    """What every fold needs, and what was said so far."""

    settings: WalkForwardSettings
    dataset: Dataset
    paths: Sequence[Dataset]
    """The same rows with the returns of martingale paths."""
    horizon_slots: int
    tell: Callable[[str], None]
    said: dict[str, list[tuple[Integers, Integers, Integers]]] = field(default_factory=dict)
    """Name → test rows, their true and their predicted classes, a fold at a time."""

    def note(self, name: str, fold: Fold, true: Integers, predicted: Integers | None) -> None:
        """Keep the predictions of a fold's test rows; None = that baseline has no input here."""
        if predicted is not None:
            self.said.setdefault(name, []).append((fold.test, true, predicted))


def walk_forward(
    bars: Sequence[SymbolBars],
    features: Sequence[str],
    settings: WalkForwardSettings,
    on_step: Callable[[str], None] | None = None,
) -> WalkForwardReport:
    """Judge `settings.model` on the bars of all symbols together.

    In each fold the threshold, scalers, class shares and stopping points come from its training and
    validation windows only. `on_step` is told what is being fitted. Raises InputError where the data allow
    no fold.
    """
    dataset = build_dataset(bars, features, settings.dataset)
    run = _Run(
        settings=settings,
        dataset=dataset,
        paths=[
            _null_dataset(dataset, bars, features, settings, copy) for copy in range(settings.null_refits)
        ],
        horizon_slots=settings.dataset.horizon_ns // bars[0].length_ns,
        tell=on_step or _say_nothing,
    )
    windows = settings.windows or even_windows(dataset, settings.folds)
    records = [
        _run_fold(run, fold, number) for number, fold in enumerate(walk_forward_folds(dataset, windows))
    ]
    if not run.said:
        raise InputError(
            f"no fold could be judged: {records[0].skipped}; "
            "collect for longer or change threshold or windows"
        )
    run.tell("intervals")
    return _report(run, bars, windows, records)


def fold_rows(
    dataset: Dataset, fold: Fold, settings: WalkForwardSettings, seed: int
) -> tuple[FoldRows | None, FoldRecord]:
    """The fold's rows with classes cut by its training window; None where they do not allow a fit."""
    train = dataset.select(fold.train)
    why = _too_few(fold)
    threshold = _threshold(train, settings) if why is None else None
    rows = None
    if threshold is not None:
        train, valid, test = (
            with_classes(dataset.select(part), threshold) for part in (fold.train, fold.valid, fold.test)
        )
        if len(np.unique(train.classes)) > 1:
            rows = FoldRows(train, valid, test, threshold, class_shares(train.classes), seed)
        else:
            why = f"all training rows are of one class at a threshold of {threshold.bps:g} bps"
    return rows, FoldRecord(
        test_start_ns=fold.test_start_ns,
        test_end_ns=fold.test_end_ns,
        train_rows=len(fold.train),
        valid_rows=len(fold.valid),
        test_rows=len(fold.test),
        purged_rows=fold.purged,
        threshold_bps=threshold.bps if threshold else None,
        class_shares=tuple(rows.shares.tolist()) if rows else None,
        skipped=why,
    )


def _say_nothing(_: str) -> None:
    """Stands for a listener."""


def _threshold(train: Dataset, settings: WalkForwardSettings) -> Threshold:
    if settings.threshold_bps is not None:
        return Threshold(settings.threshold_bps)
    return fit_threshold(train.return_bps, settings.flat_share)


def _too_few(fold: Fold) -> str | None:
    if len(fold.train) < FEWEST_TRAINING_ROWS:
        return f"{len(fold.train)} training rows, {FEWEST_TRAINING_ROWS} are needed"
    if len(fold.valid) == 0:
        return "no validation row is left after purging"
    return "no row to test" if len(fold.test) == 0 else None


def _null_dataset(
    dataset: Dataset,
    bars: Sequence[SymbolBars],
    features: Sequence[str],
    settings: WalkForwardSettings,
    copy: int,
) -> Dataset:
    """The dataset with the returns of a martingale path in place of the real ones; features stay."""
    path = build_dataset(martingale_bars(bars, settings.seed + 1000 + copy), features[:1], settings.dataset)
    if not np.array_equal(path.start_ns, dataset.start_ns):
        raise ValueError("the null path labels other rows than the real one")
    return replace(dataset, return_bps=path.return_bps)


def _run_fold(run: _Run, fold: Fold, number: int) -> FoldRecord:
    """Fit and ask everybody in one fold."""
    settings, seed = run.settings, run.settings.seed + number
    rows, record = fold_rows(run.dataset, fold, settings, seed)
    if rows is None:
        return record
    run.tell(f"fold {number + 1}: models and baselines")
    real = rows.test.classes
    for name in dict.fromkeys((settings.model, *settings.rivals)):
        run.note(name, fold, real, _predict(name, rows))
    for name, baseline in BASELINES.items():
        for draw in range(DRAWS if name in RANDOMISED else 1):
            run.note(name, fold, real, baseline(replace(rows, seed=seed + 1000 * draw)))
    run.tell(f"fold {number + 1}: nulls")
    _run_nulls(run, fold, rows)
    return record


def _run_nulls(run: _Run, fold: Fold, rows: FoldRows) -> None:
    """Fit the judged model again where there is nothing to learn, and act at random as often as it did."""
    settings, real = run.settings, rows.test.classes
    for path in run.paths:
        null, _ = fold_rows(path, fold, settings, rows.seed)
        if null is not None:
            run.note(MARTINGALE, fold, null.test.classes, _predict(settings.model, null))
    for copy in range(settings.null_refits):
        shuffled = _shuffled(rows, run.horizon_slots, rows.seed + 1000 * copy)
        run.note(SHUFFLED, fold, real, _predict(settings.model, shuffled))
    decided = run.said[settings.model][-1][2]
    for draw in range(DRAWS):
        run.note(RANDOM, fold, real, shifted_decisions(decided, rows.test.group, rows.seed + 1000 * draw))


def _predict(name: str, rows: FoldRows) -> Integers:
    model = find_model(name).create(rows.seed).fit(rows.train, rows.valid)
    return decide(model.predict_proba(rows.test.features), rows.shares)


def _shuffled(rows: FoldRows, horizon_slots: int, seed: int) -> FoldRows:
    """The fold with the classes that are learnt from moved in blocks of four horizons."""
    block = 4 * horizon_slots
    return replace(
        rows,
        train=shuffled_classes(rows.train, block, seed),
        valid=shuffled_classes(rows.valid, block, seed + 1),
    )


def _tracks(run: _Run) -> list[Track]:
    """Models, baselines, nulls, in this order, over all folds."""
    settings = run.settings
    kinds = dict.fromkeys((settings.model, *settings.rivals), Kind.MODEL)
    kinds |= dict.fromkeys(BASELINES, Kind.BASELINE)
    kinds |= dict.fromkeys((MARTINGALE, SHUFFLED, RANDOM), Kind.NULL)
    tested = _tested(run)
    tested_slots = np.unique(run.dataset.slot[tested])
    tracks = []
    for name, kind in kinds.items():
        if name in run.said:
            rows, true, predicted = (np.concatenate(part) for part in zip(*run.said[name], strict=True))
            sub = run.dataset.select(rows)
            real = name != MARTINGALE
            tracks.append(
                Track(
                    name=name,
                    kind=kind,
                    true=true,
                    predicted=predicted,
                    slot=np.searchsorted(tested_slots, sub.slot).astype(np.int64),
                    outcomes=outcomes(sub, predicted, settings.taker_fee_bps) if real else None,
                    copies=max(round(len(rows) / len(tested)), 1),
                )
            )
    return tracks


def _tested(run: _Run) -> Integers:
    """Rows that some fold tested, ascending."""
    return np.concatenate([rows for rows, _, _ in run.said[run.settings.model]])


def _table(run: _Run) -> Table:
    tested = run.dataset.select(_tested(run))
    labels = disjoint_labels(tested.start_ns, tested.end_ns, tested.group)
    settings = run.settings
    return make_table(
        _tracks(run), run.horizon_slots, labels, settings.resamples, settings.confidence, settings.seed
    )


def _report(
    run: _Run, bars: Sequence[SymbolBars], windows: Windows, records: Sequence[FoldRecord]
) -> WalkForwardReport:
    settings, table = run.settings, _table(run)
    row = next(row for row in table.rows if row.name == settings.model)
    null = next((row.macro_f1.value for row in table.rows if row.name == MARTINGALE), 0.0)
    against = table.differences[settings.model]
    suspects = copied_future(run.dataset)
    verdict = judge_report(
        row,
        against,
        suspects,
        blocks=table.blocks.independent,
        confidence=settings.confidence,
        taker_fee_bps=settings.taker_fee_bps,
    )
    return WalkForwardReport(
        settings=asdict(replace(settings, windows=windows)),
        model=settings.model,
        rows=table.rows,
        folds=tuple(records),
        against=against,
        null_macro_f1=null,
        excess_macro_f1=excess(row.macro_f1.value, null),
        block_slots=table.blocks.length,
        blocks=table.blocks.independent,
        suspects=suspects,
        manifest=manifest(run.dataset, bars, settings.dataset),
        verdict=verdict,
    )
