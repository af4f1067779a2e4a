"""Where each Binance market is, which stream lives on which route, and what it allows. Values only."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from undertow.errors import InputError

__all__ = [
    "VENUES",
    "Endpoints",
    "StreamKind",
    "endpoints_for",
    "rest_path",
    "stream_names",
    "websocket_url",
]


@dataclass(frozen=True, slots=True)
class StreamKind:
    """A kind of market data: its stream name, the route it is served on, and how soon silence is suspicious.

    `patience` multiplies the feed's heartbeat: a healthy stream of this kind sends something within it.
    None: it may be silent for any length of time (liquidations), so silence proves nothing.
    """

    template: str
    category: str
    patience: float | None


@dataclass(frozen=True, slots=True)
class Endpoints:
    """One market of the exchange.

    Usage: `endpoints_for("binance-usdm")`, or `endpoints_for("sim", "http://127.0.0.1:8080")`.
    """

    venue: str
    rest: str
    """Base URL of the REST interface, without a slash at its end."""
    rest_prefix: str
    websocket: str
    """Base URL of the sockets, without a slash at its end."""
    routes: Mapping[str, str]
    """Category → path of its combined-stream socket. A socket serves one category only."""
    streams: Mapping[str, StreamKind]
    depth_weights: tuple[tuple[int, int], ...]
    """(limit up to, request weight) of a depth snapshot, ascending."""
    snapshot_levels: int
    """Levels a side to ask for in a snapshot."""
    weight_per_minute: int
    """Request weight an address may use per minute."""
    messages_per_second: int
    """Messages a client may send on one socket per second before it is disconnected."""
    streams_per_connection: int = 1024
    polled: frozenset[str] = frozenset()
    """Kinds that are asked for by REST."""
    other_websockets: tuple[str, ...] = ()
    """Base URLs that serve the same sockets from elsewhere, for redundant connections."""

    def depth_weight(self, limit: int) -> int:
        """Request weight of a depth snapshot of `limit` levels."""
        for most, weight in self.depth_weights:
            if limit <= most:
                return weight
        raise InputError(
            f"{self.venue}: a snapshot has at most {self.depth_weights[-1][0]} levels, not {limit}"
        )


# USD-M serves depth, bookTicker and trade on /public, everything else on /market; on the wrong one a
# subscription is acknowledged and stays silent.
_USDM_STREAMS = {
    "trades": StreamKind("{symbol}@aggTrade", "market", 6.0),
    "single_trades": StreamKind("{symbol}@trade", "public", 6.0),
    "depth": StreamKind("{symbol}@depth@100ms", "public", 1.0),
    "depth_fastest": StreamKind("{symbol}@depth@0ms", "public", 1.0),
    "partial_depth": StreamKind("{symbol}@depth20@100ms", "public", 1.0),
    "ticker": StreamKind("{symbol}@bookTicker", "public", 1.0),
    "mark": StreamKind("{symbol}@markPrice@1s", "market", 1.0),
    "liquidations": StreamKind("{symbol}@forceOrder", "market", None),
    "klines": StreamKind("{symbol}@kline_1m", "market", 6.0),
}
_SPOT_STREAMS = {
    "trades": StreamKind("{symbol}@aggTrade", "all", 6.0),
    "single_trades": StreamKind("{symbol}@trade", "all", 6.0),
    "depth": StreamKind("{symbol}@depth@100ms", "all", 1.0),
    "partial_depth": StreamKind("{symbol}@depth20@100ms", "all", 1.0),
    "ticker": StreamKind("{symbol}@bookTicker", "all", 1.0),
    "klines": StreamKind("{symbol}@kline_1m", "all", 6.0),
}

_USDM = Endpoints(
    venue="binance-usdm",
    rest="https://fapi.binance.com",
    rest_prefix="/fapi/v1",
    websocket="wss://fstream.binance.com",
    routes={"public": "/public/stream", "market": "/market/stream"},
    streams=_USDM_STREAMS,
    depth_weights=((50, 2), (100, 5), (500, 10), (1000, 20)),
    snapshot_levels=1000,
    weight_per_minute=2400,
    messages_per_second=10,
    polled=frozenset({"open_interest", "funding"}),
)
_SPOT = Endpoints(
    venue="binance-spot",
    rest="https://api.binance.com",
    rest_prefix="/api/v3",
    websocket="wss://stream.binance.com:9443",
    routes={"all": "/stream"},
    streams=_SPOT_STREAMS,
    depth_weights=((100, 5), (500, 25), (1000, 50), (5000, 250)),
    snapshot_levels=5000,
    weight_per_minute=6000,
    messages_per_second=5,
    other_websockets=("wss://stream.binance.com:443", "wss://data-stream.binance.vision"),
)

VENUES = (_USDM.venue, _SPOT.venue, "sim")


def endpoints_for(venue: str, url: str | None = None) -> Endpoints:
    """Where `venue` is; `url` (http or https) replaces the exchange's hosts and is required for `sim`.

    Raises InputError for an unknown venue or a URL that cannot be used.
    """
    if venue not in VENUES:
        raise InputError(f"venue {venue!r} is unknown; choose one of {', '.join(VENUES)}")
    if venue == "sim" and url is None:
        raise InputError("venue sim needs the simulator's address: --url http://127.0.0.1:PORT")
    base = _SPOT if venue == _SPOT.venue else replace(_USDM, venue=venue)
    if url is None:
        return base
    scheme, separator, rest = url.rstrip("/").partition("://")
    if scheme not in {"http", "https"} or not separator or not rest:
        raise InputError(f"--url {url!r} is no address; write it like http://127.0.0.1:8080")
    websocket = f"{scheme.replace('http', 'ws')}://{rest}"
    return replace(base, rest=f"{scheme}://{rest}", websocket=websocket, other_websockets=())


def stream_names(
    endpoints: Endpoints, symbols: Iterable[str], kinds: Iterable[str]
) -> dict[str, tuple[str, ...]]:
    """Category → names of the streams of these kinds and symbols.

    Raises InputError for a kind the venue does not have.

    >>> stream_names(endpoints_for("binance-usdm"), ["BTCUSDT"], ["depth", "trades"])
    {'public': ('btcusdt@depth@100ms',), 'market': ('btcusdt@aggTrade',)}
    """
    names: dict[str, tuple[str, ...]] = {}
    wanted, chosen = list(symbols), list(kinds)
    if {"depth", "depth_fastest"} <= set(chosen):
        raise InputError("streams depth and depth_fastest are the same book at two speeds; choose one")
    for kind in chosen:
        if kind in endpoints.polled:
            continue
        stream = _stream_kind(endpoints, kind)
        found = tuple(stream.template.format(symbol=symbol.lower()) for symbol in wanted)
        names[stream.category] = names.get(stream.category, ()) + found
    return names


def _stream_kind(endpoints: Endpoints, kind: str) -> StreamKind:
    if kind in endpoints.streams:
        return endpoints.streams[kind]
    has = ", ".join([*endpoints.streams, *sorted(endpoints.polled)])
    raise InputError(f"stream {kind!r} cannot be collected: {endpoints.venue} has {has}")


def rest_path(endpoints: Endpoints, name: str) -> str:
    """Path of a REST request.

    >>> rest_path(endpoints_for("binance-spot"), "depth")
    '/api/v3/depth'
    """
    return f"{endpoints.rest_prefix}/{name}"


def websocket_url(endpoints: Endpoints, category: str, copy: int = 0) -> str:
    """URL of the combined-stream socket of a category; streams are subscribed to after connecting.

    Redundant connections (`copy` > 0) go to other hosts where the market has any.

    >>> websocket_url(endpoints_for("binance-usdm"), "market")
    'wss://fstream.binance.com/market/stream'
    """
    bases = (endpoints.websocket, *endpoints.other_websockets)
    return bases[copy % len(bases)] + endpoints.routes[category]
