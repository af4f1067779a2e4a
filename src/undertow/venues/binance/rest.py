"""Binance's REST interface for market data: raw bodies, patient retries, one shared weight budget."""

import asyncio
import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import aiohttp
import msgspec
import structlog
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, stop_after_attempt
from tenacity.wait import wait_random_exponential

from undertow.errors import VenueError
from undertow.venues.binance.endpoints import Endpoints, rest_path

__all__ = ["Answer", "BinanceRest", "RefusedError", "WeightGovernor"]

log = structlog.get_logger(__name__)

Sleep = Callable[[float], Awaitable[None]]

_REFUSALS = {
    451: "the exchange does not serve this location; collect from a place where it may be used",
    403: "the exchange's firewall refuses this address; wait some minutes, and send fewer requests",
}
_BANNED_UNTIL = re.compile(rb"banned until (\d{13})")
_DEFAULT_PAUSE_S = 60.0


@dataclass(frozen=True, slots=True)
class Answer:
    """A body as it came, to be journalled verbatim. `receive_ns` is when its last byte was there."""

    receive_ns: int
    body: bytes


class RefusedError(VenueError):
    """The exchange will not serve us, however often we ask."""


class _TryAgain(Exception):  # noqa: N818 - a signal to the retry loop, not an error
    """A failure that may pass by itself; `is_governed`: the governor waits as the exchange asked."""

    def __init__(self, reason: str, *, is_governed: bool = False) -> None:
        super().__init__(reason)
        self.is_governed = is_governed


class WeightGovernor:
    """Keeps all requests of one address under the exchange's weight per minute, and silent while banned.

    The exchange's own count (`X-MBX-USED-WEIGHT-1M`) is the truth, since others may share the address;
    requests in flight are counted by ourselves. Windows begin at the full minute.
    """

    def __init__(
        self,
        limit: int,
        *,
        share: float = 0.8,
        clock: Callable[[], float] = time.time,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self.limit = limit
        self.used = 0
        self._share = share
        self._clock = clock
        self._sleep = sleep
        self._minute = 0
        self._closed_until = 0.0

    async def acquire(self, weight: int) -> None:
        """Wait until a request of this weight may be sent, and count it."""
        while (pause_s := self._pause(weight)) > 0:
            await self._sleep(pause_s)
        self.used += weight

    def _pause(self, weight: int) -> float:
        now = self._clock()
        if now < self._closed_until:
            return self._closed_until - now
        minute = int(now // 60)
        if minute != self._minute:
            self._minute, self.used = minute, 0
        if self.used and self.used + weight > self.limit * self._share:
            return (minute + 1) * 60 - now
        return 0.0

    def observe(self, used: int) -> None:
        """Take over the exchange's count of the weight used in this minute."""
        self.used = max(self.used, used)

    def close(self, pause_s: float) -> None:
        """Let nothing through for `pause_s` seconds."""
        self._closed_until = max(self._closed_until, self._clock() + pause_s)


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
        weight = 20 if self.endpoints.rest_prefix.startswith("/api") else 1
        return await self._get("exchangeInfo", {}, weight)

    async def time(self) -> Answer:
        """The exchange's clock: `{"serverTime": ms}`."""
        return await self._get("time", {}, 1)

    async def depth(self, symbol: str, limit: int | None = None) -> Answer:
        """A book snapshot of `limit` levels a side, checked to be one."""
        levels = limit or self.endpoints.snapshot_levels
        parameters = {"symbol": symbol, "limit": str(levels)}
        return await self._get("depth", parameters, self.endpoints.depth_weight(levels), _check_book)

    async def aggregate_trades(self, symbol: str, *, from_id: int, limit: int = 1000) -> Answer:
        """Aggregate trades from an id on, at most 1000."""
        parameters = {"symbol": symbol, "fromId": str(from_id), "limit": str(limit)}
        return await self._get("aggTrades", parameters, 20)

    async def _get(
        self,
        name: str,
        parameters: dict[str, str],
        weight: int,
        check: Callable[[bytes], None] = lambda _: None,
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
            return await retrying(self._try, name, parameters, weight, check)
        except (_TryAgain, aiohttp.ClientError, TimeoutError) as error:
            reason = str(error) or type(error).__name__
            raise VenueError(
                f"{self.endpoints.venue}: {rest_path(self.endpoints, name)} failed {self._attempts} times, "
                f"last with: {reason}; check the connection to {self.endpoints.rest}"
            ) from error

    async def _try(
        self, name: str, parameters: dict[str, str], weight: int, check: Callable[[bytes], None]
    ) -> Answer:
        if self._session is None:
            raise RuntimeError("BinanceRest is used outside `async with`")
        await self.governor.acquire(weight)
        url = self.endpoints.rest + rest_path(self.endpoints, name)
        async with self._session.get(url, params=parameters) as response:
            body = await response.read()
            receive_ns = self._clock()
            self._observe(response)
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
