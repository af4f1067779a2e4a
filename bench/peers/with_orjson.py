"""The usual hand-written stack: orjson (3.13) and one sortedcontainers.SortedDict (2.4) a side.

Prices and quantities become floats. A depth frame is checked against the chain of update ids, applied, and
the top of both sides read; a trade is appended to a list as a tuple.
"""

from collections.abc import Callable
from itertools import islice
from typing import Any

import orjson
from sortedcontainers import SortedDict

from bench.peers.replayed import DEPTH, Replayed

__all__ = ["prepare_depth", "prepare_trades"]


class _Book:
    """Both sides, best first: bids by negative price. Updates wait for the snapshot."""

    def __init__(self) -> None:
        self.bids = SortedDict()
        self.asks = SortedDict()
        self.last_id = -1
        self.waiting: list[dict[str, Any]] = []

    def seed(self, snapshot: dict[str, Any]) -> None:
        self.bids = SortedDict((-float(price), float(quantity)) for price, quantity in snapshot["bids"])
        self.asks = SortedDict((float(price), float(quantity)) for price, quantity in snapshot["asks"])
        self.last_id = snapshot["lastUpdateId"]
        for update in self.waiting:
            self.update(update)

    def update(self, update: dict[str, Any]) -> None:
        if self.last_id < 0:
            self.waiting.append(update)
        elif update["u"] >= self.last_id:
            if not (update["U"] <= self.last_id or update["pu"] == self.last_id):
                raise ValueError(f"update {update['U']} does not follow {self.last_id}")
            self.last_id = update["u"]
            _apply(self.bids, update["b"], -1.0)
            _apply(self.asks, update["a"], 1.0)


def prepare_depth(lines: list[bytes]) -> Callable[[], Replayed]:
    return lambda: _replay_depth(lines)


def prepare_trades(lines: list[bytes]) -> Callable[[], Replayed]:
    return lambda: _replay_trades(lines)


def _replay_depth(lines: list[bytes]) -> Replayed:
    book = _Book()
    top_bids: list[Any] = []
    top_asks: list[Any] = []
    for line in lines:
        _received, _, text = line.partition(b" ")
        frame = orjson.loads(text)
        if "lastUpdateId" in frame:
            book.seed(frame)
        else:
            book.update(frame["data"])
        top_bids = list(islice(book.bids.items(), DEPTH))
        top_asks = list(islice(book.asks.items(), DEPTH))
    return Replayed(len(lines), tuple(-key for key, _ in top_bids), tuple(key for key, _ in top_asks))


def _apply(side: SortedDict, levels: list[list[str]], sign: float) -> None:
    for price, text in levels:
        quantity = float(text)
        key = sign * float(price)
        if quantity:
            side[key] = quantity
        else:
            side.pop(key, None)


def _replay_trades(lines: list[bytes]) -> Replayed:
    trades = []
    for line in lines:
        received, _, text = line.partition(b" ")
        trade = orjson.loads(text)["data"]
        row = (trade["T"], int(received), trade["t"], float(trade["p"]), float(trade["q"]), trade["m"])
        trades.append(row)
    return Replayed(len(trades))
