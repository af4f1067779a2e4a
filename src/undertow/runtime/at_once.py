"""Work in pieces that do not need each other, a process for each core."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextvars import ContextVar
from datetime import datetime
from multiprocessing.connection import wait as wait_for_end
from multiprocessing.queues import SimpleQueue
from typing import Protocol, TypeVar

import pyarrow as pa

from undertow.errors import UndertowError

__all__ = ["Piece", "Tell", "cores", "jobs_for", "work_off"]

Tell = Callable[[str, datetime], None]
"""Told the symbol that is worked on and the newest time done."""

R_co = TypeVar("R_co", covariant=True)

_LOOK_S = 0.2
"""How often progress is looked at."""
_HOURS_OF_A_WORKER = 12
"""A process needs some two seconds to begin, in which one that runs computes and stores about so many."""


class Piece(Protocol[R_co]):
    """Can be sent to another process."""

    def work(self, tell: Tell) -> R_co:
        """Do it; the result can be sent back."""


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def jobs_for(stored_hours: int) -> int:
    """Processes worth beginning for so many hours of a symbol: on small work they take longer to begin."""
    return min(cores(), 1 + stored_hours // _HOURS_OF_A_WORKER)


def work_off(pieces: Sequence[Piece[R_co]], jobs: int, tell: Tell) -> list[R_co]:
    """Results in the order of the pieces, worked off in at most `jobs` processes; in this one if one will do.

    What a piece raises is raised here, and so is an interrupt, after all workers have been ended. Raises
    UndertowError where a worker was killed.
    """
    if jobs == 1 or len(pieces) <= 1:
        return [piece.work(tell) for piece in pieces]
    context = multiprocessing.get_context("spawn")
    told: SimpleQueue[tuple[str, datetime]] = context.SimpleQueue()
    others = set(multiprocessing.active_children())
    workers = min(jobs, len(pieces))
    with ProcessPoolExecutor(workers, context, initializer=_begin_worker, initargs=(told,)) as pool:
        try:
            running = [pool.submit(_work, piece) for piece in pieces]
            _wait_for(running, told, tell)
            return [_result(future) for future in running]
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for process in set(multiprocessing.active_children()) - others:
                process.terminate()
            raise


def _wait_for(running: Sequence[Future[R_co]], told: "SimpleQueue[tuple[str, datetime]]", tell: Tell) -> None:
    """Pass on what workers tell until all are done, or the first has failed."""
    waiting = set(running)
    while waiting:
        done, waiting = wait(waiting, timeout=_LOOK_S, return_when=FIRST_EXCEPTION)
        while not told.empty():
            tell(*told.get())
        for future in done:
            _result(future)


def _result(future: Future[R_co]) -> R_co:
    try:
        return future.result()
    except BrokenProcessPool as error:
        raise UndertowError(
            "a worker process was killed, most likely because memory ran out; try again with fewer --jobs"
        ) from error


_told: ContextVar["SimpleQueue[tuple[str, datetime]]"] = ContextVar("told")
"""Where a worker says how far it is."""


def _begin_worker(told: "SimpleQueue[tuple[str, datetime]]") -> None:
    """One core, no say in interrupts, and an end when the process that began it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    pa.set_cpu_count(1)
    _told.set(told)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait_for_end([parent.sentinel])
        os._exit(1)


def _work(piece: Piece[R_co]) -> R_co:
    return piece.work(lambda symbol, newest: _told.get().put((symbol, newest)))
