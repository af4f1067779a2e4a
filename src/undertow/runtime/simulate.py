"""The simulated market straight into a lake: no frames, no sockets, no journal.

The fold is the pipeline of recordings, and the tables are those of a recorded capture of the same market.
"""

import multiprocessing
import resource
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import msgspec

from undertow.frames.sampler import SamplerSettings
from undertow.lake.writer import LakeWriter
from undertow.market.batch import EventKind
from undertow.market.time import HOUR_NS
from undertow.runtime.pipeline import Pipeline
from undertow.venues.mapped import Mapped
from undertow.venues.simulated.capture import DEFAULT_STREAMS
from undertow.venues.simulated.listings import find_listing
from undertow.venues.simulated.mapped_blocks import mapped_blocks
from undertow.venues.simulated.market import new_market

__all__ = ["SimulatedDays", "Written", "simulate_all", "simulate_to_lake"]

LAKE_STREAMS = (*DEFAULT_STREAMS, "trade", "forceOrder")
"""Streams that give all tables of what happens, bookTicker, partial books and candles apart."""


class SimulatedDays(msgspec.Struct, frozen=True):
    """What is simulated, of every symbol alike."""

    start_ms: int
    """Time of the first event [ms since the epoch]."""
    seconds: float
    seed: int = 1
    signal: float = 0.0
    activity: float = 1.0
    streams: tuple[str, ...] = LAKE_STREAMS
    timeframes_ns: tuple[int, ...] = ()
    """Bars whose features are written as well; none: `undertow features` computes them from the lake."""


class Written(msgspec.Struct, frozen=True):
    """What the lake was given of one symbol, and what that took."""

    symbol: str
    simulated_s: float
    wall_s: float
    cpu_s: float
    peak_mib: float
    """Most memory that the process has held so far, others' work in it included."""
    frames: int
    trades: int
    """Rows of `trades` and `aggtrades`."""
    book_samples: int

    @property
    def times_real_time(self) -> float:
        """Simulated seconds a second of one core."""
        return self.simulated_s / self.cpu_s


def simulate_to_lake(
    symbol: str, lake: Path, days: SimulatedDays, on_hour: Callable[[int], None] | None = None
) -> Written:
    """Let the market of `symbol` live and write its tables; again with the same numbers changes nothing.

    `on_hour` is told how far event time has come [ns], about once a simulated hour. Raises InputError for a
    symbol or a stream that there is not, LakeError where the lake cannot be written.
    """
    listing = find_listing(symbol)
    market = new_market(
        listing, seed=days.seed, signal=days.signal, start_ms=days.start_ms, activity=days.activity
    )
    blocks = mapped_blocks(market, seed=days.seed, seconds=days.seconds, streams=days.streams)
    settings = SamplerSettings(timeframes_ns=days.timeframes_ns)
    started_s, began_s = time.process_time(), time.perf_counter()
    writer = LakeWriter(lake, listing.instrument.venue, symbol)
    try:
        writer.discard_parts_after({})
        pipeline = Pipeline(listing.instrument, settings, writer)
        _fold_all(pipeline, writer, blocks, on_hour)
        pipeline.finish()
        writer.seal(None, extra=pipeline.provenance())
    finally:
        writer.close()
    counts = pipeline.counts
    return Written(
        symbol=symbol,
        simulated_s=days.seconds,
        wall_s=time.perf_counter() - began_s,
        cpu_s=time.process_time() - started_s,
        peak_mib=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        frames=counts.frames,
        trades=counts.kinds[EventKind.TRADE] + counts.kinds[EventKind.AGGREGATE_TRADE],
        book_samples=counts.book_samples,
    )


def _fold_all(
    pipeline: Pipeline,
    writer: LakeWriter,
    blocks: Iterator[Mapped],
    on_hour: Callable[[int], None] | None,
) -> None:
    """Fold block after block, and seal the hours in which nothing can happen any more."""
    sealed_ns = 0
    for block in blocks:
        pipeline.fold_mapped(block)
        hour_ns = pipeline.sampler.closed_ns // HOUR_NS * HOUR_NS
        if hour_ns > sealed_ns:
            writer.seal(hour_ns, pipeline.provenance())
            sealed_ns = hour_ns
            if on_hour is not None:
                on_hour(hour_ns)


def simulate_all(
    symbols: Sequence[str], lake: Path, days: SimulatedDays, *, processes: int
) -> Iterator[Written]:
    """Every symbol, on so many processes at once; what each was given, in the order of `symbols`."""
    for symbol in symbols:
        find_listing(symbol)
    if processes <= 1 or len(symbols) == 1:
        for symbol in symbols:
            yield simulate_to_lake(symbol, lake, days)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(processes, len(symbols)), mp_context=context) as pool:
        yield from pool.map(simulate_to_lake, symbols, [lake] * len(symbols), [days] * len(symbols))
