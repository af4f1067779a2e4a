"""How the simulated exchange runs."""

from collections.abc import Sequence
from dataclasses import dataclass

from undertow.errors import InputError
from undertow.venues.simulated.faults import Fault
from undertow.venues.simulated.listings import Listing
from undertow.venues.simulated.rules import RULES, Rules

__all__ = ["DEFAULT_START_MS", "Settings"]

DEFAULT_START_MS = 1_767_652_800_000
"""2026-01-05T22:40:00Z, so that a longer run crosses midnight."""
_DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Settings:
    """How the exchange runs. The same settings give the same market, byte for byte."""

    listings: Sequence[Listing]
    start_ms: int
    seed: int = 1
    signal: float = 0.0
    speed: float | None = 1.0
    """Simulated seconds per second at most; None: as fast as the clients read."""
    duration_s: float | None = None
    """Simulated seconds until it closes its sockets; None: never."""
    ping_every_s: float | None = None
    """Seconds of the wall clock; None: as the market has it."""
    pong_within_s: float | None = None
    """Seconds of the wall clock; None: as the market has it."""
    faults: Sequence[Fault] = ()
    """What goes wrong, in simulated time since the start."""
    market: str = "usdm"
    """usdm or spot."""
    activity: float = 1.0
    """Factor on the rates at which participants act."""
    lifetime_s: float = _DAY_S
    """Simulated seconds after which a socket is cut."""
    enforces_limits: bool = True
    """Whether too much request weight and too many connections are answered with 429 and 418."""
    limit_scale: float = 1.0
    """Factor on the windows and bans of the limits, which run on the wall clock; for tests."""

    def __post_init__(self) -> None:
        """Raises InputError for values that make no sense."""
        if not 0.0 <= self.signal <= 1.0:
            raise InputError(f"signal {self.signal} is not between 0 and 1")
        if self.market not in RULES:
            raise InputError(f"market {self.market!r} is unknown; choose one of {', '.join(RULES)}")
        positive = {
            "speed": self.speed,
            "duration": self.duration_s,
            "activity": self.activity,
            "lifetime": self.lifetime_s,
            "limit scale": self.limit_scale,
        }
        for name, value in positive.items():
            if value is not None and not value > 0:
                raise InputError(f"{name} {value:g} is not above 0")

    @property
    def rules(self) -> Rules:
        """What the market allows."""
        return RULES[self.market]
