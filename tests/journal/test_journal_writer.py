import contextlib
import errno
import gzip
import os
import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.journal.disk import Disk

from undertow.errors import LakeError
from undertow.journal import recover as journal_recover
from undertow.journal.lines import whole_lines
from undertow.journal.reader import Position, Problem, Trouble, read_chunks, segments
from undertow.journal.writer import JournalWriter
from undertow.market.time import HOUR_NS

HOUR_23 = 1723158000 * 10**9  # 2024-08-08 23:00:00 UTC
CONTENT = st.binary(max_size=40).map(lambda content: content.translate(None, b"\r\n"))
STEPS_NS = st.integers(-5, HOUR_NS // 3)
ACTIONS = st.sampled_from(["", "", "flush", "restart"])


def frame(number: int) -> bytes:
    return b'{"stream":"x","data":{"u":%d,"b":[["%d.1","%d"]]}}' % (number, number * 37 % 997, number % 13)


def read_all(root: Path, problems: list[Problem] | None = None) -> list[bytes]:
    found: list[Problem] = []
    data = b"".join(c.data for c in read_chunks(segments(root, "v", "S"), problems=found))
    if problems is None:
        assert found == []
    else:
        problems.extend(found)
    return data.split(b"\n")[:-1]


def line(receive_ns: int, number: int) -> bytes:
    return b"%d %b" % (receive_ns, frame(number))


def test_what_is_flushed_can_be_read_by_another_while_the_segment_is_open(tmp_path: Path) -> None:
    with JournalWriter(tmp_path, "v", "S") as writer:
        assert writer.position == Position("", 0)
        for number in range(1000):
            writer.append(HOUR_23 + number, frame(number))
            if number % 100 == 99:
                writer.flush(sync=number == 999)
                problems: list[Problem] = []
                assert read_all(tmp_path, problems) == [line(HOUR_23 + i, i) for i in range(number + 1)]
                assert [p.trouble for p in problems] == [Trouble.TRUNCATED]
        assert writer.position == Position("20240808-23.gz", 1000)
    assert len(read_all(tmp_path)) == 1000


def test_plain_gzip_reads_what_several_writers_left(tmp_path: Path) -> None:
    for part in range(3):
        with JournalWriter(tmp_path, "v", "S") as writer:
            assert writer.position.line == part * 10
            for number in range(part * 10, part * 10 + 10):
                writer.append(HOUR_23 + number, frame(number))
    with gzip.open(tmp_path / "v" / "S" / "20240808-23.gz", "r") as file:
        assert [text.rstrip(b"\n") for text in file] == [line(HOUR_23 + i, i) for i in range(30)]


def test_segments_turn_with_the_hour_and_never_back(tmp_path: Path) -> None:
    times = [HOUR_23 + HOUR_NS - 1, HOUR_23 + HOUR_NS, HOUR_23 + HOUR_NS - 2, HOUR_23 + 3 * HOUR_NS]
    with JournalWriter(tmp_path, "v", "S") as writer:
        places = []
        for number, receive_ns in enumerate(times):
            writer.append(receive_ns, frame(number))
            places.append(writer.position)
    assert places == [
        Position("20240808-23.gz", 1),
        Position("20240809-00.gz", 1),
        Position("20240809-00.gz", 2),
        Position("20240809-02.gz", 1),
    ]
    assert read_all(tmp_path) == [line(t, i) for i, t in enumerate(times)]
    with JournalWriter(tmp_path, "v", "S") as writer:  # a clock set back over a restart
        writer.append(HOUR_23, frame(4))
        assert writer.position == Position("20240809-02.gz", 2)


def test_a_frame_stays_one_line(tmp_path: Path) -> None:
    with JournalWriter(tmp_path, "v", "S") as writer:
        writer.append(HOUR_23, b'{\r\n  "lastUpdateId": 1\n}')
        writer.append(HOUR_23, b"")
    assert read_all(tmp_path) == [b'%d {    "lastUpdateId": 1 }' % HOUR_23, b"%d " % HOUR_23]


@settings(max_examples=30, deadline=None)
@given(events=st.lists(st.tuples(CONTENT, STEPS_NS, ACTIONS), max_size=60))
def test_round_trip_with_restarts_and_flushes_anywhere(
    tmp_path_factory: pytest.TempPathFactory, events: list[tuple[bytes, int, str]]
) -> None:
    root = tmp_path_factory.mktemp("trip")
    writer = JournalWriter(root, "v", "S")
    now, expected = HOUR_23, []
    for content, step, action in events:
        now += step
        writer.append(now, content)
        expected.append(b"%d %b" % (now, content))
        if action == "flush":
            writer.flush()
        elif action == "restart":
            before = writer.position
            writer.close()
            writer = JournalWriter(root, "v", "S")
            assert writer.position == before
    writer.close()
    assert read_all(root) == expected


def _segment_with_flushes(root: Path, count: int) -> bytes:
    with JournalWriter(root, "v", "S") as writer:
        for number in range(count):
            writer.append(HOUR_23 + number, frame(number))
            if number % 7 == 3:
                writer.flush()
    return (root / "v" / "S" / "20240808-23.gz").read_bytes()


def test_killed_at_any_byte_collection_goes_on_without_loss_or_double(tmp_path: Path) -> None:
    count = 60
    whole = _segment_with_flushes(tmp_path, count)
    path = tmp_path / "v" / "S" / "20240808-23.gz"
    expected = [line(HOUR_23 + i, i) for i in range(count)]
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        survived = read_all(tmp_path, [])
        assert survived == expected[: len(survived)]
        with JournalWriter(tmp_path, "v", "S") as writer:
            assert writer.position.line == len(survived)
            for number in range(len(survived), count):
                writer.append(HOUR_23 + number, frame(number))
        assert read_all(tmp_path) == expected, size
        assert gzip.decompress(path.read_bytes()).split(b"\n")[:-1] == expected


@pytest.mark.scenario("S3", "everything flushed survives a cut right behind it")
def test_everything_flushed_survives_a_cut_right_behind_it(tmp_path: Path) -> None:
    path = tmp_path / "v" / "S" / "20240808-23.gz"
    with JournalWriter(tmp_path, "v", "S") as writer:
        for number in range(50):
            writer.append(HOUR_23 + number, frame(number))
        writer.flush()
        flushed = path.stat().st_size
        writer.append(HOUR_23 + 50, frame(50))
    path.write_bytes(path.read_bytes()[:flushed])
    assert len(read_all(tmp_path, [])) == 50


@pytest.mark.parametrize("tail", [b"\x00" * 700, b"garbage", None])
def test_a_damaged_tail_is_cut_off_on_opening(tmp_path: Path, tail: bytes | None) -> None:
    whole = _segment_with_flushes(tmp_path, 20)
    path = tmp_path / "v" / "S" / "20240808-23.gz"
    path.write_bytes(whole + tail if tail is not None else whole + gzip.compress(b"123 {half"))
    with JournalWriter(tmp_path, "v", "S") as writer:
        assert writer.position.line == 20
        writer.append(HOUR_23 + 20, frame(20))
    assert read_all(tmp_path) == [line(HOUR_23 + i, i) for i in range(21)]


def test_a_foreign_segment_without_its_last_newline_is_completed(tmp_path: Path) -> None:
    path = tmp_path / "v" / "S" / "20240808-23.gz"
    path.parent.mkdir(parents=True)
    path.write_bytes(gzip.compress(line(HOUR_23, 0)))
    with JournalWriter(tmp_path, "v", "S") as writer:
        writer.append(HOUR_23 + 1, frame(1))
        assert writer.position.line == 2
    assert read_all(tmp_path) == [line(HOUR_23, 0), line(HOUR_23 + 1, 1)]


def test_a_crash_during_the_repair_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = _segment_with_flushes(tmp_path, 20)
    path = tmp_path / "v" / "S" / "20240808-23.gz"
    path.write_bytes(whole[:-12])
    before = read_all(tmp_path, [])

    def refuse(*_: Any) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", refuse)
        with pytest.raises(LakeError):
            JournalWriter(tmp_path, "v", "S")
    assert read_all(tmp_path, []) == before
    with JournalWriter(tmp_path, "v", "S") as writer:
        assert writer.position.line == len(before)
    assert read_all(tmp_path) == before
    assert list(path.parent.glob("*.tmp")) == []


CHILD = """
import sys
from pathlib import Path
from undertow.journal.writer import JournalWriter
writer = JournalWriter(Path(sys.argv[1]), "v", "S")
number = writer.position.line
while True:
    writer.append(1723158000 * 10**9 + number, b'{"u":%d}' % number)
    number += 1
    if number % 50 == 0:
        writer.flush()
        print(number, flush=True)
"""


@pytest.mark.scenario("S1", "the journal killed in the middle of a frame")
def test_sigkill_in_the_middle_of_the_stream(tmp_path: Path) -> None:
    generator = random.Random(3)
    survived = 0
    for _ in range(3):
        child = subprocess.Popen([sys.executable, "-c", CHILD, tmp_path], stdout=subprocess.PIPE)
        assert child.stdout is not None
        acknowledged = 0
        for _ in range(generator.randrange(5, 60)):
            acknowledged = int(child.stdout.readline())
        child.send_signal(signal.SIGKILL)
        child.wait()
        child.stdout.close()
        lines = read_all(tmp_path, [])
        assert len(lines) >= acknowledged > survived
        assert lines == [b'%d {"u":%d}' % (HOUR_23 + i, i) for i in range(len(lines))]
        survived = len(lines)
    with JournalWriter(tmp_path, "v", "S") as writer:
        assert writer.position.line == survived


def test_a_second_writer_is_refused_until_the_first_closes(tmp_path: Path) -> None:
    writer = JournalWriter(tmp_path, "v", "S")
    with pytest.raises(LakeError, match="another collector writes journal"):
        JournalWriter(tmp_path, "v", "S")
    JournalWriter(tmp_path, "v", "T").close()
    writer.close()
    writer.close()
    JournalWriter(tmp_path, "v", "S").close()


@pytest.mark.scenario("S6", "a folder that cannot be written: refused by name")
def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "v").write_text("in the way")
    with pytest.raises(LakeError, match=r"v/S cannot be written: .*--journal"):
        JournalWriter(tmp_path, "v", "S")


@pytest.mark.scenario(
    "S4", "the journal on a full disk: keeps what comes, harms nothing, writes it when there is room"
)
def test_a_full_disk_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = Disk(monkeypatch)
    expected = [line(HOUR_23 + i, i) for i in range(400)]
    with JournalWriter(tmp_path, "v", "S") as writer:
        for number in range(400):
            writer.append(HOUR_23 + number, frame(number))
            if number % 100 == 50:
                disk.room = number
            if number % 100 == 90:
                disk.room = None
            if number % 10 == 0:
                if 50 <= number % 100 < 90:
                    with contextlib.suppress(LakeError):
                        writer.flush(sync=number % 3 == 0)
                    assert read_all(tmp_path, []) == expected[: len(read_all(tmp_path, []))]
                else:
                    writer.flush(sync=number % 3 == 0)
                    assert read_all(tmp_path, []) == expected[: number + 1]
    assert read_all(tmp_path) == expected


def test_a_full_disk_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = Disk(monkeypatch)
    writer = JournalWriter(tmp_path, "v", "S")
    writer.append(HOUR_23, frame(0))
    disk.room = 5
    for _ in range(3):
        with pytest.raises(LakeError, match=r"v/S cannot be written: No space left .*free space"):
            writer.flush()
    with pytest.raises(LakeError, match="No space left"):
        writer.close()
    with pytest.raises(LakeError, match="is closed"):
        writer.append(HOUR_23, frame(1))
    disk.room = None
    with JournalWriter(tmp_path, "v", "S") as again:
        assert again.position.line == 0


@pytest.mark.scenario("S5", "a sync that fails: what came since the last one is written again")
def test_what_a_failed_sync_may_have_lost_is_written_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(monkeypatch)
    with JournalWriter(tmp_path, "v", "S") as writer:
        for number in range(300):
            writer.append(HOUR_23 + number, frame(number))
            if number % 20 == 0:
                disk.refuses_sync = number % 60 == 40
                if disk.refuses_sync:
                    with pytest.raises(LakeError, match="Input/output error"):
                        writer.flush(sync=True)
                    # What was in the cache of the system is gone, as the kernel does after such an error.
                    disk.cut_power(tmp_path / "v" / "S")
                else:
                    writer.flush(sync=True)
        disk.refuses_sync = False
    assert read_all(tmp_path) == [line(HOUR_23 + i, i) for i in range(300)]


@pytest.mark.scenario("S3", "a power cut at any moment: all that was synced is there, and nothing false")
@settings(max_examples=60, deadline=None)
@given(
    actions=st.lists(
        st.sampled_from(["line"] * 6 + ["flush", "sync", "mark", "hour", "full", "room"]), max_size=80
    ),
)
def test_a_power_cut_at_any_moment(tmp_path_factory: pytest.TempPathFactory, actions: list[str]) -> None:
    root, now = tmp_path_factory.mktemp("cut"), HOUR_23
    with pytest.MonkeyPatch.context() as patch:
        disk = Disk(patch)
        writer = JournalWriter(root, "v", "S")
        expected: list[bytes] = []
        safe, marked = 0, Position("", 0)
        for number, action in enumerate(actions):
            with contextlib.suppress(LakeError):
                if action == "line":
                    expected.append(writer.append(now, frame(number))[:-1])
                elif action == "mark":
                    marked = writer.mark()
                    safe = len(expected)
                elif action in ("flush", "sync"):
                    writer.flush(sync=action == "sync")
                    safe = len(expected) if action == "sync" else safe
                elif action == "hour":
                    now += HOUR_NS
                else:
                    disk.room = number if action == "full" else None
        writer._close_file()
        os.close(writer._lock)  # the process is gone
        disk.cut_power(root / "v" / "S")
    with JournalWriter(root, "v", "S", marked) as again:
        found = read_all(root)
        assert found == expected[: len(found)]
        assert len(found) >= safe
        again.append(now, b"{}")
    assert read_all(root) == [*found, b"%d {}" % now]
    behind = b"".join(c.data for c in read_chunks(segments(root, "v", "S"), start=marked, problems=[]))
    assert [*found, b"%d {}" % now][-behind.count(b"\n") :] == behind.split(b"\n")[:-1]


def test_after_a_mark_only_what_came_since_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = JournalWriter(tmp_path, "v", "S")
    for number in range(5000):
        writer.append(HOUR_23 + number, frame(number))
    marked = writer.mark()
    assert marked == Position("20240808-23.gz", 5000, (tmp_path / "v/S/20240808-23.gz").stat().st_size)
    assert writer.mark() == marked
    for number in range(5000, 5100):
        writer.append(HOUR_23 + number, frame(number))
    writer.flush()
    writer._close_file()
    os.close(writer._lock)  # killed
    seen: list[int] = []
    scan = whole_lines

    def watched(path: Path, chunk_bytes: int, offset: int = 0) -> Any:
        seen.append(offset)
        return scan(path, chunk_bytes, offset)

    monkeypatch.setattr(journal_recover, "whole_lines", watched)
    with JournalWriter(tmp_path, "v", "S", marked) as again:
        assert again.position.line == 5100
    assert set(seen) == {marked.offset}
    chunks = list(read_chunks(segments(tmp_path, "v", "S"), start=marked, problems=[]))
    assert chunks[0].first_line == 5001
    assert b"".join(c.data for c in chunks).split(b"\n")[:-1] == [
        line(HOUR_23 + i, i) for i in range(5000, 5100)
    ]


def test_a_mark_that_fits_no_more_costs_only_time(tmp_path: Path) -> None:
    with JournalWriter(tmp_path, "v", "S") as writer:
        for number in range(500):
            writer.append(HOUR_23 + number, frame(number))
    for offset in (17, 10**9):
        wrong = Position("20240808-23.gz", 100, offset)
        with JournalWriter(tmp_path, "v", "S", wrong) as again:
            assert again.position.line == 500
        data = b"".join(c.data for c in read_chunks(segments(tmp_path, "v", "S"), start=wrong, problems=[]))
        assert data.count(b"\n") == 400
