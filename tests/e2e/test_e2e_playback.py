"""A capture served as if live and collected over the wire gives what replaying the file gives."""

import asyncio
import gzip
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import uvloop

from undertow.frames.sampler import SamplerSettings
from undertow.journal.reader import read_chunks, segments
from undertow.runtime.collection import Collected, collect
from undertow.runtime.collector import CollectorSettings
from undertow.runtime.recorder import SymbolRecorder
from undertow.runtime.replay import Recording, find_steps, inspect, replay
from undertow.venues.binance.endpoints import endpoints_for
from undertow.venues.feeding import FeedSettings
from undertow.venues.simulated.capture import frames
from undertow.venues.simulated.playback import PlaybackSettings
from undertow.venues.simulated.playback_lines import Steps
from undertow.venues.simulated.playback_server import serve_capture

AS_FAST_AS_READ = PlaybackSettings(speed=None, start_wait_s=30.0, snapshot_wait_s=30.0)
"""Waits long enough for every machine; where all comes as it should nothing is waited for."""


@dataclass(frozen=True)
class Case:
    """A capture in the data folder, and how to collect it."""

    files: tuple[str, ...]
    venue: str
    kinds: tuple[str, ...]
    renamed: tuple[bytes, bytes] = (b"", b"")
    """The recorded stream of depth, and the one that the collector asks for instead."""
    begins_with_snapshot: bool = False
    """The snapshot was recorded before the first change of the book, when no collector of ours would ask."""


CASES = {
    "usdm 2024": Case(
        ("usdm-btcusdt_20240808.gz",),
        "binance-usdm",
        ("single_trades", "depth", "ticker"),
        (b"@depth@0ms", b"@depth@100ms"),
    ),
    "usdm 2023": Case(
        ("usdm-btcusdt_20230404.gz", "usdm-btcusdt_20230405.gz"),
        "binance-usdm",
        ("single_trades", "depth", "ticker", "mark"),
        (b"@depth@0ms", b"@depth@100ms"),
        begins_with_snapshot=True,
    ),
    "spot 2024": Case(
        ("spot-btcusdt_20240808.gz", "spot-btcusdt_20240809.gz"),
        "binance-spot",
        ("single_trades", "depth", "ticker"),
    ),
    "spot 2020": Case(
        ("spot-ethbtc_20201101-09.gz",),
        "binance-spot",
        ("trades", "depth"),
        (b'@depth"', b'@depth@100ms"'),
    ),
}


def recorded_frames(paths: Sequence[Path]) -> list[bytes]:
    """The frames of files, receive times and measurements of the clock apart."""
    chunks = read_chunks(paths, problems=[])
    frames = [line.split(b" ", 1)[1] for chunk in chunks for line in chunk.data.splitlines()]
    return [frame for frame in frames if b'"e":"clock"' not in frame]


def serve_and_collect(recording: Recording, kinds: Sequence[str], folder: Path) -> Collected:
    """Collect the capture from a server of it, without marks of quiet: see docs/playback.md."""
    instrument = find_steps(recording, None)
    settings = SamplerSettings(flow=recording.flow)

    async def main() -> Collected:
        async with serve_capture(
            lambda: (chunk.data for chunk in read_chunks(recording.paths, problems=[])),
            settings=AS_FAST_AS_READ,
            steps={instrument.symbol: Steps(instrument.tick, instrument.lot)},
        ) as server:
            return await collect(
                endpoints_for(recording.venue, server.url),
                [recording.symbol],
                kinds,
                lambda found: SymbolRecorder(found, settings, folder / "live", folder / "journal"),
                settings=CollectorSettings(quiet_s=None),
                feed_settings=FeedSettings(end_on_going_away=True, heartbeat_s=60.0),
            )

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main())


def assert_same_tables(folder: Path, recording: Recording) -> set[str]:
    """Every file of both lakes has the same rows, receive times apart; the names of the tables."""
    replay(recording, find_steps(recording, None), SamplerSettings(flow=recording.flow), folder / "replay")
    names, collected = (
        {
            path.relative_to(folder / lake)
            for path in (folder / lake).rglob("data.parquet")
            if not (recording.venue == "binance-spot" and {"book_ticker", "coverage"} & set(path.parts))
        }
        for lake in ("replay", "live")
    )  # a spot quote has no time but that of its receipt
    collected = {path for path in collected if "clock" not in path.parts}  # measured, not in the capture
    assert collected == names
    for name in names:
        live, replayed = (pq.read_table(folder / lake / name) for lake in ("live", "replay"))
        assert live.schema.names == replayed.schema.names
        kept = [column for column in replayed.column_names if column != "received_ns"]
        assert rows(live, kept).equals(rows(replayed, kept)), name
    return {name.parts[1] for name in names}


def rows(table: pa.Table, columns: list[str]) -> pl.DataFrame:
    found = pl.from_arrow(table.select(columns))
    assert isinstance(found, pl.DataFrame)
    return found


@pytest.mark.parametrize("name", CASES)
def test_a_real_capture_collected_gives_what_its_replay_gives(name: str, data: Path, tmp_path: Path) -> None:
    case = CASES[name]
    paths = [data / "captures" / file for file in case.files]
    recording = inspect(paths, case.venue, None, None)
    collected = serve_and_collect(recording, case.kinds, tmp_path)
    tables = assert_same_tables(tmp_path, recording)
    known = {"coverage", "book_ticker", "mark_price"}
    assert tables - known == {recording.flow, "book_depth", "l2", "features"}
    asked_for = [frame.replace(*case.renamed, 1) for frame in recorded_frames(paths)]
    journalled = recorded_frames(segments(tmp_path / "journal", case.venue, recording.symbol))
    if case.begins_with_snapshot:
        asked_for, journalled = sorted(asked_for), sorted(journalled)
    assert journalled == asked_for
    assert collected.counters["snapshots"] == 1
    assert not collected.alarms


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_a_simulated_capture_of_both_routes_is_collected_line_by_line(suffix: str, tmp_path: Path) -> None:
    kinds = ("trades", "depth", "ticker", "mark", "klines")
    streams = ("aggTrade", "depth@100ms", "bookTicker", "markPrice@1s", "kline_1m")
    lines = [b"%d %s\n" % line for line in frames(["BTCUSDT"], seed=4, seconds=75.0, streams=streams)]
    path = write_capture(tmp_path / f"capture{suffix}", b"".join(lines))
    recording = inspect([path], "binance-usdm", None, None)
    serve_and_collect(recording, kinds, tmp_path)
    journalled = recorded_frames(segments(tmp_path / "journal", "binance-usdm", "BTCUSDT"))
    assert journalled == recorded_frames([path])
    assert {"aggtrades", "book_depth", "l2", "features"} <= assert_same_tables(tmp_path, recording)


def write_capture(path: Path, text: bytes) -> Path:
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(text))
        return path
    with pa.CompressedOutputStream(str(path), "zstd") as file:
        file.write(text)
    return path
