"""Raw Binance frames into the vocabulary. Pure: bytes in, columns and events out."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec
import numpy as np
from numpy.typing import NDArray

from undertow.market.batch import EventBatch, EventKind
from undertow.market.events import (
    ClockOffset,
    FundingRate,
    Kline,
    Liquidation,
    ListingChange,
    MarketEvent,
    MarkPrice,
    OpenInterest,
)
from undertow.market.instruments import Instrument
from undertow.market.time import to_nanoseconds
from undertow.venues.binance import messages
from undertow.venues.binance.frame_row import SCRATCH, Reason
from undertow.venues.binance.scanner import scan_lines

__all__ = ["BinanceMapper", "Mapped", "Rejection"]

_EXPLANATION = {
    Reason.NO_RECEIVE_TIME: "no receive time at the start of the line",
    Reason.NOT_JSON: "not a complete JSON frame",
    Reason.OFF_STEP: "a price or quantity does not lie on the instrument's tick or lot",
    Reason.MISSING_FIELD: "a field that this event type needs is missing",
    Reason.OTHER_SYMBOL: "a frame of another symbol",
    Reason.OTHER_VENUE: "a depth update of the other Binance market (USD-M carries `pu`, spot does not)",
}

_SHORTEST_LEVEL = len('["1","1"]')

_DISCONNECT_STREAMS = {"public": 1, "market": 2, "all": 3}


class Rejection(msgspec.Struct, frozen=True):
    """A line that is no usable frame. `line` counts from 0 within the block."""

    line: int
    reason: Reason
    message: str
    text: str


@dataclass(frozen=True, slots=True)
class Mapped:
    """What a block of lines turned out to hold."""

    batch: EventBatch
    others: list[MarketEvent] = field(default_factory=list)
    """Mark prices, liquidations, klines and what was polled, in order."""
    rejections: list[Rejection] = field(default_factory=list)
    unknown_types: Counter[str] = field(default_factory=Counter)
    unknown_fields: Counter[str] = field(default_factory=Counter)
    """`type.field` → how often."""


class BinanceMapper:
    """Maps frames of one instrument.

    Every frame that the columns do not hold is in `others`, counted in `unknown_types`, or a rejection.
    """

    def __init__(self, instrument: Instrument) -> None:
        self.instrument = instrument
        self._symbol = np.frombuffer(instrument.symbol.encode(), np.uint8)
        price, quantity = instrument.price, instrument.quantity
        self._steps = np.array([price.units, price.digits, quantity.units, quantity.digits], np.int64)
        self._has_previous = int(instrument.venue != "binance-spot")
        self._decoder = msgspec.json.Decoder(messages.Message, strict=False)

    def map(self, data: bytes) -> Mapped:
        """Decode a block of complete journal lines."""
        lines = data.count(b"\n") + (not data.endswith(b"\n"))
        capacity = len(data) // _SHORTEST_LEVEL + 1
        integers = np.empty((lines, 12), np.int64)
        codes = np.zeros((lines, 3), np.uint8)
        bounds = np.empty((lines, 2), np.int64)
        reasons = np.empty(lines, np.uint8)
        ticks, lots = np.empty(capacity, np.int64), np.empty(capacity, np.int64)
        count, levels = scan_lines(
            np.frombuffer(data, np.uint8),
            self._symbol,
            self._steps,
            self._has_previous,
            integers,
            codes,
            bounds,
            reasons,
            ticks,
            lots,
            np.empty(SCRATCH, np.int64),
        )
        mapped = Mapped(_batch(integers[:count], codes[:count], ticks[:levels], lots[:levels]))
        self._attend(data, mapped, bounds[:count], reasons[:count])
        return mapped

    def _attend(
        self, data: bytes, mapped: Mapped, bounds: NDArray[np.int64], reasons: NDArray[np.uint8]
    ) -> None:
        """Handle the rows that the scanner could not finish by itself."""
        kind = mapped.batch.kind
        for row in np.flatnonzero((kind <= EventKind.OTHER) | (reasons != Reason.FINE)):
            frame = data[bounds[row, 0] : bounds[row, 1]]
            if kind[row] == EventKind.REJECTED:
                self._reject(mapped, int(row), Reason(int(reasons[row])), frame)
            elif kind[row] == EventKind.OTHER:
                self._map_other(mapped, int(row), frame)
            else:
                _count_unknown(mapped, frame)

    def _reject(self, mapped: Mapped, row: int, reason: Reason, frame: bytes) -> None:
        text = frame[:80].decode("utf-8", "replace")
        mapped.rejections.append(Rejection(row, reason, _EXPLANATION[reason], text))

    def _map_other(self, mapped: Mapped, row: int, frame: bytes) -> None:
        try:
            stream, payload = messages.unwrap(frame)
            fields = msgspec.json.decode(payload)
        except (msgspec.DecodeError, UnicodeDecodeError):
            mapped.batch.kind[row] = EventKind.REJECTED
            self._reject(mapped, row, Reason.NOT_JSON, frame)
            return
        suffix = (stream or "").partition("@")[2]
        if suffix in _POLLED:
            self._map_polled(mapped, row, suffix, payload, frame)
            return
        name = fields.get("e", "") if isinstance(fields, dict) else ""
        if name not in messages.KNOWN_FIELDS:
            mapped.unknown_types[str(name) or "(none)"] += 1
            return
        _count_unknown(mapped, frame)
        try:
            message = self._decoder.decode(payload)
        except msgspec.ValidationError:
            mapped.batch.kind[row] = EventKind.REJECTED
            self._reject(mapped, row, Reason.MISSING_FIELD, frame)
            return
        self._take(mapped, row, message)

    def _map_polled(self, mapped: Mapped, row: int, suffix: str, payload: bytes, frame: bytes) -> None:
        """An answer of REST that was journalled in the stream's place."""
        try:
            mapped.others.extend(_POLLED[suffix](payload, int(mapped.batch.receive_ns[row])))
        except msgspec.DecodeError:
            mapped.batch.kind[row] = EventKind.REJECTED
            self._reject(mapped, row, Reason.MISSING_FIELD, frame)

    def _take(self, mapped: Mapped, row: int, message: messages.Message) -> None:
        batch = mapped.batch
        if isinstance(message, messages.Watermark):
            batch.kind[row] = EventKind.WATERMARK
            batch.event_ns[row] = to_nanoseconds(message.T)
        elif isinstance(message, messages.Audit):
            batch.kind[row] = EventKind.AUDIT
        elif isinstance(message, messages.Disconnect):
            batch.kind[row] = EventKind.DISCONNECT
            batch.first_id[row] = _DISCONNECT_STREAMS.get(message.category, 3)
        else:
            event = to_event(message, int(batch.receive_ns[row]))
            if event is not None:
                mapped.others.append(event)


def _count_unknown(mapped: Mapped, frame: bytes) -> None:
    _, payload = messages.unwrap(frame)
    fields = msgspec.json.decode(payload)
    name = fields.get("e", "bookTicker")
    for key in fields.keys() - messages.KNOWN_FIELDS.get(name, frozenset()):
        mapped.unknown_fields[f"{name}.{key}"] += 1


def to_event(message: messages.Message, receive_ns: int) -> MarketEvent | None:
    """The vocabulary's event for a wire message; None for messages about the connection."""
    if isinstance(message, messages.MarkPriceUpdate):
        return MarkPrice(
            estimated_settle_price=float(message.P) if message.P else None,
            average_mark_price=float(message.ap) if message.ap else None,
            symbol=message.s,
            event_ns=to_nanoseconds(message.E),
            receive_ns=receive_ns,
            mark_price=float(message.p),
            index_price=float(message.i),
            funding_rate=float(message.r) if message.r else None,
            next_funding_ns=to_nanoseconds(message.T),
        )
    if isinstance(message, messages.ForceOrder):
        order = message.o
        return Liquidation(
            symbol=order.s,
            event_ns=to_nanoseconds(order.T),
            receive_ns=receive_ns,
            is_sell=order.S == "SELL",
            quantity=order.q,
            price=order.p,
            average_price=order.ap,
            filled_quantity=order.z,
            order_type=order.o,
            time_in_force=order.f,
            status=order.X,
        )
    if isinstance(message, messages.KlineMessage):
        candle = message.k
        return Kline(
            symbol=candle.s,
            open_ns=to_nanoseconds(candle.t),
            close_ns=to_nanoseconds(candle.T + 1),
            receive_ns=receive_ns,
            interval=candle.i,
            open=candle.o,
            high=candle.h,
            low=candle.l,
            close=candle.c,
            volume=candle.v,
            trade_count=candle.n,
            taker_buy_volume=candle.V,
            is_closed=candle.x,
            quote_volume=candle.q,
            taker_buy_quote_volume=candle.Q,
            first_trade_id=candle.f,
            last_trade_id=candle.L,
        )
    if isinstance(message, messages.Clock):
        return ClockOffset(
            "", to_nanoseconds(message.T), receive_ns, message.offset_us, message.error_us, message.rtt_us
        )
    if isinstance(message, messages.InstrumentChange):
        stated = (message.change, message.before, message.after)
        return ListingChange(message.symbol, to_nanoseconds(message.T), receive_ns, *stated)
    return None


_open_interest_decoder = msgspec.json.Decoder(messages.OpenInterestAnswer, strict=False)
_funding_decoder = msgspec.json.Decoder(list[messages.FundingRateAnswer], strict=False)


def _open_interest(payload: bytes, receive_ns: int) -> list[MarketEvent]:
    answer = _open_interest_decoder.decode(payload)
    return [OpenInterest(answer.symbol, to_nanoseconds(answer.time), receive_ns, answer.openInterest)]


def _funding_rates(payload: bytes, receive_ns: int) -> list[MarketEvent]:
    return [
        FundingRate(
            symbol=row.symbol,
            event_ns=to_nanoseconds(row.fundingTime),
            receive_ns=receive_ns,
            funding_rate=row.fundingRate,
            mark_price=float(row.markPrice) if row.markPrice else None,
        )
        for row in _funding_decoder.decode(payload)
    ]


_POLLED: dict[str, Callable[[bytes, int], list[MarketEvent]]] = {
    "openInterest": _open_interest,
    "fundingRate": _funding_rates,
}
"""Suffix of a stream of our own → what reads its body."""


def _batch(
    integers: NDArray[np.int64],
    codes: NDArray[np.uint8],
    ticks: NDArray[np.int64],
    lots: NDArray[np.int64],
) -> EventBatch:
    columns = np.ascontiguousarray(integers.T)
    return EventBatch(
        kind=codes[:, 0].copy(),
        event_ns=columns[0],
        receive_ns=columns[1],
        first_id=columns[2],
        last_id=columns[3],
        previous_id=columns[4],
        trade_id=columns[5],
        price_ticks=columns[6],
        quantity_lots=columns[7],
        is_buyer_maker=codes[:, 1] == 1,
        order_type=codes[:, 2].copy(),
        bid_start=columns[8],
        bid_count=columns[9],
        ask_start=columns[10],
        ask_count=columns[11],
        level_ticks=ticks,
        level_lots=lots,
    )
