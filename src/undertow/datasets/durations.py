"""Lengths of time as people write them on a command line."""

from undertow.errors import InputError
from undertow.market.time import DAY_NS, HOUR_NS, MINUTE_NS, SECOND_NS

__all__ = ["parse_duration"]

UNIT_NS = {"s": SECOND_NS, "m": MINUTE_NS, "h": HOUR_NS, "d": DAY_NS}


def parse_duration(text: str, length_ns: int) -> int:
    """Nanoseconds of `10s`, `5m`, `6h`, `90d` or, in bars of `length_ns`, `500b`; InputError for others.

    >>> parse_duration("500b", SECOND_NS) // SECOND_NS
    500
    """
    count, unit = text[:-1], text[-1:]
    if not count.isdecimal() or int(count) == 0 or unit not in {*UNIT_NS, "b"}:
        raise InputError(
            f"length of time {text!r}: write a whole number and s, m, h, d or b (bars), such as 10s"
        )
    return int(count) * (length_ns if unit == "b" else UNIT_NS[unit])
