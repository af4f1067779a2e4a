import math
import sys
import threading
from dataclasses import dataclass, replace
from typing import Any

import pytest

from undertow.runtime.health import Cause, ConnectionReport, Health, HealthSnapshot, StreamExpectation
from undertow.runtime.health_snapshot import LAG_BOUNDS_MS, quantile

MS = 1_000_000
DEPTH = StreamExpectation("depth", 10.0, 0.1)
TRADES = StreamExpectation("trades", 60.0)
MARK = StreamExpectation("mark", 1.0, 1.0)
LIQUIDATIONS = StreamExpectation("liquidations", None)
KINDS = {"depth@100ms": DEPTH, "aggTrade": TRADES, "markPrice@1s": MARK, "forceOrder": LIQUIDATIONS}
ROUTES = {"depth@100ms": "public", "aggTrade": "market", "markPrice@1s": "market", "forceOrder": "market"}


@dataclass
class Clock:
    now_s: float = 1000.0

    def __call__(self) -> float:
        return self.now_s


class World:
    """A health whose clock is moved by hand; `run` lets streams send while it ticks once a second."""

    def __init__(self, *symbols: str, copies: int = 1) -> None:
        self.clock = Clock()
        self.health = Health("sim", clock=self.clock, wall_clock=lambda: 7)
        self.streams = [f"{symbol}@{kind}" for symbol in symbols for kind in KINDS]
        for stream in self.streams:
            symbol, _, kind = stream.partition("@")
            self.health.expect(stream.encode(), symbol.upper(), KINDS[kind])
        self.connections = [
            self._report(2 * copy + (route == "market"), route, copy)
            for copy in range(copies)
            for route in ("public", "market")
        ]
        self.health.set_connections(self.connections)
        self.health.note_rest(200)

    def _report(self, number: int, route: str, copy: int) -> ConnectionReport:
        carried = frozenset(s.encode() for s in self.streams if ROUTES[s.partition("@")[2]] == route)
        return ConnectionReport(number, route, f"ws://{route}", self.clock(), True, carried, {}, copy)

    def close(self, number: int) -> None:
        self.connections[number] = replace(self.connections[number], is_open=False)
        self.health.set_connections(self.connections)

    def send(self, stream: str, *numbers: int) -> None:
        """A frame of `stream` comes, over these connections or all that carry it."""
        name = stream.encode()
        self.health.note(name, 0, 0)
        for known in self.connections:
            if name in known.streams and known.is_open and (not numbers or known.number in numbers):
                known.last_seen_s[name] = self.clock()  # type: ignore[index]

    def run(self, seconds: int, *quiet: str, over: tuple[int, ...] = ()) -> None:
        """Each second every stream sends, except those whose name holds a word of `quiet`."""
        for _ in range(seconds):
            self.clock.now_s += 1.0
            for stream in self.streams:
                if "forceOrder" not in stream and not any(word in stream for word in quiet):
                    self.send(stream, *over)
            self.health.tick()

    def causes(self) -> dict[str, Cause]:
        return {silent.stream: silent.likely_cause for silent in self.health.silent_streams()}


def state(snapshot: HealthSnapshot, stream: str) -> Any:
    return next(found for found in snapshot.streams if found.stream == stream)


def test_counts_frames_bytes_and_lags() -> None:
    health = Health("sim", clock=Clock())
    health.expect(b"a@depth", "A", DEPTH)
    for lag_ms in (-3, 0, 4, 40, 100_000):
        health.note(b"a@depth", (1_700_000_000_000 + lag_ms) * MS + 999, 1_700_000_000_000, 100)
    health.note(b"a@depth", 1_700_000_000_000 * MS, 0, 1)
    found = state(health.snapshot(), "a@depth")
    assert (found.frames, found.bytes, found.symbol, found.kind) == (6, 501, "A", "depth")
    assert sum(found.lag_counts) == 5, "a frame without a time has no lag"
    assert found.lag_counts[0] == 2
    assert found.lag_counts[LAG_BOUNDS_MS.index(5.0)] == 1
    assert found.lag_counts[LAG_BOUNDS_MS.index(50.0)] == 1
    assert found.lag_counts[-1] == 1
    assert found.lag_sum_ms == -3 + 0 + 4 + 40 + 100_000


def test_lag_is_corrected_by_the_clock_offset() -> None:
    health = Health("sim", clock=Clock())
    health.set_clock(3000 * MS, 2 * MS)
    health.note(b"a@depth", 1_700_000_000_007 * MS, 1_700_000_003_000)
    snapshot = health.snapshot()
    assert snapshot.streams[0].lag_sum_ms == 7
    assert (snapshot.totals.clock_offset_s, snapshot.totals.clock_error_s) == (3.0, 0.002)


def test_an_unmeasured_clock_says_so() -> None:
    assert math.isinf(Health("sim").snapshot().totals.clock_error_s)


def test_rate_is_right_from_the_first_second_and_follows() -> None:
    world = World("btcusdt")
    world.run(1)
    assert state(world.health.snapshot(), "btcusdt@aggTrade").rate_per_s == pytest.approx(1.0)
    world.run(30, "aggTrade")
    assert state(world.health.snapshot(), "btcusdt@aggTrade").rate_per_s < 0.01


def test_recent_lags_forget_the_past() -> None:
    world = World("btcusdt")
    for _ in range(5):
        world.health.note(b"btcusdt@aggTrade", 1_000_500 * MS, 1_000_000)
    world.run(61)
    world.health.note(b"btcusdt@aggTrade", 1_000_002 * MS, 1_000_000)
    found = state(world.health.snapshot(), "btcusdt@aggTrade")
    assert (sum(found.lag_counts), sum(found.recent_lag_counts)) == (6, 1)


def test_everything_alive_is_silence_of_nothing() -> None:
    world = World("btcusdt", "ethusdt")
    world.run(6 * 3600)
    assert world.causes() == {}, "liquidations may be silent for hours (T11)"
    assert world.health.snapshot().why_not_ready() == []


@pytest.mark.scenario("T11", "no liquidation for hours is healthy, unless another source had some")
def test_liquidations_that_another_source_has_are_broken() -> None:
    world = World("btcusdt", "ethusdt")
    world.run(3600)
    world.health.note_elsewhere(b"btcusdt@forceOrder")
    assert world.causes() == {"btcusdt@forceOrder": Cause.WRONG_ROUTE}
    world.send("ethusdt@forceOrder")
    assert world.causes() == {"btcusdt@forceOrder": Cause.SUBSCRIPTION_LOST}
    world.send("btcusdt@forceOrder")
    assert world.causes() == {}


def test_one_stream_lost_among_live_ones() -> None:
    world = World("btcusdt", "ethusdt")
    world.run(30)
    world.run(11, "ethusdt@depth")
    assert world.causes() == {"ethusdt@depth@100ms": Cause.SUBSCRIPTION_LOST}
    (silent,) = world.health.silent_streams()
    assert (silent.silent_s, silent.expected_s) == (11.0, 10.0)
    assert "subscribed to anew" in str(silent)


def test_a_cadence_is_missed_within_three_intervals() -> None:
    world = World("btcusdt", "ethusdt")
    world.run(30)
    world.run(3, "btcusdt@mark")
    assert world.causes() == {}
    world.run(1, "btcusdt@mark")
    assert world.causes() == {"btcusdt@markPrice@1s": Cause.SUBSCRIPTION_LOST}


def test_a_symbol_that_stopped_trading() -> None:
    world = World("btcusdt", "ethusdt")
    world.run(30)
    world.run(61, "ethusdt")
    assert set(world.causes().values()) == {Cause.SYMBOL_NOT_TRADING}
    assert len(world.causes()) == 3


def test_a_symbol_that_never_sent() -> None:
    world = World("btcusdt", "maticusdt")
    world.run(61, "maticusdt")
    assert set(world.causes().values()) == {Cause.SYMBOL_NOT_TRADING}


def test_without_another_symbol_none_is_said_not_to_trade() -> None:
    world = World("btcusdt")
    world.run(30)
    world.run(61, "usdt")
    world.send("btcusdt@forceOrder")
    assert world.causes()["btcusdt@aggTrade"] == Cause.SUBSCRIPTION_LOST


def test_wrong_route_of_a_kind() -> None:
    world = World("btcusdt", "ethusdt")
    world.run(61, "aggTrade")
    assert world.causes() == {
        "btcusdt@aggTrade": Cause.WRONG_ROUTE,
        "ethusdt@aggTrade": Cause.WRONG_ROUTE,
    }


def test_wrong_route_of_a_whole_socket() -> None:
    world = World("btcusdt")
    world.run(61, "aggTrade", "markPrice")
    assert set(world.causes().values()) == {Cause.WRONG_ROUTE}


def test_a_dead_connection() -> None:
    world = World("btcusdt", "ethusdt")
    world.run(30)
    world.run(61, "aggTrade", "markPrice")
    assert set(world.causes().values()) == {Cause.CONNECTION_DEAD}
    world.close(1)
    assert set(world.causes().values()) == {Cause.CONNECTION_DEAD}


def test_a_silent_copy_loses_nothing_but_is_told() -> None:
    world = World("btcusdt", copies=2)
    world.run(30)
    world.run(20, over=(0, 1))
    assert set(world.causes().values()) == {Cause.COPY_SILENT}
    assert "btcusdt@depth@100ms on connection 2" in world.causes()
    assert world.health.snapshot().is_ready


@pytest.mark.scenario("C21", "a halt is one incident")
def test_a_halt_is_one_incident() -> None:
    world = World("btcusdt", "ethusdt")
    world.run(30)
    world.run(20, "usdt")
    world.health.note_rest(200)
    assert world.causes() == {"*": Cause.EXCHANGE_HALTED}
    world.health.note_rest(503)
    assert world.causes() == {"*": Cause.EXCHANGE_HALTED}
    world.run(1)
    assert world.causes() == {}


def test_silence_of_everything_without_rest_is_the_network() -> None:
    world = World("btcusdt", "ethusdt")
    world.run(30)
    world.health.note_rest(0)
    world.run(100, "usdt")
    assert world.causes() == {"*": Cause.UNREACHABLE}


def test_the_only_connection_silent_is_not_yet_a_halt() -> None:
    world = World("btcusdt")
    world.close(1)
    world.run(30)
    world.run(20, "usdt")
    assert Cause.EXCHANGE_HALTED not in world.causes().values()
    assert world.causes()["btcusdt@depth@100ms"] == Cause.CONNECTION_DEAD
    renewed = replace(world.connections[0], opened_s=world.clock(), last_seen_s={})
    world.health.set_connections([renewed])
    assert world.causes() == {"*": Cause.EXCHANGE_HALTED}, "a new socket delivers nothing either"


def test_a_quiet_symbol_teaches_patience() -> None:
    world = World("btcusdt", "dotusdt")
    for _ in range(5):
        world.run(40, "dotusdt@aggTrade")
        world.send("dotusdt@aggTrade")
    world.run(119, "dotusdt@aggTrade")
    assert world.causes() == {}, "three times the usual 40 s"
    world.run(2, "dotusdt@aggTrade")
    assert world.causes() == {"dotusdt@aggTrade": Cause.SUBSCRIPTION_LOST}


def test_an_outage_teaches_no_more_than_was_allowed_and_is_forgotten() -> None:
    world = World("btcusdt", "ethusdt")
    world.run(30)
    world.run(1800, "ethusdt@depth")
    world.send("ethusdt@depth@100ms")
    assert state(world.health.snapshot(), "ethusdt@depth@100ms").longest_interval_s == 10.0
    world.run(7200)
    assert state(world.health.snapshot(), "ethusdt@depth@100ms").longest_interval_s == 1.0


def test_a_lost_connection_teaches_nothing() -> None:
    world = World("btcusdt")
    world.run(30)
    before = state(world.health.snapshot(), "btcusdt@aggTrade")
    world.health.note_interruption([b"btcusdt@aggTrade", b"unknown@trade"])
    world.run(50, "aggTrade")
    world.send("btcusdt@aggTrade")
    after = state(world.health.snapshot(), "btcusdt@aggTrade")
    assert after.longest_interval_s == before.longest_interval_s == 1.0
    assert after.mean_interval_s == pytest.approx(before.mean_interval_s)


def test_a_pause_of_our_own_is_no_silence() -> None:
    world = World("btcusdt")
    world.run(30)
    world.clock.now_s += 100
    assert world.health.silent_streams() == []
    assert world.health.snapshot().stalled_s == 100
    assert "stood still" in world.health.snapshot().why_not_ready()[0]
    world.health.tick()
    assert world.causes() == {}, "frames may wait unread"
    world.run(20, "usdt")
    assert "*" in world.causes()


def test_unexpected_and_forgotten_streams() -> None:
    world = World("btcusdt")
    world.health.note(b"xrpusdt@depth", 0, 0)
    world.health.forget(b"btcusdt@aggTrade")
    world.run(61, "aggTrade")
    assert world.causes() == {}
    assert state(world.health.snapshot(), "xrpusdt@depth").symbol == "XRPUSDT"


def test_symbols_audits_bans_and_alarms() -> None:
    world = World("btcusdt")
    symbol = world.health.symbol("BTCUSDT")
    symbol.gaps += 2
    symbol.note_audit(200, 190)
    symbol.note_audit(200, 200)
    symbol.note_written(3 * MS)
    symbol.is_book_synced = False
    world.health.note_ban(600)
    world.health.note_ban(7)
    world.clock.now_s += 100
    for message in ("one", "two", "two"):
        world.health.alarm(message)
    snapshot = world.health.snapshot()
    (found,) = snapshot.symbols
    assert (found.gaps, found.audits, found.match_share) == (2, 2, 390 / 400)
    assert found.disk_lag_counts[LAG_BOUNDS_MS.index(3.0)] == 1
    assert snapshot.totals.banned_s == 500
    assert [(alarm.message, alarm.times) for alarm in snapshot.alarms] == [("one", 1), ("two", 2)]
    assert snapshot.totals.alarms == 3
    assert snapshot.totals.memory_bytes > 1_000_000
    assert any("BTCUSDT" in reason for reason in snapshot.why_not_ready())
    assert replace_nothing(snapshot) == snapshot


def replace_nothing(snapshot: HealthSnapshot) -> HealthSnapshot:
    with pytest.raises(AttributeError):
        snapshot.venue = "other"  # type: ignore[misc]
    return snapshot


def test_quantiles() -> None:
    counts = [0] * (len(LAG_BOUNDS_MS) + 1)
    assert quantile(counts, 0.5) is None
    counts[LAG_BOUNDS_MS.index(100.0)] = 98
    counts[-1] = 2
    assert quantile(counts, 0.49) == pytest.approx(75 + 25 * 49 / 98)
    assert quantile(counts, 0.99) == LAG_BOUNDS_MS[-1]


def test_snapshots_from_another_thread_while_streams_come_and_go() -> None:
    health = Health("sim")
    stop = threading.Event()
    failures: list[BaseException] = []
    taken = 0

    def read() -> None:
        nonlocal taken
        try:
            while not stop.is_set():
                health.snapshot()
                taken += 1
        except BaseException as error:  # noqa: BLE001 - told to the test
            failures.append(error)

    interval_s = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    reader = threading.Thread(target=read)
    reader.start()
    try:
        number = 0
        while number < 2000 or (taken < 20 and reader.is_alive()):
            health.note(b"s%d@depth" % (number % 97), 0, 0)
            health.forget(b"s%d@depth" % ((number + 50) % 97))
            health.symbol(f"S{number % 97}")
            health.alarm(str(number))
            number += 1
    finally:
        stop.set()
        reader.join()
        sys.setswitchinterval(interval_s)
    assert not failures
    assert taken >= 20
