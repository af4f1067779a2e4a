"""Writing one symbol's tables: small parts while an hour is open, one file when it is sealed."""

import contextlib
import fcntl
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import structlog
from numpy.typing import NDArray

from undertow import __version__
from undertow.errors import InUseError, LakeError
from undertow.lake.compaction import compact
from undertow.lake.files import (
    Manifest,
    is_newer,
    join,
    merge,
    read_manifest,
    read_table,
    replace_file,
    sha256_of,
    write_table,
)
from undertow.lake.layout import DATA, MANIFEST, TABLES, HourKey, part_name
from undertow.lake.reader import Lake, part_files
from undertow.lake.schemas import SCHEMA_VERSION
from undertow.market.time import HOUR_NS, MILLISECOND_NS

__all__ = ["LakeWriter"]

log = structlog.get_logger(__name__)

Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]

_BUFFERED_ROWS = 200_000
_SMALL_CHUNKS, _SMALL_ROWS = 640, 512
"""Tables of fewer rows are put together when they have so many columns in all: each of these takes some 700
bytes beside its values."""
_HOUR_MS = HOUR_NS // MILLISECOND_NS
_FLOWS = frozenset({"aggtrades", "trades"})
_MARKET_CLOCKS = _FLOWS | {"book_depth", "l2"}
"""Tables whose newest row says how far the market has come: the fold has looked at their times."""
_LIVE_TABLES = _FLOWS | {"mark_price", "open_interest", "liquidations", "klines", "book_ticker", "depth20"}
"""Tables of what happens now; settled funding rates and listings are rightly about other times."""
_FAR_HOURS = 48
"""The exchange's REST gives trades of two days, so what is that far off may still be true."""
_DAMAGED = f"{MANIFEST}.damaged"


class LakeWriter:
    """Appends rows of one symbol; only one writer at a time may have it open, else LakeError.

    Rows are visible to readers of `data.parquet` once their hour is sealed, each exactly once at any instant.
    """

    def __init__(self, root: Path, venue: str, symbol: str) -> None:
        self.root = root
        self.venue = venue
        self.symbol = symbol
        self._buffers: dict[HourKey, list[pa.Table]] = {}
        self._buffered_rows = 0
        self._lock = _take_lock(root / venue / "_locks" / symbol)
        self._parts: dict[HourKey, list[int]] = {}
        self._newest_part: dict[HourKey, int] = {}
        """Kept when an hour is sealed: a number used again would look older than a mark that it follows."""
        self._saved_part: dict[HourKey, int] = {}
        """The newest part that a saved checkpoint knows."""
        self.refused: Counter[str] = Counter()
        """Rows by table that were not taken because their time cannot be true."""
        self._market_hour = -1
        for key in self._all_hours():
            self._take_up(key)
            if key.table in _MARKET_CLOCKS:
                self._market_hour = max(self._market_hour, key.hour_ns // HOUR_NS)

    def append(self, table: str, rows: pa.Table, timeframe: str = "", *, is_history: bool = False) -> None:
        """Add rows, each to the hour of its `timestamp`.

        Live rows whose time cannot be true are left out, see `plausible`; `is_history`: they are rightly old.
        """
        if not is_history:
            rows = self.plausible(table, rows)
        if not rows.num_rows:
            return
        hours = rows["timestamp"].to_numpy() // _HOUR_MS
        touched = np.unique(hours).tolist()
        if table in _MARKET_CLOCKS:
            self._market_hour = max(self._market_hour, touched[-1])
        for hour in touched:
            key = HourKey(self.venue, table, self.symbol, timeframe, hour * HOUR_NS)
            inside = rows if len(touched) == 1 else rows.filter(pa.array(hours == hour))
            held = self._buffers.setdefault(key, [])
            held.append(inside)
            _compact(held)
        self._buffered_rows += rows.num_rows
        if self._buffered_rows > _BUFFERED_ROWS:
            self.flush()

    def plausible(self, table: str, rows: pa.Table) -> pa.Table:
        """Live rows without those more than two days before, or after, both their receipt and the market.

        How far the market has come is told by trades and book samples; before the first, every time is taken.
        Rows left out are counted in `refused` and named in the log; the journal has them.
        """
        if table not in _LIVE_TABLES or not rows.num_rows or "received_ns" not in rows.column_names:
            return rows
        hours = rows["timestamp"].to_numpy() // _HOUR_MS
        received = rows["received_ns"].to_numpy() // HOUR_NS
        far = np.abs(hours - received) > _FAR_HOURS
        if not far.any() or (np.abs(hours - self._market_hour) <= _FAR_HOURS // 2).all():
            return rows
        if "source" in rows.column_names:
            far &= np.array(rows["source"].to_pylist()) == "stream"
        wrong = self._wrong_rows(hours, received, far, moves_market=table in _FLOWS)
        if not wrong.any():
            return rows
        self._note_refused(table, rows.filter(pa.array(wrong)))
        return rows.filter(pa.array(~wrong))

    def _wrong_rows(self, hours: Integers, received: Integers, far: Flags, *, moves_market: bool) -> Flags:
        """Of rows `far` from their receipt those that are as far from the market, on the same side.

        Row by row, since each trade that is taken says how far the market has come: any cut into blocks
        refuses the same.
        """
        market, wrong = self._market_hour, np.zeros(len(hours), np.bool_)
        for row, (hour, arrived, is_far) in enumerate(
            zip(hours.tolist(), received.tolist(), far.tolist(), strict=True)
        ):
            is_ahead = hour > arrived
            is_apart = hour > market + _FAR_HOURS if is_ahead else hour < market - _FAR_HOURS
            wrong[row] = is_far and market >= 0 and is_apart
            if moves_market and not wrong[row]:
                market = max(market, hour)
        return wrong

    def _note_refused(self, table: str, rows: pa.Table) -> None:
        self.refused[table] += rows.num_rows
        log.warning(
            "rows_of_impossible_time",
            venue=self.venue,
            symbol=self.symbol,
            table=table,
            rows=rows.num_rows,
            first_timestamp=rows["timestamp"][0].as_py(),
        )

    def flush(self) -> None:
        """Write everything appended so far as parts of their hours."""
        for key in list(self._buffers):
            self._flush_hour(key)

    def _flush_hour(self, key: HourKey) -> None:
        rows = self._buffers.get(key)
        if not rows:
            return
        numbers = self._parts.setdefault(key, [])
        number = max([self._newest_part.get(key, 0), *numbers]) + 1
        write_table(self._folder(key) / part_name(number), join(rows))
        numbers.append(number)
        self._newest_part[key] = number
        self._forget_buffer(key)

    def _forget_buffer(self, key: HourKey) -> None:
        self._buffered_rows -= sum(part.num_rows for part in self._buffers.pop(key, []))

    def seal(self, before_ns: int | None, extra: Mapping[str, Any] | None = None) -> None:
        """Turn every open hour that ends by `before_ns` (None: every one) into its one file.

        `extra` goes into the manifests.
        """
        keys = {*self._parts, *self._buffers}
        for key in sorted(key for key in keys if before_ns is None or key.end_ns <= before_ns):
            self._seal_hour(key, dict(extra or {}))

    def _seal_hour(self, key: HourKey, extra: dict[str, Any]) -> None:
        folder = self._folder(key)
        data = folder / DATA
        manifest = read_manifest(
            folder / MANIFEST
        )  # refuses what it does not know before anything is written
        before = [read_table(data)] if data.exists() else []
        if before:
            self._flush_hour(key)  # parts tell the next writer that this hour was being sealed again
        parts = [read_table(path) for path in part_files(folder)] + self._buffers.get(key, [])
        rows = merge(key.table, [*before, *parts])
        if not before or not rows.equals(before[0], check_metadata=True):
            write_table(data, rows)
        self._write_manifest(folder, rows, manifest, extra)
        for path in part_files(folder):
            path.unlink()
        self._parts.pop(key, None)
        self._saved_part.pop(key, None)
        self._forget_buffer(key)

    def _write_manifest(
        self, folder: Path, rows: pa.Table, before: Manifest | None, extra: dict[str, Any]
    ) -> None:
        described = _describe(rows, folder / DATA, before, extra)
        if described != before:
            replace_file(folder / MANIFEST, lambda file: file.write(msgspec.json.encode(described)))

    def replace(self, key: HourKey, rows: pa.Table, extra: Mapping[str, Any] | None = None) -> None:
        """Make `rows` all that an hour holds, sealed; none: the hour goes. What it held before is gone.

        A manifest that cannot be read is kept beside the new one, as `_manifest.json.damaged`. Killed in
        between, the hour holds old or new rows, and a second call makes it whole. Raises LakeError where
        a newer version wrote it, or the disk refuses.
        """
        folder = self._folder(key)
        before = _readable_manifest(folder / MANIFEST)
        rows = merge(key.table, [rows]) if rows.num_rows else rows
        if rows.num_rows:
            write_table(folder / DATA, rows)
            self._write_manifest(folder, rows, before, dict(extra or {}))
        else:
            for name in (DATA, MANIFEST):
                (folder / name).unlink(missing_ok=True)
        for path in part_files(folder):
            path.unlink()
        if not rows.num_rows:
            with contextlib.suppress(OSError):  # a manifest that was damaged stays
                folder.rmdir()
        self._parts.pop(key, None)
        self._forget_buffer(key)

    def open_hours(self) -> list[HourKey]:
        """Hours that have parts, oldest first."""
        return sorted(key for key, numbers in self._parts.items() if numbers)

    def checkpoint(self) -> dict[str, int]:
        """The newest part of each open hour; call after `flush`, and save it before the next call.

        Parts that the call before this one named are put together once there are many.
        """
        for key, numbers in self._parts.items():
            self._parts[key] = compact(self._folder(key), key.table, numbers, self._saved_part.get(key, 0))
        self._saved_part = {
            key: self._newest_part.get(key) or max(numbers) for key, numbers in self._parts.items() if numbers
        }
        return {
            str(self._folder(key).relative_to(self.root)): newest for key, newest in self._saved_part.items()
        }

    def discard_parts_after(self, mark: Mapping[str, int]) -> None:
        """Delete parts written after `checkpoint()` returned `mark`: their rows are going to come again."""
        for key in self._all_hours():
            self._newest_part[key] = mark.get(str(self._folder(key).relative_to(self.root)), 0)
        for key, numbers in list(self._parts.items()):
            folder = self._folder(key)
            newest = mark.get(str(folder.relative_to(self.root)), 0)
            for number in [n for n in numbers if n > newest]:
                (folder / part_name(number)).unlink()
            self._parts[key] = [n for n in numbers if n <= newest]
            self._saved_part[key] = newest
            if not self._parts[key] and not _is_half_sealed(folder):
                del self._parts[key]

    def stored_row(self, table: str, timestamp: int, timeframe: str = "") -> pa.Table | None:
        """The newest row appended or stored with a timestamp [Unix ms], or None."""
        from_ns = timestamp * MILLISECOND_NS
        key = HourKey(self.venue, table, self.symbol, timeframe, from_ns // HOUR_NS * HOUR_NS)
        for part in reversed(self._buffers.get(key, [])):
            rows = np.flatnonzero(part["timestamp"].to_numpy() == timestamp)
            if len(rows):
                return part.slice(int(rows[-1]), 1)
        lake = Lake(self.root)
        parts = lake.read(
            self.venue, table, self.symbol, from_ns, from_ns + 1, timeframe=timeframe, include_open=True
        )
        return next(parts, None)

    def close(self) -> None:
        """Let go of the symbol; what was not flushed is given up."""
        self._lock.close()

    def _folder(self, key: HourKey) -> Path:
        return key.folder(self.root)

    def _take_up(self, key: HourKey) -> None:
        """Note what a writer before left open, and clear away what it left unfinished."""
        folder = self._folder(key)
        for leftover in folder.glob("*.tmp"):
            leftover.unlink()
        numbers = _part_numbers(folder)
        if numbers or _is_half_sealed(folder):
            self._parts[key] = numbers

    def _all_hours(self) -> list[HourKey]:
        lake, found = Lake(self.root), []
        for table in TABLES:
            names = lake.timeframes(self.venue, self.symbol) if table == "features" else [""]
            for name in names:
                hours = lake.hours(self.venue, table, self.symbol, name)
                found += [HourKey(self.venue, table, self.symbol, name, hour) for hour in hours]
        return found


def _compact(held: list[pa.Table]) -> None:
    """Put the small tables at the end of a buffer together, once there are many."""
    small = next((i for i, table in enumerate(reversed(held)) if table.num_rows >= _SMALL_ROWS), len(held))
    if small >= 4 and small * held[-1].num_columns >= _SMALL_CHUNKS:
        held[-small:] = [join(held[-small:]).combine_chunks()]


def _part_numbers(folder: Path) -> list[int]:
    return [int(path.stem.removeprefix("_part-")) for path in part_files(folder)]


def _is_half_sealed(folder: Path) -> bool:
    return (folder / DATA).exists() and not (folder / MANIFEST).exists()


def _describe(rows: pa.Table, data: Path, before: Manifest | None, extra: dict[str, Any]) -> Manifest:
    """The manifest of `data`, which holds `rows`; `before` is the one that it replaces."""
    stamps = rows["timestamp"]
    name = next((n for n in ("trade_id", "last_update_id") if n in rows.column_names), None)
    ids = rows[name].to_numpy() if name else np.array([-1])
    digest = sha256_of(data)
    version = 1 if before is None else before.version + (before.sha256 != digest)
    return Manifest(
        rows=rows.num_rows,
        first_timestamp=stamps[0].as_py(),
        last_timestamp=stamps[-1].as_py(),
        first_id=int(ids.min()),
        last_id=int(ids.max()),
        sha256=digest,
        schema_version=SCHEMA_VERSION,
        code_version=__version__,
        version=version,
        extra={**(before.extra if before else {}), **extra},
    )


def _readable_manifest(path: Path) -> Manifest | None:
    """As `read_manifest`, but a damaged one is moved out of the way; one of a newer version is refused."""
    try:
        return read_manifest(path)
    except LakeError:
        if is_newer(path):
            raise
        path.replace(path.with_name(_DAMAGED))
        return None


def _take_lock(path: Path) -> Any:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = path.open("ab")
    except OSError as error:
        raise LakeError(
            f"{path.parent.parent}: cannot be written ({error.strerror}); choose another --lake"
        ) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        lock.close()
        raise InUseError(
            f"{path}: another process is writing this symbol into the lake; stop it first"
        ) from error
    return lock
