"""Frames dropped, held, broken and invented, seen by a client."""

import asyncio
import json
from itertools import pairwise
from typing import Any

import aiohttp
import pytest
from tests.venues.simulated.scenery import DEPTH, TRADES, Scenery, play, read_all, read_texts

from undertow.errors import InputError
from undertow.venues.simulated.exchange import DEFAULT_START_MS
from undertow.venues.simulated.faults import Fault

PUBLIC = f"/public/stream?streams={DEPTH}"
MARKET = f"/market/stream?streams={TRADES}"


def ids_of(frames: list[dict[str, Any]]) -> list[int]:
    return [frame["data"]["a"] for frame in frames]


def elapsed(frame: dict[str, Any]) -> int:
    return int(frame["data"]["E"]) - DEFAULT_START_MS


def told(path: str, *faults: Fault, **changes: Any) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """All frames that a client of one stream gets, and the exchange's count of it."""
    found: list[Any] = []

    async def scene(at: Scenery) -> None:
        async with at.socket(path) as socket:
            found.append(await read_all(socket))
        found.append(await at.count(path.partition("=")[2]))

    play(scene, *faults, **changes)
    return found[0], found[1]


@pytest.fixture(scope="module")
def depth() -> list[dict[str, Any]]:
    """The frames of the stream of depth where nothing goes wrong."""
    return told(PUBLIC)[0]


@pytest.fixture(scope="module")
def trades() -> list[dict[str, Any]]:
    """The frames of the stream of trades where nothing goes wrong."""
    return told(MARKET, duration_s=20.0)[0]


def test_dropped_frames_are_lost_with_their_ids(depth: list[dict[str, Any]]) -> None:
    frames, count = told(PUBLIC, Fault(at_s=1.0, kind="drop", stream=DEPTH, count=2))
    gone = [frame for frame in depth if frame not in frames]
    assert frames == [frame for frame in depth if frame not in gone]
    assert [elapsed(frame) for frame in gone] == [1100, 1200]
    assert count["lost"] == [[gone[0]["data"]["U"], gone[1]["data"]["u"]]]
    assert (count["dropped"], count["frames"]) == (2, len(frames))


def test_dropping_for_a_time_and_silence_are_the_same(depth: list[dict[str, Any]]) -> None:
    dropped = told(PUBLIC, Fault(at_s=1.0, kind="drop", symbol="BTCUSDT", suffix="depth*", for_s=1.0))
    silent = told(PUBLIC, Fault(at_s=1.0, kind="silence", stream="*", for_s=1.0))
    assert dropped == silent
    assert [frame for frame in depth if not 1000 < elapsed(frame) <= 2000] == dropped[0]


def test_a_duplicate_is_the_same_frame_again(depth: list[dict[str, Any]]) -> None:
    frames, count = told(PUBLIC, Fault(at_s=1.0, kind="duplicate", stream=DEPTH))
    twice = [place for place, (one, other) in enumerate(pairwise(frames)) if one == other]
    assert len(twice) == 1
    del frames[twice[0]]
    assert frames == depth
    assert (count["duplicated"], count["frames"], count["lost"]) == (1, len(depth), [])


def test_swapped_frames_are_neighbours(depth: list[dict[str, Any]]) -> None:
    frames, count = told(PUBLIC, Fault(at_s=1.0, kind="swap", stream=DEPTH))
    place = next(at for at, (one, other) in enumerate(zip(frames, depth, strict=True)) if one != other)
    frames[place], frames[place + 1] = frames[place + 1], frames[place]
    assert frames == depth
    assert (count["frames"], count["lost"]) == (len(depth), [])


def test_a_stall_holds_everything_and_loses_nothing(depth: list[dict[str, Any]]) -> None:
    async def scene(at: Scenery) -> None:
        async with at.socket(PUBLIC) as socket:
            exchange = at.server.exchange
            frames = [(exchange.elapsed_ms, json.loads(message.data)) async for message in socket]
        assert [frame for _, frame in frames] == depth
        held = [known_ms - elapsed(frame) for known_ms, frame in frames if 1000 < elapsed(frame) <= 1500]
        assert min(held) >= 1000
        assert max(known_ms for known_ms, frame in frames if elapsed(frame) <= 1000) < 1500

    play(scene, Fault(at_s=1.0, kind="stall", stream=DEPTH, for_s=1.5))


def test_one_of_two_connections_can_be_behind() -> None:
    async def scene(at: Scenery) -> None:
        async with at.socket(MARKET) as late, at.socket(MARKET) as prompt:
            frames: list[list[tuple[int, int]]] = [[], []]

            async def read(place: int) -> None:
                async for message in (late, prompt)[place]:
                    identity = json.loads(message.data)["data"]["a"]
                    frames[place].append((at.server.exchange.elapsed_ms, identity))

            await asyncio.gather(read(0), read(1))
        prompt_at = {identity: known_ms for known_ms, identity in frames[1]}
        held = [known_ms - prompt_at[identity] for known_ms, identity in frames[0] if identity in prompt_at]
        assert len(held) > 10
        assert min(held) >= 2500
        identities = [identity for _, identity in frames[0]]
        assert identities == sorted(identities)
        assert (await at.count(TRADES))["lost"] == []

    play(scene, Fault(at_s=0.0, kind="delay", connection=0, milliseconds=3000, for_s=60.0), duration_s=20.0)


def test_what_was_held_for_a_client_that_left_is_lost() -> None:
    async def scene(at: Scenery) -> None:
        async with at.socket(PUBLIC) as held, at.socket("/public/stream?streams=btcusdt@bookTicker") as clock:
            reading = asyncio.create_task(read_all(held))
            await clock.receive()
            await at.fault(kind="delay", stream=DEPTH, connection=0, milliseconds=60_000, for_s=60.0)
            async for _ in clock:
                if at.server.exchange.elapsed_ms > 2000:
                    await at.fault(kind="reset", connection=0)
                    break
            await read_all(clock)
            await reading
        count = await at.count(DEPTH)
        assert count["dropped"] > 10
        assert len(count["lost"]) == 1

    play(scene, duration_s=65.0)


@pytest.mark.parametrize(
    ("fields", "sent"),
    [
        ({"text": "NaN"}, "NaN"),
        ({"text": "{not json"}, "{not json"),
        ({"hex": "00ff", "is_binary": True}, b"\x00\xff"),
    ],
)
def test_garbage_is_sent_beside_the_true_frames(
    fields: dict[str, Any], sent: str | bytes, depth: list[dict[str, Any]]
) -> None:
    async def scene(at: Scenery) -> None:
        async with at.socket(PUBLIC) as socket:
            texts = await read_texts(socket)
        assert texts.count(sent) == 1
        texts.remove(sent)
        assert [json.loads(text) for text in texts] == depth
        count = await at.count(DEPTH)
        assert (count["inserted"], count["lost"]) == (1, [])

    play(scene, Fault(at_s=1.0, kind="garbage", stream=DEPTH, **fields))


def test_invalid_utf8_in_a_text_frame_reaches_the_client() -> None:
    async def scene(at: Scenery) -> None:
        async with at.socket(PUBLIC) as socket:
            kinds = [message.type async for message in socket]
            assert kinds[-1] is aiohttp.WSMsgType.ERROR
            assert socket.close_code == 1007, "the client itself refuses it"

    play(scene, Fault(at_s=1.0, kind="garbage", stream=DEPTH, hex="c328"))


@pytest.mark.parametrize(
    ("fault", "is_lost"),
    [
        (Fault(at_s=1.0, kind="truncate", stream=DEPTH), True),
        (Fault(at_s=1.0, kind="missing_field", stream=DEPTH, field="pu"), True),
        (Fault(at_s=1.0, kind="fragment", stream=DEPTH), False),
        (Fault(at_s=1.0, kind="oversize", stream=DEPTH), False),
        (Fault(at_s=1.0, kind="extra_field", stream=DEPTH), False),
        (Fault(at_s=1.0, kind="unknown_type", stream=DEPTH), False),
        (Fault(at_s=1.0, kind="shift_event_time", stream=DEPTH, milliseconds=-2000, for_s=0.1), False),
    ],
)
def test_one_frame_is_changed_and_no_other(fault: Fault, is_lost: bool, depth: list[dict[str, Any]]) -> None:
    async def scene(at: Scenery) -> None:
        async with at.socket(PUBLIC) as socket:
            texts = [str(text) for text in await read_texts(socket)]
        place = next(index for index, frame in enumerate(depth) if elapsed(frame) > 1000)
        changed, true = texts[place], depth[place]
        if fault.kind == "truncate":
            assert not changed.endswith("}]}}")
            with pytest.raises(json.JSONDecodeError):
                json.loads(changed)
        elif fault.kind == "missing_field":
            assert json.loads(changed)["data"] == {k: v for k, v in true["data"].items() if k != "pu"}
        elif fault.kind == "fragment":
            assert json.loads(changed) == true
        elif fault.kind == "oversize":
            assert len(changed) > 1 << 20
        elif fault.kind == "extra_field":
            assert json.loads(changed)["data"] == {**true["data"], "zz": "new"}
        elif fault.kind == "unknown_type":
            assert json.loads(texts.pop(place))["data"]["e"] == "neverSeen"
        else:
            assert json.loads(changed)["data"]["E"] == true["data"]["E"] - 2000
            assert json.loads(changed)["data"]["T"] == true["data"]["T"] - 2000
        assert [json.loads(text) for text in texts[place + 1 :]] == depth[place + 1 :]
        count = await at.count(DEPTH)
        assert count["damaged"] == is_lost
        assert count["lost"] == ([[true["data"]["U"], true["data"]["u"]]] if is_lost else [])

    play(scene, fault)


def test_fields_change_their_type_and_values_are_new(trades: list[dict[str, Any]]) -> None:
    faults = (
        Fault(at_s=1.0, kind="string_to_number", stream=TRADES, field="p"),
        Fault(at_s=10.0, kind="new_enum", stream=TRADES, field="m", text="MAYBE"),
        Fault(at_s=10.0, kind="new_enum", stream=TRADES),
    )
    frames, count = told(MARKET, *faults, duration_s=20.0)
    changed = [(one, other) for one, other in zip(frames, trades, strict=True) if one != other]
    assert [one["data"]["m"] for one, _ in changed] == [changed[0][1]["data"]["m"], "MAYBE"]
    assert changed[0][0]["data"]["p"] == float(changed[0][1]["data"]["p"])
    identity = changed[0][1]["data"]["a"]
    assert (count["damaged"], count["lost"]) == (1, [[identity, identity]])


def test_a_field_is_empty_and_times_are_in_another_unit() -> None:
    stream = "btcusdt@markPrice@1s"
    faults = (
        Fault(at_s=1.5, kind="empty_field", stream=stream, field="r"),
        Fault(at_s=3.5, kind="microseconds", stream=stream),
    )
    frames, _ = told(f"/market/stream?streams={stream}", *faults)
    assert [frame["data"]["r"] == "" for frame in frames] == [False, True, False, False, False]
    assert [frame["data"]["E"] > 10**15 for frame in frames] == [False, False, False, True, False]


def test_a_fault_of_several_streams_is_forgotten_after_a_minute() -> None:
    frames, count = told(
        PUBLIC, Fault(at_s=1.0, kind="drop", stream="*@depth@100ms", count=10_000), duration_s=70.0
    )
    assert (count["dropped"], len(frames)) == (600, 100)


def test_a_muted_connection_answers_and_brings_nothing() -> None:
    async def scene(at: Scenery) -> None:
        async with at.socket("/public/stream") as muted, at.socket(PUBLIC) as other:
            await muted.send_json({"method": "SUBSCRIBE", "params": [DEPTH], "id": 7})
            seen = await asyncio.gather(read_all(muted), read_all(other))
        assert seen[0] == [{"result": None, "id": 7}]
        assert len(seen[1]) > 20
        assert (await at.count(DEPTH))["dropped"] == 0

    play(scene, Fault(at_s=0.0, kind="mute", connection=0))


def test_an_ignored_stream_is_acknowledged_and_never_sent() -> None:
    async def scene(at: Scenery) -> None:
        async with at.socket("/public/stream") as socket:
            names = [DEPTH, "ethusdt@depth@100ms"]
            await socket.send_json({"method": "SUBSCRIBE", "params": names, "id": 7})
            frames = await read_all(socket)
        assert frames[0] == {"result": None, "id": 7}
        assert {frame["stream"] for frame in frames[1:]} == {"ethusdt@depth@100ms"}
        count = await at.count(DEPTH)
        assert (count["frames"], len(count["lost"])) == (0, 1)

    play(scene, Fault(at_s=0.0, kind="ignore_stream", stream=DEPTH), symbols="BTCUSDT,ETHUSDT")


def test_a_count_holds_for_each_stream() -> None:
    async def scene(at: Scenery) -> None:
        path = f"/public/stream?streams={DEPTH}/ethusdt@depth@100ms/solusdt@depth@100ms"
        async with at.socket(path) as socket:
            await read_all(socket)
        counts = (await at.counters())["streams"]
        assert {stream: count["dropped"] for stream, count in counts.items()} == dict.fromkeys(counts, 2)
        assert len(counts) == 3

    play(
        scene,
        Fault(at_s=1.0, kind="drop", stream="*@depth@100ms", count=2),
        symbols="BTCUSDT,ETHUSDT,SOLUSDT",
    )


def test_ids_that_went_by_while_nobody_listened_are_lost() -> None:
    async def scene(at: Scenery) -> None:
        async with at.socket("/public/stream?streams=btcusdt@bookTicker") as clock:
            reading = asyncio.create_task(read_all(clock))
            async with at.socket(MARKET) as socket:
                first = json.loads((await socket.receive()).data)["data"]["a"]
            while len(at.server.exchange.clients) > 1 or at.server.exchange.elapsed_ms < 8000:
                await asyncio.sleep(0.001)
            async with at.socket(MARKET) as socket:
                again = ids_of(await read_all(socket))
            await reading
        count = await at.count(TRADES)
        assert count["first_id"] == first
        assert count["last_id"] == again[-1]
        (lost,) = count["lost"]
        assert lost[1] == again[0] - 1
        assert lost[0] > first
        assert count["frames"] == count["last_id"] - count["first_id"] + 1 - (lost[1] - lost[0] + 1)

    play(scene, duration_s=40.0)


def test_the_same_faults_give_the_same_frames() -> None:
    faults = (
        Fault(at_s=0.5, kind="swap", stream="*", count=3),
        Fault(at_s=1.0, kind="truncate", stream=DEPTH),
        Fault(at_s=1.5, kind="stall", stream=DEPTH, for_s=0.5),
        Fault(at_s=2.5, kind="duplicate", stream=DEPTH, for_s=0.5),
    )
    seen: list[Any] = []

    async def scene(at: Scenery) -> None:
        async with at.socket(PUBLIC) as socket:
            seen.append(await read_texts(socket))

    play(scene, *faults)
    play(scene, *faults)
    assert seen[0] == seen[1]


def test_faults_are_posted_too_and_refused_with_a_reason() -> None:
    async def scene(at: Scenery) -> None:
        refused = await at.fault(400, kind="explode")
        assert "'explode' is unknown" in refused["msg"]
        refused = await at.fault(400, kind="ghost", symbol="NOPEUSDT")
        assert "'NOPEUSDT' is not listed" in refused["msg"]
        refused = await at.fault(400, kind="tick_change", symbol="BTCUSDT", tick="0.03")
        assert "only a finer tick" in refused["msg"]
        assert await at.fault(kind="drop", stream=DEPTH, at_s=1.0) == {"elapsed_ms": 0, "pending": 1}
        await at.fault(kind="drop", stream=DEPTH)
        async with at.socket(PUBLIC) as socket:
            frames = await read_all(socket)
        assert elapsed(frames[0]) == 200
        count = await at.counters()
        assert count["streams"][DEPTH]["dropped"] == 2
        assert count["faults"] == {"began": 2, "pending": 0}

    play(scene)


def test_a_scenario_for_a_market_that_is_not_listed_is_refused() -> None:
    async def scene(at: Scenery) -> None:
        raise AssertionError("it does not start")

    with pytest.raises(InputError, match="'ETHUSDT' is not listed"):
        play(scene, Fault(kind="ghost", symbol="ETHUSDT"))
