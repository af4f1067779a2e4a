"""Where a journal is not all that a lake was made of, and how far a fold of it can be trusted then."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from undertow.errors import LakeError
from undertow.features.catalogue import FEATURES
from undertow.features.engine import lineage
from undertow.journal.reader import Problem, Trouble
from undertow.lake.files import read_table
from undertow.lake.layout import DATA, HourKey, find_hours
from undertow.market.time import HOUR_NS, SECOND_NS
from undertow.runtime.rebuild_fold import Basis, Folded, segment_hour
from undertow.runtime.rebuild_hour import STATEFUL

__all__ = ["History", "Trust", "hour_name", "look_at_history"]

Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]

_FLOWS = ("aggtrades", "trades")


@dataclass(frozen=True, slots=True)
class History:
    """What a symbol's journal lacks, and what its lake has beside it. Hours count from the epoch."""

    first_hour: int
    """Of the journal."""
    is_begun: bool
    """The lake has rows that were received before that."""
    holes: frozenset[int]
    """Hours of receipt of which lines are missing."""
    archive: frozenset[int]
    """Hours of trades that came from elsewhere, and are in the features if these were computed again."""
    damage: tuple[str, ...]
    """What of the journal is damaged or gone, by name."""
    notes: tuple[str, ...]


class Trust:
    """Whether a fold of the journal must give, bit for bit, what is stored of a table.

    Behind a hole in the journal, state that is carried is another one; it is trusted again once a stored hour
    is the same, to the last bit, as what the fold gives. Rows that come each of one frame need only that.
    """

    def __init__(self, history: History, table: str, *, is_folded: bool) -> None:
        self._history = history
        self._table = table
        self._is_folded = is_folded
        self._is_whole = not history.is_begun

    def reaches(self, hour: int) -> bool:
        """Whether the rows of an hour [since the epoch] must be the same; hours are asked for in order."""
        history = self._history
        if not self._is_folded:  # nothing of it came through the journal, such as what was computed later
            return False
        if self._table not in STATEFUL:
            # what happens at the end of an hour is received at the beginning of the next
            return not (history.holes & {hour, hour + 1} or (history.is_begun and hour < history.first_hour))
        if history.holes & {hour - 1, hour, hour + 1} or (history.is_begun and hour <= history.first_hour):
            self._is_whole = False
        if self._table == "features" and hour in history.archive:
            self._is_whole = False
        return self._is_whole

    def note(self, *, is_same: bool) -> None:
        """How the hour that was asked for came out."""
        self._is_whole = self._is_whole or is_same


def hour_name(hour: int) -> str:
    """An hour since the epoch for a person.

    >>> hour_name(472222)
    '2023-11-14T22'
    """
    return f"{datetime.fromtimestamp(hour * HOUR_NS // SECOND_NS, UTC):%Y-%m-%dT%H}"


def look_at_history(lake: Path, paths: list[Path], folded: Folded, basis: Basis) -> History:
    """Find the holes of a journal: damaged segments, and hours that stored rows were received in."""
    damage, notes, holes = [], [], set()
    for problem in folded.problems:
        if _is_unfinished(problem, paths, basis):
            notes.append(f"{problem}; the next collection makes it whole")
        else:
            damage.append(str(problem))
            holes.add(segment_hour(problem.path))
    if basis.lineage and basis.lineage != lineage(FEATURES):
        notes.append(
            f"{basis.instrument.venue} {basis.instrument.symbol}: the features were written with other "
            "formulas than this version has"
        )
    there = {segment_hour(path) for path in paths}
    received, archive = _receipts(lake, basis.instrument.venue, basis.instrument.symbol)
    gone, first = sorted(received - there), min(there)
    is_begun = bool(gone) and gone[0] < first
    if is_begun:
        notes.append(
            f"{paths[0].parent}: begins at {hour_name(first)}; rows received before are not compared"
        )
    for hour in (hour for hour in gone if hour > first):
        damage.append(f"{paths[0].parent}: the segment of {hour_name(hour)} is gone")
        holes.add(hour)
    return History(first, is_begun, frozenset(holes), frozenset(archive), tuple(damage), tuple(notes))


def _is_unfinished(problem: Problem, paths: list[Path], basis: Basis) -> bool:
    """Whether it is the newest segment that was cut off by a crash, behind all that the lake was made of."""
    if problem.path != paths[-1] or problem.trouble in (Trouble.CORRUPT, Trouble.SHORT):
        return False
    position = basis.position
    return position is None or position.segment != problem.path.name or position.line < problem.line


def _receipts(lake: Path, venue: str, symbol: str) -> tuple[set[int], set[int]]:
    """(hours in which stored trades and samples were received, hours of trades that came from elsewhere)."""
    received: set[int] = set()
    archive: set[int] = set()
    for table in (*_FLOWS, "book_depth"):
        for key in find_hours(lake, venue, table, symbol):
            hours, is_foreign = _received_hours(lake, key)
            received.update(np.unique(hours[~is_foreign]).tolist())
            if is_foreign.any():
                archive.add(key.hour_ns // HOUR_NS)
    return received, archive


def _received_hours(lake: Path, key: HourKey) -> tuple[Integers, Flags]:
    """Of each row of a sealed hour: when it was received, and whether it came from elsewhere."""
    columns = ["received_ns", "source"] if key.table in _FLOWS else ["received_ns"]
    try:
        rows = read_table(key.folder(lake) / DATA, columns)
    except (FileNotFoundError, LakeError):  # open, or damaged: it says nothing
        return np.zeros(0, np.int64), np.zeros(0, np.bool_)
    if "source" not in rows.column_names:
        return rows["received_ns"].to_numpy() // HOUR_NS, np.zeros(rows.num_rows, np.bool_)
    foreign = np.asarray(pc.fill_null(pc.equal(rows["source"], "archive"), fill_value=False))
    return rows["received_ns"].to_numpy() // HOUR_NS, foreign
