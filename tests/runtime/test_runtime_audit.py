import json
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from undertow.errors import LakeError
from undertow.runtime.audit import GENESIS, AuditLog, read_records, verify


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "audit" / "decisions.jsonl"


def fill(log: AuditLog, count: int = 5) -> AuditLog:
    for number in range(count):
        log.append("decision", {"number": number, "text": "naïve"})
    return log


def write(path: Path, count: int = 5) -> str:
    """A log of `count` records; returns its head."""
    with AuditLog(path, durable=False) as log:
        return fill(log, count).head


def test_a_record_is_on_disk_before_append_returns(path: Path) -> None:
    with AuditLog(path) as log:
        assert log.append("decision", {"side": "buy"}) == 0
        line = json.loads(path.read_bytes())
    assert (line["sequence"], line["previous"], line["kind"]) == (0, GENESIS, "decision")
    assert line["payload"] == {"side": "buy"}
    assert line["hash"] == log.head


def test_a_whole_log_verifies_and_reads_back(path: Path) -> None:
    head = write(path)
    assert verify(path) is None
    assert verify(path, head=head) is None
    records = read_records(path)
    assert [record.payload["number"] for record in records] == [0, 1, 2, 3, 4]
    assert [record.previous for record in records[1:]] == [record.hash for record in records[:-1]]


def test_opening_again_continues_the_chain(path: Path) -> None:
    write(path)
    with AuditLog(path) as log:
        assert log.next_sequence == 5
        log.append("decision", {"number": 5})
    assert verify(path) is None
    assert len(read_records(path)) == 6


def test_the_same_records_give_the_same_chain(path: Path, tmp_path: Path) -> None:
    assert write(path) == write(tmp_path / "other.jsonl")


def test_edit_delete_insert_reorder_and_cut_name_the_first_bad_record(path: Path) -> None:
    write(path)
    lines = path.read_bytes().splitlines(keepends=True)
    edited = lines[2].replace(b'"number":2', b'"number":7')
    damaged = {
        "edited": ([*lines[:2], edited, *lines[3:]], 2),
        "deleted": ([*lines[:2], *lines[3:]], 2),
        "deleted first": (lines[1:], 0),
        "inserted twice": ([*lines[:2], lines[1], *lines[2:]], 2),
        "reordered": ([lines[0], lines[2], lines[1], *lines[3:]], 1),
        "cut within a line": ([*lines[:4], lines[4][:-9]], 4),
        "end of line lost": ([*lines[:4], lines[4][:-1]], 4),
        "empty line": ([*lines[:3], b"\n", *lines[3:]], 3),
    }
    for name, (content, first_bad) in damaged.items():
        path.write_bytes(b"".join(content))
        assert verify(path) == first_bad, name


def test_records_cut_off_the_end_are_missed_only_against_a_head_kept_elsewhere(path: Path) -> None:
    head = write(path)
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:3]))
    assert verify(path) is None
    assert verify(path, head=head) == 3


def test_an_empty_log_is_whole(path: Path) -> None:
    with AuditLog(path) as log:
        assert log.head == GENESIS
    assert verify(path, head=GENESIS) is None


@given(position=st.integers(0, 10**6), flip=st.integers(1, 255))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_changed_byte_is_found(path: Path, position: int, flip: int) -> None:
    path.unlink(missing_ok=True)
    write(path, 3)
    content = bytearray(path.read_bytes())
    position %= len(content)
    content[position] ^= flip
    path.write_bytes(content)
    assert verify(path) == content[:position].count(b"\n")


@given(cut=st.integers(1, 10**6))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_after_a_crash_at_any_byte_the_log_goes_on(path: Path, cut: int) -> None:
    path.unlink(missing_ok=True)
    torn_path = path.with_name("decisions.jsonl.torn")
    torn_path.unlink(missing_ok=True)
    write(path, 3)
    content = path.read_bytes()
    kept = content[: cut % (len(content) + 1)]
    path.write_bytes(kept)
    whole, torn = kept.count(b"\n"), kept[kept.rfind(b"\n") + 1 :]
    with AuditLog(path, durable=False) as log:
        log.append("decision", {"number": "after"})
    assert verify(path) is None
    records = read_records(path)
    assert [record.kind for record in records[whole:]] == (["tail_set_aside"] if torn else []) + ["decision"]
    if torn:
        assert torn_path.read_bytes() == torn + b"\n"
        assert records[whole].payload == {"bytes": len(torn), "file": "decisions.jsonl.torn"}


def test_a_broken_log_is_not_written_to(path: Path) -> None:
    write(path)
    broken = path.read_bytes().replace(b'"number":1', b'"number":9')
    path.write_bytes(broken)
    with pytest.raises(LakeError, match="record 1"):
        AuditLog(path)
    with pytest.raises(LakeError, match="record 1"):
        read_records(path)
    assert path.read_bytes() == broken


def test_after_a_failed_write_nothing_is_recorded_any_more(path: Path) -> None:
    log = fill(AuditLog(path, durable=False))
    log.close()
    with pytest.raises(LakeError, match="nothing may act"):
        log.append("decision", {})
    assert len(read_records(path)) == 5


@contextmanager
def disk_full_after(size: int) -> Iterator[None]:
    """Files of this process may not grow beyond `size` bytes, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("room", [0, 10])
def test_a_full_disk_is_reported_and_stops_the_log(path: Path, room: int) -> None:
    log = fill(AuditLog(path, durable=False))
    with disk_full_after(path.stat().st_size + room), pytest.raises(LakeError, match="free"):
        log.append("decision", {})
    with pytest.raises(LakeError, match="nothing may act"):
        log.append("decision", {})
    log.close()
    with AuditLog(path, durable=False) as again:
        assert again.next_sequence == (6 if room else 5)
    assert verify(path) is None


def test_a_directory_that_cannot_be_made_is_reported(tmp_path: Path) -> None:
    blocker = tmp_path / "file"
    blocker.write_text("")
    with pytest.raises(LakeError, match="audit log"):
        AuditLog(blocker / "decisions.jsonl")
