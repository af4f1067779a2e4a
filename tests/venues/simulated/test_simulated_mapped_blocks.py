"""Blocks without text are what mapping the frames of a capture gives, to the last bit."""

from collections.abc import Sequence
from dataclasses import fields, replace

import numpy as np
import pytest

from undertow.errors import InputError
from undertow.market.batch import EventBatch
from undertow.market.instruments import Instrument
from undertow.venues.binance.mapper import BinanceMapper
from undertow.venues.mapped import Mapped
from undertow.venues.simulated.capture import DEFAULT_START_NS, DEFAULT_STREAMS, simulate_capture
from undertow.venues.simulated.listings import find_listing
from undertow.venues.simulated.mapped_blocks import mapped_blocks
from undertow.venues.simulated.market import new_market

ALL_STREAMS = ("aggTrade", "forceOrder", "depth@100ms", "trade", "markPrice@1s")


def mapped_capture(
    symbol: str, seconds: float, streams: Sequence[str], *, seed: int, start_ms: int
) -> tuple[BinanceMapper, list[bytes]]:
    start_ns = start_ms * 1_000_000
    found = simulate_capture(symbol=symbol, seed=seed, seconds=seconds, start_ns=start_ns, streams=streams)
    listed = find_listing(symbol).instrument
    instrument = Instrument("sim", symbol, listed.tick, listed.lot)
    return BinanceMapper(instrument), [b"%d %s\n" % line for line in found]


def blocks_of(
    symbol: str, seconds: float, streams: Sequence[str], *, seed: int, start_ms: int, block_s: float = 60.0
) -> list[Mapped]:
    market = new_market(find_listing(symbol), seed=seed, signal=0.0, start_ms=start_ms)
    return list(mapped_blocks(market, seed=seed, seconds=seconds, streams=streams, block_seconds=block_s))


def assert_same(ours: EventBatch, theirs: EventBatch) -> None:
    for field in fields(EventBatch):
        mine, other = getattr(ours, field.name), getattr(theirs, field.name)
        assert mine.dtype == other.dtype, field.name
        np.testing.assert_array_equal(mine, other, err_msg=field.name)


@pytest.mark.parametrize("symbol", ["BTCUSDT", "SOLUSDT", "DOGEUSDT"])
@pytest.mark.parametrize("streams", [DEFAULT_STREAMS, ALL_STREAMS])
@pytest.mark.parametrize("start_ms", [DEFAULT_START_NS // 1_000_000, 1_767_225_541_037])
def test_blocks_are_what_a_mapper_makes_of_the_frames(
    symbol: str, streams: Sequence[str], start_ms: int
) -> None:
    mapper, lines = mapped_capture(symbol, 90.0, streams, seed=3, start_ms=start_ms)
    at = 0
    for block in blocks_of(symbol, 90.0, streams, seed=3, start_ms=start_ms, block_s=20.0):
        rows = len(block.batch)
        theirs = mapper.map(b"".join(lines[at : at + rows]))
        levels = int((theirs.batch.bid_count + theirs.batch.ask_count).sum())
        assert len(block.batch.level_ticks) == levels
        cut = {name: getattr(theirs.batch, name)[:levels] for name in ("level_ticks", "level_lots")}
        assert_same(block.batch, replace(theirs.batch, **cut))
        assert (block.others, block.other_rows) == (theirs.others, theirs.other_rows)
        assert not theirs.rejections
        at += rows
    assert at == len(lines) > 1000


def test_liquidations_are_among_what_is_compared() -> None:
    blocks = blocks_of("BTCUSDT", 900.0, ["forceOrder"], seed=3, start_ms=DEFAULT_START_NS // 1_000_000)
    mapper, lines = mapped_capture(
        "BTCUSDT", 900.0, ["forceOrder"], seed=3, start_ms=DEFAULT_START_NS // 1_000_000
    )
    ours = [event for block in blocks for event in block.others]
    assert len(ours) > 2
    assert ours == mapper.map(b"".join(lines)).others


def test_the_cut_into_blocks_changes_nothing() -> None:
    start_ms = DEFAULT_START_NS // 1_000_000
    short, long = (
        blocks_of("ETHUSDT", 61.7, ALL_STREAMS, seed=5, start_ms=start_ms, block_s=block_s)
        for block_s in (1.0, 1000.0)
    )
    assert len(short) > 2 * len(long)
    for name in ("kind", "event_ns", "receive_ns", "last_id", "trade_id", "level_ticks", "level_lots"):
        few, many = (
            np.concatenate([getattr(block.batch, name) for block in blocks]) for blocks in (long, short)
        )
        np.testing.assert_array_equal(few, many, err_msg=name)


def test_a_stream_that_has_no_columns_is_refused() -> None:
    market = new_market(find_listing("BTCUSDT"), seed=1, signal=0.0, start_ms=DEFAULT_START_NS // 1_000_000)
    with pytest.raises(InputError, match="bookTicker"):
        next(mapped_blocks(market, seed=1, seconds=1.0, streams=["bookTicker"]))
