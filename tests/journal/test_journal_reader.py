import gzip
import random
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from undertow.errors import InputError
from undertow.journal.reader import Position, Problem, Trouble, read_chunks, segments

LINES = [b'%d {"u":%d,"p":"%d.5"}' % (10**18 + i * 7919, i, i * i % 1013) for i in range(400)]
TEXT = b"".join(line + b"\n" for line in LINES)


def read(path: Path, **options: object) -> tuple[bytes, list[Problem]]:
    problems: list[Problem] = []
    data = b"".join(c.data for c in read_chunks([path], problems=problems, **options))  # type: ignore[arg-type]
    return data, problems


def put(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def is_prefix_of_lines(data: bytes) -> bool:
    return TEXT.startswith(data) and (not data or data.endswith(b"\n"))


@pytest.mark.parametrize("chunk_bytes", [1, 50, 1000, 1 << 22])
def test_several_members_in_chunks_of_any_size(tmp_path: Path, chunk_bytes: int) -> None:
    cut = TEXT.index(b"\n", 3000) - 7  # members need not end at a line's end
    path = put(tmp_path / "a.gz", gzip.compress(TEXT[:cut]) + gzip.compress(TEXT[cut:]))
    problems: list[Problem] = []
    chunks = list(read_chunks([path], chunk_bytes=chunk_bytes, problems=problems))
    assert b"".join(c.data for c in chunks) == TEXT
    assert problems == []
    line = 1
    for chunk in chunks:
        assert chunk.first_line == line
        line += chunk.data.count(b"\n")


def test_many_small_members_make_few_chunks(tmp_path: Path) -> None:
    path = put(tmp_path / "a.gz", b"".join(gzip.compress(line + b"\n") for line in LINES))
    sizes = [len(c.data) for c in read_chunks([path], chunk_bytes=4000, problems=[])]
    assert sum(sizes) == len(TEXT)
    assert len(sizes) <= len(TEXT) // 4000 + 1


def test_a_highly_compressed_member_stays_within_the_chunk_size(tmp_path: Path) -> None:
    text = (b"1 " + b"a" * 97 + b"\n") * 300_000
    path = put(tmp_path / "a.gz", gzip.compress(text))
    problems: list[Problem] = []
    sizes = [len(c.data) for c in read_chunks([path], chunk_bytes=1 << 20, problems=problems)]
    assert sum(sizes) == len(text)
    assert max(sizes) <= (1 << 20) + 100


def test_plain_text_and_zstd(tmp_path: Path) -> None:
    assert read(put(tmp_path / "a.txt", TEXT)) == (TEXT, [])
    whole = pa.compress(TEXT, codec="zstd", asbytes=True)
    assert read(put(tmp_path / "a.zst", whole)) == (TEXT, [])
    data, problems = read(put(tmp_path / "b.zst", whole[: len(whole) // 2]))
    assert is_prefix_of_lines(data)
    assert [p.trouble for p in problems] == [Trouble.TRUNCATED]


def test_cut_at_every_byte_gives_all_whole_lines_that_zlib_can_read(tmp_path: Path) -> None:
    import zlib

    whole = gzip.compress(TEXT, 1)
    for size in range(1, len(whole)):
        data, problems = read(put(tmp_path / "a.gz", whole[:size]))
        readable = zlib.decompressobj(31).decompress(whole[:size]) if size > 3 else b""
        assert data == readable[: readable.rfind(b"\n") + 1], size
        assert len(problems) == 1, size
        assert problems[0].line == data.count(b"\n") + 1


def test_a_flipped_byte_is_reported_and_costs_only_what_follows(tmp_path: Path) -> None:
    whole = gzip.compress(TEXT)
    generator = random.Random(5)
    for at in generator.sample(range(2, len(whole)), 60):
        broken = bytearray(whole)
        broken[at] ^= 0xFF
        data, problems = read(put(tmp_path / "a.gz", bytes(broken)))
        header = 4 <= at < 10  # time, flags and system: some of them carry nothing
        assert problems or (header and data == TEXT), at
        if len(problems) == 1 and not data.endswith(TEXT[-20:]):
            assert problems[0].trouble in {Trouble.CORRUPT, Trouble.TRUNCATED}


def test_a_wrong_checksum_still_gives_every_line(tmp_path: Path) -> None:
    whole = bytearray(gzip.compress(TEXT))
    whole[-6] ^= 1
    data, problems = read(put(tmp_path / "a.gz", bytes(whole)))
    assert data == TEXT
    assert [p.trouble for p in problems] == [Trouble.CORRUPT]


def test_padding_and_garbage_behind_a_member(tmp_path: Path) -> None:
    whole = gzip.compress(TEXT)
    assert read(put(tmp_path / "a.gz", whole + bytes(5000))) == (TEXT, [])
    data, problems = read(put(tmp_path / "a.gz", whole + b"oops"))
    assert data == TEXT
    assert problems[0].trouble is Trouble.CORRUPT


def test_a_gz_file_without_gzip_content_is_a_problem_and_an_empty_one_is_not(tmp_path: Path) -> None:
    data, problems = read(put(tmp_path / "a.gz", bytes(100)))
    assert data == b""
    assert problems[0].trouble is Trouble.CORRUPT
    assert read(put(tmp_path / "b.gz", b"")) == (b"", [])


def test_a_last_line_without_newline(tmp_path: Path) -> None:
    assert read(put(tmp_path / "a.gz", gzip.compress(TEXT[:-1]))) == (TEXT, [])
    data, problems = read(put(tmp_path / "a.gz", gzip.compress(TEXT[:-2])))
    assert data == TEXT[: TEXT[:-1].rfind(b"\n") + 1]
    assert [(p.trouble, p.line) for p in problems] == [(Trouble.HALF_LINE, 400)]


def test_damage_in_one_file_does_not_stop_the_next(tmp_path: Path) -> None:
    whole = gzip.compress(TEXT)
    paths = [put(tmp_path / "a.gz", whole[:-30]), put(tmp_path / "b.gz", whole)]
    problems: list[Problem] = []
    chunks = list(read_chunks(paths, problems=problems))
    assert b"".join(c.data for c in chunks if c.path == paths[1]) == TEXT
    assert [p.path for p in problems] == [paths[0]]
    assert str(problems[0]).startswith(f"{paths[0]}:{problems[0].line}: ends inside")


def test_missing_and_unreadable_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere\.gz: No such file"):
        read(tmp_path / "nowhere.gz")
    with pytest.raises(InputError, match="Is a directory"):
        read(tmp_path)


@settings(max_examples=40)
@given(file=st.integers(0, 2), line=st.integers(0, 30), chunk_bytes=st.integers(1, 400))
def test_start_anywhere(
    tmp_path_factory: pytest.TempPathFactory, file: int, line: int, chunk_bytes: int
) -> None:
    folder = tmp_path_factory.mktemp("start")
    paths = []
    for number in range(3):
        lines = LINES[number * 30 : number * 30 + 30]
        paths.append(put(folder / f"20240808-0{number}.gz", gzip.compress(b"\n".join(lines) + b"\n")))
    problems: list[Problem] = []
    start = Position(paths[file].name, line)
    chunks = list(read_chunks(paths, start=start, chunk_bytes=chunk_bytes, problems=problems))
    assert b"".join(c.data for c in chunks).split(b"\n")[:-1] == LINES[file * 30 + line : 90]
    assert not problems
    if line < 30:
        assert (chunks[0].path, chunks[0].first_line) == (paths[file], line + 1)


def test_start_beyond_the_end_or_in_a_missing_segment(tmp_path: Path) -> None:
    path = put(tmp_path / "20240808-00.gz", gzip.compress(TEXT))
    data, problems = read(path, start=Position(path.name, 401))
    assert data == b""
    assert [p.trouble for p in problems] == [Trouble.SHORT]
    with pytest.raises(InputError, match=r"20240807-00\.gz is missing"):
        read(path, start=Position("20240807-00.gz", 1))
    assert read(path, start=Position("", 0)) == (TEXT, [])


def test_segments_are_sorted_and_names_are_checked(tmp_path: Path) -> None:
    folder = tmp_path / "v" / "S"
    folder.mkdir(parents=True)
    for name in ("20240809-00.gz", "20240808-23.gz", "20240808-22.zst", "20240808-23.gz.tmp", ".lock"):
        (folder / name).touch()
    names = [p.name for p in segments(tmp_path, "v", "S")]
    assert names == ["20240808-22.zst", "20240808-23.gz", "20240809-00.gz"]
    assert segments(tmp_path, "v", "T") == []
    with pytest.raises(InputError, match="cannot name"):
        segments(tmp_path, "..", "S")
