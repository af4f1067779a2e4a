"""Wire structs of Bybit's public linear market, each below its raw payload (source: Bybit's v5 documents).

They forbid fields they do not have, so that a new one is noticed; `decoding` then counts it and reads on.
Prices and quantities come as text and are decoded as the double nearest to it, from which whole ticks and
lots are exact.
"""

from typing import Annotated, Literal

import msgspec

__all__ = [
    "TICKER_FIELDS",
    "Answer",
    "Book",
    "Candle",
    "Envelope",
    "FundingRow",
    "LiquidatedPosition",
    "OpenInterestRow",
    "PublicTrade",
    "RestBook",
    "Rows",
    "answer_frame",
]

Stamp = Annotated[int, msgspec.Meta(ge=0, lt=4 * 10**12)]
"""A time in ms, before 2096: ids of trades are made of it."""
Amount = Annotated[float, msgspec.Meta(ge=0)]
"""A price or quantity, never negative."""
Identity = Annotated[int, msgspec.Meta(ge=0, lt=2**62)]
Side = Literal["Buy", "Sell"]


class Envelope(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What every frame has around its data; a reply to a request has `op`, our own marks have `stream`.

    `ts` is when the exchange's publisher made the frame, `cts` when its matching engine made the change.
    """

    topic: str = ""
    type: str = ""
    ts: Stamp = 0
    cts: Stamp = 0
    cs: int = 0
    data: msgspec.Raw = msgspec.Raw(b"")
    stream: str = ""
    op: str = ""
    success: bool = True
    ret_msg: str = ""
    conn_id: str = ""
    req_id: str = ""


Level = tuple[Amount, Amount]
"""(price, quantity); quantity 0 removes the level."""


# {"topic":"orderbook.50.BTCUSDT","type":"snapshot","ts":1672304484978,"data":{"s":"BTCUSDT","b":[["16493.50",
#  "0.006"],["16493.00","0.100"]],"a":[["16611.00","0.029"],["16612.00","0.213"]],"u":18521288,
#  "seq":7961638724},"cts":1672304484976}
# {"topic":"orderbook.50.BTCUSDT","type":"delta","ts":1687940967466,"data":{"s":"BTCUSDT","b":[["30247.20",
#  "30.028"],["30245.40","0.224"],["30244.10","0"]],"a":[["30248.70","0"],["30249.30","0.892"]],"u":177400507,
#  "seq":66544703342},"cts":1687940967464}
class Book(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`u` rises by one with every push of a topic; `seq` is common to all depths and has holes."""

    s: str
    b: list[Level]
    a: list[Level]
    u: Identity
    seq: Identity = 0


# {"topic":"publicTrade.BTCUSDT","type":"snapshot","ts":1672304486868,"data":[{"T":1672304486865,
#  "s":"BTCUSDT","S":"Buy","v":"0.001","p":"16578.50","L":"PlusTick","i":
#  "20f43950-d8dd-5b31-9112-a178eb6023af","BT":false,"seq":1783284617}]}
class PublicTrade(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`S` is the taker's side; `BT` a block trade, agreed off the book; `RPI` filled by a price improver.

    The fields after it belong to options.
    """

    T: Stamp
    s: str
    S: Side
    v: Amount
    p: Amount
    i: str
    L: str = ""
    BT: bool = False
    RPI: bool | None = None
    seq: int = 0
    mP: str = ""  # noqa: N815 - the wire's name
    iP: str = ""  # noqa: N815 - the wire's name
    mIv: str = ""  # noqa: N815 - the wire's name
    iv: str = ""


# {"topic":"allLiquidation.ROSEUSDT","type":"snapshot","ts":1739502303204,"data":[{"T":1739502302929,
#  "s":"ROSEUSDT","S":"Sell","v":"20000","p":"0.04499"}]}
class LiquidatedPosition(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`S` is the side of the position: Buy is a long that was liquidated. `p` is the bankruptcy price."""

    T: Stamp
    s: str
    S: Side
    v: Amount
    p: Amount


# {"topic":"kline.1.BTCUSDT","data":[{"start":1672324800000,"end":1672324859999,"interval":"1","open":
#  "16649.5","close":"16677","high":"16677","low":"16608","volume":"2.081","turnover":"34666.4005",
#  "confirm":false,"timestamp":1672324988882}],"ts":1672324988882,"type":"snapshot"}
class Candle(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`end` is inclusive; `confirm` tells a closed candle; `turnover` is in the quote asset."""

    start: Stamp
    end: Stamp
    interval: str
    open: Amount
    close: Amount
    high: Amount
    low: Amount
    volume: Amount
    turnover: Amount
    confirm: bool
    timestamp: Stamp


# {"topic":"tickers.BTCUSDT","type":"snapshot","data":{"symbol":"BTCUSDT","tickDirection":"PlusTick",
#  "price24hPcnt":"0.017103","lastPrice":"17216.00","prevPrice24h":"16926.50","highPrice24h":"17281.50",
#  "lowPrice24h":"16915.00","prevPrice1h":"17238.00","markPrice":"17217.33","indexPrice":"17227.36",
#  "openInterest":"68744.761","openInterestValue":"1183601235.91","turnover24h":"1570383121.943499",
#  "volume24h":"91705.276","nextFundingTime":"1673280000000","fundingRate":"-0.000212","bid1Price":"17215.50",
#  "bid1Size":"84.489","ask1Price":"17216.00","ask1Size":"83.020"},"cs":24987956059,"ts":1673272861686}
# {"topic":"tickers.BTCUSDT","type":"delta","data":{"symbol":"BTCUSDT","markPrice":"17217.40"},"cs":
#  24987956060,"ts":1673272861786}
TICKER_FIELDS = frozenset(
    {
        *("symbol", "tickDirection", "price24hPcnt", "lastPrice", "prevPrice24h", "highPrice24h"),
        *("lowPrice24h", "prevPrice1h", "markPrice", "indexPrice", "openInterest", "openInterestValue"),
        *("turnover24h", "volume24h", "nextFundingTime", "fundingRate", "bid1Price", "bid1Size"),
        *("ask1Price", "ask1Size", "deliveryTime", "basisRate", "deliveryFeeRate", "basis"),
        *("predictedDeliveryPrice", "preOpenPrice", "preQty", "curPreListingPhase", "basisRateYear"),
        *("fundingIntervalHour", "fundingCap"),
    }
)
"""Fields of a ticker. A delta holds those that changed."""


# {"retCode":0,"retMsg":"OK","result":{...},"retExtInfo":{},"time":1716863719382}
class Answer(msgspec.Struct, frozen=True):
    """The body of any REST answer; other than 0 in `retCode` it is a refusal, whatever the HTTP status."""

    retCode: int  # noqa: N815 - the wire's name
    retMsg: str = ""  # noqa: N815 - the wire's name
    result: msgspec.Raw = msgspec.Raw(b"{}")
    time: Stamp = 0


# {"s":"BTCUSDT","a":[["65557.7","16.606555"]],"b":[["65485.47","47.081829"]],"ts":1716863719031,"u":230704,
#  "seq":1432604333,"cts":1716863718905}
class RestBook(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The result of `orderbook`."""

    s: str
    b: list[Level]
    a: list[Level]
    u: Identity
    ts: Stamp = 0
    seq: Identity = 0
    cts: Stamp = 0


# {"symbol":"BTCUSD","category":"inverse","list":[{"openInterest":"461134384.00000000","timestamp":
#  "1669571400000"}],"nextPageCursor":""}
class OpenInterestRow(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A row of the result of `open-interest`, newest first; in base units for linear contracts."""

    openInterest: Amount  # noqa: N815 - the wire's name
    timestamp: Stamp
    singleSideOpenInterest: str = ""  # noqa: N815 - the wire's name


# {"category":"linear","list":[{"symbol":"ETHPERP","fundingRate":"0.0001","fundingRateTimestamp":
#  "1672041600000"}]}
class FundingRow(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A row of the result of `funding/history`, newest first."""

    symbol: str
    fundingRate: float  # noqa: N815 - the wire's name
    fundingRateTimestamp: Stamp  # noqa: N815 - the wire's name


class Rows(msgspec.Struct, frozen=True):
    """A result that is a list; `symbol` where all rows are of one."""

    list: msgspec.Raw
    symbol: str = ""


def answer_frame(name: str, symbol: str, body: bytes) -> bytes:
    """The journal's frame of a REST answer, which `BybitMapper` reads like one of a topic.

    >>> answer_frame("open-interest", "BTCUSDT", b"{}")
    b'{"topic":"rest.open-interest.BTCUSDT","data":{}}'
    """
    return b'{"topic":"rest.%s.%s","data":%s}' % (name.encode(), symbol.encode(), body.strip())
