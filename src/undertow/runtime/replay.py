"""Recorded files through the pipeline, with every line that could not be used named."""

import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from undertow.errors import InputError
from undertow.frames.sampler import SamplerSettings
from undertow.journal.reader import Chunk, Problem, read_chunks
from undertow.lake.writer import LakeWriter
from undertow.market.batch import EventKind
from undertow.market.instruments import Instrument
from undertow.market.time import HOUR_NS, SECOND_NS, to_nanoseconds
from undertow.runtime.pipeline import OnBars, Pipeline
from undertow.venues.mapped import Reason
from undertow.venues.mappers import mapper_of
from undertow.venues.steps import known_instrument

__all__ = ["Recording", "Replayed", "inspect", "replay"]

_SYMBOL = re.compile(rb'"s" ?: ?"([^"]{1,40})"')
_PART_NS = 50_000_000
_FLUSH_FRAMES = 500_000


@dataclass(frozen=True, slots=True)
class Recording:
    """What files hold, told from their beginning."""

    paths: tuple[Path, ...]
    venue: str
    symbol: str
    flow: str


_LOOKED_AT_BYTES = 1 << 22


@dataclass(slots=True)
class Replayed:
    """What a replay did."""

    pipeline: Pipeline
    damage: list[Problem] = field(default_factory=list)
    """What of the files could not be read."""
    unusable: list[str] = field(default_factory=list)
    """Lines that are no usable frames, and what that means for the book; each with its place."""
    seconds: float = 0.0
    """Wall time."""


def inspect(paths: Sequence[Path], venue: str, symbol: str | None, flow: str | None) -> Recording:
    """Look at the beginning of the first file.

    Raises InputError where it holds nothing of `venue`, several symbols and none was chosen, or not the one
    chosen.
    """
    start = b""
    for chunk in read_chunks(paths[:1], problems=[]):
        start += chunk.data
        if len(start) >= _LOOKED_AT_BYTES:
            break
    if not start:
        raise InputError(f"{paths[0]}: holds no complete line; is it a recording of frames?")
    found = sorted({name.decode("utf-8", "replace") for name in _SYMBOL.findall(start)})
    if not found:
        raise InputError(
            f"{paths[0]}: no frame names a symbol; a recording has lines of a receive time and a frame"
        )
    if symbol is None and len(found) > 1:
        raise InputError(f"{paths[0]}: frames of {', '.join(found[:10])}; choose one with --symbol")
    if symbol is not None and symbol not in found:
        raise InputError(f"{paths[0]}: no frame of {symbol} at its beginning, but of {', '.join(found[:10])}")
    aggregated = b'"aggTrade"' in start
    return Recording(
        tuple(paths), venue, symbol or found[0], flow or ("aggtrades" if aggregated else "trades")
    )


def find_steps(recording: Recording, instruments: dict[str, Instrument] | None) -> Instrument:
    """The instrument of a recording; raises InputError where its tick and lot are not known."""
    if instruments is not None and recording.symbol in instruments:
        return instruments[recording.symbol]
    known = known_instrument(recording.venue, recording.symbol)
    if known is None:
        raise InputError(
            f"{recording.paths[0]}: symbol {recording.symbol} of {recording.venue} is unknown; "
            "give --instruments FILE with the exchange's exchangeInfo answer, or --tick and --lot"
        )
    return known


def replay(
    recording: Recording,
    instrument: Instrument,
    settings: SamplerSettings,
    lake: Path,
    *,
    on_bars: OnBars | None = None,
    on_progress: Callable[[int], None] | None = None,
    speed: float | None = None,
) -> Replayed:
    """Fold the files, given in order of time, into a lake; a later replay of the same files changes nothing.

    `speed` 1.0 follows the receive times, None goes as fast as it can. Raises InputError before anything is
    written where the files are of another venue; LakeError where the lake cannot be written.
    """
    problems: list[Problem] = []
    chunks = read_chunks(recording.paths, problems=problems)
    first = next(chunks)
    _refuse_other_venue(first, instrument)
    writer = LakeWriter(lake, instrument.venue, instrument.symbol)
    try:
        writer.discard_parts_after({})
        done = Replayed(Pipeline(instrument, settings, writer, on_bars), problems)
        started = time.perf_counter()
        for chunk in _paced(_all(first, chunks), speed):
            _fold(done, chunk)
            _seal_finished(writer, done.pipeline)
            if on_progress is not None:
                on_progress(done.pipeline.counts.frames)
        done.pipeline.finish()
        writer.seal(None, extra=done.pipeline.provenance())
        done.seconds = time.perf_counter() - started
    finally:
        writer.close()
    _check_book(done, recording)
    return done


def _seal_finished(writer: LakeWriter, pipeline: Pipeline) -> None:
    """Seal the hours in which nothing can happen any more."""
    writer.seal(pipeline.sampler.closed_ns // HOUR_NS * HOUR_NS, pipeline.provenance())


def _all(first: Chunk, rest: Iterator[Chunk]) -> Iterator[Chunk]:
    yield first
    yield from rest


def _fold(done: Replayed, chunk: Chunk) -> None:
    for rejection in done.pipeline.fold(chunk.data):
        if rejection.reason == Reason.OTHER_SYMBOL:
            continue  # counted; a recording may hold more than the symbol that was asked for
        line = chunk.first_line + rejection.line
        done.unusable.append(f"{chunk.path}:{line}: {rejection.message}: {rejection.text!r}")


def _refuse_other_venue(chunk: Chunk, instrument: Instrument) -> None:
    mapped = mapper_of(instrument).map(chunk.data)
    reasons = {rejection.reason for rejection in mapped.rejections}
    if Reason.OTHER_VENUE in reasons and not (mapped.batch.kind == EventKind.DELTA).any():
        other = "binance-spot" if instrument.venue == "binance-usdm" else "binance-usdm"
        raise InputError(f"{chunk.path}: these are not frames of {instrument.venue}; try --venue {other}")
    if not (mapped.batch.kind > EventKind.OTHER).any():
        raise InputError(
            f"{chunk.path}: no frame of {instrument.venue} among the first {len(mapped.batch)} lines"
        )


def _check_book(done: Replayed, recording: Recording) -> None:
    """Say so where depth updates could not become a book."""
    counts, book = done.pipeline.counts, done.pipeline.sampler.book
    if not counts.kinds[EventKind.DELTA] or counts.book_samples:
        return
    if not counts.kinds[EventKind.SNAPSHOT]:
        message = "depth updates but no snapshot of the book: book tables stay empty"
    elif book.snapshot_count:
        message = (
            "the depth updates do not join the snapshot (it is too old, or updates are missing): no book"
        )
    else:
        message = "no snapshot of the book could be used: book tables stay empty"
    done.unusable.append(f"{recording.paths[0]}: {message}")


def _paced(chunks: Iterator[Chunk], speed: float | None) -> Iterator[Chunk]:
    """The chunks, cut into 50 ms of receive time and held back to `speed` times real time."""
    if speed is None:
        yield from chunks
        return
    origin_ns, started_ns = -1, time.monotonic_ns()
    for chunk in chunks:
        lines = chunk.data.splitlines(keepends=True)
        at = 0
        while at < len(lines):
            begin_ns, end = _receive_ns(lines[at]), at + 1
            while end < len(lines) and _receive_ns(lines[end]) < begin_ns + _PART_NS:
                end += 1
            origin_ns = begin_ns if origin_ns < 0 else origin_ns
            due_ns = started_ns + int((begin_ns - origin_ns) / speed)
            time.sleep(max(0, due_ns - time.monotonic_ns()) / SECOND_NS)
            yield Chunk(chunk.path, chunk.first_line + at, b"".join(lines[at:end]))
            at = end


def _receive_ns(line: bytes) -> int:
    stamp = line.split(b" ", 1)[0]
    return to_nanoseconds(int(stamp)) if stamp.isdigit() else 0
