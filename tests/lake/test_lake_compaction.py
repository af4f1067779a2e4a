"""An hour with a part a minute is read from few files, and ends as the same bytes."""

import errno
import os
from contextlib import closing
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from undertow.errors import LakeError
from undertow.lake.compaction import PARTS_AT_ONCE, compact
from undertow.lake.files import read_table, write_table
from undertow.lake.layout import DATA, HourKey, part_name
from undertow.lake.reader import Lake, part_files
from undertow.lake.writer import LakeWriter
from undertow.market.time import HOUR_NS, MILLISECOND_NS

START = 1_700_000_400_000_000_000 // HOUR_NS * HOUR_NS
START_MS = START // MILLISECOND_NS
FOLDER = HourKey("v", "features", "S", "1s", START)


def minute(number: int) -> pa.Table:
    """Sixty bars, and the last one of the minute before in another version."""
    stamps = START_MS + 1000 * (60 * number + np.arange(-1 if number else 0, 60))
    return pa.table({"timestamp": stamps, "close": np.full(len(stamps), float(number))})


def stored(root: Path) -> list[tuple[int, float]]:
    tables = Lake(root).read("v", "features", "S", timeframe="1s", include_open=True)
    return [(row["timestamp"], row["close"]) for table in tables for row in table.to_pylist()]


def expected(minutes: int) -> list[tuple[int, float]]:
    found: dict[int, float] = {}
    for number in range(minutes):
        found |= dict.fromkeys(minute(number)["timestamp"].to_pylist(), float(number))
    return sorted(found.items())


def write(root: Path, minutes: int, *, checkpoints: bool = True) -> LakeWriter:
    writer = LakeWriter(root, "v", "S")
    for number in range(minutes):
        writer.append("features", minute(number), "1s")
        writer.flush()
        if checkpoints:
            writer.checkpoint()
    return writer


@pytest.mark.scenario("S15", "an hour with sixty checkpoints is held in few parts")
def test_an_hour_of_sixty_checkpoints_is_few_parts_and_the_same_bytes(tmp_path: Path) -> None:
    for name, checkpoints in (("compacted", True), ("plain", False)):
        with closing(write(tmp_path / name, 60, checkpoints=checkpoints)) as writer:
            parts = part_files(FOLDER.folder(tmp_path / name))
            assert len(parts) <= PARTS_AT_ONCE + 1 if checkpoints else len(parts) == 60
            assert stored(tmp_path / name) == expected(60)
            writer.seal(None)
    data = [(FOLDER.folder(tmp_path / name) / DATA).read_bytes() for name in ("compacted", "plain")]
    assert data[0] == data[1]


def test_parts_after_the_saved_checkpoint_can_still_be_discarded(tmp_path: Path) -> None:
    marks = []
    with closing(LakeWriter(tmp_path, "v", "S")) as writer:
        for number in range(40):
            writer.append("features", minute(number), "1s")
            writer.flush()
            marks.append(writer.checkpoint())
    for saved in (-1, -2):  # the newest mark was saved, or it was not
        with closing(LakeWriter(tmp_path, "v", "S")) as writer:
            writer.discard_parts_after(marks[saved])
        assert stored(tmp_path) == expected(41 + saved)


@pytest.mark.scenario("S15", "a second compaction changes nothing")
def test_a_second_run_is_a_no_op(tmp_path: Path) -> None:
    for number in range(1, 21):
        write_table(tmp_path / part_name(number), minute(number))
    numbers = compact(tmp_path, "features", list(range(1, 21)), 18)
    assert numbers == [18, 19, 20]
    before = {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in part_files(tmp_path)}
    assert compact(tmp_path, "features", numbers, 18) == numbers
    assert {
        path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in part_files(tmp_path)
    } == before


@pytest.mark.scenario("S15", "compaction on a full disk: the parts stay as they are")
def test_a_disk_that_refuses_leaves_the_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(1, 21):
        write_table(tmp_path / part_name(number), minute(number))
    before = {path.name: path.read_bytes() for path in part_files(tmp_path)}

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(LakeError, match="No space left"):
        compact(tmp_path, "features", list(range(1, 21)), 20)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_damaged_part_is_named_and_the_others_stay(tmp_path: Path) -> None:
    for number in range(1, 21):
        write_table(tmp_path / part_name(number), minute(number))
    (tmp_path / part_name(5)).write_bytes(b"PAR1")
    with pytest.raises(LakeError, match=part_name(5)):
        compact(tmp_path, "features", list(range(1, 21)), 20)
    assert len(part_files(tmp_path)) == 20
    assert read_table(tmp_path / part_name(20)).num_rows == 61


@pytest.mark.scenario("S6", "a lake that cannot be written is refused in one line")
@pytest.mark.parametrize("where", ["file", "proc"])
def test_a_folder_that_cannot_be_written_is_one_clear_line(tmp_path: Path, where: str) -> None:
    root = tmp_path / "lake" if where == "file" else Path("/proc/lake")
    if where == "file":
        root.write_bytes(b"")
    with pytest.raises(LakeError) as refused:
        LakeWriter(root, "v", "S")
    assert str(refused.value).startswith(f"{root}/v: cannot be written (")
    assert "--lake" in str(refused.value)
    assert "\n" not in str(refused.value)
