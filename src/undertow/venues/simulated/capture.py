"""Recorded frames without a socket: what a collector would have written, for tests and training runs."""

import heapq
from collections.abc import Iterator, Sequence
from operator import attrgetter

import numpy as np
from numpy.typing import NDArray

from undertow.market.time import MILLISECOND_NS
from undertow.venues.simulated.exchange import DEFAULT_START_MS
from undertow.venues.simulated.listings import find_listing
from undertow.venues.simulated.market import new_market
from undertow.venues.simulated.publisher import Frame, Publisher
from undertow.venues.simulated.wire import combined

__all__ = [
    "DEFAULT_START_NS",
    "DEFAULT_STREAMS",
    "SNAPSHOT_AFTER_MS",
    "frames",
    "latencies",
    "simulate_capture",
]

DEFAULT_START_NS = DEFAULT_START_MS * MILLISECOND_NS
DEFAULT_STREAMS = ("depth@100ms", "aggTrade", "markPrice@1s")

_BLOCK_MS = 1000
SNAPSHOT_AFTER_MS = 350
"""When the REST snapshot of a book is taken, after the start."""
_LEAST_LATENCY_NS, _MOST_LATENCY_NS = MILLISECOND_NS, 30 * MILLISECOND_NS


def frames(
    symbols: Sequence[str],
    *,
    seed: int = 1,
    signal: float = 0.0,
    seconds: float = 60.0,
    start_ns: int = DEFAULT_START_NS,
    streams: Sequence[str] = DEFAULT_STREAMS,
) -> Iterator[tuple[int, bytes]]:
    r"""(receive time [ns], frame) in the order of a capture; `b"%d %s\n"` of them is a capture line.

    `streams` are suffixes such as `aggTrade`. Each symbol with a stream of depth gets a REST snapshot of 1000
    levels after its first changes. Receive times never go back; they lie 1 to 30 ms behind event times, or
    more where an earlier frame came late. Raises InputError for a symbol that is not listed.
    """
    start_ms = start_ns // MILLISECOND_NS
    end_ms = start_ms + round(seconds * 1000)
    publishers = [_publisher(symbol, seed, signal, start_ms, streams) for symbol in symbols]
    delays = (delay for block in latencies(seed) for delay in block.tolist())
    receive_ns = 0
    for frame in _merged(publishers, start_ms, end_ms):
        receive_ns = max(receive_ns, frame.event_ms * MILLISECOND_NS + next(delays))
        yield receive_ns, combined(frame.stream, frame.payload) if frame.stream else frame.payload


def simulate_capture(
    *,
    symbol: str = "BTCUSDT",
    seed: int = 1,
    signal: float = 0.0,
    seconds: float = 60.0,
    start_ns: int = DEFAULT_START_NS,
    streams: Sequence[str] = DEFAULT_STREAMS,
) -> Iterator[tuple[int, bytes]]:
    """`frames` of one symbol."""
    return frames([symbol], seed=seed, signal=signal, seconds=seconds, start_ns=start_ns, streams=streams)


def _publisher(symbol: str, seed: int, signal: float, start_ms: int, streams: Sequence[str]) -> Publisher:
    publisher = Publisher(new_market(find_listing(symbol), seed=seed, signal=signal, start_ms=start_ms))
    for suffix in streams:
        publisher.open(suffix)
    return publisher


def _merged(publishers: Sequence[Publisher], start_ms: int, end_ms: int) -> Iterator[Frame]:
    """All frames by event time; the snapshots come in a shorter first block."""
    yield from _block(publishers, min(end_ms, start_ms + SNAPSHOT_AFTER_MS))
    for publisher in publishers:
        if any(suffix.startswith("depth") for suffix in publisher.open_streams):
            yield Frame(publisher.market.now_ms, "", publisher.snapshot(1000), 0, 0)
    for until_ms in range(start_ms + _BLOCK_MS, end_ms + _BLOCK_MS, _BLOCK_MS):
        yield from _block(publishers, min(until_ms, end_ms))


def _block(publishers: Sequence[Publisher], until_ms: int) -> Iterator[Frame]:
    made = [publisher.advance(until_ms) for publisher in publishers]
    return iter(made[0]) if len(made) == 1 else heapq.merge(*made, key=attrgetter("event_ms"))


def latencies(seed: int) -> Iterator[NDArray[np.int64]]:
    """Blocks of what one frame after the other takes to come [ns]; no end."""
    rng = np.random.default_rng([seed, 1])
    while True:
        yield rng.integers(_LEAST_LATENCY_NS, _MOST_LATENCY_NS, size=4096)
