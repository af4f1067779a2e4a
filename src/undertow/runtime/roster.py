"""Which symbols are collected: read anew while collecting, so that a change touches no other symbol."""

import asyncio
import contextlib
import signal
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from undertow.errors import InputError, VenueError
from undertow.market.instruments import Instrument
from undertow.runtime.collector import Collector
from undertow.runtime.track import Recorder

__all__ = ["Roster", "read_symbols"]

log = structlog.get_logger(__name__)


def read_symbols(path: Path) -> tuple[str, ...]:
    """The symbols that a file names, one or several a line, `#` begins a comment; each once, in order.

    Raises InputError where the file cannot be read or names none.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: the list of symbols cannot be read ({error})") from error
    words = (word for line in lines for word in line.partition("#")[0].replace(",", " ").split())
    symbols = tuple(dict.fromkeys(word.upper() for word in words))
    if not symbols:
        raise InputError(f"{path}: names no symbol; write one a line, such as BTCUSDT")
    return symbols


@dataclass(slots=True)
class Roster:
    """Applies the list in `path` on SIGHUP; a list that cannot be used changes nothing, and is said."""

    path: Path
    collector: Collector
    resolve: Callable[[Sequence[str]], Awaitable[Sequence[Instrument]]]
    open_recorder: Callable[[Instrument], Recorder]
    _wake: asyncio.Event = field(default_factory=asyncio.Event)

    def reload(self) -> None:
        """Read the list again soon."""
        self._wake.set()

    async def run(self) -> None:
        """Wait for reloads until cancelled."""
        with _on_hangup(self.reload):
            while True:
                await self._wake.wait()
                self._wake.clear()
                try:
                    await self._apply(read_symbols(self.path))
                except (InputError, VenueError) as error:
                    self.collector.on_alarm(f"the list of symbols was not taken over: {error}")

    async def _apply(self, wanted: Sequence[str]) -> None:
        collected = set(self.collector.symbols())
        instruments = await self.resolve([symbol for symbol in wanted if symbol not in collected])
        for instrument in instruments:
            self.collector.add(self.open_recorder(instrument))
        gone = [symbol for symbol in collected if symbol not in wanted]
        for symbol in gone:
            await self.collector.remove(symbol)
        added = [instrument.symbol for instrument in instruments]
        log.info("symbols_reloaded", added=added, removed=gone, total=len(self.collector.symbols()))


@contextlib.contextmanager
def _on_hangup(reload: Callable[[], None]) -> Iterator[None]:
    """SIGHUP calls `reload`; only the main thread can receive it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGHUP, reload)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGHUP)
