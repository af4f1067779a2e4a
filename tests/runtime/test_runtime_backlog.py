"""The queue before the journal: order, bound, and what a crash leaves."""

import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from undertow.errors import LakeError
from undertow.runtime.backlog import Backlog


def drain(backlog: Backlog, most_bytes: int = 1 << 23) -> list[tuple[int, bytes]]:
    found: list[tuple[int, bytes]] = []
    while taken := backlog.take(most_bytes):
        found += taken
    return found


def test_what_fits_touches_no_disk(tmp_path: Path) -> None:
    backlog = Backlog(tmp_path / "spill" / "S.lines")
    for number in range(100):
        backlog.put(number, b"x %d" % number)
    assert len(backlog) == 100
    assert drain(backlog) == [(n, b"x %d" % n) for n in range(100)]
    assert not (tmp_path / "spill").exists()


@settings(max_examples=60, deadline=None)
@given(steps=st.lists(st.sampled_from(["put", "put", "put", "take", "one", "reopen"]), max_size=120))
def test_first_in_first_out_whatever_the_bound(
    tmp_path_factory: pytest.TempPathFactory, steps: list[str]
) -> None:
    path = tmp_path_factory.mktemp("backlog") / "S.lines"
    backlog = Backlog(path, limit_bytes=500)
    put: list[tuple[int, bytes]] = []
    taken: list[tuple[int, bytes]] = []
    for number, step in enumerate(steps):
        if step == "put":
            put.append((number, b"frame %d" % number))
            backlog.put(*put[-1])
        elif step == "reopen":
            backlog.close()
            assert path.exists() == (len(put) > len(taken))
            backlog = Backlog(path, limit_bytes=500)
        else:
            taken += backlog.take(1 if step == "one" else 300)
        assert put[: len(taken)] == taken
    assert taken + drain(backlog) == put
    assert not path.exists()


def test_lines_that_were_taken_and_not_written_come_first_again(tmp_path: Path) -> None:
    backlog = Backlog(tmp_path / "S.lines", limit_bytes=200)
    for number in range(10):
        backlog.put(number, b"{}")
    taken = backlog.take(100)
    backlog.close([b"%d %b\n" % pair for pair in taken])
    assert drain(Backlog(tmp_path / "S.lines")) == [(n, b"{}") for n in range(10)]


def test_a_line_cut_off_by_a_crash_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "S.lines").write_bytes(b"1 {}\n2 {}\n3 {")
    assert drain(Backlog(tmp_path / "S.lines")) == [(1, b"{}"), (2, b"{}")]


def test_no_room_there_either_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    backlog = Backlog(tmp_path / "file" / "S.lines", limit_bytes=100)
    backlog.put(1, b"{}" * 100)
    with pytest.raises(LakeError, match=r"S.lines cannot take them: .*--spill"):
        backlog.put(2, b"{}")


def test_one_thread_puts_while_another_takes(tmp_path: Path) -> None:
    backlog = Backlog(tmp_path / "S.lines", limit_bytes=2000)
    taken: list[tuple[int, bytes]] = []
    over = threading.Event()

    def take() -> None:
        while not over.is_set():
            taken.extend(backlog.take(500))

    thread = threading.Thread(target=take)
    thread.start()
    for number in range(20_000):
        backlog.put(number, b"frame %d" % number)
    over.set()
    thread.join()
    taken += drain(backlog)
    assert taken == [(n, b"frame %d" % n) for n in range(20_000)]
