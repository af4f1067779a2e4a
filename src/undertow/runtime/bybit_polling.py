"""What Bybit gives only when asked: settled funding rates, its clock, what it states of its contracts."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

import msgspec
import structlog

from undertow.errors import InputError, VenueError
from undertow.market.instruments import Instrument
from undertow.market.time import MILLISECOND_NS
from undertow.runtime.clock_offset import ClockOffset, Offset
from undertow.runtime.listings import ListingChange
from undertow.runtime.polling import PollingSettings
from undertow.runtime.track import control_frame
from undertow.venues.answers import RefusedError
from undertow.venues.bybit.instruments import Listing, find_instrument
from undertow.venues.bybit.messages import answer_frame
from undertow.venues.bybit.rest import BybitRest
from undertow.venues.marks import Clock, InstrumentChange

__all__ = ["BybitPoller"]

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class BybitPoller:
    """Runs beside a collection. `record(symbol, frame)` journals what came; `kinds` says what to ask for."""

    rest: BybitRest
    symbols: Callable[[], Sequence[str]]
    kinds: frozenset[str]
    record: Callable[[str, bytes], None]
    alarm: Callable[[str], None]
    count: Callable[[str], None]
    on_offset: Callable[[Offset], None] = lambda _: None
    restate: Callable[[Instrument], None] = lambda _: None
    """Called with an instrument whose steps have changed."""
    settings: PollingSettings = field(default_factory=PollingSettings)
    _clock: ClockOffset = field(default_factory=ClockOffset)
    _listed: dict[str, Listing] = field(default_factory=dict)

    async def run(self) -> None:
        """Poll until cancelled."""
        settings = self.settings
        async with asyncio.TaskGroup() as group:
            group.create_task(self._repeat(settings.clock_every_s, self._ask_time))
            group.create_task(self._repeat(settings.listings_every_s, self.look_up))
            if "funding" in self.kinds:
                group.create_task(self._repeat(settings.funding_every_s, self._ask_funding))
            if "open_interest" in self.kinds:
                group.create_task(self._repeat(settings.open_interest_every_s, self._ask_open_interest))

    async def _repeat(self, every_s: float, ask: Callable[[], Awaitable[None]]) -> None:
        due_s = time.monotonic()
        while True:
            try:
                await ask()
            except RefusedError:
                raise
            except (VenueError, InputError, msgspec.DecodeError) as error:
                self.count("poll_failures")
                log.warning("poll_failed", reason=str(error))
            due_s += every_s
            await asyncio.sleep(max(0.0, due_s - time.monotonic()))

    async def _ask_open_interest(self) -> None:
        for symbol in self.symbols():
            answer = await self.rest.open_interest(symbol)
            self.record(symbol, answer_frame("open-interest", symbol, answer.body))

    async def _ask_funding(self) -> None:
        for symbol in self.symbols():
            answer = await self.rest.funding_rates(symbol)
            self.record(symbol, answer_frame("funding", symbol, answer.body))

    async def _ask_time(self) -> None:
        probe = await self.rest.time_probe()
        self._clock.add(probe)
        offset = self._clock.estimate(probe.receive_ns)
        self.on_offset(offset)
        stated = (offset.offset_ns // 1000, offset.error_ns // 1000, offset.rtt_ns // 1000)
        server_ms = (probe.receive_ns + offset.offset_ns) // MILLISECOND_NS
        self.record(self.symbols()[0], control_frame(Clock(server_ms, *stated)))

    async def look_up(self) -> None:
        """Record and tell what the exchange states differently than in its answer before."""
        listings = await self.rest.instruments()
        before, self._listed = self._listed, {listing.symbol: listing for listing in listings}
        for symbol in self.symbols():
            old, new = before.get(symbol), self._listed.get(symbol)
            if old is None or new is None or old == new:
                continue
            for change in _changes(old, new):
                self._tell(change)
            if (old.price_filter, old.lot_size_filter) != (new.price_filter, new.lot_size_filter):
                self.restate(find_instrument(listings, self.rest.endpoints.venue, symbol))

    def _tell(self, found: ListingChange) -> None:
        self.count("listing_changes")
        self.alarm(str(found))
        mark = InstrumentChange(
            time.time_ns() // MILLISECOND_NS, found.symbol, found.change, found.before, found.after
        )
        self.record(found.symbol, control_frame(mark))


def _changes(old: Listing, new: Listing) -> list[ListingChange]:
    pairs = {
        "tick": (old.price_filter.tick_size, new.price_filter.tick_size),
        "lot": (old.lot_size_filter.qty_step, new.lot_size_filter.qty_step),
        "status": (old.status, new.status),
        "funding interval": (f"{old.funding_interval} min", f"{new.funding_interval} min"),
    }
    return [ListingChange(new.symbol, name, *pair) for name, pair in pairs.items() if pair[0] != pair[1]]
