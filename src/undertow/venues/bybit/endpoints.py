"""Where Bybit's linear market is, which topics it has, and what it allows. Values only.

Source: Bybit's v5 documents (websocket/public, rate-limit, market/orderbook). What the documents leave open
or have changed is a field here and no constant in the code that uses it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from undertow.errors import InputError

__all__ = ["VENUE", "VENUES", "Endpoints", "TopicKind", "endpoints_for", "topic_names", "websocket_url"]

VENUE = "bybit-linear"
_SIMULATED = "sim-bybit"
VENUES = (VENUE, _SIMULATED)


@dataclass(frozen=True, slots=True)
class TopicKind:
    """A kind of market data: its topic, the route it is served on, and how soon silence is suspicious.

    `patience` multiplies the feed's heartbeat. None: it may be silent for any length of time.
    """

    template: str
    category: str
    patience: float | None


@dataclass(frozen=True, slots=True)
class Endpoints:
    """One market of the exchange: `endpoints_for("bybit-linear")`."""

    venue: str
    rest: str
    """Base URL of the REST interface, without a slash at its end."""
    rest_prefix: str
    product: str
    """Value of the parameter `category` of every request."""
    websocket: str
    routes: Mapping[str, str]
    """Category → path of its socket."""
    streams: Mapping[str, TopicKind]
    book_depth: int = 200
    """Levels a side of the topic that the book is folded from: 50, 200 or 1000."""
    rest_book_depth: int = 1000
    """Topic whose `u` the REST book counts by: the documents said 500 while that was the deepest topic, and
    say the deepest. A REST book can only be joined with, or compared to, this topic."""
    args_per_request: int = 10
    """Topics in one request: the limit of the spot market; linear states a length of 21,000 characters."""
    streams_per_connection: int = 500
    """Not limited by number on linear; bounded so that one socket does not carry everything."""
    ping_every_s: float = 20.0
    messages_per_s: float = 5.0
    """Requests a second on one socket; the documents state no limit."""
    requests_per_window: int = 600
    """REST requests of an address in `window_s`; beyond it is refused with 403 for ten minutes or more."""
    window_s: float = 5.0
    ban_s: float = 600.0
    polled: frozenset[str] = frozenset({"open_interest", "funding"})
    other_websockets: tuple[str, ...] = ()


_STREAMS = {
    "trades": TopicKind("publicTrade.{symbol}", "public", 6.0),
    "depth": TopicKind("orderbook.{depth}.{symbol}", "public", 1.0),
    "ticker": TopicKind("orderbook.1.{symbol}", "public", 1.0),
    "mark": TopicKind("tickers.{symbol}", "public", 1.0),
    "liquidations": TopicKind("allLiquidation.{symbol}", "public", None),
    "klines": TopicKind("kline.1.{symbol}", "public", 6.0),
}

_LINEAR = Endpoints(
    venue=VENUE,
    rest="https://api.bybit.com",
    rest_prefix="/v5/market",
    product="linear",
    websocket="wss://stream.bybit.com",
    routes={"public": "/v5/public/linear"},
    streams=_STREAMS,
)


def endpoints_for(venue: str = VENUE, url: str | None = None) -> Endpoints:
    """Where the market is; `url` (http or https) replaces the exchange's hosts and `sim-bybit` needs one.

    Raises InputError for an unknown venue or a URL that cannot be used.
    """
    if venue not in VENUES:
        raise InputError(f"venue {venue!r} is unknown; choose one of {', '.join(VENUES)}")
    if url is None:
        if venue == _SIMULATED:
            raise InputError(f"venue {venue} needs the simulator's address: --url http://127.0.0.1:PORT")
        return _LINEAR
    scheme, separator, rest = url.rstrip("/").partition("://")
    if scheme not in {"http", "https"} or not separator or not rest:
        raise InputError(f"--url {url!r} is no address; write it like http://127.0.0.1:8080")
    websocket = f"{scheme.replace('http', 'ws')}://{rest}"
    return replace(_LINEAR, venue=venue, rest=f"{scheme}://{rest}", websocket=websocket)


def topic_names(
    endpoints: Endpoints, symbols: Iterable[str], kinds: Iterable[str]
) -> dict[str, tuple[str, ...]]:
    """Category → topics of these kinds and symbols.

    Raises InputError for a kind the venue does not have.

    >>> topic_names(endpoints_for(), ["BTCUSDT"], ["depth", "trades"])
    {'public': ('orderbook.200.BTCUSDT', 'publicTrade.BTCUSDT')}
    """
    names: dict[str, tuple[str, ...]] = {}
    wanted = list(symbols)
    for kind in kinds:
        if kind in endpoints.polled:
            continue
        if kind not in endpoints.streams:
            has = ", ".join([*endpoints.streams, *sorted(endpoints.polled)])
            raise InputError(f"stream {kind!r} cannot be collected: {endpoints.venue} has {has}")
        topic = endpoints.streams[kind]
        found = tuple(topic.template.format(symbol=name, depth=endpoints.book_depth) for name in wanted)
        names[topic.category] = names.get(topic.category, ()) + found
    return names


def websocket_url(endpoints: Endpoints, category: str, copy: int = 0) -> str:
    """URL of the socket of a category; topics are subscribed to after connecting.

    >>> websocket_url(endpoints_for(), "public")
    'wss://stream.bybit.com/v5/public/linear'
    """
    bases = (endpoints.websocket, *endpoints.other_websockets)
    return bases[copy % len(bases)] + endpoints.routes[category]
