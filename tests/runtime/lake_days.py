"""A lake of a few stored hours around two midnights, with everything that features are made from."""

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from undertow.frames.column_set import book_columns
from undertow.frames.frames import BOOK_LEVELS
from undertow.frames.sampler import SamplerSettings
from undertow.lake.market_schemas import MARKET_SCHEMAS
from undertow.lake.tables import book_to_arrow, gaps_to_arrow, rows_to_arrow, trades_to_arrow
from undertow.lake.writer import LakeWriter
from undertow.market.columns import TradeColumns
from undertow.market.events import Gap
from undertow.market.instruments import Instrument
from undertow.market.time import DAY_NS, HOUR_NS, MILLISECOND_NS, MINUTE_NS, SECOND_NS

INSTRUMENT = Instrument("binance-usdm", "BTCUSDT", tick="0.1", lot="0.001")
LENGTHS_NS = (5 * SECOND_NS, MINUTE_NS, 45 * MINUTE_NS)
SETTINGS = SamplerSettings(timeframes_ns=LENGTHS_NS)
SECOND_MIDNIGHT_NS = 1_723_248_000 * SECOND_NS
FIRST_MIDNIGHT_NS = SECOND_MIDNIGHT_NS - DAY_NS
HOURS_NS = tuple(FIRST_MIDNIGHT_NS + hour * HOUR_NS for hour in (-2, -1, 0, 1, 2, 21, 22, 24, 25))
"""Nothing is stored of the hour before the second midnight."""
END_NS = HOURS_NS[-1] + HOUR_NS - 7 * SECOND_NS
_GAP_NS = (FIRST_MIDNIGHT_NS - 20 * SECOND_NS, FIRST_MIDNIGHT_NS + 75 * SECOND_NS)

Integers = NDArray[np.int64]


def write_days(root: Path, instrument: Instrument = INSTRUMENT, seed: int = 1) -> None:
    """Write the hours as a recording does, and seal them."""
    rng = np.random.default_rng(seed)
    writer = LakeWriter(root, instrument.venue, instrument.symbol)
    try:
        for number, hour_ns in enumerate(HOURS_NS):
            writer.append("aggtrades", trades_to_arrow(instrument, _trades(rng, number, hour_ns)))
            writer.append("book_depth", book_to_arrow(instrument, _samples(rng, hour_ns)))
            for table, rows in _market(rng, hour_ns).items():
                writer.append(table, rows_to_arrow(instrument, MARKET_SCHEMAS[table], rows))
        gap = Gap(instrument.symbol, "aggtrades", *_GAP_NS, 5, 9, "connection lost", *_GAP_NS)
        writer.append("gaps", gaps_to_arrow(instrument, [gap]))
        stored = msgspec.structs.replace(SETTINGS, timeframes_ns=(SECOND_NS,))
        writer.seal(None, {"closed_ns": END_NS, "settings": msgspec.to_builtins(stored)})
    finally:
        writer.close()


def _trades(rng: Generator, number: int, hour_ns: int, count: int = 1200) -> TradeColumns:
    """Bursts at the beginning and the end of the hour, with equal times, late ones and a forced print."""
    seconds = np.concatenate([rng.uniform(0, 90, count // 2), 3600 - rng.uniform(0, 90, count // 2)])
    event_ns = hour_ns + np.sort((seconds * 1000).astype(np.int64)) * MILLISECOND_NS
    event_ns = event_ns[event_ns < END_NS]
    if abs(hour_ns + HOUR_NS // 2 - FIRST_MIDNIGHT_NS) < HOUR_NS:
        event_ns = event_ns[(event_ns < _GAP_NS[0]) | (event_ns >= _GAP_NS[1])]
    count = len(event_ns)
    ids = 1 + number * 10_000 + np.arange(count)
    late = rng.random(count) < 0.02
    return TradeColumns(
        event_ns=event_ns,
        receive_ns=event_ns + np.where(late, 3 * SECOND_NS, 30 * MILLISECOND_NS),
        trade_id=ids,
        first_trade_id=ids,
        last_trade_id=ids,
        price_ticks=600_000 + 40 * number + np.cumsum(rng.integers(-3, 4, count)),
        quantity_lots=1 + rng.lognormal(3.0, 1.5, count).astype(np.int64),
        is_buyer_maker=rng.random(count) < 0.5,
        order_type=np.where(rng.random(count) < 0.01, 2, 0).astype(np.uint8),
        is_late=late,
        source=np.where(late & (rng.random(count) < 0.3), 1, 0).astype(np.uint8),
        normal_lots=np.full(count, -1),
    )


def _samples(rng: Generator, hour_ns: int) -> Any:
    """Twice a second at the hour's edges; its first instant is the end of the hour before."""
    grid_ns = np.arange(hour_ns, hour_ns + HOUR_NS, SECOND_NS // 2)
    at_edge = np.abs(grid_ns - hour_ns - HOUR_NS // 2) > HOUR_NS // 2 - 80 * SECOND_NS
    grid_ns = grid_ns[at_edge & (grid_ns <= END_NS)]
    count = len(grid_ns)
    middle = 600_000 + np.cumsum(rng.integers(-5, 6, count))
    steps = np.cumsum(rng.integers(1, 4, (count, 2, BOOK_LEVELS)), axis=2)
    levels = np.empty((count, 4, BOOK_LEVELS), np.int64)
    levels[:, 0], levels[:, 2] = middle[:, None] - steps[:, 0], middle[:, None] + steps[:, 1]
    levels[:, 1::2] = rng.integers(1, 999, (count, 2, BOOK_LEVELS))
    depth = rng.choice((0, 3, BOOK_LEVELS), (count, 2), p=(0.02, 0.08, 0.9))
    for side in range(2):
        levels[:, 2 * side : 2 * side + 2] *= (np.arange(BOOK_LEVELS) < depth[:, [side]])[:, None]
    return book_columns(_sample_integers(rng, grid_ns), levels)


def _sample_integers(rng: Generator, grid_ns: Integers) -> Integers:
    """(n, 26) in the order that `book_columns` reads."""
    count = len(grid_ns)
    spread = rng.integers(1, 9, count)
    columns = (
        grid_ns,
        np.arange(count) + grid_ns // SECOND_NS,
        grid_ns - MILLISECOND_NS,
        grid_ns + 30 * MILLISECOND_NS,
        spread * 500_000,
        spread**2 * 500_000,
        np.full(count, 500_000),
        *rng.integers(-500, 501, (2, count)),
        rng.integers(1, 12, count),
        np.zeros(count, np.int64),
        np.full(count, 599_000),
        np.full(count, 601_000),
        *rng.integers(0, 99, (4, count)),
        *rng.integers(-99, 99, (9, count)),
    )
    return np.stack(columns, axis=1)


def _market(rng: Generator, hour_ns: int) -> dict[str, list[dict[str, Any]]]:
    """Rows of the market tables, some known long after the time that they are about."""
    hour_ms = hour_ns // MILLISECOND_NS
    edge_ms = [hour_ms + 1000 * second for second in (*range(0, 90, 3), *range(3500, 3590, 3))]
    tables: dict[str, list[dict[str, Any]]] = {name: [] for name in ("mark_price", "open_interest")}
    for ms in edge_ms:
        came = {"timestamp": ms, "received_ns": ms * MILLISECOND_NS, "known_ns": _known(rng, ms)}
        price = 60_000 + float(rng.integers(-40, 41)) / 4
        mark = {"mark_price": price, "index_price": 60_000.25, "funding_rate": 0.0001}
        tables["mark_price"].append(came | mark | {"next_funding_ms": hour_ms + 7_200_000})
        tables["open_interest"].append(came | {"open_interest": float(rng.integers(500, 900))})
    forced = {"side": "SELL", "quantity": 0.25, "price": 60_000.0, "event_ms": hour_ms, "status": "FILLED"}
    tables["liquidations"] = [
        forced
        | {
            "timestamp": ms,
            "received_ns": ms * MILLISECOND_NS,
            "known_ns": _known(rng, ms),
            "average_price": i,
        }
        for i, ms in enumerate(edge_ms[::9])
    ]
    settled = {"timestamp": hour_ms, "funding_rate": 0.0002, "received_ns": hour_ns}
    return tables | {"funding_rate": [settled | {"known_ns": hour_ns + 4 * SECOND_NS}]}


def _known(rng: Generator, time_ms: int) -> int:
    return time_ms * MILLISECOND_NS + int(rng.choice((0, 900, 5_000, 100_000))) * MILLISECOND_NS
