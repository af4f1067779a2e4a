"""Features of 20-level books as usually written in Python: lists of levels, and scipy's linregress a side."""

import math
import statistics
from typing import Any

from scipy.stats import linregress

from bench.peers.sampled_books import SampledBooks

__all__ = ["Book", "as_lists", "book_features"]

Side = list[list[float]]
"""[price, quantity] of each level, best first, as a stream brings them."""
Book = tuple[Side, Side, list[float]]
"""Bids, asks, and ∫ s dt, ∫ s² dt, their time, and both order-flow imbalances since the sample before."""


def as_lists(books: SampledBooks) -> list[Book]:
    """Each sample as it would come from a stream."""
    passed = zip(
        books.spread_integral.tolist(),
        books.spread_square_integral.tolist(),
        books.spread_time.tolist(),
        books.ofi_1.tolist(),
        books.ofi_10.tolist(),
        strict=True,
    )
    bids = zip(books.bid_prices.tolist(), books.bid_volumes.tolist(), strict=True)
    asks = zip(books.ask_prices.tolist(), books.ask_volumes.tolist(), strict=True)
    return [
        (_levels(*bid), _levels(*ask), list(rest)) for bid, ask, rest in zip(bids, asks, passed, strict=True)
    ]


def _levels(prices: list[float], volumes: list[float]) -> Side:
    return [list(level) for level in zip(prices, volumes, strict=True)]


def book_features(books: list[Book]) -> list[dict[str, Any]]:
    """The columns of SPEC 5.3 that need no trade, a row a bar of two samples."""
    return [_bar(books[at], books[at + 1]) for at in range(0, len(books), 2)]


def _imbalance(book: Book, depth: int) -> float:
    bids, asks = (sum(volume for _, volume in side[:depth]) for side in book[:2])
    return (bids - asks) / (bids + asks)


def _bar(first: Book, last: Book) -> dict[str, Any]:
    row: dict[str, Any] = {}
    for depth in (5, 10, 20):
        pair = [_imbalance(book, depth) for book in (first, last)]
        row |= {f"imbalance_{depth}": pair[1], f"imbalance_{depth}_avg": statistics.fmean(pair)}
    for side, levels in (("bid", last[0]), ("ask", last[1])):
        volumes = [volume for _, volume in levels]
        distances = [abs(price - levels[0][0]) for price, _ in levels]
        row |= {
            f"best_{side}": levels[0][0],
            f"{side}_vol_ratio_5_20": sum(volumes[:5]) / sum(volumes),
            f"{side}_slope": linregress(distances, volumes).slope,
        }
    (bid, bid_volume), (ask, ask_volume) = last[0][0], last[1][0]
    row["mid_price"] = (bid + ask) / 2
    row["weighted_mid"] = (bid * ask_volume + ask * bid_volume) / (bid_volume + ask_volume)
    integral, square, time, row["ofi_1"], row["ofi_10"] = map(sum, zip(first[2], last[2], strict=True))
    row["spread_avg"] = integral / time
    row["spread_std"] = math.sqrt(max(0.0, square / time - row["spread_avg"] ** 2))
    return row
