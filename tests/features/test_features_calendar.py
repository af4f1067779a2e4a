"""Time of the day and week, worked by hand."""

from datetime import UTC, datetime
from math import sqrt
from typing import Any

import numpy as np
import pytest

from tests.features.frames_factory import blank
from undertow.features.catalogue import feature_set
from undertow.features.engine import FeatureEngine
from undertow.market.time import HOUR_NS, MINUTE_NS


def closing_at(closes: list[datetime], length_ns: int) -> dict[str, Any]:
    """Features of bars that close at these times, one by one."""
    family, found = feature_set("calendar"), []
    for close in closes:
        open_ns = int(close.timestamp()) * 10**9 - length_ns
        frames = blank(1, length_ns, open_ns=np.array([open_ns]), trade_gap_ns=[length_ns])
        found.append(FeatureEngine(family, length_ns).push(frames).row(0))
    return {name: [row[name] for row in found] for name in found[0]}


def test_the_hour_is_a_circle() -> None:
    found = closing_at([datetime(2024, 8, 9, hour, tzinfo=UTC) for hour in (0, 3, 6, 12, 18)], MINUTE_NS)
    assert found["hour_sin"] == pytest.approx([0, sqrt(0.5), 1, 0, -1], abs=1e-12)
    assert found["hour_cos"] == pytest.approx([1, sqrt(0.5), 0, -1, 0], abs=1e-12)


def test_the_week_is_a_circle_that_begins_on_monday() -> None:
    """2024-08-05 was a Monday; 42 hours are a quarter of a week."""
    days = [
        datetime(2024, 8, 5, tzinfo=UTC),
        datetime(2024, 8, 6, 18, tzinfo=UTC),
        datetime(2024, 8, 8, 12, tzinfo=UTC),
    ]
    found = closing_at(days, HOUR_NS)
    assert found["weekday_sin"] == pytest.approx([0, 1, 0], abs=1e-12)
    assert found["weekday_cos"] == pytest.approx([1, 0, -1], abs=1e-12)


def test_minutes_to_funding() -> None:
    times = [(0, 0), (0, 1), (7, 59), (8, 0), (15, 30), (16, 1)]
    found = closing_at([datetime(2024, 8, 9, *time, tzinfo=UTC) for time in times], MINUTE_NS)
    assert found["minutes_to_funding_8h"] == [0, 479, 1, 0, 30, 479]
