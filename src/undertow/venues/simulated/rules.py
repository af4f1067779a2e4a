"""What each market allows its clients, and under which paths it is found (PROTOCOL A1, A4). Values only."""

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["RULES", "Rules"]


@dataclass(frozen=True, slots=True)
class Rules:
    """One market of the exchange."""

    rest_prefix: str
    routes: tuple[str, ...]
    """First parts of the paths of its sockets."""
    weight_per_minute: int
    depth_weights: tuple[tuple[int, int], ...]
    """(limit up to, request weight) of a depth snapshot, ascending."""
    weights: Mapping[str, int]
    """Request weight of the other endpoints, where it is not 1."""
    messages_per_second: int
    """Messages a client may send on a socket per second."""
    ping_every_s: float
    pong_within_s: float
    streams_per_connection: int = 1024
    connections_per_5_minutes: int = 300

    def depth_weight(self, limit: int) -> int:
        """Request weight of a depth snapshot of `limit` levels."""
        return next((weight for most, weight in self.depth_weights if limit <= most), 1)


RULES: Mapping[str, Rules] = {
    "usdm": Rules(
        rest_prefix="/fapi/v1",
        routes=("/public", "/market", "/private", ""),
        weight_per_minute=2400,
        depth_weights=((50, 2), (100, 5), (500, 10), (1000, 20)),
        weights={"aggTrades": 20, "klines": 5, "trades": 5, "historicalTrades": 200},
        messages_per_second=10,
        ping_every_s=180.0,
        pong_within_s=600.0,
    ),
    "spot": Rules(
        rest_prefix="/api/v3",
        routes=("",),
        weight_per_minute=6000,
        depth_weights=((100, 5), (500, 25), (1000, 50), (5000, 250)),
        weights={"aggTrades": 4, "klines": 2, "exchangeInfo": 20, "trades": 25, "historicalTrades": 25},
        messages_per_second=5,
        ping_every_s=20.0,
        pong_within_s=60.0,
    ),
}
"""Market → what it allows."""
