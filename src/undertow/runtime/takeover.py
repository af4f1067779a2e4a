"""Taking over from another collection: receive first, record once it has let go of the symbol."""

import time
from collections import deque
from collections.abc import Callable

import structlog

from undertow.errors import InUseError, LakeError
from undertow.market.instruments import Instrument
from undertow.runtime.track import NOTHING_RECORDED, Recorder, RecorderStatus

__all__ = ["WaitingRecorder"]

log = structlog.get_logger(__name__)

_RETRY_S = 0.1


class WaitingRecorder:
    """Keeps frames in memory while another process records the symbol, then records them and all others.

    What both processes received is told by its ids and stored once, so nothing is missing between the two.
    `process` raises LakeError where the other has not ended after `patience_s`.
    """

    def __init__(
        self,
        instrument: Instrument,
        open_recorder: Callable[[Instrument], Recorder],
        *,
        patience_s: float = 300.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._instrument = instrument
        self._open = open_recorder
        self._clock = clock
        self._deadline_s = clock() + patience_s
        self._retry_s = 0.0
        self._waiting: deque[tuple[int, bytes]] = deque()
        self._recorder: Recorder | None = None

    @property
    def instrument(self) -> Instrument:
        """What is recorded."""
        return self._instrument if self._recorder is None else self._recorder.instrument

    def record(self, receive_ns: int, frame: bytes) -> None:
        """Keep until it is processed."""
        self._waiting.append((receive_ns, frame))

    def process(self) -> bool:
        """Try to take over; then fold what has come. Whether something waits to be folded."""
        if self._recorder is None and self._clock() >= self._retry_s:
            self._take_over()
        if self._recorder is None:
            return False
        self._hand_over(self._recorder)
        return self._recorder.process()

    def _hand_over(self, recorder: Recorder) -> None:
        for _ in range(len(self._waiting)):
            recorder.record(*self._waiting.popleft())

    def trouble(self) -> str:
        """What keeps it from recording in full; waiting is no trouble."""
        return "" if self._recorder is None else self._recorder.trouble()

    def _take_over(self) -> None:
        try:
            self._recorder = self._open(self._instrument)
        except InUseError as error:
            self._retry_s = self._clock() + _RETRY_S
            if self._clock() >= self._deadline_s:
                raise LakeError(f"{error}; it was waited for in vain: end the other collection") from error
            return
        log.info("taken_over", symbol=self._instrument.symbol, frames=len(self._waiting))

    def needs_snapshot(self) -> bool:
        """Only once the recording has begun."""
        return self._recorder is not None and self._recorder.needs_snapshot()

    def is_synced(self) -> bool:
        """Whether the book is exact."""
        return self._recorder is not None and self._recorder.is_synced()

    def trusts_enough(self) -> bool:
        """Whether the sampled levels lie inside the range of the newest snapshot."""
        return self._recorder is None or self._recorder.trusts_enough()

    def is_off_step(self) -> bool:
        """Whether frames came that do not lie on the steps."""
        return self._recorder is not None and self._recorder.is_off_step()

    def missing_trades(self) -> list[tuple[int, int]]:
        """Ranges of ids that were skipped."""
        return [] if self._recorder is None else self._recorder.missing_trades()

    def missing_singles(self) -> list[tuple[int, int]]:
        """Ranges of ids of single trades that no aggregate told."""
        return [] if self._recorder is None else self._recorder.missing_singles()

    def status(self) -> RecorderStatus:
        """How things stand, for people."""
        return NOTHING_RECORDED if self._recorder is None else self._recorder.status()

    def newest_event_ns(self) -> int:
        """Newest event time folded so far; 0 before the first."""
        return 0 if self._recorder is None else self._recorder.newest_event_ns()

    def abandon(self) -> None:
        """Let go of everything as it is."""
        if self._recorder is not None:
            self._hand_over(self._recorder)
            self._recorder.abandon()

    def close(self) -> None:
        """Write out what is open; without the symbol what was received stays with the other process."""
        if self._recorder is None and self._waiting:
            self._retry_s = 0.0
            try:
                self._take_over()
            except LakeError as error:
                log.warning("take_over_gave_up", symbol=self._instrument.symbol, reason=str(error))
        if self._recorder is not None:
            self._hand_over(self._recorder)
            self._recorder.close()
