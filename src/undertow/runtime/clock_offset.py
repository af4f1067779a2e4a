"""How far the exchange's clock is ahead of ours, and how sure that is. It places no event: it is recorded.

One probe asks for the exchange's time between two looks at our clock. Whatever the way there and back took,
the true offset lies within half of it around `server − (send + receive)/2`. Of the probes of the last minutes
the one with the shortest way says most; its error grows with age, as clocks drift apart.
"""

from collections import deque
from dataclasses import dataclass, field

from undertow.market.time import MILLISECOND_NS, SECOND_NS
from undertow.venues.answers import TimeProbe

__all__ = ["ClockOffset", "Offset"]

_DRIFT = 50e-6
"""Parts per million by which two common clocks drift apart at most."""
_RESOLUTION_NS = MILLISECOND_NS
"""The exchange states whole milliseconds."""


@dataclass(frozen=True, slots=True)
class Offset:
    """exchange − local [ns], within ± error_ns."""

    offset_ns: int
    error_ns: int
    rtt_ns: int


@dataclass(slots=True)
class ClockOffset:
    """Keeps the probes of a window. `add` each probe, then `estimate`."""

    window_ns: int = 600 * SECOND_NS
    _probes: deque[TimeProbe] = field(default_factory=deque)

    def add(self, probe: TimeProbe) -> None:
        """Take a probe into account. One that contradicts the others says that a clock was set: they go."""
        if self._probes:
            before, now = self.estimate(probe.receive_ns), _of(probe)
            if abs(before.offset_ns - now.offset_ns) > before.error_ns + now.error_ns:
                self._probes.clear()
        self._probes.append(probe)
        while probe.receive_ns - self._probes[0].receive_ns > self.window_ns:
            self._probes.popleft()

    def estimate(self, now_ns: int) -> Offset:
        """The offset as it is known at `now_ns`; raises ValueError before the first probe."""
        if not self._probes:
            raise ValueError("no probe of the exchange's clock yet")
        return min((_aged(_of(probe), now_ns - probe.receive_ns) for probe in self._probes), key=_error)


def _of(probe: TimeProbe) -> Offset:
    rtt_ns = probe.receive_ns - probe.send_ns
    middle_ns = (probe.send_ns + probe.receive_ns) // 2
    offset_ns = probe.server_ms * MILLISECOND_NS + _RESOLUTION_NS // 2 - middle_ns
    return Offset(offset_ns, rtt_ns // 2 + _RESOLUTION_NS // 2, rtt_ns)


def _aged(offset: Offset, age_ns: int) -> Offset:
    return Offset(offset.offset_ns, offset.error_ns + int(abs(age_ns) * _DRIFT), offset.rtt_ns)


def _error(offset: Offset) -> int:
    return offset.error_ns
