"""Walk-forward windows in time, purged by label interval: no training label reaches into a later block."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from undertow.datasets.dataset import Dataset
from undertow.errors import InputError

__all__ = ["Fold", "Windows", "even_windows", "purged", "walk_forward_folds"]

Integers = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Windows:
    """Lengths of the windows [ns]. Each fold: training, then validation, then test, side by side in time."""

    train_ns: int
    valid_ns: int
    test_ns: int
    step_ns: int
    """From one fold's test window to the next; no shorter than the window, so no row is tested twice."""
    anchored: bool = False
    """True: training starts at the first row in every fold; false: the training window rolls."""
    embargo_ns: int = 0
    """Further time kept free between a label's end and the block after it."""

    def __post_init__(self) -> None:
        if min(self.train_ns, self.valid_ns, self.test_ns, self.step_ns) <= 0 or self.embargo_ns < 0:
            raise InputError("walk-forward windows must be longer than zero, the embargo not negative")
        if self.step_ns < self.test_ns:
            raise InputError(
                "a step shorter than the test window would test rows twice; make it at least as long"
            )


@dataclass(frozen=True, slots=True)
class Fold:
    """Row numbers of one fold, each (n,) int64 ascending; the three are disjoint."""

    train: Integers
    valid: Integers
    test: Integers
    test_start_ns: int
    test_end_ns: int
    """The test window is [test_start_ns, test_end_ns)."""
    purged: int
    """Rows left out because their label reaches into the block after theirs."""


def purged(
    start_ns: Integers, end_ns: Integers, rows: Integers, block_start_ns: int, embargo_ns: int
) -> Integers:
    """Those `rows` whose closed label interval [t0, t1], and the embargo after it, end before the block."""
    overlaps = (end_ns[rows] + embargo_ns >= block_start_ns) | (start_ns[rows] >= block_start_ns)
    return rows[~overlaps]


def walk_forward_folds(dataset: Dataset, windows: Windows) -> Iterator[Fold]:
    """Folds from the first row on, until no row is left to test; the last test window may be cut short.

    The dataset is sorted by decision time. Raises InputError where its rows do not reach the first test.
    """
    start_ns, end_ns = dataset.start_ns, dataset.end_ns
    if np.any(np.diff(start_ns) < 0):
        raise ValueError("rows must be sorted by decision time")
    first_ns, last_ns = int(start_ns[0]), int(start_ns[-1])
    test_start_ns = first_ns + windows.train_ns + windows.valid_ns
    if test_start_ns > last_ns:
        raise InputError(
            f"the rows span {(last_ns - first_ns) / 1e9:.0f} s, training and validation alone take "
            f"{(windows.train_ns + windows.valid_ns) / 1e9:.0f} s; collect for longer or shorten the windows"
        )
    while test_start_ns <= last_ns:
        yield _fold(start_ns, end_ns, test_start_ns, first_ns, windows)
        test_start_ns += windows.step_ns


def even_windows(dataset: Dataset, folds: int, *, embargo_ns: int = 0) -> Windows:
    """Windows that cut the data into `folds` tests over its second half, each trained on what lies before.

    A rolling training window of 3/8 and a validation window of 1/8 of the whole span.
    """
    if folds < 1:
        raise InputError(f"{folds} folds cannot be made; ask for 1 or more")
    span_ns = int(dataset.start_ns[-1] - dataset.start_ns[0]) + 1
    test_ns = -(-(span_ns - span_ns // 2) // folds)
    if test_ns < 1 or span_ns < 8:
        raise InputError("too few rows to make folds; collect for longer")
    valid_ns = span_ns // 8
    return Windows(
        train_ns=span_ns // 2 - valid_ns,
        valid_ns=valid_ns,
        test_ns=test_ns,
        step_ns=test_ns,
        embargo_ns=embargo_ns,
    )


def _fold(start_ns: Integers, end_ns: Integers, test_start_ns: int, first_ns: int, windows: Windows) -> Fold:
    valid_start_ns = test_start_ns - windows.valid_ns
    train_start_ns = first_ns if windows.anchored else valid_start_ns - windows.train_ns
    test_end_ns = test_start_ns + windows.test_ns
    train = _rows_between(start_ns, train_start_ns, valid_start_ns)
    valid = _rows_between(start_ns, valid_start_ns, test_start_ns)
    kept_train = purged(start_ns, end_ns, train, valid_start_ns, windows.embargo_ns)
    kept_valid = purged(start_ns, end_ns, valid, test_start_ns, windows.embargo_ns)
    return Fold(
        train=kept_train,
        valid=kept_valid,
        test=_rows_between(start_ns, test_start_ns, test_end_ns),
        test_start_ns=test_start_ns,
        test_end_ns=test_end_ns,
        purged=len(train) + len(valid) - len(kept_train) - len(kept_valid),
    )


def _rows_between(start_ns: Integers, from_ns: int, to_ns: int) -> Integers:
    first, last = np.searchsorted(start_ns, [from_ns, to_ns])
    return np.arange(first, last, dtype=np.int64)
