"""The books that the depth topics tell: the best levels as last pushed, and what has changed since."""

from dataclasses import dataclass, field

from undertow.venues.simulated.market import Market
from undertow.venues.simulated.matching import ASK, BID

__all__ = ["TopicBook"]

Levels = dict[int, int]
"""Tick → lots."""


def _best(market: Market, side: int, depth: int) -> Levels:
    return {int(tick): int(lots) for tick, lots in market.levels(side, depth)}


def _changes(before: Levels, now: Levels) -> Levels:
    """Levels that are new or other than before, and with 0 lots those that are gone or beyond the depth."""
    gone = dict.fromkeys(before.keys() - now.keys(), 0)
    return gone | {tick: lots for tick, lots in now.items() if before.get(tick) != lots}


@dataclass(slots=True)
class TopicBook:
    """What a client of one depth topic should hold. Every push raises `update_id` by one."""

    depth: int
    update_id: int
    bids: Levels = field(default_factory=dict)
    asks: Levels = field(default_factory=dict)
    pushed_ms: int = 0
    told: dict[int, tuple[Levels, Levels]] = field(default_factory=dict)
    """Update id → the book after it, of those that were pushed lately."""
    remembered: int = 4096

    def restate(self, market: Market) -> None:
        """Take the market's book without telling a change of it."""
        self.bids, self.asks = _best(market, BID, self.depth), _best(market, ASK, self.depth)
        self.pushed_ms = market.update_ms
        self._remember()

    def push(self, market: Market) -> tuple[Levels, Levels] | None:
        """What has changed on the bid and on the ask side since the last push; None where nothing has."""
        bids, asks = _best(market, BID, self.depth), _best(market, ASK, self.depth)
        changed = _changes(self.bids, bids), _changes(self.asks, asks)
        if not (changed[0] or changed[1]):
            return None
        self.update_id += 1
        self.bids, self.asks, self.pushed_ms = bids, asks, market.update_ms
        self._remember()
        return changed

    def _remember(self) -> None:
        self.told[self.update_id] = (self.bids, self.asks)
        if len(self.told) > self.remembered:
            del self.told[next(iter(self.told))]
