"""Raw Binance frames into the vocabulary. Pure: bytes in, columns and events out."""

from typing import Any, get_args

import msgspec
import numpy as np
from numpy.typing import NDArray

from undertow.market.batch import EventBatch, EventKind
from undertow.market.instruments import Instrument
from undertow.market.time import to_nanoseconds
from undertow.venues import marks
from undertow.venues.binance import messages
from undertow.venues.binance.drift import fault_of, type_of, unknown_parts
from undertow.venues.binance.frame_row import SCRATCH
from undertow.venues.binance.rare_events import POLLED, event_of
from undertow.venues.binance.scanner import scan_lines
from undertow.venues.mapped import Mapped, Reason, Rejection

__all__ = ["BinanceMapper"]

_EXPLANATION = {
    Reason.NO_RECEIVE_TIME: "no receive time at the start of the line",
    Reason.NOT_JSON: "not a complete JSON frame",
    Reason.OFF_STEP: "a price or quantity does not lie on the instrument's tick or lot",
    Reason.MISSING_FIELD: "a field that this event type needs is missing, or no longer what it was",
    Reason.OTHER_SYMBOL: "a frame of another symbol",
    Reason.OTHER_VENUE: "a depth update of the other Binance market (USD-M carries `pu`, spot does not)",
}

_TYPES = frozenset(message.__struct_config__.tag for message in get_args(messages.Message))
_EXPLAINED = frozenset({Reason.NOT_JSON, Reason.OFF_STEP, Reason.MISSING_FIELD})
_COIN_MARGINED = 2
"""`st` of the coin-margined market's rows, which streams of all symbols carry as well."""

_SHORTEST_LEVEL = len('["1","1"]')

_DISCONNECT_STREAMS = {"public": 1, "market": 2, "all": 3}


class BinanceMapper:
    """Maps frames of one instrument.

    Every frame that the columns do not hold is in `others`, counted in `unknown_types` or `filtered`, or a
    rejection; rows of other symbols in a stream of all symbols are passed over.
    """

    def __init__(self, instrument: Instrument) -> None:
        self.instrument = instrument
        self._symbol = np.frombuffer(instrument.symbol.encode(), np.uint8)
        price, quantity = instrument.price, instrument.quantity
        self._steps = np.array([price.units, price.digits, quantity.units, quantity.digits], np.int64)
        self._has_previous = int(instrument.venue != "binance-spot")
        self._decoder = msgspec.json.Decoder(messages.Message)

    def map(self, data: bytes) -> Mapped:
        """Decode a block of complete journal lines."""
        lines = data.count(b"\n") + (not data.endswith(b"\n"))
        capacity = len(data) // _SHORTEST_LEVEL + 1
        integers = np.empty((lines, 13), np.int64)
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
                self._explain(mapped, int(row), Reason(int(reasons[row])), frame)
            elif kind[row] == EventKind.OTHER:
                self._map_other(mapped, int(row), frame)
            else:
                _count_unknown(mapped, frame)

    def _explain(self, mapped: Mapped, row: int, reason: Reason, frame: bytes) -> None:
        """Why the scanner refused a frame, unless it is one of the rarer ones after all."""
        fault = None
        if reason in _EXPLAINED:
            fields = _decoded(frame)[2]
            if isinstance(fields, dict):
                if "e" in fields and type_of(fields) not in messages.FREQUENT:
                    mapped.batch.kind[row] = EventKind.OTHER
                    self._map_other(mapped, row, frame)
                    return
                fault = fault_of(fields)
        self._reject(mapped, row, Reason.MISSING_FIELD if fault else reason, frame, fault)

    def _reject(
        self, mapped: Mapped, row: int, reason: Reason, frame: bytes, fault: str | None = None
    ) -> None:
        mapped.batch.kind[row] = EventKind.REJECTED
        message = _EXPLANATION[reason]
        if fault is not None:
            mapped.field_faults[fault] += 1
            message = f"{message} ({fault})"
        text = frame[:80].decode("utf-8", "replace")
        mapped.rejections.append(Rejection(row, reason, message, text))

    def _map_other(self, mapped: Mapped, row: int, frame: bytes) -> None:
        name, payload, content = _decoded(frame)
        if content is None:
            self._reject(mapped, row, Reason.NOT_JSON, frame)
            return
        suffix = name.partition("@")[2]
        if suffix in POLLED:
            self._map_polled(mapped, row, suffix, payload, frame)
        elif isinstance(content, list) and name.startswith("!"):
            for part, fields in zip(_parts_decoder.decode(payload), content, strict=True):
                self._map_message(mapped, row, bytes(part), fields, frame, is_of_all=True)
        else:
            self._map_message(mapped, row, payload, content, frame, is_of_all=name.startswith("!"))

    def _map_message(
        self, mapped: Mapped, row: int, payload: bytes, fields: object, frame: bytes, *, is_of_all: bool
    ) -> None:
        """One event; `is_of_all` where its stream carries all symbols: the others are passed over."""
        name = fields.get("e") if isinstance(fields, dict) else None
        if not isinstance(fields, dict) or not isinstance(name, str) or name not in _TYPES:
            mapped.unknown_types[name if name and isinstance(name, str) else "(none)"] += 1
            return
        if fields.get("st") == _COIN_MARGINED:
            mapped.filtered[f"{name}.st={_COIN_MARGINED}"] += 1
            return
        if _symbol_of(fields) not in (None, self.instrument.symbol):
            if not is_of_all:
                self._reject(mapped, row, Reason.OTHER_SYMBOL, frame)
            return
        mapped.unknown_fields.update(unknown_parts(name, fields))
        try:
            self._take(mapped, row, self._decoder.decode(payload))
        except msgspec.ValidationError as error:
            self._reject(mapped, row, Reason.MISSING_FIELD, frame, f"{name}: {error}")

    def _map_polled(self, mapped: Mapped, row: int, suffix: str, payload: bytes, frame: bytes) -> None:
        """An answer of REST that was journalled in the stream's place."""
        try:
            events = POLLED[suffix](payload, int(mapped.batch.receive_ns[row]))
        except msgspec.DecodeError as error:
            self._reject(mapped, row, Reason.MISSING_FIELD, frame, f"{suffix}: {error}")
            return
        if any(event.symbol != self.instrument.symbol for event in events):
            self._reject(mapped, row, Reason.OTHER_SYMBOL, frame)
            return
        content = msgspec.json.decode(payload)
        for fields in content if isinstance(content, list) else [content]:
            mapped.unknown_fields.update(unknown_parts(suffix, fields))
        mapped.add_others(row, events)

    def _take(self, mapped: Mapped, row: int, message: messages.Message) -> None:
        batch = mapped.batch
        if isinstance(message, marks.Watermark):
            batch.kind[row] = EventKind.WATERMARK
            batch.event_ns[row] = to_nanoseconds(message.T)
        elif isinstance(message, marks.Audit):
            batch.kind[row] = EventKind.AUDIT
        elif isinstance(message, marks.Disconnect):
            batch.kind[row] = EventKind.DISCONNECT
            batch.first_id[row] = _DISCONNECT_STREAMS.get(message.category, 3)
        else:
            event = event_of(message, int(batch.receive_ns[row]))
            if event is not None:
                mapped.add_others(row, [event])


_parts_decoder = msgspec.json.Decoder(list[msgspec.Raw])


def _decoded(frame: bytes) -> tuple[str, bytes, Any]:
    """(stream name or nothing, payload, its content) of a frame; the content of what is no JSON is None."""
    try:
        stream, payload = messages.unwrap(frame)
        return stream or "", payload, msgspec.json.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return "", b"", None


def _count_unknown(mapped: Mapped, frame: bytes) -> None:
    fields = _decoded(frame)[2]
    if isinstance(fields, dict):
        mapped.unknown_fields.update(unknown_parts(type_of(fields), fields))


def _symbol_of(fields: dict[str, Any]) -> str | None:
    """What an event is about; None where it does not say."""
    for part in (fields, fields.get("o"), fields.get("k")):
        if isinstance(part, dict) and isinstance(part.get("s", part.get("symbol")), str):
            return str(part.get("s", part.get("symbol")))
    return None


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
        normal_lots=columns[12],
        bid_start=columns[8],
        bid_count=columns[9],
        ask_start=columns[10],
        ask_count=columns[11],
        level_ticks=ticks,
        level_lots=lots,
    )
