"""What the commands log, and where."""

import logging
import sys
import time
from collections import Counter, deque
from collections.abc import Callable

import structlog
from structlog.typing import EventDict, WrappedLogger

from undertow.errors import InputError

__all__ = ["LogLimiter", "configure_logs"]


class LogLimiter:
    """Lets an event pass so many times in a while; the next that passes says how many did not (`suppressed`).

    A reconnect storm must not fill the disk that the journal is on.
    """

    def __init__(
        self, most: int = 30, window_s: float = 60.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._most = most
        self._window_s = window_s
        self._clock = clock
        self._passed: dict[str, deque[float]] = {}
        self._suppressed: Counter[str] = Counter()

    def __call__(self, _logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        """The event, or DropEvent."""
        name, now_s = str(event.get("event")), self._clock()
        passed = self._passed.setdefault(name, deque())
        while passed and passed[0] <= now_s - self._window_s:
            passed.popleft()
        if len(passed) >= self._most:
            self._suppressed[name] += 1
            raise structlog.DropEvent
        passed.append(now_s)
        if suppressed := self._suppressed.pop(name, 0):
            event["suppressed"] = suppressed
        return event


def configure_logs(level: str) -> None:
    """Events of `level` and above go to stderr, one a line; InputError for a level that is none."""
    number = logging.getLevelNamesMapping().get(level.upper())
    if number is None:
        raise InputError(f"--log-level {level!r}: choose debug, info, warning or error")
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
        processors=[
            LogLimiter(),
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty()),
        ],
        cache_logger_on_first_use=False,
    )
