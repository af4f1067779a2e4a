"""A collection of the simulated Bybit: what reaches the lake is what the exchange did."""

from dataclasses import replace
from pathlib import Path

import msgspec
import polars as pl
import pytest
from tests.venues.bybit.bybit_scenery import play

from undertow.frames.sampler import SamplerSettings
from undertow.journal.reader import segments
from undertow.market.instruments import Instrument
from undertow.runtime.bybit_collection import collect_bybit
from undertow.runtime.collection import Collected
from undertow.runtime.collector import CollectorSettings
from undertow.runtime.recorder import SymbolRecorder
from undertow.runtime.replay import Recording, replay
from undertow.runtime.snapshots import SnapshotSettings
from undertow.venues.bybit.endpoints import endpoints_for
from undertow.venues.feeding import FeedSettings
from undertow.venues.simulated_bybit.server import BybitServer
from undertow.venues.simulated_bybit.settings import Fault
from undertow.venues.steps import known_instrument

FLOW = SamplerSettings(flow="trades")
KINDS = ("trades", "depth", "ticker", "mark", "liquidations", "klines", "open_interest", "funding")
FEED = FeedSettings(backoff_s=0.001, backoff_limit_s=0.01, close_timeout_s=2.0, end_on_going_away=True)
TWO = replace(FEED, copies=2, hole_wait_s=0.2)


def collected(
    folder: Path, *faults: Fault, feed: FeedSettings = TWO, duration_s: float = 12.0
) -> tuple[Collected, BybitServer]:
    """Collect two symbols from a fresh server until its market ends."""
    found: list[tuple[Collected, BybitServer]] = []

    def open_recorder(instrument: Instrument) -> SymbolRecorder:
        return SymbolRecorder(instrument, FLOW, folder / "lake", folder / "journal")

    async def scene(server: BybitServer) -> None:
        done = await collect_bybit(
            endpoints_for("sim-bybit", server.url),
            ("BTCUSDT", "ETHUSDT"),
            KINDS,
            open_recorder,
            settings=CollectorSettings(quiet_s=2.0, snapshots=SnapshotSettings(pause_s=0.1)),
            feed_settings=feed,
        )
        found.append((done, server))

    play(scene, *faults, speed=5.0, duration_s=duration_s, symbols="BTCUSDT,ETHUSDT")
    return found[0]


def table(folder: Path, name: str, symbol: str = "BTCUSDT") -> pl.DataFrame:
    """All rows of a table of one symbol."""
    paths = [
        path for path in (folder / "lake").rglob("*.parquet") if name in path.parts and symbol in str(path)
    ]
    return pl.concat([pl.read_parquet(path) for path in paths]) if paths else pl.DataFrame()


def test_everything_reaches_the_lake(tmp_path: Path) -> None:
    done, server = collected(tmp_path)
    assert done.alarms == ()
    for symbol, topics in server.exchange.markets.items():
        trades = table(tmp_path, "trades", symbol)
        assert len(trades) == topics.trade_count
        assert trades["trade_id"].is_unique().all()
        depth = table(tmp_path, "book_depth", symbol)
        assert len(depth) >= 18
        assert len(table(tmp_path, "gaps", symbol)) == 0
        for name in ("mark_price", "open_interest", "funding_rate", "book_ticker"):
            assert len(table(tmp_path, name, symbol)) > 0, name
        assert len(table(tmp_path, "features", symbol)) >= 9


@pytest.mark.parametrize("feed", [FEED, TWO], ids=["one connection", "two connections"])
def test_a_book_that_broke_is_had_anew(tmp_path: Path, feed: FeedSettings) -> None:
    done, _ = collected(tmp_path, Fault("drop", 4.0, topic="orderbook.200.BTCUSDT"), feed=feed)
    gaps = table(tmp_path, "gaps")
    assert gaps["cause"].to_list() == ["update ids missing"]
    assert len(table(tmp_path, "gaps", "ETHUSDT")) == 0
    assert done.counters["snapshots"] >= 1
    assert done.counters["resubscriptions"] >= feed.copies


def test_the_journal_folded_again_gives_the_same_tables(tmp_path: Path) -> None:
    collected(tmp_path, Fault("drop", 3.0, topic="orderbook.200.BTCUSDT"), Fault("restart", 7.0))
    again = tmp_path / "again"
    instrument = known_instrument("bybit-linear", "BTCUSDT")
    assert instrument is not None
    instrument = msgspec.structs.replace(instrument, venue="sim-bybit")
    paths = segments(tmp_path / "journal", "sim-bybit", "BTCUSDT")
    replay(Recording(tuple(paths), "sim-bybit", "BTCUSDT", "trades"), instrument, FLOW, again / "lake")
    for name in ("trades", "book_depth", "l2", "gaps", "mark_price", "open_interest", "features"):
        key = "open_time" if name == "features" else "timestamp"
        live, folded = (table(folder, name) for folder in (tmp_path, again))
        assert len(live) > 0
        assert live.columns == folded.columns
        order = [key] if key in live.columns else live.columns[:1]
        assert live.sort(order).equals(folded.sort(order)), name


def test_one_of_two_connections_is_lost_unnoticed_and_a_restart_is_a_gap(tmp_path: Path) -> None:
    _, server = collected(tmp_path, Fault("disconnect", 3.0), Fault("restart", 7.0))
    gaps = table(tmp_path, "gaps")
    assert gaps["cause"].to_list() == ["book restated"]
    assert len(table(tmp_path, "trades")) == server.exchange.markets["BTCUSDT"].trade_count


def test_a_lost_connection_is_a_gap_of_everything(tmp_path: Path) -> None:
    collected(tmp_path, Fault("disconnect", 4.0, count=0), feed=FEED)
    gaps = table(tmp_path, "gaps")
    proofs = table(tmp_path, "coverage").filter(pl.col("stream") == "trades")
    assert set(proofs["status"]) == {"complete by heartbeat", "gap"}
    assert sorted(zip(gaps["stream"], gaps["cause"], strict=True)) == [
        ("depth", "disconnected"),
        ("trades", "disconnected"),
    ]
