"""What the exchange has changed in its messages: fields and values we do not know, or miss."""

from collections.abc import Iterator
from typing import Any

import msgspec

from undertow.market.columns import ORDER_TYPES
from undertow.venues.binance.messages import FREQUENT, KNOWN_FIELDS

__all__ = ["fault_of", "type_of", "unknown_parts"]

_INNER = {"forceOrder": "o", "kline": "k"}
"""Event type → its field that holds an object."""


def type_of(fields: dict[str, Any]) -> str:
    """Name of a frame's event type; spot's quotes and order books carry none.

    >>> type_of({"lastUpdateId": 27, "bids": [], "asks": []})
    'depth'
    """
    stated = fields.get("e")
    if stated is not None:
        return str(stated)
    return "depth" if "lastUpdateId" in fields else "bookTicker"


def unknown_parts(name: str, fields: dict[str, Any]) -> Iterator[str]:
    """Every field of a frame of type `name` that we do not know, and every order type.

    >>> list(unknown_parts("trade", {"e": "trade", "X": "AUCTION", "zz": 1}))
    ['trade.zz', 'trade.X=AUCTION']
    """
    for key in fields.keys() - KNOWN_FIELDS.get(name, frozenset()):
        yield f"{name}.{key}"
    inner = fields.get(_INNER.get(name, ""))
    if isinstance(inner, dict):
        yield from unknown_parts(f"{name}.{_INNER[name]}", inner)
    if name == "trade" and fields.get("X", "MARKET") not in ORDER_TYPES[:-1]:
        yield f"{name}.X={fields['X']}"


def fault_of(fields: dict[str, Any]) -> str | None:
    """What a frame that the scanner reads lacks or has of another JSON type; None where it finds nothing.

    >>> fault_of({"e": "trade", "T": 1, "t": 1, "p": 1.5, "q": "1", "m": True})
    'trade: Expected `str`, got `float` - at `$.p`'
    """
    name = type_of(fields)
    expected = FREQUENT.get(name)
    if expected is None:
        return None
    try:
        msgspec.convert(fields, expected)
    except msgspec.ValidationError as error:
        return f"{name}: {error}"
    return None
