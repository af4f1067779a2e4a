"""Captures made without a socket."""

import json
from collections import Counter
from itertools import pairwise

import pytest

from undertow.errors import InputError
from undertow.venues.simulated.capture import DEFAULT_START_NS, frames, simulate_capture


def test_a_capture_is_what_a_collector_would_have_written() -> None:
    lines = list(simulate_capture(seconds=10, seed=4))
    assert all(before[0] <= after[0] for before, after in pairwise(lines))
    assert lines[0][0] > DEFAULT_START_NS
    payloads = [json.loads(frame) for _, frame in lines]
    assert all(b"\n" not in frame for _, frame in lines)
    kinds = [payload.get("stream", "snapshot") for payload in payloads]
    place = kinds.index("snapshot")
    assert Counter(kinds[:place])["btcusdt@depth@100ms"] == 3
    assert Counter(kinds)["snapshot"] == 1
    snapshot = payloads[place]
    assert min(len(snapshot["bids"]), len(snapshot["asks"])) >= 150
    diffs = [item["data"] for item in payloads if item.get("stream") == "btcusdt@depth@100ms"]
    first = next(diff for diff in diffs if diff["u"] >= snapshot["lastUpdateId"])
    assert first["U"] <= snapshot["lastUpdateId"] <= first["u"], "the snapshot lies inside a diff"
    assert all(after["pu"] == before["u"] for before, after in pairwise(diffs))


def test_receive_times_follow_event_times_closely() -> None:
    for receive_ns, frame in simulate_capture(seconds=20):
        payload = json.loads(frame)
        event_ms = payload.get("data", payload)["E"]
        assert 1 <= receive_ns / 1e6 - event_ms <= 31


def test_several_symbols_share_one_clock_and_keep_their_own_markets() -> None:
    both = [frame for _, frame in frames(["BTCUSDT", "ETHUSDT"], seconds=5, seed=8)]
    alone = [frame for _, frame in frames(["ETHUSDT"], seconds=5, seed=8)]
    assert [frame for frame in both if b"ethusdt" in frame] == [f for f in alone if b"ethusdt" in f]
    events = [json.loads(frame).get("data", {}).get("E", 0) for frame in both]
    events = [event for event in events if event]
    assert events == sorted(events)


def test_the_same_seed_gives_the_same_bytes() -> None:
    assert list(simulate_capture(seconds=3, seed=1)) == list(simulate_capture(seconds=3, seed=1))
    assert list(simulate_capture(seconds=3, seed=1)) != list(simulate_capture(seconds=3, seed=2))


def test_without_depth_there_is_no_snapshot() -> None:
    found = [frame for _, frame in simulate_capture(seconds=5, streams=["aggTrade"])]
    assert found
    assert all(b'@aggTrade"' in frame for frame in found)


def test_an_unlisted_symbol_is_refused() -> None:
    with pytest.raises(InputError, match="does not list"):
        next(simulate_capture(symbol="NOPE"))
