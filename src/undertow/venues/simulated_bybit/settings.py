"""How the simulated Bybit runs, and what goes wrong there."""

from collections.abc import Sequence
from dataclasses import dataclass

from undertow.errors import InputError
from undertow.venues.simulated.listings import Listing
from undertow.venues.simulated.settings import DEFAULT_START_MS

__all__ = ["FAULTS", "BybitSettings", "Fault"]

FAULTS = ("drop", "disconnect", "snapshot", "restart", "refuse")


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that goes wrong at `at_s` simulated seconds.

    `drop`: the next `count` frames of the topics that begin with `topic` reach nobody. `disconnect`: the
    `count` oldest sockets are cut, 0: all. `snapshot`: the next push of every book is a snapshot. `restart`:
    the same, and update ids begin at 1 again. `refuse`: the next `count` requests are answered with an error.
    """

    kind: str
    at_s: float
    count: int = 1
    topic: str = "orderbook."

    def __post_init__(self) -> None:
        """Raises InputError for a fault that there is not."""
        if self.kind not in FAULTS:
            raise InputError(f"fault {self.kind!r} is unknown; choose one of {', '.join(FAULTS)}")


@dataclass(frozen=True, slots=True)
class BybitSettings:
    """The same settings give the same market. Times in seconds."""

    listings: Sequence[Listing]
    start_ms: int = DEFAULT_START_MS
    seed: int = 1
    signal: float = 0.0
    activity: float = 1.0
    """Factor on the rates at which participants act."""
    speed: float | None = 1.0
    """Simulated seconds per second at most; None: as fast as the clients read."""
    duration_s: float | None = None
    """Simulated seconds until it closes its sockets; None: never."""
    faults: Sequence[Fault] = ()
    args_per_request: int = 10
    """Topics of one request; more are refused."""
    silence_s: float | None = None
    """Seconds of the wall clock without a ping after which a socket is cut; None: never."""
    requests_per_window: int = 600
    window_s: float = 5.0
    """REST requests beyond the former within the latter are answered with 403."""
