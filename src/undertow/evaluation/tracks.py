"""Predictions over all tested rows, and the table of scores with intervals made of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from undertow.evaluation.bootstrap import (
    Blocks,
    Estimate,
    block_length,
    draw_blocks,
    effective_size,
    estimate,
    resampled_sums,
    sums_per_slot,
)
from undertow.evaluation.economics import Outcomes, fee_frontier_bps
from undertow.evaluation.metrics import Scores, direction_of, macro_f1_of, matthews_of, score_classes
from undertow.evaluation.report import Kind, ReportRow
from undertow.labels.thresholds import CLASSES

__all__ = ["Table", "Track", "disjoint_labels", "make_table"]

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]

CELLS = len(CLASSES) ** 2


@dataclass(frozen=True, slots=True)
class Track:
    """What one model, baseline or null said of every tested row, arrays (m,).

    A null that was drawn several times holds its copies one after the other.
    """

    name: str
    kind: Kind
    true: Integers
    predicted: Integers
    slot: Integers
    """Bar number of each row, counted over the tested bars from 0."""
    outcomes: Outcomes | None
    copies: int = 1


@dataclass(frozen=True, slots=True)
class Table:
    """The rows in the order of the tracks, and what the intervals rest on."""

    rows: tuple[ReportRow, ...]
    differences: dict[str, dict[str, Estimate]]
    """For each model's name its paired MCC difference to each baseline and null."""
    blocks: Blocks


@dataclass(frozen=True, slots=True)
class _Resampled:
    """Scores of one track: on all rows, and in every resample, arrays (resamples,)."""

    point: Scores
    point_direction: float
    macro_f1: Floats
    mcc: Floats
    direction: Floats
    effective_rows: float
    gross_bps: Floats | None
    net_bps: Floats | None


@dataclass(frozen=True, slots=True)
class _Sample:
    """All tracks resampled on the same blocks."""

    blocks: Blocks
    confidence: float
    drawn: Mapping[str, _Resampled]

    def interval(self, value: float, resampled: Floats) -> Estimate:
        """The value with its interval."""
        return estimate(value, resampled, self.blocks, self.confidence)


def make_table(
    tracks: Sequence[Track], horizon_slots: int, labels: int, resamples: int, confidence: float, seed: int
) -> Table:
    """Score all tracks on the same resamples, so that differences between them are paired.

    `labels` is the number of label intervals among the tested rows that do not overlap (`disjoint_labels`).
    """
    slots = 1 + max(int(track.slot.max()) for track in tracks)
    models = [track for track in tracks if track.kind is Kind.MODEL]
    series = [_correct_per_slot(track, slots) for track in models]
    blocks = draw_blocks(slots, block_length(horizon_slots, series, slots), resamples, seed)
    sample = _Sample(blocks, confidence, {track.name: _resample(track, blocks, labels) for track in tracks})
    references = [track.name for track in tracks if track.kind is not Kind.MODEL]
    return Table(
        rows=tuple(_row(track, references, sample) for track in tracks),
        differences={
            model.name: {name: _difference(sample, model.name, name) for name in references}
            for model in models
        },
        blocks=blocks,
    )


def _row(track: Track, references: Sequence[str], sample: _Sample) -> ReportRow:
    drawn = sample.drawn[track.name]
    others = [name for name in references if name != track.name]
    best = max(others, key=lambda name: sample.drawn[name].point.mcc)
    gross, net, frontier, turnover = _money(track.outcomes, sample, drawn)
    return ReportRow(
        name=track.name,
        kind=track.kind,
        rows=len(track.true) // track.copies,
        effective_rows=drawn.effective_rows,
        macro_f1=sample.interval(drawn.point.macro_f1, drawn.macro_f1),
        mcc=sample.interval(drawn.point.mcc, drawn.mcc),
        balanced_accuracy=drawn.point.balanced_accuracy,
        direction=sample.interval(drawn.point_direction, drawn.direction),
        compared_with=best,
        mcc_difference=_difference(sample, track.name, best),
        gross_bps=gross,
        net_bps=net,
        fee_frontier_bps=frontier,
        turnover=turnover,
    )


def _difference(sample: _Sample, name: str, other: str) -> Estimate:
    left, right = sample.drawn[name], sample.drawn[other]
    return sample.interval(left.point.mcc - right.point.mcc, left.mcc - right.mcc)


def disjoint_labels(start_ns: Integers, end_ns: Integers, group: Integers) -> int:
    """How many label intervals fit side by side without overlap, summed over symbols; rows sorted by start.

    The greedy choice, earliest end first, is the largest possible; they share no bar of return.
    """
    count = 0
    for number in np.unique(group):
        rows = group == number
        free_from = np.iinfo(np.int64).min
        starts, ends = start_ns[rows], end_ns[rows]
        at = 0
        while at < len(starts):
            free_from = max(int(ends[at]), free_from)
            count += 1
            at += max(int(np.searchsorted(starts[at:], free_from)), 1)
    return count


def _correct_per_slot(track: Track, slots: int) -> Floats:
    correct = (track.true == track.predicted).astype(np.float64)
    sums = sums_per_slot(np.stack([correct, np.ones_like(correct)], axis=1), track.slot, slots)
    return np.divide(sums[:, 0], sums[:, 1], out=np.zeros(slots), where=sums[:, 1] > 0)


def _resample(track: Track, blocks: Blocks, labels: int) -> _Resampled:
    cell = track.true * len(CLASSES) + track.predicted
    values = [np.eye(CELLS)[cell]]
    if track.outcomes is not None:
        made = track.outcomes
        values.append(np.stack([made.gross_bps, made.net_bps, made.tradable.astype(np.float64)], axis=1))
    sums = resampled_sums(sums_per_slot(np.hstack(values), track.slot, blocks.slots), blocks)
    confusion = sums[:, :CELLS].reshape(-1, len(CLASSES), len(CLASSES))
    gross = net = None
    if track.outcomes is not None:
        decisions = np.maximum(sums[:, CELLS + 2], 1.0)
        gross, net = sums[:, CELLS] / decisions, sums[:, CELLS + 1] / decisions
    rows = len(track.true) // track.copies
    correct, total = np.trace(confusion, axis1=1, axis2=2), confusion.sum(axis=(1, 2))
    whole = np.bincount(cell, minlength=CELLS).reshape(len(CLASSES), len(CLASSES)).astype(np.float64)
    return _Resampled(
        point=score_classes(track.true, track.predicted),
        point_direction=float(direction_of(whole)),
        macro_f1=macro_f1_of(confusion),
        mcc=matthews_of(confusion),
        direction=direction_of(confusion),
        effective_rows=effective_size(correct, total, rows, labels),
        gross_bps=gross,
        net_bps=net,
    )


def _money(
    made: Outcomes | None, sample: _Sample, drawn: _Resampled
) -> tuple[Estimate | None, Estimate | None, float | None, float | None]:
    """Gross and net profit a decision [bps], fee frontier [bps], turnover a decision."""
    if made is None or drawn.gross_bps is None or drawn.net_bps is None or not made.tradable.any():
        return None, None, None, None
    decisions = float(made.tradable.sum())
    return (
        sample.interval(float(made.gross_bps.sum()) / decisions, drawn.gross_bps),
        sample.interval(float(made.net_bps.sum()) / decisions, drawn.net_bps),
        fee_frontier_bps(made),
        float(made.fee_turnover.sum()) / decisions,
    )
