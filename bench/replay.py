"""Claim: journal line → book → samples and bars at ≥ 100 k depth and ≥ 0.5 M trade frames/s a core.

The goal beyond is 200 k and 1 M, ≥ 80 × cryptofeed 2.4.1, ≥ 20 × ccxt.pro 4.5.90 and ≥ 10 × orjson 3.13 with
sortedcontainers 2.4, all run beside it.

Every contender starts from the same recorded lines. Ours decodes them, checks the sequence, keeps the book,
samples it, follows its best levels after every update and closes the bars of all timeframes; a peer decodes,
checks, keeps the book and reads 20 levels of both sides after every frame, or makes its trade objects. Before
the clock runs all of them must have reached the same 20 levels.
"""

from collections.abc import Callable
from functools import partial

import numpy as np

from bench.captured import read_capture
from bench.duel import Claim, Contender, duel
from bench.peers import with_ccxt, with_cryptofeed, with_orjson
from bench.peers.replayed import DEPTH, Replayed
from undertow.book.ladder import ASK, BID, top
from undertow.frames.sampler import Sampler, SamplerSettings
from undertow.market.instruments import Instrument
from undertow.venues.binance.mapper import BinanceMapper

__all__ = ["measure"]

Prepare = Callable[[list[bytes]], Callable[[], Replayed]]

_INSTRUMENT = Instrument("binance-usdm", "BTCUSDT", tick="0.1", lot="0.001")
_BLOCK_LINES = 1000
_DEPTH_FRAMES = 6_000
_TRADE_FRAMES = 20_000


def ours(lines: list[bytes]) -> Replayed:
    """Replay as `undertow replay` does, block by block."""
    mapper = BinanceMapper(_INSTRUMENT)
    sampler = Sampler(_INSTRUMENT, SamplerSettings(flow="trades"))
    for begin in range(0, len(lines), _BLOCK_LINES):
        sampler.feed(mapper.map(b"".join(lines[begin : begin + _BLOCK_LINES])).batch)
    return Replayed(len(lines), _top_prices(sampler, BID), _top_prices(sampler, ASK))


def _top_prices(sampler: Sampler, side: int) -> tuple[float, ...]:
    ticks, lots = np.empty(DEPTH, np.int64), np.empty(DEPTH, np.int64)
    found = top(sampler.ladder, side, ticks, lots)
    return tuple(_INSTRUMENT.price.to_floats(ticks[:found]).tolist())


def _prepare_ours(lines: list[bytes]) -> Callable[[], Replayed]:
    return partial(ours, lines)


def _contenders(kind: str, lines: list[bytes]) -> list[Contender]:
    prepares: dict[str, Prepare] = {"undertow": _prepare_ours}
    for peer in (with_orjson, with_ccxt, with_cryptofeed):
        name = peer.__name__.rpartition("with_")[2]
        prepares[name] = getattr(peer, f"prepare_{kind}")
    return [Contender(name, partial(_counted, prepare, lines)) for name, prepare in prepares.items()]


def _counted(prepare: Prepare, lines: list[bytes]) -> Callable[[], int]:
    run = prepare(lines)
    return lambda: run().frames


def _check_agreement(lines: list[bytes]) -> None:
    reference = ours(lines)
    for peer in (with_orjson, with_ccxt, with_cryptofeed):
        if peer.prepare_depth(lines)() != reference:
            raise ValueError(f"{peer.__name__} ended with another book than ours")


def measure(rounds: int) -> list[Claim]:
    """Depth frames, then trade frames."""
    capture = read_capture(_DEPTH_FRAMES, _TRADE_FRAMES)
    _check_agreement(capture.depth)
    return [
        duel("raw depth line → book → samples", "frames/s", _contenders("depth", capture.depth), rounds),
        duel("raw trade line → bars", "frames/s", _contenders("trades", capture.trades), rounds),
    ]
