import asyncio
import http.client
import json
import time
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from undertow.errors import InputError
from undertow.monitor.metrics_server import MetricsServer
from undertow.runtime.health import ConnectionReport, Health, StreamExpectation
from undertow.runtime.health_snapshot import LAG_BOUNDS_MS

MS = 1_000_000


def fetch(server: MetricsServer, path: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection(server.host, server.port, timeout=10)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def words(text: str) -> str:
    """The words in alphabetical order: the order of labels means nothing."""
    return " ".join(sorted(text.split()))


def samples(text: str) -> dict[tuple[str, str], float]:
    """(name, label values) → value; raises where a sample is given twice."""
    found: dict[tuple[str, str], float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            key = (sample.name, words(" ".join(sample.labels.values())))
            assert key not in found, key
            found[key] = sample.value
    return found


@pytest.fixture
def health() -> Health:
    health = Health("sim")
    for kind in ("aggTrade", "depth"):
        for symbol in ("btcusdt", "ethusdt"):
            stream = f"{symbol}@{kind}".encode()
            health.expect(stream, symbol.upper(), StreamExpectation(kind, 60.0))
            for lag_ms in (4, 40, 90_000):
                health.note(stream, (1_700_000_000_000 + lag_ms) * MS, 1_700_000_000_000, 100)
    symbol_health = health.symbol("BTCUSDT")
    symbol_health.gaps += 3
    symbol_health.is_book_synced = True
    symbol_health.note_audit(400, 398)
    symbol_health.note_written(7 * MS)
    health.reconnects += 2
    health.alarm("something")
    now_s = time.monotonic()
    streams = frozenset({b"btcusdt@aggTrade"})
    health.set_connections(
        [
            ConnectionReport(0, "market", "ws://x", now_s, is_open=True, streams=streams, last_seen_s={}),
            ConnectionReport(1, "market", "ws://x", now_s, is_open=False, streams=streams, last_seen_s={}),
        ]
    )
    health.tick()
    return health


def test_metrics_tell_what_was_noted(health: Health) -> None:
    with MetricsServer(lambda: [health.snapshot()]) as server:
        status, text = fetch(server, "/metrics")
    assert status == 200
    found = samples(text)
    assert found["undertow_stream_frames_total", words("sim BTCUSDT depth btcusdt@depth")] == 3
    assert found["undertow_stream_bytes_total", words("sim ETHUSDT aggTrade ethusdt@aggTrade")] == 300
    assert found["undertow_gaps_total", words("sim BTCUSDT")] == 3
    assert found["undertow_book_match_ratio", words("sim BTCUSDT")] == 398 / 400
    assert found["undertow_book_synced", words("sim BTCUSDT")] == 1
    assert found["undertow_reconnects_total", words("sim")] == 2
    assert found["undertow_drops_total", words("sim")] == 0
    assert found["undertow_alarms_total", words("sim")] == 1
    assert found["undertow_connections_open", words("sim market 0")] == 1
    assert found["undertow_clock_error_seconds", words("sim")] == float("inf")
    assert found["undertow_memory_bytes", words("sim")] > 1_000_000
    assert found["undertow_ready", words("sim")] == 1


def test_lags_are_cumulative_histograms_in_seconds(health: Health) -> None:
    with MetricsServer(lambda: [health.snapshot()]) as server:
        found = samples(fetch(server, "/metrics")[1])
    name = "undertow_receive_lag_seconds"
    assert found[f"{name}_bucket", words("sim depth 0.003")] == 0
    assert found[f"{name}_bucket", words("sim depth 0.005")] == 2, "two symbols"
    assert found[f"{name}_bucket", words("sim depth 60.0")] == 4
    assert found[f"{name}_bucket", words("sim depth +Inf")] == found[f"{name}_count", words("sim depth")] == 6
    assert found[f"{name}_sum", words("sim depth")] == pytest.approx(2 * 90.044)
    assert found["undertow_disk_lag_seconds_bucket", words("sim BTCUSDT 0.0075")] == 1
    recent = "sim BTCUSDT depth btcusdt@depth 0.5"
    assert 0.02 < found["undertow_stream_recent_lag_seconds", words(recent)] <= 0.05
    buckets = [
        value for (key, labels), value in found.items() if key == f"{name}_bucket" and "depth" in labels
    ]
    assert len(buckets) == len(LAG_BOUNDS_MS) + 1
    assert buckets == sorted(buckets)


@pytest.mark.scenario("X7", "metrics answer while the collector stands still")
def test_answers_while_the_loop_stands_still(health: Health) -> None:
    """The fetches block the event loop that collects: nothing but the server's own thread can answer (X7)."""

    async def stalled(server: MetricsServer) -> dict[str, tuple[int, str]]:
        return {path: fetch(server, path) for path in ("/metrics", "/healthz", "/readyz")}

    with MetricsServer(lambda: [health.snapshot()]) as server:
        answers = asyncio.run(stalled(server))
    assert {path: status for path, (status, _) in answers.items()} == {
        "/metrics": 200,
        "/healthz": 200,
        "/readyz": 200,
    }
    assert json.loads(answers["/healthz"][1])["status"] == "alive"


def test_a_long_stall_is_alive_but_not_ready(health: Health) -> None:
    late = Health("late", clock=iter([float(second) for second in range(0, 100_000, 100)]).__next__)
    with MetricsServer(lambda: [health.snapshot(), late.snapshot()]) as server:
        alive, text = fetch(server, "/healthz")
        status, body = fetch(server, "/readyz")
    assert (alive, status) == (200, 503)
    assert json.loads(text)["loop_silence_seconds"]["late"] >= 100
    reasons = json.loads(body)["reasons"]
    assert reasons["sim"] == []
    assert any("stood still" in reason for reason in reasons["late"])


def test_nothing_collected_is_not_ready() -> None:
    with MetricsServer(list) as server:
        status, body = fetch(server, "/readyz")
    assert (status, json.loads(body)) == (503, {"ready": False, "reasons": {}})


def test_a_book_that_is_not_synchronised_is_not_ready(health: Health) -> None:
    health.symbol("ETHUSDT").is_book_synced = False
    with MetricsServer(lambda: [health.snapshot()]) as server:
        status, body = fetch(server, "/readyz")
        found = samples(fetch(server, "/metrics")[1])
    assert status == 503
    assert json.loads(body)["reasons"]["sim"] == ["books not synchronised: ETHUSDT"]
    assert found["undertow_ready", words("sim")] == 0


def test_a_taken_port_says_what_to_do(health: Health) -> None:
    def read() -> Any:
        return [health.snapshot()]

    with (
        MetricsServer(read) as server,
        pytest.raises(InputError, match="choose another port"),
        MetricsServer(read, port=server.port),
    ):
        pass


def test_loopback_unless_asked(health: Health) -> None:
    with MetricsServer(lambda: [health.snapshot()]) as server:
        assert server.url.startswith("http://127.0.0.1:")
