"""Trade bars with pandas (3.1) as they are usually written: resample, aggregate, rolling windows."""

from pathlib import Path

import numpy as np
import pandas as pd

__all__ = ["read_trades", "trade_bars"]

_COLUMNS = ["timestamp", "price", "quantity", "is_buyer_maker"]


def read_trades(folder: Path) -> pd.DataFrame:
    """Every trade below a folder of the lake, in order of time."""
    files = sorted(folder.rglob("data.parquet"))
    return pd.concat([pd.read_parquet(file, columns=_COLUMNS) for file in files], ignore_index=True)


def trade_bars(trades: pd.DataFrame) -> pd.DataFrame:
    """All columns of SPEC 5.1 and 5.2 in bars of 1 s, empty ones filled."""
    rows = trades.set_index(pd.to_datetime(trades["timestamp"], unit="ms"))
    quantity = rows["quantity"]
    rows["notional"] = rows["price"] * quantity
    rows["buy_volume"] = quantity.where(~rows["is_buyer_maker"], 0.0)
    rows["large_trade_count"] = quantity > 2.0 * quantity.rolling("15min").mean()
    rows["large_trade_volume"] = quantity.where(rows["large_trade_count"], 0.0)
    seconds = rows.resample("1s")
    bars = seconds["price"].ohlc()
    sums = seconds[["quantity", "notional", "buy_volume", "large_trade_count", "large_trade_volume"]].sum()
    bars = bars.join(sums.rename(columns={"quantity": "volume"}))
    bars["trade_count"] = seconds.size()
    return _derive(bars)


def _derive(bars: pd.DataFrame) -> pd.DataFrame:
    close = bars["close"].ffill()
    bars["close"] = close
    for name in ("open", "high", "low"):
        bars[name] = bars[name].fillna(close)
    bars["returns"] = close.pct_change()
    bars["log_returns"] = np.log(close).diff()
    bars["sell_volume"] = bars["volume"] - bars["buy_volume"]
    bars["vol_delta"] = bars["buy_volume"] - bars["sell_volume"]
    bars["cvd"] = bars.groupby(bars.index.floor("D"))["vol_delta"].cumsum()
    bars["vwap"] = (bars["notional"] / bars["volume"]).fillna(close)
    bars["buy_pressure"] = bars["buy_volume"] / bars["volume"]
    bars["large_trade_pct"] = bars["large_trade_volume"] / bars["volume"]
    for seconds in (1, 5, 10):
        counts = bars["trade_count"].rolling(seconds, min_periods=1).sum()
        bars[f"trade_intensity_{seconds}s"] = counts / seconds
    return bars.drop(columns="notional")
