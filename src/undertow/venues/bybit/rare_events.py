"""Bybit's rarer frames, what is asked for by REST, and our own marks, as events of the vocabulary."""

import math
from collections import Counter

import msgspec

from undertow.market.events import (
    ClockOffset,
    FundingRate,
    Kline,
    Liquidation,
    ListingChange,
    MarketEvent,
    OpenInterest,
)
from undertow.market.time import MILLISECOND_NS
from undertow.venues.bybit.decoding import Reader
from undertow.venues.bybit.messages import (
    Answer,
    Candle,
    FundingRow,
    LiquidatedPosition,
    OpenInterestRow,
    Rows,
)
from undertow.venues.marks import Clock, InstrumentChange, Mark

__all__ = ["UNKNOWN_COUNT", "answered", "klines", "liquidations", "mark_event", "result_of"]

UNKNOWN_COUNT = -1
"""Trades of a candle: Bybit does not tell."""

_liquidations = Reader("allLiquidation", LiquidatedPosition)
_candles = Reader("kline", Candle)
_interests = Reader("open-interest", OpenInterestRow)
_rates = Reader("funding", FundingRow)
_answer_decoder = msgspec.json.Decoder(Answer)
_rows_decoder = msgspec.json.Decoder(Rows)


def liquidations(raw: msgspec.Raw, ts: int, receive_ns: int, unknown: Counter[str]) -> list[Liquidation]:
    """Every liquidation of a frame of `allLiquidation`.

    The side on the wire is that of the position, so Buy is a forced sale. The price is the one at which the
    position was bankrupt; what its orders were filled at is not told.
    """
    return [
        Liquidation(
            symbol=row.s,
            event_ns=row.T * MILLISECOND_NS,
            receive_ns=receive_ns,
            is_sell=row.S == "Buy",
            quantity=_finite(row.v),
            price=_finite(row.p),
            average_price=_finite(row.p),
            filled_quantity=_finite(row.v),
            published_ns=ts * MILLISECOND_NS,
        )
        for row in _liquidations.many(raw, unknown)
    ]


def klines(raw: msgspec.Raw, symbol: str, receive_ns: int, unknown: Counter[str]) -> list[Kline]:
    """The exchange's candles of a frame; it tells neither the number of trades nor what takers bought."""
    return [
        Kline(
            symbol=symbol,
            open_ns=row.start * MILLISECOND_NS,
            close_ns=(row.end + 1) * MILLISECOND_NS,
            receive_ns=receive_ns,
            interval=f"{row.interval}m" if row.interval.isdecimal() else row.interval,
            open=_finite(row.open),
            high=_finite(row.high),
            low=_finite(row.low),
            close=_finite(row.close),
            volume=_finite(row.volume),
            trade_count=UNKNOWN_COUNT,
            taker_buy_volume=math.nan,
            is_closed=row.confirm,
            quote_volume=_finite(row.turnover),
            taker_buy_quote_volume=math.nan,
        )
        for row in _candles.many(raw, unknown)
    ]


def answered(
    name: str, symbol: str, body: msgspec.Raw, receive_ns: int, unknown: Counter[str]
) -> list[MarketEvent] | None:
    """Events of a REST answer, oldest first; None for a kind of answer that has none.

    Raises msgspec.DecodeError where the body is no such answer, or a refusal.
    """
    if name not in {"open-interest", "funding"}:
        return None
    rows = _rows_decoder.decode(result_of(body))
    if name == "funding":
        return [
            FundingRate(
                symbol=row.symbol,
                event_ns=row.fundingRateTimestamp * MILLISECOND_NS,
                receive_ns=receive_ns,
                funding_rate=_finite(row.fundingRate),
                mark_price=None,
            )
            for row in reversed(_rates.many(rows.list, unknown))
        ]
    return [
        OpenInterest(
            rows.symbol or symbol, row.timestamp * MILLISECOND_NS, receive_ns, _finite(row.openInterest)
        )
        for row in reversed(_interests.many(rows.list, unknown))
    ]


def result_of(body: bytes | msgspec.Raw) -> msgspec.Raw:
    """The result in the body of an answer; raises msgspec.DecodeError for a refusal, with what it says."""
    answer = _answer_decoder.decode(body)
    if answer.retCode:
        raise msgspec.ValidationError(f"refused with retCode {answer.retCode}: {answer.retMsg}")
    return answer.result


def mark_event(mark: Mark, receive_ns: int) -> MarketEvent | None:
    """The event of one of our own marks; None for those that are marks in the fold."""
    if isinstance(mark, Clock):
        measured = (mark.offset_us, mark.error_us, mark.rtt_us)
        return ClockOffset("", mark.T * MILLISECOND_NS, receive_ns, *measured)
    if isinstance(mark, InstrumentChange):
        stated = (mark.change, mark.before, mark.after)
        return ListingChange(mark.symbol, mark.T * MILLISECOND_NS, receive_ns, *stated)
    return None


def _finite(value: float) -> float:
    if not math.isfinite(value):
        raise msgspec.ValidationError("a number is beyond what a double holds")
    return value
