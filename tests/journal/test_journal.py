import gzip
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from undertow.errors import InputError, LakeError
from undertow.journal.reader import Position, Problem, read_chunks, segments
from undertow.journal.writer import JournalWriter

HOUR = 3600 * 10**9
START = 1_700_000_000_000_000_000


def lines_of(paths: list[Path], start: Position | None = None, chunk_bytes: int = 1 << 22) -> list[bytes]:
    problems: list[Problem] = []
    chunks = read_chunks(paths, start=start, problems=problems, chunk_bytes=chunk_bytes)
    return [line for chunk in chunks for line in chunk.data.splitlines()]


frames = st.lists(st.binary(max_size=60), max_size=40)


@settings(max_examples=40, deadline=None)
@given(frames=frames, flushes=st.sets(st.integers(0, 40)), chunk_bytes=st.integers(1, 300))
def test_what_is_appended_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, frames: list[bytes], flushes: set[int], chunk_bytes: int
) -> None:
    root = tmp_path_factory.mktemp("journal")
    with JournalWriter(root, "venue", "BTCUSDT") as journal:
        written = []
        for i, frame in enumerate(frames):
            written.append(journal.append(START + i, frame).rstrip(b"\n"))
            if i in flushes:
                journal.flush()
        position = journal.position
    paths = segments(root, "venue", "BTCUSDT")
    text = b"".join(gzip.open(path).read() for path in paths)
    assert text == b"".join(line + b"\n" for line in written)
    chunks = list(read_chunks(paths, problems=[], chunk_bytes=chunk_bytes))
    assert b"".join(chunk.data for chunk in chunks) == text
    for chunk in chunks:
        assert chunk.data == b"\n".join([*text.split(b"\n")[chunk.first_line - 1 :]])[: len(chunk.data)]
    if frames:
        assert lines_of(paths, start=position) == []
        assert position.line == len(frames)


@pytest.mark.parametrize("seed", range(12))
def test_a_segment_cut_at_any_byte_gives_whole_lines_and_goes_on(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    with JournalWriter(tmp_path, "venue", "BTCUSDT") as journal:
        for i in range(60):
            journal.append(START + i, b'{"i":%d,"noise":"%x"}' % (i, rng.getrandbits(200)))
            if i % 7 == 0:
                journal.flush()
    (path,) = segments(tmp_path, "venue", "BTCUSDT")
    whole = lines_of([path])
    data = path.read_bytes()
    path.write_bytes(data[: rng.randrange(1, len(data))])
    kept = lines_of([path])
    assert kept == whole[: len(kept)]
    with JournalWriter(tmp_path, "venue", "BTCUSDT") as journal:
        assert journal.position.line == len(kept)
        journal.append(START + 100, b'{"after":1}')
    assert lines_of([path]) == [*kept, b'%d {"after":1}' % (START + 100)]
    assert gzip.open(path).read().count(b"\n") == len(kept) + 1


def test_segments_are_hours_and_time_never_goes_back(tmp_path: Path) -> None:
    with JournalWriter(tmp_path, "venue", "BTCUSDT") as journal:
        for receive_ns in (START, START + HOUR, START + 1, START + 2 * HOUR):
            journal.append(receive_ns, b"{}")
    paths = segments(tmp_path, "venue", "BTCUSDT")
    assert [path.name for path in paths] == ["20231114-22.gz", "20231114-23.gz", "20231115-00.gz"]
    assert [int(line.split()[0]) - START for line in lines_of(paths)] == [0, HOUR, 1, 2 * HOUR]
    assert len(lines_of(paths, start=Position("20231114-23.gz", 1))) == 2


def test_a_frame_stays_one_line(tmp_path: Path) -> None:
    with JournalWriter(tmp_path, "venue", "BTCUSDT") as journal:
        journal.append(START, b'{"a":\r\n1}')
    assert lines_of(segments(tmp_path, "venue", "BTCUSDT")) == [b'%d {"a":  1}' % START]


def test_a_second_writer_is_refused(tmp_path: Path) -> None:
    with JournalWriter(tmp_path, "venue", "BTCUSDT"), pytest.raises(LakeError, match="another collector"):
        JournalWriter(tmp_path, "venue", "BTCUSDT")
    JournalWriter(tmp_path, "venue", "BTCUSDT").close()


def test_a_killed_writer_loses_nothing_that_was_flushed(tmp_path: Path) -> None:
    program = (
        "import sys\nfrom pathlib import Path\nfrom undertow.journal.writer import JournalWriter\n"
        f"journal = JournalWriter(Path({str(tmp_path)!r}), 'venue', 'BTCUSDT')\n"
        "for i in range(10**9):\n"
        f"    journal.append({START} + i, b'{{}}')\n"
        "    if i % 100 == 0:\n"
        "        journal.flush()\n"
        "        print(i, flush=True)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    flushed = 0
    while flushed < 5000:
        flushed = int(process.stdout.readline())
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
    with JournalWriter(tmp_path, "venue", "BTCUSDT") as journal:
        journal.append(START + 10**9, b"{}")
    numbers = [int(line.split()[0]) - START for line in lines_of(segments(tmp_path, "venue", "BTCUSDT"))]
    assert numbers[-1] == 10**9
    assert numbers[:-1] == list(range(len(numbers) - 1))
    assert len(numbers) > flushed


def test_an_unwritable_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LakeError, match="file"):
        JournalWriter(tmp_path / "file", "venue", "BTCUSDT")


@pytest.mark.parametrize(
    ("data", "lines", "problem"),
    [
        (b'1 {}\n2 {"a":1}', 2, ""),
        (b'1 {}\n2 {"a"', 1, "half a line"),
        (b"", 0, ""),
    ],
)
def test_the_last_line_without_its_end(tmp_path: Path, data: bytes, lines: int, problem: str) -> None:
    path = tmp_path / "x.gz"
    path.write_bytes(gzip.compress(data))
    problems: list[Problem] = []
    found = b"".join(chunk.data for chunk in read_chunks([path], problems=problems))
    assert found.count(b"\n") == lines
    assert [problem in str(p) for p in problems] == ([True] if problem else [])


def test_damage_in_the_middle_of_several_files_stops_only_that_file(tmp_path: Path) -> None:
    first, second = tmp_path / "1.gz", tmp_path / "2.gz"
    data = bytearray(gzip.compress(b"".join(b'%d {"x":%d}\n' % (i, i * 7919) for i in range(3000))))
    data[len(data) // 2] ^= 0xFF
    first.write_bytes(data)
    second.write_bytes(gzip.compress(b"9 {}\n"))
    problems: list[Problem] = []
    chunks = list(read_chunks([first, second], problems=problems))
    assert chunks[-1].data == b"9 {}\n"
    assert [p.path for p in problems][:1] == [first]


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"absent\.gz"):
        list(read_chunks([tmp_path / "absent.gz"], problems=[]))
