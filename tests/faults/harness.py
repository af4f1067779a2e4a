"""A fault, a collector over real sockets, and what must hold afterwards whatever went wrong.

The simulated market is the same with and without faults, so its undisturbed frames are the truth that every
stored row is held against.
"""

import asyncio
import tempfile
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path

import msgspec
import numpy as np
import polars as pl
import uvloop

from undertow.book.ladder import ASK, BID, levels
from undertow.frames.sampler import SamplerSettings
from undertow.journal.reader import segments
from undertow.lake.quality import audit
from undertow.lake.writer import LakeWriter
from undertow.market.instruments import Instrument
from undertow.runtime.collection import Collected, collect
from undertow.runtime.collector import CollectorSettings
from undertow.runtime.health import Health
from undertow.runtime.pipeline import Pipeline
from undertow.runtime.polling import PollingSettings
from undertow.runtime.rebuild import rebuild
from undertow.runtime.recorder import SymbolRecorder
from undertow.runtime.repair import RepairSettings
from undertow.runtime.replay import Recording, replay
from undertow.runtime.snapshots import SnapshotSettings
from undertow.venues.binance.endpoints import endpoints_for
from undertow.venues.feeding import FeedSettings
from undertow.venues.simulated.capture import frames
from undertow.venues.simulated.faults import Fault
from undertow.venues.simulated.listings import find_listing
from undertow.venues.simulated.server import Server, serve
from undertow.venues.simulated.settings import DEFAULT_START_MS, Settings

__all__ = ["COLLECTING", "FAST", "ONE", "Beside", "Outcome", "Scenario", "play"]

FAST = FeedSettings(
    copies=1,
    heartbeat_s=1.0,
    stable_s=2.0,
    backoff_s=0.02,
    backoff_limit_s=0.2,
    connect_timeout_s=2.0,
    handover_timeout_s=2.0,
    handover_retry_s=0.2,
    close_timeout_s=1.0,
    hole_wait_s=0.5,
    end_on_going_away=True,
)
"""As in life, but so fast that a minute of market in two seconds sees all of it."""
COLLECTING = CollectorSettings(
    process_every_s=0.01,
    quiet_s=2.0,
    snapshots=SnapshotSettings(pause_s=0.05, pause_limit_s=0.4, audit_every_s=None),
    repair=RepairSettings(every_s=0.05, pause_s=0.05, attempts=5),
)
ONE = ("BTCUSDT",)
_TRUTH = ("depth@100ms", "aggTrade")

Trade = tuple[int, float, float, bool]
"""(timestamp, price, quantity, is_buyer_maker)."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """What goes wrong, and how the collection is set up."""

    faults: Sequence[Fault] = ()
    symbols: tuple[str, ...] = ("BTCUSDT", "ETHUSDT")
    seconds: float = 60.0
    speed: float | None = 25.0
    seed: int = 7
    kinds: tuple[str, ...] = ("trades", "depth", "ticker", "mark")
    feed: FeedSettings = FAST
    collecting: CollectorSettings = COLLECTING
    polling: PollingSettings = field(default_factory=PollingSettings)
    settings: Mapping[str, object] = field(default_factory=dict)
    """Further settings of the exchange."""
    options: Mapping[str, object] = field(default_factory=dict)
    """Further arguments of `collect`."""
    endpoints: Mapping[str, object] = field(default_factory=dict)
    """What the collector believes of the exchange that is not so."""


@dataclass(slots=True)
class Outcome:
    """What a scenario left behind."""

    scenario: Scenario
    folder: Path
    collected: Collected
    sent: dict[str, dict[str, object]]
    """The exchange's own counters by stream."""
    server: Server
    books: dict[str, str]
    """Symbol → status of its book at the end."""
    final_books: dict[str, str]
    """Symbol → in what the book at the end differs from the exchange's; empty where in nothing."""

    @property
    def counters(self) -> dict[str, int]:
        return self.collected.counters

    @property
    def alarms(self) -> str:
        return "\n".join(self.collected.alarms)

    def table(self, name: str, symbol: str = "BTCUSDT") -> pl.DataFrame:
        """Stored rows; empty where there are none."""
        paths = sorted((self.folder / "lake" / "sim" / name / symbol).rglob("data.parquet"))
        return (
            pl.concat([pl.read_parquet(path, hive_partitioning=False) for path in paths])
            if paths
            else pl.DataFrame()
        )

    def gaps(self, stream: str, symbol: str = "BTCUSDT") -> list[dict[str, object]]:
        """Rows of `gaps` of one stream."""
        rows = self.table("gaps", symbol)
        return [] if rows.is_empty() else rows.filter(pl.col("stream") == stream).to_dicts()

    def coverage(self, stream: str, status: str, symbol: str = "BTCUSDT") -> list[dict[str, object]]:
        """Rows of the ledger of one stream and status."""
        rows = self.table("coverage", symbol)
        if rows.is_empty():
            return []
        return rows.filter((pl.col("stream") == stream) & (pl.col("status") == status)).to_dicts()

    def check(
        self, *, untouched: Sequence[str] = (), is_book_true: bool = True, is_market_true: bool = True
    ) -> None:
        """What must hold after every fault; symbols in `untouched` must not even have noticed.

        `is_book_true` false: the fault lets samples be taken before late updates came, or changes the market.
        `is_market_true` false: it changes the market, so that trades are others than without it.
        """
        for symbol in self.scenario.symbols:
            self.check_trades(symbol, is_market_true=is_market_true)
            if is_book_true:
                self.check_samples(symbol)
            assert self.final_books[symbol] in ("", "not synced"), f"{symbol}: the book at the end is wrong"
        for symbol in untouched:
            assert self.gaps("depth", symbol) == []
            assert self.gaps("aggtrades", symbol) == []
        self.check_derivation()
        assert [str(found) for found in audit(self.folder / "lake")] == []

    def check_trades(self, symbol: str, *, is_market_true: bool = True) -> None:
        """Each trade that was sent is stored once and true, or lies in a recorded gap."""
        if "trades" not in self.scenario.kinds:
            return
        truth, rows = true_trades(self.scenario, symbol), self.table("aggtrades", symbol)
        ids = rows["trade_id"].to_list()
        assert len(ids) == len(set(ids)), "a trade is stored twice"
        columns = rows.select("timestamp", "price", "quantity", "is_buyer_maker").rows()
        for identity, row in zip(ids, columns, strict=True) if is_market_true else ():
            assert truth[identity] == row, f"trade {identity} is not what was sent"
        first, last = min(ids), max(ids)
        missing = set(range(first, last + 1)) - set(ids)
        recorded = {
            identity
            for gap in self.coverage("aggtrades", "gap", symbol)
            for identity in range(int(str(gap["first_id"])), int(str(gap["last_id"])) + 1)
        }
        assert missing == recorded, "what is missing is not what the ledger says"

    def check_samples(self, symbol: str) -> None:
        """Each stored sample is the true book at its time, unless a gap says that the book was not known."""
        rows = self.table("book_depth", symbol)
        if rows.is_empty():
            return
        for gap in self.gaps("depth", symbol):
            after, until = int(str(gap["from_ns"])) // 10**6, int(str(gap["to_ns"])) // 10**6
            rows = rows.filter(~pl.col("timestamp").is_between(after, until, closed="right"))
        truth = true_samples(self.scenario, symbol)
        joined = rows.join(truth, on="timestamp", how="inner", suffix="_true")
        assert joined.height >= rows.height - 2, "samples at times that the true book does not have"
        for side in ("bids", "asks"):
            wrong = joined.filter(pl.col(side) != pl.col(f"{side}_true"))
            assert wrong.is_empty(), (
                f"{symbol}: {wrong.height} samples with wrong {side}: {wrong['timestamp'][:3]}"
            )

    def check_derivation(self) -> None:
        """A replay of the journal gives the same bytes."""
        again = self.folder / "again"
        for symbol in self.scenario.symbols:
            paths = tuple(segments(self.folder / "journal", "sim", symbol))
            recording = Recording(paths, "sim", symbol, "aggtrades")
            replay(recording, find_listing(symbol).instrument, SamplerSettings(), again)
        ours, theirs = files(self.folder / "lake"), files(again)
        assert ours.keys() == theirs.keys()
        assert rebuild(self.folder / "lake", self.folder / "journal", repair=False).changes == []
        different = [name for name in ours if ours[name] != theirs[name]]
        assert different == [], f"derived again, these tables differ: {different}"


def files(lake: Path) -> dict[str, bytes]:
    return {str(p.relative_to(lake)): p.read_bytes() for p in sorted(lake.rglob("data.parquet"))}


@lru_cache(maxsize=16)
def _truth(symbols: tuple[str, ...], seed: int, seconds: float) -> dict[str, list[tuple[int, bytes]]]:
    found: dict[str, list[tuple[int, bytes]]] = {symbol: [] for symbol in symbols}
    for symbol in symbols:
        found[symbol] = list(frames([symbol], seed=seed, seconds=seconds, streams=_TRUTH))
    return found


def true_trades(scenario: Scenario, symbol: str) -> dict[int, Trade]:
    """Every aggregate trade of the market by id."""
    found = {}
    for _, frame in _truth(scenario.symbols, scenario.seed, scenario.seconds)[symbol]:
        if b'"aggTrade"' in frame:
            data = msgspec.json.decode(frame)["data"]
            found[data["a"]] = (data["T"], float(data["p"]), float(data["q"]), data["m"])
    return found


@lru_cache(maxsize=32)
def _samples(symbols: tuple[str, ...], seed: int, seconds: float, symbol: str) -> pl.DataFrame:
    folder = Path(tempfile.mkdtemp())
    instrument = find_listing(symbol).instrument
    writer = LakeWriter(folder / "truth", "sim", symbol)
    pipeline = Pipeline(instrument, SamplerSettings(), writer)
    lines = _truth(symbols, seed, seconds)[symbol]
    pipeline.fold(b"".join(b"%d %b\n" % line for line in lines))
    writer.seal(None)
    writer.close()
    paths = sorted((folder / "truth" / "sim" / "book_depth" / symbol).rglob("data.parquet"))
    rows = pl.concat([pl.read_parquet(path, hive_partitioning=False) for path in paths])
    return rows.select("timestamp", "bids", "asks")


def true_samples(scenario: Scenario, symbol: str) -> pl.DataFrame:
    """The true book at every time of the grid."""
    return _samples(scenario.symbols, scenario.seed, scenario.seconds, symbol)


Beside = Callable[[Server, asyncio.TaskGroup], Coroutine[None, None, None]]


def play(scenario: Scenario, folder: Path, beside: Beside | None = None) -> Outcome:
    """Run the exchange with its faults and a collector until the simulated time is over.

    `beside` is awaited before the collector starts; what it starts in the group runs beside it.
    """
    true_samples(scenario, scenario.symbols[0])  # compiles what would else hold the event loop for seconds
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_play(scenario, folder, beside))


async def _play(scenario: Scenario, folder: Path, beside: Beside | None) -> Outcome:
    listings = tuple(find_listing(symbol) for symbol in scenario.symbols)
    settings = Settings(
        listings,
        DEFAULT_START_MS,
        seed=scenario.seed,
        speed=scenario.speed,
        duration_s=scenario.seconds,
        faults=tuple(scenario.faults),
    )
    recorders: dict[str, SymbolRecorder] = {}

    def open_recorder(instrument: Instrument) -> SymbolRecorder:
        recorder = SymbolRecorder(instrument, SamplerSettings(), folder / "lake", folder / "journal")
        recorders[instrument.symbol] = recorder
        return recorder

    settings = replace(settings, **scenario.settings)  # type: ignore[arg-type]
    async with serve(settings) as server, asyncio.timeout(120), asyncio.TaskGroup() as group:
        if beside is not None:
            await beside(server, group)
        collected = await collect(
            replace(endpoints_for("sim", server.url), **scenario.endpoints),  # type: ignore[arg-type]
            scenario.symbols,
            scenario.kinds,
            open_recorder,
            settings=scenario.collecting,
            feed_settings=scenario.feed,
            health=Health("sim"),
            polling=scenario.polling,
            **scenario.options,  # type: ignore[arg-type]
        )
        sent = msgspec.to_builtins(server.exchange.counts)
        final = {symbol: _difference(server, recorder) for symbol, recorder in recorders.items()}
    books = {symbol: recorder.status().book for symbol, recorder in recorders.items()}
    return Outcome(scenario, folder, collected, sent, server, books, final)


def _difference(server: Server, recorder: SymbolRecorder) -> str:
    """In what a book differs from the exchange's at the same update, within the range that is trusted."""
    sampler, instrument = recorder.pipeline.sampler, recorder.instrument
    if not sampler.is_synced:
        return "not synced"
    truth = msgspec.json.decode(server.exchange.publishers[instrument.symbol].snapshot(1 << 13))
    if truth["lastUpdateId"] != sampler.book.book_id:
        return "not synced"
    for side, name, sign in ((BID, "bids", 1), (ASK, "asks", -1)):
        ticks, lots = levels(sampler.ladder, side)
        ours = dict(zip(ticks.tolist(), lots.tolist(), strict=True))
        pairs = [(float(price), float(quantity)) for price, quantity in truth[name]]
        prices = instrument.price.to_counts(np.array([price for price, _ in pairs]))
        quantities = instrument.quantity.to_counts(np.array([quantity for _, quantity in pairs]))
        theirs = dict(zip(prices.tolist(), quantities.tolist(), strict=True))
        edge = sign * sampler.book.trusted[side]
        wrong = [t for t in ours.keys() | theirs.keys() if sign * t >= edge and ours.get(t) != theirs.get(t)]
        if wrong:
            return f"{name}: {len(wrong)} levels, such as {wrong[:3]}"
    return ""
