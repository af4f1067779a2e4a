"""What the collector tells the health of a collection, once for each frame and once a second."""

from collections.abc import Callable, Mapping, Sequence

from undertow.runtime.health import ConnectionReport, Health, StreamExpectation
from undertow.runtime.track import Track
from undertow.venues.binance.rest import BinanceRest
from undertow.venues.kits import VenueKit
from undertow.venues.sockets.feed import Feed

__all__ = ["Observer"]


class Observer:
    """Keeps a `Health` up to date."""

    def __init__(
        self,
        health: Health,
        kit: VenueKit,
        feed: Feed,
        rest: BinanceRest | None,
        alarm: Callable[[str], None],
    ) -> None:
        self.health = health
        self._alarm = alarm
        self._told: dict[str, set[str]] = {}
        self._mismatched: dict[str, int] = {}
        self._feed = feed
        self._rest = rest
        self._heartbeat_s = feed.settings.heartbeat_s
        self._kit = kit

    def expect(self, tracks: Sequence[Track]) -> None:
        """These streams are being collected."""
        for track in tracks:
            for stream in sorted(track.streams):
                name, patience = self._kit.kind_of(stream)
                patience_s = None if patience is None else 3.0 * patience * self._heartbeat_s
                self.health.expect(stream.encode(), track.symbol, StreamExpectation(name, patience_s))

    def note(self, stream: bytes, receive_ns: int, frame: bytes) -> None:
        """A frame of the exchange came."""
        self.health.note(stream, receive_ns, self._kit.event_ms_of(frame), len(frame))

    def tick(self, tracks: Sequence[Track], counters: Mapping[str, int]) -> None:
        """Bring the slow counters up to date; about once a second."""
        health = self.health
        health.reconnects = counters.get("reconnects", 0)
        health.queue_frames = sum(track.pending for track in tracks)
        if self._rest is not None:
            governor = self._rest.governor
            health.rest_weight_used, health.rest_weight_limit = governor.used, governor.limit
        health.set_connections(
            [
                ConnectionReport(
                    connection.number,
                    line.category,
                    connection.url,
                    connection.opened_s,
                    not connection.has_ended,
                    frozenset(stream.encode() for stream in line.streams),
                    connection.last_seen_s,
                    line.copy,
                )
                for line, connection in self._feed.connections()
            ]
        )
        for track in tracks:
            self._note_symbol(track)
        health.tick()

    def _note_symbol(self, track: Track) -> None:
        known, status = self.health.symbol(track.symbol), track.recorder.status()
        known.gaps, known.resyncs, known.duplicates = status.gaps, status.resyncs, status.duplicates
        known.snapshots, known.repaired_rows = status.snapshots, status.repaired_trades
        known.book, known.is_book_synced = status.book, status.book == "synced"
        known.last_price = status.last_price
        known.audits = status.audits
        known.audited_levels, known.matching_levels = status.audited_levels, status.matched_levels
        wrong = status.mismatched_levels - self._mismatched.get(track.symbol, 0)
        self._mismatched[track.symbol] = status.mismatched_levels
        if wrong > 0:
            self._alarm(
                f"{track.symbol}: {wrong} levels of the book differed from a fresh snapshot although no "
                f"update was missing; the book was put right, and the stretch since it was last true is a gap"
            )
        self._tell_unknown(track.symbol, status.unknown)

    def _tell_unknown(self, symbol: str, unknown: Mapping[str, int]) -> None:
        """Say once of each thing that it is not understood: the exchange may have changed its messages."""
        told = self._told.setdefault(symbol, set())
        for name in sorted(unknown.keys() - told):
            told.add(name)
            self._alarm(
                f"{symbol}: {name} is not understood; it is kept in the journal, and counted: see whether "
                f"the exchange has changed its messages"
            )
