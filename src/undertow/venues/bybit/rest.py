"""Bybit's public REST interface (v5), asked no more often than it allows."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, Self

import aiohttp
import msgspec
import structlog
from aiolimiter import AsyncLimiter
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, stop_after_attempt
from tenacity.wait import wait_random_exponential

from undertow.errors import VenueError
from undertow.venues.answers import Answer, RefusedError, TimeProbe
from undertow.venues.bybit.endpoints import Endpoints
from undertow.venues.bybit.instruments import Listing, parse_instruments
from undertow.venues.bybit.messages import Answer as Body
from undertow.venues.bybit.messages import RestBook

__all__ = ["BybitRest"]

log = structlog.get_logger(__name__)

Sleep = Callable[[float], Awaitable[Any]]

_PASSING_CODES = frozenset({10000, 10006, 10016, 10018})
"""retCode of a timeout of the server, too many requests, an error of the server, too many of an address."""
_ELSEWHERE = b"country"
"""What the answer 403 says where the exchange does not serve a location; else the address is banned."""
_NS_PER_MS = 1_000_000
_SHARE = 0.5
"""Part of the limit that is used: other programs may share the address."""

_body_decoder = msgspec.json.Decoder(Body)
_book_decoder = msgspec.json.Decoder(RestBook, strict=False)


class _Clock(msgspec.Struct, frozen=True, rename="camel"):
    time_nano: str


_clock_decoder = msgspec.json.Decoder(_Clock)


class _TryAgain(Exception):  # noqa: N818 - a signal to the retry loop, not an error
    """A failure that may pass by itself."""


class BybitRest:
    """A client of the linear market: `async with BybitRest(endpoints) as rest: await rest.tickers()`.

    Every request raises VenueError where the exchange refuses it for good, or after `attempts` tries. While
    it bans the address nothing is asked. Bodies are those of the exchange; their retCode is known to be 0.
    """

    def __init__(
        self,
        endpoints: Endpoints,
        *,
        clock: Callable[[], int] = time.time_ns,
        sleep: Sleep = asyncio.sleep,
        attempts: int = 6,
        timeout_s: float = 15.0,
    ) -> None:
        self.endpoints = endpoints
        self.on_status: Callable[[int], None] = lambda _: None
        """Called with the status of every answer."""
        self._clock = clock
        self._sleep = sleep
        self._attempts = attempts
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)
        most = max(1.0, endpoints.requests_per_window * _SHARE)
        self._limiter = AsyncLimiter(most, endpoints.window_s)
        self._session: aiohttp.ClientSession | None = None
        self._closed_until_s = 0.0
        """Of the monotonic clock: nothing is asked before."""

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(timeout=self._timeout, headers={"User-Agent": "undertow"})
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def instruments(self) -> list[Listing]:
        """Every contract, of all pages."""
        found: list[Listing] = []
        cursor = ""
        while True:
            answer = await self._get("instruments-info", limit="1000", cursor=cursor)
            page = parse_instruments(answer.body)
            found += page.list
            cursor = page.next_page_cursor or ""
            if not cursor or not page.list:
                return found

    async def time_probe(self) -> TimeProbe:
        """The exchange's clock between two looks at ours."""
        send_ns = self._clock()
        answer = await self._get("time")
        stated = _clock_decoder.decode(_body_decoder.decode(answer.body).result)
        return TimeProbe(send_ns, int(stated.time_nano) // _NS_PER_MS, answer.receive_ns)

    async def orderbook(self, symbol: str, limit: int = 1000) -> Answer:
        """A book snapshot of `limit` levels a side; its ids are those of the deepest topic."""
        return await self._get("orderbook", _check_book, symbol=symbol, limit=str(limit))

    async def recent_trades(self, symbol: str, limit: int = 1000) -> Answer:
        """The newest trades, newest first; older ones are not to be had."""
        return await self._get("recent-trade", symbol=symbol, limit=str(limit))

    async def open_interest(self, symbol: str, limit: int = 1) -> Answer:
        """Open interest at the newest multiples of five minutes."""
        return await self._get("open-interest", symbol=symbol, intervalTime="5min", limit=str(limit))

    async def funding_rates(self, symbol: str, limit: int = 200) -> Answer:
        """Settled funding rates, newest first, at most 200."""
        return await self._get("funding/history", symbol=symbol, limit=str(limit))

    async def klines(self, symbol: str, *, start_ms: int, end_ms: int, limit: int = 1000) -> Answer:
        """The exchange's candles of a minute, newest first."""
        times = {"start": str(start_ms), "end": str(end_ms)}
        return await self._get("kline", symbol=symbol, interval="1", limit=str(limit), **times)

    async def tickers(self) -> Answer:
        """The tickers of every contract."""
        return await self._get("tickers")

    async def _get(
        self, name: str, check: Callable[[msgspec.Raw], None] = lambda _: None, /, **parameters: str
    ) -> Answer:
        given = {key: value for key, value in parameters.items() if value}
        retrying = AsyncRetrying(
            retry=retry_if_exception_type((_TryAgain, aiohttp.ClientError, TimeoutError)),
            wait=wait_random_exponential(multiplier=0.5, max=30),
            stop=stop_after_attempt(self._attempts),
            sleep=self._sleep,
            before_sleep=_log_retry,
            reraise=True,
        )
        try:
            return await retrying(self._try, name, {"category": self.endpoints.product, **given}, check)
        except (_TryAgain, aiohttp.ClientError, TimeoutError) as error:
            reason = str(error) or type(error).__name__
            raise VenueError(
                f"{self.endpoints.venue}: {self._path(name)} failed {self._attempts} times, last with: "
                f"{reason}; check the connection to {self.endpoints.rest}"
            ) from error

    def _path(self, name: str) -> str:
        return f"{self.endpoints.rest_prefix}/{name}"

    async def _try(
        self, name: str, parameters: dict[str, str], check: Callable[[msgspec.Raw], None]
    ) -> Answer:
        if self._session is None:
            raise RuntimeError("BybitRest is used outside `async with`")
        closed_s = self._closed_until_s - time.monotonic()
        if closed_s > 0:
            await self._sleep(closed_s)
        await self._limiter.acquire()
        url = self.endpoints.rest + self._path(name)
        async with self._session.get(url, params=parameters) as response:
            body = await response.read()
            receive_ns = self._clock()
            self.on_status(response.status)
        if response.status != 200:
            raise self._failure(name, response.status, body)
        self._check(name, body, check)
        return Answer(receive_ns, body)

    def _check(self, name: str, body: bytes, check: Callable[[msgspec.Raw], None]) -> None:
        """Raises _TryAgain for what is no answer, or a refusal that may pass; VenueError for another."""
        try:
            answer = _body_decoder.decode(body)
            if not answer.retCode:
                check(answer.result)
                return
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise _TryAgain(f"the answer cannot be read ({error})") from error
        said = f"retCode {answer.retCode}: {answer.retMsg[:200]}"
        if answer.retCode in _PASSING_CODES:
            self._close(self.endpoints.window_s)
            raise _TryAgain(said)
        raise VenueError(f"{self.endpoints.venue}: {self._path(name)} refused with {said}")

    def _close(self, pause_s: float) -> None:
        """Ask nothing for a while, whatever asks."""
        self._closed_until_s = max(self._closed_until_s, time.monotonic() + pause_s)

    def _failure(self, name: str, status: int, body: bytes) -> Exception:
        said, venue = body[:200].decode("utf-8", "replace"), self.endpoints.venue
        if status == 403 and _ELSEWHERE in body.lower():
            return RefusedError(
                f"{venue}: HTTP 403: the exchange does not serve this location; collect from a place where "
                f"it may be used"
            )
        if status in {403, 429}:
            pause_s = self.endpoints.ban_s
            self._close(pause_s)
            return _TryAgain(f"too many requests (HTTP {status}), waiting {pause_s:.0f} s")
        if status >= 500 or status == 408:
            return _TryAgain(f"HTTP {status}: {said}")
        return VenueError(f"{venue}: {self._path(name)} refused with HTTP {status}: {said}")


def _check_book(result: msgspec.Raw) -> None:
    _book_decoder.decode(result)


def _log_retry(state: RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    pause_s = round(state.upcoming_sleep, 2)
    log.warning("request_retried", request=state.args[0], reason=str(error), pause_s=pause_s)
