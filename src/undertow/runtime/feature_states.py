"""What features carry across midnight, kept in the lake: a slice need not begin at the first bar.

A state is good for one past: it names the code that made it, the settings, and a digest of every row of the
lake before its midnight. Where any of these is another today, the state is as good as absent.
"""

import hashlib
import inspect
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import BinaryIO

import msgspec
import numpy as np
import pyarrow as pa
import structlog
from numpy.typing import NDArray

from undertow.features.catalogue import FEATURES
from undertow.features.engine import lineage
from undertow.frames import bars, column_set, flow_fold, frame_fold, gaps, trade_fold
from undertow.frames.market_fold import MARKET_TABLES
from undertow.frames.sampler import SamplerSettings
from undertow.lake.files import read_manifest, replace_file
from undertow.lake.layout import MANIFEST, HourKey, find_hours
from undertow.lake.reader import part_files
from undertow.market.instruments import Instrument
from undertow.market.time import DAY_NS, SECOND_NS
from undertow.runtime import feature_run, history_rows, market_readings, sealed_hour
from undertow.runtime import history as history_module
from undertow.runtime.feature_rows import timeframe_name
from undertow.runtime.history import Place, StoredHistory

__all__ = ["FeatureStates", "State"]

log = structlog.get_logger(__name__)

_VERSION = 1
"""Of what is carried and how it is stored: raised whenever that changes."""
_CODEC = "zstd"
_SUFFIX = ".state"
_LENGTH_BYTES, _MOST_HEAD_BYTES = 8, 1 << 20
_MODULES = (
    *(bars, column_set, flow_fold, frame_fold, gaps, trade_fold),
    *(feature_run, history_module, history_rows, market_readings, sealed_hour),
)
"""What decides what is carried, beside what the lineage of features covers."""


class State(msgspec.Struct, frozen=True):
    """What a run of features carried at a midnight."""

    place: Place
    arrays: dict[str, NDArray[np.generic]]


class _Past(msgspec.Struct, frozen=True):
    """All that decides what is carried at a midnight."""

    code: str
    settings: SamplerSettings
    instrument: Instrument
    inputs: str
    """sha256 over table, hour and content of every stored hour before the midnight."""
    version: int = _VERSION


class _Head(msgspec.Struct, frozen=True):
    past: _Past
    place: Place
    size: int
    """Bytes of the arrays before they were compressed."""
    sha256: bytes
    """Of the compressed arrays."""


class _Array(msgspec.Struct, frozen=True, array_like=True):
    name: str
    dtype: str
    shape: tuple[int, ...]
    values: bytes


class FeatureStates:
    """The states of one history, computed in some timeframes.

    What the lake held when this was made is the past that they must have.
    """

    def __init__(self, history: StoredHistory, settings: SamplerSettings) -> None:
        self._settings = settings
        self._instrument = history.instrument
        names = "-".join(timeframe_name(length) for length in settings.timeframes_ns)
        root, venue, symbol = history.lake.root, history.instrument.venue, history.instrument.symbol
        self._folder = root / venue / "_states" / symbol / names
        self._inputs = list(_digests(history))

    def midnights(self) -> list[int]:
        """Midnights with a state that is good today [ns], ascending."""
        return [midnight_ns for midnight_ns in self._stored() if self.has(midnight_ns)]

    def newest(self, at_ns: int | None) -> int | None:
        """The last of them at or before a time; None where there is none, or for None, the beginning."""
        before = [] if at_ns is None else [stored for stored in self._stored() if stored <= at_ns]
        return next((midnight_ns for midnight_ns in reversed(before) if self.has(midnight_ns)), None)

    def has(self, midnight_ns: int) -> bool:
        """Whether there is a good state at a midnight."""
        path = self._path(midnight_ns)
        if not path.exists():
            return False
        with path.open("rb") as file:
            return self._head(path, file) is not None

    def load(self, midnight_ns: int | None) -> State | None:
        """The state at a midnight, or None where there is none that is good."""
        if midnight_ns is None or not self.has(midnight_ns):
            return None
        path = self._path(midnight_ns)
        with path.open("rb") as file:
            head, compressed = self._head(path, file), file.read()
        if head is None or hashlib.sha256(compressed).digest() != head.sha256:
            log.warning("feature_state_damaged", path=str(path))
            return None
        content = pa.decompress(compressed, head.size, codec=_CODEC, asbytes=True)
        arrays = msgspec.msgpack.decode(content, type=list[_Array])
        return State(head.place, {a.name: _to_numpy(a) for a in arrays})

    def save(self, midnight_ns: int, place: Place, arrays: Mapping[str, NDArray[np.generic]]) -> bool:
        """Keep a state; False where what the lake holds before it is not sealed and may yet change."""
        past = self._past(midnight_ns)
        if past is None:
            return False
        held = [_Array(name, a.dtype.str, a.shape, a.tobytes()) for name, a in arrays.items()]
        content = msgspec.msgpack.encode(held)
        compressed = pa.compress(content, codec=_CODEC, asbytes=True)
        digest = hashlib.sha256(compressed).digest()
        head = msgspec.msgpack.encode(_Head(past, place, len(content), digest))
        parts = (len(head).to_bytes(_LENGTH_BYTES, "little"), head, compressed)
        replace_file(self._path(midnight_ns), lambda file: file.write(b"".join(parts)))
        return True

    def _stored(self) -> list[int]:
        """Midnights with a file, ascending."""
        return sorted(_midnight_of(path) for path in self._folder.glob(f"????-??-??{_SUFFIX}"))

    def _head(self, path: Path, file: BinaryIO) -> _Head | None:
        """What a file says of itself, if its past is the one that it must have; it is read up to there."""
        length = int.from_bytes(file.read(_LENGTH_BYTES), "little")
        try:
            head = msgspec.msgpack.decode(file.read(min(length, _MOST_HEAD_BYTES)), type=_Head)
        except msgspec.DecodeError as error:
            log.warning("feature_state_damaged", path=str(path), reason=str(error))
            return None
        return head if head.past == self._past(_midnight_of(path)) else None

    def _past(self, midnight_ns: int) -> _Past | None:
        before = [digest for hour_ns, digest in self._inputs if hour_ns < midnight_ns]
        if not before or before[-1] is None:
            return None
        return _Past(_code(), self._settings, self._instrument, before[-1])

    def _path(self, midnight_ns: int) -> Path:
        day = datetime.fromtimestamp(midnight_ns // SECOND_NS, UTC)
        return self._folder / f"{day:%Y-%m-%d}{_SUFFIX}"


def _midnight_of(path: Path) -> int:
    day = datetime.strptime(path.name.removesuffix(_SUFFIX), "%Y-%m-%d").replace(tzinfo=UTC)
    return int(day.timestamp()) * SECOND_NS


def _to_numpy(array: _Array) -> NDArray[np.generic]:
    return np.frombuffer(array.values, np.dtype(array.dtype)).reshape(array.shape).copy()


def _digests(history: StoredHistory) -> Iterator[tuple[int, str | None]]:
    """(start of the last stored hour of a day, digest of all hours up to it); None behind an open hour."""
    digest, is_sealed = hashlib.sha256(), True
    last: HourKey | None = None
    for key in _input_hours(history):
        if last is not None and key.hour_ns // DAY_NS != last.hour_ns // DAY_NS:
            yield last.hour_ns, digest.hexdigest() if is_sealed else None
        folder, last = key.folder(history.lake.root), key
        manifest = read_manifest(folder / MANIFEST)
        if manifest is None or part_files(folder):
            is_sealed = False
        else:
            digest.update(f"{key.table} {key.hour_ns} {manifest.sha256}\n".encode())
    if last is not None:
        yield last.hour_ns, digest.hexdigest() if is_sealed else None


def _input_hours(history: StoredHistory) -> list[HourKey]:
    """Every stored hour of the tables that features are made from, in order of time."""
    root, venue, symbol = history.lake.root, history.instrument.venue, history.instrument.symbol
    tables = (history.settings.flow, "book_depth", "gaps", *MARKET_TABLES)
    keys = [key for table in tables for key in find_hours(root, venue, table, symbol)]
    return sorted(keys, key=lambda key: (key.hour_ns, key.table))


@cache
def _code() -> str:
    """sha256 over the source of all that makes features from rows of the lake."""
    digest = hashlib.sha256(lineage(FEATURES).encode())
    for module in _MODULES:
        digest.update(inspect.getsource(module).encode())
    return digest.hexdigest()
