"""Logs: an event that comes too often is counted instead of written."""

import pytest
import structlog

from undertow.cli.logs import LogLimiter


@pytest.mark.scenario("X6", "a flood of one event: written so often a minute, the rest counted; others pass")
def test_a_flood_is_limited() -> None:
    now = [0.0]
    written: list[dict[str, object]] = []

    def keep(_logger: object, _method: str, event: structlog.typing.EventDict) -> str:
        written.append(dict(event))
        return ""

    limiter = LogLimiter(most=3, window_s=60.0, clock=lambda: now[0])
    log = structlog.wrap_logger(
        structlog.PrintLogger(),
        processors=[limiter, keep],
        wrapper_class=structlog.make_filtering_bound_logger(0),
    )
    for number in range(1000):
        log.warning("reconnecting", number=number)
    log.warning("other")
    now[0] = 61.0
    log.warning("reconnecting", number=1000)
    log.warning("reconnecting", number=1001)
    assert [(event["event"], event.get("suppressed")) for event in written] == [
        *[("reconnecting", None)] * 3,
        ("other", None),
        ("reconnecting", 997),
        ("reconnecting", None),
    ]
