"""Raw Bybit frames into the vocabulary. Bytes in, columns and events out; what deltas need is carried."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import msgspec

from undertow.market.batch import EventKind
from undertow.market.events import MarketEvent
from undertow.market.instruments import Instrument
from undertow.market.time import MILLISECOND_NS
from undertow.venues.bybit.batch_rows import BatchRows
from undertow.venues.bybit.decoding import Reader
from undertow.venues.bybit.messages import TICKER_FIELDS, Book, Envelope, PublicTrade, RestBook
from undertow.venues.bybit.rare_events import answered, klines, liquidations, mark_event, result_of
from undertow.venues.bybit.ticker import Ticker, events_of, merged
from undertow.venues.bybit.trade_ids import TradeIds, key_of
from undertow.venues.mapped import Mapped, Reason, Rejection
from undertow.venues.marks import MARK_STREAM, Audit, Disconnect, Mark, Watermark

__all__ = ["BybitMapper"]

_EXPLANATION = {
    Reason.NO_RECEIVE_TIME: "no receive time at the start of the line",
    Reason.NOT_JSON: "not a complete JSON frame",
    Reason.OFF_STEP: "a price or quantity does not lie on the instrument's tick or lot",
    Reason.MISSING_FIELD: "a field that this topic needs is missing, or no longer what it was",
    Reason.OTHER_SYMBOL: "a frame of another symbol",
}

_ORDINARY, _NO_MARKET_ORDER = 0, 3
"""Codes of ORDER_TYPES: a print of the book, and a block trade (`NA`), which is agreed off the book."""
_BOOK_AND_TRADES = 3
"""What a lost connection carried: Bybit has one socket for everything."""
_LATEST_NS = 2**63 - 1

_envelopes = Reader("frame", Envelope)
_books = Reader("orderbook", Book)
_rest_books = Reader("rest.orderbook", RestBook)
_trades = Reader("publicTrade", PublicTrade)
_ticker_decoder = msgspec.json.Decoder(Ticker, strict=False)
_fields_decoder = msgspec.json.Decoder(dict[str, msgspec.Raw])
_mark_decoder = msgspec.json.Decoder(Mark)
_string_decoder = msgspec.json.Decoder(str)


class _Carried(msgspec.Struct, frozen=True):
    ticker: Ticker | None
    ticker_ms: int
    trade_ids: bytes


class _OtherSymbol(Exception):  # noqa: N818 - a signal to the reading of a line, not an error
    """A frame is about another symbol."""


@dataclass(frozen=True, slots=True)
class _Block:
    """What the lines of a block have given so far; the columns of `mapped` are filled at its end."""

    rows: BatchRows
    mapped: Mapped


@dataclass(frozen=True, slots=True)
class _Frame:
    """A frame with its place in the block."""

    line: int
    receive_ns: int
    envelope: Envelope
    block: _Block

    def add_others(self, events: Sequence[MarketEvent]) -> None:
        """Note events of this frame, which has no row of its own yet: it gets the next one."""
        self.block.mapped.add_others(len(self.block.rows.rows), events)

    @property
    def parts(self) -> list[str]:
        """The topic, split at its dots."""
        return self.envelope.topic.split(".")

    def times(self, stamp_ms: int) -> tuple[int, int]:
        """(event, receive) [ns] of something at `stamp_ms`."""
        return stamp_ms * MILLISECOND_NS, self.receive_ns


class BybitMapper:
    """Maps frames of one linear contract: `BybitMapper(instrument).map(lines)`.

    `book_depth` is the depth of the topic that the book is folded from; level 1 gives quotes, and any other
    depth is counted in `filtered`. Trades that came before are dropped: the stream has no chain of ids, so
    nothing but the connection tells whether it is complete. Tickers need their snapshot, and the copies of
    trades what came before: `to_bytes` and `restore` carry that over a restart.
    """

    def __init__(self, instrument: Instrument, book_depth: int = 200) -> None:
        self.instrument = instrument
        self.book_depth = book_depth
        self._ticker: Ticker | None = None
        self._ticker_ms = 0
        """When the exchange made its newest frame."""
        self._trade_ids = TradeIds()
        self._take: dict[str, Callable[[_Frame], None]] = {
            "orderbook": self._take_book,
            "publicTrade": self._take_trades,
            "tickers": self._take_ticker,
            "allLiquidation": self._take_liquidations,
            "kline": self._take_klines,
            "rest": self._take_answer,
        }

    def map(self, data: bytes) -> Mapped:
        """Decode a block of complete journal lines; what cannot be understood is told in the result."""
        rows = BatchRows()
        block = _Block(rows, Mapped(rows.batch(self.instrument)[0]))
        lines = data.split(b"\n")
        if not lines[-1]:
            del lines[-1]
        for number, text in enumerate(lines):
            self._map_line(number, text, block)
        batch, off_rows = block.rows.batch(self.instrument)
        mapped = replace(block.mapped, batch=batch)
        for row in off_rows:
            number = block.rows.lines[row]
            mapped.rejections.append(_rejection(number, Reason.OFF_STEP, lines[number].partition(b" ")[2]))
        mapped.rejections.sort(key=lambda rejection: rejection.line)
        return mapped

    def _map_line(self, line: int, text: bytes, block: _Block) -> None:
        stamp, _, content = text.partition(b" ")
        receive_ns = int(stamp) if stamp.isdigit() else -1
        if not 0 <= receive_ns <= _LATEST_NS:
            _reject(block, line, 0, Reason.NO_RECEIVE_TIME, text)
            return
        rows_before = len(block.rows.rows)
        kind = "frame"
        try:
            envelope = _envelopes.one(content, block.mapped.unknown_fields)
            kind = envelope.topic.partition(".")[0] or kind
            self._take_frame(_Frame(line, receive_ns, envelope, block))
        except _OtherSymbol:
            _reject(block, line, receive_ns, Reason.OTHER_SYMBOL, content)
        except (msgspec.ValidationError, OverflowError) as error:
            _reject(block, line, receive_ns, Reason.MISSING_FIELD, content, f"{kind}: {error}")
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            _reject(block, line, receive_ns, Reason.NOT_JSON, content)
        except ValueError as error:
            _reject(block, line, receive_ns, Reason.MISSING_FIELD, content, f"{kind}: {error}")
        if len(block.rows.rows) == rows_before:
            block.rows.put(line, EventKind.OTHER, receive_ns)

    def _take_frame(self, frame: _Frame) -> None:
        envelope, mapped = frame.envelope, frame.block.mapped
        if envelope.stream == MARK_STREAM:
            self._take_mark(frame)
        elif envelope.op:
            mapped.filtered[f"reply.{envelope.op}"] += 1
        elif frame.parts[0] not in self._take:
            mapped.unknown_types[frame.parts[0] or envelope.stream or "(none)"] += 1
        elif frame.parts[-1] != self.instrument.symbol:
            raise _OtherSymbol
        else:
            self._take[frame.parts[0]](frame)

    def _check(self, symbol: str) -> None:
        if symbol != self.instrument.symbol:
            raise _OtherSymbol

    def _take_book(self, frame: _Frame) -> None:
        envelope, mapped = frame.envelope, frame.block.mapped
        book = _books.one(envelope.data, mapped.unknown_fields)
        self._check(book.s)
        depth = frame.parts[1]
        if envelope.type not in {"snapshot", "delta"}:
            raise ValueError(f"type {envelope.type[:50]!r} is neither snapshot nor delta")
        kind = EventKind.DELTA if envelope.type == "delta" else EventKind.BASE
        if depth == "1":
            kind = EventKind.BEST_QUOTE
        elif depth != str(self.book_depth):
            mapped.filtered[f"orderbook.{depth}"] += 1
            return
        if kind == EventKind.BEST_QUOTE and not (len(book.b) == len(book.a) == 1):
            mapped.filtered["orderbook.1 without both sides"] += 1
            return
        times = frame.times(envelope.cts or envelope.ts)
        frame.block.rows.put_book(frame.line, kind, times, book.u, book.b, book.a)

    def _take_trades(self, frame: _Frame) -> None:
        trades = _trades.many(frame.envelope.data, frame.block.mapped.unknown_fields)
        keys = [key_of(trade.i) for trade in trades]
        for trade in trades:
            self._check(trade.s)
        for key, trade in zip(keys, trades, strict=True):
            trade_id = self._trade_ids.take(key, trade.T)
            if trade_id is None:
                frame.block.mapped.filtered["publicTrade.duplicate"] += 1
                continue
            frame.block.rows.put_trade(
                frame.line,
                frame.times(trade.T),
                trade_id,
                (trade.p, trade.v),
                is_buyer_maker=trade.S == "Sell",
                order_type=_NO_MARKET_ORDER if trade.BT else _ORDINARY,
                is_improved=trade.RPI,
            )

    def _take_ticker(self, frame: _Frame) -> None:
        envelope, mapped = frame.envelope, frame.block.mapped
        fields = _fields_decoder.decode(envelope.data)
        self._check(_string_decoder.decode(fields.get("symbol", msgspec.Raw(b'""'))))
        told = _ticker_decoder.decode(envelope.data)
        mapped.unknown_fields.update(f"tickers.{name}" for name in fields.keys() - TICKER_FIELDS)
        if self._ticker is not None and envelope.ts < self._ticker_ms:
            mapped.filtered["tickers.older"] += 1
            return
        ticker = told
        if envelope.type != "snapshot":
            if self._ticker is None:
                mapped.filtered["tickers.delta without a snapshot"] += 1
                return
            ticker = merged(self._ticker, told)
        times = frame.times(envelope.ts)
        frame.add_others(events_of(self.instrument.symbol, ticker, told, *times))
        self._ticker, self._ticker_ms = ticker, envelope.ts

    def _take_liquidations(self, frame: _Frame) -> None:
        envelope, mapped = frame.envelope, frame.block.mapped
        found = liquidations(envelope.data, envelope.ts, frame.receive_ns, mapped.unknown_fields)
        for event in found:
            self._check(event.symbol)
        frame.add_others(found)

    def _take_klines(self, frame: _Frame) -> None:
        mapped = frame.block.mapped
        symbol = self.instrument.symbol
        frame.add_others(klines(frame.envelope.data, symbol, frame.receive_ns, mapped.unknown_fields))

    def _take_answer(self, frame: _Frame) -> None:
        """An answer of REST that was journalled like a topic."""
        name, mapped = frame.parts[1], frame.block.mapped
        if name == "orderbook":
            self._take_rest_book(frame)
            return
        found = answered(
            name, self.instrument.symbol, frame.envelope.data, frame.receive_ns, mapped.unknown_fields
        )
        if found is None:
            mapped.unknown_types[f"rest.{name}"] += 1
            return
        for event in found:
            self._check(event.symbol)
        frame.add_others(found)

    def _take_rest_book(self, frame: _Frame) -> None:
        """A snapshot, of use where its update ids are those of the topic that is folded."""
        book = _rest_books.one(result_of(frame.envelope.data), frame.block.mapped.unknown_fields)
        self._check(book.s)
        if frame.parts[2] != str(self.book_depth):
            frame.block.mapped.filtered[f"rest.orderbook.{frame.parts[2]}"] += 1
            return
        times = frame.times(book.cts or book.ts)
        frame.block.rows.put_book(frame.line, EventKind.SNAPSHOT, times, book.u, book.b, book.a)

    def _take_mark(self, frame: _Frame) -> None:
        mark, rows = _mark_decoder.decode(frame.envelope.data), frame.block.rows
        if isinstance(mark, Disconnect):
            self._ticker = None
            rows.put(frame.line, EventKind.DISCONNECT, frame.receive_ns, first_id=_BOOK_AND_TRADES)
        elif isinstance(mark, Audit):
            rows.put(frame.line, EventKind.AUDIT, frame.receive_ns)
        elif isinstance(mark, Watermark):
            rows.put(frame.line, EventKind.WATERMARK, frame.receive_ns, mark.T * MILLISECOND_NS)
        else:
            event = mark_event(mark, frame.receive_ns)
            frame.add_others([event] if event is not None else [])

    def to_bytes(self) -> bytes:
        """What is carried from one block to the next; `restore` takes it back."""
        return msgspec.msgpack.encode(_Carried(self._ticker, self._ticker_ms, self._trade_ids.to_bytes()))

    def restore(self, state: bytes) -> None:
        """Go on from `to_bytes()` of a mapper of the same instrument."""
        carried = msgspec.msgpack.decode(state, type=_Carried)
        self._ticker, self._ticker_ms = carried.ticker, carried.ticker_ms
        self._trade_ids.restore(carried.trade_ids)


def _reject(
    block: _Block, line: int, receive_ns: int, reason: Reason, content: bytes, fault: str = ""
) -> None:
    block.rows.put(line, EventKind.REJECTED, receive_ns)
    block.mapped.rejections.append(_rejection(line, reason, content, fault))
    if fault:
        block.mapped.field_faults[fault] += 1


def _rejection(line: int, reason: Reason, content: bytes, fault: str = "") -> Rejection:
    message = _EXPLANATION[reason] + (f" ({fault})" if fault else "")
    return Rejection(line, reason, message, content[:80].decode("utf-8", "replace"))
