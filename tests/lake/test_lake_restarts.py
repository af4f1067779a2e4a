"""What a writer finds after another one was killed, and what a reader sees in between."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from undertow.lake import reader
from undertow.lake.files import read_manifest
from undertow.lake.layout import DATA, MANIFEST, HourKey, find_hours, part_name
from undertow.lake.quality import audit
from undertow.lake.reader import Lake, part_files
from undertow.lake.writer import LakeWriter
from undertow.market.time import HOUR_NS, MILLISECOND_NS

START = 1_700_000_400_000_000_000 // HOUR_NS * HOUR_NS
START_MS = START // MILLISECOND_NS
HOUR_MS = HOUR_NS // MILLISECOND_NS
OFFSETS_MS = st.lists(st.integers(0, 17).map(lambda step: step * 600_000), max_size=8)
ACTIONS = st.sampled_from(["append", "append", "flush", "seal hour", "seal", "restart"])


def bars(stamps_ms: Any, value: float = 0.0, **more: float) -> pa.Table:
    stamps = np.asarray(stamps_ms, np.int64)
    columns = {"timestamp": stamps, "close": np.full(len(stamps), value)}
    return pa.table({**columns, **{name: np.full(len(stamps), v) for name, v in more.items()}})


def writer(root: Path) -> LakeWriter:
    return LakeWriter(root, "v", "S")


def stored(root: Path, **options: Any) -> list[tuple[int, float]]:
    tables = Lake(root).read("v", "features", "S", timeframe="1s", **options)
    return [(row["timestamp"] - START_MS, row["close"]) for table in tables for row in table.to_pylist()]


def hour_folder(root: Path) -> Path:
    return HourKey("v", "features", "S", "1s", START).folder(root)


@settings(max_examples=40, deadline=None)
@given(steps=st.lists(st.tuples(ACTIONS, OFFSETS_MS), max_size=12))
def test_any_order_of_appends_flushes_seals_and_restarts_keeps_the_newest_of_each_row(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, list[int]]]
) -> None:
    root = tmp_path_factory.mktemp("lake")
    expected: dict[int, float] = {}
    lake = writer(root)
    for number, (action, rows) in enumerate(steps):
        if action == "append":
            lake.append("features", bars([START_MS + ms for ms in rows], number), "1s")
            expected |= dict.fromkeys(rows, float(number))
        elif action == "seal hour":
            lake.seal(START + HOUR_NS)
        elif action == "seal":
            lake.seal(None)
        else:
            lake.flush()
        if action == "restart":
            lake.close()
            lake = writer(root)
    lake.flush()
    assert stored(root, include_open=True) == sorted(expected.items())
    lake.seal(None)
    lake.close()
    assert stored(root) == sorted(expected.items())
    assert not expected or audit(root) == []


def test_rows_out_of_order_reach_their_own_hours(tmp_path: Path) -> None:
    lake = writer(tmp_path)
    lake.append("features", bars([START_MS, START_MS + HOUR_MS, START_MS + 1000]), "1s")
    lake.seal(None)
    lake.close()
    assert audit(tmp_path) == []
    assert [ms for ms, _ in stored(tmp_path)] == [0, 1000, HOUR_MS]


def _killed_between_data_and_manifest(lake: LakeWriter, monkeypatch: pytest.MonkeyPatch) -> None:
    replace = Path.replace

    def die_at_the_manifest(self: Path, target: Path) -> Path:
        if target.name == MANIFEST:
            raise KeyboardInterrupt
        return replace(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", die_at_the_manifest)
        with pytest.raises(KeyboardInterrupt):
            lake.seal(None)
    lake.close()


@pytest.mark.parametrize("sealed_before", [False, True])
def test_a_seal_that_died_before_its_manifest_is_finished_by_the_next_writer(
    tmp_path: Path, sealed_before: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake = writer(tmp_path)
    if sealed_before:
        lake.append("features", bars([START_MS]), "1s")
        lake.seal(None)
    lake.append("features", bars([START_MS + 1000], 1.0), "1s")
    _killed_between_data_and_manifest(lake, monkeypatch)
    assert audit(tmp_path)
    again = writer(tmp_path)
    again.seal(None)
    again.close()
    assert audit(tmp_path) == []
    manifest = read_manifest(hour_folder(tmp_path) / MANIFEST)
    assert manifest is not None
    assert (manifest.rows, manifest.version) == ((2, 2) if sealed_before else (1, 1))
    assert part_files(hour_folder(tmp_path)) == []


def test_what_a_killed_write_left_is_cleared_away(tmp_path: Path) -> None:
    lake = writer(tmp_path)
    lake.append("features", bars([START_MS]), "1s")
    lake.flush()
    lake.close()
    leftover = hour_folder(tmp_path) / (part_name(2) + ".tmp")
    leftover.write_bytes(b"half")
    again = writer(tmp_path)
    again.seal(None)
    again.close()
    assert not leftover.exists()
    assert audit(tmp_path) == []


@pytest.mark.parametrize("restarts", [1, 2])
def test_rows_after_a_mark_are_discarded_also_when_the_hour_was_sealed_in_between(
    tmp_path: Path, restarts: int
) -> None:
    lake = writer(tmp_path)
    for value in (1.0, 2.0):
        lake.append("features", bars([START_MS], value), "1s")
        lake.flush()
    mark = lake.checkpoint()
    lake.seal(None)
    for _ in range(restarts):
        lake.append("features", bars([START_MS], 3.0), "1s")
        lake.flush()
        lake.close()
        lake = writer(tmp_path)
        lake.discard_parts_after(mark)
        assert stored(tmp_path, include_open=True) == [(0, 2.0)]
    lake.close()


def test_a_reader_misses_nothing_that_is_sealed_while_it_looks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake = writer(tmp_path)
    lake.append("features", bars([START_MS]), "1s")
    lake.flush()

    def sealed_before_the_listing(folder: Path) -> list[Path]:
        lake.seal(None)
        return part_files(folder)

    def sealed_after_the_listing(folder: Path) -> list[Path]:
        parts = part_files(folder)
        lake.seal(None)
        return parts

    monkeypatch.setattr(reader, "part_files", sealed_before_the_listing)
    assert stored(tmp_path, include_open=True) == [(0, 0.0)]
    lake.append("features", bars([START_MS + 1000]), "1s")
    lake.flush()
    monkeypatch.setattr(reader, "part_files", sealed_after_the_listing)
    assert stored(tmp_path, include_open=True) == [(0, 0.0), (1000, 0.0)]
    lake.close()


def test_a_column_added_later_is_null_in_older_rows(tmp_path: Path) -> None:
    lake = writer(tmp_path)
    lake.append("features", bars([START_MS]), "1s")
    lake.seal(None)
    lake.append("features", bars([START_MS + 1000], 1.0, extra=5.0), "1s")
    lake.seal(None)
    lake.close()
    (table,) = Lake(tmp_path).read("v", "features", "S", timeframe="1s")
    assert table["extra"].to_pylist() == [None, 5.0]


def test_bounds_and_columns_of_a_read(tmp_path: Path) -> None:
    lake = writer(tmp_path)
    offsets = [0, HOUR_MS, 5 * HOUR_MS, 100 * HOUR_MS]
    lake.append("features", bars([START_MS + ms for ms in offsets]), "1s")
    lake.seal(None)
    lake.close()

    def found(begin: int | None, end: int | None) -> list[int]:
        bounds = [None if at is None else START + at * HOUR_NS for at in (begin, end)]
        return [ms // HOUR_MS for ms, _ in stored(tmp_path, from_ns=bounds[0], to_ns=bounds[1])]

    assert found(None, None) == [0, 1, 5, 100]
    assert found(1, 5) == [1]
    assert found(1, 101) == [1, 5, 100]
    assert found(None, 1) == [0]
    assert found(2, None) == [5, 100]
    assert stored(tmp_path, from_ns=START + 1) == stored(tmp_path)[1:]
    (first, *_) = Lake(tmp_path).read("v", "features", "S", timeframe="1s", columns=["close"])
    assert first.column_names == ["close"]
    assert [key.hour_ns for key in find_hours(tmp_path, "v", "features", "S", "1s", START, START + 1)] == [
        START
    ]


def test_a_part_and_a_manifest_are_no_data_for_other_readers(tmp_path: Path) -> None:
    lake = writer(tmp_path)
    lake.append("features", bars([START_MS, START_MS + HOUR_MS]), "1s")
    lake.seal(START + HOUR_NS)
    lake.flush()
    lake.close()
    assert [path.name for path in tmp_path.rglob("*.parquet")] == [DATA]
    hidden = [path.name for path in tmp_path.rglob("*") if path.is_file() and path.name != DATA]
    assert all(name.startswith(("_", ".")) or "_locks" in str(name) for name in hidden if name != "S")
