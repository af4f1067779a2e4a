"""What is read of a history for frames is what the lake's own tables say, from files of any version."""

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from tests.runtime.lake_days import FIRST_MIDNIGHT_NS, HOURS_NS, INSTRUMENT, write_days

from undertow.errors import LakeError
from undertow.frames.column_set import empty_trades, join, shallow
from undertow.frames.frames import BOOK_LEVELS
from undertow.lake.layout import DATA, HourKey
from undertow.lake.reader import Lake
from undertow.lake.tables import arrow_to_book, arrow_to_trades
from undertow.lake.writer import LakeWriter
from undertow.market.columns import BookColumns, TradeColumns
from undertow.market.time import HOUR_NS, SECOND_NS
from undertow.runtime.ahead import ahead
from undertow.runtime.history import Place, StoredHistory, gaps_of, open_history, steps
from undertow.runtime.history_rows import BOOK_NAMES, TRADE_NAMES
from undertow.runtime.sealed_hour import read_sealed

VENUE, SYMBOL = INSTRUMENT.venue, INSTRUMENT.symbol
FLOW = ("event_ns", "trade_id", "price_ticks", "quantity_lots", "is_buyer_maker")
UNUSED = ("last_update_id", "receive_ns", "trusted_bid_ticks", "trusted_ask_ticks", "late_update_count")
SAMPLES = [name for name in BookColumns.__dataclass_fields__ if name not in UNUSED]


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    write_days(tmp_path)
    return Lake(tmp_path)


def opened(lake: Lake) -> StoredHistory:
    return open_history(lake, VENUE, SYMBOL)


def all_steps(lake: Lake, after: Place | None = None) -> tuple[TradeColumns, BookColumns, list[int]]:
    found = list(steps(opened(lake), after, None))
    late = [int(time_ns) for step in found for time_ns in step.late_ns]
    return join([step.trades for step in found]), join([step.samples for step in found]), late


def stored_trades(lake: Lake) -> TradeColumns:
    tables = lake.read(VENUE, "aggtrades", SYMBOL, include_open=True)
    return join([empty_trades(), *(arrow_to_trades(INSTRUMENT, table) for table in tables)])


def check_trades(lake: Lake) -> None:
    trades, _, late = all_steps(lake)
    stored = stored_trades(lake)
    wanted = stored.take((stored.order_type == 0) & ~stored.is_late)
    wanted = wanted.take(np.lexsort((wanted.trade_id, wanted.event_ns)))
    for name in FLOW:
        assert getattr(trades, name).tolist() == getattr(wanted, name).tolist(), name
    streamed = stored.is_late & (stored.order_type == 0) & (stored.source == 0)
    assert sorted(late) == sorted(stored.event_ns[streamed].tolist())


def check_samples(lake: Lake) -> None:
    tables = lake.read(VENUE, "book_depth", SYMBOL, include_open=True)
    stored = join([shallow(arrow_to_book(INSTRUMENT, table), BOOK_LEVELS) for table in tables])
    wanted = stored.take(stored.grid_ns <= opened(lake).closed_ns)
    samples = all_steps(lake)[1]
    for name in SAMPLES:
        assert np.array_equal(getattr(samples, name), getattr(wanted, name)), name


def rewrite(lake: Lake, table: str, change: dict[str, pa.Array | None]) -> None:
    """Every hour of a table again with columns replaced, or without them."""
    writer = LakeWriter(lake.root, VENUE, SYMBOL)
    for hour_ns in lake.hours(VENUE, table, SYMBOL):
        rows = next(lake.read(VENUE, table, SYMBOL, hour_ns, hour_ns + HOUR_NS))
        for name, value in change.items():
            rows = rows.drop_columns([name])
            if value is not None:
                rows = rows.append_column(name, pa.array([value[0].as_py()] * rows.num_rows, value.type))
        writer.replace(HourKey(VENUE, table, SYMBOL, "", hour_ns), rows)
    writer.close()


def test_trades_are_those_of_the_lake_without_late_and_forced_ones(lake: Lake) -> None:
    check_trades(lake)
    stored = stored_trades(lake)
    assert (stored.order_type != 0).any()
    assert (stored.is_late & (stored.source != 0)).any()
    assert (np.diff(stored.event_ns) == 0).any()


def test_samples_are_those_of_the_lake(lake: Lake) -> None:
    check_samples(lake)


@pytest.mark.parametrize(
    "change",
    [
        {"order_type": None},
        {"source": None, "normal_quantity": None},
        {"order_type": pa.nulls(1, pa.string())},
        {"order_type": pa.array(["SOMETHING NEW"])},
    ],
    ids=["no types", "no sources", "null types", "unknown types"],
)
def test_trades_of_older_and_newer_files(lake: Lake, change: dict[str, pa.Array | None]) -> None:
    rewrite(lake, "aggtrades", change)
    check_trades(lake)


def test_samples_of_older_files_do_not_tell_what_changed(lake: Lake) -> None:
    rewrite(lake, "book_depth", {"added_bids": None, "ofi_level_2": None})
    check_samples(lake)


def test_an_hour_with_parts_beside_its_file_is_read_whole(lake: Lake) -> None:
    rows = next(lake.read(VENUE, "aggtrades", SYMBOL, HOURS_NS[0], HOURS_NS[0] + HOUR_NS))
    later = rows.slice(5, 1).set_column(1, "trade_id", pa.array([999_999]))
    writer = LakeWriter(lake.root, VENUE, SYMBOL)
    writer.append("aggtrades", later, is_history=True)
    writer.flush()
    writer.close()
    assert 999_999 in stored_trades(lake).trade_id
    check_trades(lake)


def test_steps_behind_a_place_are_the_rest(lake: Lake) -> None:
    trades, samples, _ = all_steps(lake)
    for step in list(steps(opened(lake), None, None))[:-1]:
        rest, books, _ = all_steps(lake, step.place)
        assert rest.trade_id.tolist() == trades.trade_id[trades.event_ns >= step.until_ns].tolist()
        assert books.grid_ns.tolist() == samples.grid_ns[samples.grid_ns > step.until_ns].tolist()


def test_the_last_hour_before_a_midnight_says_so(lake: Lake) -> None:
    found = [step.midnight_ns for step in steps(opened(lake), None, None)]
    after = [hour for hour, at in zip(HOURS_NS, found, strict=False) if at is not None]
    assert [at for at in found if at is not None] == [FIRST_MIDNIGHT_NS, FIRST_MIDNIGHT_NS + 24 * HOUR_NS]
    assert after == [FIRST_MIDNIGHT_NS - HOUR_NS, FIRST_MIDNIGHT_NS + 22 * HOUR_NS]


def test_gaps_are_read(lake: Lake) -> None:
    assert [(gap.stream, gap.to_ns - gap.from_ns) for gap in gaps_of(opened(lake))] == [
        ("aggtrades", 95 * SECOND_NS)
    ]


def test_a_damaged_hour_is_named(lake: Lake) -> None:
    key = HourKey(VENUE, "book_depth", SYMBOL, "", HOURS_NS[3])
    (key.folder(lake.root) / DATA).write_bytes(b"nothing")
    with pytest.raises(LakeError, match=r"hour=01/data\.parquet: cannot be read"):
        all_steps(lake)


def test_a_sealed_hour_is_read_at_once_and_others_are_left_to_the_lake(lake: Lake) -> None:
    key = HourKey(VENUE, "aggtrades", SYMBOL, "", HOURS_NS[0])
    rows = read_sealed(lake.root, key, TRADE_NAMES, ("order_type",))
    assert rows is not None
    assert tuple(rows.column_names) == TRADE_NAMES
    assert pa.types.is_dictionary(rows["order_type"].type)
    assert read_sealed(lake.root, key, ("no such column",), ()) is None
    absent = HourKey(VENUE, "book_depth", SYMBOL, "", HOURS_NS[0] - HOUR_NS)
    assert read_sealed(lake.root, absent, BOOK_NAMES, ()) is None


def test_the_next_item_is_made_while_one_is_in_use() -> None:
    made = threading.Semaphore(0)

    def numbers() -> Iterator[int]:
        for number in range(3):
            yield number
            made.release()

    items = ahead(numbers())
    assert next(items) == 0
    assert made.acquire(timeout=10)
    assert list(items) == [1, 2]


def test_what_making_an_item_raises_comes_in_its_place() -> None:
    def failing() -> Iterator[int]:
        yield 1
        raise LakeError("gone")

    items = ahead(failing())
    assert next(items) == 1
    with pytest.raises(LakeError, match="gone"):
        next(items)
    assert list(ahead(iter(()))) == []
