"""The journal of one symbol folded into a lake beside the stored one, with what that one was written with."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from undertow.errors import LakeError
from undertow.frames.sampler import SamplerSettings
from undertow.journal.reader import Chunk, Position, Problem, read_chunks
from undertow.lake.files import read_manifest, read_schema
from undertow.lake.layout import DATA, MANIFEST, TABLES, find_hours
from undertow.lake.schemas import instrument_of
from undertow.lake.writer import LakeWriter
from undertow.market.instruments import Instrument
from undertow.market.time import HOUR_NS, SECOND_NS
from undertow.runtime.pipeline import Pipeline
from undertow.venues.steps import known_instrument

__all__ = ["Basis", "Folded", "find_basis", "fold_journal", "segment_hour", "were_received"]

_TABLES_WITH_SETTINGS = tuple(name for name in TABLES if name != "features")


class Basis(msgspec.Struct, frozen=True):
    """What a symbol's tables were written with, and up to where; a part of what a checkpoint says."""

    instrument: Instrument
    settings: SamplerSettings
    position: Position | None = None
    """The journal line up to which the lake was written; None: no collector left a checkpoint."""
    parts: dict[str, int] | None = None
    """The newest part of each open hour that belongs to `position`; None: all do."""
    lineage: str = ""
    """Of the features that were written; empty: not known."""


@dataclass(frozen=True, slots=True)
class Folded:
    """What folding the journal gave, beside the tables."""

    parts: Mapping[str, int]
    """Newest parts before the fold was finished: what follows says how far open stretches and gaps go."""
    lines: int
    """Of the whole journal, also behind the checkpoint."""
    problems: list[Problem]
    provenance: dict[str, Any]


def find_basis(lake: Path, venue: str, symbol: str) -> Basis | None:
    """From the checkpoint, else from what the files say of themselves; None where tick and lot are unknown.

    Raises LakeError where the checkpoint cannot be read.
    """
    path = lake / venue / "_checkpoints" / f"{symbol}.npz"
    if path.exists():
        try:
            with np.load(path, allow_pickle=False) as file:
                return msgspec.json.decode(file["checkpoint"].tobytes(), type=Basis)
        except (OSError, ValueError, KeyError, msgspec.DecodeError) as error:
            raise LakeError(
                f"{path}: is no checkpoint that can be read ({error}); "
                "delete it, and the journal is folded again from its start"
            ) from error
    instrument = _stated_instrument(lake, venue, symbol) or known_instrument(venue, symbol)
    if instrument is None:
        return None
    return Basis(instrument, _stated_settings(lake, venue, symbol))


def _stated_instrument(lake: Path, venue: str, symbol: str) -> Instrument | None:
    for folder in _folders(lake, venue, symbol):
        for path in (folder / DATA, *sorted(folder.glob("_part-*.open"))):
            try:
                return instrument_of(read_schema(path))
            except (FileNotFoundError, LakeError, KeyError):
                continue  # another file says it
    return None


def _stated_settings(lake: Path, venue: str, symbol: str) -> SamplerSettings:
    for folder in _folders(lake, venue, symbol):
        try:
            manifest = read_manifest(folder / MANIFEST)
        except LakeError:
            continue  # another file says it; the audit names this one
        if manifest is not None and "settings" in manifest.extra:
            return msgspec.convert(manifest.extra["settings"], SamplerSettings)
    return SamplerSettings()


def _folders(lake: Path, venue: str, symbol: str) -> Iterator[Path]:
    """Folders of a symbol's hours, table by table, newest first."""
    for table in _TABLES_WITH_SETTINGS:
        for key in reversed(find_hours(lake, venue, table, symbol)):
            yield key.folder(lake)


def fold_journal(paths: Sequence[Path], basis: Basis, scratch: Path) -> Folded:
    """Fold the segments up to the checkpoint into a lake at `scratch`, and read the rest for damage.

    Raises InputError where a segment cannot be opened, LakeError where the disk refuses.
    """
    problems: list[Problem] = []
    writer = LakeWriter(scratch, basis.instrument.venue, basis.instrument.symbol)
    try:
        pipeline = Pipeline(basis.instrument, basis.settings, writer)
        lines = 0
        for chunk in read_chunks(paths, problems=problems):
            lines += chunk.data.count(b"\n")
            if data := _until(chunk, basis.position):
                pipeline.fold(data)
                writer.seal(pipeline.sampler.closed_ns // HOUR_NS * HOUR_NS)
        writer.flush()
        parts = writer.checkpoint()
        pipeline.finish()
        writer.flush()
        return Folded(parts, lines, problems, pipeline.provenance())
    finally:
        writer.close()


def _until(chunk: Chunk, position: Position | None) -> bytes:
    """The lines of a chunk that lie before a position."""
    if position is None or chunk.path.name < position.segment:
        return chunk.data
    if chunk.path.name > position.segment:
        return b""
    wanted = position.line - chunk.first_line + 1
    if wanted >= chunk.data.count(b"\n"):
        return chunk.data
    return b"".join(chunk.data.splitlines(keepends=True)[: max(0, wanted)])


def segment_hour(path: Path) -> int:
    """Hours since the epoch that a segment's name tells.

    >>> segment_hour(Path("journal/binance-usdm/BTCUSDT/20231114-22.gz"))
    472222
    """
    start = datetime.strptime(path.name[:11], "%Y%m%d-%H").replace(tzinfo=UTC)
    return int(start.timestamp()) * SECOND_NS // HOUR_NS


def were_received(paths: Sequence[Path], stamps_ns: NDArray[np.int64]) -> NDArray[np.bool_]:
    """(n,) whether a journal line has that receive time [ns]; reads the segments of these hours only."""
    hours = set(np.unique(stamps_ns // HOUR_NS).tolist())
    # a receive time that steps back stays in the segment that is open, which may be the next one
    concerned = [path for path in paths if {segment_hour(path), segment_hour(path) - 1} & hours]
    wanted = {b"%d" % stamp for stamp in stamps_ns.tolist()}
    found: set[bytes] = set()
    for chunk in read_chunks(concerned, problems=[]):
        found.update(wanted.intersection(line.partition(b" ")[0] for line in chunk.data.splitlines()))
    return np.array([b"%d" % stamp in found for stamp in stamps_ns.tolist()], np.bool_)
