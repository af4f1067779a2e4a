"""Payloads as they should not be: pure functions from a message to what is sent in its place."""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from undertow.venues.simulated.faults import Fault

__all__ = ["BROKEN", "SPOILERS", "strange_message", "with_levels"]

BROKEN = frozenset({"truncate", "missing_field", "string_to_number"})
"""Kinds after which a payload is no whole copy any more."""

Message = dict[str, Any]


def _decoded(payload: bytes) -> Message:
    message: Message = msgspec.json.decode(payload)
    return message


def _holder(message: Message, name: str) -> Message | None:
    """The object that has the field: the message itself, or one inside it."""
    if name in message:
        return message
    inner = (value for value in message.values() if isinstance(value, dict) and name in value)
    return next(inner, None)


def _truncate(_fault: Fault, payload: bytes) -> bytes | None:
    return payload[: len(payload) // 2]


def _extra_field(fault: Fault, payload: bytes) -> bytes | None:
    name, value = fault.field or "zz", fault.text or "new"
    return payload[:-1] + b"," + msgspec.json.encode(name) + b":" + msgspec.json.encode(value) + b"}"


def _missing_field(fault: Fault, payload: bytes) -> bytes | None:
    message = _decoded(payload)
    holder = _holder(message, fault.field)
    if holder is None:
        return None
    del holder[fault.field]
    return msgspec.json.encode(message)


def _string_to_number(fault: Fault, payload: bytes) -> bytes | None:
    message = _decoded(payload)
    holder = _holder(message, fault.field)
    if holder is None or not isinstance(holder[fault.field], str):
        return None
    holder[fault.field] = float(holder[fault.field])
    return msgspec.json.encode(message)


def _new_enum(fault: Fault, payload: bytes) -> bytes | None:
    message = _decoded(payload)
    name = fault.field or "X"
    holder = _holder(message, name)
    if holder is None:
        return None
    holder[name] = fault.text or "NEVER_SEEN"
    return msgspec.json.encode(message)


def _empty_field(fault: Fault, payload: bytes) -> bytes | None:
    message = _decoded(payload)
    holder = _holder(message, fault.field)
    if holder is None:
        return None
    holder[fault.field] = ""
    return msgspec.json.encode(message)


def _microseconds(_fault: Fault, payload: bytes) -> bytes | None:
    message = _decoded(payload)
    if "E" not in message:
        return None
    for name in ("E", "T"):
        if name in message:
            message[name] *= 1000
    return msgspec.json.encode(message)


def _oversize(fault: Fault, payload: bytes) -> bytes | None:
    return payload[:-1] + b',"zz":"' + b"z" * fault.size_bytes + b'"}'


def _shift_event_time(fault: Fault, payload: bytes) -> bytes | None:
    """E, and T where it is a time of the event: a mark price's is that of the next funding."""
    message = _decoded(payload)
    if "E" not in message:
        return None
    message["E"] += fault.milliseconds
    if "T" in message and message.get("e") != "markPriceUpdate":
        message["T"] += fault.milliseconds
    return msgspec.json.encode(message)


def _repeated_price(_fault: Fault, payload: bytes) -> bytes | None:
    message = _decoded(payload)
    if message.get("e") != "depthUpdate":
        return None
    for side in ("b", "a"):
        if message[side]:
            price, quantity = message[side][0]
            wrong = "1" if quantity.strip("0.") == "" else f"9{quantity}"
            message[side].insert(0, [price, wrong])
            return msgspec.json.encode(message)
    return None


SPOILERS: Mapping[str, Callable[[Fault, bytes], bytes | None]] = {
    "truncate": _truncate,
    "extra_field": _extra_field,
    "missing_field": _missing_field,
    "string_to_number": _string_to_number,
    "new_enum": _new_enum,
    "empty_field": _empty_field,
    "microseconds": _microseconds,
    "oversize": _oversize,
    "shift_event_time": _shift_event_time,
    "repeated_price": _repeated_price,
}
"""Kind → what it makes of a payload; None where the payload has nothing to be spoilt."""


def with_levels(payload: bytes, side: str, levels: list[list[str]]) -> bytes | None:
    """A delta with further levels on a side (`bid` or `ask`); None for what is no delta."""
    message = _decoded(payload)
    if message.get("e") != "depthUpdate":
        return None
    message["b" if side == "bid" else "a"].extend(levels)
    return msgspec.json.encode(message)


def strange_message(fault: Fault, event_ms: int, symbol: str) -> bytes:
    """What `garbage` and `unknown_type` send: given bytes or text, or an event of a new type."""
    if fault.kind == "garbage":
        return bytes.fromhex(fault.hex) or (fault.text or "NaN").encode()
    return msgspec.json.encode({"e": fault.text or "neverSeen", "E": event_ms, "s": symbol, "v": 1})
