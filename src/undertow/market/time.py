"""Time is int64 nanoseconds since the Unix epoch, UTC, everywhere inside the house."""

__all__ = [
    "DAY_NS",
    "HOUR_NS",
    "MILLISECOND_NS",
    "MINUTE_NS",
    "SECOND_NS",
    "parse_timeframe",
    "to_nanoseconds",
]

MILLISECOND_NS = 1_000_000
SECOND_NS = 1_000_000_000
MINUTE_NS = 60 * SECOND_NS
HOUR_NS = 3600 * SECOND_NS
DAY_NS = 24 * HOUR_NS

_UNIT_NS = {"s": SECOND_NS, "m": MINUTE_NS, "h": HOUR_NS}


def to_nanoseconds(stamp: int) -> int:
    """A stamp in s, ms, µs or ns since the epoch, told apart by its magnitude, as nanoseconds.

    Right for 1973 to 5138 in every unit, because three decimal digits lie between the units.

    >>> to_nanoseconds(1723161255030) == to_nanoseconds(1723161255030000000)
    True
    """
    magnitude = abs(stamp)
    if magnitude < 10**11:
        return stamp * SECOND_NS
    if magnitude < 10**14:
        return stamp * MILLISECOND_NS
    if magnitude < 10**17:
        return stamp * 1000
    return stamp


def parse_timeframe(text: str) -> int:
    """Length in ns of a timeframe such as `1s`, `5m` or `1h`.

    Raises ValueError unless it is a whole number of seconds that divides a day.

    >>> parse_timeframe("5m") // SECOND_NS
    300
    """
    count, unit = text[:-1], text[-1:]
    if unit not in _UNIT_NS or not count.isdecimal() or int(count) == 0:
        raise ValueError(f"timeframe {text!r}: write a number and s, m or h, such as 1s or 15m")
    length_ns = int(count) * _UNIT_NS[unit]
    if DAY_NS % length_ns:
        raise ValueError(f"timeframe {text!r} does not divide a day")
    return length_ns
