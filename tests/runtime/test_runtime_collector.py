import asyncio
import os
import signal
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any, TypeVar

import msgspec
import pytest
import uvloop
from tests.venues.binance.fake_exchange import FakeExchange, Reply, Waiter, combined

from undertow.errors import InputError, LakeError
from undertow.market.instruments import Instrument
from undertow.runtime.collection import collect, resolve_instruments
from undertow.runtime.collector import Collector, CollectorSettings
from undertow.runtime.snapshots import SnapshotSettings
from undertow.runtime.track import RecorderStatus
from undertow.venues.answers import RefusedError
from undertow.venues.binance.instruments import known_instrument
from undertow.venues.binance.rest import BinanceRest
from undertow.venues.feeding import FeedSettings
from undertow.venues.kits import binance_kit

Result = TypeVar("Result")

DEPTH, TRADES = "btcusdt@depth@100ms", "btcusdt@aggTrade"
BASE_MS = 1_770_000_000_000
FEED = FeedSettings(backoff_s=0.001, backoff_limit_s=0.01, close_timeout_s=2.0)
SETTINGS = CollectorSettings(
    process_every_s=0.005, quiet_s=None, snapshots=SnapshotSettings(pause_s=0.01, audit_every_s=None)
)


class ListRecorder:
    """Journals into a list; its book is usable once a snapshot came after the newest disconnect."""

    def __init__(self, instrument: Instrument, waiter: Waiter) -> None:
        self.instrument = instrument
        self.lines: list[tuple[int, bytes]] = []
        self.processed = 0
        self.closed = 0
        self.unusable_snapshots = 0
        self.failure: Exception | None = None
        self.waiter = waiter

    @property
    def frames(self) -> list[bytes]:
        return [frame for _, frame in self.lines]

    def record(self, receive_ns: int, frame: bytes) -> None:
        self.lines.append((receive_ns, frame))
        self.waiter.notify()

    def process(self) -> bool:
        if self.failure is not None:
            raise self.failure
        self.processed = len(self.lines)
        self.waiter.notify()
        return False

    def needs_snapshot(self) -> bool:
        marks = [b"lastUpdateId" in frame for frame in self.frames if b"lastUpdateId" in frame or lost(frame)]
        return not marks or not marks[-1] or sum(marks) <= self.unusable_snapshots

    def is_synced(self) -> bool:
        return not self.needs_snapshot()

    def trusts_enough(self) -> bool:
        return True

    def trouble(self) -> str:
        return ""

    def is_off_step(self) -> bool:
        return False

    def abandon(self) -> None: ...

    def missing_trades(self) -> list[tuple[int, int]]:
        return []

    def missing_singles(self) -> list[tuple[int, int]]:
        return []

    def status(self) -> RecorderStatus:
        return RecorderStatus("synced", None, 0, 0, 0, 0, 0, 0, 0, 0, 0, {})

    def newest_event_ns(self) -> int:
        stamps = [msgspec.json.decode(frame)["data"]["E"] for frame in self.frames if b'"E":17' in frame]
        return max(stamps, default=0) * 1_000_000

    def close(self) -> None:
        self.closed += 1


def run(main: Coroutine[Any, Any, Result]) -> Result:
    """On the event loop that `undertow collect` uses."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main)


def lost(frame: bytes) -> bool:
    return b'"disconnect"' in frame


Scenario = Callable[[FakeExchange, Collector, dict[str, ListRecorder]], Awaitable[None]]


def play(
    scenario: Scenario,
    symbols: Sequence[str] = ("BTCUSDT",),
    kinds: Sequence[str] = ("depth", "trades"),
    settings: CollectorSettings = SETTINGS,
    feed_settings: FeedSettings = FEED,
    earlier: Sequence[bytes] = (),
) -> tuple[dict[str, ListRecorder], dict[str, int]]:
    """Collect from the fake exchange while the scenario lasts, then stop as a user would."""
    recorders: dict[str, ListRecorder] = {}

    async def main() -> dict[str, int]:
        async with FakeExchange() as exchange, BinanceRest(exchange.endpoints) as rest:
            for symbol in symbols:
                instrument = known_instrument("binance-usdm", symbol)
                assert instrument is not None
                recorders[symbol] = ListRecorder(instrument, exchange.waiter)
                for frame in earlier:
                    recorders[symbol].record(1, frame)
            collector = Collector(
                binance_kit(exchange.endpoints),
                list(recorders.values()),
                kinds,
                rest,
                settings=settings,
                feed_settings=feed_settings,
            )
            async with asyncio.timeout(20):
                running = asyncio.create_task(collector.run())
                try:
                    await scenario(exchange, collector, recorders)
                finally:
                    collector.stop()
                    counters = await running
            return counters

    counters = run(main())
    assert all(recorder.closed == 1 for recorder in recorders.values())
    return recorders, counters


def test_frames_go_to_their_symbol_and_a_snapshot_follows_the_first_update() -> None:
    async def scenario(
        exchange: FakeExchange, collector: Collector, recorders: dict[str, ListRecorder]
    ) -> None:
        await exchange.subscribed(2)
        assert exchange.calls == [], "a snapshot older than the first update would be useless"
        await exchange.publish(combined(DEPTH, u=1))
        await exchange.waiter.until(lambda: len(recorders["BTCUSDT"].lines) == 2)
        await exchange.publish(combined("ethusdt@aggTrade", a=1))
        await exchange.waiter.until(lambda: len(recorders["ETHUSDT"].lines) == 1)

    recorders, counters = play(scenario, symbols=("BTCUSDT", "ETHUSDT"))
    body = b'{"lastUpdateId":7,"E":1,"T":1,"bids":[["1.0","2"]],"asks":[["1.1","2"]]}'
    assert recorders["BTCUSDT"].frames == [combined(DEPTH, u=1), body]
    assert recorders["ETHUSDT"].frames == [combined("ethusdt@aggTrade", a=1)]
    assert all(recorder.processed == len(recorder.lines) for recorder in recorders.values())
    assert counters["snapshots"] == 1
    assert counters["frames"] == 2
    stamps = [receive_ns for receive_ns, _ in recorders["BTCUSDT"].lines]
    assert stamps == sorted(stamps)


def test_a_lost_connection_is_journalled_and_a_fresh_snapshot_fetched() -> None:
    async def scenario(
        exchange: FakeExchange, collector: Collector, recorders: dict[str, ListRecorder]
    ) -> None:
        recorder = recorders["BTCUSDT"]
        await exchange.subscribed(2)
        await exchange.publish(combined(DEPTH, u=1))
        await exchange.waiter.until(lambda: len(recorder.lines) == 2)
        (line,) = exchange.open_lines("/public/")
        line.cut()
        await exchange.waiter.until(lambda: len(recorder.lines) == 3)
        await exchange.waiter.until(lambda: len(exchange.lines) == 3 and bool(exchange.lines[2].streams))
        assert len(exchange.calls) == 1, "not before updates flow again"
        await exchange.publish(combined(DEPTH, u=9))
        await exchange.waiter.until(lambda: len(recorder.lines) == 5)

    recorders, counters = play(scenario, symbols=("BTCUSDT",))
    mark, update, snapshot = recorders["BTCUSDT"].frames[2:]
    assert msgspec.json.decode(mark) == {
        "stream": "!undertow",
        "data": {
            "e": "disconnect",
            "category": "public",
            "reason": "connection lost without a close frame",
        },
    }
    assert update == combined(DEPTH, u=9)
    assert snapshot.startswith(b'{"lastUpdateId":7')
    assert counters["reconnects"] == counters["disconnects"] == 1
    assert counters["snapshots"] == 2


def test_an_unusable_snapshot_is_fetched_again() -> None:
    async def scenario(
        exchange: FakeExchange, collector: Collector, recorders: dict[str, ListRecorder]
    ) -> None:
        recorders["BTCUSDT"].unusable_snapshots = 2
        await exchange.subscribed(2)
        await exchange.publish(combined(DEPTH, u=1))
        await exchange.waiter.until(lambda: len(recorders["BTCUSDT"].lines) == 4)

    recorders, counters = play(scenario)
    assert counters["snapshots"] == 3
    assert sum(b"lastUpdateId" in frame for frame in recorders["BTCUSDT"].frames) == 3


def test_without_depth_no_snapshot_is_fetched() -> None:
    async def scenario(
        exchange: FakeExchange, collector: Collector, recorders: dict[str, ListRecorder]
    ) -> None:
        await exchange.subscribed(1)
        await exchange.publish(combined(TRADES, a=1))
        await exchange.waiter.until(lambda: recorders["BTCUSDT"].processed == 1)
        assert exchange.calls == []

    play(scenario, kinds=("trades",))


def test_garbage_is_kept_raw_on_one_line() -> None:
    garbage = [b"<html>\n</html>", b'{"stream":"ethusdt@depth@100ms","data":{"u":', b"\xff\xfe"]

    async def scenario(
        exchange: FakeExchange, collector: Collector, recorders: dict[str, ListRecorder]
    ) -> None:
        (line,) = [line for line in await exchange.subscribed(2) if "public" in line.path]
        for frame in garbage:
            await line.socket.send_bytes(frame)
        await exchange.waiter.until(lambda: len(recorders["BTCUSDT"].lines) == 2)
        await exchange.waiter.until(lambda: len(recorders["ETHUSDT"].lines) >= 1)

    recorders, counters = play(scenario, symbols=("BTCUSDT", "ETHUSDT"))
    assert recorders["BTCUSDT"].frames == [b"<html> </html>", b"\xff\xfe"]
    assert recorders["ETHUSDT"].frames[0] == garbage[1]
    assert counters["unrouted_frames"] == 2


def test_a_quiet_market_gets_watermarks_that_never_pass_the_clock() -> None:
    async def scenario(
        exchange: FakeExchange, collector: Collector, recorders: dict[str, ListRecorder]
    ) -> None:
        await exchange.subscribed(1)
        await exchange.publish(combined(TRADES, E=BASE_MS))
        await exchange.waiter.until(lambda: len(recorders["BTCUSDT"].lines) >= 4)

    recorders, counters = play(scenario, kinds=("trades",), settings=replace(SETTINGS, quiet_s=0.05))
    (begin_ns, _), *marks = recorders["BTCUSDT"].lines
    decoded = [(receive_ns, msgspec.json.decode(frame)["data"]) for receive_ns, frame in marks]
    stamps = [data["T"] for _, data in decoded]
    assert all(data["e"] == "watermark" for _, data in decoded)
    assert stamps[0] >= BASE_MS + 50
    assert all(later - earlier >= 50 - 1 for earlier, later in pairwise(stamps))
    assert all(data["T"] <= BASE_MS + (at_ns - begin_ns) / 1e6 + 2 for at_ns, data in decoded)
    assert counters["watermarks"] == len(marks)


def test_no_watermark_before_the_first_event() -> None:
    async def scenario(
        exchange: FakeExchange, collector: Collector, recorders: dict[str, ListRecorder]
    ) -> None:
        await exchange.subscribed(1)
        await exchange.publish(combined(TRADES, a=1))
        await exchange.waiter.until(lambda: recorders["BTCUSDT"].processed == 1)
        with pytest.raises(TimeoutError):
            await exchange.waiter.until(lambda: len(recorders["BTCUSDT"].lines) > 1, timeout_s=0.2)

    play(scenario, kinds=("trades",), settings=replace(SETTINGS, quiet_s=0.01))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains_and_closes(number: int) -> None:
    async def scenario(
        exchange: FakeExchange, collector: Collector, recorders: dict[str, ListRecorder]
    ) -> None:
        await exchange.subscribed(2)
        await exchange.publish(combined(TRADES, a=1))
        await exchange.waiter.until(lambda: len(recorders["BTCUSDT"].lines) == 1)
        os.kill(os.getpid(), number)
        await exchange.waiter.until(lambda: not exchange.open_lines())
        await exchange.waiter.until(lambda: recorders["BTCUSDT"].processed == 1)
        assert [line.close_code for line in exchange.lines] == [1000, 1000]

    play(scenario)


def test_a_failing_recorder_ends_the_run_with_its_error() -> None:
    recorders: dict[str, ListRecorder] = {}

    async def scenario(exchange: FakeExchange, collector: Collector, found: dict[str, ListRecorder]) -> None:
        recorders.update(found)
        found["ETHUSDT"].failure = LakeError("the disk is full")
        await exchange.subscribed(2)
        await exchange.publish(combined("ethusdt@aggTrade", a=1))
        await exchange.waiter.until(lambda: found["ETHUSDT"].closed == 1 or not exchange.open_lines())

    with pytest.raises(LakeError, match="the disk is full"):
        play(scenario, symbols=("BTCUSDT", "ETHUSDT"))
    assert [recorder.closed for recorder in recorders.values()] == [1, 1]


def test_a_refusal_ends_the_run_with_an_explanation() -> None:
    async def scenario(
        exchange: FakeExchange, collector: Collector, recorders: dict[str, ListRecorder]
    ) -> None:
        exchange.script("depth", Reply(451))
        await exchange.subscribed(2)
        await exchange.publish(combined(DEPTH, u=1))
        await exchange.waiter.until(lambda: recorders["BTCUSDT"].closed == 1 or not exchange.open_lines())

    with pytest.raises(RefusedError, match="location"):
        play(scenario)


def test_collect_ends_with_the_market_and_counts() -> None:
    kept: list[bytes] = []

    async def main() -> dict[str, int]:
        async with FakeExchange() as exchange:
            recorders: list[ListRecorder] = []

            def open_recorder(instrument: Instrument) -> ListRecorder:
                recorders.append(ListRecorder(instrument, exchange.waiter))
                return recorders[-1]

            running = asyncio.create_task(
                collect(
                    exchange.endpoints,
                    ["BTCUSDT"],
                    ["trades"],
                    open_recorder,
                    settings=SETTINGS,
                    feed_settings=replace(FEED, end_on_going_away=True),
                    keep_exchange_info=kept.append,
                )
            )
            (line,) = await exchange.subscribed(1)
            await exchange.publish(combined(TRADES, a=1))
            await line.socket.close(code=1001)
            async with asyncio.timeout(10):
                counters = (await running).counters
            assert recorders[0].instrument.tick == "0.10"
            assert recorders[0].closed == 1
            return counters

    counters = run(main())
    assert counters["frames"] == 1
    assert b"PRICE_FILTER" in kept[0]


def test_collect_for_a_duration() -> None:
    async def main() -> dict[str, int]:
        async with FakeExchange() as exchange:
            async with asyncio.timeout(10):
                collected = await collect(
                    exchange.endpoints,
                    ["BTCUSDT"],
                    ["trades"],
                    lambda instrument: ListRecorder(instrument, exchange.waiter),
                    duration_s=0.1,
                    feed_settings=FEED,
                )
            return collected.counters

    assert run(main())["connections"] == 1


def test_recorders_already_open_are_closed_when_the_next_cannot_be() -> None:
    opened: list[ListRecorder] = []

    async def main() -> None:
        async with FakeExchange() as exchange:

            def open_recorder(instrument: Instrument) -> ListRecorder:
                if opened:
                    raise LakeError("the lake cannot be written")
                opened.append(ListRecorder(instrument, exchange.waiter))
                return opened[-1]

            await collect(exchange.endpoints, ["BTCUSDT", "ETHUSDT"], ["trades"], open_recorder)

    with pytest.raises(LakeError):
        run(main())
    assert opened[0].closed == 1


def test_instruments_come_from_the_table_when_the_exchange_does_not_say() -> None:
    async def main(symbols: list[str], venue: str = "binance-usdm") -> list[Instrument]:
        async with FakeExchange() as exchange:
            exchange.script("exchangeInfo", Reply(200, b"<html>"), Reply(200, b"<html>"))
            async with BinanceRest(replace(exchange.endpoints, venue=venue), attempts=1) as rest:
                return await resolve_instruments(rest, symbols)

    assert run(main(["BTCUSDT"])) == [known_instrument("binance-usdm", "BTCUSDT")]
    with pytest.raises(InputError, match="not an exchangeInfo answer"):
        run(main(["BTCUSDT", "NOSUCH"]))
    with pytest.raises(InputError, match="sim: exchangeInfo: not an"):
        run(main(["BTCUSDT"], "sim"))


def test_an_unknown_symbol_is_refused_before_anything_is_opened() -> None:
    async def main() -> None:
        async with FakeExchange() as exchange:
            await collect(exchange.endpoints, ["BTCUSD"], ["trades"], lambda _: pytest.fail("opened"))

    with pytest.raises(InputError, match="did you mean BTCUSDT"):
        run(main())


def test_a_recording_that_goes_on_says_that_it_was_interrupted() -> None:
    async def scenario(
        exchange: FakeExchange, collector: Collector, recorders: dict[str, ListRecorder]
    ) -> None:
        await exchange.subscribed(2)

    old = combined("btcusdt@aggTrade", a=1, E=1_700_000_000_000)
    recorders, _ = play(scenario, earlier=[old])
    first, second = recorders["BTCUSDT"].frames[:2]
    assert first == old
    assert lost(second)
    assert b"collection resumed" in second
    fresh, _ = play(scenario)
    assert not any(lost(frame) for frame in fresh["BTCUSDT"].frames)
