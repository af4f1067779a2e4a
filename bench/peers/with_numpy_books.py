"""Features of 20-level books with numpy (2.x): every column a few passes over whole matrices of floats."""

import numpy as np
from numpy.typing import NDArray

from bench.peers.sampled_books import SampledBooks

__all__ = ["book_features"]

Floats = NDArray[np.float64]


def book_features(books: SampledBooks) -> dict[str, Floats]:
    """The columns of SPEC 5.3 that need no trade, in bars of two samples each."""
    bids, asks = books.bid_volumes, books.ask_volumes
    out: dict[str, Floats] = {}
    for depth in (5, 10, 20):
        near_bids, near_asks = bids[:, :depth].sum(axis=1), asks[:, :depth].sum(axis=1)
        imbalance = (near_bids - near_asks) / (near_bids + near_asks)
        out[f"imbalance_{depth}"] = imbalance[1::2]
        out[f"imbalance_{depth}_avg"] = imbalance.reshape(-1, 2).mean(axis=1)
    for side, prices, volumes in (("bid", books.bid_prices, bids), ("ask", books.ask_prices, asks)):
        last, held = prices[1::2], volumes[1::2]
        out[f"best_{side}"] = last[:, 0]
        out[f"{side}_vol_ratio_5_20"] = held[:, :5].sum(axis=1) / held.sum(axis=1)
        out[f"{side}_slope"] = _slope(np.abs(last - last[:, :1]), held)
    bid, ask = out["best_bid"], out["best_ask"]
    best_bids, best_asks = bids[1::2, 0], asks[1::2, 0]
    out["mid_price"] = (bid + ask) / 2
    out["weighted_mid"] = (bid * best_asks + ask * best_bids) / (best_bids + best_asks)
    time = _per_bar(books.spread_time)
    out["spread_avg"] = _per_bar(books.spread_integral) / time
    variance = _per_bar(books.spread_square_integral) / time - out["spread_avg"] ** 2
    out["spread_std"] = np.sqrt(np.maximum(variance, 0.0))
    out["ofi_1"], out["ofi_10"] = _per_bar(books.ofi_1), _per_bar(books.ofi_10)
    return out


def _per_bar(values: Floats) -> Floats:
    sums: Floats = values.reshape(-1, 2).sum(axis=1)
    return sums


def _slope(distance: Floats, volume: Floats) -> Floats:
    """Least-squares slope of quantity on distance, row by row."""
    away = distance - distance.mean(axis=1, keepdims=True)
    held = volume - volume.mean(axis=1, keepdims=True)
    slope: Floats = (away * held).sum(axis=1) / (away**2).sum(axis=1)
    return slope
