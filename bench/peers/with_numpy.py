"""L2 features with numpy (2.x): every column a few passes over whole matrices of floats."""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

__all__ = ["l2_features"]

Floats = NDArray[np.float64]
Columns = dict[str, Floats]


def l2_features(
    bid_prices: Floats, bid_volumes: Floats, ask_prices: Floats, ask_volumes: Floats
) -> tuple[Columns, Floats]:
    """The 37 columns and the (n, 400) sequence of SPEC 5.5, of full books a second apart, without gaps."""
    mid = (bid_prices[:, 0] + ask_prices[:, 0]) / 2
    out = {"mid_price": mid, "spread": ask_prices[:, 0] - bid_prices[:, 0]}
    out["spread_percent"] = out["spread"] / mid * 100
    weight = 1 / np.arange(1, bid_prices.shape[1] + 1)
    prices = {"bid": bid_prices, "ask": ask_prices}
    volumes = {"bid": bid_volumes, "ask": ask_volumes}
    for side, name in (("bid", "buy"), ("ask", "sell")):
        distance = np.abs(prices[side] - mid[:, None]) / mid[:, None]
        out[f"{name}_pressure"] = (volumes[side] * weight * np.maximum(0, 1 - distance)).sum(axis=1)
        out[f"total_{side}_volume"] = volumes[side].sum(axis=1)
        out[f"{side}_price_mean"] = prices[side].mean(axis=1)
        out[f"{side}_price_std"] = prices[side].std(axis=1)
        out[f"{side}_volume_mean"] = volumes[side].mean(axis=1)
        out[f"{side}_volume_std"] = volumes[side].std(axis=1)
        near = volumes[side][:, :10].sum(axis=1)
        out[f"{side}_volume_concentration"] = near / out[f"total_{side}_volume"]
    bids, asks = out["total_bid_volume"], out["total_ask_volume"]
    out["volume_imbalance"] = (bids - asks) / (bids + asks)
    buy, sell = out["buy_pressure"], out["sell_pressure"]
    out |= {"net_pressure": buy - sell, "pressure_ratio": buy / sell, "total_pressure": buy + sell}
    norms = [(side - mid[:, None]) / mid[:, None] for side in (bid_prices, ask_prices)]
    return out | _changes(out), np.concatenate([*norms, bid_volumes, ask_volumes], axis=1)


def _back(values: Floats, seconds: int) -> Floats:
    """The value some rows before."""
    return np.concatenate([np.full(seconds, np.nan), values[:-seconds]])


def _deviation(values: Floats) -> Floats:
    """Population deviation of the last 30 rows."""
    windows = sliding_window_view(values, 30)
    return np.concatenate([np.full(29, np.nan), windows.std(axis=1)])


def _changes(of: Columns) -> Columns:
    mid, out = of["mid_price"], {}
    for seconds in (1, 5, 30):
        before = _back(mid, seconds)
        out[f"price_change_{seconds}sec"] = (mid - before) / before * 100
    out["price_volatility_30sec"] = _deviation(out["price_change_1sec"])
    for name in ("spread", "volume_imbalance"):
        for seconds in (1, 5):
            out[f"{name}_change_{seconds}sec"] = of[name] - _back(of[name], seconds)
        out[f"{name}_volatility_30sec"] = _deviation(of[name])
    for name in ("buy_pressure", "sell_pressure", "net_pressure"):
        out[f"{name}_change_1sec"] = of[name] - _back(of[name], 1)
        out[f"{name}_volatility_30sec"] = _deviation(of[name])
    return out
