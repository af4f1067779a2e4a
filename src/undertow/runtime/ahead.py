"""Having the next ones ready while one is worked on."""

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

__all__ = ["ahead"]

T = TypeVar("T")

_READY = 2
"""Made in advance: on a busy machine a single one would often not be there in time."""


def ahead(items: Iterable[T]) -> Iterator[T]:
    """The same items in order, the next two made in a thread of its own while one is in use.

    What making one raises is raised where it would come.
    """
    source, end = iter(items), object()
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="ahead") as thread:
        waiting = deque(thread.submit(next, source, end) for _ in range(_READY))
        while (item := waiting.popleft().result()) is not end:
            waiting.append(thread.submit(next, source, end))
            yield item  # type: ignore[misc]
