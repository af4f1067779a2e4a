import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from undertow.venues.arbiter import Arbiter, FrameIds, Numbering, ReadIds
from undertow.venues.binance.frame_ids import numbering_of

TRADES, DEPTH, TICKER, OTHER = b"s@aggTrade", b"s@depth@100ms", b"s@bookTicker", b"s@forceOrder"


def read(frame: bytes) -> FrameIds | None:
    before, last = frame.split(b"-")
    return int(before), int(last)


def numbering(stream: bytes) -> tuple[Numbering, ReadIds]:
    if stream == OTHER:
        return Numbering.CONTENT, lambda _: None
    return (Numbering.NEWEST if stream == TICKER else Numbering.CHAIN), read


class Bench:
    """An arbiter, what it passed on, and a clock."""

    def __init__(self, wait_s: float = 4.0) -> None:
        self.passed: list[bytes] = []
        self.arbiter = Arbiter(numbering, lambda _, frame: self.passed.append(frame), wait_s)

    def offer(self, connection: int, *lasts: int, stream: bytes = TRADES, now_s: float = 0.0) -> None:
        for last in lasts:
            self.arbiter.offer(connection, stream, b"%d-%d" % (last - 1, last), now_s)

    def join(self, *connections: int, stream: bytes = TRADES) -> None:
        for connection in connections:
            self.arbiter.join(connection, stream)

    @property
    def ids(self) -> list[int]:
        return [int(frame.split(b"-")[1]) for frame in self.passed]


def test_alone_everything_passes_copies_and_holes_as_well() -> None:
    bench = Bench()
    bench.offer(0, 1, 2, 2, 5, 4)
    assert bench.ids == [1, 2, 2, 5, 4]


def test_of_two_copies_the_first_passes() -> None:
    bench = Bench()
    bench.join(0, 1)
    bench.offer(0, 1, 2)
    bench.offer(1, 1, 2, 3)
    bench.offer(0, 3, 4)
    assert bench.ids == [1, 2, 3, 4]
    assert bench.arbiter.counters["redundant_frames"] == 3


def test_what_one_connection_dropped_the_other_brings_in_its_place() -> None:
    bench = Bench()
    bench.join(0, 1)
    bench.offer(1, 1)
    bench.offer(0, 1, 2, 4, 5)
    assert bench.ids == [1, 2], "3 may still come on the other connection"
    bench.offer(1, 2, 3)
    assert bench.ids == [1, 2, 3, 4, 5]
    bench.offer(1, 4, 5)
    assert bench.ids == [1, 2, 3, 4, 5]
    assert bench.arbiter.counters["holes"] == 0


def test_a_hole_that_both_have_is_not_waited_for() -> None:
    bench = Bench()
    bench.join(0, 1)
    bench.offer(0, 1, 2)
    bench.offer(1, 1, 2, 5)
    bench.offer(0, 5)
    assert bench.ids == [1, 2, 5]
    assert bench.arbiter.counters["holes"] == 1


def test_a_hole_is_waited_for_so_long_and_a_late_frame_passes_all_the_same() -> None:
    bench = Bench(wait_s=4.0)
    bench.join(0, 1)
    bench.offer(1, 1)
    bench.offer(0, 1, 3, now_s=10.0)
    bench.arbiter.expire(13.9)
    assert bench.ids == [1]
    bench.arbiter.expire(14.0)
    assert bench.ids == [1, 3]
    bench.offer(1, 2, 2, now_s=20.0)
    assert bench.ids == [1, 3, 2]


def test_when_the_slower_connection_dies_what_waited_for_it_passes() -> None:
    bench = Bench()
    bench.join(0, 1)
    bench.offer(1, 1)
    bench.offer(0, 1, 3)
    assert bench.arbiter.leave(1) == set()
    assert bench.ids == [1, 3]
    assert bench.arbiter.leave(0) == {TRADES}


def test_a_connection_that_has_delivered_nothing_yet_still_carries_the_stream() -> None:
    bench = Bench()
    bench.join(0, 1)
    bench.offer(0, 1)
    assert bench.arbiter.leave(0) == set()
    bench.offer(1, 2)
    assert bench.ids == [1, 2]


def test_after_all_were_lost_the_stream_begins_anew() -> None:
    bench = Bench()
    bench.offer(0, 10)
    bench.arbiter.leave(0)
    bench.join(1, 2)
    bench.offer(1, 4)
    bench.offer(2, 4, 5)
    assert bench.ids == [10, 4, 5], "a new numbering after maintenance is taken as it is"


@pytest.mark.scenario("B25", "two connections cut updates differently: one chain is followed")
def test_of_two_connections_that_cut_updates_differently_one_chain_is_followed() -> None:
    bench = Bench()
    bench.join(0, 1, stream=DEPTH)
    first = [(0, 5), (5, 10), (10, 15), (15, 20)]
    second = [(0, 5), (5, 7), (7, 12), (12, 16), (16, 20)]
    for pair in zip(first, second, strict=False):
        for connection, (before, last) in enumerate(pair):
            bench.arbiter.offer(connection, DEPTH, b"%d-%d" % (before, last), 0.0)
    assert bench.passed == [b"%d-%d" % pair for pair in first]
    bench.arbiter.offer(1, DEPTH, b"20-23", 0.0)
    assert bench.passed[-1] == b"20-23", "where both meet, either goes on"


def test_when_the_connection_that_is_followed_ends_the_other_goes_on_with_an_overlap() -> None:
    bench = Bench()
    bench.join(0, 1, stream=DEPTH)
    bench.arbiter.offer(0, DEPTH, b"0-5", 0.0)
    bench.arbiter.offer(1, DEPTH, b"0-4", 0.0)
    bench.arbiter.offer(1, DEPTH, b"4-7", 0.0)
    assert bench.passed == [b"0-5"]
    bench.arbiter.leave(0)
    assert bench.passed == [b"0-5", b"4-7"]


def test_of_quotes_only_newer_ones_pass_and_none_waits() -> None:
    bench = Bench()
    bench.join(0, 1, stream=TICKER)
    bench.offer(0, 3, 9, stream=TICKER)
    bench.offer(1, 3, 7, 9, 12, stream=TICKER)
    assert bench.ids == [3, 9, 12]


def test_frames_without_ids_are_told_by_their_bytes() -> None:
    bench = Bench()
    for connection in (0, 1):
        bench.arbiter.join(connection, OTHER)
        for text in (b"a", b"b"):
            bench.arbiter.offer(connection, OTHER, text, 0.0)
    assert bench.passed == [b"a", b"b"]


@settings(max_examples=150, deadline=None)
@given(
    count=st.integers(1, 60),
    drops=st.lists(st.sets(st.integers(1, 60), max_size=12), min_size=2, max_size=3),
    seed=st.integers(0, 2**16),
)
def test_whatever_any_connection_brings_passes_once(count: int, drops: list[set[int]], seed: int) -> None:
    rng = random.Random(seed)
    queues = [[i for i in range(1, count + 1) if i not in lost] for lost in drops]
    bench = Bench()
    bench.join(*range(len(queues)))
    received = set().union(*queues)
    have_all_begun = all(queue[:1] == [1] for queue in queues)
    for connection, queue in enumerate(queues):
        bench.offer(connection, *queue[:1])
        del queue[:1]
    while any(queues):
        connection = rng.choice([c for c, queue in enumerate(queues) if queue])
        bench.offer(connection, queues[connection].pop(0))
    bench.arbiter.expire(100.0)
    assert sorted(bench.ids) == sorted(received)
    if have_all_begun:
        assert bench.ids == sorted(bench.ids), "in order, though no connection had all of it"


def test_ids_of_real_frames() -> None:
    depth = b'{"e":"depthUpdate","E":1,"T":1,"s":"B","U":157,"u":160,"pu":149,"b":[["0.0024","10"]],"a":[]}'
    spot = b'{"e":"depthUpdate","E":1672515782136,"s":"BNBBTC","U":157,"u":160,"b":[["0.0024","10"]]}'
    aggregate = b'{"e":"aggTrade","E":1,"s":"BNBUSDT","a":5933014,"p":"0.001","q":"100","f":100,"l":105}'
    cases: list[tuple[bytes, bytes, FrameIds]] = [
        (b"b@depth@100ms", depth, (149, 160)),
        (b"b@depth", spot, (156, 160)),
        (b"b@depth20@100ms", depth, (-1, 160)),
        (b"b@depth20@100ms", b'{"lastUpdateId":160,"bids":[]}', (-1, 160)),
        (b"b@aggTrade", aggregate, (5933013, 5933014)),
        (b"b@trade", b'{"e":"trade","E":1,"s":"B","t":12345,"p":"1"}', (12344, 12345)),
        (b"b@bookTicker", b'{"u":400900217,"s":"BNBUSDT","b":"25.3"}', (400900216, 400900217)),
        (b"b@markPrice@1s", b'{"e":"markPriceUpdate","E":1562305380000}', (1562305379999, 1562305380000)),
    ]
    for stream, frame, expected in cases:
        framed = b'{"stream":"%s","data":%s}' % (stream, frame)
        assert numbering_of(stream)[1](framed) == expected
    assert numbering_of(b"b@forceOrder")[0] is Numbering.CONTENT
    assert numbering_of(b"")[0] is Numbering.CONTENT
