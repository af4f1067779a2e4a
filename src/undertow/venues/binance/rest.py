"""Binance's REST interface for market data: raw bodies, patient retries, one shared weight budget."""

import asyncio
import re
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

import aiohttp
import msgspec
import structlog
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, stop_after_attempt
from tenacity.wait import wait_random_exponential

from undertow.errors import VenueError
from undertow.venues.answers import Answer, RefusedError, TimeProbe
from undertow.venues.binance.endpoints import Endpoints, rest_path
from undertow.venues.binance.governor import Priority, Sleep, WeightGovernor

__all__ = ["BinanceRest"]

log = structlog.get_logger(__name__)

_REFUSALS = {
    451: "the exchange does not serve this location; collect from a place where it may be used",
    403: "the exchange's firewall refuses this address; wait some minutes, and send fewer requests",
}
_BANNED_UNTIL = re.compile(rb"banned until (\d{13})")
_DEFAULT_PAUSE_S = 60.0


class _TryAgain(Exception):  # noqa: N818 - a signal to the retry loop, not an error
    """A failure that may pass by itself; `is_governed`: the governor waits as the exchange asked."""

    def __init__(self, reason: str, *, is_governed: bool = False) -> None:
        super().__init__(reason)
        self.is_governed = is_governed


class _Book(msgspec.Struct, frozen=True):
    """The least that a depth snapshot must have to be one."""

    lastUpdateId: int  # noqa: N815 - the wire's name
    bids: msgspec.Raw
    asks: msgspec.Raw


_book_decoder = msgspec.json.Decoder(_Book)


class BinanceRest:
    """A client of one market: `async with BinanceRest(endpoints) as rest: await rest.depth("BTCUSDT")`.

    Every request raises VenueError where the exchange refuses it for good, or after `attempts` tries.
    """

    def __init__(
        self,
        endpoints: Endpoints,
        *,
        clock: Callable[[], int] = time.time_ns,
        sleep: Sleep = asyncio.sleep,
        governor: WeightGovernor | None = None,
        attempts: int = 6,
        timeout_s: float = 15.0,
    ) -> None:
        self.endpoints = endpoints
        self.governor = governor or WeightGovernor(endpoints.weight_per_minute, sleep=sleep)
        self.on_status: Callable[[int], None] = lambda _: None
        """Called with the status of every answer."""
        self._clock = clock
        self._sleep = sleep
        self._attempts = attempts
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(timeout=self._timeout, headers={"User-Agent": "undertow"})
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def exchange_info(self) -> Answer:
        """The instruments, their steps and the limits."""
        weight = 20 if self._is_spot else 1
        return await self._get("exchangeInfo", {}, weight)

    async def time(self) -> Answer:
        """The exchange's clock: `{"serverTime": ms}`."""
        return await self._get("time", {}, 1, priority=Priority.POLL)

    async def time_probe(self) -> TimeProbe:
        """The exchange's clock, asked once: a retry would say nothing of the way there and back."""
        send_ns = self._clock()
        answer = await self._get("time", {}, 1, priority=Priority.POLL)
        return TimeProbe(send_ns, _time_decoder.decode(answer.body).serverTime, answer.receive_ns)

    async def depth(self, symbol: str, limit: int | None = None) -> Answer:
        """A book snapshot of `limit` levels a side, checked to be one."""
        levels = limit or self.endpoints.snapshot_levels
        parameters = {"symbol": symbol, "limit": str(levels)}
        return await self._get("depth", parameters, self.endpoints.depth_weight(levels), _check_book)

    async def aggregate_trades(self, symbol: str, *, from_id: int, limit: int = 1000) -> Answer:
        """Aggregate trades from an id on, at most 1000."""
        parameters = {"symbol": symbol, "fromId": str(from_id), "limit": str(limit)}
        weight = 4 if self._is_spot else 20
        return await self._get("aggTrades", parameters, weight, _check_list, Priority.BACKFILL)

    async def recent_trades(self, symbol: str, limit: int = 1000) -> Answer:
        """The newest single trades, at most 1000; older ones are given to holders of a key only."""
        weight = 25 if self._is_spot else 5
        parameters = {"symbol": symbol, "limit": str(limit)}
        return await self._get("trades", parameters, weight, _check_list, Priority.BACKFILL)

    async def open_interest(self, symbol: str) -> Answer:
        """Open interest as it is now; USD-M only."""
        return await self._get("openInterest", {"symbol": symbol}, 1, priority=Priority.POLL)

    async def funding_rates(self, symbol: str, *, start_ms: int | None = None, limit: int = 1000) -> Answer:
        """Settled funding rates, oldest first; USD-M only."""
        parameters = {"symbol": symbol, "limit": str(limit)}
        if start_ms is not None:
            parameters["startTime"] = str(start_ms)
        return await self._get("fundingRate", parameters, 1, _check_list, Priority.POLL)

    async def funding_info(self) -> Answer:
        """Contracts whose funding is settled at other intervals than usual; USD-M only."""
        return await self._get("fundingInfo", {}, 1, _check_list, Priority.POLL)

    async def tickers_24h(self) -> Answer:
        """Statistics of the last 24 hours of every symbol."""
        return await self._get("ticker/24hr", {}, 80 if self._is_spot else 40, _check_list, Priority.POLL)

    @property
    def _is_spot(self) -> bool:
        return self.endpoints.rest_prefix.startswith("/api")

    async def _get(
        self,
        name: str,
        parameters: dict[str, str],
        weight: int,
        check: Callable[[bytes], None] = lambda _: None,
        priority: Priority = Priority.RESYNC,
    ) -> Answer:
        retrying = AsyncRetrying(
            retry=retry_if_exception_type((_TryAgain, aiohttp.ClientError, TimeoutError)),
            wait=_wait,
            stop=stop_after_attempt(self._attempts),
            sleep=self._sleep,
            before_sleep=_log_retry,
            reraise=True,
        )
        try:
            return await retrying(self._try, name, parameters, weight, check, priority)
        except (_TryAgain, aiohttp.ClientError, TimeoutError) as error:
            reason = str(error) or type(error).__name__
            raise VenueError(
                f"{self.endpoints.venue}: {rest_path(self.endpoints, name)} failed {self._attempts} times, "
                f"last with: {reason}; check the connection to {self.endpoints.rest}"
            ) from error

    async def _try(
        self,
        name: str,
        parameters: dict[str, str],
        weight: int,
        check: Callable[[bytes], None],
        priority: Priority,
    ) -> Answer:
        if self._session is None:
            raise RuntimeError("BinanceRest is used outside `async with`")
        await self.governor.acquire(weight, priority)
        url = self.endpoints.rest + rest_path(self.endpoints, name)
        async with self._session.get(url, params=parameters) as response:
            body = await response.read()
            receive_ns = self._clock()
            self._observe(response)
            self.on_status(response.status)
            if response.status != 200:
                raise self._failure(name, response, body)
        check(body)
        return Answer(receive_ns, body)

    def _observe(self, response: aiohttp.ClientResponse) -> None:
        used = response.headers.get("X-MBX-USED-WEIGHT-1M", "")
        if used.isdecimal():
            self.governor.observe(int(used))

    def _failure(self, name: str, response: aiohttp.ClientResponse, body: bytes) -> Exception:
        status = response.status
        said = body[:200].decode("utf-8", "replace")
        if status in {418, 429}:
            pause_s = _retry_after_s(response, body)
            self.governor.close(pause_s)
            kind = "address banned" if status == 418 else "too many requests"
            return _TryAgain(f"{kind} (HTTP {status}), waiting {pause_s:.0f} s", is_governed=True)
        if status in _REFUSALS:
            return RefusedError(f"{self.endpoints.venue}: HTTP {status}: {_REFUSALS[status]}")
        if status >= 500 or status == 408:
            return _TryAgain(f"HTTP {status}: {said}")
        path = rest_path(self.endpoints, name)
        return VenueError(f"{self.endpoints.venue}: {path} refused with HTTP {status}: {said}")


class _ServerTime(msgspec.Struct, frozen=True):
    serverTime: int  # noqa: N815 - the wire's name


_time_decoder = msgspec.json.Decoder(_ServerTime)
_list_decoder = msgspec.json.Decoder(list[msgspec.Raw])


def _check_list(body: bytes) -> None:
    try:
        _list_decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _TryAgain(f"the answer is no list ({error})") from error


def _check_book(body: bytes) -> None:
    try:
        _book_decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _TryAgain(f"the answer is no depth snapshot ({error})") from error


def _retry_after_s(response: aiohttp.ClientResponse, body: bytes) -> float:
    stated = response.headers.get("Retry-After", "")
    if stated.isdecimal():
        return float(stated)
    until = _BANNED_UNTIL.search(body)
    return max(1.0, int(until[1]) / 1000 - time.time()) if until else _DEFAULT_PAUSE_S


_backoff = wait_random_exponential(multiplier=0.5, max=30)


def _wait(state: RetryCallState) -> float:
    """Exponential with full jitter [s]; nothing where the governor already holds every request back."""
    error = state.outcome.exception() if state.outcome else None
    if isinstance(error, _TryAgain) and error.is_governed:
        return 0.0
    return float(_backoff(state))


def _log_retry(state: RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    pause_s = round(state.upcoming_sleep, 2)
    log.warning("request_retried", request=state.args[0], reason=str(error), pause_s=pause_s)
