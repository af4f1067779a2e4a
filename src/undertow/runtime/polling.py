"""What the exchange gives only when asked: open interest, settled funding rates, its clock.

Asked for by REST on a schedule, and recorded as frames of streams of our own.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

import msgspec
import structlog

from undertow.errors import InputError, VenueError
from undertow.market.instruments import Instrument
from undertow.market.time import MILLISECOND_NS
from undertow.runtime.clock_offset import ClockOffset, Offset
from undertow.runtime.listings import ListingChange, changes, new_listings
from undertow.runtime.track import control_frame, wrapped
from undertow.venues.answers import RefusedError
from undertow.venues.binance.instruments import (
    ExchangeInfo,
    find_instrument,
    parse_exchange_info,
    weight_limit,
)
from undertow.venues.binance.rest import BinanceRest
from undertow.venues.marks import Clock, InstrumentChange

__all__ = ["Poller", "PollingSettings"]

log = structlog.get_logger(__name__)

Ask = Callable[[], Coroutine[None, None, None]]


@dataclass(frozen=True, slots=True)
class PollingSettings:
    """Times in seconds."""

    open_interest_every_s: float = 60.0
    funding_every_s: float = 600.0
    """Rates are settled every few hours; asked for so often, each is known soon after."""
    clock_every_s: float = 30.0
    listings_every_s: float = 3600.0
    look_up_pause_s: float = 10.0
    """Least time between two looks at the listings out of turn."""
    stale_after: int = 5
    """Answers with an unchanged time before it is said that an endpoint stands still."""


class _Time(msgspec.Struct, frozen=True):
    time: int


class _Funding(msgspec.Struct, frozen=True):
    fundingTime: int  # noqa: N815 - the wire's name


class _FundingInterval(msgspec.Struct, frozen=True):
    symbol: str
    fundingIntervalHours: int  # noqa: N815 - the wire's name


_USUAL_FUNDING_HOURS = 8
_interval_decoder = msgspec.json.Decoder(list[_FundingInterval])
_time_decoder = msgspec.json.Decoder(_Time)
_funding_decoder = msgspec.json.Decoder(list[_Funding])


@dataclass(slots=True)
class Poller:
    """Runs beside a collection. `record(symbol, frame)` journals what came; `kinds` says what to ask for."""

    rest: BinanceRest
    symbols: Callable[[], Sequence[str]]
    """The symbols under collection, at least one; they may change."""
    kinds: frozenset[str]
    record: Callable[[str, bytes], None]
    alarm: Callable[[str], None]
    count: Callable[[str], None]
    on_offset: Callable[[Offset], None] = lambda _: None
    restate: Callable[[Instrument], None] = lambda _: None
    """Called with an instrument whose steps have changed."""
    on_new_listing: Callable[[Instrument], None] = lambda _: None
    """Called with an instrument that has begun to trade."""
    settings: PollingSettings = field(default_factory=PollingSettings)
    _newest_ms: dict[tuple[str, str], int] = field(default_factory=dict)
    _stale: dict[str, int] = field(default_factory=dict)
    _funding_hours: dict[str, int] = field(default_factory=dict)
    _clock: ClockOffset = field(default_factory=ClockOffset)
    _listed: ExchangeInfo | None = None
    _group: asyncio.TaskGroup | None = None
    _is_looking: bool = False

    async def run(self) -> None:
        """Poll until cancelled."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            for every_s, asks in self._schedule():
                group.create_task(self._repeat(every_s, asks))

    def _schedule(self) -> Iterator[tuple[float, Callable[[], Sequence[Ask]]]]:
        """How often what is asked."""
        settings = self.settings
        yield settings.clock_every_s, lambda: [self._ask_time]
        yield settings.listings_every_s, lambda: [self._ask_listings]
        if "open_interest" in self.kinds:
            yield settings.open_interest_every_s, partial(self._for_each, self._ask_open_interest)
        if "funding" in self.kinds:
            yield settings.funding_every_s, partial(self._for_each, self._ask_funding)
            yield settings.listings_every_s, lambda: [self._ask_funding_intervals]

    def _for_each(self, ask: Callable[[str], Coroutine[None, None, None]]) -> Sequence[Ask]:
        return [partial(ask, symbol) for symbol in self.symbols()]

    async def _repeat(self, every_s: float, round_of: Callable[[], Sequence[Ask]]) -> None:
        """Ask each in turn, spread over the time between two rounds; a failure of one stops no other."""
        due_s = time.monotonic()
        while True:
            asks = round_of()
            for ask in asks:
                try:
                    await ask()
                except RefusedError:
                    raise
                except (VenueError, InputError, msgspec.DecodeError) as error:
                    self.count("poll_failures")
                    log.warning("poll_failed", reason=str(error))
                due_s += every_s / len(asks)
                await asyncio.sleep(max(0.0, due_s - time.monotonic()))

    async def _ask_open_interest(self, symbol: str) -> None:
        answer = await self.rest.open_interest(symbol)
        at_ms = _time_decoder.decode(answer.body).time
        if at_ms <= self._newest_ms.get(("open_interest", symbol), 0):
            self._note_stale(symbol)
            return
        self._stale.pop(symbol, None)
        self._newest_ms["open_interest", symbol] = at_ms
        self.count("open_interest_answers")
        self.record(symbol, wrapped(symbol, "openInterest", answer.body))

    def _note_stale(self, symbol: str) -> None:
        """The same reading as before: counted, not recorded again; said when it lasts."""
        self.count("stale_open_interest")
        self._stale[symbol] = self._stale.get(symbol, 0) + 1
        if self._stale[symbol] == self.settings.stale_after:
            self.alarm(
                f"{symbol}: open interest has had the same time in {self.settings.stale_after} answers: the "
                f"exchange's endpoint stands still; nothing is recorded until it moves on"
            )

    async def _ask_funding(self, symbol: str) -> None:
        newest_ms = self._newest_ms.get(("funding", symbol))
        start_ms = None if newest_ms is None else newest_ms + 1
        answer = await self.rest.funding_rates(symbol, start_ms=start_ms)
        rows = _funding_decoder.decode(answer.body)
        if rows:
            self._newest_ms["funding", symbol] = max(row.fundingTime for row in rows)
            self.count("funding_answers")
            self.record(symbol, wrapped(symbol, "fundingRate", answer.body))

    def look_up(self) -> None:
        """Ask for the listings soon: something suggests that they have changed."""
        if self._group is not None and not self._is_looking:
            self._is_looking = True
            self._group.create_task(self._look_up())

    async def _look_up(self) -> None:
        try:
            await self._ask_listings()
        except (VenueError, InputError) as error:
            log.warning("poll_failed", reason=str(error))
        await asyncio.sleep(self.settings.look_up_pause_s)
        self._is_looking = False

    async def _ask_listings(self) -> None:
        """Record and tell what the exchange states differently than in its first answer, or the last."""
        answer = await self.rest.exchange_info()
        info = parse_exchange_info(answer.body)
        before, self._listed = self._listed, info
        if before is None:
            return
        self.rest.governor.limit = weight_limit(info) or self.rest.governor.limit
        venue = self.rest.endpoints.venue
        for found in changes(before, info, self.symbols()):
            self._tell(found, answer.receive_ns)
            if found.change in ("tick", "lot"):
                self.restate(find_instrument(info, venue, found.symbol))
        for symbol in new_listings(before, info):
            self.count("new_listings")
            self.on_new_listing(find_instrument(info, venue, symbol))

    async def _ask_funding_intervals(self) -> None:
        """Record and tell where funding is settled at other intervals than before."""
        answer = await self.rest.funding_info()
        stated = {row.symbol: row.fundingIntervalHours for row in _interval_decoder.decode(answer.body)}
        for symbol in self.symbols():
            # The exchange lists only contracts that differ from its usual 8 hours.
            hours = stated.get(symbol, _USUAL_FUNDING_HOURS)
            before = self._funding_hours.setdefault(symbol, hours)
            if hours != before:
                self._funding_hours[symbol] = hours
                change = ListingChange(symbol, "funding interval", f"{before} h", f"{hours} h")
                self._tell(change, answer.receive_ns)

    def _tell(self, found: ListingChange, receive_ns: int) -> None:
        """A statement of the exchange has changed: an event, and an alarm."""
        self.count("listing_changes")
        self.alarm(str(found))
        stated = (found.symbol, found.change, found.before, found.after)
        mark = InstrumentChange(receive_ns // MILLISECOND_NS, *stated)
        self.record(found.symbol, control_frame(mark))

    async def _ask_time(self) -> None:
        probe = await self.rest.time_probe()
        self._clock.add(probe)
        offset = self._clock.estimate(probe.receive_ns)
        self.on_offset(offset)
        stated = (offset.offset_ns // 1000, offset.error_ns // 1000, offset.rtt_ns // 1000)
        server_ms = (probe.receive_ns + offset.offset_ns) // MILLISECOND_NS
        self.record(self.symbols()[0], control_frame(Clock(server_ms, *stated)))
