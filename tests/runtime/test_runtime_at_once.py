"""Pieces of work in several processes: results in order, errors as ours, and no process left behind."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.runtime.pieces import Square

from undertow.errors import LakeError
from undertow.runtime.at_once import cores, jobs_for, work_off

WAIT_S = 60.0


def until(is_so: Callable[[], bool]) -> None:
    end_s = time.monotonic() + WAIT_S
    while not is_so():
        assert time.monotonic() < end_s, "waited in vain"
        time.sleep(0.02)


def is_running(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


@pytest.mark.parametrize("jobs", [1, 2])
def test_results_come_in_the_order_of_the_pieces(jobs: int) -> None:
    told: set[str] = set()
    found = work_off([Square(n) for n in range(5)], jobs, lambda symbol, newest: told.add(symbol))
    assert [square for square, _ in found] == [0, 1, 4, 9, 16]
    assert told == {f"S{n}" for n in range(5)}
    assert (os.getpid() in {worker for _, worker in found}) == (jobs == 1)


def test_one_piece_needs_no_other_process() -> None:
    assert work_off([Square(3)], 8, lambda symbol, newest: None) == [(9, os.getpid())]
    assert work_off([], 8, lambda symbol, newest: None) == []


def test_what_a_piece_raises_is_raised() -> None:
    with pytest.raises(LakeError, match="no root: -1"):
        work_off([Square(2), Square(-1)], 2, lambda symbol, newest: None)


def test_small_work_is_not_worth_a_process() -> None:
    assert [jobs_for(hours) for hours in (0, 11)] == [1, 1]
    assert jobs_for(10_000) == cores()


@pytest.fixture
def endless(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], list[int]]]:
    """A process with two workers that never end, and their ids."""
    files = [tmp_path / name for name in ("first", "second")]
    command = [sys.executable, "-m", "tests.runtime.pieces", *map(str, files)]
    root = Path(__file__).parents[2]
    with subprocess.Popen(command, stderr=subprocess.PIPE, cwd=root) as process:
        try:
            until(lambda: all(file.exists() for file in files))
            yield process, [int(file.read_text()) for file in files]
        finally:
            process.kill()


def test_an_interrupt_ends_all(endless: tuple[subprocess.Popen[bytes], list[int]]) -> None:
    process, workers = endless
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=WAIT_S)
    assert process.returncode == 130, said
    assert b"Traceback" not in said
    assert not any(map(is_running, workers))


def test_workers_end_with_a_process_that_is_killed(
    endless: tuple[subprocess.Popen[bytes], list[int]],
) -> None:
    process, workers = endless
    process.kill()
    until(lambda: not any(map(is_running, workers)))


def test_a_worker_that_is_killed_is_an_error_that_says_what_to_do(
    endless: tuple[subprocess.Popen[bytes], list[int]],
) -> None:
    process, workers = endless
    os.kill(workers[0], signal.SIGKILL)
    _, said = process.communicate(timeout=WAIT_S)
    assert b"UndertowError: a worker process was killed" in said
    assert not is_running(workers[1])
