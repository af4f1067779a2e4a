"""What a decision was made of, in a form that the audit log keeps and a person can read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import isinf, isnan
from typing import Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from undertow.market.orders import OrderRequest, Rejected, TargetPosition, TopOfBook
from undertow.strategy.hybrid import HybridSettings, Signal, decide
from undertow.strategy.technical import TECHNICAL_INPUTS, TechnicalScores, score

__all__ = [
    "CLASSES",
    "Action",
    "BookView",
    "Classifier",
    "Decision",
    "Judgement",
    "judge",
    "view_of_book",
]

CLASSES = ("down", "flat", "up")
"""Order of the columns of `predict_proba`."""

LOGGED_LEVELS = 20
"""Levels a side that a decision record keeps."""


class Classifier(Protocol):
    """What is needed of a model: rows (n, features) in, probabilities (n, 3) in the order `CLASSES` out."""

    def predict_proba(self, features: NDArray[np.float64], /) -> NDArray[np.float64]:
        """Class probabilities of each row."""
        ...


class Action(StrEnum):
    """What a decision does."""

    ENTER = "enter"
    EXIT = "exit"
    HOLD = "hold"
    WAIT = "wait"
    ABSTAIN = "abstain"


@dataclass(frozen=True, slots=True)
class Judgement:
    """What model and set-ups say of one row; `fault` says why they were not asked, or None."""

    features: dict[str, float]
    probabilities: tuple[float, float, float] | None
    technical: TechnicalScores
    signal: Signal
    fault: str | None


class BookView(msgspec.Struct, frozen=True):
    """The book as recorded: (ticks, lots) best first, down to `LOGGED_LEVELS`."""

    event_ns: int
    receive_ns: int
    bids: list[tuple[int, int]]
    asks: list[tuple[int, int]]


class Decision(msgspec.Struct, frozen=True):
    """One decision with all its inputs; `sequence` is its record in the audit log.

    `target` is what the strategy wants, `order` what it asked for; with `rejected` set nothing was sent.
    """

    sequence: int
    symbol: str
    model_version: str
    bar_close_ns: int
    known_ns: int
    now_ns: int
    features: dict[str, float]
    book: BookView | None
    probabilities: tuple[float, float, float] | None
    technical: TechnicalScores
    signal: Signal
    position_lots: int
    action: Action
    reason: str
    target: TargetPosition | None
    order: OrderRequest | None
    rejected: Rejected | None


def judge(
    row: Mapping[str, float], model: Classifier, feature_names: Sequence[str], settings: HybridSettings
) -> Judgement:
    """Ask the set-ups and the model about a row and join them.

    The model is not asked, and the signal abstains, where the bar lies partly in a gap, a feature is
    missing or infinite, or all are null. Single nulls (NaN) are the model's own business.
    Raises ValueError where the model does not answer with one row of three probabilities.
    """
    technical = score(row)
    inputs = {name: float(row[name]) for name in (*feature_names, *TECHNICAL_INPUTS) if name in row}
    fault = _fault(row, feature_names)
    if fault is not None:
        return Judgement(inputs, None, technical, decide(technical, None, None, settings), fault)
    answer = model.predict_proba(np.array([[row[name] for name in feature_names]], dtype=np.float64))
    if np.shape(answer) != (1, len(CLASSES)):
        raise ValueError(f"model answered shape {np.shape(answer)}; needed (1, 3) for {CLASSES}")
    down, flat, up = (float(value) for value in answer[0])
    return Judgement(inputs, (down, flat, up), technical, decide(technical, up, down, settings), None)


def view_of_book(book: TopOfBook | None) -> BookView | None:
    """The part of a book that is recorded."""
    if book is None:
        return None
    return BookView(
        event_ns=book.event_ns,
        receive_ns=book.receive_ns,
        bids=_levels(book.bid_ticks, book.bid_lots),
        asks=_levels(book.ask_ticks, book.ask_lots),
    )


def _levels(ticks: NDArray[np.int64], lots: NDArray[np.int64]) -> list[tuple[int, int]]:
    pairs = zip(ticks[:LOGGED_LEVELS].tolist(), lots[:LOGGED_LEVELS].tolist(), strict=True)
    return [(price, quantity) for price, quantity in pairs if quantity > 0]


def _fault(row: Mapping[str, float], feature_names: Sequence[str]) -> str | None:
    if row.get("gap_fraction", 0.0) != 0.0:
        return "gap_in_bar"
    missing = [name for name in feature_names if name not in row]
    if missing:
        return "feature_missing:" + ",".join(missing)
    values = [row[name] for name in feature_names]
    if any(isinf(value) for value in values):
        return "feature_infinite"
    return "features_all_null" if all(isnan(value) for value in values) else None
