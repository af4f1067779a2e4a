"""The honest test: on a market with a signal the model finds it, on a martingale nothing is found."""

import numpy as np
import polars as pl
import pytest

from undertow.datasets.bars import SymbolBars
from undertow.datasets.build import DatasetSettings
from undertow.datasets.feature_tables import default_features
from undertow.evaluation.report import WalkForwardReport
from undertow.evaluation.walkforward import WalkForwardSettings, walk_forward
from undertow.features.catalogue import FEATURES
from undertow.features.engine import FeatureEngine
from undertow.frames.sampler import Sampler, SamplerSettings
from undertow.venues.binance.instruments import known_instrument
from undertow.venues.binance.mapper import BinanceMapper
from undertow.venues.simulated.capture import simulate_capture

SECOND = 10**9


def bars_of(symbol: str, seed: int, signal: float, seconds: float) -> SymbolBars:
    """One-second feature bars of a simulated market, through the same mapper, fold and kernels as live."""
    instrument = known_instrument("binance-usdm", symbol)
    assert instrument is not None
    mapper, sampler = BinanceMapper(instrument), Sampler(instrument, SamplerSettings(timeframes_ns=(SECOND,)))
    engine = FeatureEngine(FEATURES, SECOND)
    lines = [
        b"%d %s\n" % line
        for line in simulate_capture(symbol=symbol, seed=seed, signal=signal, seconds=seconds)
    ]
    blocks = []
    for at in range(0, len(lines), 5000):
        sampled = sampler.feed(mapper.map(b"".join(lines[at : at + 5000])).batch)
        if SECOND in sampled.frames:
            blocks.append(engine.push(sampled.frames[SECOND]))
    columns = {
        name: np.concatenate([block.values[i] for block in blocks]) for i, name in enumerate(blocks[0].names)
    }
    frame = pl.DataFrame(columns).with_columns(pl.all().fill_nan(None))
    stamps = np.concatenate([block.open_ns for block in blocks]) // 10**6
    known = np.concatenate([block.known_ns for block in blocks])
    frame = frame.with_columns(timestamp=pl.Series(stamps), known_ns=pl.Series(known))
    return SymbolBars(symbol, SECOND, frame)


# An hour and a half of market is little: with every family the model drowns in columns.
FEW = {f.name for f in FEATURES if f.family in ("ohlcv", "trades", "book", "quality")} | {
    *("signed_flow_ewma_5s", "signed_flow_ewma_20s", "queue_imbalance"),
    *("macd", "macd_signal", "rsi_14", "atr_14"),
}


def judge(signal: float, seed: int, seconds: float, among: set[str]) -> WalkForwardReport:
    bars = [bars_of(symbol, seed, signal, seconds) for symbol in ("BTCUSDT", "ETHUSDT")]
    settings = WalkForwardSettings(dataset=DatasetSettings(10 * SECOND, ()), null_refits=1, resamples=400)
    return walk_forward(bars, [name for name in default_features(bars) if name in among], settings)


def test_with_a_signal_the_model_beats_every_baseline() -> None:
    report = judge(signal=1.0, seed=11, seconds=5400, among=FEW)
    assert report.verdict.has_edge
    model = report.row("lightgbm")
    assert model.mcc_difference.low > 0
    assert model.mcc.low > 0.1
    assert report.row("shuffled_classes").mcc.value < 0.1


@pytest.mark.parametrize("seed", [11, 12])
def test_on_a_martingale_nothing_has_an_edge(seed: int) -> None:
    report = judge(signal=0.0, seed=seed, seconds=2400, among={f.name for f in FEATURES})
    assert not report.verdict.has_edge
    assert not report.verdict.earns
    for row in report.rows:
        if row.name != "lightgbm" and row.net_bps is not None:
            assert row.net_bps.high < 0, row.name
    assert report.row("lightgbm").direction.low <= 0
