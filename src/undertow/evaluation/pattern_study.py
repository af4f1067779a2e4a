"""What followed a pattern: returns after its events, beside what follows any bar.

Entry is at the first quotes whose time is not before the event was known, so never those of the bar that
completed it. Returns are of the middle price, signed by the event's side; what is left of them after crossing
the spread twice is told beside them. Events whose horizons overlap are not independent: intervals come from
whole blocks of time, all symbols of an instant together, and rest on no more degrees of freedom than there
are events without overlap. Many patterns times many horizons are many chances to be lucky: `p_holm` is the
p-value after Holm's correction (Holm 1979) over all rows of one study.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr, stdtrit

from undertow.datasets.bars import SymbolBars, float_column, known_ns, open_ns
from undertow.errors import InputError
from undertow.evaluation.bootstrap import Estimate, block_length, draw_blocks, resampled_sums, sums_per_slot
from undertow.evaluation.tracks import disjoint_labels
from undertow.market.time import SECOND_NS
from undertow.patterns.pattern import Events
from undertow.patterns.trailing import ages

__all__ = ["StudyRow", "StudySettings", "forward_returns", "holm", "study"]

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

BPS = 1e4
FEWEST_DISJOINT = 10
"""Events without overlap below which a mean has no interval: nobody could tell it from luck."""
MOST_BLOCKS = 500
"""Blocks a resample is made of at most; more cost memory and say nothing more."""


@dataclass(frozen=True, slots=True)
class StudySettings:
    """How events are followed."""

    horizons_ns: tuple[int, ...] = tuple(seconds * SECOND_NS for seconds in (1, 5, 10, 30, 60))
    confidence: float = 0.95
    resamples: int = 1000
    seed: int = 1


@dataclass(frozen=True, slots=True)
class StudyRow:
    """One pattern at one horizon. Returns are signed: positive where the price went the way of the event."""

    pattern: str
    horizon_s: float
    events: int
    """Events whose return is known: no hole from the event to the end of the horizon."""
    disjoint: int
    """The most of them that do not overlap, events of all symbols taken as one."""
    mean_bps: float | None
    """Mean signed return of the middle price."""
    any_bar_bps: float | None
    """The same of any bar of those symbols, with the events' sides: the drift, which is not the pattern's."""
    excess_bps: Estimate | None
    """Mean less the drift, with its interval; None for fewer than ten disjoint events."""
    hit_rate: float | None
    """Share of events that the price followed, of those after which it moved."""
    after_spread_bps: float | None
    """Mean signed return of buying at the ask and selling at the bid, or the other way round; before fees."""
    p: float | None
    """Two-sided: how often chance alone makes the excess as large."""
    p_holm: float | None = None
    """After Holm's correction over all rows of the study."""


@dataclass(frozen=True, slots=True)
class _Followed:
    """Events of one pattern and what followed them, (k,) each."""

    slot: Integers
    start_ns: Integers
    signed_bps: Floats
    drift_bps: Floats
    crossed_bps: Floats


@dataclass(frozen=True, slots=True)
class Forward:
    """Returns after each bar (n,), NaN where the way there has a hole."""

    entry: Integers
    """Row of the first quotes not before the bar was known; n where there are none."""
    middle_bps: Floats
    buyer_bps: Floats
    """Bought at the ask, sold at the bid."""
    seller_bps: Floats
    """Sold at the bid, bought back at the ask."""


def forward_returns(bars: SymbolBars, horizon_ns: int) -> Forward:
    """Returns from the entry after each bar over the horizon [bps of the middle at entry].

    Raises InputError where the horizon is no positive multiple of the bar's length.
    """
    if horizon_ns <= 0 or horizon_ns % bars.length_ns:
        raise InputError(
            f"a horizon of {horizon_ns / SECOND_NS:g} s is no multiple of the bars' "
            f"{bars.length_ns / SECOND_NS:g} s; choose one that is"
        )
    bid, ask, middle = (float_column(bars, name) for name in ("best_bid", "best_ask", "mid_price"))
    opened = open_ns(bars)
    quoted = np.isfinite(bid) & np.isfinite(ask) & np.isfinite(middle)
    age = ages(opened, quoted & (float_column(bars, "gap_fraction") == 0.0), bars.length_ns)
    rows = len(opened)
    here = np.arange(rows)
    entry = np.maximum(np.searchsorted(opened + bars.length_ns, known_ns(bars)), here + 1)
    leave = entry + horizon_ns // bars.length_ns
    whole = leave < rows
    at, to = np.where(whole, entry, 0), np.where(whole, leave, 0)
    whole &= age[to] > to - here

    def bps(change: Floats) -> Floats:
        return np.where(whole, change / middle[at] * BPS, np.nan)

    return Forward(entry, bps(middle[to] - middle[at]), bps(bid[to] - ask[at]), bps(bid[at] - ask[to]))


def study(
    bars: Sequence[SymbolBars],
    found: Sequence[Sequence[Events]],
    settings: StudySettings | None = None,
) -> list[StudyRow]:
    """One row for each pattern and horizon, over all symbols. `found` has each symbol's events by pattern.

    Raises InputError where symbols have bars of different lengths or another list of patterns.
    """
    settings = settings or StudySettings()
    names = {tuple(events.pattern for events in of_symbol) for of_symbol in found}
    if len(bars) != len(found) or len(names) != 1 or len({symbol.length_ns for symbol in bars}) != 1:
        raise InputError("a study needs bars of one length, and the same patterns, of every symbol")
    first_ns = min((int(open_ns(symbol)[0]) for symbol in bars if symbol.frame.height), default=0)
    last_ns = max((int(open_ns(symbol)[-1]) for symbol in bars if symbol.frame.height), default=0)
    slots = (last_ns - first_ns) // bars[0].length_ns + 1
    rows = []
    for horizon_ns in settings.horizons_ns:
        forward = [forward_returns(symbol, horizon_ns) for symbol in bars]
        for position, first in enumerate(found[0]):
            followed = _follow(bars, [of_symbol[position] for of_symbol in found], forward, first_ns)
            rows.append(_row(first.pattern, horizon_ns, followed, bars[0].length_ns, slots, settings))
    order = [events.pattern for events in found[0]]
    rows.sort(key=lambda row: order.index(row.pattern))
    corrected = holm([row.p for row in rows])
    return [replace(row, p_holm=p) for row, p in zip(rows, corrected, strict=True)]


def _follow(
    bars: Sequence[SymbolBars],
    events: Sequence[Events],
    forward: Sequence[Forward],
    first_ns: int,
) -> _Followed:
    parts = []
    for symbol, found, after in zip(bars, events, forward, strict=True):
        known = np.isfinite(after.middle_bps[found.bar])
        bar, side = found.bar[known], found.side[known].astype(np.float64)
        any_bar = after.middle_bps[np.isfinite(after.middle_bps)]
        drift = float(any_bar.mean()) if len(any_bar) else np.nan
        parts.append(
            _Followed(
                slot=(open_ns(symbol)[bar] - first_ns) // symbol.length_ns,
                start_ns=open_ns(symbol)[after.entry[bar]] + symbol.length_ns,
                signed_bps=side * after.middle_bps[bar],
                drift_bps=side * drift,
                crossed_bps=np.where(side > 0, after.buyer_bps[bar], after.seller_bps[bar]),
            )
        )
    joined = {name: np.concatenate([getattr(part, name) for part in parts]) for name in _Followed.__slots__}
    return _Followed(**joined)


def _row(
    name: str, horizon_ns: int, f: _Followed, length_ns: int, slots: int, settings: StudySettings
) -> StudyRow:
    horizon_s, count = horizon_ns / SECOND_NS, len(f.slot)
    if count == 0:
        return StudyRow(name, horizon_s, 0, 0, None, None, None, None, None, None)
    start_ns = np.sort(f.start_ns)
    disjoint = disjoint_labels(start_ns, start_ns + horizon_ns, np.zeros(count, np.int64))
    excess, p = None, None
    if disjoint >= FEWEST_DISJOINT:
        excess, p = _excess(f, disjoint, horizon_ns // length_ns, slots, settings)
    moved = f.signed_bps != 0
    return StudyRow(
        pattern=name,
        horizon_s=horizon_s,
        events=count,
        disjoint=disjoint,
        mean_bps=float(f.signed_bps.mean()),
        any_bar_bps=float(f.drift_bps.mean()),
        excess_bps=excess,
        hit_rate=float((f.signed_bps[moved] > 0).mean()) if moved.any() else None,
        after_spread_bps=float(f.crossed_bps.mean()),
        p=p,
    )


def _excess(
    f: _Followed, disjoint: int, horizon_slots: int, slots: int, settings: StudySettings
) -> tuple[Estimate, float]:
    """Mean of return less drift with its interval, and its two-sided p-value.

    The drift is taken as known: it rests on all bars, of which events are few.
    """
    excess = f.signed_bps - f.drift_bps
    per_slot = sums_per_slot(np.stack([excess, np.ones(len(excess))], axis=1), f.slot, slots)
    wanted = block_length(horizon_slots, [per_slot[:, 0]], slots)
    blocks = draw_blocks(slots, max(wanted, -(-slots // MOST_BLOCKS)), settings.resamples, settings.seed)
    sums = resampled_sums(per_slot, blocks)
    means = sums[sums[:, 1] > 0, 0] / sums[sums[:, 1] > 0, 1]
    value, error = float(excess.mean()), float(means.std())
    freedom = max(min(blocks.independent, disjoint) - 1, 1)
    reach = float(stdtrit(freedom, (1 + settings.confidence) / 2)) * error
    p = 2 * float(stdtr(freedom, -abs(value) / error)) if error > 0 else float(value == 0)
    return Estimate(value, value - reach, value + reach), p


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Each p-value after Holm's step-down correction over those that are not None.

    >>> holm([0.01, None, 0.04, 0.03])
    [0.03, None, 0.06, 0.06]
    """
    known = sorted((p, place) for place, p in enumerate(p_values) if p is not None)
    corrected: list[float | None] = [None] * len(p_values)
    largest = 0.0
    for rank, (p, place) in enumerate(known):
        largest = max(largest, min(p * (len(known) - rank), 1.0))
        corrected[place] = largest
    return corrected
