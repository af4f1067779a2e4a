"""The streams that share a socket: what is expected of them, and what their silence most likely means."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import structlog
from tenacity import RetryCallState

from undertow.venues.sockets.connection import Connection
from undertow.venues.sockets.dialect import SocketMarket

__all__ = [
    "Line",
    "halted",
    "lines_of",
    "log_reconnect",
    "moved",
    "never_any_data",
    "other_route",
    "silent_stream",
]

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Line:
    """The streams that share a socket; there may be several copies of a line, each with its own socket."""

    category: str
    streams: tuple[str, ...]
    patience_s: dict[str, float]
    """Stream → silence after which something is wrong; streams that may be silent are not in it."""
    url: str
    copy: int = 0
    connection: Connection | None = None
    """Its newest socket."""
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    rollover_at_s: float = 0.0
    is_overlapping: bool = False
    is_finished: bool = False
    was_lost: bool = False
    is_detour: bool = False
    """Opened on another route for a stream that is silent on its own."""
    alarmed: set[str] = field(default_factory=set)
    steps: dict[str, int] = field(default_factory=dict)
    """Silent stream → how many remedies have been tried."""

    @property
    def silence_s(self) -> float:
        """Silence of the whole socket after which it is replaced."""
        return min(self.patience_s.values(), default=float("inf"))

    def patience(self, stream: str, connection: Connection) -> float:
        """How long this stream may be silent: longer for one that has been quiet for longer before."""
        longest_s = connection.longest_pause_s.get(stream.encode(), 0.0)
        return max(self.patience_s[stream], 3.0 * longest_s)


def lines_of(
    market: SocketMarket, streams: Mapping[str, Sequence[str]], heartbeat_s: float, copies: int
) -> list[Line]:
    """Every line that these streams need, `copies` of each, on different hosts where there are any."""
    most = market.streams_per_connection
    lines = []
    for copy in range(copies):
        for category, names in streams.items():
            for start in range(0, len(names), most):
                share = tuple(names[start : start + most])
                patience_s = _patience_s(market, share, heartbeat_s)
                lines.append(Line(category, share, patience_s, market.url_of(category, copy), copy))
    return lines


def _patience_s(market: SocketMarket, streams: Sequence[str], heartbeat_s: float) -> dict[str, float]:
    patience = {stream: market.patience_of(stream) for stream in streams}
    return {stream: factor * heartbeat_s for stream, factor in patience.items() if factor is not None}


def other_route(market: SocketMarket, line: Line, stream: str) -> Line | None:
    """A line that asks for a stream on a route that is not its own, or None where there is no other."""
    others = [category for category in market.categories if category != line.category]
    if not others:
        return None
    detour = Line(others[0], (stream,), {}, market.url_of(others[0], line.copy), line.copy)
    detour.is_detour = True
    return detour


def never_any_data(line: Line) -> str:
    """What a socket that never delivered anything most likely means."""
    shown = ", ".join(line.streams[:3]) + (", …" if len(line.streams) > 3 else "")
    return (
        f"{line.url}: connected and subscribed to {len(line.streams)} streams "
        f"({shown}), but no data came for {line.silence_s:g} s. The exchange acknowledges streams that it "
        f"does not serve on this route: most likely the route is wrong for them, or the symbols do not trade"
    )


def silent_stream(line: Line, stream: str, silent_s: float, *, ever_seen: bool) -> str:
    """What one silent stream among live ones most likely means."""
    if ever_seen:
        return (
            f"{line.url}: {stream} has sent nothing for {silent_s:.0f} s, while other streams do: most "
            f"likely its symbol has stopped trading, or the exchange has lost the subscription; it is "
            f"subscribed to anew"
        )
    return (
        f"{line.url}: {stream} has sent nothing in the {silent_s:.0f} s since it "
        f"was subscribed to, while other streams do: most likely it belongs on another route, its name is "
        f"wrong, or its symbol does not trade"
    )


def halted(venue: str, silent_s: float) -> str:
    """What it means that every socket is silent."""
    return (
        f"{venue}: no connection has delivered anything for {silent_s:.0f} s: the exchange has halted, or "
        f"our network is down; sockets are replaced until data comes again"
    )


def moved(url: str, stream: str) -> str:
    """What it means that a stream comes on another route."""
    return (
        f"{url}: {stream} comes on this route, not on the one it was expected on; it is collected from here: "
        f"the exchange has moved it, and the table of routes needs correcting"
    )


def log_reconnect(category: str, state: RetryCallState) -> None:
    """Say that a socket could not be kept, and when it is tried again."""
    error = state.outcome.exception() if state.outcome else None
    log.warning("reconnecting", category=category, reason=str(error), pause_s=round(state.upcoming_sleep, 2))
