"""Goal: the simulated market writes straight to the lake at ≥ 300 × real time per symbol and core.

A quarter of an hour of one symbol, made anew and written to an empty lake each time, sealed: trades,
aggregated trades, book samples of 20 and of 100 levels, mark prices, liquidations, coverage. "With features"
also writes all bar features of 1s, 1m, 5m and 15m. "From frames" is the same lake out of the frames of the
same market, byte for byte (`tests/runtime/test_runtime_simulate.py`): text made, scanned and folded, without
a socket. "The market alone" makes the events and writes nothing.

The unit is simulated seconds per second: times real time.
"""

import tempfile
from collections.abc import Callable
from pathlib import Path

from bench.duel import Claim, Contender, duel
from undertow.frames.sampler import SamplerSettings
from undertow.lake.writer import LakeWriter
from undertow.market.time import MINUTE_NS, SECOND_NS
from undertow.runtime.pipeline import Pipeline
from undertow.runtime.simulate import LAKE_STREAMS, SimulatedDays, simulate_to_lake
from undertow.venues.simulated.capture import DEFAULT_START_NS, simulate_capture
from undertow.venues.simulated.listings import find_listing
from undertow.venues.simulated.mapped_blocks import mapped_blocks
from undertow.venues.simulated.market import new_market

__all__ = ["measure"]

_SECONDS = 900
_FRAME_SECONDS = 180
_SYMBOL = "BTCUSDT"
_START_MS = DEFAULT_START_NS // 1_000_000
_ALL_LENGTHS_NS = (SECOND_NS, MINUTE_NS, 5 * MINUTE_NS, 15 * MINUTE_NS)
_CHUNK_LINES = 5_000


def _to_lake(timeframes_ns: tuple[int, ...]) -> None:
    days = SimulatedDays(start_ms=_START_MS, seconds=_SECONDS, timeframes_ns=timeframes_ns)
    with tempfile.TemporaryDirectory() as folder:
        simulate_to_lake(_SYMBOL, Path(folder), days)


def _from_frames() -> None:
    """The same fold from the text of frames, without a journal."""
    instrument = find_listing(_SYMBOL).instrument
    with tempfile.TemporaryDirectory() as folder:
        writer = LakeWriter(Path(folder), instrument.venue, instrument.symbol)
        pipeline, lines = Pipeline(instrument, SamplerSettings(timeframes_ns=()), writer), list[bytes]()
        for receive_ns, frame in simulate_capture(seconds=_FRAME_SECONDS, streams=LAKE_STREAMS):
            lines.append(b"%d %s\n" % (receive_ns, frame))
            if len(lines) == _CHUNK_LINES:
                pipeline.fold(b"".join(lines))
                lines.clear()
        pipeline.fold(b"".join(lines))
        pipeline.finish()
        writer.seal(None, extra=pipeline.provenance())
        writer.close()


def _market_alone() -> None:
    market = new_market(find_listing(_SYMBOL), seed=1, signal=0.0, start_ms=_START_MS)
    for _block in mapped_blocks(market, seed=1, seconds=_SECONDS, streams=LAKE_STREAMS):
        pass


def _contender(name: str, seconds: int, work: Callable[[], None]) -> Contender:
    def run() -> int:
        work()
        return seconds

    return Contender(name, lambda: run)


def measure(rounds: int) -> list[Claim]:
    """With features and without, from frames, and the market alone."""
    contenders = [
        _contender("undertow", _SECONDS, lambda: _to_lake(())),
        _contender("undertow, with features", _SECONDS, lambda: _to_lake(_ALL_LENGTHS_NS)),
        _contender("undertow, from frames", _FRAME_SECONDS, _from_frames),
        _contender("the market alone", _SECONDS, _market_alone),
    ]
    return [duel("simulated market → lake", "simulated s/s", contenders, rounds)]
