"""Indicators against TA-Lib on a month of real minutes; skipped where either is missing."""

import csv
import gzip
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.features.frames_factory import blank
from undertow.features.catalogue import feature_set
from undertow.features.engine import FeatureEngine
from undertow.frames.frames import Frames
from undertow.market.time import MINUTE_NS

talib: Any = pytest.importorskip("talib", reason="TA-Lib is not installed: pip install TA-Lib")

DATA = Path(os.environ.get("UNDERTOW_DATA", Path(__file__).resolve().parents[3] / "shared" / "data"))
MONTH = DATA / "btc-perp-1m-2022-01.csv.gz"

pytestmark = pytest.mark.skipif(
    not MONTH.exists(), reason=f"{MONTH} is missing; UNDERTOW_DATA names its folder"
)


@pytest.fixture(scope="module")
def candles() -> dict[str, Any]:
    with gzip.open(MONTH, "rt", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return {name: np.array([float(row[name]) for row in rows]) for name in ("open", "high", "low", "close")}


@pytest.fixture(scope="module")
def found(candles: dict[str, Any]) -> dict[str, Any]:
    ticks = {name: np.rint(values * 8).astype(np.int64) for name, values in candles.items()}
    frames: Frames = blank(len(ticks["close"]), MINUTE_NS, price="0.125", **ticks)
    for name, values in candles.items():
        assert (frames.price.to_floats(getattr(frames, name)) == values).all(), name
    block = FeatureEngine(feature_set("technical"), MINUTE_NS).push(frames)
    return dict(zip(block.names, block.values, strict=True))


def bollinger(c: dict[str, Any]) -> tuple[Any, Any, Any]:
    upper, middle, lower = talib.BBANDS(c["close"], 20, 2.0, 2.0)
    return upper, middle, lower


def bollinger_position(c: dict[str, Any]) -> Any:
    upper, _, lower = bollinger(c)
    return (c["close"] - lower) / (upper - lower)


def bollinger_width(c: dict[str, Any]) -> Any:
    upper, middle, lower = bollinger(c)
    return (upper - lower) / middle


def keltner(c: dict[str, Any]) -> tuple[Any, Any]:
    middle, reach = talib.EMA(c["close"], 20), 2 * talib.ATR(c["high"], c["low"], c["close"], 14)
    return middle + reach, middle - reach


def keltner_position(c: dict[str, Any]) -> Any:
    upper, lower = keltner(c)
    return (c["close"] - lower) / (upper - lower)


def stochastic(c: dict[str, Any]) -> tuple[Any, Any]:
    """%K and %D; TA-Lib's %K begins with the first %D."""
    percent_k, percent_d = talib.STOCHF(c["high"], c["low"], c["close"], 14, 3, 0)
    return percent_k, percent_d


THEIRS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "ema_12": lambda c: talib.EMA(c["close"], 12),
    "ema_26": lambda c: talib.EMA(c["close"], 26),
    "ema_50": lambda c: talib.EMA(c["close"], 50),
    "ema_200": lambda c: talib.EMA(c["close"], 200),
    "macd": lambda c: talib.MACD(c["close"], 12, 26, 9)[0],
    "macd_signal": lambda c: talib.MACD(c["close"], 12, 26, 9)[1],
    "macd_histogram": lambda c: talib.MACD(c["close"], 12, 26, 9)[2],
    "rsi_14": lambda c: talib.RSI(c["close"], 14),
    "stochastic_k": lambda c: stochastic(c)[0],
    "stochastic_d": lambda c: stochastic(c)[1],
    "atr_14": lambda c: talib.ATR(c["high"], c["low"], c["close"], 14),
    "bollinger_upper": lambda c: bollinger(c)[0],
    "bollinger_lower": lambda c: bollinger(c)[2],
    "bollinger_width": bollinger_width,
    "bollinger_position": bollinger_position,
    "keltner_upper": lambda c: keltner(c)[0],
    "keltner_lower": lambda c: keltner(c)[1],
    "keltner_position": keltner_position,
}


def test_every_indicator_is_compared() -> None:
    assert sorted(THEIRS) == sorted(feature.name for feature in feature_set("technical"))


@pytest.mark.parametrize("name", THEIRS)
def test_an_indicator_equals_ta_lib(name: str, candles: dict[str, Any], found: dict[str, Any]) -> None:
    """To 1e-9 wherever TA-Lib has a value."""
    theirs = THEIRS[name](candles)
    there = ~np.isnan(theirs)
    assert there.sum() > len(theirs) - 250
    np.testing.assert_allclose(found[name][there], theirs[there], rtol=1e-9, atol=1e-9)
