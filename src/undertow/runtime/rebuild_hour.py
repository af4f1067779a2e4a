"""One stored hour against what the journal gives of it: what differs, and what should lie there instead."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from undertow.errors import LakeError
from undertow.lake.difference import Difference, compare
from undertow.lake.files import is_newer, join, merge, read_manifest, read_table, sha256_of
from undertow.lake.layout import DATA, MANIFEST, HourKey
from undertow.lake.reader import part_files

__all__ = ["STATEFUL", "Fault", "StoredHour", "Verdict", "judge", "read_hour", "stored_hour"]

Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]
WereReceived = Callable[[Integers], Flags]

STATEFUL = frozenset({"book_depth", "l2", "features", "l2_features", "gaps", "coverage", "book_audits"})
"""Tables whose rows depend on all frames before them; those of the others come each of one frame."""
_PROOFS = frozenset({"gaps", "coverage", "book_audits"})
"""Tables about the recording, in which a hole of the journal leaves rows of its own."""
_STRETCHES = frozenset({"gaps", "coverage"})
"""Tables in which a recording that stops says how far things go; a later row says it again, and further."""


class Fault(NamedTuple):
    """Why a stored hour is not sound; the empty message: it is."""

    message: str = ""
    is_final: bool = False
    """It must not be touched, whatever the journal gives."""


class StoredHour(NamedTuple):
    """What lies in the lake of one hour."""

    rows: pa.Table | None
    """None: nothing, or nothing that can be read."""
    fault: Fault


class Verdict(NamedTuple):
    """What to do with an hour."""

    why: str = ""
    """What is wrong with it; empty: nothing."""
    rows: pa.Table | None = None
    """What should lie there; None: leave it alone."""
    is_same: bool = False
    """The journal gives, row for row, what is stored."""


def read_hour(root: Path, key: HourKey, parts: Mapping[str, int] | None) -> pa.Table | None:
    """Rows of an hour with its parts up to the numbers in `parts` (None: all); None where there are none.

    Raises LakeError where a file cannot be read.
    """
    folder = key.folder(root)
    newest = None if parts is None else parts.get(str(folder.relative_to(root)), 0)
    files = [path for path in part_files(folder) if newest is None or _number(path) <= newest]
    paths = [folder / DATA, *files] if (folder / DATA).exists() else files
    return merge(key.table, [read_table(path) for path in paths]) if paths else None


def _number(part: Path) -> int:
    return int(part.stem.removeprefix("_part-"))


def stored_hour(root: Path, key: HourKey, parts: Mapping[str, int] | None) -> StoredHour:
    """What lies in the lake of an hour, and whether it is sound."""
    fault = _fault(key.folder(root))
    if fault.is_final:
        return StoredHour(None, fault)
    try:
        return StoredHour(read_hour(root, key, parts), fault)
    except LakeError:
        return StoredHour(None, Fault(fault.message or "a part of it cannot be read"))


def _fault(folder: Path) -> Fault:
    data, has_data = folder / DATA, (folder / DATA).exists()
    try:
        manifest = read_manifest(folder / MANIFEST)
    except LakeError as error:
        if is_newer(folder / MANIFEST):
            return Fault(str(error).partition(": ")[2], is_final=True)
        return Fault("its manifest cannot be read")
    if manifest is None:
        return Fault("it has no manifest") if has_data and not part_files(folder) else Fault()
    if not has_data:
        return Fault("its file is missing")
    return Fault() if sha256_of(data) == manifest.sha256 else Fault("its file does not match its sha256")


def judge(
    table: str,
    stored: StoredHour,
    strict: pa.Table | None,
    loose: pa.Table | None,
    were_received: WereReceived,
    *,
    is_trusted: bool,
) -> Verdict:
    """Compare an hour with what the journal gives of it.

    `strict`: the rows that must be there; `loose`: with those that say how far open stretches go. Where the
    fold is not trusted, because the journal is not whole there or before, the hour is left alone. Rows that
    did not come through the journal stay in every case.
    """
    fault = stored.fault
    if fault.is_final:
        return Verdict(f"{fault.message}; left alone")
    if not is_trusted:
        return _unknowable(table, stored, loose)
    if stored.rows is None:
        return _lost(stored, strict, loose)
    given = loose if loose is not None else stored.rows.slice(0, 0)
    found = compare(table, stored.rows, given)
    kept = _foreign(table, stored, found, were_received)
    confirmed = _confirmed(table, stored.rows, given, found)
    due = _due(table, stored.rows, strict, found)
    wrong = int((~(kept | confirmed))[found.only_first].sum())
    changed = int((~(kept | confirmed))[found.changed_first].sum())
    is_older = bool(found.lacking_columns) and table == "features"
    if not (fault.message or due or wrong or changed or is_older):
        return Verdict(is_same=bool(stored.rows.num_rows) and found.is_empty)
    why = _reasons(fault, due, wrong, changed, found, is_older=is_older)
    return Verdict(why, _repaired(table, stored.rows, given, found, kept, confirmed))


def _unknowable(table: str, stored: StoredHour, given: pa.Table | None) -> Verdict:
    """An hour that the fold cannot know, since frames of it, or state before it, are not in the journal."""
    given_rows = 0 if given is None else given.num_rows
    is_gone = stored.rows is None and given_rows and table not in _PROOFS
    trouble = stored.fault.message or ("the hour is missing" if is_gone else "")
    if trouble:
        return Verdict(f"{trouble}, and cannot be rebuilt: the journal is not whole there")
    if stored.rows is None or given is None:
        return Verdict()
    found = compare(table, stored.rows, given)
    return Verdict(is_same=bool(given_rows) and found.is_empty and not found.lacking_columns)


def _lost(stored: StoredHour, strict: pa.Table | None, loose: pa.Table | None) -> Verdict:
    """An hour of which nothing can be read."""
    fault = stored.fault.message
    if loose is None:
        return Verdict(f"{fault}, and the journal has nothing of it" if fault else "")
    if not fault and strict is None:
        return Verdict()  # only how far things go, which a recording that was cut off does not say
    return Verdict(fault or "the hour is missing", loose)


def _foreign(table: str, stored: StoredHour, found: Difference, were_received: WereReceived) -> Flags:
    """(n,) stored rows that differ and did not come through the journal.

    Such are trades of the archive, what is marked as repaired from there, and rows whose receive time no
    line of the journal has. In a damaged file a changed row is taken for damage, whatever its time.
    """
    rows = stored.rows
    assert rows is not None  # noqa: S101 - asked by the only caller
    foreign = np.zeros(rows.num_rows, np.bool_)
    if found.is_empty:
        return foreign
    for name in ("source", "cause"):
        if name in rows.column_names and table != "gaps":
            foreign |= np.asarray(pc.fill_null(pc.match_substring(rows[name], "archive"), fill_value=False))
    doubtful = [found.only_first] if stored.fault.message else [found.only_first, found.changed_first]
    at = np.concatenate(doubtful)
    column = "repaired_ns" if table == "coverage" else "received_ns"
    if column in rows.column_names and len(at):
        stamps = rows[column].take(pa.array(at))
        received = were_received(pc.fill_null(stamps, 0).to_numpy())
        foreign[at] |= ~received & (np.asarray(stamps.is_valid()) | (table != "coverage"))
    differs = np.concatenate([found.only_first, found.changed_first])
    return foreign & _flags(rows.num_rows, differs)


def _confirmed(table: str, stored: pa.Table, given: pa.Table, found: Difference) -> Flags:
    """(n,) stored stretches that lie inside one that the journal gives: what a stopping recording said."""
    confirmed = np.zeros(stored.num_rows, np.bool_)
    if table not in _STRETCHES:
        return confirmed
    names = ["stream", "from_ns", "to_ns", *(["status"] if table == "coverage" else [])]
    whole = given.select(names).to_pylist()
    for at in np.concatenate([found.only_first, found.changed_first]).tolist():
        (row,) = stored.select(names).slice(at, 1).to_pylist()
        confirmed[at] = any(
            one["stream"] == row["stream"]
            and one.get("status") == row.get("status")
            and one["from_ns"] <= row["from_ns"]
            and row["to_ns"] <= one["to_ns"]
            for one in whole
        )
    return confirmed


def _due(table: str, stored: pa.Table, strict: pa.Table | None, found: Difference) -> int:
    """Rows that must be there and are not."""
    if table not in _STRETCHES:
        return len(found.only_second)
    return 0 if strict is None else len(compare(table, stored, strict).only_second)


def _flags(count: int, rows: Integers) -> Flags:
    flags = np.zeros(count, np.bool_)
    flags[rows] = True
    return flags


def _reasons(fault: Fault, due: int, wrong: int, changed: int, found: Difference, *, is_older: bool) -> str:
    names = ", ".join(found.changed_columns[:4]) + (" …" if len(found.changed_columns) > 4 else "")
    said = [
        fault.message,
        f"rows missing: {due}" if due else "",
        f"rows that the journal does not give: {wrong}" if wrong else "",
        f"rows that differ: {changed} (in {names})" if changed else "",
        f"columns not stored: {len(found.lacking_columns)}" if is_older else "",
    ]
    return "; ".join(text for text in said if text)


def _repaired(
    table: str, stored: pa.Table, given: pa.Table, found: Difference, kept: Flags, confirmed: Flags
) -> pa.Table:
    """The journal's rows, and of the stored ones those that stay.

    A confirmed stretch that the journal gives with another end gives way to that one.
    """
    changed = _flags(stored.num_rows, found.changed_first)
    stays = (kept & changed) | ((kept | confirmed) & _flags(stored.num_rows, found.only_first))
    gives_way = _flags(given.num_rows, found.changed_second[stays[found.changed_first]])
    columns = [name for name in stored.column_names if name in given.column_names]
    staying = stored.filter(pa.array(stays)).select(columns)  # damage may have made up a column of its own
    return merge(table, [join([staying, given.filter(pa.array(~gives_way))])])
