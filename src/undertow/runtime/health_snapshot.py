"""What can be known of a running collection at one instant: frozen, for readers in any thread."""

from collections.abc import Sequence

import msgspec

from undertow.runtime.silence import Cause, SilentStream

__all__ = [
    "LAG_BOUNDS_MS",
    "Alarm",
    "ConnectionState",
    "HealthSnapshot",
    "StreamState",
    "SymbolState",
    "Totals",
    "quantile",
]

LAG_BOUNDS_MS: tuple[float, ...] = (
    *(0.0, 0.1, 0.2, 0.5, 1.0, 2.0, 3.0, 5.0, 7.5, 10.0, 15.0, 20.0, 30.0, 50.0, 75.0),
    *(100.0, 150.0, 200.0, 300.0, 500.0, 750.0, 1e3, 1.5e3, 2e3, 3e3, 5e3, 1e4, 3e4, 6e4),
)
"""Upper bounds of the buckets of every lag [ms], each included; a last bucket holds what is longer.

The first holds lags that are not positive: they show that the clocks disagree.
"""


class StreamState(msgspec.Struct, frozen=True):
    """One stream. Times in seconds; lags in milliseconds, exchange → us, corrected by the clock offset."""

    stream: str
    symbol: str
    kind: str
    frames: int
    bytes: int
    rate_per_s: float
    """Frames a second, exponentially weighted over the last seconds."""
    silent_s: float
    """Since its last frame, or since it was expected where none has come."""
    was_seen: bool
    mean_interval_s: float
    longest_interval_s: float
    """Longest interval that counts as usual, over the last one to two hours."""
    lag_counts: tuple[int, ...]
    """Frames by lag since the start, in the buckets of `LAG_BOUNDS_MS`."""
    lag_sum_ms: float
    recent_lag_counts: tuple[int, ...]
    """The same over the last half to whole minute."""


class SymbolState(msgspec.Struct, frozen=True):
    """One symbol. `book` is the state in one word; `is_book_synced` is None where no book is collected."""

    symbol: str
    book: str
    is_book_synced: bool | None
    last_price: float | None
    gaps: int
    resyncs: int
    duplicates: int
    snapshots: int
    repaired_rows: int
    audits: int
    audited_levels: int
    matching_levels: int
    disk_lag_counts: tuple[int, ...]
    """Writes by the time from receipt to disk, in the buckets of `LAG_BOUNDS_MS`."""
    disk_lag_sum_ms: float

    @property
    def match_share(self) -> float | None:
        """Share of the audited levels that agreed with the exchange; None before the first audit."""
        return self.matching_levels / self.audited_levels if self.audited_levels else None


class ConnectionState(msgspec.Struct, frozen=True):
    """One socket."""

    number: int
    category: str
    url: str
    copy: int
    is_open: bool
    age_s: float
    silent_s: float
    streams: int


class Alarm(msgspec.Struct, frozen=True):
    """Something a person should know, when it was said [ns since the epoch], and how often."""

    at_ns: int
    message: str
    times: int = 1


class Totals(msgspec.Struct, frozen=True):
    """What belongs to no symbol. Bytes are bytes, times seconds."""

    reconnects: int
    drops: int
    """Frames that were received and not kept: always 0."""
    alarms: int
    rest_requests: int
    rest_failures: int
    rest_weight_used: int
    rest_weight_limit: int
    banned_s: float
    """How long requests must still wait because the exchange said so."""
    queue_frames: int
    spill_bytes: int
    journal_bytes: int
    memory_bytes: int
    clock_offset_s: float
    """The exchange's clock minus ours."""
    clock_error_s: float
    """The offset is known to within this; infinite before the first measurement."""


class HealthSnapshot(msgspec.Struct, frozen=True):
    """The health of one venue's collection."""

    venue: str
    taken_ns: int
    """Since the epoch."""
    uptime_s: float
    stalled_s: float
    """Since the event loop last showed that it runs."""
    streams: tuple[StreamState, ...]
    symbols: tuple[SymbolState, ...]
    connections: tuple[ConnectionState, ...]
    totals: Totals
    alarms: tuple[Alarm, ...]
    """The newest, oldest first."""
    silent: tuple[SilentStream, ...]
    """Streams, and redundant copies of them, that are silent for longer than expected."""

    @property
    def silent_count(self) -> int:
        """How many streams, or copies of them, are silent for longer than expected."""
        return len(self.silent)

    @property
    def is_ready(self) -> bool:
        """Whether nothing keeps this collection from being complete right now."""
        return not self.why_not_ready()

    def why_not_ready(self, stall_limit_s: float = 5.0) -> list[str]:
        """What keeps this collection from being complete right now; empty where nothing does."""
        reasons = [str(silent) for silent in self.silent if silent.likely_cause is not Cause.COPY_SILENT]
        if self.stalled_s > stall_limit_s:
            reasons.append(f"the event loop has stood still for {self.stalled_s:.0f} s")
        if not any(stream.was_seen for stream in self.streams):
            reasons.append("no stream has delivered anything yet")
        unsynced = [state.symbol for state in self.symbols if state.is_book_synced is False]
        if unsynced:
            reasons.append(f"books not synchronised: {', '.join(unsynced)}")
        return reasons


def quantile(counts: Sequence[int], share: float) -> float | None:
    """Lag [ms] below which `share` of the counted lie, linear within a bucket; None where nothing is counted.

    What is longer than the last bound counts as the last bound.

    >>> quantile([0, 0, 0, 0, 100] + [0] * 25, 0.5)
    0.75
    """
    total = sum(counts)
    if not total:
        return None
    wanted, below = share * total, 0
    for bucket, count in enumerate(counts):
        if count and below + count >= wanted:
            lower = LAG_BOUNDS_MS[bucket - 1] if bucket else 0.0
            upper = LAG_BOUNDS_MS[min(bucket, len(LAG_BOUNDS_MS) - 1)]
            return lower + (upper - lower) * max(0.0, wanted - below) / count
        below += count
    return LAG_BOUNDS_MS[-1]
