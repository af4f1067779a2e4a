"""Features of two markets from the feature tables of a lake: `features` of both → `cross_features`.

A row a bar of the follower, at `{venue}/cross_features/{SYMBOL}/{timeframe}/…`, with the follower's
`known_ns`. One table has one leader and one spot market at most; computing it with others replaces it.
"""

import hashlib
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from undertow.datasets.cross_join import CROSS_TABLE
from undertow.datasets.sources import SourceHour, one_lineage, source_hours
from undertow.errors import InputError
from undertow.features import cross, cross_kernel
from undertow.features.cross import CROSS_FEATURES, CrossEngine, PairBars
from undertow.features.cross_kernel import PAST_BARS
from undertow.lake.layout import HourKey
from undertow.lake.reader import Lake
from undertow.lake.writer import LakeWriter
from undertow.market.time import HOUR_NS, MILLISECOND_NS, parse_timeframe

__all__ = ["CrossRequest", "Place", "compute_cross_features", "cross_requests", "write_cross_features"]

_COLUMNS = ["timestamp", "known_ns", "mid_price", "buy_volume", "sell_volume"]
_NEVER_NS = -1

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]
OnHour = Callable[[datetime], None]


@dataclass(frozen=True, slots=True)
class Place:
    """A market of the lake."""

    venue: str
    symbol: str

    def __str__(self) -> str:
        """As a person writes it."""
        return f"{self.venue} {self.symbol}"


@dataclass(frozen=True, slots=True)
class CrossRequest:
    """Which markets are set side by side. Raises InputError where there is nothing beside the follower."""

    lake: Lake
    follower: Place
    timeframe: str
    leader: Place | None = None
    """Of the family `lead_lag`, such as BTCUSDT for an alt."""
    spot: Place | None = None
    """Of the family `spot_perp`: the spot market of the perpetual that follows."""

    def __post_init__(self) -> None:
        others = [place for place in (self.leader, self.spot) if place]
        if not others:
            raise InputError(f"{self.follower}: no other market; name a leader, a spot market or both")
        if self.follower in others:
            raise InputError(f"{self.follower} cannot lead itself; name another market")

    @property
    def families(self) -> dict[str, Place]:
        """The other market of each family that is computed."""
        named = (("lead_lag", self.leader), ("spot_perp", self.spot))
        return {family: place for family, place in named if place}

    @property
    def length_ns(self) -> int:
        """Length of a bar [ns]; raises InputError for a timeframe that is none."""
        try:
            return parse_timeframe(self.timeframe)
        except ValueError as error:
            raise InputError(str(error)) from error


@dataclass(frozen=True, slots=True)
class _Bars:
    """Bars of one market on a grid; NaN and −1 where there is none."""

    mid: Floats
    buys: Floats
    sells: Floats
    known_ns: Integers


def cross_requests(
    lake: Lake,
    venue: str | None,
    symbols: Sequence[str],
    timeframes: Sequence[str],
    leader: str | None,
    spot_venue: str | None,
) -> list[CrossRequest]:
    """What is to be computed: each follower and timeframe, beside its venue's leader and its spot market.

    `venue` None: all of the lake; no `symbols`: all with features. The leader does not follow itself, and a
    symbol that `spot_venue` does not have is left without its spot market. Raises InputError where nothing is
    left.
    """
    found = []
    for name in [venue] if venue else lake.venues():
        for symbol in symbols or lake.symbols(name, "features"):
            leads = Place(name, leader) if leader and leader != symbol else None
            is_beside = spot_venue not in (None, name) and symbol in lake.symbols(str(spot_venue), "features")
            spot = Place(str(spot_venue), symbol) if is_beside else None
            if name != spot_venue and (leads or spot):
                found += [CrossRequest(lake, Place(name, symbol), one, leads, spot) for one in timeframes]
    if not found:
        raise InputError(
            f"{lake.root}: no features of a follower with another market; `undertow features` writes them, "
            "--leader names a symbol of the same venue, --spot another venue that has the same symbols"
        )
    return found


def write_cross_features(request: CrossRequest, on_hour: OnHour) -> int:
    """Compute and store the features of a pair, each hour sealed when it is done; rows written.

    What an hour held before is replaced. Raises InputError as `compute_cross_features`.
    """
    rows, extra = 0, _provenance(request)
    writer = LakeWriter(request.lake.root, request.follower.venue, request.follower.symbol)
    try:
        for hour, table in compute_cross_features(request):
            key = HourKey(
                request.follower.venue, CROSS_TABLE, request.follower.symbol, request.timeframe, hour
            )
            writer.replace(key, table, extra)
            rows += table.num_rows
            on_hour(datetime.fromtimestamp(hour / 1e9, UTC))
    finally:
        writer.close()
    return rows


def compute_cross_features(request: CrossRequest) -> Iterator[tuple[int, pa.Table]]:
    """(start of the hour [ns], rows) of each stored hour of the follower; one hour is held at a time.

    A bar that the follower lacks is unknown for both. Raises InputError where one of the markets has no bars
    of this timeframe, or tables were computed by different code.
    """
    length_ns = request.length_ns
    _check_sources(request)
    engines: dict[str, CrossEngine] = {}
    next_ns = 0
    for hour in request.lake.hours(
        request.follower.venue, "features", request.follower.symbol, request.timeframe
    ):
        rows = _read(request, request.follower, hour, hour + HOUR_NS)
        if rows is None:
            continue
        stamps_ns = rows["timestamp"].to_numpy() * MILLISECOND_NS
        is_near = 0 < stamps_ns[0] - next_ns <= PAST_BARS * length_ns or stamps_ns[0] == next_ns
        first_ns = next_ns if is_near else int(stamps_ns[0])
        if not is_near:
            engines = {family: CrossEngine(length_ns) for family in request.families}
        next_ns = int(stamps_ns[-1]) + length_ns
        grid = np.arange(first_ns, next_ns, length_ns, dtype=np.int64)
        yield hour, _table(request, engines, grid, rows)


def _table(
    request: CrossRequest, engines: Mapping[str, CrossEngine], grid: Integers, rows: pa.Table
) -> pa.Table:
    """The rows of the follower's bars, of which the grid has all and those that are missing."""
    follower = _on_grid(rows, grid)
    exists = follower.known_ns != _NEVER_NS
    columns = {"timestamp": pa.array(grid[exists] // MILLISECOND_NS)}
    for family, place in request.families.items():
        engine = engines[family]
        leader = _on_grid(_read(request, place, int(grid[0]), int(grid[-1]) + engine.length_ns), grid)
        block = engine.push(_pair(engine.length_ns, grid, follower, leader))
        for feature, values in zip(CROSS_FEATURES, block.values, strict=True):
            if feature.family == family:
                columns[feature.name] = pa.array(values[exists], from_pandas=True)
    columns["known_ns"] = pa.array(follower.known_ns[exists])
    return pa.table(columns)


def _pair(length_ns: int, grid: Integers, follower: _Bars, leader: _Bars) -> PairBars:
    later = np.iinfo(np.int64).max
    return PairBars(
        length_ns,
        grid,
        follower.mid,
        leader.mid,
        leader.buys,
        leader.sells,
        follower.known_ns,
        np.where(leader.known_ns == _NEVER_NS, later, leader.known_ns),
    )


def _read(request: CrossRequest, place: Place, from_ns: int, to_ns: int) -> pa.Table | None:
    return request.lake.read_whole(
        place.venue,
        "features",
        place.symbol,
        from_ns,
        to_ns,
        timeframe=request.timeframe,
        columns=_COLUMNS,
        include_open=True,
    )


def _on_grid(rows: pa.Table | None, grid: Integers) -> _Bars:
    """The bars at their places in the grid, whose steps are those of the rows."""
    values = np.full((3, len(grid)), np.nan)
    known_ns = np.full(len(grid), _NEVER_NS)
    if rows is not None and len(grid):
        places = np.searchsorted(grid, rows["timestamp"].to_numpy() * MILLISECOND_NS)
        for row, name in enumerate(("mid_price", "buy_volume", "sell_volume")):
            values[row, places] = rows[name].cast(pa.float64()).to_numpy()
        known_ns[places] = rows["known_ns"].to_numpy()
    return _Bars(values[0], values[1], values[2], known_ns)


def _check_sources(request: CrossRequest) -> None:
    found: list[SourceHour] = []
    for place in (request.follower, *request.families.values()):
        hours = source_hours(request.lake.root, place.venue, "features", place.symbol, request.timeframe)
        if not hours and not request.lake.hours(place.venue, "features", place.symbol, request.timeframe):
            raise InputError(
                f"{request.lake.root}: no features of {place} at {request.timeframe}; "
                f"run `undertow features --timeframes {request.timeframe}` for it first"
            )
        found += hours
    one_lineage(found)


def _provenance(request: CrossRequest) -> dict[str, Any]:
    """For the manifests: what computed the rows, and from which markets."""
    others = {family: str(place) for family, place in request.families.items()}
    digest = hashlib.sha256()
    for module in (cross, cross_kernel):
        digest.update(inspect.getsource(module).encode())
    digest.update(repr(sorted(others.items())).encode())
    return {"lineage": digest.hexdigest(), "others": others}
