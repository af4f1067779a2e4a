"""A lake held against its journal: a sound one stays, damaged hours come back, nothing else is lost."""

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from tests.frames import conftest
from tests.frames.conftest import INSTRUMENT, frame_line, make_market

from undertow.errors import InUseError
from undertow.frames.sampler import SamplerSettings
from undertow.journal.reader import segments
from undertow.lake.files import read_table, write_table
from undertow.lake.layout import DATA, MANIFEST, HourKey, find_hours
from undertow.lake.quality import audit
from undertow.lake.reader import part_files
from undertow.lake.writer import LakeWriter
from undertow.runtime.rebuild import Rebuilt, rebuild
from undertow.runtime.recorder import SymbolRecorder

SETTINGS = SamplerSettings(timeframes_ns=(10**9, 60 * 10**9))
VENUE, SYMBOL = INSTRUMENT.venue, INSTRUMENT.symbol
SECONDS = 400
START_MS = conftest.START_MS // 3_600_000 * 3_600_000 + 3_360_000
"""Four minutes before an hour ends."""
RESUMED = b'{"stream":"!undertow","data":{"e":"disconnect","category":"all","reason":"collection resumed"}}'
SERIES = [
    ("aggtrades", ""),
    ("book_depth", ""),
    ("l2", ""),
    ("gaps", ""),
    ("coverage", ""),
    ("mark_price", ""),
    ("liquidations", ""),
    ("features", "1s"),
    ("features", "1m"),
]


def _market_lines() -> list[bytes]:
    """Trades and depth with a hole, mark prices every three seconds, a forced order a minute."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(conftest, "START_MS", START_MS)
        lines = list(make_market(11, SECONDS, frozenset({400, 2_600})).lines)
    for second in range(0, SECONDS, 3):
        now = START_MS + second * 1000
        data: dict[str, Any] = {
            "e": "markPriceUpdate",
            "E": now,
            "s": SYMBOL,
            "p": f"{1000 + second % 7}.00",
            "i": "1000.00",
        }
        data |= {"P": "1000.00", "r": "0.0001", "T": START_MS + 10**7}
        lines.append(frame_line(now + 9, {"stream": "btcusdt@markPrice@1s", "data": data}))
        if second % 60 == 0:
            order: dict[str, Any] = {"s": SYMBOL, "S": "SELL", "o": "LIMIT", "f": "IOC", "q": "0.010"}
            order |= {"p": "1000.00", "ap": "1000.00", "X": "FILLED", "l": "0.010", "z": "0.010", "T": now}
            data = {"e": "forceOrder", "E": now + 1, "o": order}
            lines.append(frame_line(now + 9, {"stream": "btcusdt@forceOrder", "data": data}))
    return sorted(lines, key=lambda line: int(line.partition(b" ")[0]))


def _record(recorder: SymbolRecorder, lines: list[bytes], block: int = 2_000) -> None:
    for at in range(0, len(lines), block):
        for line in lines[at : at + block]:
            stamp, _, frame = line.rstrip(b"\n").partition(b" ")
            recorder.record(int(stamp), frame)
        recorder.process()


def _open(folder: Path) -> SymbolRecorder:
    return SymbolRecorder(INSTRUMENT, SETTINGS, folder / "lake", folder / "journal")


@pytest.fixture(scope="module")
def lines() -> list[bytes]:
    return _market_lines()


@pytest.fixture(scope="module")
def recorded(lines: list[bytes], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two hours in three sittings: one ended orderly, one crashed, the last ended orderly."""
    folder = tmp_path_factory.mktemp("recorded")
    third = len(lines) // 3
    for number, part in enumerate((lines[:third], lines[third : 2 * third], lines[2 * third :])):
        recorder = _open(folder)
        if number:
            recorder.record(int(part[0].partition(b" ")[0]), RESUMED)
        _record(recorder, part)
        if number == 1:
            recorder.abandon()
        else:
            recorder.close()
    return folder


@pytest.fixture
def place(recorded: Path, tmp_path: Path) -> Path:
    """A copy of it, to be spoilt."""
    shutil.copytree(recorded, tmp_path / "copy")
    return tmp_path / "copy"


def _run(place: Path, *, repair: bool = True) -> Rebuilt:
    return rebuild(place / "lake", place / "journal", repair=repair)


def _hours(lake: Path, table: str, timeframe: str = "") -> list[HourKey]:
    return find_hours(lake, VENUE, table, SYMBOL, timeframe)


def _files(lake: Path) -> dict[str, bytes]:
    return {str(p.relative_to(lake)): p.read_bytes() for p in sorted(lake.rglob(DATA))}


def _differing(place: Path, recorded: Path) -> list[str]:
    """Files that are not the same, but for gaps: a recorder says of an open one each time it stops."""
    ours, theirs = _files(place / "lake"), _files(recorded / "lake")
    assert ours.keys() == theirs.keys()
    return [name for name in theirs if ours[name] != theirs[name] and "/gaps/" not in name]


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 1
    path.write_bytes(data)


def _rewrite(place: Path, table: str, change: Callable[[pa.Table], pa.Table], hour: int = 1) -> HourKey:
    """Another content for an hour, with a manifest that fits."""
    key = _hours(place / "lake", table)[hour]
    writer = LakeWriter(place / "lake", VENUE, SYMBOL)
    writer.replace(key, change(read_table(key.folder(place / "lake") / DATA)))
    writer.close()
    return key


@pytest.mark.parametrize("repair", [False, True])
def test_a_sound_lake_is_left_as_it_is_whatever_stops_and_crashes_it_went_through(
    place: Path, repair: bool
) -> None:
    before = {str(p): p.stat().st_mtime_ns for p in (place / "lake").rglob("*") if p.is_file()}
    found = _run(place, repair=repair)
    assert found.changes == []
    assert found.damage == []
    assert found.lines == len(_market_lines()) + 2
    assert found.hours == sum(len(_hours(place / "lake", *series)) for series in SERIES)
    assert {p: m for p, m in before.items() if not p.endswith(SYMBOL)} == {
        str(p): p.stat().st_mtime_ns
        for p in (place / "lake").rglob("*")
        if p.is_file() and not str(p).endswith(SYMBOL)
    }


@pytest.mark.scenario("S10", "a flipped bit in any table is found by its sum and repaired from the journal")
@pytest.mark.scenario("S16", "an hour rebuilt from the journal has the bytes that it had")
@pytest.mark.parametrize(("table", "timeframe"), SERIES)
def test_a_flipped_bit_is_repaired_to_the_byte(
    recorded: Path, place: Path, table: str, timeframe: str
) -> None:
    key = _hours(place / "lake", table, timeframe)[-1]
    _flip(key.folder(place / "lake") / DATA)
    told = _run(place, repair=False)
    assert [(c.table, c.timeframe, c.is_repaired) for c in told.changes] == [(table, timeframe, False)]
    assert "sha256" in told.changes[0].why
    repaired = _run(place)
    assert [(c.table, c.timeframe, c.is_repaired) for c in repaired.changes] == [(table, timeframe, True)]
    assert audit(place / "lake") == []
    assert _differing(place, recorded) == []
    assert _run(place).changes == []


def test_everything_deleted_comes_back_to_the_byte(recorded: Path, place: Path) -> None:
    for table in {table for table, _ in SERIES}:
        shutil.rmtree(place / "lake" / VENUE / table)
    found = _run(place)
    assert found.changes
    assert all(c.is_repaired and c.rows_before is None for c in found.changes)
    assert _differing(place, recorded) == []


def test_missing_wrong_and_invented_rows_are_told_apart(recorded: Path, place: Path) -> None:
    def spoil(rows: pa.Table) -> pa.Table:
        price = pc.add(rows["price"], pa.scalar(0.1))
        higher = rows.set_column(2, rows.schema.field(2), price)
        invented = rows.slice(20, 1).set_column(1, rows.schema.field(1), pa.array([10**12]))
        return pa.concat_tables([rows.slice(10), invented, higher.slice(5, 3)])

    key = _rewrite(place, "aggtrades", spoil)
    (change,) = _run(place).changes
    assert change.why == (
        "rows missing: 7; rows that the journal does not give: 1; rows that differ: 3 (in price)"
    )
    assert (change.hour, change.is_repaired) == ("2023-11-14T23", True)
    rows = read_table(key.folder(recorded / "lake") / DATA).num_rows
    assert (change.rows_before, change.rows_after) == (rows - 6, rows)
    assert _files(place / "lake") == _files(recorded / "lake")


def test_an_hour_that_the_journal_does_not_give_goes(recorded: Path, place: Path) -> None:
    lake = place / "lake"
    row = read_table(_hours(lake, "mark_price")[0].folder(lake) / DATA).slice(1, 1)
    writer = LakeWriter(lake, VENUE, SYMBOL)
    writer.append("mark_price", row.set_column(0, row.schema.field(0), pa.array([0])), is_history=True)
    writer.seal(None)
    writer.close()
    assert len(_hours(lake, "mark_price")) == 3
    (change,) = _run(place).changes
    assert (change.hour, change.rows_before, change.rows_after) == ("1970-01-01T00", 1, 0)
    assert len(_hours(lake, "mark_price")) == 2
    assert _files(lake) == _files(recorded / "lake")


def test_rows_that_came_from_elsewhere_survive(place: Path) -> None:
    lake = place / "lake"

    def with_archive(rows: pa.Table) -> pa.Table:
        one = rows.slice(3, 1).set_column(1, rows.schema.field(1), pa.array([7]))
        at = rows.schema.get_field_index("source")
        return pa.concat_tables(
            [rows.slice(1), one.set_column(at, rows.schema.field(at), pa.array(["archive"]))]
        )

    def with_backfill(rows: pa.Table) -> pa.Table:
        one = rows.slice(3, 1)
        late = [
            ("timestamp", pc.add(one["timestamp"], 1)),
            ("received_ns", pc.add(one["received_ns"], 1)),
        ]
        for name, values in late:
            at = one.schema.get_field_index(name)
            one = one.set_column(at, one.schema.field(at), values)
        return pa.concat_tables([rows.slice(1), one])

    trades, prices = _rewrite(place, "aggtrades", with_archive), _rewrite(place, "mark_price", with_backfill)
    found = _run(place)
    assert [(c.table, c.why) for c in found.changes if c.table != "features"] == [
        ("aggtrades", "rows missing: 1"),
        ("mark_price", "rows missing: 1"),
    ]
    assert 7 in read_table(trades.folder(lake) / DATA)["trade_id"].to_pylist()
    rows = read_table(prices.folder(lake) / DATA)["timestamp"].to_pylist()
    assert [stamp for stamp in rows if stamp % 3000 == START_MS % 3000 + 1]
    assert _run(place).changes == []


def test_another_symbols_and_other_timeframes_are_not_touched(place: Path) -> None:
    lake = place / "lake"
    writer = LakeWriter(lake, VENUE, "ETHUSDT")
    writer.append("features", pa.table({"timestamp": [START_MS], "close": [1.0]}), "30s")
    writer.seal(None)
    writer.close()
    writer = LakeWriter(lake, VENUE, SYMBOL)
    writer.append("features", pa.table({"timestamp": [START_MS], "close": [1.0]}), "30s")
    writer.seal(None)
    writer.close()
    before = _files(lake)
    found = _run(place)
    assert found.changes == []
    assert found.notes == [f"{VENUE} ETHUSDT: the journal has nothing of it; not compared"]
    assert _files(lake) == before


def _segment_of_hour(place: Path, hour: str) -> Path:
    return next(path for path in segments(place / "journal", VENUE, SYMBOL) if path.name.startswith(hour))


def test_what_the_journal_has_no_more_is_named_and_left_alone(place: Path) -> None:
    lake = place / "lake"
    first = segments(place / "journal", VENUE, SYMBOL)[0]
    first.unlink()
    keys = {name: _hours(lake, name, frame)[0] for name, frame in (("aggtrades", ""), ("features", "1s"))}
    for key in keys.values():
        _flip(key.folder(lake) / DATA)
    before = _files(lake)
    found = _run(place)
    assert sorted((c.table, c.rows_after) for c in found.changes) == [("aggtrades", None), ("features", None)]
    assert all("journal" in c.why for c in found.changes)
    assert len(found.remaining()) == 2
    assert _files(lake) == before


def test_behind_a_deleted_segment_single_frames_are_still_repaired_and_state_is_left_alone(
    place: Path,
) -> None:
    lake = place / "lake"
    _segment_of_hour(place, "20231114-22").unlink()
    _flip(_hours(lake, "mark_price")[1].folder(lake) / DATA)
    before = _files(lake)
    found = _run(place)
    assert [(c.table, c.hour, c.is_repaired) for c in found.changes] == [
        ("mark_price", "2023-11-14T23", True)
    ]
    after = _files(lake)
    assert [name for name in before if after[name] != before[name] and "mark_price" not in name] == []
    assert audit(lake) == []


def test_a_damaged_segment_is_named_and_costs_no_stored_row(place: Path) -> None:
    lake, before = place / "lake", _files(place / "lake")
    segment = _segment_of_hour(place, "20231114-23")
    data = bytearray(segment.read_bytes())
    data[len(data) // 2] ^= 0xFF
    segment.write_bytes(data)
    found = _run(place)
    assert len(found.damage) == 1
    assert segment.name in found.damage[0]
    assert found.changes == []
    assert _files(lake) == before


def test_a_segment_that_is_gone_is_named(place: Path) -> None:
    before = _files(place / "lake")
    segment = _segment_of_hour(place, "20231114-23")
    segment.unlink()
    found = _run(place)
    assert found.damage == [f"{segment.parent}: the segment of 2023-11-14T23 is gone"]
    assert found.changes == []
    assert _files(place / "lake") == before


def test_while_a_collector_is_at_work_it_is_refused(place: Path) -> None:
    recorder = _open(place)
    with pytest.raises(InUseError, match="another process"):
        _run(place)
    recorder.close()


@pytest.mark.parametrize("spoiled", ["part", "nothing", "gone"])
def test_an_open_hour_is_repaired_and_the_recorder_goes_on_from_it(
    recorded: Path, lines: list[bytes], tmp_path: Path, spoiled: str
) -> None:
    at = 2 * len(lines) // 5
    recorder = _open(tmp_path)
    _record(recorder, lines[:at])
    recorder.checkpoint()
    _record(recorder, lines[at : at + 300], block=100)
    recorder.abandon()
    key = _hours(tmp_path / "lake", "aggtrades")[-1]
    parts = part_files(key.folder(tmp_path / "lake"))
    assert parts
    if spoiled == "part":
        _flip(parts[0])
        parts[0].write_bytes(parts[0].read_bytes()[:-9])
    elif spoiled == "gone":
        for part in parts:
            part.unlink()
    found = _run(tmp_path)
    assert [(c.table, c.is_repaired) for c in found.changes] == (
        [] if spoiled == "nothing" else [("aggtrades", True)]
    )
    assert _run(tmp_path).changes == []
    again = _open(tmp_path)
    _record(again, lines[at + 300 :])
    again.close()
    assert audit(tmp_path / "lake") == []
    names = ("aggtrades", "book_depth", "features")
    ours, theirs = _files(tmp_path / "lake"), _files(recorded / "lake")
    assert [
        n for n in theirs if n.split("/")[1] in names and "features" not in n and ours[n] != theirs[n]
    ] == []
    assert _run(tmp_path).changes == []


@pytest.mark.scenario("S11", "a damaged manifest is refused by name, kept, and written anew by a repair")
def test_a_damaged_manifest_is_written_anew_and_kept(recorded: Path, place: Path) -> None:
    folder = _hours(place / "lake", "aggtrades")[1].folder(place / "lake")
    (folder / MANIFEST).write_bytes(b'{"rows": 12')
    (change,) = _run(place).changes
    assert change.why == "its manifest cannot be read"
    assert (folder / f"{MANIFEST}.damaged").read_bytes() == b'{"rows": 12'
    assert audit(place / "lake") == []
    assert _files(place / "lake") == _files(recorded / "lake")


@pytest.mark.scenario(
    "S11", "a manifest of a newer version is refused by name and left alone, also by a repair"
)
def test_a_manifest_of_a_newer_version_is_left_alone(place: Path) -> None:
    folder = _hours(place / "lake", "aggtrades")[1].folder(place / "lake")
    manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_bytes())
    newer = json.dumps({**manifest, "schema_version": "999"}).encode()
    (folder / MANIFEST).write_bytes(newer)
    _flip(folder / DATA)
    data = (folder / DATA).read_bytes()
    (change,) = _run(place).changes
    assert not change.is_repaired
    assert "999" in change.why
    assert ((folder / MANIFEST).read_bytes(), (folder / DATA).read_bytes()) == (newer, data)


PROGRAM = """
import os, signal, sys
from pathlib import Path
from undertow.runtime.rebuild import rebuild

place, fatal = Path(sys.argv[1]), int(sys.argv[2])
replace, count = os.replace, 0

def die(source, target):
    global count
    if "_rebuild" not in str(target):
        if count == fatal:
            os.kill(os.getpid(), signal.SIGKILL)
        count += 1
    replace(source, target)

os.replace = die
rebuild(place / "lake", place / "journal", repair=True)
print("done", count)
"""


@pytest.mark.scenario("S1", "a repair killed between any two renames is finished by the next one")
def test_a_repair_that_was_killed_is_finished_by_the_next(recorded: Path, place: Path) -> None:
    lake = place / "lake"
    spoiled = [_hours(lake, "aggtrades")[0], _hours(lake, "features", "1m")[1]]
    for key in spoiled:
        data = key.folder(lake) / DATA
        write_table(data, read_table(data).slice(1))
    deaths = 0
    for fatal in range(9):
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, str(place), str(fatal)], capture_output=True, check=False
        )
        deaths += done.returncode == -signal.SIGKILL
        for key in spoiled:  # never half a file
            assert read_table(key.folder(lake) / DATA).num_rows
        if done.returncode == 0:
            break
    assert deaths >= 2
    assert _run(place).changes == []
    assert audit(lake) == []
    assert _differing(place, recorded) == []
    assert not (lake / "_rebuild").exists()
