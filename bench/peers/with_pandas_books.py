"""L2 features with Python and pandas (3.1) as usually written: a row a book, then rolling windows."""

from typing import Any

import numpy as np
import pandas as pd

__all__ = ["l2_features"]

Side = list[list[float]]
"""[price, quantity] of each level, best first, as a stream brings them."""


def l2_features(books: list[tuple[Side, Side]]) -> pd.DataFrame:
    """All columns of SPEC 5.5 with the sequence, of full books a second apart, without gaps."""
    frame = pd.DataFrame([_row(bids, asks) for bids, asks in books])
    for seconds in (1, 5, 30):
        frame[f"price_change_{seconds}sec"] = frame["mid_price"].pct_change(seconds) * 100
    frame["price_volatility_30sec"] = frame["price_change_1sec"].rolling(30).std(ddof=0)
    for name in ("spread", "volume_imbalance"):
        for seconds in (1, 5):
            frame[f"{name}_change_{seconds}sec"] = frame[name].diff(seconds)
        frame[f"{name}_volatility_30sec"] = frame[name].rolling(30).std(ddof=0)
    for name in ("buy_pressure", "sell_pressure", "net_pressure"):
        frame[f"{name}_change_1sec"] = frame[name].diff()
        frame[f"{name}_volatility_30sec"] = frame[name].rolling(30).std(ddof=0)
    return frame


def _pressure(side: Side, mid: float) -> float:
    return sum(
        quantity / (i + 1) * max(0.0, 1 - abs(price - mid) / mid) for i, (price, quantity) in enumerate(side)
    )


def _row(bids: Side, asks: Side) -> dict[str, Any]:
    mid, spread = (bids[0][0] + asks[0][0]) / 2, asks[0][0] - bids[0][0]
    buy, sell = _pressure(bids, mid), _pressure(asks, mid)
    row: dict[str, Any] = {"mid_price": mid, "spread": spread, "spread_percent": spread / mid * 100}
    row |= {"buy_pressure": buy, "sell_pressure": sell, "net_pressure": buy - sell}
    row |= {"pressure_ratio": buy / sell, "total_pressure": buy + sell}
    for side, levels in (("bid", bids), ("ask", asks)):
        prices, volumes = [level[0] for level in levels], [level[1] for level in levels]
        total = sum(volumes)
        row |= {f"total_{side}_volume": total, f"{side}_volume_concentration": sum(volumes[:10]) / total}
        row |= {f"{side}_price_mean": np.mean(prices), f"{side}_price_std": np.std(prices)}
        row |= {f"{side}_volume_mean": np.mean(volumes), f"{side}_volume_std": np.std(volumes)}
        for i, (price, volume) in enumerate(levels, 1):
            row[f"{side}_price_norm_{i}"] = (price - mid) / mid
            row[f"{side}_volume_{i}"] = volume
    both = row["total_bid_volume"] + row["total_ask_volume"]
    row["volume_imbalance"] = (row["total_bid_volume"] - row["total_ask_volume"]) / both
    return row
