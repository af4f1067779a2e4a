"""Goal: 100-level books → all columns of SPEC 5.5, sequence included, ≥ 0.4 M books/s on one core.

The books are full, a second apart and without gaps: peers know neither missing levels nor missing seconds.
They come in blocks of an hour, as from the lake; the numpy peer begins anew with each. Ours starts from whole
ticks and lots, the peers from floats, as each would hold them; ours also computes depth at distances and
costs of orders (18 columns more), and writes the sequence in 32 bits, the peers in 64. The Python and pandas
peer sees only the first 2,000 of the books: rates are per book.

Live is a push of one book, as it comes from the sampler: its microseconds are the inverse of its rate.

Before the clock runs, each column of each peer must agree with ours in every row.
"""

from collections.abc import Callable
from dataclasses import fields

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.duel import Claim, Contender, duel
from bench.peers import with_numpy, with_pandas_books
from undertow.features.l2 import SEQUENCE_NAMES, VALUE_NAMES
from undertow.features.l2_engine import L2Block, L2Engine
from undertow.features.l2_kernel import LEVELS
from undertow.market.columns import BookColumns
from undertow.market.instruments import Instrument
from undertow.market.time import SECOND_NS

__all__ = ["measure"]

_HOURS, _HOUR = 4, 3_600
_BOOKS = _HOURS * _HOUR
_SLOW_BOOKS = 2_000
_LIVE_BOOKS = 5_000
_SHARED = VALUE_NAMES[:37]
_INSTRUMENT = Instrument("binance-usdm", "BTCUSDT", tick="0.1", lot="0.001")
_LATENESS_NS = 250_000_000


def make_books(count: int, seed: int) -> BookColumns:
    """Books of 100 levels a side around a price that walks; quantities are log-normal."""
    rng = np.random.default_rng(seed)
    middle = 600_000 + rng.integers(-40, 41, count).cumsum()
    columns: dict[str, NDArray[np.int64]] = {f.name: np.zeros(count, np.int64) for f in fields(BookColumns)}
    for side, sign in (("bid", -1), ("ask", 1)):
        steps = rng.geometric(0.4, (count, LEVELS)).cumsum(axis=1)
        columns[f"{side}_ticks"] = middle[:, None] + sign * steps
        columns[f"{side}_lots"] = 1 + rng.lognormal(5, 2, (count, LEVELS)).astype(np.int64)
    columns["trusted_bid_ticks"], columns["trusted_ask_ticks"] = middle - 5000, middle + 5000
    columns["grid_ns"] = np.arange(1, count + 1) * SECOND_NS
    columns["spread_time_us"] = np.full(count, 1_000_000)
    return BookColumns(**columns)


def _engine() -> L2Engine:
    return L2Engine(_INSTRUMENT, _LATENESS_NS)


def _as_floats(books: BookColumns) -> tuple[NDArray[np.float64], ...]:
    price, quantity = _INSTRUMENT.price, _INSTRUMENT.quantity
    return (
        price.to_floats(books.bid_ticks),
        quantity.to_floats(books.bid_lots),
        price.to_floats(books.ask_ticks),
        quantity.to_floats(books.ask_lots),
    )


def _as_lists(books: BookColumns) -> list[tuple[with_pandas_books.Side, with_pandas_books.Side]]:
    bid_prices, bid_volumes, ask_prices, ask_volumes = _as_floats(books)
    bids = np.stack([bid_prices, bid_volumes], axis=2).tolist()
    return list(zip(bids, np.stack([ask_prices, ask_volumes], axis=2).tolist(), strict=True))


def check_agreement(
    ours: L2Block, columns: dict[str, NDArray[np.float64]], sequence: NDArray[np.float64], frame: pd.DataFrame
) -> None:
    """Raise AssertionError, naming the column, where a peer has other values than ours."""
    for name in _SHARED:
        values = ours.column(name)
        np.testing.assert_allclose(columns[name], values, rtol=1e-8, atol=1e-9, err_msg=name)
        theirs = frame[name].to_numpy()
        # pandas rolls its variances along, so that rounding adds up: atol is what that may leave.
        np.testing.assert_allclose(theirs, values[: len(frame)], rtol=1e-6, atol=1e-6, err_msg=name)
    np.testing.assert_allclose(sequence, ours.sequence, rtol=1e-6)
    theirs = frame[list(SEQUENCE_NAMES)].to_numpy()
    np.testing.assert_allclose(theirs, ours.sequence[: len(frame)], rtol=1e-6)


def _contender(name: str, units: int, prepare: Callable[[], Callable[[], object]]) -> Contender:
    def ready() -> Callable[[], int]:
        work = prepare()

        def run() -> int:
            work()
            return units

        return run

    return Contender(name, ready)


def _push_all(blocks: list[BookColumns]) -> Callable[[], object]:
    engine = _engine()

    def push() -> None:
        for block in blocks:
            engine.push(block)

    return push


def _numpy(blocks: list[tuple[NDArray[np.float64], ...]]) -> None:
    for block in blocks:
        with_numpy.l2_features(*block)


def measure(rounds: int) -> list[Claim]:
    """Whole blocks beside numpy, and Python with pandas; and one book at a time."""
    books = make_books(_BOOKS, seed=1)
    floats, lists = _as_floats(books), _as_lists(books.take(slice(0, _SLOW_BOOKS)))
    frame = with_pandas_books.l2_features(lists)
    check_agreement(_engine().push(books), *with_numpy.l2_features(*floats), frame)
    singles = [books.take(slice(at, at + 1)) for at in range(_LIVE_BOOKS)]
    hours = [books.take(slice(at, at + _HOUR)) for at in range(0, _BOOKS, _HOUR)]
    float_hours = [_as_floats(hour) for hour in hours]
    contenders = [
        _contender("undertow", _BOOKS, lambda: _push_all(hours)),
        _contender("numpy", _BOOKS, lambda: lambda: _numpy(float_hours)),
        _contender("Python and pandas", _SLOW_BOOKS, lambda: lambda: with_pandas_books.l2_features(lists)),
        _contender("undertow, a book at a time", _LIVE_BOOKS, lambda: _push_all(singles)),
    ]
    return [duel("100-level books → L2 features with sequence", "books/s", contenders, rounds)]
