"""Numbers for trades that have none: Bybit names a trade by a UUID, which has no order and no successor."""

import msgspec

__all__ = ["TradeIds", "key_of"]

_RANK_BITS = 20
"""Trades of one millisecond that can be told apart: a million."""
_REMEMBERED = 16_384
"""Trades whose copies are recognised; a second connection brings them within seconds."""
_UUID_EXCESS_BITS = 65
_UUID_LENGTH = 36


class _Plain(msgspec.Struct, frozen=True):
    seen: list[int]
    ranks: list[tuple[int, int]]


class TradeIds:
    """Gives each trade of one symbol an int64 that grows with its time and, within it, with its arrival.

    The number is `T << 20 | rank`, `T` the time of the trade [ms] and `rank` its place among the trades of
    that millisecond: it sorts trades as they were made, which bits of the UUID would not. The numbers form
    no chain: that one is missing cannot be told from them.
    """

    def __init__(self) -> None:
        self._seen: dict[int, None] = {}
        self._ranks: dict[int, int] = {}
        self.duplicate_count = 0

    def take(self, key: int, stamp_ms: int) -> int | None:
        """The number of the trade of a `key_of`, or None where it has been taken before."""
        if key in self._seen:
            self.duplicate_count += 1
            return None
        rank = self._ranks.get(stamp_ms, 0)
        self._seen[key] = None
        self._ranks[stamp_ms] = rank + 1
        _forget_oldest(self._seen)
        _forget_oldest(self._ranks)
        return stamp_ms << _RANK_BITS | rank

    def to_bytes(self) -> bytes:
        """Everything carried; `restore` takes it back."""
        return msgspec.msgpack.encode(_Plain(list(self._seen), list(self._ranks.items())))

    def restore(self, state: bytes) -> None:
        """Go on from `to_bytes()`."""
        plain = msgspec.msgpack.decode(state, type=_Plain)
        self._seen = dict.fromkeys(plain.seen)
        self._ranks = dict(plain.ranks)


def key_of(uuid: str) -> int:
    """The first 63 bits of a UUID; raises ValueError where it is none.

    >>> key_of("00000000-0000-0004-0000-000000000000")
    2
    """
    if len(uuid) != _UUID_LENGTH:
        raise ValueError(f"trade id {uuid[:50]!r} is no UUID")
    return int(uuid.replace("-", ""), 16) >> _UUID_EXCESS_BITS


def _forget_oldest(known: "dict[int, int] | dict[int, None]") -> None:
    """Halve what is remembered once it is twice as much as needed."""
    if len(known) >= 2 * _REMEMBERED:
        for key in list(known)[:_REMEMBERED]:
            del known[key]
