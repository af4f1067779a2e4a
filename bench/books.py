"""Goal: 20-level book samples → the book's columns of 1 s bars, ≥ 5 M books/s on one core.

The samples are those of `bench.synthetic_day`, 172,800 of them, two a bar, in blocks of an hour as from the
lake. Ours is `FrameFold` and the features of SPEC 5.3, from whole ticks and lots; beside it the same features
of bars that are folded already, a book a bar. Peers start from floats. The Python and scipy peer sees only
the first 2,000 samples: rates are per book.

Before the clock runs, each column of each peer must agree with ours in every bar.
"""

from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray

from bench.duel import Claim, Contender, duel
from bench.peers import with_numpy_books, with_scipy_books
from bench.peers.sampled_books import as_floats
from bench.synthetic_day import INSTRUMENT, SETTINGS, make_samples
from undertow.features.catalogue import feature_set
from undertow.features.engine import FeatureEngine
from undertow.frames.column_set import empty_trades
from undertow.frames.frame_fold import FrameFold
from undertow.frames.frames import Frames
from undertow.market.columns import BookColumns
from undertow.market.time import SECOND_NS

__all__ = ["measure"]

_HOUR_SAMPLES = 7_200
_SLOW_SAMPLES = 2_000
_BOOK = feature_set("book")
_NEEDS_TRADES = frozenset({"weighted_mid_price_diff_bps"})

Columns = dict[str, NDArray[np.float64]]


def _fold() -> FrameFold:
    return FrameFold(INSTRUMENT, SETTINGS.timeframes_ns, SETTINGS.lateness_ns, SETTINGS.large())


def _frames(hours: list[BookColumns]) -> list[Frames]:
    fold = _fold()
    return [fold.advance(empty_trades(), hour, (), int(hour.grid_ns[-1]))[SECOND_NS] for hour in hours]


def ours(hours: list[BookColumns]) -> Columns:
    """Bars of the samples, and their features."""
    fold, engine = _fold(), FeatureEngine(_BOOK, SECOND_NS)
    blocks = []
    for hour in hours:
        frames = fold.advance(empty_trades(), hour, (), int(hour.grid_ns[-1]))[SECOND_NS]
        blocks.append(engine.push(frames).values)
    names = (feature.name for feature in _BOOK)
    return dict(zip(names, np.concatenate(blocks, axis=1), strict=True))


def _features_alone(frames: list[Frames]) -> None:
    engine = FeatureEngine(_BOOK, SECOND_NS)
    for block in frames:
        engine.push(block)


def check_agreement(found: Columns, arrays: Columns, rows: list[dict[str, float]]) -> None:
    """Raise AssertionError, naming the column, where a peer has other values than ours."""
    for name, values in found.items():
        if name in _NEEDS_TRADES:
            continue
        np.testing.assert_allclose(arrays[name], values, rtol=1e-6, atol=1e-6, err_msg=name)
        theirs = np.array([row[name] for row in rows])
        np.testing.assert_allclose(theirs, values[: len(rows)], rtol=1e-6, atol=1e-6, err_msg=name)


def _contender(name: str, books: int, work: Callable[[], object]) -> Contender:
    def run() -> int:
        work()
        return books

    return Contender(name, lambda: run)


def measure(rounds: int) -> list[Claim]:
    """Samples into bars with features beside numpy and scipy; and the features of bars alone."""
    samples = make_samples(seed=3)
    hours = [samples.take(slice(at, at + _HOUR_SAMPLES)) for at in range(0, len(samples), _HOUR_SAMPLES)]
    floats = [as_floats(hour, INSTRUMENT) for hour in hours]
    whole = as_floats(samples, INSTRUMENT)
    lists = with_scipy_books.as_lists(whole.first(_SLOW_SAMPLES))
    check_agreement(ours(hours), with_numpy_books.book_features(whole), with_scipy_books.book_features(lists))
    frames = _frames(hours)
    bars = sum(map(len, frames))

    def numpy_hours() -> None:
        for hour in floats:
            with_numpy_books.book_features(hour)

    contenders = [
        _contender("undertow", len(samples), partial(ours, hours)),
        _contender("undertow, bars folded already", bars, partial(_features_alone, frames)),
        _contender("numpy", len(samples), numpy_hours),
        _contender("Python and scipy", _SLOW_SAMPLES, partial(with_scipy_books.book_features, lists)),
    ]
    return [duel("20-level books → 1 s bars with book features", "books/s", contenders, rounds)]
