"""Recorded captures over real sockets on loopback."""

import asyncio
import json
import selectors
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest

from undertow.errors import InputError, VenueError
from undertow.venues.binance.instruments import find_instrument, known_instrument, parse_exchange_info
from undertow.venues.simulated.capture import frames
from undertow.venues.simulated.playback import Playback, PlaybackSettings, _Pace
from undertow.venues.simulated.playback_lines import Steps, family_of, inspect_capture, read_line, route_of
from undertow.venues.simulated.playback_server import CaptureServer, cut_snapshot, serve_capture

Line = tuple[int, bytes]

FAST = PlaybackSettings(speed=None, start_wait_s=0.2)
SPOT = [
    (1, b'{"stream":"btcusdt@depth@100ms","data":{"e":"depthUpdate","E":1723161255208,"s":"BTCUSDT","U":1,'
        b'"u":5,"b":[["61737.63000000","0.00000000"]],"a":[["61838.04000000","0.32332000"]]}}'),
    (2, b'{"stream":"btcusdt@bookTicker","data":{"u":6,"s":"BTCUSDT","b":"61837.63000000","B":"3.78826000",'
        b'"a":"61837.64000000","A":"1.54698000"}}'),
    (3, b'{"lastUpdateId":6,"bids":[["61837.63000000","3.788261"],["61837.00000000","1.00000000"]],'
        b'"asks":[["61837.64000000","1.54698000"]]}'),
    (4, b'{"stream":"btcusdt@trade","data":{"e":"trade","E":1723161255343,"s":"BTCUSDT","t":7,'
        b'"p":"61837.63000000","q":"0.02000000","T":1723161255342,"m":true,"M":true}}'),
    (5, b'{"stream":"btcusdt@depth@100ms","data":{"e":"depthUpdate","E":1723161255308,"s":"BTCUSDT","U":6,'
        b'"u":8,"b":[["61737.63000000","1.00000000"]],"a":[]}}'),
]  # fmt: skip


def chunks_of(lines: Iterable[Line]) -> Callable[[], Iterator[bytes]]:
    """Opens a capture of these lines, as pieces of a few lines."""
    written = [b"%d %s\n" % line for line in lines]
    return lambda: (b"".join(written[at : at + 7]) for at in range(0, len(written), 7))


def generated(seconds: float = 2.0, symbols: Iterable[str] = ("BTCUSDT",)) -> list[Line]:
    return list(frames(list(symbols), seconds=seconds, seed=5))


def snapshots(lines: Iterable[Line]) -> list[bytes]:
    return [frame for _, frame in lines if frame.startswith(b'{"lastUpdateId"')]


@dataclass
class Stage:
    """A served capture and a client's session."""

    server: CaptureServer
    session: aiohttp.ClientSession

    def socket(self, path: str) -> Any:
        return self.session.ws_connect(self.server.url + path)

    async def get(self, path: str, status: int = 200) -> bytes:
        async with self.session.get(self.server.url + path) as answer:
            body = await answer.read()
            assert answer.status == status, body
            return body


def play(
    lines: Iterable[Line],
    scene: Callable[[Stage], Awaitable[None]],
    settings: PlaybackSettings = FAST,
    steps: dict[str, Steps] | None = None,
) -> None:
    """Run a scene against a served capture; whatever hangs ends with an error."""

    async def main() -> None:
        async with (
            asyncio.timeout(30),
            serve_capture(chunks_of(lines), settings=settings, steps=steps) as server,
            aiohttp.ClientSession() as session,
        ):
            await scene(Stage(server, session))

    asyncio.run(main())


async def read(socket: aiohttp.ClientWebSocketResponse, into: list[bytes]) -> None:
    """Append messages, replies to requests apart, until the server closes."""
    async for message in socket:
        text = message.data.encode()
        if not text.startswith(b'{"result"'):
            into.append(text)


async def subscribe(socket: aiohttp.ClientWebSocketResponse, *streams: str) -> None:
    await socket.send_json({"method": "SUBSCRIBE", "params": streams, "id": 1})


@pytest.mark.parametrize(
    ("frame", "stream"),
    [
        (b'{"stream":"btcusdt@trade","data":{"e":"trade","t":1}}', "btcusdt@trade"),
        (b'{ "stream": "btcusdt@trade", "data": {"e":"trade","t":1} }', "btcusdt@trade"),
        (b'{"stream":"!forceOrder@arr","data":[{"e":"forceOrder"}]}', "!forceOrder@arr"),
        (b'{"e":"aggTrade","s":"ETHUSDT","a":1}', "ethusdt@aggTrade"),
        (b'{"e":"depthUpdate","s":"ETHUSDT","u":3,"b":[],"a":[]}', "ethusdt@depth@100ms"),
        (b'{"u":3,"s":"ETHUSDT","b":"1","B":"2","a":"3","A":"4"}', "ethusdt@bookTicker"),
        (b'{"e":"markPriceUpdate","s":"ETHUSDT","p":"1"}', "ethusdt@markPrice@1s"),
        (b'{"e":"kline","s":"ETHUSDT","k":{"i":"1m"}}', "ethusdt@kline_1m"),
        (b'{"e":"forceOrder","o":{"s":"ETHUSDT"}}', "ethusdt@forceOrder"),
        (b'{"lastUpdateId": 4,"bids":[],"asks":[]}', ""),
    ],
)
def test_a_line_is_a_message_of_a_stream_or_a_snapshot(frame: bytes, stream: str) -> None:
    for stamp in (b"1723161255030314667", b"1723161255030314"):
        recorded = read_line(stamp + b" " + frame)
        assert recorded is not None
        assert recorded.receive_ns // 10**6 == 1723161255030
        assert recorded.stream == stream
        expected = json.loads(frame)
        assert json.loads(recorded.payload) == expected.get("data", expected)


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"1723161255030314667",
        b'x {"e":"trade","s":"A"}',
        b'1723161255030314667 {"stream":"!undertow","data":{"e":"watermark","T":1}}',
        b'1723161255030314667 {"stream":"btcusdt@trade","data":{"e":"tra',
        b'1723161255030314667 {"result":null,"id":1}',
        b"1723161255030314667 NaN}",
        b'1723161255030314667 {"e":"kline","s":"ETHUSDT","k":7}',
    ],
)
def test_a_line_that_the_exchange_did_not_send_is_nothing(line: bytes) -> None:
    assert read_line(line) is None


def test_routes_and_families() -> None:
    public = ["btcusdt@depth", "btcusdt@depth20@100ms", "btcusdt@bookTicker", "btcusdt@trade", "!bookTicker"]
    market = ["btcusdt@aggTrade", "btcusdt@markPrice@1s", "btcusdt@kline_1m", "!markPrice@arr@1s"]
    assert {route_of(stream) for stream in public} == {"public"}
    assert {route_of(stream) for stream in market} == {"market"}
    assert family_of("btcusdt@depth@500ms") == family_of("btcusdt@depth") != family_of("btcusdt@depth5")
    assert family_of("btcusdt@kline_1m") != family_of("btcusdt@kline_5m")


def test_what_a_capture_tells_of_itself() -> None:
    usdm = inspect_capture(chunks_of(generated())(), "a.gz")
    assert usdm.market == "usdm"
    assert usdm.symbols == ("BTCUSDT",)
    assert set(usdm.streams) == {"btcusdt@depth@100ms", "btcusdt@aggTrade", "btcusdt@markPrice@1s"}
    assert usdm.steps == {"BTCUSDT": Steps("0.10", "0.001")}
    spot = inspect_capture(chunks_of(SPOT)(), "a.gz")
    assert spot.market == "spot"
    assert spot.steps == {"BTCUSDT": Steps("0.01000000", "0.00000100")}


def test_markets_are_told_apart_without_a_book() -> None:
    spot = b'{"e":"trade","E":1,"s":"BTCUSDT","t":7,"p":"1.5","q":"2.0","T":1,"m":true,"M":true}'
    usdm = b'{"e":"trade","E":1,"T":1,"s":"BTCUSDT","t":7,"p":"1.5","q":"2.0","X":"MARKET","m":true}'
    assert inspect_capture([b"1 %s\n" % spot], "a").market == "spot"
    assert inspect_capture([b"1 %s\n" % usdm], "a").market == "usdm"


def test_what_is_no_capture_is_refused_by_name() -> None:
    with pytest.raises(InputError, match=r"notes\.txt: holds no message of a stream"):
        inspect_capture([b"hello\nworld\n"], "notes.txt")


@pytest.mark.parametrize("values", [{"speed": 0.0}, {"start_wait_s": -1.0}, {"snapshot_wait_s": -0.1}])
def test_settings_that_make_no_sense(values: dict[str, float]) -> None:
    with pytest.raises(InputError):
        PlaybackSettings(**values)


def test_a_client_of_two_sockets_gets_every_frame_and_the_snapshot_in_recorded_order() -> None:
    lines = generated(3.0)
    got: list[bytes] = []

    async def scene(stage: Stage) -> None:
        async with stage.socket("/public/stream") as public, stage.socket("/market/stream") as market:
            await subscribe(market, "btcusdt@aggTrade", "btcusdt@markPrice@1s")
            await subscribe(public, "btcusdt@depth@100ms")

            async def fetch() -> None:
                got.append(await stage.get("/fapi/v1/depth?symbol=BTCUSDT&limit=1000"))

            await asyncio.gather(read(public, got), read(market, got), fetch())
            assert (public.close_code, market.close_code) == (1001, 1001)

    play(lines, scene)
    assert got == [frame for _, frame in lines]


def test_streams_of_the_url_come_bare() -> None:
    lines = generated()
    got: list[bytes] = []

    async def scene(stage: Stage) -> None:
        async with stage.socket("/market/ws/btcusdt@aggTrade") as socket:
            await read(socket, got)
            assert socket.close_code == 1001

    play(lines, scene)
    prefix = b'{"stream":"btcusdt@aggTrade","data":'
    assert got == [frame[len(prefix) : -1] for _, frame in lines if frame.startswith(prefix)]
    assert got


@pytest.mark.parametrize(
    ("path", "served"),
    [("/public", {"depth@100ms"}), ("/market", {"aggTrade"}), ("/private", set()), ("", {"depth@100ms"})],
)
def test_a_wrong_route_acknowledges_and_stays_silent(path: str, served: set[str]) -> None:
    wrong: list[bytes] = []
    other: list[bytes] = []

    async def scene(stage: Stage) -> None:
        async with stage.socket(f"{path}/stream") as socket, stage.socket("/market/stream") as right:
            await subscribe(socket, "btcusdt@depth@100ms", "btcusdt@aggTrade")
            assert json.loads((await socket.receive()).data) == {"result": None, "id": 1}
            await socket.send_json({"method": "LIST_SUBSCRIPTIONS", "id": 2})
            await subscribe(right, "btcusdt@markPrice@1s")
            await asyncio.gather(read(socket, wrong), read(right, other))

    play(generated(), scene, PlaybackSettings(speed=None, snapshot_wait_s=0.0, start_wait_s=0.5))
    assert {json.loads(text)["stream"].partition("@")[2] for text in wrong} == served
    assert other


def test_another_cadence_is_served_from_the_recorded_one() -> None:
    lines = generated()
    got: list[bytes] = []

    async def scene(stage: Stage) -> None:
        async with stage.socket("/stream?streams=btcusdt@depth@500ms") as socket:
            await read(socket, got)

    play(lines, scene, PlaybackSettings(speed=None, snapshot_wait_s=0.0, start_wait_s=0.0))
    recorded = [frame for _, frame in lines if b"@depth" in frame]
    assert got == [frame.replace(b"@100ms", b"@500ms", 1) for frame in recorded]


def test_after_unsubscribing_nothing_comes() -> None:
    async def scene(stage: Stage) -> None:
        async with stage.socket("/market/stream") as socket:
            await subscribe(socket, "btcusdt@aggTrade", "btcusdt@markPrice@1s")
            await socket.send_json({"method": "UNSUBSCRIBE", "params": ["btcusdt@aggTrade"], "id": 2})
            got: list[bytes] = []
            await read(socket, got)
            assert got
            assert not any(b"@aggTrade" in frame for frame in got)

    play(generated(), scene, PlaybackSettings(speed=None, start_wait_s=0.5))


def test_time_stands_still_until_somebody_subscribes() -> None:
    lines = generated()
    first_ms, last_ms = lines[0][0] // 10**6, lines[-1][0] // 10**6

    async def scene(stage: Stage) -> None:
        assert json.loads(await stage.get("/fapi/v1/ping")) == {}
        assert json.loads(await stage.get("/fapi/v1/time")) == {"serverTime": first_ms}
        async with stage.socket("/market/ws/btcusdt@aggTrade") as socket:
            await read(socket, [])
        assert json.loads(await stage.get("/fapi/v1/time")) == {"serverTime": last_ms}
        counters = json.loads(await stage.get("/sim/counters"))
        assert counters["hasEnded"]
        assert counters["lines"]["sent"] == counters["streams"]["btcusdt@aggTrade"]["frames"]
        assert sum(counters["lines"].values()) == len(lines)

    play(lines, scene)


def test_a_snapshot_that_nobody_fetched_in_time_waits_for_the_first_who_asks() -> None:
    lines = generated()

    async def scene(stage: Stage) -> None:
        async with stage.socket("/public/ws/btcusdt@depth@100ms") as socket:
            await read(socket, [])
        assert await stage.get("/fapi/v1/depth?symbol=BTCUSDT&limit=1000") == snapshots(lines)[0]
        refused = json.loads(await stage.get("/fapi/v1/depth?symbol=BTCUSDT&limit=1000", status=503))
        assert refused["code"] == -1008

    play(lines, scene, PlaybackSettings(speed=None, snapshot_wait_s=0.0, start_wait_s=0.0))


def test_a_snapshot_before_the_first_change_of_the_book_is_waited_for_after_it() -> None:
    lines = [SPOT[2], *SPOT[:2], *SPOT[3:]]
    got: list[bytes] = []

    async def scene(stage: Stage) -> None:
        async with stage.socket("/stream") as socket:
            await subscribe(socket, "btcusdt@depth@100ms", "btcusdt@bookTicker", "btcusdt@trade")
            while not got:
                message = await socket.receive()
                if "@depth" in message.data:
                    got.append(message.data.encode())
            got.append(await stage.get("/api/v3/depth?symbol=BTCUSDT&limit=5000"))
            await read(socket, got)

    play(lines, scene, PlaybackSettings(speed=None, snapshot_wait_s=20.0))
    assert got == [frame for _, frame in (SPOT[0], SPOT[2], SPOT[1], *SPOT[3:])]


def test_a_second_client_gets_the_same_snapshot_while_playback_stands_at_it() -> None:
    lines = generated()

    async def scene(stage: Stage) -> None:
        async with stage.socket("/public/ws/btcusdt@depth@100ms") as socket:
            reading = asyncio.create_task(read(socket, []))
            path = "/fapi/v1/depth?symbol=BTCUSDT&limit=1000"
            bodies = await asyncio.gather(stage.get(path), stage.get(path))
            assert list(bodies) == 2 * snapshots(lines)
            await reading

    play(lines, scene)


def test_each_of_two_books_gets_its_own_snapshot() -> None:
    lines = generated(symbols=("BTCUSDT", "ETHUSDT"))
    bitcoin, ether = snapshots(lines)

    async def scene(stage: Stage) -> None:
        async with stage.socket("/stream") as socket:
            await subscribe(socket, "btcusdt@depth@100ms", "ethusdt@depth@100ms")
            reading = asyncio.create_task(read(socket, []))
            names = ("ETHUSDT", "BTCUSDT")
            bodies = [stage.get(f"/fapi/v1/depth?symbol={name}&limit=1000") for name in names]
            assert list(await asyncio.gather(*bodies)) == [ether, bitcoin]
            await reading

    play(lines, scene)


def test_a_client_may_ask_for_fewer_levels() -> None:
    body = snapshots(generated())[0]
    whole, cut = json.loads(body), json.loads(cut_snapshot(body, 5))
    assert cut == {**whole, "bids": whole["bids"][:5], "asks": whole["asks"][:5]}
    assert cut_snapshot(body, 1000) is body
    assert set(json.loads(cut_snapshot(SPOT[2][1], 1))) == {"lastUpdateId", "bids", "asks"}


@pytest.mark.parametrize(
    ("query", "code"),
    [("limit=5", -1102), ("symbol=ETHUSDT&limit=5", -1121), ("symbol=BTCUSDT&limit=1001", -4021)],
)
def test_requests_that_cannot_be_answered(query: str, code: int) -> None:
    async def scene(stage: Stage) -> None:
        refused = json.loads(await stage.get(f"/fapi/v1/depth?{query}", status=400))
        assert refused["code"] == code
        await stage.get("/fapi/v1/klines?symbol=BTCUSDT", status=404)

    play(generated(), scene)


def test_polled_answers_come_from_the_journal() -> None:
    polled = b'{"openInterest":"10659.509","symbol":"BTCUSDT","time":1589437530011}'
    frame = b'{"stream":"btcusdt@openInterest","data":%s}' % polled
    lines = generated()
    lines.insert(10, (lines[9][0], frame))

    async def scene(stage: Stage) -> None:
        path = "/fapi/v1/openInterest?symbol=BTCUSDT"
        assert json.loads(await stage.get(path, status=503))["code"] == -1008
        async with stage.socket("/market/ws/btcusdt@aggTrade") as socket:
            await read(socket, [])
        assert await stage.get(path) == polled

    play(lines, scene)


@pytest.mark.parametrize(
    ("lines", "venue", "prefix"),
    [(generated(1.0), "binance-usdm", "/fapi/v1"), (SPOT, "binance-spot", "/api/v3")],
)
def test_instruments_are_those_of_the_exchange(lines: list[Line], venue: str, prefix: str) -> None:
    known = known_instrument(venue, "BTCUSDT")
    assert known is not None

    async def scene(stage: Stage) -> None:
        info = parse_exchange_info(await stage.get(f"{prefix}/exchangeInfo"))
        found = find_instrument(info, venue, "BTCUSDT")
        assert (found.price, found.quantity) == (known.price, known.quantity)

    async def scene_with_steps(stage: Stage) -> None:
        info = parse_exchange_info(await stage.get(f"{prefix}/exchangeInfo"))
        assert find_instrument(info, venue, "BTCUSDT") == known

    play(lines, scene)
    play(lines, scene_with_steps, steps={"BTCUSDT": Steps(known.tick, known.lot)})


def test_spot_has_no_routes() -> None:
    async def scene(stage: Stage) -> None:
        await stage.get("/public/stream", status=404)
        await stage.get("/fapi/v1/time", status=404)

    play(SPOT, scene)


def test_unknown_steps_are_asked_for() -> None:
    mark = b'{"stream":"abcusdt@markPrice@1s","data":{"e":"markPriceUpdate","E":1,"s":"ABCUSDT","p":"1.23"}}'

    async def scene(_: Stage) -> None:
        raise AssertionError("a capture without steps was served")

    with pytest.raises(InputError, match="tick and lot of ABCUSDT"):
        play([(1, mark)], scene)


def test_a_port_that_is_taken_is_said() -> None:
    async def scene(stage: Stage) -> None:
        with pytest.raises(VenueError, match="cannot be opened"):
            async with serve_capture(chunks_of(SPOT), port=stage.server.port):
                pass

    play(SPOT, scene)


class SlowReader:
    """A socket whose client reads the first frame, and nothing more until `reads` is set."""

    route = "legacy"

    def __init__(self) -> None:
        self.got: list[bytes] = []
        self.reads = asyncio.Event()
        self.settled = 0
        self.closed = ""

    async def send(self, wrapped: bytes, payload: bytes) -> None:
        self.got.append(wrapped)

    async def settle(self) -> None:
        self.settled += 1
        if self.settled > 1:
            await self.reads.wait()

    async def close(self, code: int, reason: str) -> None:
        self.closed = f"{code} {reason}"

    def abort(self) -> None:
        self.closed = "cut"


def test_a_snapshot_is_given_out_when_all_frames_before_it_have_been_read() -> None:
    # On a connection of its own it could overtake them.
    async def main() -> None:
        opened = chunks_of((1723161255 * 10**9 + place, frame) for place, frame in SPOT)
        playback = Playback(opened, inspect_capture(opened(), "a"), FAST)
        reader = SlowReader()
        playback.clients.add(reader)
        playing = asyncio.create_task(playback.run())
        request = asyncio.create_task(playback.take_snapshot("BTCUSDT"))
        for stream in playback.facts.streams:
            playback.subscribe(reader, stream)
        for _ in range(100):
            await asyncio.sleep(0)
        assert reader.got == [frame for _, frame in SPOT[:2]]
        assert not request.done()
        reader.reads.set()
        snapshot = await request
        assert snapshot is not None
        assert reader.got == [frame for _, frame in SPOT[:2]]
        snapshot.delivered.set()
        await playing
        assert reader.got == [frame for _, frame in SPOT if not frame.startswith(b'{"last')]
        assert reader.closed == "1001 the capture is over"

    async def limited() -> None:
        async with asyncio.timeout(20):
            await main()

    asyncio.run(limited())


class LeapingSelector(selectors.SelectSelector):
    """Never waits: the loop's clock leaps to what it would have waited for."""

    now_s = 100.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self.now_s += timeout or 0.0
        return super().select(0)


def test_recorded_time_is_divided_by_the_speed_and_delays_are_not_made_up_for() -> None:
    selector = LeapingSelector()
    loop = asyncio.SelectorEventLoop(selector)
    loop.time = lambda: selector.now_s  # type: ignore[method-assign]

    async def main() -> list[float]:
        pace, moments = _Pace(2.0), []
        for second in (50.0, 51.0, 53.0):
            await pace.wait_until(round(second * 10**9))
            moments.append(loop.time())
        selector.now_s += 10.0
        for second in (54.0, 55.0, 57.0):
            await pace.wait_until(round(second * 10**9))
            moments.append(loop.time())
        return moments

    try:
        moments = loop.run_until_complete(main())
    finally:
        loop.close()
    # 10 s late, of which half a second is caught up with.
    assert moments == pytest.approx([100.0, 100.5, 101.5, 111.5, 111.5, 112.5], abs=1e-3)
