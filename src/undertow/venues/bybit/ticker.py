"""Bybit's tickers, put together: a snapshot, and deltas that hold only what changed."""

import math
from typing import Annotated

import msgspec

from undertow.market.events import MarketEvent, MarkPrice, OpenInterest
from undertow.market.time import MILLISECOND_NS

__all__ = ["Ticker", "events_of", "merged"]

Amount = Annotated[float, msgspec.Meta(ge=0)]


class Ticker(msgspec.Struct, frozen=True, rename="camel"):
    """What we keep of a ticker; None where it has not been told yet. Other fields are passed over.

    `funding_rate` is text, empty for a contract that has none (a future with a delivery date).
    """

    mark_price: Amount | None = None
    index_price: Amount | None = None
    funding_rate: str | None = None
    next_funding_time: str | None = None
    open_interest: Amount | None = None


_PRICES = ("mark_price", "index_price", "funding_rate", "next_funding_time")


def merged(before: Ticker, change: Ticker) -> Ticker:
    """A ticker after a delta.

    >>> merged(Ticker(mark_price=1.0, index_price=2.0), Ticker(mark_price=1.5)).index_price
    2.0
    """
    told = {name: getattr(change, name) for name in change.__struct_fields__}
    return msgspec.structs.replace(
        before, **{name: value for name, value in told.items() if value is not None}
    )


def events_of(symbol: str, ticker: Ticker, told: Ticker, event_ns: int, receive_ns: int) -> list[MarketEvent]:
    """Events of a ticker as it is now, of those parts that its newest frame `told`.

    Raises ValueError where a rate or a time is no finite number.
    """
    events: list[MarketEvent] = []
    is_priced = ticker.mark_price is not None and ticker.index_price is not None
    if is_priced and any(getattr(told, name) is not None for name in _PRICES):
        events.append(_mark_price(symbol, ticker, event_ns, receive_ns))
    if told.open_interest is not None:
        events.append(OpenInterest(symbol, event_ns, receive_ns, _finite(told.open_interest)))
    return events


def _mark_price(symbol: str, ticker: Ticker, event_ns: int, receive_ns: int) -> MarkPrice:
    return MarkPrice(
        symbol=symbol,
        event_ns=event_ns,
        receive_ns=receive_ns,
        mark_price=_finite(ticker.mark_price or 0.0),
        index_price=_finite(ticker.index_price or 0.0),
        funding_rate=_finite(float(ticker.funding_rate)) if ticker.funding_rate else None,
        next_funding_ns=_instant(ticker.next_funding_time or "0"),
    )


def _instant(text: str) -> int:
    """A time of the wire [ms] in ns."""
    value = int(text) * MILLISECOND_NS
    if not 0 <= value < 2**63:
        raise ValueError(f"the time {text[:50]} cannot be")
    return value


def _finite(value: float) -> float:
    if not math.isfinite(value):
        raise ValueError(f"{value} is no finite number")
    return value
