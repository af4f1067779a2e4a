"""What can go wrong at the simulated exchange, and when: the words of a scenario.

A scenario is a TOML file of `[[fault]]` tables, each with `at_s` (simulated seconds since the start), `kind`
and what that kind needs; `POST /sim/fault` takes one as JSON. `KINDS` says which fields a kind has.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import msgspec

from undertow.errors import InputError

__all__ = ["KINDS", "Fault", "Kind", "load_faults", "parse_fault"]


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of fault."""

    family: str
    """Where it acts: frame, book, connection, rest or exchange."""
    required: frozenset[str]
    allowed: frozenset[str]
    """All fields that it may have, `at_s` and `kind` apart."""
    is_lasting: bool = False
    """Without `count` and `for_s` it lasts for ever; others then hit once."""


def _kind(family: str, required: str = "", optional: str = "", *, is_lasting: bool = False) -> Kind:
    needed = frozenset(required.split())
    return Kind(family, needed, needed | _SHARED[family] | frozenset(optional.split()), is_lasting)


_TARGET = frozenset({"stream", "symbol", "suffix"})
_SHARED = {
    "frame": _TARGET | {"connection", "count", "for_s"},
    "book": frozenset({"symbol"}),
    "connection": _TARGET | {"connection", "route"},
    "rest": frozenset({"endpoint", "symbol", "count", "for_s"}),
    "state": frozenset({"for_s"}),
    "exchange": frozenset[str](),
}

KINDS: Mapping[str, Kind] = {
    # Frames. What they do to each frame of their target:
    "drop": _kind("frame"),  # not sent; its ids are lost
    "duplicate": _kind("frame"),  # sent twice
    "swap": _kind("frame"),  # sent after the next one of its stream
    "delay": _kind("frame", "milliseconds"),  # held; the order of its stream is kept
    "truncate": _kind("frame"),  # cut in the middle
    "garbage": _kind("frame", "", "text hex is_binary"),  # something else is sent before it
    "fragment": _kind("frame"),  # sent as three WebSocket fragments
    "extra_field": _kind("frame", "", "field text"),
    "unknown_type": _kind("frame", "", "text"),  # an event of an unknown type is sent before it
    "missing_field": _kind("frame", "field"),
    "string_to_number": _kind("frame", "field"),
    "new_enum": _kind("frame", "", "field text"),  # a value never seen before, of field X unless said
    "empty_field": _kind("frame", "field"),  # a text without letters
    "microseconds": _kind("frame"),  # times in another unit
    "oversize": _kind("frame", "", "size_bytes"),  # padded to 1 MB unless said
    "shift_event_time": _kind("frame", "milliseconds"),
    "silence": _kind("frame", "for_s"),  # nothing is sent; ids go on and are lost
    "stall": _kind("frame", "for_s"),  # held, then sent all at once; nothing is lost
    "ignore_stream": _kind("frame", is_lasting=True),  # acknowledged, never sent
    "mute": _kind("frame", is_lasting=True),  # a connection answers, but brings no data
    "crossed": _kind("frame", "", "side ticks_away"),  # a delta with a price beyond the other side
    "absent_removal": _kind("frame", "", "side"),  # a delta that removes a level that never was
    "repeated_price": _kind("frame"),  # a delta that names a price twice; the last one counts
    # Books and ids.
    "ghost": _kind("book", "symbol", "side ticks_away count"),  # levels vanish, no stream tells it
    "empty_side": _kind("book", "symbol side", "for_s"),
    "empty_book": _kind("book", "symbol", "for_s"),
    "empty_delta": _kind("book", "symbol"),  # ids advance, no level changes
    "rebase": _kind("book", "symbol"),  # update ids fall by more than a million
    "partial_range": _kind("book", "symbol", "count"),  # trades that no aggregate tells
    # Connections.
    "close": _kind("connection", "", "code text"),
    "reset": _kind("connection"),
    "half_open": _kind("connection"),
    "no_pings": _kind("connection"),
    "kick": _kind("connection"),
    "shutdown_notice": _kind("connection", "", "for_s code"),
    "refuse_connections": _kind("exchange", "for_s", "code"),
    # Answers of REST.
    "status": _kind("rest", "code", "retry_after_s text"),
    "html": _kind("rest", "", "code"),
    "truncated_json": _kind("rest"),
    "timeout": _kind("rest"),
    "slow": _kind("rest", "milliseconds"),
    "stale_snapshot": _kind("rest", "milliseconds"),
    "fewer_levels": _kind("rest", "levels"),
    "freeze": _kind("rest", is_lasting=True),
    "empty_answer": _kind("rest"),
    "partial_answer": _kind("rest"),
    "repeated_rows": _kind("rest"),
    "no_headers": _kind("rest"),
    "used_weight": _kind("exchange", "weight"),
    "limit_change": _kind("exchange", "limit"),
    "server_time_offset": _kind("exchange", "milliseconds"),
    "tick_change": _kind("book", "symbol tick"),
    "status_change": _kind("book", "symbol status"),
    "delist": _kind("book", "symbol"),  # not stated any more, and silent; status_change brings it back
    "funding_interval": _kind("book", "symbol hours"),
    # The exchange as a whole.
    "halt": _kind("exchange", "for_s", "code"),
    "clock_jump": _kind("exchange", "milliseconds"),
}
"""Kind → where it acts and which fields it has."""


class Fault(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One thing that goes wrong. Raises InputError where a field is missing, or the kind has no such field.

    Usage: `Fault(at_s=5.0, kind="drop", stream="btcusdt@depth@100ms", count=2)`.
    """

    kind: str
    at_s: float | None = None
    """Simulated seconds since the start; None: at once."""
    stream: str = ""
    """Which streams, by name; `*` stands for any text, such as `*@aggTrade`."""
    symbol: str = ""
    """Upper case. With `suffix` (`*` if left out), another way to say which streams."""
    suffix: str = ""
    connection: int | None = None
    """Only the n-th of the open sockets, from 0, in the order in which they were opened."""
    route: str = ""
    """Only sockets of this route: public, market, private or legacy."""
    count: int = 0
    """So many frames of each stream, or requests, or levels."""
    for_s: float = 0.0
    """For so many simulated seconds."""
    milliseconds: int = 0
    """Of simulated time; of the wall clock for `slow`."""
    field: str = ""
    text: str = ""
    hex: str = ""
    """Bytes in hexadecimal digits, for what is no text."""
    is_binary: bool = False
    size_bytes: int = 1 << 20
    side: str = "bid"
    """bid or ask."""
    ticks_away: int = 5
    code: int = 0
    """Close code of a socket or status of an answer; 0: what is usual. 1006 cuts the connection."""
    retry_after_s: int = 0
    endpoint: str = "*"
    """Last part of a REST path, such as depth; `*` stands for any text."""
    levels: int = 0
    weight: int = 0
    limit: int = 0
    tick: str = ""
    status: str = ""
    hours: int = 0

    def __post_init__(self) -> None:
        """Raises InputError for a kind or a field that does not fit."""
        kind = KINDS.get(self.kind)
        if kind is None:
            raise InputError(f"fault kind {self.kind!r} is unknown; choose one of {', '.join(KINDS)}")
        given = {name for name, value in _DEFAULTS.items() if getattr(self, name) != value}
        for name in sorted(given - kind.allowed - {"at_s"}):
            has = ", ".join(sorted(kind.allowed))
            raise InputError(f"fault {self.kind!r} has no field {name!r}; it has at_s, {has}")
        for name in sorted(kind.required - given - _MAY_BE_DEFAULT):
            raise InputError(f"fault {self.kind!r} needs the field {name!r}")
        self._check_values(kind)

    def _check_values(self, kind: Kind) -> None:
        if kind.family == "frame" and not (self.stream or self.symbol) and self.connection is None:
            raise InputError(f"fault {self.kind!r} needs a target: stream, symbol and suffix, or connection")
        if self.side not in {"bid", "ask"}:
            raise InputError(f"fault {self.kind!r}: side {self.side!r} is neither bid nor ask")
        for name in ("count", "for_s", "ticks_away", "size_bytes", "levels", "retry_after_s"):
            if getattr(self, name) < 0:
                raise InputError(f"fault {self.kind!r}: {name} {getattr(self, name)} is below 0")
        if self.at_s is not None and self.at_s < 0:
            raise InputError(f"fault {self.kind!r}: at_s {self.at_s} lies before the start")
        if self.kind == "funding_interval" and self.hours not in {1, 2, 4, 8}:
            raise InputError(f"fault {self.kind!r}: {self.hours} hours is not one of 1, 2, 4, 8")
        try:
            bytes.fromhex(self.hex)
        except ValueError as error:
            raise InputError(f"fault {self.kind!r}: hex {self.hex!r} is no pairs of digits") from error

    @property
    def family(self) -> str:
        """Where it acts: frame, book, connection, rest or exchange."""
        return KINDS[self.kind].family

    @property
    def most_hits(self) -> int | None:
        """How often it hits each stream or endpoint; None: as often as its time allows."""
        if self.count:
            return self.count
        return None if self.for_s or KINDS[self.kind].is_lasting else 1

    @property
    def has_stream_target(self) -> bool:
        """Whether it names streams."""
        return bool(self.stream or self.symbol)

    @property
    def exact_stream(self) -> str:
        """The one stream that it targets; empty where it may be several."""
        name = self.stream or (f"{self.symbol.lower()}@{self.suffix}" if self.suffix else "")
        return "" if any(letter in name for letter in "*?[") else name

    def targets(self, stream: str) -> bool:
        """Whether a stream is meant; any is where none is named.

        >>> Fault(kind="drop", symbol="BTCUSDT", suffix="depth*").targets("btcusdt@depth@100ms")
        True
        """
        if self.stream:
            return fnmatchcase(stream, self.stream)
        if not self.symbol:
            return True
        symbol, _, suffix = stream.partition("@")
        return symbol == self.symbol.lower() and fnmatchcase(suffix, self.suffix or "*")

    def targets_request(self, endpoint: str, symbol: str) -> bool:
        """Whether a REST request is meant."""
        return fnmatchcase(endpoint, self.endpoint) and self.symbol in {"", symbol}


_DEFAULTS = {
    item.name: item.default for item in msgspec.structs.fields(Fault) if item.default is not msgspec.NODEFAULT
}
_MAY_BE_DEFAULT = frozenset({"side"})
"""Required for clarity, but its default is a value like any other."""


class _Scenario(msgspec.Struct, forbid_unknown_fields=True):
    """A scenario file."""

    fault: list[Fault]


def load_faults(path: Path) -> tuple[Fault, ...]:
    """The faults of a scenario file, in its order; raises InputError where it cannot be used."""
    try:
        with path.open("rb") as file:
            document = tomllib.load(file)
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror})") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is no TOML: {error}") from error
    try:
        return tuple(msgspec.convert(document, _Scenario).fault)
    except msgspec.ValidationError as error:
        raise InputError(f"{path}: {error}; a scenario has only [[fault]] tables") from error
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def parse_fault(body: bytes) -> Fault:
    """A fault from JSON; raises InputError where it is none."""
    try:
        return msgspec.json.decode(body, type=Fault)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InputError(f"no fault: {error}") from error
