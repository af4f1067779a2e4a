"""Which streams are silent for too long, and what that most likely means: a stream is alive by its data only.

Pure: what was seen goes in, a judgement comes out. Times are those of the monotonic clock [s].
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

__all__ = [
    "Cause",
    "ConnectionReport",
    "RestSeen",
    "SilentStream",
    "StreamExpectation",
    "StreamSeen",
    "judge",
]

EVERYTHING = "*"
"""Stands for all streams, where the exchange as a whole is silent."""
_REST_FRESH_S = 90.0
"""An answer over REST that is older proves nothing about now."""
_WITNESS_GRACE_S = 10.0
"""Two sources of the same data differ by seconds."""


class Cause(StrEnum):
    """What a silence most likely means."""

    EXCHANGE_HALTED = "exchange halted"
    UNREACHABLE = "exchange unreachable"
    CONNECTION_DEAD = "connection dead"
    WRONG_ROUTE = "wrong route"
    SYMBOL_NOT_TRADING = "symbol does not trade"
    SUBSCRIPTION_LOST = "subscription lost"
    COPY_SILENT = "redundant copy silent"


_REMEDIES = {
    Cause.EXCHANGE_HALTED: "sockets stay; wait, and look at the exchange's status page",
    Cause.UNREACHABLE: "neither sockets nor REST answer; check the network, the name server and any ban",
    Cause.CONNECTION_DEAD: "its socket is replaced",
    Cause.WRONG_ROUTE: "its other route is tried; if that delivers, correct the table of routes",
    Cause.SYMBOL_NOT_TRADING: "check the symbol's status and name in exchangeInfo",
    Cause.SUBSCRIPTION_LOST: "it is subscribed to anew",
    Cause.COPY_SILENT: "nothing is lost, another connection delivers it; this copy is subscribed to anew",
}


@dataclass(frozen=True, slots=True)
class StreamExpectation:
    """How often a stream of this kind sends when it is healthy.

    `patience_s` is the shortest silence that is ever suspicious; None where any silence is healthy, as with
    liquidations, unless another source had data of the stream meanwhile. `cadence_s` is its fixed interval.
    """

    kind: str
    patience_s: float | None
    cadence_s: float | None = None


@dataclass(frozen=True, slots=True)
class SilentStream:
    """A stream that is silent for longer than it should be; `stream` is `*` where all are."""

    stream: str
    silent_s: float
    expected_s: float
    """The silence that would still have been healthy."""
    likely_cause: Cause

    def __str__(self) -> str:
        """One line for a person: what, how long, why, what is done."""
        name = "every stream" if self.stream == EVERYTHING else self.stream
        return (
            f"{name}: silent for {self.silent_s:.1f} s, expected within {self.expected_s:.1f} s; "
            f"likely cause: {self.likely_cause}; {_REMEDIES[self.likely_cause]}"
        )


@dataclass(frozen=True, slots=True)
class ConnectionReport:
    """A socket as the feed knows it; `last_seen_s` may be the feed's own live mapping."""

    number: int
    category: str
    url: str
    opened_s: float
    is_open: bool
    streams: frozenset[bytes]
    last_seen_s: Mapping[bytes, float]
    """Stream → when this socket last delivered it."""
    copy: int = 0

    def newest_s(self) -> float | None:
        """When it last delivered anything; None where it never did."""
        return max(dict(self.last_seen_s).values(), default=None)


@dataclass(frozen=True, slots=True)
class StreamSeen:
    """What was seen of one stream, from whichever socket."""

    stream: bytes
    symbol: str
    expectation: StreamExpectation
    since_s: float
    """Silence counts from here: its last frame, or when it was subscribed to, or a pause of our own."""
    was_seen: bool
    longest_s: float
    """Longest interval that counts as usual."""
    witness_s: float = -math.inf
    """When another source (the all-market stream, REST) last had data that this stream should have had."""

    @property
    def limit_s(self) -> float:
        """Silence that is still healthy: three usual longest intervals, never below the patience."""
        expectation = self.expectation
        if expectation.patience_s is None:
            return math.inf
        return max(expectation.patience_s, 3.0 * max(self.longest_s, expectation.cadence_s or 0.0))


@dataclass(frozen=True, slots=True)
class RestSeen:
    """How REST answered lately. `was_unavailable`: the last answer was a 503, which is an answer too."""

    answered_s: float = -math.inf
    was_unavailable: bool = False


class _Scene:
    """Everything that a judgement looks at."""

    def __init__(
        self, streams: Sequence[StreamSeen], connections: Sequence[ConnectionReport], now_s: float
    ) -> None:
        self.streams = streams
        self.connections = [known for known in connections if known.is_open]
        self.knows_connections = bool(connections)
        self.now_s = now_s
        self.silent = {seen.stream: seen for seen in streams if now_s - seen.since_s > seen.limit_s}
        self.regular = [seen for seen in streams if seen.expectation.patience_s is not None]
        self.seen_kinds = {seen.expectation.kind for seen in streams if seen.was_seen}
        self.newest_of_symbol: dict[str, float] = {}
        for seen in self.regular:
            before_s = self.newest_of_symbol.get(seen.symbol, seen.since_s)
            self.newest_of_symbol[seen.symbol] = max(before_s, seen.since_s)
        self._limits = {seen.stream: seen.limit_s for seen in streams}
        self._alive = {known.number for known in self.connections if self._is_alive(known)}

    def _is_alive(self, connection: ConnectionReport) -> bool:
        """Whether it delivered anything within the patience of its least patient stream."""
        newest_s = connection.newest_s()
        limit_s = min((self._limits.get(stream, math.inf) for stream in connection.streams), default=0.0)
        return newest_s is not None and self.now_s - newest_s <= limit_s

    def carriers(self, stream: bytes) -> list[ConnectionReport]:
        """Open connections that should deliver this stream."""
        return [known for known in self.connections if stream in known.streams]

    def any_alive(self, connections: Sequence[ConnectionReport]) -> bool:
        """Whether one of these delivers."""
        return any(known.number in self._alive for known in connections)


def judge(
    streams: Sequence[StreamSeen],
    connections: Sequence[ConnectionReport],
    rest: RestSeen,
    now_s: float,
    counts_from_s: float = -math.inf,
) -> list[SilentStream]:
    """The streams that are silent for too long, each with its likely cause, in the order given.

    Silence of everything is one incident, `*`, and not one for each stream. Silence of a single connection
    counts from `counts_from_s` at the earliest; that of streams from their own `since_s`.
    """
    scene = _Scene(streams, connections, now_s)
    everything = _whole_silence(scene, rest)
    if everything is not None:
        return [everything]
    found = [
        SilentStream(seen.stream.decode(), now_s - seen.since_s, seen.limit_s, _cause(scene, seen))
        for seen in scene.silent.values()
    ]
    return found + _broken_by_witness(scene) + _silent_copies(scene, counts_from_s)


def _whole_silence(scene: _Scene, rest: RestSeen) -> SilentStream | None:
    """The one incident, where no stream of any connection delivers."""
    if len(scene.regular) < 2 or not any(seen.was_seen for seen in scene.regular):
        return None
    newest_s = max(seen.since_s for seen in scene.streams)
    expected_s = min(seen.limit_s for seen in scene.regular)
    if scene.now_s - newest_s <= expected_s:
        return None
    cause = _whole_cause(scene, rest, newest_s)
    if cause is None:
        return None
    return SilentStream(EVERYTHING, scene.now_s - newest_s, expected_s, cause)


def _whole_cause(scene: _Scene, rest: RestSeen, newest_s: float) -> Cause | None:
    """Why everything is silent; None where it may as well be the one connection there is."""
    if scene.now_s - rest.answered_s > _REST_FRESH_S:
        return Cause.UNREACHABLE
    if rest.was_unavailable:
        return Cause.EXCHANGE_HALTED
    has_tried_anew = any(known.opened_s > newest_s for known in scene.connections)
    return Cause.EXCHANGE_HALTED if len(scene.connections) > 1 or has_tried_anew else None


def _cause(scene: _Scene, seen: StreamSeen) -> Cause:
    carriers = scene.carriers(seen.stream)
    if scene.knows_connections and not scene.any_alive(carriers):
        never = carriers and all(known.newest_s() is None for known in carriers)
        return Cause.WRONG_ROUTE if never else Cause.CONNECTION_DEAD
    if _is_symbol_silent(scene, seen):
        return Cause.SYMBOL_NOT_TRADING
    if seen.expectation.kind not in scene.seen_kinds:
        return Cause.WRONG_ROUTE
    return Cause.SUBSCRIPTION_LOST


def _is_symbol_silent(scene: _Scene, seen: StreamSeen) -> bool:
    """Whether nothing of the symbol came for as long as this stream may be silent, while others' came."""
    since_s = scene.now_s - seen.limit_s
    others = (newest_s for name, newest_s in scene.newest_of_symbol.items() if name != seen.symbol)
    return scene.newest_of_symbol.get(seen.symbol, -math.inf) < since_s <= max(others, default=-math.inf)


def _broken_by_witness(scene: _Scene) -> list[SilentStream]:
    """Streams that may be silent, but missed data that another source had."""
    return [
        SilentStream(seen.stream.decode(), scene.now_s - seen.since_s, _WITNESS_GRACE_S, _cause(scene, seen))
        for seen in scene.streams
        if seen.stream not in scene.silent and seen.witness_s > seen.since_s + _WITNESS_GRACE_S
    ]


def _silent_copies(scene: _Scene, counts_from_s: float) -> list[SilentStream]:
    """Streams that one connection delivers and another, which should too, does not."""
    found = []
    for connection in scene.connections:
        for seen in scene.streams:
            if seen.stream not in connection.streams or seen.stream in scene.silent:
                continue
            own_s = connection.last_seen_s.get(seen.stream, connection.opened_s)
            silent_s = scene.now_s - max(own_s, counts_from_s)
            if silent_s > seen.limit_s and seen.since_s - own_s > seen.limit_s / 2:
                name = f"{seen.stream.decode()} on connection {connection.number}"
                found.append(SilentStream(name, silent_s, seen.limit_s, Cause.COPY_SILENT))
    return found
