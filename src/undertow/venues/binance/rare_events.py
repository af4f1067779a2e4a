"""The rarer frames, and what is asked for by REST, as events of the vocabulary."""

import math
from collections.abc import Callable

import msgspec

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
from undertow.market.time import to_nanoseconds
from undertow.venues import marks
from undertow.venues.binance import messages

__all__ = ["POLLED", "event_of"]

_LAST_NS = 2**63 - 1


def event_of(message: messages.Message, receive_ns: int) -> MarketEvent | None:
    """The event of a wire message; None for messages about the connection.

    Raises msgspec.ValidationError where a number or a time cannot be held.
    """
    match message:
        case messages.MarkPriceUpdate():
            return _mark_price(message, receive_ns)
        case messages.ForceOrder():
            return _liquidation(message, receive_ns)
        case messages.KlineMessage():
            return _kline(message.k, receive_ns)
        case marks.Clock():
            measured = (message.offset_us, message.error_us, message.rtt_us)
            return ClockOffset("", _instant(message.T), receive_ns, *measured)
        case marks.InstrumentChange():
            stated = (message.change, message.before, message.after)
            return ListingChange(message.symbol, _instant(message.T), receive_ns, *stated)
        case _:
            return None


def _mark_price(message: messages.MarkPriceUpdate, receive_ns: int) -> MarkPrice:
    return MarkPrice(
        symbol=message.s,
        event_ns=_instant(message.E),
        receive_ns=receive_ns,
        mark_price=_number(message.p),
        index_price=_number(message.i),
        funding_rate=_optional(message.r),
        next_funding_ns=_instant(message.T),
        estimated_settle_price=_optional(message.P),
        average_mark_price=_optional(message.ap),
    )


def _liquidation(message: messages.ForceOrder, receive_ns: int) -> Liquidation:
    order = message.o
    return Liquidation(
        symbol=order.s,
        event_ns=_instant(order.T),
        receive_ns=receive_ns,
        is_sell=order.S == "SELL",
        quantity=_number(order.q),
        price=_number(order.p),
        average_price=_number(order.ap),
        filled_quantity=_number(order.z),
        order_type=order.o,
        time_in_force=order.f,
        status=order.X,
        published_ns=_instant(message.E),
    )


def _kline(candle: messages.Candle, receive_ns: int) -> Kline:
    return Kline(
        symbol=candle.s,
        open_ns=_instant(candle.t),
        close_ns=_instant(candle.T + 1),
        receive_ns=receive_ns,
        interval=candle.i,
        open=_number(candle.o),
        high=_number(candle.h),
        low=_number(candle.l),
        close=_number(candle.c),
        volume=_number(candle.v),
        trade_count=candle.n,
        taker_buy_volume=_number(candle.V),
        is_closed=candle.x,
        quote_volume=_number(candle.q),
        taker_buy_quote_volume=_number(candle.Q),
        first_trade_id=candle.f,
        last_trade_id=candle.L,
    )


def _number(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise msgspec.ValidationError("a number is beyond what a double holds")
    return value


def _optional(text: str) -> float | None:
    return _number(text) if text else None


def _instant(stamp: int) -> int:
    """A stamp of the wire in ns."""
    value = to_nanoseconds(stamp)
    if value > _LAST_NS:
        raise msgspec.ValidationError("a time lies beyond the year 2262")
    return value


_open_interest_decoder = msgspec.json.Decoder(messages.OpenInterestAnswer)
_funding_decoder = msgspec.json.Decoder(list[messages.FundingRateAnswer])


def _open_interest(payload: bytes, receive_ns: int) -> list[MarketEvent]:
    answer = _open_interest_decoder.decode(payload)
    return [OpenInterest(answer.symbol, _instant(answer.time), receive_ns, _number(answer.openInterest))]


def _funding_rates(payload: bytes, receive_ns: int) -> list[MarketEvent]:
    return [
        FundingRate(
            symbol=row.symbol,
            event_ns=_instant(row.fundingTime),
            receive_ns=receive_ns,
            funding_rate=_number(row.fundingRate),
            mark_price=_optional(row.markPrice),
        )
        for row in _funding_decoder.decode(payload)
    ]


POLLED: dict[str, Callable[[bytes, int], list[MarketEvent]]] = {
    "openInterest": _open_interest,
    "fundingRate": _funding_rates,
}
"""Suffix of a stream of our own → what reads its body; msgspec.DecodeError where it is no such answer."""
