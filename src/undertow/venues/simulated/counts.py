"""What was sent on a stream, and what no client could ever get."""

from dataclasses import dataclass, field

from undertow.venues.simulated.publisher import Frame

__all__ = ["StreamCount"]


@dataclass(slots=True)
class StreamCount:
    """What was sent on a stream, each frame counted once however many clients got it."""

    frames: int = 0
    """Frames of which at least one client was sent a whole copy."""
    dropped: int = 0
    """Frames that were wanted and sent to nobody."""
    damaged: int = 0
    """Frames of which only broken copies were sent."""
    duplicated: int = 0
    """Further copies."""
    inserted: int = 0
    """Messages that no market made."""
    first_id: int = 0
    """Of the first whole frame."""
    last_id: int = 0
    """Of the last whole frame."""
    lost: list[list[int]] = field(default_factory=list)
    """[first, last] ids that no client was sent whole: after the first frame made, in the order of their
    loss. Ids that went by while nobody wanted the stream are among them if its ids form a chain."""
    _newest_id: int = 0
    _loses: bool = False

    def follow(self, frame: Frame) -> None:
        """Take note of a frame that was made, before anything befalls it."""
        if self._newest_id and frame.previous_id > self._newest_id:
            self._lose(self._newest_id + 1, frame.previous_id, self._newest_id)
        self._newest_id = frame.last_id

    def note_sent(self, frame: Frame) -> None:
        """Count a frame that somebody was sent whole."""
        self.frames += 1
        self.first_id = self.first_id or frame.first_id
        self.last_id = frame.last_id
        self._loses = False

    def note_missed(self, frame: Frame, *, is_damaged: bool) -> None:
        """Count a frame that nobody was sent whole."""
        if is_damaged:
            self.damaged += 1
        else:
            self.dropped += 1
        if frame.last_id:
            self._lose(frame.first_id, frame.last_id, frame.previous_id)
        self._loses = True

    def _lose(self, first_id: int, last_id: int, previous_id: int) -> None:
        """Add a range, or extend the last one where nothing was sent in between."""
        if self.lost and (self.lost[-1][1] == previous_id or (self._loses and previous_id < 0)):
            self.lost[-1][1] = last_id
        else:
            self.lost.append([first_id, last_id])

    def as_json(self) -> dict[str, object]:
        """For `/sim/counters`."""
        return {
            "frames": self.frames,
            "dropped": self.dropped,
            "damaged": self.damaged,
            "duplicated": self.duplicated,
            "inserted": self.inserted,
            "first_id": self.first_id,
            "last_id": self.last_id,
            "lost": self.lost,
        }
