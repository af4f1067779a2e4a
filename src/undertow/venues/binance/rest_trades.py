"""Aggregate trades as REST gives them: rows for the lake, exact in ticks and lots."""

from collections.abc import Sequence
from decimal import Decimal, InvalidOperation

import msgspec
import numpy as np
from numpy.typing import NDArray

from undertow.errors import VenueError
from undertow.market.columns import TRADE_SOURCES, TradeColumns
from undertow.market.instruments import Instrument, Scale
from undertow.market.time import to_nanoseconds

__all__ = ["REPAIR_STREAM", "SINGLES_STREAM", "parse_aggregate_trades", "parse_single_trades"]

REPAIR_STREAM = b'@aggTrades","data":'
"""What the journal line of such an answer contains, and no line of the exchange's streams does."""
SINGLES_STREAM = b'@recentTrades","data":'
"""The same of an answer with single trades."""


# {"a":26129,"p":"0.01633102","q":"4.70443515","nq":"4.7","f":27781,"l":27781,"T":1498793709153,"m":true}
class _Row(msgspec.Struct, frozen=True):
    a: int
    p: str
    q: str
    f: int
    l: int  # noqa: E741 - the wire's name
    T: int
    m: bool
    nq: str | None = None


# {"id":28457,"price":"4.00000100","qty":"12.00000000","quoteQty":"48.00","time":1499865549590,
#  "isBuyerMaker":true}
class _Single(msgspec.Struct, frozen=True, rename="camel"):
    id: int
    price: str
    qty: str
    time: int
    is_buyer_maker: bool


_decoder = msgspec.json.Decoder(list[_Row])
_singles_decoder = msgspec.json.Decoder(list[_Single])


def parse_aggregate_trades(body: bytes, instrument: Instrument, receive_ns: int) -> TradeColumns:
    """Rows of an `aggTrades` answer. They came late by their nature, so they take part in no live fold.

    Raises VenueError where the body is no such answer or a value does not lie on the instrument's steps.
    """
    try:
        rows = _decoder.decode(body)
    except msgspec.DecodeError as error:
        raise VenueError(f"{instrument.venue}: not an answer of aggTrades ({error})") from error
    return TradeColumns(
        event_ns=_integers([to_nanoseconds(row.T) for row in rows]),
        receive_ns=np.full(len(rows), receive_ns, np.int64),
        trade_id=_integers([row.a for row in rows]),
        first_trade_id=_integers([row.f for row in rows]),
        last_trade_id=_integers([row.l for row in rows]),
        price_ticks=_counts([row.p for row in rows], instrument.price, instrument),
        quantity_lots=_counts([row.q for row in rows], instrument.quantity, instrument),
        is_buyer_maker=np.array([row.m for row in rows], np.bool_),
        order_type=np.zeros(len(rows), np.uint8),
        is_late=np.ones(len(rows), np.bool_),
        source=np.full(len(rows), TRADE_SOURCES.index("rest"), np.uint8),
        normal_lots=_normal_lots(rows, instrument),
    )


def parse_single_trades(body: bytes, instrument: Instrument, receive_ns: int) -> TradeColumns:
    """Rows of a `trades` answer, which take part in no live fold.

    Raises VenueError where the body is no such answer or a value does not lie on the instrument's steps.
    """
    try:
        rows = _singles_decoder.decode(body)
    except msgspec.DecodeError as error:
        raise VenueError(f"{instrument.venue}: not an answer of trades ({error})") from error
    ids = _integers([row.id for row in rows])
    return TradeColumns(
        event_ns=_integers([to_nanoseconds(row.time) for row in rows]),
        receive_ns=np.full(len(rows), receive_ns, np.int64),
        trade_id=ids,
        first_trade_id=ids,
        last_trade_id=ids,
        price_ticks=_counts([row.price for row in rows], instrument.price, instrument),
        quantity_lots=_counts([row.qty for row in rows], instrument.quantity, instrument),
        is_buyer_maker=np.array([row.is_buyer_maker for row in rows], np.bool_),
        order_type=np.zeros(len(rows), np.uint8),
        is_late=np.ones(len(rows), np.bool_),
        source=np.full(len(rows), TRADE_SOURCES.index("rest"), np.uint8),
        normal_lots=np.full(len(rows), -1, np.int64),
    )


def _integers(values: Sequence[int]) -> NDArray[np.int64]:
    return np.array(values, np.int64)


def _normal_lots(rows: Sequence[_Row], instrument: Instrument) -> NDArray[np.int64]:
    """-1 where a row does not tell it, as on spot."""
    told = np.array([row.nq is not None for row in rows], bool)
    lots = np.full(len(rows), -1, np.int64)
    lots[told] = _counts([row.nq for row in rows if row.nq is not None], instrument.quantity, instrument)
    return lots


def _counts(texts: Sequence[str], scale: Scale, instrument: Instrument) -> NDArray[np.int64]:
    counts = []
    for text in texts:
        try:
            count, rest = divmod(Decimal(text) * scale.divisor, scale.units)
        except InvalidOperation as error:
            raise VenueError(f"{instrument.venue} {instrument.symbol}: {text!r} is no number") from error
        if rest or count < 0:
            step = f"{scale.units}e-{scale.digits}"
            raise VenueError(f"{instrument.venue} {instrument.symbol}: {text} is no multiple of {step}")
        counts.append(int(count))
    return _integers(counts)
