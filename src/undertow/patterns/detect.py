"""From bars to events: one pattern, both sides."""

import numpy as np

from undertow.patterns.pattern import QUIET, Events, Floats, Integers, Pattern, PatternBars, Settings, View
from undertow.patterns.trailing import ages, episode_starts

__all__ = ["detect"]


def detect(pattern: Pattern, bars: PatternBars, changed: Settings | None = None) -> Events:
    """All events of a pattern in the bars.

    An event is the first bar of an episode, after `quiet` bars without the pattern on that side. Whether a
    bar is one depends on it and the `lookback_bars` before it. Raises InputError for a missing column or an
    unknown setting.
    """
    settings = pattern.with_defaults(changed)
    age = _ages(pattern, bars)
    found = [_one_side(pattern, View(bars, side, age), settings) for side in (1, -1)]
    bar = np.concatenate([rows for rows, _, _ in found])
    side = np.concatenate(
        [np.full(len(rows), s, np.int8) for (rows, _, _), s in zip(found, (1, -1), strict=True)]
    )
    strength = np.concatenate([values for _, values, _ in found])
    numbers = np.concatenate([values for _, _, values in found])
    order = np.lexsort((-side, bar))
    bar = bar[order]
    return Events(
        pattern=pattern.name,
        bar=bar,
        time_ns=bars.open_ns[bar] + bars.length_ns,
        known_ns=bars.known_ns[bar],
        side=side[order],
        strength=strength[order],
        names=tuple(number.name for number in pattern.numbers),
        numbers=numbers[order],
    )


def _ages(pattern: Pattern, bars: PatternBars) -> Integers:
    usable = bars.column("gap_fraction") == 0.0
    for name in pattern.inputs:
        usable &= np.isfinite(bars.column(name))
    return ages(bars.open_ns, usable, bars.length_ns)


def _one_side(pattern: Pattern, view: View, settings: Settings) -> tuple[Integers, Floats, Floats]:
    """Rows (k,), strengths (k,) and numbers (k, m) of one side's events."""
    found = pattern.function(view, settings)
    lookback = pattern.lookback_bars(settings)
    rows = episode_starts(found.strength, view.age, int(settings[QUIET]), lookback)
    return rows, found.strength[rows], np.stack([values[rows] for values in found.numbers], axis=1)
