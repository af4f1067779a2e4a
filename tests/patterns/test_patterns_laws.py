"""Laws that every pattern of the catalogue obeys; enumerated, so that a new one is tested by being listed."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.patterns.markets import (
    COLUMNS,
    flat,
    mirrored,
    random_market,
    rows,
    scaled,
    with_columns,
)
from undertow.errors import InputError
from undertow.market.time import SECOND_NS
from undertow.patterns.catalogue import PATTERNS, pattern_named, patterns_markdown
from undertow.patterns.detect import detect
from undertow.patterns.pattern import BARS, Events, Found, Pattern, PatternBars, Settings, View
from undertow.patterns.trailing import multiple

BARS_OF_MARKET = 6000
LOOSE: dict[str, Settings] = {
    "absorption": {"baseline": 100, "quiet": 5, "share": 0.8, "factor": 1.0, "one_sided": 0.2},
    "exhaustion": {
        "baseline": 100,
        "quiet": 5,
        "share": 0.5,
        "factor": 1.0,
        "leg": 20,
        "window": 5,
        "back": 0.5,
        "fade": 0.7,
    },
    "delta_divergence": {
        "baseline": 100,
        "quiet": 5,
        "share": 0.5,
        "factor": 0.5,
        "leg": 40,
        "window": 5,
        "margin": 0.1,
    },
    "whale_print": {"baseline": 100, "share": 0.9, "factor": 1.0, "one_sided": 0.2},
    "liquidity_vacuum": {"baseline": 100, "quiet": 5, "share": 0.8, "factor": 1.0, "by_cancel": 0.5},
    "spoof_wall": {
        "baseline": 100,
        "share": 0.7,
        "factor": 1.0,
        "most": 20,
        "kept": 0.3,
        "traded": 20.0,
    },
    "imbalance_extreme": {"baseline": 100, "quiet": 5, "share": 0.8, "factor": 1.0, "floor": 0.3},
}
"""Settings under which noise has many events of every kind, so that no law holds for want of any."""

each = pytest.mark.parametrize("pattern", PATTERNS, ids=lambda pattern: pattern.name)


@pytest.fixture(scope="module")
def market() -> PatternBars:
    return random_market(BARS_OF_MARKET, seed=5)


def found(pattern: Pattern, bars: PatternBars) -> Events:
    return detect(pattern, bars, LOOSE[pattern.name])


def told(events: Events, from_ns: int = 0, to_ns: int = 2**62) -> list[tuple[float, ...]]:
    """Everything but the row numbers, of the events within the times."""
    inside = (events.time_ns > from_ns) & (events.time_ns <= to_ns)
    return [
        (int(time), int(known), int(side), float(strength), *map(float, numbers))
        for time, known, side, strength, numbers in zip(
            events.time_ns[inside],
            events.known_ns[inside],
            events.side[inside],
            events.strength[inside],
            events.numbers[inside],
            strict=True,
        )
    ]


@each
def test_noise_has_events_of_both_sides_and_each_is_whole(pattern: Pattern, market: PatternBars) -> None:
    events = found(pattern, market)
    assert (events.side == 1).sum() >= 10
    assert (events.side == -1).sum() >= 10
    assert events.strength.min() >= 1.0
    assert np.isfinite(events.numbers).all()
    assert events.numbers.shape == (len(events), len(pattern.numbers))
    assert np.array_equal(events.time_ns, market.open_ns[events.bar] + SECOND_NS)
    assert (np.diff(events.time_ns) >= 0).all()


@each
def test_a_prefix_has_the_prefix_of_the_events(pattern: Pattern, market: PatternBars) -> None:
    whole = found(pattern, market)
    for count in (whole.bar[0] + 1, 777, 2500, 4001, whole.bar[-1] + 1):
        part = rows(market, slice(0, int(count)))
        assert told(found(pattern, part)) == told(whole, to_ns=int(part.open_ns[-1]) + SECOND_NS)


@each
def test_the_future_changes_nothing_before_it(pattern: Pattern, market: PatternBars) -> None:
    cut = 3000
    other = random_market(BARS_OF_MARKET, seed=6)
    mixed = replace(
        market,
        columns={
            name: np.concatenate([values[:cut], 3 * other.columns[name][cut:]])
            for name, values in market.columns.items()
        },
    )
    until = int(market.open_ns[cut])
    before = told(found(pattern, market), to_ns=until)
    assert before
    assert told(found(pattern, mixed), to_ns=until) == before


@each
def test_a_slice_with_its_lookback_has_the_events_of_the_whole(pattern: Pattern, market: PatternBars) -> None:
    whole = found(pattern, market)
    lookback = pattern.lookback_bars(LOOSE[pattern.name])
    random = np.random.default_rng(3)
    for start in (*random.integers(lookback, 5000, 5).tolist(), int(whole.bar[len(whole) // 2])):
        end = start + 600
        part = rows(market, slice(start - lookback, end))
        from_ns, to_ns = int(market.open_ns[start]), int(part.open_ns[-1]) + SECOND_NS
        assert told(found(pattern, part), from_ns, to_ns) == told(whole, from_ns, to_ns)


@each
def test_no_event_before_the_lookback_is_full(pattern: Pattern, market: PatternBars) -> None:
    lookback = pattern.lookback_bars(LOOSE[pattern.name])
    firsts = []
    for start in range(0, 3000, 60):
        events = found(pattern, rows(market, slice(start, start + 1500)))
        firsts += [int(events.bar[0])] if len(events) else []
    assert firsts
    assert min(firsts) >= lookback


@each
def test_the_mirrored_market_has_the_same_events_of_the_other_side(
    pattern: Pattern, market: PatternBars
) -> None:
    events, image = found(pattern, market), found(pattern, mirrored(market))
    exchanged = [(time, known, -int(side), *rest) for time, known, side, *rest in told(image)]
    assert sorted(exchanged) == sorted(told(events))


@each
@pytest.mark.parametrize(("price", "quantity"), [(8.0, 1.0), (1.0, 0.25), (0.5, 1024.0)])
def test_units_change_no_event(pattern: Pattern, market: PatternBars, price: float, quantity: float) -> None:
    events, other = found(pattern, market), found(pattern, scaled(market, price, quantity))
    for name in ("time_ns", "side", "strength"):
        assert np.array_equal(getattr(events, name), getattr(other, name)), name
    factor = {"quote": price, "base": quantity}
    factors = [factor.get(number.unit, 1.0) for number in pattern.numbers]
    assert np.array_equal(events.numbers * factors, other.numbers)


def broken_by_gap(bars: PatternBars, at: int, _: str) -> PatternBars:
    gap = bars.columns["gap_fraction"].copy()
    gap[at] = 0.01
    return with_columns(bars, gap_fraction=gap)


def broken_by_null(bars: PatternBars, at: int, name: str) -> PatternBars:
    values = bars.columns[name].copy()
    values[at] = np.nan
    return with_columns(bars, **{name: values})


def broken_by_absence(bars: PatternBars, at: int, _: str) -> PatternBars:
    return rows(bars, np.delete(np.arange(len(bars.open_ns)), at))


@each
@pytest.mark.parametrize("broken", [broken_by_gap, broken_by_null, broken_by_absence])
def test_a_hole_starts_everything_anew(
    pattern: Pattern, market: PatternBars, broken: Callable[[PatternBars, int, str], PatternBars]
) -> None:
    whole = found(pattern, market)
    at = int(whole.bar[len(whole) // 2])
    hole_ns = int(market.open_ns[at])
    for name in pattern.inputs:
        events = found(pattern, broken(market, at, name))
        assert told(events, to_ns=hole_ns) == told(whole, to_ns=hole_ns)
        after = rows(market, slice(at + 1, None))
        assert told(events, from_ns=hole_ns) == told(found(pattern, after))


@each
def test_one_episode_is_one_event(pattern: Pattern, market: PatternBars) -> None:
    events = found(pattern, market)
    quiet = pattern.with_defaults(LOOSE[pattern.name])["quiet"]
    for side in (1, -1):
        bars = events.bar[events.side == side]
        assert np.diff(bars).min() > quiet


@each
def test_nothing_is_found_where_nothing_happens(pattern: Pattern) -> None:
    assert len(found(pattern, flat(3000))) == 0
    assert len(found(pattern, flat(0))) == 0


def peeking(v: View, s: Settings) -> Found:
    """A broken pattern: it knows the next bar."""
    price = v.odd("mid_price")
    ahead = np.append(price[1:] - price[:-1], 0.0)
    return Found(multiple(ahead, np.full(len(price), 2.0)), (ahead,))


def test_the_laws_catch_a_pattern_that_peeks(market: PatternBars) -> None:
    broken = replace(pattern_named("whale_print"), function=peeking, inputs=("mid_price",))
    whole = detect(broken, market)
    part = rows(market, slice(0, int(whole.bar[3]) + 1))
    assert told(detect(broken, part)) != told(whole, to_ns=int(part.open_ns[-1]) + SECOND_NS)


@each
def test_a_line_says_everything(pattern: Pattern) -> None:
    assert set(pattern.inputs) <= set(COLUMNS)
    for text in (pattern.definition, pattern.reads, pattern.source, pattern.example, pattern.strength):
        assert len(text) > 10
    assert {"baseline", "quiet", "share", "factor"} <= {setting.name for setting in pattern.settings}
    for setting in pattern.settings:
        assert setting.name in pattern.definition or setting.name == "quiet"
        assert setting.unit in (BARS, "share", "ratio")


def test_names_are_there_once_and_are_the_key() -> None:
    names = [pattern.name for pattern in PATTERNS]
    assert sorted(set(names)) == sorted(names)
    assert [pattern_named(name) for name in names] == list(PATTERNS)
    with pytest.raises(InputError, match="no pattern 'wolf'; choose from absorption, "):
        pattern_named("wolf")


def test_settings_are_checked(market: PatternBars) -> None:
    absorption = pattern_named("absorption")
    with pytest.raises(InputError, match="absorption has no setting windo; it has baseline"):
        detect(absorption, market, {"windo": 3})
    with pytest.raises(InputError, match="window must be a whole number of bars, got 2"):
        detect(absorption, market, {"window": 2.5})
    columns = {name: values for name, values in market.columns.items() if name != "vol_delta"}
    with pytest.raises(InputError, match="no column 'vol_delta'"):
        detect(absorption, replace(market, columns=columns))


def test_bars_are_checked() -> None:
    bars = flat(5)
    with pytest.raises(InputError, match="one length"):
        with_columns(bars, volume=np.zeros(4))
    with pytest.raises(InputError, match="sorted by time"):
        rows(bars, np.array([1, 0]))


def test_the_page_holds_the_catalogue_as_it_is() -> None:
    page = (Path(__file__).parents[2] / "docs/patterns.md").read_text()
    assert page.endswith(patterns_markdown()), (
        "write patterns_markdown() to the end of docs/patterns.md again"
    )
    for pattern in PATTERNS:
        rate = next(line for line in page.splitlines() if line.startswith(f"| {pattern.name} |")).split("|")
        assert float(rate[4]) <= pattern.false_alarms == float(rate[5])
