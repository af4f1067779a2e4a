"""What the commands log, and where."""

import logging
import sys

import structlog

from undertow.errors import InputError

__all__ = ["configure_logs"]


def configure_logs(level: str) -> None:
    """Events of `level` and above go to stderr, one a line; InputError for a level that is none."""
    number = logging.getLevelNamesMapping().get(level.upper())
    if number is None:
        raise InputError(f"--log-level {level!r}: choose debug, info, warning or error")
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty()),
        ],
        cache_logger_on_first_use=False,
    )
