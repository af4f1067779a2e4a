"""Request weight, bans and connection attempts, as the exchange counts them for each address (PROTOCOL A4).

All on the wall clock: a window is a minute that begins when the minute does. Who goes over the limit gets
429 until the window ends; who asks on regardless is banned and gets 418, each time for twice as long.
"""

import math
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field

__all__ = ["Limits", "Verdict"]

_FORGIVEN_REQUESTS = 5
"""After a 429; they may have been on their way already."""
_FIRST_BAN_S = 120.0
_LONGEST_BAN_S = 3 * 86_400.0
_CONNECTION_WINDOW_S = 300.0
_WINDOW_S = 60.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of a request."""

    used: int
    """Weight used in this window."""
    status: int = 200
    """200, 429 or 418."""
    retry_after_s: int = 0
    until_ms: int = 0
    """When a ban ends [ms since the epoch, wall clock]."""


@dataclass(slots=True)
class _Address:
    """What one address has done."""

    window: int = -1
    used: int = 0
    refused: int = 0
    """Requests since the first 429 of the window."""
    bans: int = 0
    banned_until_s: float = 0.0
    told_until_s: float = 0.0
    """It was told to wait until then."""
    connections: deque[float] = field(default_factory=deque)


class Limits:
    """The limits of one exchange. `violations` counts what a well-behaved client never does.

    weight: requests over the limit; told_to_wait: requests before the end of a wait they were told of;
    banned: requests during a ban; connections: attempts over the limit; messages and streams: sockets.
    """

    def __init__(
        self,
        weight_per_window: int,
        connections_per_window: int,
        *,
        is_enforced: bool = True,
        scale: float = 1.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.weight_per_window = weight_per_window
        self.violations: Counter[str] = Counter()
        self._connections_per_window = connections_per_window
        self._is_enforced = is_enforced
        self._scale = scale
        self._clock = clock
        self._addresses: dict[str, _Address] = {}

    def admit(self, address: str, weight: int) -> Verdict:
        """Count a request and judge it."""
        now_s = self._clock()
        known = self._known(address, now_s)
        if now_s < known.told_until_s:
            self.violations["told_to_wait"] += 1
        if not self._is_enforced:
            known.used += weight
            self.violations["weight"] += known.used > self.weight_per_window
            return Verdict(known.used)
        if now_s < known.banned_until_s:
            self.violations["banned"] += 1
            return self._refused(known, now_s, 418, known.banned_until_s)
        known.used += weight
        if known.used <= self.weight_per_window:
            return Verdict(known.used)
        self.violations["weight"] += 1
        known.refused += 1
        if known.refused <= 1 + _FORGIVEN_REQUESTS:
            return self._refused(known, now_s, 429, (known.window + 1) * _WINDOW_S * self._scale)
        ban_s = min(_LONGEST_BAN_S, _FIRST_BAN_S * 2**known.bans) * self._scale
        known.bans += 1
        known.banned_until_s = now_s + ban_s
        return self._refused(known, now_s, 418, known.banned_until_s)

    def _refused(self, known: _Address, now_s: float, status: int, until_s: float) -> Verdict:
        # The wait that is told is whole seconds; from its end on the address is served again.
        wait_s = max(1, math.ceil(until_s - now_s))
        return Verdict(known.used, status, wait_s, round(until_s * 1000))

    def tell_to_wait(self, address: str, wait_s: float) -> None:
        """Take note that an answer told an address to wait: a request before that is a violation."""
        now_s = self._clock()
        known = self._known(address, now_s)
        known.told_until_s = max(known.told_until_s, now_s + wait_s)

    def add_weight(self, weight: int) -> None:
        """Let another process of each address known use up weight."""
        now_s = self._clock()
        for address in self._addresses:
            self._known(address, now_s).used += weight

    def connect(self, address: str) -> bool:
        """Count an attempt to open a socket; whether it is let in."""
        now_s = self._clock()
        times = self._known(address, now_s).connections
        while times and times[0] <= now_s - _CONNECTION_WINDOW_S * self._scale:
            times.popleft()
        times.append(now_s)
        if len(times) <= self._connections_per_window:
            return True
        self.violations["connections"] += 1
        return not self._is_enforced

    def _known(self, address: str, now_s: float) -> _Address:
        known = self._addresses.setdefault(address, _Address())
        window = int(now_s // (_WINDOW_S * self._scale))
        if window != known.window:
            known.window, known.used, known.refused = window, 0, 0
        return known
