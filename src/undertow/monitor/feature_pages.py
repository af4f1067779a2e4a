"""Writes the catalogue's part of the documentation: index, a page and a sheet of plots a family, the sets."""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from undertow.features.catalogue import FEATURES, catalogue_markdown, described, is_shown
from undertow.features.cross import CROSS_FEATURES
from undertow.features.engine import FeatureEngine
from undertow.features.l2 import L2_FEATURES
from undertow.features.pages import families, family_markdown, sets_markdown
from undertow.frames.sampler import SamplerSettings
from undertow.lake.reader import Lake
from undertow.market.time import SECOND_NS
from undertow.monitor.feature_examples import ExampleMarkets, example_markets, pair_values
from undertow.monitor.feature_markets import Market
from undertow.monitor.feature_plots import write_sheet
from undertow.runtime.l2_features import deep_histories, write_l2_features
from undertow.runtime.replay import find_steps, inspect, replay
from undertow.venues.simulated.capture import simulate_capture

__all__ = ["catalogue_pages", "simulated_hour", "write_pages", "write_plots"]

Floats = NDArray[np.float64]

SYMBOL, SEED, SIGNAL, HOUR_S = "BTCUSDT", 7, 0.9, 3600.0
"""The market of `undertow demo`, an hour of it."""
_STREAMS = ("depth@100ms", "aggTrade", "markPrice@1s", "forceOrder")
_HOUR = "an hour"


@dataclass(frozen=True, slots=True)
class _Drawn:
    """Values by feature that sheets are drawn from."""

    hour: Mapping[str, Floats]
    long: Mapping[str, Floats]
    short: Mapping[str, Floats]
    pair: Mapping[str, Floats]


def catalogue_pages() -> dict[str, str]:
    """Every page by its path below the documentation's folder, without the plots."""
    markets = example_markets()
    found = {"features.md": catalogue_markdown(), "features/sets.md": sets_markdown()}
    for family in families():
        found[f"features/{family}.md"] = family_markdown(family, _examples(family, markets), f"{family}.svg")
    return found


def write_pages(docs: Path) -> list[Path]:
    """Write `catalogue_pages` below `docs`; the files. Raises OSError where one cannot be written."""
    (docs / "features").mkdir(parents=True, exist_ok=True)
    written = []
    for name, text in catalogue_pages().items():
        path = docs / name
        path.write_text(text, encoding="utf-8")
        written.append(path)
    return written


def write_plots(docs: Path, seconds: float = HOUR_S, chosen: Sequence[str] = families()) -> list[Path]:
    """Simulate an hour, compute every feature of it through the lake, draw a sheet a family; the files.

    A feature that looks back further than the hour is drawn over the 300 quarter hours of the examples, one
    of a table that the simulated exchange does not stream over their ten seconds, those of two markets over
    the 400 seconds of theirs.
    """
    (docs / "features").mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        hour = simulated_hour(Path(folder), seconds)
    examples = example_markets()
    drawn = _Drawn(hour, _features(examples.long), _features(examples.short), pair_values(examples.pair))
    written = []
    for family in chosen:
        path = docs / "features" / f"{family}.svg"
        write_sheet(path, _plots(family, drawn))
        written.append(path)
    return written


def simulated_hour(folder: Path, seconds: float = HOUR_S) -> dict[str, Floats]:
    """Features of bars by name, and of the deep book with their prefix, of a simulated market a second.

    Its frames are written to `folder`, replayed into a lake there and read back from it; rows that the lake
    does not know are NaN.
    """
    capture, lake = folder / "hour.txt", folder / "lake"
    with capture.open("wb") as file:
        told = simulate_capture(symbol=SYMBOL, seed=SEED, signal=SIGNAL, seconds=seconds, streams=_STREAMS)
        for receive_ns, frame in told:
            file.write(b"%d %s\n" % (receive_ns, frame))
    recording = inspect([capture], "sim", SYMBOL, None)
    settings = SamplerSettings(flow=recording.flow, timeframes_ns=(SECOND_NS,))
    replay(recording, find_steps(recording, None), settings, lake)
    bars = _read(lake, f"sim/features/{SYMBOL}/1s")
    for history in deep_histories(Lake(lake), "sim", [SYMBOL]):
        write_l2_features(history, lambda _: None)
    deep = _read(lake, f"sim/l2_features/{SYMBOL}")
    return bars | {f"l2.{name}": values for name, values in deep.items()}


def _read(lake: Path, table: str) -> dict[str, Floats]:
    rows = pl.read_parquet(lake / table / "**" / "data.parquet").sort("timestamp")
    return {name: rows[name].cast(pl.Float64).fill_null(np.nan).to_numpy() for name in rows.columns}


def _features(market: Market) -> dict[str, Floats]:
    block = FeatureEngine(FEATURES, market.length_ns).push(market.frames)
    return dict(zip(block.names, block.values, strict=True))


def _plots(family: str, drawn: _Drawn) -> dict[str, tuple[str, Floats]]:
    """What is drawn of each feature of a family, and over what."""
    plots = {}
    for line in (line for line in L2_FEATURES if line.family == family and line.dtype == "float"):
        plots[line.name] = (_HOUR, drawn.hour[f"l2.{line.name}"])
    for pair in (line for line in CROSS_FEATURES if line.family == family):
        plots[pair.name] = ("400 s of the example", drawn.pair[pair.name])
    for name in (feature.name for feature in FEATURES if feature.family == family):
        choices = {
            _HOUR: drawn.hour[name],
            "75 h of the long example": drawn.long[name],
            "10 s of the short example": drawn.short[name],
        }
        told = (choice for choice in choices.items() if not np.isnan(choice[1]).all())
        plots[name] = next(told, (_HOUR, drawn.hour[name]))
    return plots


def _examples(family: str, markets: ExampleMarkets) -> dict[str, list[str]]:
    """Lines of text by feature; of sequence inputs for the first level."""
    told = [line for line in described() if line.family == family and is_shown(line)]
    return {line.name: markets.example(line).lines() for line in told}
