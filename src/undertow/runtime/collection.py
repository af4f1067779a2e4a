"""From names to a running collection: look up the instruments, open a recorder for each, collect."""

import contextlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import structlog

from undertow.errors import InputError, VenueError
from undertow.market.instruments import Instrument
from undertow.runtime.collector import Collector, CollectorSettings, Progress
from undertow.runtime.health import Health
from undertow.runtime.open_files import allow_open_files
from undertow.runtime.polling import Poller, PollingSettings
from undertow.runtime.roster import Roster, read_symbols
from undertow.runtime.takeover import WaitingRecorder
from undertow.runtime.track import Recorder
from undertow.venues.answers import RefusedError
from undertow.venues.binance.endpoints import Endpoints, stream_names
from undertow.venues.binance.governor import WeightGovernor
from undertow.venues.binance.instruments import (
    find_instrument,
    known_instrument,
    parse_exchange_info,
    top_symbols,
    weight_limit,
)
from undertow.venues.binance.rest import BinanceRest
from undertow.venues.feeding import FeedSettings, ReceiveClock
from undertow.venues.kits import binance_kit

__all__ = ["Collected", "RouteProbe", "collect", "opened", "resolve_instruments"]

RouteProbe = Callable[[Endpoints, Sequence[str], str], Awaitable[Sequence[str]]]
"""Endpoints, kinds of streams and a symbol → what is wrong with their routes."""

log = structlog.get_logger(__name__)


_FILES_PER_SYMBOL = 4
"""Its segment, two locks, and one that is written."""
_OTHER_FILES = 256


@dataclass(frozen=True, slots=True)
class Collected:
    """What a collection came to."""

    instruments: tuple[Instrument, ...]
    counters: dict[str, int]
    alarms: tuple[str, ...]


async def resolve_instruments(
    rest: BinanceRest, symbols: Sequence[str], *, keep: Callable[[bytes], None] = lambda _: None
) -> list[Instrument]:
    """The instruments of `symbols` from the exchange, whose answer goes to `keep`, or else from our table.

    Raises InputError for a symbol that is unknown or does not trade, VenueError where the exchange cannot be
    reached and the table does not know every symbol; a simulation's steps are its own.
    """
    venue = rest.endpoints.venue
    try:
        answer = await rest.exchange_info()
        info = parse_exchange_info(answer.body, f"{venue}: exchangeInfo")
    except RefusedError:
        raise
    except (VenueError, InputError) as error:
        known = [known_instrument(venue, symbol) for symbol in symbols]
        if venue == "sim" or None in known:
            raise
        log.warning("instruments_from_table", reason=str(error))
        return [instrument for instrument in known if instrument is not None]
    keep(answer.body)
    rest.governor.limit = weight_limit(info) or rest.governor.limit
    return [find_instrument(info, venue, symbol) for symbol in symbols]


async def collect(
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
    memory: Path | None = None,
    top: int | None = None,
    keep_exchange_info: Callable[[bytes], None] = lambda _: None,
    symbols_file: Path | None = None,
    takes_over: bool = False,
    follow: str | None = None,
    probe: RouteProbe | None = None,
) -> Collected:
    """Look up the instruments, open a recorder for each, and collect until the end, a signal or the duration.

    `top`: instead of `symbols` so many with the largest turnover. `memory` names a file that keeps the
    exchange's bans over a restart. `symbols_file` is read instead of `symbols`, and again on SIGHUP.
    `takes_over`: receive at once, and record when the collection that runs has ended. `follow` names a quote
    asset: symbols of it that begin to trade are collected too. `probe` is asked once, beside the collection,
    what is wrong with the routes of a symbol's streams.
    Raises InputError for symbols and streams that cannot be collected, VenueError where the exchange cannot
    be reached or refuses, and what a recorder raises.
    """
    symbols = symbols if symbols_file is None else read_symbols(symbols_file)
    stream_names(endpoints, symbols, kinds)
    clock = ReceiveClock()
    governor = WeightGovernor(endpoints.weight_per_minute, memory=memory)
    async with BinanceRest(endpoints, clock=clock, governor=governor) as rest:
        if top is not None:
            symbols = top_symbols((await rest.tickers_24h()).body, top)
        instruments = await resolve_instruments(rest, symbols, keep=keep_exchange_info)
        allow_open_files(_FILES_PER_SYMBOL * len(instruments) + _OTHER_FILES)
        opener = partial(WaitingRecorder, open_recorder=open_recorder) if takes_over else open_recorder
        collector = Collector(
            binance_kit(endpoints),
            opened(opener, instruments),
            kinds,
            rest,
            settings=settings,
            feed_settings=feed_settings,
            clock=clock,
            on_progress=on_progress,
            health=health,
            open_recorder=open_recorder,
        )
        rest.on_status = collector.health.note_rest
        poller = Poller(
            rest,
            collector.symbols,
            frozenset(kinds) & endpoints.polled,
            collector.record_named,
            collector.on_alarm,
            collector.count,
            lambda offset: collector.health.set_clock(offset.offset_ns, offset.error_ns),
            collector.restate,
            lambda listed: collector.add(open_recorder(listed)) if _is_followed(listed, follow) else None,
            settings=polling or PollingSettings(),
        )
        collector.on_off_step = poller.look_up
        collector.companions.append(poller)
        if probe is not None:
            collector.companions.append(_Probing(probe, endpoints, tuple(kinds), collector))
        if symbols_file is not None:
            resolve = partial(resolve_instruments, rest, keep=keep_exchange_info)
            collector.companions.append(Roster(symbols_file, collector, resolve, open_recorder))
        counters = await collector.run(duration_s)
        collected = tuple(track.recorder.instrument for track in collector.tracks)
    return Collected(collected, counters, tuple(collector.alarms))


@dataclass(frozen=True, slots=True)
class _Probing:
    """Says at the start what is wrong with the routes."""

    probe: RouteProbe
    endpoints: Endpoints
    kinds: tuple[str, ...]
    collector: Collector

    async def run(self) -> None:
        """Ask once."""
        for trouble in await self.probe(self.endpoints, self.kinds, self.collector.symbols()[0]):
            self.collector.on_alarm(trouble)


def opened(
    open_recorder: Callable[[Instrument], Recorder], instruments: Sequence[Instrument]
) -> list[Recorder]:
    """A recorder for each, or none at all."""
    with contextlib.ExitStack() as opened:
        recorders: list[Recorder] = []
        for instrument in instruments:
            recorders.append(open_recorder(instrument))
            opened.callback(recorders[-1].close)
        opened.pop_all()
    return recorders


def _is_followed(listed: Instrument, quote: str | None) -> bool:
    return quote is not None and listed.symbol.endswith(quote)
