import pytest

from undertow.errors import InputError
from undertow.venues.binance.endpoints import VENUES, endpoints_for, rest_path, stream_names, websocket_url


def test_usdm_streams_go_to_the_route_that_serves_them() -> None:
    endpoints = endpoints_for("binance-usdm")
    kinds = ["trades", "depth", "ticker", "mark", "liquidations", "single_trades", "klines"]
    assert stream_names(endpoints, ["BTCUSDT", "ETHUSDT"], kinds) == {
        "market": (
            "btcusdt@aggTrade",
            "ethusdt@aggTrade",
            "btcusdt@markPrice@1s",
            "ethusdt@markPrice@1s",
            "btcusdt@forceOrder",
            "ethusdt@forceOrder",
            "btcusdt@kline_1m",
            "ethusdt@kline_1m",
        ),
        "public": (
            "btcusdt@depth@100ms",
            "ethusdt@depth@100ms",
            "btcusdt@bookTicker",
            "ethusdt@bookTicker",
            "btcusdt@trade",
            "ethusdt@trade",
        ),
    }
    assert websocket_url(endpoints, "public") == "wss://fstream.binance.com/public/stream"
    assert rest_path(endpoints, "depth") == "/fapi/v1/depth"


def test_spot_has_one_route() -> None:
    endpoints = endpoints_for("binance-spot")
    names = stream_names(endpoints, ["BTCUSDT"], ["trades", "depth"])
    assert names == {"all": ("btcusdt@aggTrade", "btcusdt@depth@100ms")}
    assert websocket_url(endpoints, "all") == "wss://stream.binance.com:9443/stream"
    with pytest.raises(InputError, match="'mark' cannot be collected: binance-spot has trades"):
        stream_names(endpoints, ["BTCUSDT"], ["mark"])


def test_the_simulator_is_usdm_at_another_address() -> None:
    endpoints = endpoints_for("sim", "http://127.0.0.1:8080/")
    assert endpoints.venue == "sim"
    assert endpoints.rest == "http://127.0.0.1:8080"
    assert websocket_url(endpoints, "market") == "ws://127.0.0.1:8080/market/stream"
    assert endpoints_for("binance-usdm", "https://demo").websocket == "wss://demo"


@pytest.mark.parametrize(
    ("venue", "url", "words"),
    [
        ("sim", None, "--url"),
        ("sim", "127.0.0.1:8080", "no address"),
        ("sim", "ws://127.0.0.1", "no address"),
        ("sim", "http://", "no address"),
        ("kraken", None, ", ".join(VENUES)),
    ],
)
def test_bad_venues_are_explained(venue: str, url: str | None, words: str) -> None:
    with pytest.raises(InputError, match=words):
        endpoints_for(venue, url)


@pytest.mark.parametrize(("venue", "kind"), [("binance-spot", "open_interest"), ("binance-usdm", "candles")])
def test_streams_that_cannot_be_collected_are_explained(venue: str, kind: str) -> None:
    with pytest.raises(InputError, match=f"stream '{kind}' cannot be collected: {venue} has trades"):
        stream_names(endpoints_for(venue), ["BTCUSDT"], [kind])


def test_what_is_polled_is_no_stream() -> None:
    usdm = endpoints_for("binance-usdm")
    assert stream_names(usdm, ["BTCUSDT"], ["open_interest", "funding"]) == {}


def test_two_speeds_of_one_book_are_refused() -> None:
    with pytest.raises(InputError, match="choose one"):
        stream_names(endpoints_for("binance-usdm"), ["BTCUSDT"], ["depth", "depth_fastest"])


@pytest.mark.parametrize(
    ("venue", "limit", "weight"),
    [
        ("binance-usdm", 5, 2),
        ("binance-usdm", 100, 5),
        ("binance-usdm", 1000, 20),
        ("binance-spot", 5000, 250),
    ],
)
def test_depth_weights(venue: str, limit: int, weight: int) -> None:
    assert endpoints_for(venue).depth_weight(limit) == weight


def test_a_snapshot_deeper_than_the_exchange_gives() -> None:
    with pytest.raises(InputError, match="at most 1000 levels, not 5000"):
        endpoints_for("binance-usdm").depth_weight(5000)
