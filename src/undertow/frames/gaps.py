"""How much of each second lies inside a recorded gap."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from undertow.market.events import Gap
from undertow.market.time import SECOND_NS

__all__ = ["covered_ns"]


def covered_ns(gaps: Sequence[Gap], start_ns: int, seconds: int) -> NDArray[np.int64]:
    """(seconds,) ns of each second from `start_ns` on that lie in the union of the gaps' counted parts."""
    covered = np.zeros(seconds, np.int64)
    end_ns = start_ns + seconds * SECOND_NS
    reached = start_ns
    for gap in sorted(gaps, key=lambda g: (g.counted_from_ns, g.counted_to_ns)):
        begin, stop = max(gap.counted_from_ns, reached), min(gap.counted_to_ns, end_ns)
        if begin < stop:
            _add(covered, begin - start_ns, stop - start_ns)
            reached = stop
    return covered


def _add(covered: NDArray[np.int64], begin: int, stop: int) -> None:
    """Add the interval [begin, stop), in ns from the first second, to the seconds it touches."""
    first, last = begin // SECOND_NS, (stop - 1) // SECOND_NS
    if first == last:
        covered[first] += stop - begin
        return
    covered[first] += (first + 1) * SECOND_NS - begin
    covered[first + 1 : last] += SECOND_NS
    covered[last] += stop - last * SECOND_NS
