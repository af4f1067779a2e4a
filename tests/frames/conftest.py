"""A small market written as journal lines, with its truth beside it."""

import json
import random
from dataclasses import dataclass, field
from decimal import Decimal

import pytest

from undertow.market.instruments import Instrument

START_MS = 1_700_000_000_000
INSTRUMENT = Instrument("binance-usdm", "BTCUSDT", "0.10", "0.001")


@dataclass
class SmallMarket:
    """Lines in arrival order and what they say."""

    lines: list[bytes] = field(default_factory=list)
    trades: list[tuple[int, int, int, int, bool]] = field(default_factory=list)
    """(event ms, id, ticks, lots, is_buyer_maker) in arrival order."""
    books: list[tuple[int, dict[int, int], dict[int, int]]] = field(default_factory=list)
    """(event ms, bids, asks) after each update."""

    def bytes(self) -> bytes:
        return b"".join(self.lines)


def frame_line(receive_ms: int, frame: dict[str, object]) -> bytes:
    return b"%d %s\n" % (receive_ms * 1_000_000, json.dumps(frame, separators=(",", ":")).encode())


def price(ticks: int) -> str:
    return f"{Decimal(ticks) / 10:.2f}"


def quantity(lots: int) -> str:
    return f"{Decimal(lots) / 1000:.3f}"


def sides(levels: dict[int, int]) -> list[list[str]]:
    return [[price(t), quantity(q)] for t, q in levels.items()]


def make_market(seed: int, seconds: int, drop: frozenset[int] = frozenset()) -> SmallMarket:
    """A seeded walk; depth updates whose index is in `drop` are not delivered."""
    rng = random.Random(seed)
    market = SmallMarket()
    bids = {10_000 - i: rng.randint(1, 50) for i in range(60)}
    asks = {10_001 + i: rng.randint(1, 50) for i in range(60)}
    update_id, trade_id, index = 1000, 500, 0
    trade_at = depth_at = START_MS + 41  # each connection delivers in order
    arrivals: list[tuple[int, int, bytes]] = []
    snapshot = {
        "lastUpdateId": update_id,
        "T": START_MS,
        "E": START_MS,
        "bids": sides(bids),
        "asks": sides(asks),
    }
    arrivals.append((START_MS + 40, 0, frame_line(START_MS + 40, snapshot)))
    now = START_MS
    while now < START_MS + seconds * 1000:
        now += rng.choice((3, 20, 110, 700 if rng.random() < 0.05 else 50))
        trade_at = max(trade_at, now + rng.randint(1, 120))
        if rng.random() < 0.5:
            trade_id += 1
            ticks, lots = rng.choice((max(bids), min(asks))), rng.choice((1, 2, 5, 400))
            maker = rng.random() < 0.5
            frame: dict[str, object] = {"e": "aggTrade", "E": now, "s": "BTCUSDT", "a": trade_id, "T": now}
            frame |= {"p": price(ticks), "q": quantity(lots), "f": trade_id, "l": trade_id, "m": maker}
            arrivals.append((trade_at, len(arrivals), frame_line(trade_at, frame)))
            continue
        shift = rng.choice((-1, 0, 0, 0, 1))
        change_bids = {max(bids): 0} if shift < 0 and len(bids) > 30 else {}
        change_asks = {min(asks): 0} if shift > 0 and len(asks) > 30 else {}
        change_bids |= {rng.choice(list(bids)) if rng.random() < 0.7 else min(asks) - 1: rng.randint(1, 50)}
        change_asks |= {rng.choice(list(asks)) if rng.random() < 0.7 else max(bids) + 1: rng.randint(1, 50)}
        for book, changes in ((bids, change_bids), (asks, change_asks)):
            for level, lots in changes.items():
                book.pop(level, None)
                if lots:
                    book[level] = lots
        while max(bids) >= min(asks):
            crossing = max(bids)
            change_bids[crossing] = 0
            del bids[crossing]
        previous, first, update_id = update_id, update_id + rng.randint(1, 4), update_id + 5
        frame = {"e": "depthUpdate", "E": now, "T": now, "s": "BTCUSDT", "U": first, "u": update_id}
        frame |= {"pu": previous, "b": sides(change_bids), "a": sides(change_asks)}
        market.books.append((now, dict(bids), dict(asks)))
        if index not in drop:
            depth_at = max(depth_at, now + rng.randint(1, 60))
            arrivals.append((depth_at, len(arrivals), frame_line(depth_at, frame)))
        index += 1
    market.lines = [line for _, _, line in sorted(arrivals)]
    for line in market.lines:
        frame = json.loads(line.split(b" ", 1)[1])
        if frame.get("e") == "aggTrade":
            ticks = int(Decimal(str(frame["p"])) * 10)
            lots = int(Decimal(str(frame["q"])) * 1000)
            market.trades.append((frame["T"], frame["a"], ticks, lots, frame["m"]))  # type: ignore[arg-type]
    return market


@pytest.fixture
def instrument() -> Instrument:
    return INSTRUMENT
