"""From rows of the market tables to what bars of every length may know: the one path of batch and live.

A row is known from `known_ns` on, which lies behind every bar that was closed when the row came. So a bar,
once closed, can never have missed a row that it may use, and it does not matter when rows are given, as long
as each is given before the first bar that may use it is closed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from undertow.frames.frames import Frames
from undertow.frames.market_frames import MarketFrames
from undertow.market.time import HOUR_NS

__all__ = ["LIQUIDATION_LATEST_NS", "MARKET_TABLES", "MarketFold", "MarketRows", "Readings"]

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]
Arrays = dict[str, NDArray[np.generic]]

LIQUIDATION_LATEST_NS = HOUR_NS
"""A forced order that becomes known later than this after it was made counts in no bar."""

_KNOWN, _EVENT, _KEY, _LOTS = range(4)
_MARK, _INDEX, _RATE, _NEXT_FUNDING = range(4)

MARKET_TABLES: Mapping[str, tuple[int, int]] = {
    "mark_price": (2, 4),
    "funding_rate": (2, 1),
    "open_interest": (2, 1),
    "liquidations": (4, 0),
}
"""Table → columns of `Readings.integers` and of `Readings.floats`."""

_KEPT = {"open_interest": 2}
"""Rows that bars look back on, where it is more than the newest."""


@dataclass(frozen=True, slots=True)
class Readings:
    """Rows of one market table, in the order in which they came."""

    integers: Integers
    """(n, 2) when known and the exchange's time [ns]; of liquidations (n, 4): also a number that copies
    share, and the quantity [lots], negative where shorts were liquidated."""
    floats: Floats
    """Of mark prices (n, 4): mark, index, rate, time of next funding [ms]; (n, 1) of settled rates and open
    interest; NaN where not told."""

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.integers)

    @property
    def known_ns(self) -> Integers:
        """(n,) when each row was known [ns]."""
        return self.integers[:, _KNOWN]

    @property
    def event_ns(self) -> Integers:
        """(n,) the exchange's time of each row [ns]."""
        return self.integers[:, _EVENT]

    def take(self, rows: Integers) -> "Readings":
        """Some of the rows."""
        return Readings(self.integers[rows], self.floats[rows])

    def then(self, others: "Readings") -> "Readings":
        """These rows and others behind them."""
        if not len(others):
            return self
        return Readings(
            np.concatenate([self.integers, others.integers]), np.concatenate([self.floats, others.floats])
        )


MarketRows = Mapping[str, Readings]
"""By table; tables without rows may lack."""


@dataclass(slots=True)
class _Held:
    """Rows of one table as bars of one length go on from them."""

    newest: Readings
    """The last ones that a closed bar could use, the newest last."""
    waiting: Readings
    """Those for bars that are still open."""

    def due(self, boundary_ns: int) -> Readings:
        """Rows known by `boundary_ns`, in the order in which they became so; they wait no longer."""
        if not len(self.waiting):
            return self.waiting
        is_due = self.waiting.known_ns <= boundary_ns
        due = self.waiting.take(np.flatnonzero(is_due))
        self.waiting = self.waiting.take(np.flatnonzero(~is_due))
        return due.take(np.lexsort((due.event_ns, due.known_ns)))


class MarketFold:
    """Attaches what the market tables say to the frames of one symbol.

    `advance` may be called with any cut of the same history; the frames are the same to the last bit.
    """

    def __init__(self, lengths_ns: Sequence[int]) -> None:
        self._held = {
            length: {table: _Held(_none(table), _none(table)) for table in MARKET_TABLES}
            for length in lengths_ns
        }
        self._boundary_ns = dict.fromkeys(lengths_ns, 0)
        self._liquidations: dict[int, int] = {}
        """Forced orders of which a copy could still count: the number that copies share → event time [ns]."""

    def advance(self, rows: MarketRows, frames: Mapping[int, Frames], until_ns: int) -> dict[int, Frames]:
        """The frames with what was known by their ends.

        `frames` are the bars closed next, by length [ns]; every bar that ends by `until_ns` is closed. `rows`
        are those not given yet, in order of arrival; every row known by `until_ns` is among those given.
        """
        rows = self._without_copies(rows, until_ns)
        attached = dict(frames)
        for length, held in self._held.items():
            for table, readings in rows.items():
                held[table].waiting = held[table].waiting.then(readings)
            boundary_ns = until_ns // length * length
            if boundary_ns > self._boundary_ns[length]:
                self._boundary_ns[length] = boundary_ns
                bars = frames.get(length)
                # without bars as well: what no later bar can use is let go
                ends_ns = np.zeros(0, np.int64) if bars is None else bars.open_ns + length
                market = self._market(length, ends_ns)
                if bars is not None:
                    attached[length] = replace(bars, market=market)
        return attached

    def _market(self, length_ns: int, ends_ns: Integers) -> MarketFrames:
        held, boundary_ns = self._held[length_ns], self._boundary_ns[length_ns]
        mark, mark_at = _newest(held["mark_price"], ends_ns, boundary_ns)
        settled, settled_at = _newest(held["funding_rate"], ends_ns, boundary_ns)
        interest, interest_at = _newest(
            held["open_interest"], ends_ns, boundary_ns, kept=_KEPT["open_interest"]
        )
        sells, buys, last_ns = _liquidated(held["liquidations"], ends_ns, length_ns, boundary_ns)
        return MarketFrames(
            mark_price=_floats(mark, _MARK)[mark_at],
            index_price=_floats(mark, _INDEX)[mark_at],
            funding_rate=_floats(mark, _RATE)[mark_at],
            next_funding_ms=_floats(mark, _NEXT_FUNDING)[mark_at],
            mark_ns=_times(mark.event_ns)[mark_at],
            settled_rate=_floats(settled, 0)[settled_at],
            settled_ns=_times(settled.event_ns)[settled_at],
            open_interest=_floats(interest, 0)[interest_at],
            interest_before=_floats(interest, 0)[np.maximum(interest_at - 1, 0)],
            interest_ns=_times(interest.event_ns)[interest_at],
            liquidated_sell_lots=sells,
            liquidated_buy_lots=buys,
            last_liquidation_ns=last_ns,
        )

    def _without_copies(self, rows: MarketRows, until_ns: int) -> MarketRows:
        """Rows without forced orders that have come before, and without those that come too late to count.

        A copy that comes late enough for its original to be forgotten is itself too late.
        """
        told = rows.get("liquidations")
        if told is None or not len(told):
            return rows
        kept = []
        for place, (known_ns, event_ns, key, _) in enumerate(told.integers.tolist()):
            if known_ns - event_ns <= LIQUIDATION_LATEST_NS and key not in self._liquidations:
                self._liquidations[key] = event_ns
                kept.append(place)
        horizon_ns = until_ns - LIQUIDATION_LATEST_NS
        self._liquidations = {key: at for key, at in self._liquidations.items() if at >= horizon_ns}
        return {**rows, "liquidations": told.take(np.array(kept, np.int64))}

    def to_arrays(self) -> Arrays:
        """Everything carried, as arrays; `restore` takes it back."""
        arrays: Arrays = {}
        for length, tables in self._held.items():
            for table, held in tables.items():
                for name, part in (("newest", held.newest), ("waiting", held.waiting)):
                    arrays[f"{length}.{table}.{name}.integers"] = part.integers.copy()
                    arrays[f"{length}.{table}.{name}.floats"] = part.floats.copy()
        arrays["boundaries"] = np.array(list(self._boundary_ns.values()), np.int64)
        arrays["liquidations"] = np.array(list(self._liquidations.items()), np.int64).reshape(-1, 2)
        return arrays

    def restore(self, arrays: Mapping[str, NDArray[np.generic]]) -> None:
        """Go on from `to_arrays()` of a fold with the same lengths."""
        for length, tables in self._held.items():
            for table in tables:
                newest, waiting = (
                    Readings(
                        arrays[f"{length}.{table}.{name}.integers"].astype(np.int64),
                        arrays[f"{length}.{table}.{name}.floats"].astype(np.float64),
                    )
                    for name in ("newest", "waiting")
                )
                tables[table] = _Held(newest, waiting)
        self._boundary_ns = dict(zip(self._held, arrays["boundaries"].tolist(), strict=True))
        self._liquidations = dict(arrays["liquidations"].tolist())


def _none(table: str) -> Readings:
    integers, floats = MARKET_TABLES[table]
    return Readings(np.zeros((0, integers), np.int64), np.zeros((0, floats)))


def _newest(held: _Held, ends_ns: Integers, boundary_ns: int, kept: int = 1) -> tuple[Readings, Integers]:
    """Rows newer than all before them, and how many of them bars with these ends may use."""
    due = held.due(boundary_ns)
    first_ns = int(held.newest.event_ns[-1]) if len(held.newest) else -1
    before_ns = np.maximum.accumulate(np.concatenate([[first_ns], due.event_ns]))[:-1]
    rows = held.newest.then(due.take(np.flatnonzero(due.event_ns > before_ns)))
    held.newest = rows.take(np.arange(max(0, len(rows) - kept), len(rows)))
    return rows, np.searchsorted(rows.known_ns, ends_ns, side="right")


def _floats(rows: Readings, column: int) -> Floats:
    """A column of the rows behind an unknown one."""
    return np.concatenate([[np.nan], rows.floats[:, column]])


def _times(times_ns: Integers) -> Integers:
    """Times behind a 0."""
    return np.concatenate([np.zeros(1, np.int64), times_ns])


def _liquidated(
    held: _Held, ends_ns: Integers, length_ns: int, boundary_ns: int
) -> tuple[Integers, Integers, Integers]:
    """Lots sold and bought by force in bars with these ends, and when the newest of all became known."""
    rows = held.newest.then(held.due(boundary_ns))
    held.newest = rows.take(np.arange(max(0, len(rows) - 1), len(rows)))
    closes = np.searchsorted(rows.known_ns, ends_ns, side="right")
    opens = np.searchsorted(rows.known_ns, ends_ns - length_ns, side="right")
    lots = rows.integers[:, _LOTS]
    sells, buys = (_times(np.cumsum(part)) for part in (np.maximum(lots, 0), np.maximum(-lots, 0)))
    return sells[closes] - sells[opens], buys[closes] - buys[opens], _times(rows.known_ns)[closes]
