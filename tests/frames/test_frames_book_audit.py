"""A book compared with fresh snapshots: what is right stays, what is wrong is found and recorded."""

import json

import numpy as np
import pytest

from tests.frames.conftest import INSTRUMENT, START_MS, SmallMarket, frame_line, make_market, sides
from undertow.book import ladder as books
from undertow.frames.book_audit import BookAudit
from undertow.frames.sampler import Sampled, Sampler, SamplerSettings
from undertow.market.events import Gap
from undertow.venues.binance.mapper import BinanceMapper

AUDIT = b'%d {"stream":"!undertow","data":{"e":"audit"}}\n'
Book = tuple[int, dict[int, int], dict[int, int]]


class Folded:
    """A sampler and everything it gave."""

    def __init__(self) -> None:
        self.sampler = Sampler(INSTRUMENT, SamplerSettings())
        self.mapper = BinanceMapper(INSTRUMENT)
        self.audits: list[BookAudit] = []
        self.gaps: list[Gap] = []
        self.sampled: list[Sampled] = []

    def feed(self, lines: list[bytes]) -> None:
        for line in lines:
            batch = self.mapper.map(line).batch
            self.sampled.append(self.sampler.feed(batch))
            self.audits += self.sampler.book.audits
            self.gaps += self.sampled[-1].gaps


def depth_lines(market: SmallMarket) -> list[bytes]:
    return [line for line in market.lines if b"depthUpdate" in line or b"lastUpdateId" in line]


def receive_ms(line: bytes) -> int:
    return int(line.split(b" ", 1)[0]) // 10**6


def update_id(line: bytes) -> int:
    return int(json.loads(line.split(b" ", 1)[1])["u"])


def snapshot(book: Book, identity: int, at_ms: int, levels: int = 1000) -> bytes:
    _, bids, asks = book
    frame = {
        "lastUpdateId": identity,
        "bids": sides({t: bids[t] for t in sorted(bids, reverse=True)[:levels]}),
        "asks": sides({t: asks[t] for t in sorted(asks)[:levels]}),
    }
    return frame_line(at_ms, frame)


def audited(market: SmallMarket, at: int, answer_after: int, book: Book, levels: int = 1000) -> Folded:
    """Ask for an audit after line `at`; the snapshot of update `at` comes `answer_after` lines later."""
    lines = depth_lines(market)
    folded = Folded()
    folded.feed(lines[: at + 1])
    folded.feed([AUDIT % (receive_ms(lines[at]) * 10**6)])
    folded.feed(lines[at + 1 : at + 1 + answer_after])
    last = lines[at + answer_after]
    folded.feed([snapshot(book, update_id(lines[at]), receive_ms(last), levels)])
    folded.feed(lines[at + 1 + answer_after :])
    return folded


@pytest.fixture
def market() -> SmallMarket:
    return make_market(5, 20)


@pytest.mark.parametrize("answer_after", [0, 1, 5])
def test_a_true_book_matches_and_nothing_else_changes(market: SmallMarket, answer_after: int) -> None:
    folded = audited(market, 40, answer_after, market.books[39])
    (found,) = folded.audits
    assert (found.cause, found.mismatched, found.ghosts) == ("", 0, 0)
    assert found.compared == found.matched >= 60
    plain = Folded()
    plain.feed(depth_lines(market))
    assert folded.gaps == plain.gaps == []
    for name in ("depth", "l2"):
        for ours, theirs in zip(columns(folded, name), columns(plain, name), strict=True):
            assert (ours == theirs).all()


def columns(folded: Folded, name: str) -> list[np.ndarray]:
    parts = [getattr(sampled, name) for sampled in folded.sampled]
    wanted = ("grid_ns", "bid_ticks", "bid_lots", "ask_ticks", "ask_lots", "ofi_10", "spread_integral")
    return [np.concatenate([getattr(part, column) for part in parts]) for column in wanted]


def test_a_snapshot_newer_than_our_book_is_compared_when_the_book_gets_there(market: SmallMarket) -> None:
    lines = depth_lines(market)
    folded = Folded()
    folded.feed(lines[:41])
    folded.feed([AUDIT % (receive_ms(lines[40]) * 10**6)])
    folded.feed([snapshot(market.books[44], update_id(lines[45]), receive_ms(lines[40]))])
    assert folded.sampler.book.is_audited
    folded.feed(lines[41:])
    (found,) = folded.audits
    assert found.update_id == update_id(lines[45])
    assert (found.cause, found.mismatched) == ("", 0)


def test_a_wrong_level_inside_the_trusted_range_is_a_gap_since_the_book_was_last_true(
    market: SmallMarket,
) -> None:
    event_ms, bids, asks = market.books[39]
    wrong = sorted(bids)[-4]
    truth = (event_ms, {**bids, wrong: bids[wrong] + 7}, asks)
    folded = audited(market, 40, 2, truth)
    (found,) = folded.audits
    assert (found.mismatched, found.ghosts, found.compared - found.matched) == (1, 0, 1)
    (gap,) = folded.gaps
    assert (gap.stream, gap.cause) == ("depth", "audit mismatch")
    assert gap.from_ns == market.books[0][0] * 10**6, "the book was last known to be true when it was joined"
    assert books.level(folded.sampler.ladder, books.BID, wrong) in (
        bids[wrong] + 7,
        market.books[-1][1].get(wrong, 0),
    )


def test_a_ghost_beyond_the_range_is_evicted_and_is_no_gap(market: SmallMarket) -> None:
    """The first snapshot reaches 60 levels down; an update sets a level below, which vanishes unseen."""
    lines = depth_lines(market)
    at = 30
    frame = json.loads(lines[at].split(b" ", 1)[1])
    far = 9_000
    frame["b"].append(["900.00", "1.234"])
    lines[at] = frame_line(receive_ms(lines[at]), frame)
    folded = Folded()
    folded.feed(lines[:41])
    assert books.level(folded.sampler.ladder, books.BID, far) == 1234
    event_ms, bids, asks = market.books[39]
    truth = (event_ms, {**bids, far - 100: 5}, asks)
    folded.feed(
        [
            AUDIT % (receive_ms(lines[40]) * 10**6),
            snapshot(truth, update_id(lines[40]), receive_ms(lines[40])),
        ]
    )
    (found,) = folded.audits
    assert (found.mismatched, found.ghosts) == (0, 2)
    assert found.trusted_bid_ticks == far - 100
    assert folded.gaps == []
    assert books.level(folded.sampler.ladder, books.BID, far) == 0
    assert books.level(folded.sampler.ladder, books.BID, far - 100) == 5


def test_a_snapshot_with_fewer_levels_shrinks_what_is_trusted(market: SmallMarket) -> None:
    before = Folded()
    before.feed(depth_lines(market)[:41])
    wide = before.sampler.book.trusted
    folded = audited(market, 40, 1, market.books[39], levels=10)
    narrow = folded.sampler.book.trusted
    assert wide[0] < narrow[0] < narrow[1] < wide[1]
    (found,) = folded.audits
    assert found.compared <= 25
    assert not folded.sampler.trusts(20)


def test_a_snapshot_older_than_the_audit_says_nothing(market: SmallMarket) -> None:
    lines = depth_lines(market)
    folded = Folded()
    folded.feed(lines[:41])
    folded.feed([AUDIT % (receive_ms(lines[40]) * 10**6)])
    folded.feed(lines[41:44])
    folded.feed([snapshot(market.books[29], update_id(lines[30]), receive_ms(lines[43]))])
    (found,) = folded.audits
    assert "older" in found.cause
    assert folded.gaps == []
    assert not folded.sampler.book.is_audited


def test_an_audit_survives_a_restart_in_between(market: SmallMarket) -> None:
    lines = depth_lines(market)
    folded = Folded()
    folded.feed(lines[:41])
    folded.feed([AUDIT % (receive_ms(lines[40]) * 10**6), *lines[41:43]])
    restored = Folded()
    restored.sampler.restore(folded.sampler.to_arrays())
    rest = [snapshot(market.books[39], update_id(lines[40]), receive_ms(lines[42])), *lines[43:]]
    folded.feed(rest)
    restored.feed(rest)
    assert restored.audits == folded.audits
    assert len(restored.audits) == 1


def test_a_lost_book_ends_the_audit(market: SmallMarket) -> None:
    lines = depth_lines(market)
    folded = Folded()
    folded.feed(lines[:41])
    folded.feed([AUDIT % (receive_ms(lines[40]) * 10**6), lines[43]])
    (found,) = folded.audits
    assert found.cause == "the book was lost (update ids missing)"
    assert START_MS > 0
