"""An hour replaced by a worker is the hour that the lake's own writer would leave."""

from collections.abc import Mapping
from pathlib import Path

import msgspec
import pyarrow as pa
import pytest

from undertow.errors import LakeError
from undertow.lake.layout import DATA, MANIFEST, HourKey, part_name
from undertow.lake.reader import Lake
from undertow.lake.writer import LakeWriter
from undertow.runtime.hour_file import replace_hour

KEY = HourKey("venue", "features", "BTCUSDT", "1s", 0)
EXTRA = {"lineage": {"features": "abc"}}


def rows(value: float, count: int = 5) -> pa.Table:
    columns = {"timestamp": pa.array(range(0, 1000 * count, 1000)), "close": pa.array([value] * count)}
    return pa.table(columns | {"known_ns": pa.array([7] * count)})


def by_writer(root: Path, table: pa.Table, extra: Mapping[str, object]) -> None:
    writer = LakeWriter(root, KEY.venue, KEY.symbol)
    writer.replace(KEY, table, extra)
    writer.close()


def files(root: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in KEY.folder(root).iterdir()}


def test_file_and_manifest_are_those_of_the_lakes_writer(tmp_path: Path) -> None:
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    for value, extra in ((1.5, EXTRA), (2.5, {"closed_ns": 9}), (2.5, EXTRA)):
        replace_hour(ours, KEY, rows(value), extra)
        by_writer(theirs, rows(value), extra)
        assert files(ours) == files(theirs)
    assert msgspec.json.decode(files(ours)[MANIFEST])["version"] == 2


def test_parts_of_the_hour_go(tmp_path: Path) -> None:
    writer = LakeWriter(tmp_path, KEY.venue, KEY.symbol)
    writer.append("features", rows(1.0), timeframe="1s")
    writer.flush()
    assert (KEY.folder(tmp_path) / part_name(1)).exists()
    replace_hour(tmp_path, KEY, rows(2.0, 3), EXTRA)
    writer.close()
    assert set(files(tmp_path)) == {DATA, MANIFEST}
    stored = Lake(tmp_path).read_whole("venue", "features", "BTCUSDT", timeframe="1s", include_open=True)
    assert stored is not None
    assert stored["close"].to_pylist() == [2.0] * 3


def test_a_damaged_manifest_is_kept_beside_the_new_one(tmp_path: Path) -> None:
    replace_hour(tmp_path, KEY, rows(1.0), EXTRA)
    (KEY.folder(tmp_path) / MANIFEST).write_bytes(b"{")
    replace_hour(tmp_path, KEY, rows(2.0), EXTRA)
    assert files(tmp_path)[f"{MANIFEST}.damaged"] == b"{"
    assert Lake(tmp_path).manifests("venue", "features", "BTCUSDT", "1s")[0].rows == 5


def test_an_hour_of_a_newer_version_stays_as_it_is(tmp_path: Path) -> None:
    replace_hour(tmp_path, KEY, rows(1.0), EXTRA)
    manifest = KEY.folder(tmp_path) / MANIFEST
    manifest.write_bytes(
        msgspec.json.encode(msgspec.json.decode(manifest.read_bytes()) | {"schema_version": "999"})
    )
    before = files(tmp_path)
    with pytest.raises(LakeError, match="install the version that wrote it"):
        replace_hour(tmp_path, KEY, rows(2.0), EXTRA)
    assert files(tmp_path) == before
