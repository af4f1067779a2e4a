"""A running collection of Bybit's linear market: look up the instruments, open a recorder each, collect."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import structlog

from undertow.errors import InputError, VenueError
from undertow.market.instruments import Instrument
from undertow.runtime.bybit_polling import BybitPoller
from undertow.runtime.collection import Collected, opened
from undertow.runtime.collector import Collector, CollectorSettings, Progress
from undertow.runtime.health import Health
from undertow.runtime.open_files import allow_open_files
from undertow.runtime.polling import PollingSettings
from undertow.runtime.track import Recorder
from undertow.venues.answers import RefusedError
from undertow.venues.bybit.endpoints import VENUE, Endpoints, topic_names
from undertow.venues.bybit.instruments import find_instrument, known_instrument, top_symbols
from undertow.venues.bybit.rest import BybitRest
from undertow.venues.feeding import FeedSettings, ReceiveClock
from undertow.venues.kits import bybit_kit

__all__ = ["collect_bybit"]

log = structlog.get_logger(__name__)

_FILES_PER_SYMBOL = 4
_OTHER_FILES = 256


def _without_audits(settings: CollectorSettings) -> CollectorSettings:
    """A book of REST has the ids of another topic: there is nothing to compare with."""
    return replace(settings, snapshots=replace(settings.snapshots, audit_every_s=None))


async def _resolved(rest: BybitRest, symbols: Sequence[str]) -> list[Instrument]:
    """The instruments of symbols from the exchange, or else from our table."""
    venue = rest.endpoints.venue
    try:
        listings = await rest.instruments()
    except RefusedError:
        raise
    except (VenueError, InputError) as error:
        known = [known_instrument(venue, symbol) for symbol in symbols]
        if venue != VENUE or None in known:
            raise
        log.warning("instruments_from_table", reason=str(error))
        return [instrument for instrument in known if instrument is not None]
    return [find_instrument(listings, venue, symbol) for symbol in symbols]


async def collect_bybit(
    endpoints: Endpoints,
    symbols: Sequence[str],
    kinds: Sequence[str],
    open_recorder: Callable[[Instrument], Recorder],
    *,
    duration_s: float | None = None,
    settings: CollectorSettings | None = None,
    feed_settings: FeedSettings | None = None,
    on_progress: Progress | None = None,
    health: Health | None = None,
    polling: PollingSettings | None = None,
    top: int | None = None,
) -> Collected:
    """Collect until the end, a signal or the duration; `top`: so many symbols with the largest turnover.

    Raises InputError for symbols and streams that cannot be collected, VenueError where the exchange cannot
    be reached or refuses, and what a recorder raises.
    """
    topic_names(endpoints, symbols, kinds)
    clock = ReceiveClock()
    async with BybitRest(endpoints, clock=clock) as rest:
        if top is not None:
            symbols = top_symbols((await rest.tickers()).body, top)
        instruments = await _resolved(rest, symbols)
        allow_open_files(_FILES_PER_SYMBOL * len(instruments) + _OTHER_FILES)
        collector = Collector(
            bybit_kit(endpoints),
            opened(open_recorder, instruments),
            kinds,
            None,
            settings=_without_audits(settings or CollectorSettings()),
            feed_settings=feed_settings,
            clock=clock,
            on_progress=on_progress,
            health=health,
            open_recorder=open_recorder,
        )
        rest.on_status = collector.health.note_rest
        poller = BybitPoller(
            rest,
            collector.symbols,
            frozenset(kinds) & endpoints.polled,
            collector.record_named,
            collector.on_alarm,
            collector.count,
            lambda offset: collector.health.set_clock(offset.offset_ns, offset.error_ns),
            collector.restate,
            settings=polling or PollingSettings(),
        )
        collector.companions.append(poller)
        counters = await collector.run(duration_s)
        collected = tuple(track.recorder.instrument for track in collector.tracks)
    return Collected(collected, counters, tuple(collector.alarms))
