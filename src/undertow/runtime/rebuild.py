"""Every table of a lake held against the journal, hour by hour; what differs is said and can be replaced."""

import contextlib
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import msgspec

from undertow.errors import LakeError
from undertow.journal.reader import segments
from undertow.lake.files import read_schema
from undertow.lake.layout import DATA, TABLES, HourKey, find_hours
from undertow.lake.reader import Lake
from undertow.lake.schemas import instrument_of
from undertow.lake.writer import LakeWriter
from undertow.market.time import HOUR_NS
from undertow.runtime.feature_rows import timeframe_name
from undertow.runtime.rebuild_fold import Basis, Folded, find_basis, fold_journal, were_received
from undertow.runtime.rebuild_history import Trust, hour_name, look_at_history
from undertow.runtime.rebuild_hour import Verdict, judge, read_hour, stored_hour

__all__ = ["Change", "Rebuilt", "rebuild"]

_SCRATCH = "_rebuild"
"""Folder inside the lake, on the same disk; no venue, since its name begins with an underscore."""
OnHour = Callable[[str], None]


class Change(msgspec.Struct, frozen=True):
    """An hour that is not what the journal gives."""

    venue: str
    symbol: str
    table: str
    timeframe: str
    hour: str
    """`2023-11-14T22`, UTC."""
    rows_before: int | None
    """None: nothing that can be read."""
    rows_after: int | None
    """Rows that should lie there; None: it cannot be rebuilt."""
    why: str
    is_repaired: bool

    def __str__(self) -> str:
        """One line for a person."""
        name = f"{self.table} {self.timeframe}".strip()
        before = "nothing readable" if self.rows_before is None else f"rows {self.rows_before}"
        if self.rows_after is None:
            outcome = f"{before}, not repaired"
        else:
            outcome = f"{before} → {self.rows_after}, {'replaced' if self.is_repaired else 'differs'}"
        return f"{self.venue} {self.symbol} {name} {self.hour}: {outcome}: {self.why}"


@dataclass(slots=True)
class Rebuilt:
    """What holding a lake against its journal gave."""

    changes: list[Change] = field(default_factory=list)
    damage: list[str] = field(default_factory=list)
    """Segments that cannot be read to their end, and hours of the journal that are gone; each by name."""
    notes: list[str] = field(default_factory=list)
    """What need not worry anyone."""
    lines: int = 0
    segments: int = 0
    hours: int = 0
    """Stored hours that were compared."""

    def remaining(self) -> list[str]:
        """What is still wrong, one line each."""
        return [*self.damage, *(str(change) for change in self.changes if not change.is_repaired)]


def rebuild(lake: Path, journal: Path, *, repair: bool, on_hour: OnHour | None = None) -> Rebuilt:
    """Fold the journal anew beside the lake and compare; with `repair`, replace the hours that differ.

    Each hour is replaced whole; what was cut off in the middle is finished by the next run. Raises
    InUseError where a collector is at work, LakeError where the lake cannot be written or its checkpoint
    cannot be read, InputError where a segment cannot be opened.
    """
    found = Rebuilt()
    for venue, symbol in _symbols(lake, journal):
        paths = segments(journal, venue, symbol)
        if not paths:
            found.notes.append(f"{venue} {symbol}: the journal has nothing of it; not compared")
            continue
        writer = LakeWriter(lake, venue, symbol)  # nobody else writes meanwhile
        try:
            _rebuild_symbol(writer, paths, found, on_hour or (lambda _: None), repair=repair)
        finally:
            _clear(_scratch(lake, venue, symbol))
            writer.close()
    return found


def _scratch(lake: Path, venue: str, symbol: str) -> Path:
    """Where a symbol is folded anew; its lock in the lake guards this folder too."""
    return lake / _SCRATCH / f"{venue}.{symbol}"


def _clear(scratch: Path) -> None:
    shutil.rmtree(scratch, ignore_errors=True)
    with contextlib.suppress(OSError):  # missing, or another process compares another symbol
        scratch.parent.rmdir()


def _symbols(lake: Path, journal: Path) -> list[tuple[str, str]]:
    """(venue, symbol) of everything that the lake or the journal has."""
    stored = Lake(lake)
    found = {
        (venue, symbol)
        for venue in stored.venues()
        for table in TABLES
        for symbol in stored.symbols(venue, table)
    }
    kept = Lake(journal)  # the same two levels of folders
    found |= {
        (venue, folder.name)
        for venue in kept.venues()
        for folder in (journal / venue).iterdir()
        if folder.is_dir() and segments(journal, venue, folder.name)
    }
    return sorted(found)


def _rebuild_symbol(
    writer: LakeWriter, paths: list[Path], found: Rebuilt, on_hour: OnHour, *, repair: bool
) -> None:
    lake, venue, symbol = writer.root, writer.venue, writer.symbol
    basis = find_basis(lake, venue, symbol)
    if basis is None:
        found.damage.append(
            f"{venue} {symbol}: tick and lot are unknown, so its journal cannot be folded; "
            "collect it once, or replay it with --tick and --lot"
        )
        return
    scratch = _scratch(lake, venue, symbol)
    _clear(scratch)  # of a run that was killed
    on_hour(f"{symbol}: folding {len(paths)} segments")
    folded = fold_journal(paths, basis, scratch)
    found.lines += folded.lines
    found.segments += len(paths)
    history = look_at_history(lake, paths, folded, basis)
    found.damage += history.damage
    found.notes += history.notes
    is_closed = not writer.open_hours()  # the last recording ended orderly, and said how far things went
    for table, timeframe in _series(basis):
        is_folded = bool(find_hours(scratch, venue, table, symbol, timeframe))
        trust = Trust(history, table, is_folded=is_folded)
        for key in _hours(lake, scratch, venue, symbol, table, timeframe):
            on_hour(f"{symbol}: {table} {hour_name(key.hour_ns // HOUR_NS)}")
            found.hours += 1
            verdict, change = _compare(lake, scratch, key, basis, folded, paths, trust, is_closed=is_closed)
            if change is None:
                continue
            if repair and verdict.rows is not None:
                writer.replace(key, verdict.rows, folded.provenance)
                change = msgspec.structs.replace(change, is_repaired=True)
            found.changes.append(change)


def _compare(
    lake: Path,
    scratch: Path,
    key: HourKey,
    basis: Basis,
    folded: Folded,
    paths: list[Path],
    trust: Trust,
    *,
    is_closed: bool,
) -> tuple[Verdict, Change | None]:
    stored = stored_hour(lake, key, basis.parts)
    hour = key.hour_ns // HOUR_NS
    verdict = judge(
        key.table,
        stored,
        read_hour(scratch, key, None if is_closed else folded.parts),
        read_hour(scratch, key, None),
        partial(were_received, paths),
        is_trusted=trust.reaches(hour) and _has_steps_of(lake, key, basis),
    )
    trust.note(is_same=verdict.is_same)
    if not verdict.why:
        return verdict, None
    before = None if stored.rows is None else stored.rows.num_rows
    after = None if verdict.rows is None else verdict.rows.num_rows
    names = (key.venue, key.symbol, key.table, key.timeframe, hour_name(key.hour_ns // HOUR_NS))
    return verdict, Change(*names, before, after, verdict.why, is_repaired=False)


def _series(basis: Basis) -> Iterator[tuple[str, str]]:
    """(table, timeframe) of what a fold writes; features of other lengths were computed from the lake."""
    for table in TABLES:
        if table != "features":
            yield table, ""
    for length in basis.settings.timeframes_ns:
        yield "features", timeframe_name(length)


def _hours(lake: Path, scratch: Path, venue: str, symbol: str, table: str, timeframe: str) -> list[HourKey]:
    names = (venue, table, symbol, timeframe)
    return sorted({*find_hours(lake, *names), *find_hours(scratch, *names)})


def _has_steps_of(lake: Path, key: HourKey, basis: Basis) -> bool:
    """Whether an hour was written in the steps that the journal is folded with; counts differ otherwise."""
    try:
        stated = instrument_of(read_schema(key.folder(lake) / DATA))
    except (FileNotFoundError, LakeError, KeyError):
        return True
    return (stated.price, stated.quantity) == (basis.instrument.price, basis.instrument.quantity)
