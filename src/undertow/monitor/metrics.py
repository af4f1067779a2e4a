"""Prometheus metrics of a collection: its health, read when it is scraped."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from undertow.runtime.health_snapshot import LAG_BOUNDS_MS, HealthSnapshot, StreamState, quantile

__all__ = ["HealthCollector", "ReadHealth"]

ReadHealth = Callable[[], Sequence[HealthSnapshot]]
"""Gives the health of every venue that is collected; called from the thread that is asked."""

_Family = CounterMetricFamily | GaugeMetricFamily
_STREAM_LABELS = ("venue", "symbol", "kind", "stream")

_COUNTER, _GAUGE = CounterMetricFamily, GaugeMetricFamily


@dataclass(frozen=True, slots=True)
class _Metric:
    """A metric that is one attribute of a state; an attribute that is None gives no sample."""

    name: str
    family: type[_Family]
    attribute: str
    text: str

    def family_of(self, labels: Sequence[str], samples: Iterable[tuple[Sequence[str], object]]) -> _Family:
        """The metric with a sample for each (label values, state)."""
        family = self.family(self.name, self.text, labels=labels)
        for values, state in samples:
            value = getattr(state, self.attribute)
            if value is not None:
                family.add_metric(values, float(value))
        return family


_OF_STREAM = (
    _Metric("undertow_stream_frames", _COUNTER, "frames", "Frames received."),
    _Metric("undertow_stream_bytes", _COUNTER, "bytes", "Bytes received."),
    _Metric("undertow_stream_frames_per_second", _GAUGE, "rate_per_s", "Rate over the last seconds."),
    _Metric("undertow_stream_silence_seconds", _GAUGE, "silent_s", "Time since the last frame."),
)
_OF_SYMBOL = (
    _Metric("undertow_gaps", _COUNTER, "gaps", "Gaps recorded."),
    _Metric("undertow_resyncs", _COUNTER, "resyncs", "Books synchronised anew."),
    _Metric("undertow_duplicates", _COUNTER, "duplicates", "Frames or rows that had come before."),
    _Metric("undertow_snapshots", _COUNTER, "snapshots", "Book snapshots fetched."),
    _Metric("undertow_repaired_rows", _COUNTER, "repaired_rows", "Rows repaired from elsewhere."),
    _Metric("undertow_book_audits", _COUNTER, "audits", "Books compared with the exchange."),
    _Metric("undertow_book_match_ratio", _GAUGE, "match_share", "Share of audited levels that agreed."),
    _Metric("undertow_book_synced", _GAUGE, "is_book_synced", "1 while the book is exact, 0 while invalid."),
    _Metric("undertow_last_price", _GAUGE, "last_price", "Price of the newest trade."),
)
_OF_VENUE = (
    _Metric("undertow_reconnects", _COUNTER, "reconnects", "Sockets opened anew."),
    _Metric("undertow_drops", _COUNTER, "drops", "Frames received and not kept: always 0."),
    _Metric("undertow_alarms", _COUNTER, "alarms", "Alarms raised."),
    _Metric("undertow_rest_requests", _COUNTER, "rest_requests", "REST requests sent."),
    _Metric("undertow_rest_failures", _COUNTER, "rest_failures", "REST requests without a good answer."),
    _Metric("undertow_rest_weight_used", _GAUGE, "rest_weight_used", "Request weight used this minute."),
    _Metric("undertow_rest_weight_limit", _GAUGE, "rest_weight_limit", "Request weight allowed a minute."),
    _Metric("undertow_rest_ban_seconds", _GAUGE, "banned_s", "Time that REST is still closed to us."),
    _Metric("undertow_queue_frames", _GAUGE, "queue_frames", "Frames that wait to be processed."),
    _Metric("undertow_spill_bytes", _GAUGE, "spill_bytes", "Bytes spilled to disk that wait."),
    _Metric("undertow_journal_bytes", _COUNTER, "journal_bytes", "Bytes written to the journal."),
    _Metric("undertow_memory_bytes", _GAUGE, "memory_bytes", "Resident memory of the process."),
    _Metric("undertow_clock_offset_seconds", _GAUGE, "clock_offset_s", "The exchange's clock minus ours."),
    _Metric("undertow_clock_error_seconds", _GAUGE, "clock_error_s", "The offset is known to within this."),
)
_OF_SNAPSHOT = (
    _Metric("undertow_uptime_seconds", _GAUGE, "uptime_s", "Time since the start."),
    _Metric("undertow_loop_silence_seconds", _GAUGE, "stalled_s", "Time since the event loop last ran."),
    _Metric("undertow_silent_streams", _GAUGE, "silent_count", "Streams silent for longer than expected."),
    _Metric("undertow_ready", _GAUGE, "is_ready", "1 while everything is collected as it should be."),
)


class HealthCollector(Collector):
    """Turns health into metrics when it is scraped, and does nothing in between."""

    def __init__(self, read: ReadHealth) -> None:
        self._read = read

    def describe(self) -> list[_Family]:
        """No metric is known before the first scrape: registering must not read."""
        return []

    def collect(self) -> Iterator[_Family | HistogramMetricFamily]:
        """Every metric of every venue."""
        snapshots = list(self._read())
        yield from _stream_families(snapshots)
        yield from _symbol_families(snapshots)
        yield from _venue_families(snapshots)
        yield from _connection_families(snapshots)
        yield _lag_family(snapshots)
        yield _disk_lag_family(snapshots)


def _stream_families(snapshots: Sequence[HealthSnapshot]) -> Iterator[_Family]:
    samples = [(_stream_labels(taken, state), state) for taken in snapshots for state in taken.streams]
    yield from (metric.family_of(_STREAM_LABELS, samples) for metric in _OF_STREAM)
    recent = GaugeMetricFamily(
        "undertow_stream_recent_lag_seconds",
        "Time from the exchange to us over the last minute, by quantile.",
        labels=(*_STREAM_LABELS, "quantile"),
    )
    for snapshot in snapshots:
        for state in snapshot.streams:
            for share in (0.5, 0.99):
                lag_ms = quantile(state.recent_lag_counts, share)
                if lag_ms is not None:
                    recent.add_metric([*_stream_labels(snapshot, state), str(share)], lag_ms / 1e3)
    yield recent


def _stream_labels(snapshot: HealthSnapshot, state: StreamState) -> list[str]:
    return [snapshot.venue, state.symbol, state.kind, state.stream]


def _symbol_families(snapshots: Sequence[HealthSnapshot]) -> Iterator[_Family]:
    samples = [((taken.venue, state.symbol), state) for taken in snapshots for state in taken.symbols]
    yield from (metric.family_of(("venue", "symbol"), samples) for metric in _OF_SYMBOL)


def _venue_families(snapshots: Sequence[HealthSnapshot]) -> Iterator[_Family]:
    totals = [((taken.venue,), taken.totals) for taken in snapshots]
    yield from (metric.family_of(("venue",), totals) for metric in _OF_VENUE)
    wholes = [((taken.venue,), taken) for taken in snapshots]
    yield from (metric.family_of(("venue",), wholes) for metric in _OF_SNAPSHOT)


def _connection_families(snapshots: Sequence[HealthSnapshot]) -> Iterator[_Family]:
    labels = ("venue", "category", "copy")
    opened = GaugeMetricFamily("undertow_connections_open", "Sockets that are open.", labels=labels)
    silence = GaugeMetricFamily(
        "undertow_connection_silence_seconds",
        "Time since the least silent open one delivered.",
        labels=labels,
    )
    for snapshot in snapshots:
        groups: dict[tuple[str, str], list[float]] = {}
        for known in snapshot.connections:
            group = groups.setdefault((known.category, str(known.copy)), [])
            if known.is_open:
                group.append(known.silent_s)
        for (category, copy), silent_s in groups.items():
            opened.add_metric([snapshot.venue, category, copy], len(silent_s))
            if silent_s:
                silence.add_metric([snapshot.venue, category, copy], min(silent_s))
    yield opened
    yield silence


def _lag_family(snapshots: Sequence[HealthSnapshot]) -> HistogramMetricFamily:
    """By kind of stream, since a histogram of each stream would be thousands of series."""
    family = HistogramMetricFamily(
        "undertow_receive_lag_seconds",
        "Time from the exchange's event to its frame's receipt, corrected by the clock offset.",
        labels=("venue", "kind"),
    )
    for snapshot in snapshots:
        sums: dict[str, tuple[list[int], float]] = {}
        for state in snapshot.streams:
            counts, sum_ms = sums.get(state.kind, ([0] * len(state.lag_counts), 0.0))
            added = [count + own for count, own in zip(counts, state.lag_counts, strict=True)]
            sums[state.kind] = (added, sum_ms + state.lag_sum_ms)
        for kind, (counts, sum_ms) in sums.items():
            family.add_metric([snapshot.venue, kind], _buckets(counts), sum_ms / 1e3)
    return family


def _disk_lag_family(snapshots: Sequence[HealthSnapshot]) -> HistogramMetricFamily:
    family = HistogramMetricFamily(
        "undertow_disk_lag_seconds",
        "Time from the receipt of the oldest frame of a write to its being on disk.",
        labels=("venue", "symbol"),
    )
    for snapshot in snapshots:
        for state in snapshot.symbols:
            buckets = _buckets(state.disk_lag_counts)
            family.add_metric([snapshot.venue, state.symbol], buckets, state.disk_lag_sum_ms / 1e3)
    return family


def _buckets(counts: Sequence[int]) -> list[tuple[str, float]]:
    """(upper bound [s], frames up to it), as Prometheus wants them: cumulative, `+Inf` last."""
    bounds = [*(str(bound_ms / 1e3) for bound_ms in LAG_BOUNDS_MS), "+Inf"]
    total, found = 0, []
    for bound, count in zip(bounds, counts, strict=True):
        total += count
        found.append((bound, float(total)))
    return found
