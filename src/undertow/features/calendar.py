"""Time of the day and week at a bar's close, UTC (SPEC 5.6): on circles, so that midnight is no jump.

No flags for the sessions of Asia, Europe and America: crypto has no opening hours, and the hour's two numbers
tell a model all that a flag would. Known in every bar, gaps included.
"""

from math import cos, pi, sin

import numpy as np

from undertow.compiled import kernel
from undertow.features.feature import SIGNED, Feature, Formula, Range
from undertow.features.memory import Floats, Memory
from undertow.frames.frames import Frames
from undertow.market.time import DAY_NS, HOUR_NS, MINUTE_NS

__all__ = ["LINES", "hour_cos", "hour_sin", "minutes_to_funding_8h", "weekday_cos", "weekday_sin"]

_WEEK_NS = 7 * DAY_NS
_MONDAY_NS = 4 * DAY_NS
"""1970-01-05 was a Monday."""

_FUNDING_NS = 8 * HOUR_NS
_HOUR_SIN, _HOUR_COS, _WEEKDAY_SIN, _WEEKDAY_COS, _FUNDING, _ROWS = range(6)


@kernel
def _fold(close_ns: int, length_ns: int, out: Floats) -> None:
    """All rows for each bar; the first closes at `close_ns`.

    One bar after the other: the sine of an array may differ in its last bit with the place in the array.
    """
    for i in range(out.shape[1]):
        day = 2.0 * pi * (close_ns % DAY_NS) / DAY_NS
        week = 2.0 * pi * ((close_ns - _MONDAY_NS) % _WEEK_NS) / _WEEK_NS
        out[_HOUR_SIN, i], out[_HOUR_COS, i] = sin(day), cos(day)
        out[_WEEKDAY_SIN, i], out[_WEEKDAY_COS, i] = sin(week), cos(week)
        out[_FUNDING, i] = (-close_ns % _FUNDING_NS) / MINUTE_NS
        close_ns += length_ns


def _rows(f: Frames, m: Memory) -> Floats:  # noqa: ARG001 - one signature for all features
    """(rows, T)."""
    out = np.empty((_ROWS, len(f.open_ns)))
    _fold(int(f.open_ns[0]) + f.length_ns, f.length_ns, out)
    return out


def hour_sin(f: Frames, m: Memory) -> Floats:
    """Sine of 2π·t, t the share of the UTC day that is over at the close."""
    return m.shared(f, _rows, _HOUR_SIN)


def hour_cos(f: Frames, m: Memory) -> Floats:
    """Cosine of 2π·t, t the share of the UTC day that is over at the close."""
    return m.shared(f, _rows, _HOUR_COS)


def weekday_sin(f: Frames, m: Memory) -> Floats:
    """Sine of 2π·t, t the share of the UTC week from Monday on that is over at the close."""
    return m.shared(f, _rows, _WEEKDAY_SIN)


def weekday_cos(f: Frames, m: Memory) -> Floats:
    """Cosine of 2π·t, t the share of the UTC week from Monday on that is over at the close."""
    return m.shared(f, _rows, _WEEKDAY_COS)


def minutes_to_funding_8h(f: Frames, m: Memory) -> Floats:
    """Minutes from the close to the next 00:00, 08:00 or 16:00 UTC, 0 on the hour itself [min].

    When most perpetuals settle funding; for what the exchange says of this one see the market family.
    """
    return m.shared(f, _rows, _FUNDING)


def _line(name: str, function: Formula, unit: str, bounds: Range) -> Feature:
    return Feature(name, function, unit, bounds, "never", "clock", "SPEC 5.6", mirror="even")


LINES = (
    _line("hour_sin", hour_sin, "share", SIGNED),
    _line("hour_cos", hour_cos, "share", SIGNED),
    _line("weekday_sin", weekday_sin, "share", SIGNED),
    _line("weekday_cos", weekday_cos, "share", SIGNED),
    _line("minutes_to_funding_8h", minutes_to_funding_8h, "min", (0.0, 480.0)),
)
"""In the order of the columns of a feature table."""
