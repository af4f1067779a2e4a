"""Paper trading on the bars that a live pipeline closes."""

import numpy as np

from undertow.book.ladder import ASK, BID, top
from undertow.features.engine import FeatureBlock
from undertow.market.orders import TopOfBook
from undertow.runtime.paper import PaperTrader
from undertow.runtime.pipeline import Pipeline

__all__ = ["PaperSession", "book_now"]

_LEVELS = 100


class PaperSession:
    """Hands each closed bar of one length to a trader, with the book as it is then.

    The session's clock is event time: the newest stamp seen, which the collector's timer moves on when the
    market is quiet, so that a dead feed grows old instead of standing still.
    """

    def __init__(self, trader: PaperTrader, length_ns: int) -> None:
        self.trader = trader
        self._length_ns = length_ns

    def on_bars(self, pipeline: Pipeline, blocks: dict[int, FeatureBlock]) -> None:
        """Decide on every bar of the session's length; several at once only after a hold-up."""
        block = blocks.get(self._length_ns)
        if block is None:
            return
        book, now_ns = book_now(pipeline), pipeline.sampler.newest_ns
        for at in range(len(block)):
            close_ns = int(block.open_ns[at]) + self._length_ns
            self.trader.on_bar(block.row(at), close_ns, int(block.known_ns[at]), book, now_ns)


def book_now(pipeline: Pipeline) -> TopOfBook | None:
    """The best levels of the live book; None while it is not exact."""
    sampler = pipeline.sampler
    if not sampler.is_synced:
        return None
    sides = [np.zeros((2, _LEVELS), np.int64) for _ in range(2)]
    for side, (ticks, lots) in zip((BID, ASK), sides, strict=True):
        top(sampler.ladder, side, ticks, lots)
    (bid_ticks, bid_lots), (ask_ticks, ask_lots) = sides
    stamp = sampler.update_ns
    return TopOfBook(stamp, stamp, bid_ticks, bid_lots, ask_ticks, ask_lots)
