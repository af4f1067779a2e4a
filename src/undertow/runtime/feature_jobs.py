"""Features of several histories at once: a symbol, or a day of one, at a time in each process."""

from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field

from undertow.lake.writer import LakeWriter
from undertow.runtime.at_once import Tell, work_off
from undertow.runtime.batch import Span, StoredHistory, settings_for, write_span
from undertow.runtime.feature_states import FeatureStates
from undertow.runtime.history import hours_of

__all__ = ["Written", "hours_asked", "write_all"]


@dataclass(slots=True)
class Written:
    """What was stored of one history."""

    begin_ns: int | None
    """The midnight whose state the computation began with; None: with the first bar."""
    rows: dict[str, int] = field(default_factory=dict)
    """By timeframe."""

    def add(self, rows: dict[str, int]) -> None:
        """Count the rows of one more piece."""
        for name, count in rows.items():
            self.rows[name] = self.rows.get(name, 0) + count


@dataclass(frozen=True, slots=True)
class _Piece:
    """A stretch of one history that can be computed without the others."""

    history: StoredHistory
    lengths_ns: tuple[int, ...]
    span: Span
    states: FeatureStates

    @property
    def name(self) -> str:
        return f"{self.history.instrument.venue} {self.history.instrument.symbol}"

    def work(self, tell: Tell) -> dict[str, int]:
        """Compute and store it; rows by timeframe."""
        symbol = self.history.instrument.symbol
        return write_span(
            self.history, self.lengths_ns, lambda newest: tell(symbol, newest), self.span, self.states
        )


def write_all(
    histories: Sequence[StoredHistory], lengths_ns: tuple[int, ...], span: Span, jobs: int, tell: Tell
) -> dict[str, Written]:
    """Compute and store the hours of histories that a span touches, in `jobs` processes; by `VENUE SYMBOL`.

    A history is cut at the midnights whose states are good; where there are none it is one piece. Raises
    what a worker raised; InUseError, before anything is computed, where another process writes a symbol.
    """
    with ExitStack() as stack:
        for history in histories:
            instrument = history.instrument
            writer = LakeWriter(history.lake.root, instrument.venue, instrument.symbol)
            stack.enter_context(closing(writer))
        pieces = [piece for history in histories for piece in _pieces(history, lengths_ns, span, jobs)]
        written: dict[str, Written] = {}
        for piece in pieces:  # before any is worked off: that makes states
            written.setdefault(piece.name, Written(piece.states.newest(piece.span.from_ns)))
        for piece, rows in zip(pieces, work_off(pieces, jobs, tell), strict=True):
            written[piece.name].add(rows)
        return written


def hours_asked(histories: Sequence[StoredHistory], span: Span) -> int:
    """Stored hours that a span touches, of all histories together."""
    wide = span.hours()
    return sum(
        (wide.from_ns is None or hour >= wide.from_ns) and (wide.to_ns is None or hour < wide.to_ns)
        for history in histories
        for hour in hours_of(history)
    )


def _pieces(history: StoredHistory, lengths_ns: tuple[int, ...], span: Span, jobs: int) -> list[_Piece]:
    """A span in the order of time, cut where a state allows to begin."""
    span, states = span.hours(), FeatureStates(history, settings_for(history, lengths_ns))
    inside = [
        at
        for at in (states.midnights() if jobs > 1 else [])
        if (span.from_ns is None or at > span.from_ns) and (span.to_ns is None or at < span.to_ns)
    ]
    bounds = zip([span.from_ns, *inside], [*inside, span.to_ns], strict=True)
    return [_Piece(history, lengths_ns, Span(*bound), states) for bound in bounds]
