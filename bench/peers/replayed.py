"""What a peer hands back, so that the bench can see that all did the same work."""

from dataclasses import dataclass

__all__ = ["DEPTH", "Replayed"]

DEPTH = 20
"""Levels of each side read after every depth frame."""


@dataclass(frozen=True, slots=True)
class Replayed:
    """Frames processed, and the prices of the best levels after the last, best first; none for trades."""

    frames: int
    """Lines taken, the snapshot included."""
    bids: tuple[float, ...] = ()
    asks: tuple[float, ...] = ()
