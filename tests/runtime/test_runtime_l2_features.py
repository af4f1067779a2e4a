"""L2 features of a stored history are those of the live engine, in sealed hours."""

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from tests.features.l2_factory import SECOND, START, books
from typer.testing import CliRunner, Result

from undertow.cli.main import build
from undertow.errors import InputError
from undertow.features.l2 import L2_FEATURES
from undertow.features.l2_engine import lineage
from undertow.frames.sampler import SamplerSettings
from undertow.lake.files import write_table
from undertow.lake.layout import HourKey
from undertow.lake.reader import Lake
from undertow.lake.tables import book_to_arrow
from undertow.lake.writer import LakeWriter
from undertow.market.columns import BookColumns
from undertow.market.instruments import Instrument
from undertow.market.time import HOUR_NS
from undertow.runtime.l2_features import (
    TABLE,
    compute_l2_features,
    deep_histories,
    l2_engine,
    open_deep_history,
    verify_l2_features,
    write_l2_features,
)
from undertow.runtime.l2_rows import L2_SCHEMA, l2_to_arrow

BTC = Instrument("venue", "BTCUSDT", "0.10", "0.001")
SETTINGS = SamplerSettings(lateness_ns=100_000_000)


def market(seconds: int, first_ns: int = START + HOUR_NS - 60 * SECOND, seed: int = 1) -> BookColumns:
    """Books of 30 levels that wander, one a second."""
    rng = np.random.default_rng(seed)
    middle = 600_000 + rng.integers(-9, 10, seconds).cumsum()
    rows = [
        (
            [(int(m) - 1 - 2 * i, int(rng.integers(1, 5000))) for i in range(30)],
            [(int(m) + 1 + 2 * i, int(rng.integers(1, 5000))) for i in range(30)],
        )
        for m in middle
    ]
    return books(rows, grid_ns=first_ns + np.arange(seconds) * SECOND)


def record(root: Path, samples: BookColumns, instrument: Instrument = BTC, *, sealed: bool = True) -> None:
    writer = LakeWriter(root, instrument.venue, instrument.symbol)
    writer.append("l2", book_to_arrow(instrument, samples))
    writer.flush()
    if sealed:
        writer.seal(None, extra={"settings": msgspec.to_builtins(SETTINGS)})
    writer.close()


def stored(root: Path) -> pa.Table:
    return pa.concat_tables(Lake(root).read("venue", TABLE, "BTCUSDT"))


def written(root: Path) -> tuple[int, list[datetime]]:
    hours: list[datetime] = []
    return write_l2_features(open_deep_history(Lake(root), "venue", "BTCUSDT"), hours.append), hours


def live(samples: BookColumns) -> pa.Table:
    """As live gives them: one sample after the other."""
    engine = l2_engine(BTC, SETTINGS)
    rows = [l2_to_arrow(BTC, engine.push(samples.take(slice(i, i + 1)))) for i in range(len(samples))]
    return pa.concat_tables(rows)


def test_a_stored_history_gives_what_live_gave(tmp_path: Path) -> None:
    """Across an hour: changes of its first seconds reach back into the one before."""
    samples = market(120)
    record(tmp_path, samples)
    rows, hours = written(tmp_path)
    assert rows == 120
    assert [hour.hour for hour in hours] == [0, 1]
    assert stored(tmp_path).equals(live(samples))
    assert stored(tmp_path)["price_change_30sec"].null_count == 30
    assert sorted(path.name for path in tmp_path.glob(f"venue/{TABLE}/**/hour=*/*")) == [
        *("_manifest.json", "_manifest.json", "data.parquet", "data.parquet")
    ]


def test_an_hour_that_is_computed_again_is_replaced(tmp_path: Path) -> None:
    """A row whose book is gone goes as well; other tables stay as they are."""
    samples = market(20)
    writer = LakeWriter(tmp_path, "venue", "BTCUSDT")
    writer.append(TABLE, live(samples))
    writer.append("l2", book_to_arrow(BTC, samples.take(slice(0, 15))))
    writer.flush()
    writer.close()
    written(tmp_path)
    assert stored(tmp_path).num_rows == 15
    manifests = Lake(tmp_path).manifests("venue", TABLE, "BTCUSDT")
    assert [manifest.extra for manifest in manifests] == [{"lineage": lineage()}]
    assert Lake(tmp_path).manifests("venue", "l2", "BTCUSDT") == []


def test_rows_have_the_schema_and_say_when_they_were_known(tmp_path: Path) -> None:
    record(tmp_path, market(3))
    written(tmp_path)
    table = stored(tmp_path)
    assert table.schema.equals(L2_SCHEMA)
    assert table.schema.names == ["timestamp", *(feature.name for feature in L2_FEATURES), "known_ns"]
    assert table.schema.metadata[b"symbol"] == b"BTCUSDT"
    known = np.array(table["known_ns"]) - np.array(table["timestamp"]) * 1_000_000
    assert known.tolist() == [SETTINGS.lateness_ns] * 3


def test_plain_readers_read_them(tmp_path: Path) -> None:
    record(tmp_path, market(70))
    written(tmp_path)
    frame = pl.read_parquet(tmp_path / "venue" / TABLE / "BTCUSDT" / "**" / "data.parquet")
    assert frame.shape == (70, 1 + 455 + 1)
    assert frame["bid_price_norm_100"].dtype == pl.Float32
    assert frame["bid_volume_100"].to_list() == [0.0] * 70


def test_an_open_hour_is_computed_as_far_as_it_goes(tmp_path: Path) -> None:
    samples = market(50)
    record(tmp_path, samples, sealed=False)
    hours = list(compute_l2_features(open_deep_history(Lake(tmp_path), "venue", "BTCUSDT")))
    assert [table.num_rows for _, table in hours] == [50]


def test_computing_again_changes_nothing_and_later_rows_come_along(tmp_path: Path) -> None:
    samples = market(90)
    record(tmp_path, samples.take(slice(0, 40)))
    written(tmp_path)
    before = stored(tmp_path)
    written(tmp_path)
    assert stored(tmp_path).equals(before)
    record(tmp_path, samples.take(slice(40, 90)))
    assert written(tmp_path)[0] == 90
    assert stored(tmp_path)["mid_price"].equals(live(samples)["mid_price"])


def test_another_tick_begins_a_new_stretch(tmp_path: Path) -> None:
    """Ticks of one size are not compared with ticks of another."""
    first_ns = START + HOUR_NS - 5 * SECOND
    finer = Instrument("venue", "BTCUSDT", "0.01", "0.001")
    record(tmp_path, market(5, first_ns))
    record(tmp_path, market(5, first_ns + 5 * SECOND), finer)
    written(tmp_path)
    table = stored(tmp_path)
    assert table["price_change_1sec"].is_null().to_pylist() == [True, *[False] * 4] * 2
    assert table["mid_price"][0].as_py() > 9 * table["mid_price"][9].as_py()


def test_verifying_finds_what_was_changed(tmp_path: Path) -> None:
    record(tmp_path, market(50))
    written(tmp_path)
    assert verify_l2_features(Lake(tmp_path)) == (50, [])
    table = stored(tmp_path)
    place = table.schema.get_field_index("spread")
    changed = table["spread"].to_numpy().copy()
    changed[7] = np.nextafter(changed[7], 1)
    path = HourKey("venue", TABLE, "BTCUSDT", "", START).folder(tmp_path) / "data.parquet"
    write_table(path, table.set_column(place, "spread", pa.array(changed)))
    compared, wrong = verify_l2_features(Lake(tmp_path))
    assert compared == 50
    assert [text.partition("h: ")[2] for text in wrong] == ["column spread differs"]


def test_rows_whose_books_are_gone_cannot_be_verified(tmp_path: Path) -> None:
    writer = LakeWriter(tmp_path, "venue", "BTCUSDT")
    writer.append(TABLE, live(market(2)))
    writer.seal(None)
    writer.close()
    assert "not there" in verify_l2_features(Lake(tmp_path))[1][0]


def test_histories_are_those_asked_for(tmp_path: Path) -> None:
    record(tmp_path, market(2))
    record(tmp_path, market(2), Instrument("venue", "ETHUSDT", "0.10", "0.001"))
    lake: Any = Lake(tmp_path)
    assert [history.symbol for history in deep_histories(lake, None, ())] == ["BTCUSDT", "ETHUSDT"]
    assert [history.symbol for history in deep_histories(lake, "venue", ("ETHUSDT",))] == ["ETHUSDT"]
    with pytest.raises(InputError, match="XRPUSDT"):
        deep_histories(lake, None, ("XRPUSDT",))
    with pytest.raises(InputError, match="anything"):
        deep_histories(Lake(tmp_path / "empty"), None, ())
    with pytest.raises(InputError, match="table l2"):
        open_deep_history(lake, "venue", "XRPUSDT")


def command(*arguments: str) -> Result:
    return CliRunner().invoke(build(arguments), list(arguments), catch_exceptions=False)


def test_the_command_writes_the_table(tmp_path: Path) -> None:
    record(tmp_path, market(40))
    done = command("features", "--l2", "--lake", str(tmp_path), "--json")
    assert done.exit_code == 0
    assert json.loads(done.output) == {"venue BTCUSDT": {"l2_features": 40}}
    assert stored(tmp_path).num_rows == 40


def test_the_command_lists_and_explains() -> None:
    listed = command("features", "--list", "--l2").output.splitlines()
    assert [line.split()[0] for line in listed] == [feature.name for feature in L2_FEATURES]
    explained = command("features", "--explain", "price_volatility_30sec").output
    assert "population deviation of the last 30 one-second values of price_change_1sec [%]" in explained
    assert "a − b" in command("features", "--explain", "spread", "--l2").output
