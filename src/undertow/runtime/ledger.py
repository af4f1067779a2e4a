"""What the ledger of completeness is told of each block, and its rows for the lake."""

from collections.abc import Mapping

import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from undertow.frames.book_audit import BookAudit
from undertow.frames.book_fold import BookStatus
from undertow.frames.coverage import Coverage, CoverageFold
from undertow.frames.sampler import Sampled, Sampler
from undertow.lake.schemas import BOOK_AUDITS, COVERAGE
from undertow.lake.tables import rows_to_arrow
from undertow.market.batch import EventBatch, EventKind
from undertow.market.columns import TRADE_SOURCES, TradeColumns
from undertow.market.instruments import Instrument
from undertow.market.time import MILLISECOND_NS
from undertow.venues.rules import rules_of

__all__ = ["Ledger", "audits_to_arrow"]

Integers = NDArray[np.int64]

_PUBLIC, _MARKET = 1, 2
_CONNECTION = {
    "book_ticker": _PUBLIC,
    "depth20": _PUBLIC,
    "mark_price": _MARKET,
    "klines": _MARKET,
    "liquidations": _MARKET,
}
"""Table → bit of the connection that carries it, as in a `disconnect` mark."""
_TRADES = {"trades": _PUBLIC, "aggtrades": _MARKET}
_UNTIMED = frozenset({"clock", "instruments", "funding_rate"})
"""Tables whose rows come when something happens, or are about the past."""


class Ledger:
    """The coverage of one symbol, block by block."""

    def __init__(self, instrument: Instrument) -> None:
        self.instrument = instrument
        self._fold = CoverageFold()
        self._has_trade_chain = rules_of(instrument.venue).has_trade_chain

    def note(self, batch: EventBatch, sampler: Sampler, sampled: Sampled) -> None:
        """A block that has been folded: its trades and its book."""
        for table, trades in sampled.trades.items():
            if not self._has_trade_chain:
                cut = (batch.kind == EventKind.DISCONNECT) & ((batch.first_id & _TRADES[table]) > 0)
                self._fold.heartbeat(table, trades.event_ns, trades.receive_ns, batch.receive_ns[cut])
                continue
            gaps = [gap for gap in sampled.gaps if gap.stream == table]
            self._fold.chain(table, trades.event_ns, trades.trade_id, gaps)
        for gap in sampled.gaps:
            if gap.stream.endswith("singles"):
                self._fold.hole(gap)
        self._note_book(batch, sampler, sampled)

    def _note_book(self, batch: EventBatch, sampler: Sampler, sampled: Sampled) -> None:
        """Updates count while the book is exact: from its first joining on, outside its gaps."""
        book = sampler.book
        if not book.joined_ns:
            return
        self._fold.begin("depth", book.joined_ns, book.joined_id)
        rows = (batch.kind == EventKind.DELTA) & (batch.event_ns >= book.joined_ns)
        if book.status not in (BookStatus.SYNCED, BookStatus.DORMANT):
            rows &= batch.event_ns <= book.lost_ns
        gaps = [gap for gap in sampled.gaps if gap.stream == "depth"]
        self._fold.chain("depth", batch.event_ns[rows], batch.last_id[rows], gaps)
        if book.status == BookStatus.SYNCED:  # updates that had waited for a snapshot are in no block
            newest = np.array([sampler.update_ns]), np.array([book.book_id])
            self._fold.chain("depth", *newest, [])

    def note_market(self, tables: Mapping[str, pa.Table], batch: EventBatch) -> None:
        """Rows of the tables without ids, in arrival order, and connections that were lost among them."""
        disconnects = batch.kind == EventKind.DISCONNECT
        concerned = {name for name in tables if name not in _UNTIMED}
        for table in sorted(concerned | (_CONNECTION.keys() if disconnects.any() else set())):
            lost = disconnects & ((batch.first_id & _CONNECTION.get(table, 0)) > 0)
            event_ns, receive_ns = _NONE, _NONE
            if table in tables:
                event_ns = tables[table]["timestamp"].to_numpy() * MILLISECOND_NS
                receive_ns = tables[table]["received_ns"].to_numpy()
            self._fold.heartbeat(table, event_ns, receive_ns, batch.receive_ns[lost])

    def note_repair(self, table: str, trades: TradeColumns, missing: list[tuple[int, int]]) -> None:
        """Trades that were had from elsewhere; `missing` still lack."""
        if len(trades):
            source = TRADE_SOURCES[int(trades.source[0])]
            self._fold.repaired(table, missing, source, int(trades.receive_ns[0]))

    def finish(self) -> None:
        """The recording ends here, perhaps for good."""
        self._fold.finish()

    def take(self) -> pa.Table:
        """Rows of `coverage` that have come up."""
        return rows_to_arrow(self.instrument, COVERAGE, [_row(entry) for entry in self._fold.take()])

    def to_bytes(self) -> bytes:
        """Everything carried; `restore` takes it back."""
        return msgspec.msgpack.encode(self._fold)

    def restore(self, state: bytes) -> None:
        """Go on from `to_bytes()`."""
        self._fold = msgspec.msgpack.decode(state, type=CoverageFold)


_NONE = np.zeros(0, np.int64)


def _row(entry: Coverage) -> dict[str, object]:
    return {"timestamp": entry.from_ns // MILLISECOND_NS, **msgspec.structs.asdict(entry)}


def audits_to_arrow(instrument: Instrument, audits: list[BookAudit]) -> pa.Table:
    """Rows of `book_audits`."""
    price = instrument.price
    rows = [
        {
            "timestamp": audit.event_ns // MILLISECOND_NS,
            "trusted_bid": price.to_float(audit.trusted_bid_ticks),
            "trusted_ask": price.to_float(audit.trusted_ask_ticks),
            **{
                name: getattr(audit, name)
                for name in BOOK_AUDITS.names
                if name in BookAudit.__struct_fields__
            },
        }
        for audit in audits
    ]
    return rows_to_arrow(instrument, BOOK_AUDITS, rows)
