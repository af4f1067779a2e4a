"""A writer that is really killed at every step of its work, and what the next one and a reader find."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from undertow.lake import compaction
from undertow.lake.layout import DATA
from undertow.lake.quality import audit
from undertow.lake.reader import Lake
from undertow.lake.writer import LakeWriter
from undertow.market.time import HOUR_NS, MILLISECOND_NS

START = 1_700_000_400_000_000_000 // HOUR_NS * HOUR_NS
START_MS = START // MILLISECOND_NS
HOUR_MS = HOUR_NS // MILLISECOND_NS
STEPS = 9
"""Each step brings rows of the hour that is open, and from the sixth on of the next one."""
MODES = ("half a file", "before a rename", "after a rename", "before a deletion")

_real = (os.fsync, os.replace, os.unlink)


def rows(step: int) -> pa.Table:
    first = START_MS + (HOUR_MS if step >= 6 else 0) + step * 1000
    stamps = np.arange(first, first + 500, 100)
    if step == 7:  # late ones, for an hour that is sealed
        stamps = np.append(stamps, START_MS + 900)
    return pa.table({"timestamp": stamps, "close": np.full(len(stamps), float(step))})


EXPECTED = sorted({stamp: step for step in range(STEPS) for stamp in rows(step)["timestamp"].to_pylist()})


def live(root: Path, mode: str, fatal: int) -> None:
    """One life of a writer: go on from the saved mark, to the end unless killed before the `fatal`th act."""
    compaction.PARTS_AT_ONCE = 3
    _arm(mode, fatal)
    state_path = root / "state.json"
    state: dict[str, Any] = {"done": 0, "mark": {}}
    if state_path.exists():
        state = json.loads(state_path.read_text())
    writer = LakeWriter(root / "lake", "v", "S")
    writer.discard_parts_after(state["mark"])
    for step in range(state["done"], STEPS):
        writer.append("features", rows(step), "1s")
        writer.flush()
        temporary = root / "state.tmp"
        temporary.write_text(json.dumps({"done": step + 1, "mark": writer.checkpoint()}))
        _real[1](temporary, state_path)
        if step >= 6:
            writer.seal(START + HOUR_NS)
    writer.seal(None)
    writer.close()


def _arm(mode: str, fatal: int) -> None:
    count = 0

    def act() -> bool:
        nonlocal count
        count += 1
        return count > fatal

    def die() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def fsync(descriptor: int) -> None:
        size = os.fstat(descriptor).st_size
        is_file = Path(f"/proc/self/fd/{descriptor}").readlink().suffix == ".tmp"
        if mode == "half a file" and is_file and act():
            os.ftruncate(descriptor, size // 2)
            die()
        _real[0](descriptor)

    def replace(source: Any, target: Any) -> None:
        if mode == "before a rename" and act():
            die()
        _real[1](source, target)
        if mode == "after a rename" and act():
            die()

    def unlink(path: Any, **options: Any) -> None:
        if mode == "before a deletion" and act():
            die()
        _real[2](path, **options)

    os.fsync, os.replace, os.unlink = fsync, replace, unlink  # type: ignore[assignment]


def stored(lake: Path, *, include_open: bool) -> list[int]:
    tables = Lake(lake).read("v", "features", "S", timeframe="1s", include_open=include_open)
    return [stamp for table in tables for stamp in table["timestamp"].to_pylist()]


def arena(root: Path, mode: str) -> None:
    """For each act that can be the last: a life that ends there, and in a copy of what it left another one.

    Each life is a fork of this process, which itself never starts the threads of Arrow or Polars.
    """
    for fatal in range(100):
        place = root / f"killed-{fatal}"
        place.mkdir()
        if _fork(place, mode, fatal) == 0:
            return
        shutil.copytree(place, root / f"again-{fatal}")
        assert _fork(root / f"again-{fatal}", "", 0) == 0


def _fork(place: Path, mode: str, fatal: int) -> int:
    child = os.fork()
    if child == 0:
        live(place, mode, fatal)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.scenario(
    "S1", "the lake killed in a file, before and after each rename: each row once, none lost"
)
@pytest.mark.scenario("S2", "restarted within the hour: new parts, nothing overwritten")
@pytest.mark.scenario("S15", "compaction killed half-way: the old parts are intact, the next run ends it")
@pytest.mark.parametrize("mode", MODES)
def test_a_writer_killed_at_any_step_loses_nothing_and_stores_each_row_once(
    tmp_path: Path, mode: str
) -> None:
    command = [sys.executable, __file__, str(tmp_path), mode]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    killed = sorted(tmp_path.glob("killed-*"), key=lambda place: int(place.name.partition("-")[2]))
    assert len(killed) > 6
    undisturbed = killed.pop()
    assert stored(undisturbed / "lake", include_open=False) == EXPECTED
    for place in killed:
        seen = stored(place / "lake", include_open=True)
        assert len(seen) == len(set(seen))
        state = place / "state.json"
        steps = json.loads(state.read_text())["done"] if state.exists() else 0
        assert {stamp for step in range(steps) for stamp in rows(step)["timestamp"].to_pylist()} <= set(seen)
        sealed = stored(place / "lake", include_open=False)
        assert len(sealed) == len(set(sealed))
        again = tmp_path / place.name.replace("killed", "again")
        assert stored(again / "lake", include_open=False) == EXPECTED
        assert audit(again / "lake") == []
        assert _files(again) == _files(undisturbed)


def _files(place: Path) -> dict[str, bytes]:
    return {str(path.relative_to(place)): path.read_bytes() for path in place.rglob(DATA)}


if __name__ == "__main__":
    arena(Path(sys.argv[1]), sys.argv[2])
