"""Reading a part of a lake costs that part, and hours of different versions are read together."""

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from undertow.errors import LakeError
from undertow.lake import files
from undertow.lake.files import read_manifest, read_table, write_table
from undertow.lake.layout import DATA, MANIFEST, HourKey
from undertow.lake.quality import audit
from undertow.lake.reader import Lake, part_files
from undertow.lake.schemas import SCHEMA_VERSION, TRADES
from undertow.lake.writer import LakeWriter
from undertow.market.time import HOUR_NS, MILLISECOND_NS, SECOND_NS

START = 1_700_000_400_000_000_000 // HOUR_NS * HOUR_NS
START_MS = START // MILLISECOND_NS
HOUR_MS = HOUR_NS // MILLISECOND_NS
BUSY = 150_000


def trades(
    count: int, first_ms: int = START_MS, version: str = SCHEMA_VERSION, without: Sequence[str] = ()
) -> pa.Table:
    stamps = first_ms + np.arange(count) * HOUR_MS // max(count, 1)
    numbers = np.arange(count, dtype=np.int64) + first_ms
    columns = {
        "timestamp": stamps,
        "trade_id": numbers,
        "received_ns": stamps * MILLISECOND_NS,
        "event_remainder_ns": np.zeros(count, np.int64),
        "first_trade_id": numbers,
        "last_trade_id": numbers,
        "price": np.random.default_rng(1).random(count),
        "source": np.full(count, "stream"),
    }
    arrays = [
        pa.array(columns[field.name]) if field.name in columns else pa.nulls(count, field.type)
        for field in TRADES
    ]
    table = pa.Table.from_arrays(arrays, schema=TRADES).drop_columns(list(without))
    return table.replace_schema_metadata({"schema_version": version, "venue": "v", "symbol": "S"})


def store(root: Path, *tables: pa.Table, name: str = "trades", seal: bool = True) -> None:
    with closing(LakeWriter(root, "v", "S")) as writer:
        for table in tables:
            writer.append(name, table, is_history=True)
            writer.flush()
        if seal:
            writer.seal(None)


def folder(root: Path, hour: int = 0) -> Path:
    return HourKey("v", "trades", "S", "", START + hour * HOUR_NS).folder(root)


def spoil(path: Path, column: str, groups: Sequence[int] | None = None) -> None:
    """Overwrite a column's pages: whoever decodes them fails or gets other values."""
    metadata = pq.read_metadata(path)
    data = bytearray(path.read_bytes())
    for group in range(metadata.num_row_groups) if groups is None else groups:
        row_group = metadata.row_group(group)
        for at in range(row_group.num_columns):
            chunk = row_group.column(at)
            if chunk.path_in_schema == column:
                start = chunk.dictionary_page_offset or chunk.data_page_offset
                data[start : start + chunk.total_compressed_size] = bytes(chunk.total_compressed_size)
    path.write_bytes(data)


def read(
    root: Path, columns: list[str] | None, *, include_open: bool = False, to_ns: int | None = None
) -> pa.Table:
    found = Lake(root).read_whole(
        "v", "trades", "S", START, to_ns, columns=columns, include_open=include_open
    )
    assert found is not None
    return found


def test_only_the_columns_asked_for_are_decoded(tmp_path: Path) -> None:
    store(tmp_path, trades(1000))
    spoil(folder(tmp_path) / DATA, "price")
    assert read(tmp_path, ["trade_id"])["trade_id"].to_pylist() == trades(1000)["trade_id"].to_pylist()
    with pytest.raises(LakeError, match="cannot be read"):
        read(tmp_path, ["price"])


def test_of_open_hours_too(tmp_path: Path) -> None:
    store(tmp_path, trades(1000), seal=False)
    (part,) = part_files(folder(tmp_path))
    spoil(part, "price")
    assert read(tmp_path, ["last_trade_id"], include_open=True).num_rows == 1000
    with pytest.raises(LakeError, match="cannot be read"):
        read(tmp_path, None, include_open=True)


def test_of_a_busy_hour_only_the_minutes_asked_for_are_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "_ROW_GROUP", BUSY // 3)
    rows = trades(BUSY)
    store(tmp_path, rows)
    data = folder(tmp_path) / DATA
    assert pq.read_metadata(data).num_row_groups == 3
    spoil(data, "price", groups=[1, 2])
    wanted = read(tmp_path, None, to_ns=START + 600 * SECOND_NS)
    assert wanted["price"].to_pylist() == rows["price"].to_pylist()[: BUSY // 6]
    with pytest.raises(LakeError, match="cannot be read"):
        read(tmp_path, None)


@pytest.mark.parametrize(("first_s", "last_s"), [(0, 3600), (0, 1), (1700, 1900), (3599, 3600), (100, 100)])
def test_any_stretch_of_a_busy_hour_is_what_a_filter_gives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first_s: int, last_s: int
) -> None:
    monkeypatch.setattr(files, "_ROW_GROUP", BUSY // 3)
    rows = trades(BUSY)
    store(tmp_path, rows)
    stamps = rows["timestamp"].to_numpy()
    inside = (stamps >= START_MS + first_s * 1000) & (stamps < START_MS + last_s * 1000)
    found = list(
        Lake(tmp_path).read(
            "v", "trades", "S", START + first_s * SECOND_NS, START + last_s * SECOND_NS, columns=["trade_id"]
        )
    )
    ids = [value for part in found for value in part["trade_id"].to_pylist()]
    assert ids == rows["trade_id"].to_numpy()[inside].tolist()


@pytest.mark.scenario("S12", "hours of versions 1, 2 and of a next one in one day are read together")
def test_hours_of_several_versions_are_read_together(tmp_path: Path) -> None:
    old = trades(10, version="1", without=["source", "event_remainder_ns"])
    new = trades(10, START_MS + HOUR_MS)
    store(tmp_path, old, new)
    next_one = trades(10, START_MS + 2 * HOUR_MS, version="999").append_column("mood", pa.array([1.5] * 10))
    write_table(folder(tmp_path, 2) / DATA, next_one)
    together = read(tmp_path, ["timestamp", "source", "mood"])
    assert together.column_names == ["timestamp", "source", "mood"]
    assert together["source"].to_pylist() == [None] * 10 + ["stream"] * 20
    assert together["mood"].to_pylist() == [None] * 20 + [1.5] * 10
    assert together["timestamp"].to_pylist() == sorted(together["timestamp"].to_pylist())
    whole = read(tmp_path, None)
    assert set(whole.column_names) == {*TRADES.names, "mood"}
    assert whole["event_remainder_ns"].null_count == 10
    assert {finding.path for finding in audit(tmp_path)} == {folder(tmp_path, 2) / DATA}  # no manifest


@pytest.mark.scenario("S12", "rows of two versions in one hour: what the older lacks is null")
def test_rows_of_two_versions_in_one_hour(tmp_path: Path) -> None:
    late = trades(10, START_MS + 100, version="1", without=["source", "event_remainder_ns"])
    store(tmp_path, trades(10), late)
    assert read(tmp_path, ["source"])["source"].null_count == 10
    assert read_table(folder(tmp_path) / DATA).num_rows == 20


def test_an_unknown_column_is_named(tmp_path: Path) -> None:
    store(tmp_path, trades(10))
    with pytest.raises(LakeError, match="trades has no column 'prise'"):
        read(tmp_path, ["prise"])


@pytest.mark.scenario(
    "S11", "a manifest that is damaged or of an unknown version: refused by name, nothing deleted"
)
@pytest.mark.parametrize(
    "manifest",
    [b"", b"{", b'{"rows": 1}', b"\xff\xfe", "999", "x"],
    ids=["empty", "half", "other", "bytes", "999", "x"],
)
def test_an_hour_whose_manifest_is_not_understood_is_not_touched(
    tmp_path: Path, manifest: bytes | str
) -> None:
    store(tmp_path, trades(10))
    path = folder(tmp_path) / MANIFEST
    if isinstance(manifest, str):
        manifest = path.read_bytes().replace(
            b'"schema_version":"%b"' % SCHEMA_VERSION.encode(), b'"schema_version":"%b"' % manifest.encode()
        )
    path.write_bytes(manifest)
    data = (folder(tmp_path) / DATA).read_bytes()
    with pytest.raises(LakeError, match=MANIFEST):
        Lake(tmp_path).manifests("v", "trades", "S")
    with pytest.raises(LakeError, match=MANIFEST):
        store(tmp_path, trades(3, START_MS + 5))
    assert (path.read_bytes(), (folder(tmp_path) / DATA).read_bytes()) == (manifest, data)
    assert len(part_files(folder(tmp_path))) == 1  # the new rows wait
    assert [finding.path for finding in audit(tmp_path)] == [path]


def test_a_manifest_says_what_it_said(tmp_path: Path) -> None:
    store(tmp_path, trades(10))
    manifest = read_manifest(folder(tmp_path) / MANIFEST)
    assert manifest is not None
    assert (manifest.rows, manifest.version) == (10, 1)
    assert read_manifest(folder(tmp_path) / "nothing") is None
